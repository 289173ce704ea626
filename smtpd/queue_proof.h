/*
 * Delivery proofs in the queue process: each recipient delivered is added to
 * the store of queue/proof.h, below proof/ in the queue's folder, and looked
 * up there for `sealpost proof`. Trouble with it is logged and counted, and
 * never stops mail.
 */

#ifndef SMTPD_QUEUE_PROOF_H
#define SMTPD_QUEUE_PROOF_H

#include "queue/proof.h"
#include "queue/spool.h"
#include "smtpd/base/ev.h"
#include "smtpd/msg.h"
#include "smtpd/queue_log.h"

struct queue_proof;
struct queue_proof_asked;

/*
 * Keep proofs below the queue's folder "dirfd" (taken) for "keep_s" seconds,
 * 0: none. Counts in "stats" (borrowed). Dies on no memory.
 */
struct queue_proof *queue_proof_new(struct ev *, int dirfd, unsigned keep_s,
    struct queue_stats *stats);
/* Writes what waits; looking up ends. NULL is allowed. */
void queue_proof_free(struct queue_proof *);
/* As for queue_proof_new(), from now on; with 0 all that is kept goes. */
void queue_proof_keep(struct queue_proof *, unsigned keep_s);

/* A recipient was delivered, as the worker's result says. It is written with
 * the next flush, which comes by itself within 100 ms. */
void queue_proof_add(struct queue_proof *, const struct spool_change *,
    const struct msg_rcpt_result *);
void queue_proof_flush(struct queue_proof *);

/* Answer CTL_PROOF on the client's socket "fd" (taken). */
void queue_proof_answer(struct queue_proof *, const struct msg_ctl_queue *,
    int fd);

/* ---- for queue_proof_answer.c ---- */

/* NULL and *why, for people: none are kept, or it cannot be used. */
struct proof_store *queue_proof_store(struct queue_proof *, const char **why);
struct ev *queue_proof_ev(struct queue_proof *);
struct queue_proof_asked *queue_proof_asked(struct queue_proof *);
struct queue_proof_asked *queue_proof_asked_new(void);
void queue_proof_asked_free(struct queue_proof_asked *);

#endif
