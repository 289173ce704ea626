/*
 * The commands of sealpost(8) that concern MTA-STS policies.
 */

#ifndef SMTPD_CLI_CMD_POLICY_H
#define SMTPD_CLI_CMD_POLICY_H

struct cli;

/* Each runs a command and returns the status to exit with. */
int cmd_policy(const struct cli *);
int cmd_policies(const struct cli *);

#endif
