/*
 * A timing wheel: very many timers, each set and cleared in constant time.
 * Wall-clock milliseconds; a timer goes off up to one tick late, never early.
 */

#ifndef QUEUE_WHEEL_H
#define QUEUE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define WHEEL_TICK_MS 50
#define WHEEL_LEVELS 4
#define WHEEL_SLOTS 256

/* Embedded in what waits; zero before wheel_set(). */
struct wheel_node {
	LIST_ENTRY(wheel_node) link;
	int64_t at_ms;
};
LIST_HEAD(wheel_list, wheel_node);

struct wheel {
	int64_t tick; /* all up to this one has gone off */
	struct wheel_list due;
	struct wheel_list slots[WHEEL_LEVELS][WHEEL_SLOTS];
	uint64_t used[WHEEL_LEVELS][WHEEL_SLOTS / 64]; /* may be empty again */
};

void wheel_init(struct wheel *, int64_t now_ms);
/* Set, or set anew. */
void wheel_set(struct wheel *, struct wheel_node *, int64_t at_ms);
/* No harm if it is not set. */
void wheel_clear(struct wheel_node *);
bool wheel_is_set(const struct wheel_node *);
/* The next node that is due, no longer set; NULL: none. Clocks may jump. */
struct wheel_node *wheel_pop(struct wheel *, int64_t now_ms);
/* When to ask again at the latest; INT64_MAX: nothing is set. May be earlier
 * than anything goes off. */
int64_t wheel_next(const struct wheel *);

#endif
