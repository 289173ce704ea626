/*
 * When next? Pure arithmetic on wall-clock milliseconds.
 */

#ifndef QUEUE_RETRY_H
#define QUEUE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

struct retry_conf {
	int64_t first_ms; /* delay after the first failure; at least 1 */
	int64_t max_ms;   /* it doubles up to this */
};

/*
 * The delay after "failures" failures in a row (at least 1).
 *
 * random   any 32 random bits: the delay is spread evenly from seven eighths
 *          to nine eighths of the doubled one, so that what failed together
 *          does not come back together
 */
int64_t retry_delay_ms(const struct retry_conf *, unsigned failures,
    uint32_t random);

/* When a message has waited long enough. */
int64_t retry_expires_ms(int64_t arrived_ms, int64_t expire_ms);

/*
 * When the sender is to be told that the message is late; INT64_MAX: never.
 *
 * warn_ms, warn_tls_ms   after how long; -1: never
 * tls                    TLS or policy is what holds it up
 */
int64_t retry_warns_ms(int64_t arrived_ms, int64_t warn_ms, int64_t warn_tls_ms,
    bool tls);

#endif
