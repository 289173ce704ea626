/*
 * Inside a lane: its state, shared by lane.c (jobs), lane_plan.c (routes),
 * lane_walk.c (hosts), lane_berth.c (sessions), lane_pace.c, lane_resume.c and
 * lane_tell.c (results).
 * Nobody else includes this.
 */

#ifndef SMTPD_LANE_PART_H
#define SMTPD_LANE_PART_H

#include <sys/tree.h>

#include "smtpd/lane.h"

TAILQ_HEAD(lane_jobs, lane_job);
TAILQ_HEAD(lane_list, lane);

/* An address of a host, in the order to try. */
struct candidate {
	const struct lane_host *host;
	const struct sockaddr_storage *addr; /* NULL: the host has none */
	bool bad;                            /* tried in vain on this walk */
	struct lane_kept *kept;              /* what went wrong */
};

/* A route in use: sessions hold on to it. */
struct lane_plan {
	unsigned refs;
	struct lane_route *route;
	struct candidate *candidate;
	size_t candidate_count;
	int64_t expires_ms;
	bool is_news; /* its policy was fetched for the attempt under way */
};

/* A session of the lane. */
struct berth {
	TAILQ_ENTRY(berth) entry;
	RB_ENTRY(berth) spare_entry;
	struct lane *lane;
	struct lane_plan *plan;
	size_t at; /* its candidate */
	struct session *session;
	struct session_target target;
	struct lane_job *job; /* under way */
	struct tls_session *resume;
	struct ev_timer idle;
	bool is_idle;
	bool is_spare;   /* other lanes may take it over */
	bool is_guest;   /* taken over, and has not taken mail of this lane */
	bool takes_mail; /* its last message was for some recipient */
	bool has_key;
	uint8_t key[TLS_SHA256_SIZE]; /* all that its verdict rests on */
	int64_t free_since_ms;        /* its last message was through */
	uint64_t number;              /* of that one, in the pool */
	bool ready;
	bool tls_is_kept; /* for another connection to resume */
	unsigned served;
	int64_t began_us; /* its opening; once ready, its job */
	char tag[64];
};
TAILQ_HEAD(berths, berth);
RB_HEAD(berth_tree, berth);

/* A failure with the session's facts, kept for the result. */
struct lane_kept {
	struct trouble trouble;
	bool is_verdict;
	bool has_report;
	char mx[256];
	char ip[NETADDR_TEXT_SIZE]; /* without port */
	char reply[REPLY_SHOW_SIZE];
	char found[600];
	struct session_report report;
};

struct lane {
	struct lane_pool *pool;
	TAILQ_ENTRY(lane) waiting_entry;
	bool waiting;    /* to begin a session */
	bool open_ahead; /* for a job that was foretold */
	void *owner;
	char *destination;
	char *domain;
	enum tls_level level;
	bool implicit_tls;
	bool has_auth;
	struct client_auth auth;
	struct lane_jobs jobs; /* not under way */
	size_t job_count;      /* all */
	struct lane_plan *plan;
	bool asking;
	bool asked_refresh;
	int64_t asked_s;          /* wall clock */
	struct ev_timer patience; /* for the answer */
	bool refresh;             /* the next question is to look anew */
	bool second_look; /* the question under way is the last resort */
	int64_t refreshed_ms;
	struct berths berths;
	size_t berth_count;
	unsigned width;
	unsigned cap;          /* what the host bears, if less */
	bool proven;           /* some session of the plan became ready */
	int64_t walk_began_ms; /* of the walk under way; 0: none is */
	int64_t open_us;       /* what the last opening took */
	int64_t serve_us;      /* a job, in the mean; 0: none yet */
	struct ev_timer pace;  /* when another session may pay */
	unsigned serial;       /* of sessions, for their names in the log */
	struct ev_task run;
	struct ev_timer rest;
	bool freed;
};

struct lane_pool {
	struct lane_pool_options options;
	struct lane_resume *resume;
	size_t sessions;
	size_t idle_count;       /* of them, without work */
	struct berth_tree spare; /* of these, for any lane with the same key */
	uint64_t last_number;
	struct lane_list waiting; /* to begin a session */
	unsigned begun;           /* in this turn of the loop */
	struct ev_task turn;
};

int64_t lane_now(const struct lane *);

/* ---- lane.c ---- */

/* Is the route in use too old? */
bool lane_is_expired(const struct lane *);
/* Look for work, by the loop. */
void lane_soon(struct lane *);
/* Hand the job back: the rest of its recipients gets "result". */
void lane_fail_job(struct lane *, struct lane_job *, struct msg_rcpt_result *);
/* No host is left: fail what waits. False: another look comes first. */
bool lane_give_up(struct lane *);
/* All recipients are settled: hand the job back. */
void lane_finish_job(struct lane *, struct lane_job *);

/* ---- lane_plan.c ---- */

/* Takes "route". */
struct lane_plan *lane_plan_new(const struct lane *, struct lane_route *route);
void lane_plan_release(struct lane_plan *);
/* Note until when the answer serves, be it the first or the same once more. */
void lane_plan_prolong(const struct lane *, struct lane_plan *,
    const struct lane_route *);
/*
 * The walk goes on with the new route, which may be the same in another order:
 * addresses that could not be reached stay marked, so that the rest comes
 * first. What was found without contact will be found again.
 */
void lane_plan_carry_over(const struct lane_plan *from, struct lane_plan *to);
bool lane_policy_is_same(const struct lane_route *, const struct lane_route *);
/* Policy, hosts and addresses, in their order. */
bool lane_route_is_same(const struct lane_route *, const struct lane_route *);
/* The first candidate from "from" on that is not bad, or candidate_count. */
size_t lane_next(const struct lane_plan *, size_t from);
/* The first candidate behind "at" of another host. */
size_t lane_next_host(const struct lane_plan *, size_t at);

/* ---- lane_walk.c ---- */

/* Give idle sessions work, open more, or find that no host is left. */
void lane_walk(struct lane *);
/* The next jobs begin at the first host again. */
void lane_forget_walk(struct lane *);
/* Open the first session, if the route leads anywhere, for a job to come. */
void lane_open_ahead(struct lane *);
/* Close the sessions without a job that are of another plan, or all. */
void lane_close_idle(struct lane *, bool all);
/* Close everything; jobs under way return to the queue of the lane. */
void lane_close_all(struct lane *);
/* Is a session of the plan in use on its way to be ready? */
bool lane_is_opening(const struct lane *);

/* ---- lane_berth.c ---- */

/* Open a session to that candidate. False: not now; the lane looks again when
 * it may. */
bool lane_berth_open(struct lane *, size_t at, session_cb *);
/* One that another lane opened and has no work for, if all that the verdict on
 * that candidate rests on is the same; it is idle. NULL: there is none. */
struct berth *lane_berth_take_over(struct lane *, size_t at);
/* It is through with a message; "taken": by at least one recipient. */
void lane_berth_served(struct berth *, bool taken);
/* The session has no work: it is closed in a while. */
void lane_berth_rest(struct berth *);
/* It has work again. */
void lane_berth_wake(struct berth *);
/* Take leave of the host, and forget the session. */
void lane_berth_close(struct berth *);
/* Forget a session that was freed or released. */
void lane_berth_leave(struct berth *);

/* ---- lane_pace.c ---- */

void lane_pace_init(struct lane *);
void lane_pace_stop(struct lane *);
/* The session begins to open, or to serve its job. */
void lane_pace_begin(struct berth *);
/* The session is ready: that is what an opening takes. */
void lane_pace_opened(struct berth *);
/* It has served its job. */
void lane_pace_served(struct berth *);
/*
 * Would one more session be ready before those that exist come to the end of
 * the line? True too if none of them can serve "job". If not, the lane looks
 * again when it might.
 */
bool lane_pace_pays(struct lane *, const struct lane_job *);

/* ---- lane_resume.c ---- */

/*
 * A digest of all that the verdict on that candidate rests on: level, policy,
 * host, address and port; with TLSA records these and the names that they
 * permit, which are those of one destination. False: there is too much of it.
 */
bool lane_key(uint8_t key[TLS_SHA256_SIZE], const struct lane *,
    const struct lane_plan *, size_t at);
/* TLS sessions that may be resumed, of all lanes of the pool. Never NULL. */
struct lane_resume *lane_resume_new(void);
void lane_resume_free(struct lane_resume *);
/* The host may have given a TLS session meanwhile: keep it. */
void lane_resume_keep(struct berth *);
/* One for a connection of this berth, the caller's to free, or NULL. */
struct tls_session *lane_resume_take(struct berth *);

/* ---- lane_tell.c ---- */

/* The message for the recipients that are not settled yet. */
void lane_make_message(struct lane_job *);
/*
 * Judge what the session told of its job: tell what is final, keep what
 * another host may mend. "stay": the connection was gone already when the job
 * was sent, no host refused it. True: all recipients are settled.
 */
bool lane_take_results(struct lane *, struct berth *, bool stay);
/* Keep a failure, with the facts of its session. */
struct lane_kept *lane_keep_fault(const struct berth *);
struct lane_kept *lane_keep_error(const struct lane_host *);
/* No host is left for the job: tell so. */
void lane_fail_everywhere(struct lane *, struct lane_job *);
/* The route says that there is no way at all. */
void lane_fail_route(struct lane *, struct lane_job *);
void lane_fail_locally(struct lane *, struct lane_job *, const char *detail);

#endif
