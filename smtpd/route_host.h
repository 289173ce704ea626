/*
 * The parts of a route that are values only: hosts out of MX answers, what
 * look-ups say of each. For route.c and its tests.
 */

#ifndef SMTPD_ROUTE_HOST_H
#define SMTPD_ROUTE_HOST_H

#include "smtpd/route.h"

#define ROUTE_SELF_MAX 128 /* our own addresses */

/* Free what they hold; all zero afterwards. */
void route_clear(struct route *);
void route_host_clear(struct route_host *);

/* Is it a null MX (RFC 7505 3): one record, whose host is the root? */
bool route_is_null_mx(const struct dns_answer *);

/*
 * Make hosts of an MX answer: by preference, equal ones shuffled, a name
 * that stands twice once, at most ROUTE_HOSTS_MAX.
 */
void route_take_mx(struct route *, const struct dns_answer *, uint16_t port);

/* The host's addresses, or why there are none. */
void route_host_found(struct route_host *, const struct host_addrs *);
void route_host_fail(struct route_host *, enum reason, const char *detail);

/* What its TLSA records amount to; usable ones are copied. */
void route_host_tlsa(struct route_host *, const struct dns_answer *);
/* Give a host that has none a copy of these records, at most DANE_RECORDS_MAX. */
void route_host_copy_tlsa(struct route_host *, const struct tls_tlsa *,
    size_t count);

/* It matches no pattern: "detail", still empty, is to name those there are. */
void route_host_mismatch(struct route_host *, const struct sts_policy *);

#endif
