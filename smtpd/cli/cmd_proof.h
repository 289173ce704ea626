/*
 * `sealpost proof`: what authenticated the host that took a message.
 */

#ifndef SMTPD_CLI_CMD_PROOF_H
#define SMTPD_CLI_CMD_PROOF_H

struct cli;

/* Runs the command and returns the status to exit with. */
int cmd_proof(const struct cli *);

#endif
