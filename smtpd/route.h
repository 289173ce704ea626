/*
 * How a destination is reached: its policy, its hosts in order, and what
 * each must show. Used by the policy process and, without a daemon, by
 * `sealpost check`.
 *
 * RFC 5321 5.1, RFC 7505, RFC 8461 3 and 4.1, RFC 7672 2.2.
 */

#ifndef SMTPD_ROUTE_H
#define SMTPD_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mtasts/flight.h"
#include "mtasts/reason.h"
#include "mtasts/verdict.h"
#include "smtpd/base/ev.h"
#include "smtpd/dane.h"
#include "smtpd/dns.h"
#include "smtpd/host.h"
#include "smtpd/msg.h"
#include "smtpd/sts.h"

#define ROUTE_HOSTS_MAX 20 /* looked up of one destination */
#define ROUTE_DETAIL_SIZE 512

/* One host, to be tried in the order of the array. */
struct route_host {
	char name[DNS_NAME_SIZE]; /* as MX, `via` or the domain names it */
	uint16_t preference;
	uint16_t port;
	bool matches; /* a pattern of the policy, if there is one */
	enum dane_state dane;
	enum mx_origin origin;
	enum reason error; /* why it has no address; else REASON_NONE */
	/* Of that; else of DANE_FAILED; else, where it does not match, the
	 * patterns of the policy. */
	char detail[ROUTE_DETAIL_SIZE];
	struct sockaddr_storage addr[ROUTE_ADDRS_MAX]; /* with port */
	size_t addr_count;
	struct tls_tlsa tlsa[DANE_RECORDS_MAX]; /* usable ones */
	size_t tlsa_count;
	uint8_t *tlsa_data; /* where their data lies; owned */
	/* Where secure CNAMEs led, if the records stand there (RFC 7672
	 * 2.2.3); else "". */
	char tlsa_base[DNS_NAME_SIZE];
};

struct route {
	enum route_status status;
	enum reason reason; /* of ROUTE_DEFER and ROUTE_BOUNCE */
	char detail[ROUTE_DETAIL_SIZE];
	char domain[DNS_NAME_SIZE];        /* the destination, without port */
	char policy_domain[DNS_NAME_SIZE]; /* "" where there can be none */
	/* The policy; "policy" of it is a copy, owned; id and detail are
	 * copied below. */
	enum policy_mode mode;
	enum discover_source source;
	struct sts_policy policy;
	char policy_id[STS_ID_SIZE];
	time_t fetched, expires;
	enum reason policy_trouble;
	char policy_detail[FLIGHT_DETAIL_SIZE];
	/* The domain, and where CNAMEs led from it to its MX records: further
	 * names for DANE-TA (RFC 7672 3.2.2); "" where there are none. */
	char next_hop[DNS_NAME_SIZE], expanded[DNS_NAME_SIZE];
	bool mx_secure;       /* the MX answer was authenticated */
	uint32_t lifetime_ms; /* how long this may serve */
	size_t host_count;
	struct route_host *host;
};

struct router;

struct router_options {
	struct ev *ev;
	struct dns *dns;                /* borrowed */
	struct sts *sts;                /* borrowed */
	const struct host_allow *allow; /* borrowed */
};

/* Who we are, for the cut-off of routes that lead back to us. */
struct router_self {
	const char *hostname; /* borrowed for the call */
	/* Our addresses, of which port 25 is ours; borrowed for the call. */
	const struct sockaddr_storage *addr;
	size_t addr_count;
};

/* Never NULL. */
struct router *router_new(const struct router_options *);
/* Callbacks of questions under way are not called any more. */
void router_free(struct router *);
void router_set_self(struct router *, const struct router_self *);
/* Other resolvers: used from the next question on. */
void router_use_dns(struct router *, struct dns *);

/* "route" is borrowed for the call. */
typedef void router_cb(void *arg, const struct route *route);

/*
 * How may "destination" be reached: a domain (A-labels), or HOST:PORT of a
 * `via` line (an IPv6 address with or without brackets; what the queue puts
 * behind a ";" does not matter)? "cb" is called once, never before this
 * returns.
 */
void router_ask(struct router *, const char *destination, enum discover_why,
    router_cb *cb, void *arg);

#endif
