#include "queue/wheel.h"

#include <stddef.h>
#include <string.h>

#define JUMP_TICKS 1200 /* the clock went back by more than a minute */

void
wheel_init(struct wheel *w, int64_t now_ms)
{
	memset(w, 0, sizeof *w);
	w->tick = now_ms / WHEEL_TICK_MS;
}

static int
slot_of(int64_t tick, int level)
{
	return (int)(tick >> (8 * level) & (WHEEL_SLOTS - 1));
}

static void
place(struct wheel *w, struct wheel_node *node)
{
	int64_t tick, ahead;
	int level, slot;

	tick = node->at_ms / WHEEL_TICK_MS + (node->at_ms % WHEEL_TICK_MS != 0);
	ahead = tick - w->tick;
	if (ahead <= 0) {
		LIST_INSERT_HEAD(&w->due, node, link);
		return;
	}
	for (level = 0; level < WHEEL_LEVELS - 1; level++)
		if (ahead < (int64_t)1 << (8 * (level + 1)))
			break;
	if (ahead >= (int64_t)1 << (8 * WHEEL_LEVELS))
		tick = w->tick + ((int64_t)1 << (8 * WHEEL_LEVELS)) - 1;
	slot = slot_of(tick, level);
	LIST_INSERT_HEAD(&w->slots[level][slot], node, link);
	w->used[level][slot / 64] |= 1ULL << (slot % 64);
}

void
wheel_set(struct wheel *w, struct wheel_node *node, int64_t at_ms)
{
	wheel_clear(node);
	node->at_ms = at_ms;
	place(w, node);
}

void
wheel_clear(struct wheel_node *node)
{
	if (node->link.le_prev == NULL)
		return;
	LIST_REMOVE(node, link);
	node->link.le_prev = NULL;
}

bool
wheel_is_set(const struct wheel_node *node)
{
	return node->link.le_prev != NULL;
}

/* What a slot holds finds its place anew. */
static void
empty_slot(struct wheel *w, int level, int slot)
{
	struct wheel_node *node, *next;

	node = LIST_FIRST(&w->slots[level][slot]);
	LIST_INIT(&w->slots[level][slot]);
	w->used[level][slot / 64] &= ~(1ULL << (slot % 64));
	for (; node != NULL; node = next) {
		next = LIST_NEXT(node, link);
		place(w, node);
	}
}

static bool
level_is_empty(const struct wheel *w, int level)
{
	const uint64_t *used;

	used = w->used[level];
	return (used[0] | used[1] | used[2] | used[3]) == 0;
}

static void
advance(struct wheel *w, int64_t tick)
{
	int64_t step;
	int level;

	while (w->tick < tick) {
		/* Where nothing waits, go to the end of the round at once. */
		step = 1;
		for (level = 0;
		     level < WHEEL_LEVELS - 1 && level_is_empty(w, level);
		     level++)
			step <<= 8;
		w->tick = (w->tick / step + 1) * step;
		if (w->tick > tick)
			w->tick = tick;
		for (level = WHEEL_LEVELS - 1; level > 0; level--)
			if ((w->tick & (((int64_t)1 << (8 * level)) - 1)) == 0)
				empty_slot(w, level, slot_of(w->tick, level));
		empty_slot(w, 0, slot_of(w->tick, 0));
	}
}

/* The clock went back: everything is placed anew. */
static void
rebase(struct wheel *w, int64_t tick)
{
	int level, slot;

	w->tick = tick;
	for (level = 0; level < WHEEL_LEVELS; level++)
		for (slot = 0; slot < WHEEL_SLOTS; slot++)
			if (!LIST_EMPTY(&w->slots[level][slot]))
				empty_slot(w, level, slot);
}

struct wheel_node *
wheel_pop(struct wheel *w, int64_t now_ms)
{
	struct wheel_node *node;
	int64_t tick;

	tick = now_ms / WHEEL_TICK_MS;
	if (tick + JUMP_TICKS < w->tick)
		rebase(w, tick);
	if (LIST_EMPTY(&w->due))
		advance(w, tick);
	node = LIST_FIRST(&w->due);
	if (node != NULL)
		wheel_clear(node);
	return node;
}

/* The first slot in use after "from", going round; -1: none. */
static int
first_used(const struct wheel *w, int level, int from)
{
	int i, slot;

	for (i = 1; i <= WHEEL_SLOTS; i++) {
		slot = (from + i) & (WHEEL_SLOTS - 1);
		if (w->used[level][slot / 64] == 0 && slot % 64 == 0) {
			i += 63;
			continue;
		}
		if ((w->used[level][slot / 64] >> (slot % 64) & 1) != 0)
			return i;
	}
	return -1;
}

int64_t
wheel_next(const struct wheel *w)
{
	int64_t next, at;
	int level, ahead;

	if (!LIST_EMPTY(&w->due))
		return w->tick * WHEEL_TICK_MS;
	next = INT64_MAX;
	for (level = 0; level < WHEEL_LEVELS; level++) {
		if (level_is_empty(w, level))
			continue;
		ahead = first_used(w, level, slot_of(w->tick, level));
		if (ahead == -1)
			continue;
		at = ((w->tick >> (8 * level)) + ahead) << (8 * level);
		if (at * WHEEL_TICK_MS < next)
			next = at * WHEEL_TICK_MS;
	}
	return next;
}
