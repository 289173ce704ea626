/*
 * The queue in memory: messages by id, recipients by destination and by time.
 *
 * A message with one recipient takes some 180 bytes; domains are interned.
 * Everything that happens for each message or job is constant or logarithmic
 * time: a pick never looks at what cannot go.
 *
 * A recipient is in one place, by its state: READY in its destination's line,
 * DEFERRED in the wheel, else nowhere. A destination with a line is in one of
 * the rings when it may start a job at once: proven, where the last job went
 * well; dead, where the last failed; fresh, where nothing is known. Else it
 * waits for its timer or for a job of its own to end.
 */

#ifndef QUEUE_INDEX_H
#define QUEUE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/tree.h>

#include "queue/ages.h"
#include "queue/fault.h"
#include "queue/limit.h"
#include "queue/outcome.h"
#include "queue/record.h"
#include "queue/wheel.h"

enum index_ring { RING_NONE, RING_PROVEN, RING_FRESH, RING_DEAD };
#define RINGS 4

TAILQ_HEAD(rcpt_line, rcpt);

struct dest {
	RB_ENTRY(dest) node;
	TAILQ_ENTRY(dest) ring_link;
	struct rcpt_line line; /* READY, in the order in which to go */
	struct wheel_node timer;
	struct limit limit;
	uint64_t counts[RCPT_STATES];
	uint64_t ages[AGES]; /* the same by age: see ages.h */
	uint64_t refs;       /* domains and jobs; 0: it rests */
	uint64_t oldest;     /* no message of it has an older id; 0: none */
	unsigned turn;       /* jobs left in this turn */
	uint8_t ring;        /* enum index_ring */
	bool enforce;        /* its last failure was under an enforce policy */
	struct fault *fault; /* the last; NULL: none is known */
	char key[];
};

struct domain {
	RB_ENTRY(domain) node;
	struct dest *dest;
	uint64_t refs; /* recipients */
	char name[];
};

/* What a recipient's flags say; all but the last are kept on disk, beside
 * what spool_standing() adds. */
#define RCPT_TLS STATE_TLS
#define RCPT_ENFORCE STATE_ENFORCE
#define RCPT_FINAL STATE_FINAL
#define RCPT_AGAIN 8U /* its worker died under it */

struct rcpt {
	union {
		struct wheel_node timer;
		TAILQ_ENTRY(rcpt) line_link;
	} at;
	struct domain *domain;
	uint64_t last; /* position of its last outcome record; 0: none */
	uint16_t number;
	uint16_t attempts;
	uint8_t state; /* enum rcpt_state */
	uint8_t flags; /* RCPT_* */
	uint8_t order; /* enum rcpt_event to come when sending is over */
};

#define MESSAGE_LARGE 1U
#define MESSAGE_WARNED 2U
#define MESSAGE_PENDING 4U /* not yet durable */
#define MESSAGE_TOLD 8U    /* a report about it was queued */

struct message {
	RB_ENTRY(message) node;
	struct wheel_node timer; /* expiry or notice of delay */
	uint64_t id;
	uint64_t where; /* its record */
	uint64_t arrived_us;
	uint64_t size; /* of the body */
	uint32_t record_size;
	uint32_t sender_hash;
	uint32_t uid; /* UINT32_MAX: not local */
	int body;     /* a memfd at hand, or -1 */
	uint32_t jobs;
	uint16_t count; /* recipients */
	uint16_t alive; /* of them, not done */
	uint8_t flags;  /* MESSAGE_* */
	struct rcpt rcpts[];
};

RB_HEAD(message_tree, message);
RB_HEAD(dest_tree, dest);
RB_HEAD(domain_tree, domain);
TAILQ_HEAD(dest_ring, dest);

struct index_hooks {
	void *arg;
	/* Fill in the key of the next hop (264 bytes) and its limits. */
	void (*route)(void *arg, const char *domain, char *key);
	void (*limits)(void *arg, const char *key, struct limit_conf *);
};

struct index {
	struct index_hooks hooks;
	struct message_tree messages;
	struct dest_tree dests;
	struct domain_tree domains;
	struct dest_ring rings[RINGS];
	struct wheel rcpt_wheel;
	struct wheel message_wheel;
	struct wheel dest_wheel;
	uint64_t message_count;
	uint64_t dest_count; /* with recipients or jobs */
	uint64_t resting;    /* without: kept for what their rate remembers */
	uint64_t counts[RCPT_STATES];
	uint64_t blocked;         /* READY, but their destination is down */
	uint64_t hands[AGES - 1]; /* of ages.h: newer ids are younger */
};

void index_init(struct index *, const struct index_hooks *, int64_t now_ms);
void index_clear(struct index *);

/* A message not yet in the index; free with index_free(). NULL: no memory. */
struct message *index_message(uint64_t id, uint16_t rcpts);
/* Give recipient "n" its domain (lower-case). -1: no memory. */
int index_set_domain(struct index *, struct message *, uint16_t n,
    const char *domain);
/* -1: its id is known. Recipients are nowhere until index_move(). */
int index_add(struct index *, struct message *);
/* Take it out (if in) and free it, its body closed. */
void index_free(struct index *, struct message *);
struct message *index_find(struct index *, uint64_t id);
/* The first with this id or a later one; NULL: none. */
struct message *index_from(struct index *, uint64_t id);
struct message *index_next(struct message *);
/* The id of the last; 0: there is none. */
uint64_t index_newest(struct index *);
struct message *index_owner(struct rcpt *);

/*
 * Put a recipient into a state; out of where it was.
 *
 * due_ms   when to go on, for DEFERRED
 * first    READY: to the front of the line
 */
void index_move(struct index *, struct rcpt *, enum rcpt_state, int64_t due_ms,
    bool first);
/* Forget where a recipient is: before its message is freed. */
void index_drop(struct index *, struct rcpt *);
/* An id not younger than the oldest message of a destination; 0: none. */
uint64_t index_oldest(struct dest *);
/* When a deferred one is due. */
int64_t index_due(const struct rcpt *);

/* NULL: nothing is queued for it. */
struct dest *index_dest(struct index *, const char *key);
/* A job keeps its destination, which else goes with its last recipient, or
 * rests until its rate is free again. */
void index_hold_dest(struct dest *);
void index_let_dest(struct index *, struct dest *);
/* Its timer has gone off. */
void index_dest_due(struct index *, struct dest *, int64_t now_ms);
/* Its limits, its line or the time have changed: where does it wait? */
void index_settle(struct index *, struct dest *, int64_t now_ms);
/* Before and after a change of limit.failures: keeps counts right. */
void index_dest_down(struct index *, struct dest *, bool was_down);
bool index_is_down(const struct dest *);
/* Why it is down; NULL: it is not, or nobody knows. */
const struct fault *index_fault(const struct dest *);
/* The destination whose turn it is; NULL: none in that ring. */
struct dest *index_turn(struct index *, enum index_ring);
/* It has had its turn. */
void index_rotate(struct index *, struct dest *);
/* The clock was set back: no recipient or destination waits longer than to
 * until_ms. */
void index_set_back(struct index *, int64_t now_ms, int64_t until_ms);
/* Ask route and limits for all again. */
void index_reroute(struct index *, int64_t now_ms);
/* The first behind "key" that does not rest; NULL: none. */
struct dest *index_dest_after(struct index *, const char *key);

#endif
