#include "smtpd/lane.h"

#include <string.h>

#include "tests/smtpd/lane_world.h"

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

static void
test_expect(void)
{
	struct mx_conduct conduct = { .tls = good };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct sockaddr_in sin;

	t_case("lane: a job that is foretold finds its session open");
	open_world(world, LEVEL_REQUIRE, 100);
	world->next[0] = new_route();
	add_host(world->next[0], "mx.test", mx);
	lane_expect(world->lane);
	run_for(200, stop_loop);
	t_int(mx_connections(mx), 1);
	t_int(mx_messages(mx), 0);
	give(world, 1, 1);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), 1);

	t_case("lane: and where one is open no other is opened for it");
	lane_expect(world->lane);
	run_for(100, stop_loop);
	give(world, 1, 1);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), 2);
	t_int(mx_connections(mx), 1);
	t_int(world->asked, 1);
	close_world(world);

	mx_stop(mx);

	t_case("lane: what fails before the job is there has failed for it");
	conduct.tls = bad;
	mx = mx_start(1, 0, &conduct);
	sin = mx_address(mx);
	open_world(world, LEVEL_REQUIRE, 100);
	world->next[0] = new_route();
	add_host(world->next[0], "mx.test", mx);
	lane_expect(world->lane);
	run_for(200, stop_loop);
	give(world, 1, 1);
	finish(world);
	t_int(count(world, OUTCOME_DEFERRED), 1);
	t_int(mx_connections(mx), 1);

	t_case("lane: but not for the next one");
	lane_expect(world->lane);
	run_for(200, stop_loop);
	t_int(mx_connections(mx), 2);
	mx_stop(mx);
	conduct.tls = good;
	mx = mx_start(1, ntohs(sin.sin_port), &conduct);
	lane_expect(world->lane);
	run_for(200, stop_loop);
	give(world, 1, 1);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), 1);
	close_world(world);
	mx_stop(mx);
}

static void
test_many(void)
{
	struct mx_conduct conduct = { .tls = good };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct lane *lanes[JOBS];
	int i;

	t_case("lane: many at once begin a few at a time, and all get there,"
	       " even if those before them need no session any more");
	open_world(world, LEVEL_REQUIRE, 100);
	for (i = 0; i < JOBS; i++) {
		world->next[i] = new_route();
		add_host(world->next[i], "mx.test", mx);
		lanes[i] = world->lane;
		give(world, 1, 1);
		new_lane(world, LEVEL_REQUIRE);
	}
	run_for(0, stop_loop);
	t_true(mx_connections(mx) < JOBS);
	for (i = JOBS / 4; i < JOBS / 2; i++)
		lane_drain(lanes[i]);
	run_for(15000, give_up);
	t_int(world->done, JOBS);
	t_int(count(world, OUTCOME_DELIVERED), mx_messages(mx));
	t_true(mx_messages(mx) >= JOBS * 3 / 4);
	for (i = 0; i < JOBS; i++)
		lane_free(lanes[i]);
	run_for(1000, stop_loop); /* so many QUITs, for valgrind, too */
	close_world(world);
	mx_stop(mx);
}

int
main(void)
{
	make_world();
	test_spread();
	test_pace();
	test_next_host();
	test_not_elsewhere();
	test_defer();
	test_route();
	test_loop();
	test_gone();
	test_limit();
	test_again();
	test_expect();
	test_many();
	end_world();
	return t_done();
}
