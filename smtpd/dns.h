/*
 * DNS: the only door to name servers.
 *
 * Every query carries DO and AD; the AD bit of an answer is believed only
 * from a resolver on loopback or one that the administrator marked trusted
 * (RFC 6840 5.8, RFC 8461 has no opinion, RFC 7672 1.3.2). Answers are kept
 * by their TTL, at most a day, negative ones at most five minutes; failures
 * are not kept. However many ask for the same thing, one query is under way.
 */

#ifndef SMTPD_DNS_H
#define SMTPD_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "smtpd/base/ev.h"
#include "smtpd/dns_packet.h"

#define DNS_SERVERS_MAX 8

struct dns;

struct dns_server {
	struct sockaddr_storage addr; /* with port */
	bool trusted;                 /* loopback counts as trusted anyway */
};

/* "answer" is borrowed for the call. */
typedef void dns_cb(void *arg, const struct dns_answer *answer);

/*
 * Before the process enters its cage: c-ares reads its randomness.
 *
 * why      set on NULL to a constant for a log line
 */
struct dns *dns_new(struct ev *, const struct dns_server *, size_t count,
    const char **why);
/* Callbacks of queries under way are not called any more. */
void dns_free(struct dns *);
/* The same, but every question under way fails first. They must not ask here
 * again. */
void dns_retire(struct dns *);

/*
 * Ask for the records of "type" at "name" (no final dot). "cb" is called
 * once, never before this function returns; on no memory the process ends.
 */
void dns_ask(struct dns *, const char *name, enum dns_type type, dns_cb *cb,
    void *arg);
/* The same, passing over what is kept. */
void dns_ask_fresh(struct dns *, const char *name, enum dns_type type,
    dns_cb *cb, void *arg);

/* How many seconds more may the answer that is kept serve? 0: none is kept. */
uint32_t dns_kept_s(struct dns *, const char *name, enum dns_type type);

struct dns_stats {
	uint64_t queries; /* sent */
	uint64_t errors;  /* questions that got no answer */
	uint64_t secure;  /* answers with AD, believed */
	size_t kept;
};
void dns_stats(const struct dns *, struct dns_stats *);

/* May AD be believed at all: is any resolver on loopback or trusted? */
bool dns_believes(const struct dns *);

#endif
