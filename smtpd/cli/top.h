/*
 * `sealpost top`: the queue by destination, live in a terminal.
 */

#ifndef SMTPD_CLI_TOP_H
#define SMTPD_CLI_TOP_H

struct cli;

/* Show until interrupted; once where standard output is no terminal. */
int cmd_top(const struct cli *);

#endif
