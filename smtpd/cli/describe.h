/*
 * Answers of the daemon for people, whatever they hold: keys may be added on
 * its side without a change here.
 */

#ifndef SMTPD_CLI_DESCRIBE_H
#define SMTPD_CLI_DESCRIBE_H

#include <stdio.h>

#include "smtpd/cli/cli.h"
#include "smtpd/cli/jread.h"

/*
 * Ask for a list of like objects and print them to "out" as a table, one
 * column a key, those with the greatest "total" first; "empty" is printed
 * where there is none. Returns the status.
 */
int describe_list(const struct cli *, const struct ctl_request *,
    const char *empty, FILE *out);

/* Ask for objects and print each in lines `key: value`. */
int describe_object(const struct cli *, const struct ctl_request *);

/*
 * Print one object so, set in by "indent" blanks; what is null or empty is
 * left out. Text of several lines (headers, body) comes last.
 */
void describe_write(FILE *, const struct jread *, int indent);

#endif
