#include "smtpd/conf_errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_SIZE 1024 /* of one complaint; a longer one is cut */

void
conf_error(struct conf_errors *errors, const char *file, unsigned line,
    const char *fmt, ...)
{
	char message[MESSAGE_SIZE], where[MESSAGE_SIZE];
	va_list ap;
	size_t add;
	char *text;

	if (errors->count++ > CONF_ERRORS_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	if (errors->count > CONF_ERRORS_MAX) {
		(void)strlcpy(message, "further errors are not shown",
		    sizeof message);
		line = 0;
	}
	if (line > 0)
		(void)snprintf(where, sizeof where, "%s:%u", file, line);
	else
		(void)snprintf(where, sizeof where, "%s", file);
	add = strlen(where) + 2 + strlen(message) + 1;
	text = realloc(errors->text, errors->len + add + 1);
	if (text == NULL)
		return; /* it stays counted */
	(void)snprintf(text + errors->len, add + 1, "%s: %s\n", where, message);
	errors->text = text;
	errors->len += add;
}

void
conf_errors_clear(struct conf_errors *errors)
{
	free(errors->text);
	memset(errors, 0, sizeof *errors);
}
