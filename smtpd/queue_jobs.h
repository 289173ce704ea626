/*
 * Jobs: what is due goes to deliver processes, results come back.
 *
 * A destination has a home among the workers, so that its connections are
 * reused; where the home is busier than others by a full batch the job goes
 * to the idlest, if that may have connections to it.
 */

#ifndef SMTPD_QUEUE_JOBS_H
#define SMTPD_QUEUE_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/spool.h"
#include "smtpd/conf.h"
#include "smtpd/msg.h"
#include "smtpd/roles.h"

struct queue_jobs;

/* Dies on no memory. */
struct queue_jobs *queue_jobs_new(struct child *);

/* Hand out what is due, as far as the workers have room. */
void queue_jobs_dispatch(struct queue_jobs *, struct spool *, int64_t now_ms);

/* A message is being made durable: if it will go out at once, its worker is
 * told, and connects meanwhile. */
void queue_jobs_foretell(struct queue_jobs *, struct spool *,
    const struct envelope *, int64_t now_ms);

/*
 * Sessions that one worker may have to a destination: its home most of them,
 * each other a slice, so that together they are no more than `connections`.
 *
 * width    sessions that the destination may have at present
 * most     ... and ever: its `connections`
 * workers  how many there are, at least 1
 * returns  0: too few to share; such a worker gets a job, and then a session,
 *          only where the home has no room
 */
unsigned queue_jobs_width(unsigned width, unsigned most, unsigned workers,
    bool home);

/* A retry was asked for: workers are to look anew how destinations are
 * reached, before the jobs that follow. */
void queue_jobs_renew(struct queue_jobs *);

/* A worker's result. What is out of range, or not its own, is refused. */
void queue_jobs_result(struct queue_jobs *, struct spool *, uint32_t instance,
    const struct msg_rcpt_result *, int64_t now_ms);
/* A worker is done with a job. */
void queue_jobs_done(struct queue_jobs *, struct spool *, uint32_t instance,
    uint64_t job, int64_t now_ms);
/* The worker is gone: its jobs are ready again. */
void queue_jobs_lost(struct queue_jobs *, struct spool *, uint32_t instance,
    int64_t now_ms);

/*
 * The key of a domain's next hop: itself, or host:port of its `via` line,
 * followed by ";" and the level where that is not `require`: what shares a
 * key shares connections, and so must ask the same of them.
 */
void queue_jobs_next_hop(const struct conf *, const char *domain,
    char key[SPOOL_DEST_SIZE]);
/* What the configuration says of a next hop. */
void queue_jobs_limits(const struct conf *, const char *key,
    struct limit_conf *);

#endif
