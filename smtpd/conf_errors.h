/*
 * Complaints about a configuration file, gathered in one pass.
 *
 * Each is a line "file:line: message". Zeroed is empty.
 */

#ifndef SMTPD_CONF_ERRORS_H
#define SMTPD_CONF_ERRORS_H

#include <stddef.h>

#define CONF_ERRORS_MAX 200 /* kept; a line tells that there are more */

struct conf_errors {
	char *text; /* the lines, each with its newline; NULL if none */
	size_t len;
	size_t count;
};

/* Add one; line 0: about the file as a whole ("file: message"). */
void conf_error(struct conf_errors *, const char *file, unsigned line,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Free what is held, and be empty. */
void conf_errors_clear(struct conf_errors *);

#endif
