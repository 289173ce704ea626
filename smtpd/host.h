/*
 * The addresses of a host: A and AAAA asked at once, put into one order.
 */

#ifndef SMTPD_HOST_H
#define SMTPD_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "smtpd/dns.h"
#include "smtpd/netaddr.h"

#define HOST_ADDRS_MAX 16

/* Which private addresses may be contacted; borrowed. */
struct host_allow {
	const struct netaddr_net *net;
	size_t count;
	bool all; /* a `via` host: the administrator's word */
};

struct host_addrs {
	enum dns_status status; /* DNS_OK: there are addresses */
	const char *why;        /* of DNS_FAILED and DNS_TIMEOUT */
	/* IPv6 and IPv4 in turn, IPv6 first; ports are 0; private ones that
	 * are not allowed have been left out. */
	struct sockaddr_storage addr[HOST_ADDRS_MAX];
	size_t count;
	size_t refused;                  /* private addresses left out */
	struct sockaddr_storage private; /* the first of them */
	bool secure; /* everything found was authenticated */
	unsigned cnames;
	char name[DNS_NAME_SIZE]; /* where CNAMEs led; else the name asked */
	uint32_t ttl_s;
};

typedef void host_cb(void *arg, const struct host_addrs *);

/*
 * Ask for both kinds of addresses of "name". "cb" is called once, never
 * before this returns; its argument is borrowed for the call. "allow" is
 * borrowed until then.
 */
void host_ask(struct dns *, const char *name, const struct host_allow *,
    host_cb *cb, void *arg);

#define HOST_WORDS_SIZE (2 * NETADDR_TEXT_SIZE + 80)

/* "has only private addresses, such as ...", and what would permit it. */
void host_tell_private(const struct host_addrs *, char words[HOST_WORDS_SIZE]);

#endif
