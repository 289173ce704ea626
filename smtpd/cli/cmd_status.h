/*
 * `sealpost status` and `sealpost top`.
 */

#ifndef SMTPD_CLI_CMD_STATUS_H
#define SMTPD_CLI_CMD_STATUS_H

#include <stdio.h>

struct cli;
struct jread;

/* Each runs a command and returns the status to exit with. */
int cmd_status(const struct cli *);

/*
 * Write a status object as Prometheus text (exposition format 0.0.4): each
 * number is a gauge `sealpost_KEY`, or `sealpost_OBJECT_KEY` within an object,
 * or, where an object counts by reason, `sealpost_OBJECT{reason="KEY"}`.
 */
void status_prometheus(FILE *, const struct jread *);

#endif
