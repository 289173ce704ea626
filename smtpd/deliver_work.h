/*
 * A job as the queue sends it, message by message, and what is told of it.
 */

#ifndef SMTPD_DELIVER_WORK_H
#define SMTPD_DELIVER_WORK_H

#include <stdint.h>

#include "smtpd/base/ipc.h"
#include "smtpd/conf.h"
#include "smtpd/lane.h"
#include "smtpd/msg.h"

struct work {
	struct lane_job job; /* first: lanes know the work by it */
	uint64_t number;
	uint32_t rcpts_due; /* job_rcpt that have not come yet */
	unsigned width;
	size_t told;           /* results */
	uint32_t *rcpt_number; /* the queue's */
	char **rcpt_text;      /* owned: address NUL orcpt NUL */
	char destination[DESTINATION_SIZE];
	char sender[ADDRESS_SIZE];
	char envid[ENVID_SIZE];
};

/* Takes "fd". Never NULL; dies if the message is out of range. */
struct work *work_new(const struct msg_job *, int fd);
/* Its next recipient. True: that was the last. */
bool work_add(struct work *, const struct msg_job_rcpt *);
/* NULL is allowed. */
void work_free(struct work *);
struct work *work_of(struct lane_job *);

/* Tell one recipient's result, with "job" and "rcpt" filled in; "queue" may be
 * NULL. */
void work_tell(struct work *, struct ipc *queue, size_t rcpt,
    struct msg_rcpt_result *);
/* Tell the same of all: a deferral before any lane had it. */
void work_tell_all(struct work *, struct ipc *queue, const char *detail);

/* The next hop of a job, and what holds for it. */
struct work_hop {
	struct conf_dest dest;
	char destination[DESTINATION_SIZE]; /* for the route */
	char domain[ADDRESS_DOMAIN_SIZE];   /* for people */
};

/*
 * What the configuration says now of a job: of its domain, or, where several
 * domains share a `via` host, of its recipients' domains, the strictest
 * level. Returns 0, or -1 if it has no one next hop any more.
 */
int work_look_up(const struct work *, const struct conf *, time_t now,
    struct work_hop *);

#endif
