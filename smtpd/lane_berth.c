/*
 * Sessions of lanes: when another may begin, how long one without work stays
 * open, and which one another lane may take over.
 *
 * The last is for bursts of mail to the domains of a provider, all by the same
 * hosts: a connection that has just become free serves the next domain as
 * well, if all that the verdict rests on is the very same for both. The
 * verdict is asked anew for the lane that takes it. What has been free for
 * longer stays its own lane's.
 */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "smtpd/base/log.h"
#include "smtpd/lane_part.h"

#define IDLE_MS 3000          /* a session without work is kept open for */
#define IDLE_SHORT_MS 300     /* or so long, while many are */
#define IDLE_MANY 64          /* of this process */
#define CONNECT_MS 5000       /* patience while other addresses are left */
#define CONNECT_LAST_MS 30000 /* and for the last one */
#define BEGIN_MAX 16          /* sessions that a process begins in a turn */

/* By key; under one, the newest first. */
static int
compare(struct berth *a, struct berth *b)
{
	int by_key = memcmp(a->key, b->key, sizeof(a->key));

	if (by_key != 0)
		return by_key;
	return (a->number < b->number) - (a->number > b->number);
}

/* RB_GENERATE_STATIC() of libbsd 0.11 needs an __unused that it lacks. */
RB_GENERATE_INTERNAL(berth_tree, berth, spare_entry, compare,
    static __attribute__((unused)))

/* ---- when one may begin ---- */

static void
kick_waiting(struct lane_pool *pool)
{
	struct lane *lane = TAILQ_FIRST(&pool->waiting);

	if (lane == NULL)
		return;
	TAILQ_REMOVE(&pool->waiting, lane, waiting_entry);
	lane->waiting = false;
	lane_soon(lane);
}

static bool
has_berths(const struct lane_pool *pool)
{
	return pool->sessions < pool->options.sessions_max;
}

static void kick_soon(struct lane_pool *);

/*
 * A thousand sessions begun at once would all get on at the same slow pace:
 * a few at a time, and the first are through before the last begin.
 */
static void
begin_more(void *arg)
{
	struct lane_pool *pool = arg;
	int i;

	pool->begun = 0;
	for (i = 0; i < BEGIN_MAX; i++)
		kick_waiting(pool);
	/* Those may need none any more: then it is the next ones' turn. */
	if (has_berths(pool))
		kick_soon(pool);
}

static void
kick_soon(struct lane_pool *pool)
{
	if (!TAILQ_EMPTY(&pool->waiting))
		ev_soon(pool->options.setup->ev, &pool->turn, begin_more, pool);
}

/* False: the lane is called when it may begin one. */
static bool
may_begin(struct lane *lane)
{
	struct lane_pool *pool = lane->pool;

	if (has_berths(pool) && pool->begun < BEGIN_MAX) {
		if (pool->begun++ == 0)
			ev_soon(pool->options.setup->ev, &pool->turn,
			    begin_more, pool);
		return true;
	}
	if (!lane->waiting)
		TAILQ_INSERT_TAIL(&pool->waiting, lane, waiting_entry);
	lane->waiting = true;
	return false;
}

/* ---- without work ---- */

void
lane_berth_served(struct berth *b, bool taken)
{
	b->served++;
	b->takes_mail = taken;
	b->free_since_ms = lane_now(b->lane);
	b->number = ++b->lane->pool->last_number;
	if (taken)
		b->is_guest = false;
}

/* May another lane take it over? It took its last message, by TLS with a
 * certificate that is still valid, and nobody has logged in. */
static bool
is_spare(const struct berth *b)
{
	const struct session_report *r = session_report(b->session);

	return b->has_key && b->takes_mail && !b->lane->has_auth &&
	    r->tls_done && r->tls.not_after >= time(NULL);
}

void
lane_berth_rest(struct berth *b)
{
	struct lane_pool *pool = b->lane->pool;

	if (!b->is_idle) {
		pool->idle_count++;
		b->is_spare = is_spare(b);
		if (b->is_spare)
			RB_INSERT(berth_tree, &pool->spare, b);
	}
	b->is_idle = true;
	/* Each takes some 50 KiB. */
	ev_timer_set(pool->options.setup->ev, &b->idle,
	    lane_now(b->lane) +
		(pool->idle_count > IDLE_MANY ? IDLE_SHORT_MS : IDLE_MS));
}

void
lane_berth_wake(struct berth *b)
{
	struct lane_pool *pool = b->lane->pool;

	if (b->is_idle)
		pool->idle_count--;
	if (b->is_spare)
		RB_REMOVE(berth_tree, &pool->spare, b);
	b->is_idle = b->is_spare = false;
	ev_timer_del(pool->options.setup->ev, &b->idle);
}

static void
on_idle(void *arg)
{
	lane_berth_close(arg);
}

/* ---- from the beginning to the end ---- */

static void
set_target(struct berth *b)
{
	const struct lane *lane = b->lane;
	const struct lane_route *route = b->plan->route;
	const struct candidate *c = &b->plan->candidate[b->at];
	struct session_target *t = &b->target;

	t->name = c->host->name;
	t->addr = *c->addr;
	t->via = c->host->origin == MX_VIA;
	t->implicit_tls = lane->implicit_tls;
	t->facts.level = lane->level;
	t->facts.mode = route->mode;
	t->facts.policy_trouble = route->reason;
	t->facts.mx_matches = c->host->matches;
	t->facts.dane = c->host->dane;
	t->facts.origin = c->host->origin;
	t->host_words = c->host->detail;
	t->policy_words = route->detail;
	t->tlsa = c->host->tlsa;
	t->tlsa_count = c->host->tlsa_count;
	t->tlsa_base = c->host->tlsa_base;
	t->also[0] = route->next_hop;
	t->also[1] = route->expanded;
	t->auth = lane->has_auth ? &lane->auth : NULL;
	t->connect_ms = lane_next(b->plan, b->at + 1) < b->plan->candidate_count
	    ? CONNECT_MS
	    : CONNECT_LAST_MS;
	t->tag = b->tag;
}

/* It is the lane's, for a candidate of the plan in use. */
static void
moor(struct berth *b, struct lane *lane, size_t at)
{
	b->lane = lane;
	b->plan = lane->plan;
	b->plan->refs++;
	b->at = at;
	(void)snprintf(b->tag, sizeof(b->tag), "%.48s#%u", lane->destination,
	    ++lane->serial);
	set_target(b);
	TAILQ_INSERT_TAIL(&lane->berths, b, entry);
	lane->berth_count++;
}

/* It is the lane's no more; the plan is still held. */
static void
cast_off(struct berth *b)
{
	struct lane *lane = b->lane;

	lane_berth_wake(b);
	TAILQ_REMOVE(&lane->berths, b, entry);
	if (--lane->berth_count == 0)
		lane->cap = UINT_MAX;
}

bool
lane_berth_open(struct lane *lane, size_t at, session_cb *cb)
{
	struct lane_pool *pool = lane->pool;
	struct berth *b;

	if (!may_begin(lane))
		return false;
	b = xcalloc(1, sizeof(*b));
	ev_timer_init(&b->idle, on_idle, b);
	moor(b, lane, at);
	b->has_key = lane_key(b->key, lane, b->plan, at);
	b->resume = lane_resume_take(b);
	b->target.resume = b->resume;
	pool->sessions++;
	lane_pace_begin(b);
	b->session = session_new(pool->options.setup, &b->target, cb, b);
	return true;
}

void
lane_berth_leave(struct berth *b)
{
	struct lane *lane = b->lane;

	cast_off(b);
	lane->pool->sessions--;
	kick_soon(lane->pool);
	tls_session_free(b->resume);
	lane_plan_release(b->plan);
	free(b);
	lane_soon(lane);
}

void
lane_berth_close(struct berth *b)
{
	session_release(b->session);
	lane_berth_leave(b);
}

/* ---- from lane to lane ---- */

static struct berth *
find_spare(struct lane *lane, size_t at)
{
	struct lane_pool *pool = lane->pool;
	struct berth want = { .number = UINT64_MAX }, *b;

	if (lane->has_auth || !lane_key(want.key, lane, lane->plan, at))
		return NULL;
	b = RB_NFIND(berth_tree, &pool->spare, &want);
	if (b == NULL || memcmp(b->key, want.key, sizeof(b->key)) != 0)
		return NULL;
	if (lane_now(lane) - b->free_since_ms > pool->options.spare_ms)
		return NULL;
	return b;
}

struct berth *
lane_berth_take_over(struct lane *lane, size_t at)
{
	struct berth *b = find_spare(lane, at);
	struct lane_plan *before;
	bool go;

	if (b == NULL)
		return NULL;
	before = b->plan;
	lane->open_us = b->lane->open_us;
	cast_off(b);
	moor(b, lane, at);
	go = session_hand_over(b->session, &b->target);
	lane_plan_release(before);
	if (!go) {
		lane_berth_close(b);
		return NULL;
	}
	b->is_guest = true;
	lane_berth_rest(b);
	return b;
}
