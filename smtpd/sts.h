/*
 * MTA-STS carried out: discovery's actions by DNS and HTTPS, its cache on
 * disk, its notes in the log.
 */

#ifndef SMTPD_STS_H
#define SMTPD_STS_H

#include <stdbool.h>
#include <stdint.h>

#include "mtasts/cache.h"
#include "mtasts/discover.h"
#include "smtpd/base/ev.h"
#include "smtpd/base/tls.h"
#include "smtpd/dns.h"
#include "smtpd/host.h"

struct sts;

struct sts_options {
	enum cache_kind kind;
	int dirfd;  /* of the cache; borrowed; CACHE_MEMORY: -1 */
	bool quiet; /* no log: sealpost(8) */
	const struct host_allow *allow; /* for policy hosts; borrowed */
	long fetch_s; /* for a fetch in all; 0: FETCH_TOTAL_S */
	/* Another policy has taken the place of "domain"'s, or it was
	 * forgotten; NULL: nobody wants to know. */
	void (*changed)(void *arg, const char *domain);
	void *arg;
};

/*
 * Before the process enters its cage (libcurl reads its files). The cache is
 * not read yet. NULL: libcurl cannot be set up.
 */
struct sts *sts_new(struct ev *, struct dns *, const struct sts_options *);
void sts_free(struct sts *);

/* Whose trust store policy hosts are checked against; borrowed. Until it is
 * set, every fetch fails. */
void sts_trust(struct sts *, const struct tls_ctx *);
/* Other resolvers: used from the next look-up on. */
void sts_use_dns(struct sts *, struct dns *);

/* Read the cache and begin refreshes. Damaged files are logged. */
void sts_start(struct sts *);
/* Write what is not yet written. */
void sts_stop(struct sts *);

/* "answer" is borrowed for the call. */
typedef void sts_cb(void *arg, const struct discover_answer *answer);

/* Which policy is in force for "domain" (normalized)? "cb" is called once,
 * never before this returns. */
void sts_ask(struct sts *, const char *domain, enum discover_why, sts_cb *cb,
    void *arg);

/* For how many seconds need what DNS said of "domain" not be asked again? */
uint32_t sts_txt_s(struct sts *, const char *domain);

/* Forget the domain's policy, logged; false if there was none. */
bool sts_forget(struct sts *, const char *domain);
void sts_peek(struct sts *, const char *domain, struct discover_answer *);
struct cache *sts_cache(struct sts *);

struct sts_stats {
	uint64_t fetches, fetch_errors;
	uint64_t enforce, testing, none; /* policies held, by mode */
};
void sts_stats(struct sts *, struct sts_stats *);

#endif
