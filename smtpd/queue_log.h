/*
 * What the queue tells: the log line of each event of a message, and the
 * counters behind `sealpost status`.
 */

#ifndef SMTPD_QUEUE_LOG_H
#define SMTPD_QUEUE_LOG_H

#include <stdint.h>

#include "mtasts/json.h"
#include "mtasts/reason.h"
#include "mtasts/verdict.h"
#include "queue/spool.h"
#include "smtpd/msg.h"

#define QUEUE_AUTHS (AUTH_DANE + 1)

/* Since the queue process started. */
struct queue_stats {
	int64_t started_ms;
	uint64_t accepted;
	uint64_t delivered;
	uint64_t deferred; /* attempts */
	uint64_t bounced;
	uint64_t notices; /* delayed-mail notices */
	uint64_t deferred_for[REASON_COUNT];
	uint64_t bounced_for[REASON_COUNT];
	uint64_t would_defer[REASON_COUNT];  /* under opportunistic */
	uint64_t sts_failures[REASON_COUNT]; /* under a testing policy */
	uint64_t by_auth[QUEUE_AUTHS];       /* deliveries */
	uint64_t by_tls12;
	uint64_t by_tls13;
	uint64_t in_clear;
	uint64_t resumed;
	uint64_t proofs_added;
	uint64_t proofs_lost;           /* the disk took them not */
	struct msg_listen_stats listen; /* as last told */
	struct msg_policy_stats policy;
};

/* Log and count that a message was accepted (durable). */
void queue_log_accepted(struct queue_stats *, const struct envelope *);

/*
 * Log and count what happened to a recipient.
 *
 * r  the worker's result, with the facts of the connection; NULL where there is
 *    none: expiry, or the administrator
 */
void queue_log_change(struct queue_stats *, const struct spool_change *,
    const struct msg_rcpt_result *r);

/* A bounce or notice that the spool made itself. */
void queue_log_report(struct queue_stats *, enum spool_report, uint64_t of,
    const struct envelope *);

/* The answer to `sealpost status`, one object. */
void queue_stats_json(struct json *, const struct queue_stats *,
    const struct spool_counts *, int64_t now_ms);

#endif
