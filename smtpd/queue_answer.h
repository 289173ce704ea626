/*
 * Answers of the queue to sealpost(8): JSON, an object a line, and a dot at
 * the end; written to the client's own socket as fast as it reads, a page a
 * turn, so that a listing of a million recipients delays nobody's mail.
 */

#ifndef SMTPD_QUEUE_ANSWER_H
#define SMTPD_QUEUE_ANSWER_H

#include <stdbool.h>

#include "queue/spool.h"
#include "smtpd/base/ev.h"
#include "smtpd/msg.h"
#include "smtpd/queue_log.h"

struct queue_answers;

/* What is asked about; borrowed for as long as the answers live. */
struct queue_view {
	struct ev *ev;
	struct spool *spool;
	struct queue_stats *stats;
	bool *paused;
	/* The queue was changed: something may be due, or to be written. */
	void (*changed)(void *arg);
	void *arg;
};

/* Dies on no memory. */
struct queue_answers *queue_answers_new(const struct queue_view *);

/*
 * Answer a request.
 *
 * fd  the client's socket; taken
 */
void queue_answer(struct queue_answers *, const struct msg_ctl_queue *, int fd);

#endif
