#include "mtasts/refresh.h"

#define UNUSED_LIVES 20
#define UNUSED_MAX_S 15552000 /* 180 days */

/*
 * A number below "range" that differs from domain to domain and from fetch
 * to fetch: FNV-1a, as nothing secret hangs on it.
 */
static time_t
jitter(const struct cache_entry *e, uint32_t seed, time_t range)
{
	uint32_t hash = seed ^ 2166136261u ^ (uint32_t)e->fetched;
	const char *p;

	for (p = e->domain; *p != '\0'; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619u;
	return range <= 0 ? 0 : (time_t)(hash % (uint32_t)range);
}

void
refresh_schedule(struct cache_entry *e, uint32_t seed)
{
	time_t wait = (time_t)e->policy.max_age_s / 2;

	if (wait > REFRESH_MAX_S)
		wait = REFRESH_MAX_S;
	if (wait == 0)
		wait = 1; /* never at once: that would go round and round */
	e->failures = 0;
	e->refresh = e->fetched + wait - jitter(e, seed, wait / 5 + 1);
}

void
refresh_put_off(struct cache_entry *e, uint32_t seed, time_t now)
{
	time_t wait = REFRESH_RETRY_S;

	wait <<= e->failures < 7 ? e->failures : 7;
	if (wait > REFRESH_RETRY_MAX_S)
		wait = REFRESH_RETRY_MAX_S;
	e->failures++;
	e->refresh = now + wait + jitter(e, seed, wait / 10);
}

/* Nobody asked for it for many of its lives: let it run out. */
bool
refresh_is_idle(const struct cache_entry *e, time_t now)
{
	time_t limit = (time_t)e->policy.max_age_s * UNUSED_LIVES;

	if (limit > UNUSED_MAX_S)
		limit = UNUSED_MAX_S;
	return now > e->used && now - e->used > limit;
}
