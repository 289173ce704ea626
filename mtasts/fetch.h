/*
 * Fetching policy files over HTTPS (RFC 8461 3.3): the only file that knows
 * libcurl.
 *
 * It has no event loop: the caller watches descriptors and a timer for it.
 * It asks no name server: the caller gives addresses. TLS trust is set by the
 * caller's hook, and each address is judged by the caller before a socket is
 * opened to it. Nothing of the environment counts: no proxy, no .netrc, no
 * cookies, no HSTS, no alt-svc; no redirect is followed; one GET, 60 seconds,
 * 64 KiB. At most FETCH_MAX run at once, the rest wait in line.
 */

#ifndef MTASTS_FETCH_H
#define MTASTS_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "mtasts/reason.h"

#define FETCH_MAX 64       /* at once */
#define FETCH_ADDRS_MAX 16 /* addresses tried of one policy host */
#define FETCH_TOTAL_S 60   /* for all of it, RFC 8461 3.3 */
#define FETCH_PORT 443

#define FETCH_READ 1U
#define FETCH_WRITE 2U

struct fetch;

struct fetch_result {
	enum reason reason; /* REASON_NONE: there is a body; else
			       sts-policy-fetch-error, sts-webpki-invalid,
			       sts-policy-invalid or private-address */
	const char *detail; /* plain words; "" where there is a body */
	const char *body;   /* borrowed for the call */
	size_t len;
};

/* What the caller does for it. Called only from within fetch_*() calls. */
struct fetch_hooks {
	/* Watch "fd" for FETCH_READ and FETCH_WRITE from now on; 0: no more.
	 * fetch_event() when something happens. */
	void (*watch)(void *arg, int fd, unsigned events);
	/* Call fetch_timeout() in "ms"; -1: not at all. One timer. */
	void (*timer)(void *arg, long ms);
	/* May a socket be opened to this address? */
	bool (*may_connect)(void *arg, const struct sockaddr *);
	/* Set trust and name check for "host" on "ssl_ctx", an SSL_CTX *. */
	void (*trust)(void *arg, void *ssl_ctx, const char *host);
	/* A fetch has ended; it may start others. */
	void (
	    *done)(void *arg, const char *domain, const struct fetch_result *);
	void *arg;
};

/*
 * hooks    copied
 * total_s  that a fetch may take in all: FETCH_TOTAL_S, or less for tests
 * returns  NULL on no memory, or if libcurl cannot be set up. Call it before
 *          the process enters its cage: libraries read their files.
 */
struct fetch *fetch_new(const struct fetch_hooks *, long total_s);
/* Ends what is under way; no callback is called any more. */
void fetch_free(struct fetch *);

/*
 * Fetch the policy of "domain" (normalized) from one of the addresses of
 * mta-sts.DOMAIN; ports are ignored. Ends in one call of the hook done(),
 * never before this function returns. 0, or -1 on no memory.
 */
int fetch_start(struct fetch *, const char *domain,
    const struct sockaddr_storage *addrs, size_t count);

/* A watched descriptor is ready: FETCH_READ, FETCH_WRITE, or 0 for error. */
void fetch_event(struct fetch *, int fd, unsigned events);
/* The timer ran off. */
void fetch_timeout(struct fetch *);

#endif
