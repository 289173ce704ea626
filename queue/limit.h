/*
 * How much may be under way to one destination: a window of sessions that
 * grows with success and shrinks with failure, a rate, and a probe for one
 * that is dead. Pure: a struct of numbers and what events make of it.
 */

#ifndef QUEUE_LIMIT_H
#define QUEUE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct limit_conf {
	unsigned connections; /* at most at once; at least 1 */
	unsigned rate;        /* messages ... */
	int64_t rate_ms;      /* ... per so many ms; 0: no limit */
};

/* Messages that ended close together, for the rate. */
struct limit_batch {
	int64_t first_ms;
	int64_t last_ms;
	unsigned count; /* 0: unused */
};
#define LIMIT_BATCHES 5 /* a period is four of them and what has begun */

struct limit {
	struct limit_conf conf;
	unsigned window;       /* sessions allowed, 1 to conf.connections */
	unsigned grown;        /* successes since the window last grew */
	unsigned busy;         /* jobs under way */
	unsigned failures;     /* in a row, with no success between */
	bool proven;           /* the last that came back was a success */
	int64_t down_until_ms; /* 0: not down */
	int64_t failed_ms;     /* jobs begun before then tell nothing new */
	struct limit_batch recent[LIMIT_BATCHES];
	unsigned newest; /* of them */
};

#define LIMIT_FIRST 5       /* sessions to a destination not yet known */
#define LIMIT_PER_SESSION 4 /* jobs a session has in line, for pipelining */

void limit_init(struct limit *, const struct limit_conf *);
/* Other limits from now on; what was learnt stays. */
void limit_change(struct limit *, const struct limit_conf *);

/*
 * May one more job start? Returns 0: now; else when to ask again, in ms since
 * 1970; INT64_MAX: when a job has ended.
 */
int64_t limit_next(const struct limit *, int64_t now_ms);
/* Sessions that the destination may have at present. */
unsigned limit_width(const struct limit *);

void limit_begin(struct limit *);
/*
 * The job is over, whatever came of it. From then on it counts for a period:
 * in none, wherever it begins, is more sent than the rate allows.
 */
void limit_end(struct limit *, int64_t now_ms);
/* Until when messages of the past count, in ms since 1970; 0: none do. */
int64_t limit_remembers(const struct limit *);
/* Its host answered: the destination lives. */
void limit_worked(struct limit *);
/*
 * It could not be reached.
 *
 * began_ms  when the job started
 * until_ms  when to probe, had it failed limit->failures + 1 times
 * returns   true if it is (anew) down until then; false if the job began
 *           before the last failure and hence tells nothing new
 */
bool limit_failed(struct limit *, int64_t began_ms, int64_t now_ms,
    int64_t until_ms);
/* The clock was set back to now_ms: nothing waits beyond until_ms. */
void limit_set_back(struct limit *, int64_t now_ms, int64_t until_ms);
/* Forget the failures: the administrator says try now. */
void limit_forgive(struct limit *);

#endif
