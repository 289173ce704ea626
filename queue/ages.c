#include "queue/ages.h"

#include <string.h>

#include "queue/id.h"
#include "queue/index.h"

static const int64_t limit_s[AGES - 1] = { 300, 1800, 7200, 28800, 86400 };

/* The last id of those that are older than the class. */
static uint64_t
hand_at(int age, int64_t now_ms)
{
	int64_t then_ms = now_ms - limit_s[age] * 1000;

	return then_ms <= 0 ? 0 : id_at_us((uint64_t)then_ms * 1000);
}

static void
count_message(struct index *ix, struct message *m)
{
	int age;
	uint16_t i;

	age = ages_class(ix, m->id);
	for (i = 0; i < m->count; i++)
		if (m->rcpts[i].state != RCPT_DONE)
			m->rcpts[i].domain->dest->ages[age]++;
}

void
ages_init(struct index *ix, int64_t now_ms)
{
	struct message *m;
	struct dest *dest;
	int i;

	for (i = 0; i < AGES - 1; i++)
		ix->hands[i] = hand_at(i, now_ms);
	for (dest = index_dest_after(ix, ""); dest != NULL;
	     dest = index_dest_after(ix, dest->key))
		memset(dest->ages, 0, sizeof dest->ages);
	for (m = index_from(ix, 0); m != NULL; m = index_next(m))
		count_message(ix, m);
}

int
ages_class(const struct index *ix, uint64_t id)
{
	int i;

	for (i = 0; i < AGES - 1 && id <= ix->hands[i]; i++)
		;
	return i;
}

static void
grow_older(struct message *m, int age)
{
	struct dest *dest;
	uint16_t i;

	for (i = 0; i < m->count; i++) {
		if (m->rcpts[i].state == RCPT_DONE)
			continue;
		dest = m->rcpts[i].domain->dest;
		dest->ages[age]--;
		dest->ages[age + 1]++;
	}
}

/* Up to "to"; false: the budget is used up before. */
static bool
advance_hand(struct index *ix, int age, uint64_t to, size_t *budget)
{
	struct message *m;

	for (m = index_from(ix, ix->hands[age] + 1); m != NULL && m->id <= to;
	     m = index_next(m)) {
		if (*budget == 0)
			return false;
		(*budget)--;
		grow_older(m, age);
		ix->hands[age] = m->id;
	}
	ix->hands[age] = to;
	return true;
}

bool
ages_advance(struct index *ix, int64_t now_ms, size_t budget)
{
	uint64_t to;
	int i;

	/* The youngest first: nothing skips a class. */
	for (i = 0; i < AGES - 1; i++) {
		to = hand_at(i, now_ms);
		if (to > ix->hands[i] && !advance_hand(ix, i, to, &budget))
			return false;
	}
	return true;
}
