/*
 * The commands of sealpost(8) that concern the queue.
 */

#ifndef SMTPD_CLI_CMD_QUEUE_H
#define SMTPD_CLI_CMD_QUEUE_H

struct cli;

/* Each runs a command and returns the status to exit with. */
int cmd_queue(const struct cli *);
int cmd_show(const struct cli *);
/* retry, hold, release, remove, bounce, pause, resume, reload, stop */
int cmd_act(const struct cli *);

/* mailq(8): the queue for people. "program" is for complaints. */
int cmd_queue_list(const char *program);

#endif
