/*
 * `sealpost check`: would a message be delivered now?
 */

#ifndef SMTPD_CLI_CMD_CHECK_H
#define SMTPD_CLI_CMD_CHECK_H

struct cli;

/* EX_OK only if a message would be delivered; CTL_EX_NOTHING if not. */
int cmd_check(const struct cli *);

#endif
