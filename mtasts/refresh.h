/*
 * When a policy held is fetched again, unasked (RFC 8461 3.3, 10.2). Pure.
 */

#ifndef MTASTS_REFRESH_H
#define MTASTS_REFRESH_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "mtasts/cache.h"

#define REFRESH_MAX_S 86400 /* daily, RFC 8461 10.2 */
#define REFRESH_RETRY_S 300 /* after a failure, RFC 8461 3.3; doubling */
#define REFRESH_RETRY_MAX_S 21600

/*
 * After a success: at half its life or after a day, whichever is sooner,
 * less some jitter, but not within a second. Sets entry->refresh. seed: makes
 * relays differ.
 */
void refresh_schedule(struct cache_entry *, uint32_t seed);

/* After a failure. Sets entry->refresh and counts it. */
void refresh_put_off(struct cache_entry *, uint32_t seed, time_t now);

/* Has nobody asked for it for so long that it may run out? */
bool refresh_is_idle(const struct cache_entry *, time_t now);

#endif
