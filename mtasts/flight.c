#include "mtasts/flight.h"

#include <stdlib.h>
#include <string.h>

static int
compare(const struct flight *a, const struct flight *b)
{
	return strcmp(a->domain, b->domain);
}

/* RB_GENERATE_STATIC() of libbsd 0.11 needs an __unused that it lacks. */
RB_GENERATE_INTERNAL(flight_tree, flight, by_name, compare,
    static __attribute__((unused)))

void
flights_init(struct flights *t)
{
	t->count = 0;
	RB_INIT(&t->tree);
	TAILQ_INIT(&t->use);
	TAILQ_INIT(&t->busy);
}

static void
drop(struct flights *t, struct flight *w)
{
	RB_REMOVE(flight_tree, &t->tree, w);
	TAILQ_REMOVE(&t->use, w, by_use);
	if (w->is_listed)
		TAILQ_REMOVE(&t->busy, w, entry);
	t->count--;
	free(w);
}

void
flights_clear(struct flights *t)
{
	struct flight *w;

	while ((w = TAILQ_FIRST(&t->use)) != NULL)
		drop(t, w);
}

struct flight *
flight_find(struct flights *t, const char *domain)
{
	struct flight key;

	if (strlcpy(key.domain, domain, sizeof(key.domain)) >=
	    sizeof(key.domain))
		return NULL;
	return RB_FIND(flight_tree, &t->tree, &key);
}

/* Make room by forgetting the failure that is remembered for longest. */
static void
drop_idle(struct flights *t)
{
	struct flight *w;

	TAILQ_FOREACH(w, &t->use, by_use)
		if (w->state == FLIGHT_IDLE && !w->is_listed) {
			drop(t, w);
			return;
		}
}

static void
touch(struct flights *t, struct flight *w)
{
	TAILQ_REMOVE(&t->use, w, by_use);
	TAILQ_INSERT_TAIL(&t->use, w, by_use);
}

struct flight *
flight_put(struct flights *t, const char *domain)
{
	struct flight *w = flight_find(t, domain);

	if (w != NULL) {
		touch(t, w);
		return w;
	}
	if (t->count >= FLIGHT_MAX)
		drop_idle(t);
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	strlcpy(w->domain, domain, sizeof(w->domain));
	RB_INSERT(flight_tree, &t->tree, w);
	TAILQ_INSERT_TAIL(&t->use, w, by_use);
	t->count++;
	return w;
}

/* Where the flight's id is barred, or "none". */
static size_t
find_bar(const struct flight *w, size_t none)
{
	size_t i;

	for (i = 0; i < FLIGHT_BARS; i++)
		if (w->bars[i].at != 0 && strcmp(w->bars[i].id, w->id) == 0)
			return i;
	return none;
}

void
flight_bar(struct flight *w, time_t now)
{
	memmove(&w->bars[1], &w->bars[0],
	    find_bar(w, FLIGHT_BARS - 1) * sizeof(w->bars[0]));
	strlcpy(w->bars[0].id, w->id, sizeof(w->bars[0].id));
	w->bars[0].at = now;
}

time_t
flight_barred(const struct flight *w)
{
	size_t i = find_bar(w, FLIGHT_BARS);

	return i == FLIGHT_BARS ? 0 : w->bars[i].at;
}

static void
list(struct flights *t, struct flight *w)
{
	if (w->is_listed)
		return;
	w->is_listed = true;
	TAILQ_INSERT_TAIL(&t->busy, w, entry);
}

void
flight_todo(struct flights *t, struct flight *w, unsigned what)
{
	w->todo |= what;
	list(t, w);
}

void
flight_note(struct flights *t, struct flight *w, unsigned what)
{
	w->notes |= 1U << what;
	list(t, w);
}

struct flight *
flight_busy(struct flights *t)
{
	return TAILQ_FIRST(&t->busy);
}

void
flight_rest(struct flights *t, struct flight *w)
{
	TAILQ_REMOVE(&t->busy, w, entry);
	w->is_listed = false;
}
