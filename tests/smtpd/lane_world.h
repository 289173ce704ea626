/*
 * The world around a lane: routes that it is told, mail hosts on loopback,
 * jobs and what came of them. For the tests of smtpd/lane*.c.
 */

#ifndef TESTS_SMTPD_LANE_WORLD_H
#define TESTS_SMTPD_LANE_WORLD_H

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "smtpd/lane.h"
#include "tests/mx.h"
#include "tests/pki.h"
#include "tests/t.h"

#define JOBS 60
#define RCPTS 5

static struct ev *ev;
static struct pki *pki;
static struct session_setup setup;
static struct netaddr_net loopback;
static SSL_CTX *good, *bad;
static int spare_ms = 60000; /* of worlds to come */

/* What became of one recipient. */
struct seen {
	int results;
	enum outcome outcome;
	enum scope scope;
	enum reason reason;
	enum verdict_auth auth;
	enum tls_level level;
	bool route_secure;
	int64_t policy_fetched;
	uint8_t policy_sha256[32];
	char dsn[16];
	char mx[64];
	char detail[1024];
	char reply[512];
};

/* A job with its letter, and what came of it. */
struct work {
	struct lane_job job;
	struct lane_rcpt rcpts[RCPTS];
	char address[RCPTS][32];
	struct seen seen[RCPTS];
	int done;
};

/* The world around a lane: its route, its jobs. */
struct world {
	struct lane_pool *pool;
	struct lane *lane;
	struct lane_route *next[JOBS]; /* answers, in order; NULL: silence */
	int asked;
	int refreshes;
	struct work work[JOBS];
	int given, done;
};

static struct world *world;

static inline time_t
wall_clock(void)
{
	return 1800000000; /* 2027-01-15 */
}

static inline void
on_ask(void *arg, struct lane *lane, bool refresh)
{
	struct world *w = arg;
	struct lane_route *route = w->next[w->asked];

	w->refreshes += refresh;
	w->next[w->asked++] = NULL;
	if (route != NULL)
		lane_answer(lane, route);
}

static inline void
on_result(void *arg, struct lane_job *job, size_t rcpt,
    struct msg_rcpt_result *r)
{
	struct work *work = (struct work *)(void *)job;
	struct seen *s = &work->seen[rcpt];

	(void)arg;
	s->results++;
	s->outcome = (enum outcome)r->outcome;
	s->scope = (enum scope)r->scope;
	s->reason = (enum reason)r->reason;
	s->auth = (enum verdict_auth)r->auth;
	s->level = (enum tls_level)r->level;
	s->route_secure = r->route_secure;
	s->policy_fetched = r->policy_fetched;
	memcpy(s->policy_sha256, r->policy_sha256, sizeof(s->policy_sha256));
	strlcpy(s->dsn, r->dsn, sizeof(s->dsn));
	strlcpy(s->mx, r->mx, sizeof(s->mx));
	strlcpy(s->detail, r->detail, sizeof(s->detail));
	strlcpy(s->reply, r->reply, sizeof(s->reply));
}

static inline void
on_done(void *arg, struct lane_job *job)
{
	struct world *w = arg;
	struct work *work = (struct work *)(void *)job;

	work->done++;
	close(job->body);
	if (++w->done == w->given)
		ev_stop(ev);
}

static inline void
on_idle(void *arg, struct lane *lane)
{
	(void)arg;
	(void)lane;
}

static const struct lane_ops ops = { on_ask, on_result, on_done, on_idle };

static inline void
new_lane(struct world *w, enum tls_level level)
{
	struct lane_options lane = { .destination = "test",
		.domain = "test",
		.level = level };

	w->lane = lane_new(w->pool, &lane);
}

static inline void
open_world(struct world *w, enum tls_level level, size_t sessions_max)
{
	struct lane_pool_options pool = { .setup = &setup,
		.ops = &ops,
		.arg = w,
		.sessions_max = sessions_max,
		.spare_ms = spare_ms,
		.now = wall_clock };

	memset(w, 0, sizeof(*w));
	w->pool = lane_pool_new(&pool);
	new_lane(w, level);
}

static inline void
give_up(void *arg)
{
	(void)arg;
	t_str("jobs are stuck", "every job is done");
	ev_stop(ev);
}

static inline void
stop_loop(void *arg)
{
	(void)arg;
	ev_stop(ev);
}

static inline void
run_for(int ms, void (*cb)(void *))
{
	struct ev_timer end = { 0 };

	ev_timer_init(&end, cb, NULL);
	ev_timer_set(ev, &end, ev_now(ev) + ms);
	ev_run(ev);
	ev_timer_del(ev, &end);
}

static inline void
close_world(struct world *w)
{
	size_t i;

	lane_free(w->lane);
	run_for(10, stop_loop); /* QUIT and its reply */
	for (i = 0; i < JOBS; i++)
		lane_route_free(w->next[i]);
	lane_pool_free(w->pool);
}

static inline struct lane_route *
new_route(void)
{
	struct lane_route *r = calloc(1, sizeof(*r));

	r->status = ROUTE_OK;
	r->mode = POLICY_ABSENT;
	r->lifetime_ms = 60000;
	r->host = calloc(4, sizeof(*r->host));
	return r;
}

/* "mx" may be NULL: nobody listens there. */
static inline struct lane_host *
add_host(struct lane_route *r, const char *name, struct mx *mx)
{
	struct lane_host *h = &r->host[r->host_count++];
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(1), /* nobody's */
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	if (mx != NULL)
		sin = mx_address(mx);
	strlcpy(h->name, name, sizeof(h->name));
	memcpy(&h->addr[0], &sin, sizeof(sin));
	h->addr_count = 1;
	return h;
}

static inline struct work *
give(struct world *w, int rcpts, unsigned width)
{
	static const char letter[] = "Subject: x\r\n\r\nbody\r\n";
	struct work *work = &w->work[w->given++];
	int i;

	work->job.sender = "a@here.test";
	work->job.envid = "";
	work->job.size = sizeof(letter) - 1;
	work->job.body = memfd_create("body", MFD_CLOEXEC);
	if (write(work->job.body, letter, sizeof(letter) - 1) < 0)
		exit(1);
	work->job.rcpts = work->rcpts;
	work->job.rcpt_count = (size_t)rcpts;
	for (i = 0; i < rcpts; i++) {
		snprintf(work->address[i], sizeof(work->address[i]),
		    "%s%d.%d@test", i == 1 ? "bad" : "r", w->given, i);
		work->rcpts[i].address = work->address[i];
		work->rcpts[i].orcpt = "";
	}
	lane_add(w->lane, &work->job, width);
	return work;
}

/* Until all jobs are done; each recipient has just one result. */
static inline void
finish(struct world *w)
{
	int i;
	size_t j;

	run_for(15000, give_up);
	for (i = 0; i < w->given; i++) {
		t_int(w->work[i].done, 1);
		for (j = 0; j < w->work[i].job.rcpt_count; j++)
			t_int(w->work[i].seen[j].results, 1);
	}
}

static inline int
count(const struct world *w, enum outcome outcome)
{
	int i, n = 0;
	size_t j;

	for (i = 0; i < w->given; i++)
		for (j = 0; j < w->work[i].job.rcpt_count; j++)
			n += w->work[i].seen[j].results > 0 &&
			    w->work[i].seen[j].outcome == outcome;
	return n;
}

/* One message for a lane that is told these routes. */
static inline void
send_one(struct lane_route *first, struct lane_route *second)
{
	open_world(world, LEVEL_REQUIRE, 100);
	world->next[0] = first;
	world->next[1] = second;
	give(world, 1, 1);
	finish(world);
}

static inline void
make_world(void)
{
	struct pki_leaf leaf = { .names = "mx.test,mx1.test,mx2.test",
		.days = 9 };
	struct pki_leaf evil = { .names = "evil.test", .days = 9 };
	const char *why;

	world = calloc(1, sizeof(*world));
	ev = ev_new();
	pki = pki_new();
	good = pki_server(pki, &leaf);
	bad = pki_server(pki, &evil);
	if (netaddr_net_parse(&loopback, "127.0.0.0/8", &why) == -1)
		abort();
	setup.ev = ev;
	setup.helo = "relay.here.test";
	setup.tls = tls_ctx_client(pki_root(pki), strlen(pki_root(pki)), &why);
	setup.allow = &loopback;
	setup.allow_count = 1;
}

static inline void
end_world(void)
{
	run_for(10, stop_loop); /* sessions see that the hosts have stopped */
	ev_free(ev);
	SSL_CTX_free(good);
	SSL_CTX_free(bad);
	tls_ctx_free(setup.tls);
	pki_free(pki);
	free(world);
}

#endif
