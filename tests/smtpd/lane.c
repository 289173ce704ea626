#include "smtpd/lane.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* What became of one recipient. */
struct seen {
	int results;
	enum outcome outcome;
	enum scope scope;
	enum reason reason;
	enum verdict_auth auth;
	enum tls_level level;
	int64_t policy_fetched;
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
	struct lane_route *next[4]; /* answers, in order; NULL: silence */
	int asked;
	int refreshes;
	struct work work[JOBS];
	int given, done;
};

static struct world *world;

static time_t
wall_clock(void)
{
	return 1800000000; /* 2027-01-15 */
}

static void
on_ask(void *arg, struct lane *lane, bool refresh)
{
	struct world *w = arg;
	struct lane_route *route = w->next[w->asked];

	w->refreshes += refresh;
	w->next[w->asked++] = NULL;
	if (route != NULL)
		lane_answer(lane, route);
}

static void
on_result(void *arg, struct lane_job *job, size_t rcpt,
    const struct lane_result *r)
{
	struct work *work = (struct work *)(void *)job;
	struct seen *s = &work->seen[rcpt];

	(void)arg;
	s->results++;
	s->outcome = r->outcome;
	s->scope = r->scope;
	s->reason = r->reason;
	s->auth = r->auth;
	s->level = r->level;
	s->policy_fetched = r->policy_sha256 != NULL ? r->policy_fetched : -1;
	strlcpy(s->dsn, r->dsn, sizeof(s->dsn));
	strlcpy(s->mx, r->mx, sizeof(s->mx));
	strlcpy(s->detail, r->detail, sizeof(s->detail));
	strlcpy(s->reply, r->reply, sizeof(s->reply));
}

static void
on_done(void *arg, struct lane_job *job)
{
	struct world *w = arg;
	struct work *work = (struct work *)(void *)job;

	work->done++;
	close(job->body);
	if (++w->done == w->given)
		ev_stop(ev);
}

static void
on_idle(void *arg, struct lane *lane)
{
	(void)arg;
	(void)lane;
}

static const struct lane_ops ops = { on_ask, on_result, on_done, on_idle };

static void
new_lane(struct world *w, enum tls_level level)
{
	struct lane_options lane = { .destination = "test",
		.domain = "test",
		.level = level };

	w->lane = lane_new(w->pool, &lane);
}

static void
open_world(struct world *w, enum tls_level level, size_t sessions_max)
{
	struct lane_pool_options pool = { .setup = &setup,
		.ops = &ops,
		.arg = w,
		.sessions_max = sessions_max,
		.now = wall_clock };

	memset(w, 0, sizeof(*w));
	w->pool = lane_pool_new(&pool);
	new_lane(w, level);
}

static void
give_up(void *arg)
{
	(void)arg;
	t_str("jobs are stuck", "every job is done");
	ev_stop(ev);
}

static void
stop_loop(void *arg)
{
	(void)arg;
	ev_stop(ev);
}

static void
run_for(int ms, void (*cb)(void *))
{
	struct ev_timer end = { 0 };

	ev_timer_init(&end, cb, NULL);
	ev_timer_set(ev, &end, ev_now(ev) + ms);
	ev_run(ev);
	ev_timer_del(ev, &end);
}

static void
close_world(struct world *w)
{
	size_t i;

	lane_free(w->lane);
	run_for(10, stop_loop); /* QUIT and its reply */
	for (i = 0; i < 4; i++)
		lane_route_free(w->next[i]);
	lane_pool_free(w->pool);
}

static struct lane_route *
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
static struct lane_host *
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

static struct work *
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
static void
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

static int
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

static void
test_spread(void)
{
	struct mx_conduct conduct = { .tls = good };
	struct mx *mx = mx_start(1, 0, &conduct);
	int i;

	t_case("lane: jobs share a few sessions, and each is used again");
	open_world(world, LEVEL_REQUIRE, 100);
	world->next[0] = new_route();
	add_host(world->next[0], "mx.test", mx);
	for (i = 0; i < JOBS; i++)
		give(world, 1, 4);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), JOBS);
	t_int(mx_messages(mx), JOBS);
	t_true(mx_connections(mx) >= 1 && mx_connections(mx) <= 4);
	t_int(world->asked, 1);
	t_int(world->work[0].seen[0].auth, AUTH_WEBPKI);
	t_str(world->work[0].seen[0].mx, "mx.test");
	close_world(world);
	mx_stop(mx);

	t_case("lane: a pool with one session left serves all in turn");
	mx = mx_start(1, 0, &conduct);
	open_world(world, LEVEL_REQUIRE, 1);
	world->next[0] = new_route();
	add_host(world->next[0], "mx.test", mx);
	for (i = 0; i < 20; i++)
		give(world, 1, 10);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), 20);
	t_int(mx_connections(mx), 1);
	close_world(world);
	mx_stop(mx);
}

static void
test_pace(void)
{
	struct mx_conduct conduct = { .tls = good, .greet_ms = 400 };
	struct mx *mx = mx_start(1, 0, &conduct);
	int i;

	t_case("lane: jobs that one session serves sooner open no other");
	open_world(world, LEVEL_REQUIRE, 100);
	world->next[0] = new_route();
	add_host(world->next[0], "mx.test", mx);
	for (i = 0; i < 10; i++)
		give(world, 1, 5);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), 10);
	t_int(mx_connections(mx), 1);
	close_world(world);
	mx_stop(mx);

	t_case("lane: a host that thinks about a message gets more sessions,"
	       " which resume the first one's TLS (RFC 8446 2.2)");
	conduct.greet_ms = 0;
	conduct.think_ms = 700;
	mx = mx_start(1, 0, &conduct);
	open_world(world, LEVEL_REQUIRE, 100);
	world->next[0] = new_route();
	add_host(world->next[0], "mx.test", mx);
	for (i = 0; i < 4; i++)
		give(world, 1, 4);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), 4);
	t_int(mx_connections(mx), 4);
	t_true(mx_resumed(mx) >= 1);
	close_world(world);
	mx_stop(mx);
}

/* One message by a lane of its own. */
static void
send_alone(struct world *w, struct mx *mx, enum policy_mode mode)
{
	w->next[w->asked] = new_route();
	w->next[w->asked]->mode = mode;
	add_host(w->next[w->asked], "mx.test", mx);
	give(w, 1, 1);
	finish(w);
	lane_free(w->lane);
	new_lane(w, LEVEL_REQUIRE);
}

static void
test_resume(void)
{
	struct mx_conduct conduct = { .tls = good };
	struct mx *mx = mx_start(1, 0, &conduct);

	open_world(world, LEVEL_REQUIRE, 100);
	t_case("lane: a TLS session is resumed when the lane is long gone");
	send_alone(world, mx, POLICY_ABSENT);
	t_int(mx_resumed(mx), 0);
	send_alone(world, mx, POLICY_ABSENT);
	t_int(mx_resumed(mx), 1);
	t_case("lane: and never under another policy (RFC 8461 5)");
	send_alone(world, mx, POLICY_TESTING);
	t_int(mx_resumed(mx), 1);
	t_int(count(world, OUTCOME_DELIVERED), 3);
	close_world(world);
	mx_stop(mx);
}

static void
test_next_host(void)
{
	static const struct {
		const char *name;
		struct mx_conduct first;
		bool dead;
		const char *mx; /* who delivers */
		int first_messages;
	} rows[] = {
		{ "nobody listens", { 0 }, true, "mx2.test", 0 },
		{ "no STARTTLS", { 0 }, false, "mx2.test", 0 },
		{ "greeting 554", { .greeting = "554 no\r\n" }, false,
		    "mx2.test", 0 },
		{ "greeting 421", { .greeting = "421 busy\r\n" }, false,
		    "mx2.test", 0 },
		{ "MAIL 451", { .mail = "451 4.3.0 later\r\n" }, false,
		    "mx2.test", 0 },
		{ "MAIL 421", { .mail = "421 4.3.0 bye\r\n" }, false,
		    "mx2.test", 0 },
		{ "handshake reset", { .handshake = MX_RESET }, false,
		    "mx2.test", 0 },
		{ "all well", { 0 }, false, "mx1.test", 3 },
	};
	struct mx_conduct conduct = { .tls = good };
	struct mx_conduct first;
	struct mx *one, *two;
	size_t i;

	t_case("lane: where one host fails the next is tried, for each job");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t_row("%s", rows[i].name);
		first = rows[i].first;
		first.tls = i == 1 ? NULL : good;
		one = mx_start(1, 0, &first);
		two = mx_start(2, 0, &conduct);
		open_world(world, LEVEL_REQUIRE, 100);
		world->next[0] = new_route();
		add_host(world->next[0], "mx1.test", rows[i].dead ? NULL : one);
		add_host(world->next[0], "mx2.test", two);
		give(world, 1, 2);
		give(world, 1, 2);
		give(world, 1, 2);
		finish(world);
		t_int(count(world, OUTCOME_DELIVERED), 3);
		t_str(world->work[0].seen[0].mx, rows[i].mx);
		t_int(mx_messages(one), rows[i].first_messages);
		t_int(mx_messages(two), 3 - rows[i].first_messages);
		close_world(world);
		mx_stop(one);
		mx_stop(two);
	}
	t_row(NULL);
}

static void
test_not_elsewhere(void)
{
	struct mx_conduct first = { .tls = good, .end = "" };
	struct mx_conduct second = { .tls = good };
	struct mx *one = mx_start(1, 0, &first);
	struct mx *two = mx_start(2, 0, &second);

	t_case("lane: what may have been taken is not sent elsewhere");
	open_world(world, LEVEL_REQUIRE, 100);
	world->next[0] = new_route();
	add_host(world->next[0], "mx1.test", one);
	add_host(world->next[0], "mx2.test", two);
	give(world, 1, 1);
	finish(world);
	t_int(count(world, OUTCOME_DEFERRED), 1);
	t_int(mx_messages(two), 0);
	close_world(world);
	mx_stop(one);

	t_case("lane: nor what one host refused for good");
	first = (struct mx_conduct){ .tls = good,
		.rcpt = "550 5.1.1 who?\r\n",
		.end = "554 5.7.1 spam\r\n" };
	one = mx_start(1, 0, &first);
	open_world(world, LEVEL_REQUIRE, 100);
	world->next[0] = new_route();
	add_host(world->next[0], "mx1.test", one);
	add_host(world->next[0], "mx2.test", two);
	give(world, 3, 1);
	finish(world);
	t_int(count(world, OUTCOME_BOUNCED), 3);
	t_str(world->work[0].seen[1].reply, "550 5.1.1 who?");
	t_str(world->work[0].seen[0].reply, "554 5.7.1 spam");
	t_int(mx_messages(two), 0);
	close_world(world);
	mx_stop(one);
	mx_stop(two);
}

static void
test_defer(void)
{
	static const struct {
		const char *name;
		enum policy_mode mode;
		bool matches;
		const char *reason;
		const char *detail;
	} rows[] = {
		{ "require", POLICY_ABSENT, false, "certificate-host-mismatch",
		    "mx1.test (127.0.0.1): its certificate is for evil.test, "
		    "not for mx1.test" },
		{ "the exception", POLICY_ABSENT, false,
		    "certificate-host-mismatch",
		    "`destination test { tls opportunistic until 2027-02-14 "
		    "because \"...\" }`" },
		{ "the other host", POLICY_ABSENT, false,
		    "certificate-host-mismatch",
		    "; also mx2.test (127.0.0.1): connect-failed" },
		{ "enforce", POLICY_ENFORCE, true, "certificate-host-mismatch",
		    "`destination test { via HOST }`" },
		{ "not in the policy", POLICY_ENFORCE, false, "sts-mx-mismatch",
		    "mx1.test" },
	};
	struct mx_conduct conduct = { .tls = bad };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct lane_route *r;
	size_t i;

	t_case("lane: a deferral names host, finding and exception");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t_row("%s", rows[i].name);
		open_world(world, LEVEL_REQUIRE, 100);
		world->next[0] = r = new_route();
		r->mode = rows[i].mode;
		add_host(r, "mx1.test", mx)->matches = rows[i].matches;
		add_host(r, "mx2.test", NULL)->matches = rows[i].matches;
		if (r->mode == POLICY_ENFORCE) {
			world->next[1] = r = new_route();
			r->mode = POLICY_ENFORCE;
		}
		give(world, 2, 1);
		finish(world);
		t_int(count(world, OUTCOME_DEFERRED), 2);
		t_str(reason_word(world->work[0].seen[1].reason),
		    rows[i].reason);
		t_int(world->work[0].seen[1].scope, SCOPE_DESTINATION);
		t_str(world->work[0].seen[1].dsn, "4.7.5");
		t_true(strstr(world->work[0].seen[1].detail, rows[i].detail) !=
		    NULL);
		t_int(world->refreshes, rows[i].mode == POLICY_ENFORCE);
		close_world(world);
	}
	t_row(NULL);
	t_true(strstr(mx_heard(mx), "MAIL") == NULL);
	mx_stop(mx);
}

static struct lane_route *
enforce_route(struct mx *mx, const char *id, bool matches)
{
	struct lane_route *r = new_route();

	r->mode = POLICY_ENFORCE;
	strlcpy(r->policy_id, id, sizeof(r->policy_id));
	add_host(r, "mx.test", mx)->matches = matches;
	return r;
}

/* One message for a lane that is told these routes. */
static void
send_one(struct lane_route *first, struct lane_route *second)
{
	open_world(world, LEVEL_REQUIRE, 100);
	world->next[0] = first;
	world->next[1] = second;
	give(world, 1, 1);
	finish(world);
}

static void
test_second_look(struct mx *mx)
{
	struct lane_route *r;

	t_case("lane: a policy that changed meanwhile is followed at once "
	       "(RFC 8461 5.1)");
	r = enforce_route(mx, "2", true);
	r->policy_fetched = 1795492800;
	send_one(enforce_route(mx, "1", false), r);
	t_int(count(world, OUTCOME_DELIVERED), 1);
	t_int(world->work[0].seen[0].auth, AUTH_MTA_STS);
	t_int(world->work[0].seen[0].level, LEVEL_REQUIRE);
	t_int(world->work[0].seen[0].policy_fetched, 1795492800);
	t_int(world->asked, 2);
	t_int(world->refreshes, 1);
	close_world(world);

	t_case("lane: a policy fetched for this very attempt has not changed, "
	       "but may have at the next");
	r = enforce_route(mx, "1", false);
	r->policy_fetched = wall_clock();
	send_one(r, NULL);
	t_int(world->asked, 1);
	world->next[1] = enforce_route(mx, "1", true);
	world->next[1]->policy_sha256[0] = 1;
	give(world, 1, 1);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), 1);
	t_int(world->asked, 2);
	close_world(world);
}

static struct lane_route *
forged_route(void)
{
	struct lane_route *r = new_route();

	r->mode = POLICY_ENFORCE;
	r->status = ROUTE_DEFER;
	r->reason = REASON_STS_MX_MISMATCH;
	return r;
}

static void
test_forged(struct mx *mx)
{
	t_case("lane: a second look also where no forged MX has an address "
	       "(RFC 8461 5.1)");
	send_one(forged_route(), forged_route());
	t_str(reason_word(world->work[0].seen[0].reason), "sts-mx-mismatch");
	t_int(world->refreshes, 1);
	close_world(world);

	send_one(forged_route(), enforce_route(mx, "2", true));
	t_int(count(world, OUTCOME_DELIVERED), 1);
	close_world(world);
}

static void
test_recheck(struct mx *mx)
{
	t_case("lane: before a bounce the policy is looked at anew, however "
	       "lately a failure made us look (RFC 8461 5.1)");
	send_one(enforce_route(mx, "1", false), enforce_route(mx, "1", false));
	t_int(count(world, OUTCOME_DEFERRED), 1);
	t_int(world->refreshes, 1);
	run_for(1100, stop_loop);
	world->next[2] = enforce_route(mx, "2", true);
	world->work[1].job.recheck = true;
	give(world, 1, 1);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), 1);
	t_int(world->refreshes, 2);
	close_world(world);
}

static void
test_looks(void)
{
	struct mx_conduct conduct = { .tls = good };
	struct mx *mx = mx_start(1, 0, &conduct);

	test_second_look(mx);
	test_recheck(mx);
	test_forged(mx);
	mx_stop(mx);
}

static void
test_route(void)
{
	struct lane_route *r;

	t_case("lane: no route: each job is deferred or bounced as it says");
	open_world(world, LEVEL_REQUIRE, 100);
	world->next[0] = new_route();
	world->next[0]->status = ROUTE_BOUNCE;
	world->next[0]->reason = REASON_NULL_MX;
	give(world, 1, 1);
	give(world, 2, 1);
	finish(world);
	t_int(count(world, OUTCOME_BOUNCED), 3);
	t_str(world->work[0].seen[0].dsn, "5.1.10");
	close_world(world);

	r = new_route();
	r->status = ROUTE_DEFER;
	r->reason = REASON_DNS_ERROR;
	strlcpy(r->detail, "SERVFAIL", 100);
	send_one(r, NULL);
	t_int(count(world, OUTCOME_DEFERRED), 1);
	t_str(world->work[0].seen[0].detail, "SERVFAIL");
	close_world(world);

	t_case("lane: hosts without an address are told");
	r = new_route();
	add_host(r, "mx.test", NULL)->addr_count = 0;
	r->host[0].error = REASON_DNS_ERROR;
	send_one(r, NULL);
	t_int(count(world, OUTCOME_DEFERRED), 1);
	t_str(world->work[0].seen[0].detail, "mx.test: it has no address");
	close_world(world);

	t_case("lane: a route without hosts defers");
	send_one(new_route(), NULL);
	t_int(count(world, OUTCOME_DEFERRED), 1);
	close_world(world);

	t_case("lane: a lane that ends hands its jobs back");
	open_world(world, LEVEL_REQUIRE, 100);
	give(world, 1, 1);
	run_for(10, stop_loop);
	t_int(world->done, 0);
	lane_free(world->lane);
	world->lane = NULL;
	t_int(count(world, OUTCOME_DEFERRED), 1);
	close_world(world);
}

static void
test_loop(void)
{
	struct lane_route *r;
	struct mx_conduct conduct = { .tls = good };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct sockaddr_in sin = mx_address(mx);
	struct sockaddr_storage own = { 0 };

	memcpy(&own, &sin, sizeof(sin));
	setup.own = &own;
	setup.own_count = 1;
	t_case("lane: ourselves as the best host bounces (5.4.6)");
	r = new_route();
	add_host(r, "mx.test", mx);
	add_host(r, "mx2.test", NULL);
	send_one(r, NULL);
	t_int(count(world, OUTCOME_BOUNCED), 1);
	t_str(world->work[0].seen[0].dsn, "5.4.6");
	close_world(world);

	t_case("lane: ourselves behind another host only ends the list");
	r = new_route();
	add_host(r, "mx2.test", NULL);
	add_host(r, "mx.test", mx);
	send_one(r, NULL);
	t_int(count(world, OUTCOME_DEFERRED), 1);
	t_str(reason_word(world->work[0].seen[0].reason), "connect-failed");
	close_world(world);
	setup.own_count = 0;
	mx_stop(mx);
}

static void
test_gone(void)
{
	struct mx_conduct conduct = { .tls = good, .messages = 1 };
	struct mx *mx = mx_start(1, 0, &conduct);
	int i;

	t_case("lane: a host that takes one message a connection gets all");
	open_world(world, LEVEL_REQUIRE, 100);
	world->next[0] = new_route();
	add_host(world->next[0], "mx.test", mx);
	for (i = 0; i < 10; i++)
		give(world, 1, 2);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), 10);
	t_int(mx_messages(mx), 10);
	close_world(world);
	mx_stop(mx);

	t_case("lane: one that is gone unseen costs no message its turn");
	conduct.gone_silently = true;
	conduct.ehlo = "250-CHUNKING\r\n"; /* all goes out at once */
	mx = mx_start(1, 0, &conduct);
	open_world(world, LEVEL_REQUIRE, 100);
	world->next[0] = new_route();
	add_host(world->next[0], "mx.test", mx);
	for (i = 0; i < 3; i++)
		give(world, 1, 1);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), 3);
	t_int(mx_messages(mx), 3);
	close_world(world);
	mx_stop(mx);
}

static void
test_limit(void)
{
	struct mx_conduct conduct = { .tls = good,
		.ehlo = "250-LIMITS RCPTMAX=2\r\n",
		.rcpt = "550 5.1.1 who?\r\n" };
	struct mx *mx = mx_start(1, 0, &conduct);

	t_case("lane: recipients over the host's limit go in further rounds "
	       "(RFC 9422)");
	open_world(world, LEVEL_REQUIRE, 100);
	world->next[0] = new_route();
	add_host(world->next[0], "mx.test", mx);
	give(world, RCPTS, 1);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), RCPTS - 1);
	t_int(count(world, OUTCOME_BOUNCED), 1);
	t_int(mx_messages(mx), 3);
	t_int(mx_connections(mx), 1);
	close_world(world);
	mx_stop(mx);
}

static void
test_again(void)
{
	struct lane_route *r;
	struct mx_conduct conduct = { .tls = bad };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct sockaddr_in sin = mx_address(mx);

	t_case("lane: once the attack is over the same route serves");
	r = new_route();
	add_host(r, "mx.test", mx);
	send_one(r, NULL);
	t_int(count(world, OUTCOME_DEFERRED), 1);
	mx_stop(mx);
	conduct.tls = good;
	mx = mx_start(1, ntohs(sin.sin_port), &conduct);
	give(world, 1, 1);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), 1);
	t_int(world->asked, 1);
	close_world(world);
	mx_stop(mx);
}

int
main(void)
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
		return 1;
	setup.ev = ev;
	setup.helo = "relay.here.test";
	setup.tls = tls_ctx_client(pki_root(pki), strlen(pki_root(pki)), &why);
	setup.allow = &loopback;
	setup.allow_count = 1;
	test_spread();
	test_pace();
	test_resume();
	test_next_host();
	test_not_elsewhere();
	test_defer();
	test_looks();
	test_route();
	test_loop();
	test_gone();
	test_limit();
	test_again();
	ev_free(ev);
	SSL_CTX_free(good);
	SSL_CTX_free(bad);
	tls_ctx_free(setup.tls);
	pki_free(pki);
	free(world);
	return t_done();
}
