#include "mtasts/discover.h"

#include <stdlib.h>
#include <string.h>

#include "mtasts/flight.h"
#include "mtasts/refresh.h"

#define CLOCK_SLACK_S 3600 /* a clock this far back is reported */
#define GRACE_S 604800     /* expired files are kept: clocks jump */
#define TICK_REFRESHES 100 /* begun in one look: mail's own fetches wait too */

struct discover {
	struct cache *cache;
	uint32_t seed;
	struct flights flights;
};

struct discover *
discover_new(struct cache *cache, uint32_t seed)
{
	struct discover *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->cache = cache;
	d->seed = seed;
	flights_init(&d->flights);
	return d;
}

void
discover_free(struct discover *d)
{
	if (d == NULL)
		return;
	flights_clear(&d->flights);
	free(d);
}

static time_t
expires(const struct cache_entry *e)
{
	return e->fetched + (time_t)e->policy.max_age_s;
}

/* Is there a policy, and does it still live (RFC 8461 3.2, 3.3)? */
static bool
is_alive(const struct cache_entry *e, time_t now)
{
	return e != NULL && !e->damaged && e->fetched != 0 && now < expires(e);
}

/* An entry that was read from disk has no time of refresh yet. */
static void
schedule(const struct discover *d, struct cache_entry *e)
{
	if (e != NULL && !e->damaged && e->fetched != 0 && e->refresh == 0)
		refresh_schedule(e, d->seed);
}

/* The clock was set back: what was fetched "later" is still good. */
static void
check_clock(struct discover *d, struct flight *w, time_t now)
{
	struct cache_entry *e = cache_find(d->cache, w->domain);

	if (e == NULL || e->damaged || now >= e->fetched - CLOCK_SLACK_S)
		return;
	/* Fetch anew now, and again only when that fails or succeeds. */
	if (e->refresh > now) {
		e->refresh = now;
		flight_note(&d->flights, w, NOTE_CLOCK);
	}
}

static bool
is_recent(time_t then, time_t now)
{
	return then != 0 && then <= now && now - then < DISCOVER_RETRY_S;
}

static void
begin(struct discover *d, struct flight *w)
{
	w->state = FLIGHT_TXT;
	w->was_fetched = false;
	w->trouble = REASON_NONE;
	w->detail[0] = '\0';
	flight_todo(&d->flights, w, TODO_TXT);
}

/* A fetch is forced only where a policy lives: else TXT must announce one first
 * (RFC 8461 3.1). */
static void
add_why(struct discover *d, struct flight *w, enum discover_why why, time_t now)
{
	const struct cache_entry *e = cache_find(d->cache, w->domain);

	switch (why) {
	case ASK_DELIVERY:
		break;
	case ASK_FAILED:
		w->is_fresh = true;
		w->is_patient = true;
		/* A failure may prompt a fetch, but not two in 5 minutes. */
		if (is_alive(e, now) && !is_recent(w->prompted, now)) {
			w->is_forced = true;
			w->prompted = now;
		}
		break;
	case ASK_REFRESH:
		w->is_fresh = true;
		w->is_patient = true;
		w->is_urgent = true;
		if (is_alive(e, now))
			w->is_forced = true;
		break;
	}
}

int
discover_ask(struct discover *d, const char *domain, enum discover_why why,
    time_t now)
{
	struct flight *w = flight_put(&d->flights, domain);
	struct cache_entry *e = cache_find(d->cache, domain);

	if (w == NULL)
		return -1;
	schedule(d, e);
	if (e != NULL)
		cache_use(d->cache, e, now);
	check_clock(d, w, now);
	w->is_awaited = true;
	add_why(d, w, why, now);
	if (e != NULL && e->damaged && !w->was_damaged) {
		w->was_damaged = true;
		w->is_forced = true;
		flight_note(&d->flights, w, NOTE_DAMAGED);
	}
	if (w->state == FLIGHT_IDLE)
		begin(d, w);
	return 0;
}

/* The flight is over; tell those who wait. */
static void
land(struct discover *d, struct flight *w)
{
	w->state = FLIGHT_IDLE;
	w->is_patient = false;
	w->is_fresh = false;
	w->is_forced = false;
	w->is_urgent = false;
	if (w->is_awaited)
		flight_todo(&d->flights, w, TODO_ANSWER);
}

static void
land_with(struct discover *d, struct flight *w, enum reason trouble,
    const char *detail)
{
	w->trouble = trouble;
	strlcpy(w->detail, detail, sizeof(w->detail));
	land(d, w);
}

/* RFC 8461 3.3: five minutes for each id after a failure. */
static bool
is_barred(const struct flight *w, time_t now)
{
	return !w->is_urgent && is_recent(flight_barred(w), now);
}

static void
fetch_or_land(struct discover *d, struct flight *w, time_t now)
{
	if (is_barred(w, now)) {
		land_with(d, w, w->fail, w->fail_detail);
		return;
	}
	w->state = FLIGHT_FETCH;
	flight_todo(&d->flights, w, TODO_FETCH);
}

void
discover_txt(struct discover *d, const char *domain, enum discover_txt status,
    const char *text, time_t now)
{
	struct flight *w = flight_find(&d->flights, domain);
	const struct cache_entry *e = cache_find(d->cache, domain);

	if (w == NULL || w->state != FLIGHT_TXT)
		return;
	if (status == TXT_FOUND)
		strlcpy(w->id, text, sizeof(w->id));
	else
		strlcpy(w->id, e != NULL ? e->id : "", sizeof(w->id));
	switch (status) {
	case TXT_FOUND:
		if (w->is_forced || !is_alive(e, now) ||
		    strcmp(e->id, text) != 0)
			fetch_or_land(d, w, now);
		else
			land(d, w);
		return;
	case TXT_NONE:
	case TXT_TROUBLE:
		break;
	}
	/* RFC 8461 10.2: who suppresses TXT must not stop a refresh. */
	if (w->is_forced && e != NULL)
		fetch_or_land(d, w, now);
	else if (status == TXT_TROUBLE)
		land_with(d, w, REASON_DNS_ERROR, text);
	else
		land(d, w);
}

void
discover_slow(struct discover *d, const char *domain, time_t now)
{
	struct flight *w = flight_find(&d->flights, domain);

	if (w != NULL && w->state != FLIGHT_IDLE && w->is_awaited &&
	    !w->is_patient && is_alive(cache_find(d->cache, domain), now))
		flight_todo(&d->flights, w, TODO_ANSWER);
}

/* Put the new policy in the place of the old one. */
static int
replace(struct discover *d, struct flight *w, struct sts_policy *policy,
    time_t now)
{
	struct cache_entry *e = cache_put(d->cache, w->domain);
	enum discover_note what = NOTE_REFRESHED;

	if (e == NULL)
		return -1;
	if (!is_alive(e, now))
		what = NOTE_NEW;
	else if (!policy_equal(&e->policy, policy))
		what = NOTE_CHANGED;
	policy_clear(&e->policy);
	e->policy = *policy;
	strlcpy(e->id, w->id, sizeof(e->id));
	e->fetched = now;
	e->damaged = false;
	e->expiry_told = false;
	if (e->used == 0)
		e->used = now;
	refresh_schedule(e, d->seed);
	cache_store(d->cache, e);
	flight_note(&d->flights, w, what);
	return 0;
}

void
discover_fetched(struct discover *d, const char *domain,
    const struct sts_body *body, time_t now)
{
	struct flight *w = flight_find(&d->flights, domain);
	struct sts_policy policy;
	const char *why;

	if (w == NULL || w->state != FLIGHT_FETCH)
		return;
	if (policy_parse(&policy, body->text, body->len, &why) == -1) {
		discover_failed(d, domain, REASON_STS_POLICY_INVALID, why, now);
		return;
	}
	memcpy(policy.sha256, body->sha256, sizeof(policy.sha256));
	if (replace(d, w, &policy, now) == -1) {
		policy_clear(&policy);
		discover_failed(d, domain, REASON_STS_POLICY_FETCH_ERROR,
		    "no memory", now);
		return;
	}
	w->fail_at = 0;
	w->was_fetched = true;
	land(d, w);
}

void
discover_failed(struct discover *d, const char *domain, enum reason reason,
    const char *detail, time_t now)
{
	struct flight *w = flight_find(&d->flights, domain);
	struct cache_entry *e = cache_find(d->cache, domain);

	if (w == NULL || w->state != FLIGHT_FETCH)
		return;
	flight_bar(w, now);
	strlcpy(w->fail_detail, detail, sizeof(w->fail_detail));
	w->fail = reason;
	w->fail_at = now;
	if (e != NULL && e->damaged && !w->was_damaged)
		cache_drop(d->cache, e); /* it has deferred once */
	else if (e != NULL)
		refresh_put_off(e, d->seed, now);
	flight_note(&d->flights, w, NOTE_REFUSED);
	land_with(d, w, reason, detail);
}

/* Begin a refresh of a living policy if it is due. Was it? */
static bool
tick_alive(struct discover *d, struct cache_entry *e, time_t now)
{
	struct flight *w;

	if (refresh_is_idle(e, now) || e->refresh > now)
		return false;
	w = flight_put(&d->flights, e->domain);
	if (w == NULL || w->state != FLIGHT_IDLE)
		return false;
	w->is_fresh = true;
	w->is_forced = true;
	refresh_put_off(e, d->seed, now); /* until the outcome is known */
	e->failures--;
	begin(d, w);
	return true;
}

/* When does a living policy want to be looked at again? */
static time_t
wakes(const struct cache_entry *e, time_t now)
{
	if (refresh_is_idle(e, now) || e->refresh > expires(e))
		return expires(e);
	return e->refresh;
}

static void
tick_dead(struct discover *d, struct cache_entry *e, time_t now)
{
	struct flight *w;

	if (!e->expiry_told) {
		e->expiry_told = true;
		w = flight_put(&d->flights, e->domain);
		if (w != NULL)
			flight_note(&d->flights, w, NOTE_EXPIRED);
	}
	if (now - expires(e) > GRACE_S)
		cache_drop(d->cache, e);
}

time_t
discover_tick(struct discover *d, time_t now)
{
	struct cache_entry *e, *next;
	time_t soonest = now + 3600, at;
	unsigned left = TICK_REFRESHES;

	for (e = cache_first(d->cache); e != NULL; e = next) {
		next = cache_next(e);
		if (e->damaged || e->fetched == 0)
			continue;
		if (!is_alive(e, now)) {
			tick_dead(d, e, now);
			continue;
		}
		schedule(d, e);
		if (left > 0 && tick_alive(d, e, now))
			left--;
		at = wakes(e, now);
		if (at < soonest)
			soonest = at;
	}
	return soonest > now ? soonest : now + 1;
}

static void
answer_with(const struct cache_entry *e, bool fetched,
    struct discover_answer *a)
{
	a->mode = e->policy.mode;
	a->source = fetched ? SOURCE_FETCHED : SOURCE_CACHE;
	a->policy = &e->policy;
	a->id = e->id;
	a->fetched = e->fetched;
	a->expires = expires(e);
	a->refresh = e->refresh;
}

static void
compose(struct discover *d, const struct flight *w, struct discover_answer *a,
    time_t now)
{
	const struct cache_entry *e;

	memset(a, 0, sizeof(*a));
	a->id = "";
	a->detail = "";
	if (w == NULL)
		return;
	e = cache_find(d->cache, w->domain);
	a->trouble = w->trouble;
	a->detail = w->detail;
	/* A max_age of 0 serves the flight that fetched it (3.2). */
	if (is_alive(e, now) || (e != NULL && w->was_fetched))
		answer_with(e, w->was_fetched, a);
	/* Go on telling that the copy could not be renewed lately. */
	if (a->policy != NULL && a->trouble == REASON_NONE && w->fail_at != 0) {
		a->trouble = w->fail;
		a->detail = w->fail_detail;
	}
}

void
discover_peek(struct discover *d, const char *domain, struct discover_answer *a,
    time_t now)
{
	struct cache_entry *e = cache_find(d->cache, domain);
	const struct flight *w = flight_find(&d->flights, domain);

	schedule(d, e);
	compose(d, NULL, a, now);
	if (w != NULL && w->fail_at != 0) {
		a->trouble = w->fail;
		a->detail = w->fail_detail;
	}
	if (is_alive(e, now))
		answer_with(e, false, a);
}

/* The answer where our copy was damaged: wait, this once. */
static void
compose_damaged(struct discover *d, struct flight *w, struct discover_answer *a)
{
	struct cache_entry *e = cache_find(d->cache, w->domain);

	compose(d, NULL, a, 0);
	a->mode = POLICY_UNKNOWN;
	a->trouble = REASON_STS_POLICY_FETCH_ERROR;
	a->detail = "our copy of the domain's policy was damaged; it is"
		    " fetched anew";
	w->was_damaged = false;
	if (e != NULL && e->damaged)
		cache_drop(d->cache, e);
}

static void
take_note(struct discover *d, struct flight *w, struct discover_action *action,
    time_t now)
{
	unsigned i;

	for (i = 0; (w->notes & 1U << i) == 0; i++)
		;
	w->notes &= ~(1U << i);
	action->kind = DISCOVER_NOTE;
	action->note = (enum discover_note)i;
	compose(d, w, &action->answer, now);
}

static void
take_todo(struct discover *d, struct flight *w, struct discover_action *action,
    time_t now)
{
	if (w->todo & TODO_ANSWER) {
		w->todo &= ~TODO_ANSWER;
		action->kind = DISCOVER_ANSWER;
		w->is_awaited = false;
		if (w->was_damaged)
			compose_damaged(d, w, &action->answer);
		else
			compose(d, w, &action->answer, now);
	} else if (w->todo & TODO_TXT) {
		w->todo &= ~TODO_TXT;
		action->kind = DISCOVER_TXT;
		action->fresh = w->is_fresh;
	} else {
		w->todo &= ~TODO_FETCH;
		action->kind = DISCOVER_FETCH;
	}
}

bool
discover_next(struct discover *d, struct discover_action *action, time_t now)
{
	struct flight *w = flight_busy(&d->flights);

	if (w == NULL)
		return false;
	memset(action, 0, sizeof(*action));
	strlcpy(action->domain, w->domain, sizeof(action->domain));
	if (w->notes != 0)
		take_note(d, w, action, now);
	else
		take_todo(d, w, action, now);
	if (w->notes == 0 && w->todo == 0)
		flight_rest(&d->flights, w);
	return true;
}

bool
discover_forget(struct discover *d, const char *domain)
{
	struct cache_entry *e = cache_find(d->cache, domain);
	struct flight *w = flight_find(&d->flights, domain);

	if (w != NULL) {
		w->fail_at = 0;
		memset(w->bars, 0, sizeof(w->bars));
	}
	if (e == NULL)
		return false;
	cache_drop(d->cache, e);
	return true;
}

const char *
source_word(enum discover_source source)
{
	static const char *const words[] = {
		[SOURCE_NONE] = "none",
		[SOURCE_CACHE] = "cache",
		[SOURCE_FETCHED] = "fetched",
	};

	return words[source];
}

const char *
note_word(enum discover_note what)
{
	static const char *const words[NOTE_COUNT] = {
		[NOTE_NEW] = "new",
		[NOTE_CHANGED] = "changed",
		[NOTE_REFRESHED] = "refreshed",
		[NOTE_REFUSED] = "refused",
		[NOTE_EXPIRED] = "expired",
		[NOTE_DAMAGED] = "damaged",
		[NOTE_CLOCK] = "clock",
	};

	return words[what];
}
