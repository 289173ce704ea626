/*
 * Messages on their way in: recipients gathered until the message itself
 * comes, and what the log will say once it is durable.
 */

#ifndef SMTPD_QUEUE_INTAKE_H
#define SMTPD_QUEUE_INTAKE_H

#include <stdint.h>

#include "queue/spool.h"
#include "smtpd/base/ipc.h"
#include "smtpd/msg.h"
#include "smtpd/queue_log.h"

struct queue_intake;

/* Dies on no memory. "stats" is borrowed. */
struct queue_intake *queue_intake_new(struct queue_stats *);

/* A recipient of a message whose `submit` follows. */
void queue_intake_rcpt(struct queue_intake *, const struct msg_submit_rcpt *);

/*
 * The message: append it to the spool. If that fails the listener is answered
 * at once, else by queue_intake_settled().
 *
 * body     fd, taken; -1: the large file
 * listen   channel to answer on
 * returns  its envelope, until it is settled; NULL: it failed
 */
const struct envelope *queue_intake_submit(struct queue_intake *,
    struct spool *, const struct msg_submit *, int body, struct ipc *listen);

/* A message was made durable (0), or was not: answer, log and count. */
void queue_intake_settled(struct queue_intake *, uint64_t id, int error,
    struct ipc *listen);

/* A body outgrows memory: hand out a file. */
void queue_intake_large(struct queue_intake *, struct spool *, uint64_t id,
    struct ipc *listen);
void queue_intake_large_drop(struct queue_intake *, struct spool *,
    uint64_t id);

/* The listener is gone, and with it the sessions that were submitting. */
void queue_intake_abandon(struct queue_intake *, struct spool *);

#endif
