/* Which connections serve another lane than the one that opened them. */

#include "tests/smtpd/lane_ways.h"

#define THINK_MS 400 /* some of its hosts need, for each message */
#define GREET_MS 200 /* others need */
#define GONE_MAX 5   /* more than a message is tried on */

static const struct way usual = { USUAL("a", 0) };
static const struct way other = { USUAL("b", 0) };

/* A message by each way, both lanes alive, then one more by the first; frees
 * them. How many connections did it take until then, and in all? */
static void
send_both(const struct way *first, const struct way *second, struct mx *mx,
    int pause_ms, int took[2])
{
	int before = mx_connections(mx);
	struct lane *lane[2];

	lane[0] = begin(first, mx);
	finish(world);
	run_for(pause_ms, stop_loop);
	lane[1] = begin(second, mx);
	finish(world);
	took[0] = mx_connections(mx) - before;
	world->lane = lane[0];
	give(world, 1, 1);
	finish(world);
	took[1] = mx_connections(mx) - before;
	lane_free(lane[0]);
	lane_free(lane[1]);
	world->lane = NULL;
}

/* One connection serves both ways, or each has one that it keeps. */
static void
check(const struct way *first, const struct way *second, struct mx *mx,
    int pause_ms, int want)
{
	int took[2];

	open_empty_world();
	send_both(first, second, mx, pause_ms, took);
	t_int(took[0], want);
	t_int(took[1], want);
	t_int(count(world, OUTCOME_DELIVERED), 3);
	t_int(world->work[1].seen[0].level, second->level);
	t_int(world->work[1].seen[0].policy_sha256[0], second->digest);
	close_world(world);
}

static void
test_context(struct mx *mx)
{
	char name[128];
	size_t i;

	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		(void)snprintf(name, sizeof(name), "share: %s", pairs[i].name);
		t_case(name);
		check(&pairs[i].first, &pairs[i].second, mx, 0,
		    pairs[i].same ? 1 : 2);
	}
}

static void
test_verdict(struct mx *mx)
{
	struct way unsigned_mx = { USUAL("b", 0), .insecure = true };

	t_case("share: the verdict is asked anew for the lane that takes it");
	check(&usual, &unsigned_mx, mx, 0, 1);
	t_true(world->work[0].seen[0].route_secure);
	t_true(!world->work[1].seen[0].route_secure);
}

static void
test_address(struct mx *mx, struct mx *mx2)
{
	int before = mx_connections(mx), before2 = mx_connections(mx2);
	struct lane *lane[2];

	t_case("share: not for another address");
	open_empty_world();
	lane[0] = begin(&usual, mx);
	finish(world);
	lane[1] = begin(&other, mx2);
	finish(world);
	t_int(mx_connections(mx) - before, 1);
	t_int(mx_connections(mx2) - before2, 1);
	end_lanes(lane, 2);
}

static void
test_time(struct mx *mx)
{
	t_case("share: not once it has been free for a while");
	check(&usual, &other, mx, 300, 1);
	spare_ms = 100;
	check(&usual, &other, mx, 300, 2);
	spare_ms = 60000;
}

static void
test_login(struct mx *mx)
{
	struct client_auth auth = { "user", "secret" };
	struct way login = { USUAL("c", 0), .auth = &auth };

	t_case("share: not what was logged in on, nor for one who logs in");
	check(&login, &other, mx, 0, 2);
	check(&usual, &login, mx, 0, 2);
}

static void
test_clear(void)
{
	struct way clear = { BY("a", LEVEL_OPPORTUNISTIC, POLICY_ABSENT, 0,
	    false, 0) };
	struct mx_conduct conduct = { 0 };
	struct mx *mx = mx_start(1, 0, &conduct);

	t_case("share: not in the clear");
	check(&clear, &clear, mx, 0, 2);
	mx_stop(mx);
}

/* Nobody knows yet whether it takes mail. */
static void
test_foretold(struct mx *mx)
{
	int before = mx_connections(mx);
	struct lane *lane[2];

	t_case("share: not what was opened ahead for a message");
	open_empty_world();
	lane[0] = begin(&usual, mx);
	finish(world);
	lane_renew(lane[0]);
	world->next[lanes++] = make_route(&usual, mx);
	lane_expect(lane[0]);
	run_for(30, stop_loop);
	lane[1] = begin(&other, mx);
	finish(world);
	t_int(mx_connections(mx) - before, 3);
	end_lanes(lane, 2);
}

/* It never may: the configuration or the trust store has changed. */
static void
test_renewed(struct mx *mx)
{
	int before = mx_connections(mx);
	struct lane *lane[2];

	t_case("share: not what a reload has ended");
	open_empty_world();
	lane[0] = begin(&usual, mx);
	finish(world);
	lane_renew(lane[0]);
	lane[1] = begin(&other, mx);
	finish(world);
	t_int(mx_connections(mx) - before, 2);
	end_lanes(lane, 2);
}

/* Where it went it stays: its first lane may end, or need another one. */
static void
test_giver(struct mx *mx)
{
	int before = mx_connections(mx);
	struct lane *lane[2];

	t_case("share: the lane that gave it away opens another, or ends");
	open_empty_world();
	lane[0] = begin(&usual, mx);
	finish(world);
	lane[1] = begin(&other, mx);
	world->lane = lane[0];
	give(world, 1, 1);
	finish(world);
	t_int(mx_connections(mx) - before, 2);
	lane_free(lane[0]);
	world->lane = lane[1];
	give(world, 1, 1);
	finish(world);
	t_int(mx_connections(mx) - before, 2);
	t_int(count(world, OUTCOME_DELIVERED), 4);
	lane_free(lane[1]);
	world->lane = NULL;
	close_world(world);
}

/* It was opening another meanwhile, which the host refuses. */
static void
test_giver_refused(void)
{
	struct mx_conduct conduct = { .tls = good,
		.greet_ms = GREET_MS,
		.think_ms = GREET_MS / 2,
		.busy = 2 };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct lane *lane[2];
	int i;

	t_case("share: what is refused to the lane that gave it away says"
	       " nothing of later");
	spare_ms = GREET_MS;
	open_empty_world();
	lane[0] = begin(&usual, mx);
	for (i = 0; i < 3; i++)
		give(world, 1, 2);
	finish(world);
	lane[1] = begin(&other, mx);
	finish(world);
	run_for(GREET_MS * 2, stop_loop);
	t_int(mx_connections(mx), 2);
	world->lane = lane[0];
	give(world, 1, 2);
	finish(world);
	t_int(mx_connections(mx), 3);
	t_int(count(world, OUTCOME_DELIVERED), 6);
	end_lanes(lane, 2);
	mx_stop(mx);
	spare_ms = 60000;
}

/* Three are free; it takes two for three messages. */
static void
test_width(struct mx *mx)
{
	struct lane *lane[4];
	int i;

	t_case("share: within the width of the lane");
	open_empty_world();
	for (i = 0; i < 3; i++)
		lane[i] = begin(i == 0 ? &usual : &other, mx);
	finish(world);
	lane[3] = begin(&usual, mx);
	give(world, 1, 2);
	give(world, 1, 2);
	run_for(THINK_MS / 2, stop_loop);
	t_true(mx_messages(mx) <= 5);
	finish(world);
	t_int(mx_connections(mx), 3);
	t_int(count(world, OUTCOME_DELIVERED), 6);
	end_lanes(lane, 4);
}

/* They were closed meanwhile: a message is not deferred for that. */
static void
test_gone(void)
{
	struct mx_conduct conduct = { .tls = good,
		.messages = 1,
		.think_ms = THINK_MS,
		.gone_silently = true };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct lane *lane[GONE_MAX + 1];
	int i;

	t_case("share: what is gone is replaced at once, by a new one");
	open_empty_world();
	for (i = 0; i < GONE_MAX; i++)
		lane[i] = begin(&usual, mx);
	finish(world);
	lane[i] = begin(&other, mx);
	finish(world);
	t_int(mx_connections(mx), GONE_MAX + 1);
	t_int(count(world, OUTCOME_DELIVERED), GONE_MAX + 1);
	end_lanes(lane, GONE_MAX + 1);
	mx_stop(mx);
}

/* A message each to as many domains, one after the other. */
static void
test_refusal(const char *name, const char *mail, const char *rcpt)
{
	static const char *const domain[] = { "a", "b", "c", "d" };
	struct mx_conduct conduct = { .tls = good,
		.later = true,
		.mail = mail,
		.rcpt = rcpt };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct lane *lane[4];
	int i;

	t_case(name);
	open_empty_world();
	for (i = 0; i < 4; i++) {
		struct way way = { USUAL(domain[i], 0) };

		lane[i] = begin(&way, mx);
		finish(world);
	}
	t_int(count(world, OUTCOME_DELIVERED), 4);
	t_int(mx_connections(mx), 4);
	end_lanes(lane, 4);
	mx_stop(mx);
}

static void
test_refusals(void)
{
	test_refusal("share: what another's connection defers is sent on an"
		     " own one",
	    "450 4.7.1 one message a connection\r\n", NULL);
	test_refusal("share: what it refuses for good, too",
	    "550 5.7.1 one sender a connection\r\n", NULL);
	test_refusal("share: and where it refuses all recipients", NULL,
	    "452 4.5.3 too many recipients\r\n");
}

/* Who refuses a message refuses the next: no other domain is to meet that. */
static void
test_refused(void)
{
	struct mx_conduct conduct = { .tls = good, .end = "554 5.7.1 no\r\n" };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct lane *lane[2];

	t_case("share: not what has refused its last message");
	open_empty_world();
	lane[0] = begin(&usual, mx);
	finish(world);
	lane[1] = begin(&other, mx);
	finish(world);
	t_int(mx_connections(mx), 2);
	t_int(mx_messages(mx), 2);
	t_int(count(world, OUTCOME_BOUNCED), 2);
	end_lanes(lane, 2);
	mx_stop(mx);
}

/* Time counts from its last message, whoever has it. */
static void
test_handed_on(struct mx *mx)
{
	int before = mx_connections(mx);
	struct lane *lane[3];

	t_case("share: handing it on does not make it any younger");
	spare_ms = 200;
	open_empty_world();
	lane[0] = begin(&usual, mx);
	finish(world);
	lane[1] = begin(&other, mx);
	finish(world);
	run_for(120, stop_loop);
	lane_expect(lane[0]);
	run_for(120, stop_loop);
	lane[2] = begin(&usual, mx);
	finish(world);
	t_int(mx_connections(mx) - before, 2);
	t_int(count(world, OUTCOME_DELIVERED), 3);
	end_lanes(lane, 3);
	spare_ms = 60000;
}

/* As with a TLS session that is resumed. */
static void
test_expired(void)
{
	struct pki_leaf leaf = { .names = "mx.test", .seconds = 2 };
	SSL_CTX *brief = pki_server(pki, &leaf);
	struct mx_conduct conduct = { .tls = brief };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct lane *lane[2];
	int i;

	t_case("share: not once its certificate has expired");
	open_empty_world();
	lane[0] = begin(&usual, mx);
	finish(world);
	for (i = 0; i < 2; i++) { /* it stays open */
		run_for(1700, stop_loop);
		give(world, 1, 1);
		finish(world);
	}
	t_int(mx_connections(mx), 1);
	lane[1] = begin(&other, mx);
	finish(world);
	t_int(world->work[3].seen[0].reason, REASON_CERTIFICATE_EXPIRED);
	end_lanes(lane, 2);
	mx_stop(mx);
	SSL_CTX_free(brief);
}

int
main(void)
{
	struct mx_conduct conduct = { .ehlo = "250-AUTH PLAIN\r\n" };
	struct mx *mx, *mx2;

	make_world();
	conduct.tls = good;
	pki_spki(good, spki);
	pki_root_spki(pki, root);
	mx = mx_start(1, 0, &conduct);
	mx2 = mx_start(1, 0, &conduct);
	test_context(mx);
	test_verdict(mx);
	test_address(mx, mx2);
	test_time(mx);
	test_login(mx);
	test_clear();
	test_foretold(mx);
	test_renewed(mx);
	test_handed_on(mx);
	mx_stop(mx);
	mx_stop(mx2);
	test_giver_refused();
	test_gone();
	test_refusals();
	test_refused();
	test_expired();
	conduct.think_ms = THINK_MS;
	mx = mx_start(1, 0, &conduct);
	test_giver(mx);
	mx_stop(mx);
	mx = mx_start(1, 0, &conduct);
	test_width(mx);
	mx_stop(mx);
	end_world();
	return t_done();
}
