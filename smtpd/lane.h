/*
 * A destination's mail in this process: its jobs, its route, its sessions.
 *
 * A lane asks how its destination is reached, walks the hosts and addresses
 * in order, opens up to "width" sessions, spreads the jobs over them and uses
 * each again while there is work. Every job handed in is handed back with a
 * result for every recipient, whatever happens. A lane is one destination at
 * one level with one set of credentials. Lanes share connections and TLS
 * sessions only where all that a verdict rests on is the very same, policy
 * included.
 */

#ifndef SMTPD_LANE_H
#define SMTPD_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "mtasts/verdict.h"
#include "smtpd/client.h"
#include "smtpd/msg.h"
#include "smtpd/session.h"

struct lane;
struct lane_pool;

/* ---- how the destination is reached ---- */

#define LANE_HOSTS_MAX 64 /* of one route */

struct lane_host {
	char name[256];
	char tlsa_base[256]; /* where its TLSA records stand; "": at "name" */
	bool matches;        /* a pattern of the policy */
	enum dane_state dane;
	enum mx_origin origin;
	enum reason error; /* why it has no address */
	char detail[512];  /* of that */
	struct sockaddr_storage addr[ROUTE_ADDRS_MAX]; /* with port */
	size_t addr_count;
	struct tls_tlsa *tlsa; /* owned */
	uint8_t **tlsa_data;   /* where their data lies; owned */
	size_t tlsa_count;
	size_t tlsas_announced; /* while the answer is under way */
};

/* An answer to lane_ops.ask. */
struct lane_route {
	enum route_status status;
	enum reason reason; /* unless ROUTE_OK; else why there is no policy */
	char dsn[16];
	char detail[DETAIL_SIZE];
	enum policy_mode mode;
	char policy_id[33];
	int64_t policy_fetched;    /* seconds since 1970; 0: no policy */
	uint8_t policy_sha256[32]; /* of its file; zero: not known */
	char next_hop[256], expanded[256]; /* names for DANE-TA; "": none */
	uint32_t lifetime_ms;
	struct lane_host *host; /* owned */
	size_t host_count;
	size_t hosts_announced; /* while the answer is under way */
};

/* NULL is allowed. */
void lane_route_free(struct lane_route *);

/* ---- jobs ---- */

struct lane_rcpt {
	const char *address; /* no angle brackets */
	const char *orcpt;   /* or "" */
	unsigned notify;
	bool settled; /* the lane's */
};

/* A message for the destination. Zeroed, then filled in by its owner; it and
 * what it points to is the lane's until lane_ops.done. */
struct lane_job {
	TAILQ_ENTRY(lane_job) entry; /* the lane's */
	const char *sender;          /* no angle brackets; "" */
	const char *envid;           /* or "" */
	enum client_ret ret;
	bool eightbit;
	bool smtputf8;
	bool recheck; /* see whether the policy has changed, first */
	uint64_t size;
	int body; /* borrowed: read by pread(2) */
	struct lane_rcpt *rcpts;
	size_t rcpt_count;
	/* the lane's */
	struct client_message message;
	struct client_rcpt *to;
	size_t *to_rcpt; /* which of rcpts "to" is */
	size_t from;     /* the first candidate that may still be tried */
	unsigned again;  /* connections that were gone when it was sent */
	struct lane_kept *kept; /* what the last host said */
};

struct lane_ops {
	/* Find the route; lane_answer() brings it. refresh: look whether the
	 * policy has changed (RFC 8461 5.1). */
	void (*ask)(void *arg, struct lane *, bool refresh);
	/* One recipient's result; "rcpt" is its place in the job. Fields "job"
	 * and "rcpt" are the callee's to fill in. */
	void (*result)(void *arg, struct lane_job *, size_t rcpt,
	    struct msg_rcpt_result *);
	/* All results were told: the job is its owner's again. */
	void (*done)(void *arg, struct lane_job *);
	/* Nothing left to do for a while: lane_free() may be called. */
	void (*idle)(void *arg, struct lane *);
};

/* ---- the pool: what all lanes of a process share ---- */

struct lane_pool_options {
	const struct session_setup *setup; /* borrowed */
	const struct lane_ops *ops;        /* borrowed */
	void *arg;
	size_t sessions_max; /* in all */
	int spare_ms;        /* one without work may serve another lane */
	/* Wall clock for advice with dates. */
	time_t (*now)(void);
};

/* Never NULL. */
struct lane_pool *lane_pool_new(const struct lane_pool_options *);
/* After the last lane. */
void lane_pool_free(struct lane_pool *);

/* ---- lanes ---- */

struct lane_options {
	const char *destination; /* as asked of the route: domain, host:port */
	const char *domain;      /* for people: the recipients' domain */
	enum tls_level level;
	bool implicit_tls;
	const struct client_auth *auth; /* copied; NULL: none */
	void *owner;                    /* for lane_owner() */
};

/* Never NULL. Options are copied. */
struct lane *lane_new(struct lane_pool *, const struct lane_options *);
/* Every job still in it gets a deferral first. NULL is allowed. */
void lane_free(struct lane *);
/* Take a job; "width": sessions at once from now on, at least 1. */
void lane_add(struct lane *, struct lane_job *, unsigned width);
/* A job will come in a moment: open a session for it, unless there is one. If
 * that fails, it has failed for the job. */
void lane_expect(struct lane *);
/* The answer to lane_ops.ask; takes "route". Ignored if none is awaited. */
void lane_answer(struct lane *, struct lane_route *route);
/* Whoever lane_ops.ask asks was restarted: an answer still awaited is asked for
 * again. */
void lane_ask_again(struct lane *);
/* Configuration or trust is new: the route is asked anew, no connection is
 * used again. */
void lane_renew(struct lane *);
/* The policy is another by now: the route is asked anew before a job takes a
 * connection. One that is being opened serves once. */
void lane_expire(struct lane *);
/* Hand back without results, by lane_ops.done alone, all jobs that no host
 * has begun to take. */
void lane_drain(struct lane *);
void *lane_owner(const struct lane *);

#endif
