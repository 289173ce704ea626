#include "queue/limit.h"

#include <string.h>

void
limit_init(struct limit *limit, const struct limit_conf *conf)
{
	memset(limit, 0, sizeof *limit);
	limit->window = LIMIT_FIRST;
	limit_change(limit, conf);
}

void
limit_change(struct limit *limit, const struct limit_conf *conf)
{
	limit->conf = *conf;
	if (limit->conf.connections < 1)
		limit->conf.connections = 1;
	if (limit->window > limit->conf.connections)
		limit->window = limit->conf.connections;
	if (limit->conf.rate == 0 || limit->conf.rate_ms <= 0)
		limit->conf.rate_ms = 0;
}

unsigned
limit_width(const struct limit *limit)
{
	return limit->failures > 0 ? 1 : limit->window;
}

/* Jobs that may be under way: a dead destination is probed by one. */
static unsigned
jobs_allowed(const struct limit *limit)
{
	if (limit->failures > 0)
		return 1;
	if (!limit->proven)
		return limit->window;
	return limit->window * LIMIT_PER_SESSION;
}

/* Did it end in the period that ends now? */
static bool
is_recent(const struct limit *limit, const struct limit_batch *b,
    int64_t now_ms)
{
	return b->count > 0 && b->last_ms + limit->conf.rate_ms > now_ms;
}

/* When the rate lets one more go. */
static int64_t
rate_next(const struct limit *limit, int64_t now_ms)
{
	uint64_t spent = limit->busy;
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < LIMIT_BATCHES; i++) {
		const struct limit_batch *b = &limit->recent[i];

		if (!is_recent(limit, b, now_ms))
			continue;
		spent += b->count;
		if (b->last_ms + limit->conf.rate_ms < next)
			next = b->last_ms + limit->conf.rate_ms;
	}
	return spent < limit->conf.rate ? 0 : next;
}

int64_t
limit_next(const struct limit *limit, int64_t now_ms)
{
	if (limit->busy >= jobs_allowed(limit))
		return INT64_MAX;
	if (limit->down_until_ms > now_ms)
		return limit->down_until_ms;
	return limit->conf.rate_ms == 0 ? 0 : rate_next(limit, now_ms);
}

void
limit_begin(struct limit *limit)
{
	limit->busy++;
}

void
limit_end(struct limit *limit, int64_t now_ms)
{
	struct limit_batch *b = &limit->recent[limit->newest];

	if (limit->busy > 0)
		limit->busy--;
	if (limit->conf.rate_ms == 0)
		return;
	if (!is_recent(limit, b, now_ms) ||
	    now_ms - b->first_ms >= limit->conf.rate_ms / (LIMIT_BATCHES - 1)) {
		limit->newest = (limit->newest + 1) % LIMIT_BATCHES;
		b = &limit->recent[limit->newest];
		b->first_ms = now_ms;
		b->count = 0;
	}
	if (now_ms > b->last_ms)
		b->last_ms = now_ms;
	b->count++;
}

int64_t
limit_remembers(const struct limit *limit)
{
	const struct limit_batch *b = &limit->recent[limit->newest];

	if (limit->conf.rate_ms == 0 || b->count == 0)
		return 0;
	return b->last_ms + limit->conf.rate_ms;
}

void
limit_worked(struct limit *limit)
{
	limit->proven = true;
	limit->failures = 0;
	limit->down_until_ms = 0;
	if (limit->window >= limit->conf.connections)
		return;
	/* Doubles while every session has had its success. */
	if (++limit->grown >= LIMIT_PER_SESSION) {
		limit->window++;
		limit->grown = 0;
	}
}

bool
limit_failed(struct limit *limit, int64_t began_ms, int64_t now_ms,
    int64_t until_ms)
{
	if (began_ms <= limit->failed_ms)
		return false;
	limit->proven = false;
	limit->failures++;
	limit->failed_ms = now_ms;
	limit->down_until_ms = until_ms;
	limit->window = limit->window / 2;
	if (limit->window < 1)
		limit->window = 1;
	limit->grown = 0;
	return true;
}

void
limit_set_back(struct limit *limit, int64_t now_ms, int64_t until_ms)
{
	if (limit->failed_ms > now_ms)
		limit->failed_ms = now_ms;
	if (limit->down_until_ms > until_ms)
		limit->down_until_ms = until_ms;
	for (size_t i = 0; i < LIMIT_BATCHES; i++) {
		struct limit_batch *b = &limit->recent[i];

		if (b->first_ms > now_ms)
			b->first_ms = now_ms;
		if (b->last_ms > now_ms)
			b->last_ms = now_ms;
	}
}

void
limit_forgive(struct limit *limit)
{
	limit->failures = 0;
	limit->down_until_ms = 0;
	if (limit->window < LIMIT_FIRST)
		limit->window = LIMIT_FIRST < limit->conf.connections
		    ? LIMIT_FIRST
		    : limit->conf.connections;
}
