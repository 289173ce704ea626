#include "smtpd/alias_take.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "smtpd/base/proc.h"

static void
tell_refused(const struct conf_errors *errors)
{
	const char *line = errors->text;
	size_t len;

	for (; line != NULL && *line != '\0'; line += len + 1) {
		len = strcspn(line, "\n");
		log_note(LOG_PRI_WARNING, "aliases: refused: %.*s", (int)len,
		    line);
	}
}

struct alias_table *
alias_take(int fd, const struct conf *conf, bool tell)
{
	struct conf_errors errors = { 0 };
	struct alias_table *table;
	size_t len;
	char *text = proc_sealed_text(fd, ALIAS_FILE_MAX, &len);

	close(fd);
	if (text == NULL)
		log_die("aliases: %s", strerror(errno));
	table = alias_parse(conf->aliases != NULL ? conf->aliases : "aliases",
	    text, len, conf->hostname != NULL ? conf->hostname : "localhost",
	    &errors);
	if (table == NULL)
		log_die("out of memory");
	if (tell)
		tell_refused(&errors);
	conf_errors_clear(&errors);
	free(text);
	return table;
}
