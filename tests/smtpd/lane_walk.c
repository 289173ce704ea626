/* Walks that take longer than a test: its clock goes ahead when it says so. */

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "smtpd/lane.h"
#include "tests/mx.h"
#include "tests/pki.h"
#include "tests/t.h"

#define JOBS 4

static struct ev *ev;
static struct session_setup setup;
static struct netaddr_net loopback;
static SSL_CTX *cert;
static int64_t ahead_s;

/* A lane, the answers to its questions, and what it was given. */
static struct {
	struct lane_pool *pool;
	struct lane *lane;
	struct lane_route *next[3]; /* NULL: silence */
	int asked, given, done, delivered;
	struct lane_job job[JOBS];
	struct lane_rcpt rcpt[JOBS];
} w;

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ts);

	ts->tv_sec += ahead_s;
	return r;
}

static void
on_ask(void *arg, struct lane *lane, bool refresh)
{
	struct lane_route *route = w.next[w.asked];

	(void)arg;
	(void)refresh;
	w.next[w.asked++] = NULL;
	if (route != NULL)
		lane_answer(lane, route);
}

static void
on_result(void *arg, struct lane_job *job, size_t rcpt,
    struct msg_rcpt_result *r)
{
	(void)arg;
	(void)job;
	(void)rcpt;
	w.delivered += r->outcome == OUTCOME_DELIVERED;
}

static void
on_done(void *arg, struct lane_job *job)
{
	(void)arg;
	close(job->body);
	if (++w.done == w.given)
		ev_stop(ev);
}

static void
on_idle(void *arg, struct lane *lane)
{
	(void)arg;
	(void)lane;
}

static time_t
wall_clock(void)
{
	return 1800000000;
}

static void
stop(void *arg)
{
	(void)arg;
	ev_stop(ev);
}

static void
run_for(int ms)
{
	struct ev_timer end = { 0 };

	ev_timer_init(&end, stop, NULL);
	ev_timer_set(ev, &end, ev_now(ev) + ms);
	ev_run(ev);
	ev_timer_del(ev, &end);
}

/* The loop's clock stands still between two runs: this sets it, too. */
static void
pass(int seconds)
{
	ahead_s += seconds;
	run_for(1);
}

static void
finish(void)
{
	run_for(15000);
	t_int(w.done, w.given);
}

static void
open_lane(void)
{
	static const struct lane_ops ops = { on_ask, on_result, on_done,
		on_idle };
	struct lane_pool_options pool = { .setup = &setup,
		.ops = &ops,
		.sessions_max = 9,
		.now = wall_clock };
	struct lane_options lane = { .destination = "test", .domain = "test" };

	memset(&w, 0, sizeof(w));
	w.pool = lane_pool_new(&pool);
	w.lane = lane_new(w.pool, &lane);
	pass(0);
}

static void
close_lane(void)
{
	size_t i;

	lane_free(w.lane);
	run_for(10); /* QUIT and its reply */
	for (i = 0; i < sizeof(w.next) / sizeof(w.next[0]); i++)
		lane_route_free(w.next[i]);
	lane_pool_free(w.pool);
}

/* A host with two addresses, good for a minute. */
static struct lane_route *
route(struct mx *one, struct mx *two)
{
	struct lane_route *r = calloc(1, sizeof(*r));
	struct sockaddr_in sin[2] = { mx_address(one), mx_address(two) };

	r->status = ROUTE_OK;
	r->mode = POLICY_ABSENT;
	r->lifetime_ms = 60000;
	r->host = calloc(1, sizeof(*r->host));
	r->host_count = 1;
	strlcpy(r->host->name, "mx.test", sizeof(r->host->name));
	memcpy(&r->host->addr[0], &sin[0], sizeof(sin[0]));
	memcpy(&r->host->addr[1], &sin[1], sizeof(sin[1]));
	r->host->addr_count = 2;
	return r;
}

static void
give(void)
{
	static const char letter[] = "Subject: x\r\n\r\nbody\r\n";
	struct lane_job *job = &w.job[w.given];

	job->rcpts = &w.rcpt[w.given++];
	job->rcpts->address = "b@test";
	job->rcpts->orcpt = "";
	job->sender = "a@here.test";
	job->envid = "";
	job->size = sizeof(letter) - 1;
	job->body = memfd_create("body", MFD_CLOEXEC);
	if (write(job->body, letter, sizeof(letter) - 1) < 0)
		exit(1);
	job->rcpt_count = 1;
	lane_add(w.lane, job, 1);
}

static void
test_old(void)
{
	struct mx_conduct conduct = { .tls = cert };
	struct mx *one = mx_start(1, 0, &conduct);
	struct mx *two = mx_start(2, 0, &conduct);

	t_case("walk: a lane that is old finds its hosts anew");
	open_lane();
	w.next[0] = route(one, two);
	w.next[1] = route(two, one);
	give();
	finish();
	pass(301);
	give();
	finish();
	t_int(w.delivered, 2);
	t_int(w.asked, 2);
	close_lane();
	mx_stop(one);
	mx_stop(two);
}

static void
test_silent(void)
{
	struct mx_conduct conduct = { .tls = cert };
	struct mx_conduct silent = { .tls = cert, .greet_ms = 1000 };
	struct mx *one = mx_start(1, 0, &silent);
	struct mx *two = mx_start(2, 0, &conduct);

	t_case("walk: a host that never greets is passed over for the next "
	       "(RFC 5321 4.5.3.2.1), in whatever order they are told again");
	open_lane();
	w.next[0] = route(one, two);
	w.next[1] = route(two, one);
	give();
	run_for(50);
	pass(61); /* the route has expired */
	give();
	run_for(50);
	t_int(w.asked, 1);
	pass(240); /* and so has patience */
	finish();
	t_int(w.delivered, 2);
	t_int(w.asked, 2);
	t_int(mx_connections(one), 1);
	t_int(mx_messages(two), 2);
	close_lane();
	mx_stop(one);
	mx_stop(two);
}

static void
test_slow(void)
{
	struct mx_conduct slow = { .tls = cert, .greet_ms = 200 };
	struct mx *mx = mx_start(1, 0, &slow);

	t_case("walk: who greets after the route's time gets the message");
	open_lane();
	w.next[0] = route(mx, mx);
	give();
	run_for(50);
	pass(61);
	finish();
	t_int(w.delivered, 1);
	t_int(w.asked, 1);
	close_lane();
	mx_stop(mx);
}

int
main(void)
{
	struct pki_leaf leaf = { .names = "mx.test", .days = 9 };
	struct pki *pki = pki_new();
	const char *why;

	ev = ev_new();
	cert = pki_server(pki, &leaf);
	if (netaddr_net_parse(&loopback, "127.0.0.0/8", &why) == -1)
		return 1;
	setup.ev = ev;
	setup.helo = "relay.here.test";
	setup.tls = tls_ctx_client(pki_root(pki), strlen(pki_root(pki)), &why);
	setup.allow = &loopback;
	setup.allow_count = 1;
	test_old();
	test_silent();
	test_slow();
	tls_ctx_free(setup.tls);
	SSL_CTX_free(cert);
	pki_free(pki);
	ev_free(ev);
	return t_done();
}
