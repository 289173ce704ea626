/* Which TLS sessions are resumed (RFC 8446 2.2), and for whom. */

#include <string.h>

#include "tests/smtpd/lane_world.h"

/* How a message is sent: all that its verdict rests on. */
struct way {
	const char *destination;
	enum tls_level level;
	enum policy_mode mode;
	uint8_t digest; /* the first byte of the policy's */
	bool matches;
	uint8_t usage; /* of a TLSA record; 0: there is none */
	const char *host, *base, *expanded; /* names; NULL: the usual */
};

#define UNUSABLE 255 /* usage: records, but of no kind that we know */

static uint8_t spki[32], root[32];
static int lanes; /* of this world; each asks once */

static void
add_record(struct lane_host *h, const struct way *way)
{
	const uint8_t *digest = way->usage == 2 ? root : spki;

	h->dane = DANE_USABLE;
	h->tlsa = calloc(1, sizeof(*h->tlsa));
	h->tlsa_data = calloc(1, sizeof(*h->tlsa_data));
	h->tlsa_data[0] = malloc(sizeof(spki));
	memcpy(h->tlsa_data[0], digest, sizeof(spki));
	h->tlsa[0] = (struct tls_tlsa){ way->usage, 1, 1, sizeof(spki),
		h->tlsa_data[0] };
	h->tlsa_count = 1;
}

static struct lane_route *
make_route(const struct way *way, struct mx *mx)
{
	struct lane_route *r = new_route();
	const char *name = way->host != NULL ? way->host : "mx.test";
	struct lane_host *h = add_host(r, name, mx);

	r->mode = way->mode;
	r->policy_sha256[0] = way->digest;
	strlcpy(r->next_hop, way->destination, sizeof(r->next_hop));
	if (way->expanded != NULL)
		strlcpy(r->expanded, way->expanded, sizeof(r->expanded));
	if (way->base != NULL)
		strlcpy(h->tlsa_base, way->base, sizeof(h->tlsa_base));
	h->matches = way->matches;
	h->origin = MX_SECURE;
	if (way->usage == UNUSABLE)
		h->dane = DANE_UNUSABLE;
	else if (way->usage != 0)
		add_record(h, way);
	return r;
}

/* A lane of its own, which the caller frees, begins to send one message. */
static struct lane *
begin(const struct way *way, struct mx *mx)
{
	struct lane_options options = { .destination = way->destination,
		.domain = way->destination,
		.level = way->level };

	world->lane = lane_new(world->pool, &options);
	world->next[lanes++] = make_route(way, mx);
	give(world, 1, 1);
	return world->lane;
}

static void
send_by(const struct way *way, struct mx *mx)
{
	struct lane *lane = begin(way, mx);

	finish(world);
	world->lane = NULL;
	lane_free(lane);
}

static void
open_empty_world(void)
{
	lanes = 0;
	open_world(world, LEVEL_REQUIRE, 100);
	lane_free(world->lane);
	world->lane = NULL;
}

#define BY(d, l, m, n, listed, u) \
	.destination = (d), .level = (l), .mode = (m), .digest = (n), \
	.matches = (listed), .usage = (u)
#define USUAL(d, u) BY(d, LEVEL_REQUIRE, POLICY_TESTING, 1, true, u)

static const struct {
	const char *name;
	struct way first, second;
	int resumed;
} rows[] = {
	{ "the same, when its lane is long gone", { USUAL("a", 0) },
	    { USUAL("a", 0) }, 1 },
	{ "another domain with the very same policy", { USUAL("a", 0) },
	    { USUAL("b", 0) }, 1 },
	{ "and without any policy",
	    { BY("a", LEVEL_REQUIRE, POLICY_ABSENT, 0, false, 0) },
	    { BY("b", LEVEL_REQUIRE, POLICY_ABSENT, 0, false, 0) }, 1 },
	{ "there was none before",
	    { BY("a", LEVEL_REQUIRE, POLICY_ABSENT, 0, false, 0) },
	    { BY("a", LEVEL_REQUIRE, POLICY_TESTING, 0, false, 0) }, 0 },
	{ "the policy's file differs", { USUAL("a", 0) },
	    { BY("b", LEVEL_REQUIRE, POLICY_TESTING, 2, true, 0) }, 0 },
	{ "its mode differs", { USUAL("a", 0) },
	    { BY("b", LEVEL_REQUIRE, POLICY_ENFORCE, 1, true, 0) }, 0 },
	{ "it does not list the host", { USUAL("a", 0) },
	    { BY("b", LEVEL_REQUIRE, POLICY_TESTING, 1, false, 0) }, 0 },
	{ "the level differs", { USUAL("a", 0) },
	    { BY("b", LEVEL_OPPORTUNISTIC, POLICY_TESTING, 1, true, 0) }, 0 },
	{ "TLSA records have come", { USUAL("a", 0) }, { USUAL("a", 3) }, 0 },
	{ "they have gone", { USUAL("a", 3) }, { USUAL("a", 0) }, 0 },
	{ "there are none of a kind we know", { USUAL("a", 0) },
	    { USUAL("a", UNUSABLE) }, 0 },
	{ "another name of the host", { USUAL("a", 0) },
	    { USUAL("a", 0), .host = "mx2.test" }, 0 },
	{ "the same records", { USUAL("a", 3) }, { USUAL("a", 3) }, 1 },
	{ "others that fit as well", { USUAL("a", 3) }, { USUAL("a", 2) }, 0 },
	{ "they stand at another name", { USUAL("a", 3) },
	    { USUAL("a", 3), .base = "mx1.test" }, 0 },
	{ "DANE-TA, and an alias of the domain", { USUAL("a", 2) },
	    { USUAL("a", 2), .expanded = "b" }, 0 },
	{ "DANE-TA, and other names that it permits (RFC 7672 3.2.2)",
	    { USUAL("a", 2) }, { USUAL("b", 2) }, 0 },
};

static void
test_context(struct mx *mx)
{
	char name[128];
	size_t i;
	int before;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)snprintf(name, sizeof(name), "resume: %s", rows[i].name);
		t_case(name);
		before = mx_resumed(mx);
		open_empty_world();
		send_by(&rows[i].first, mx);
		t_int(mx_resumed(mx), before);
		send_by(&rows[i].second, mx);
		t_int(mx_resumed(mx), before + rows[i].resumed);
		t_int(count(world, OUTCOME_DELIVERED), 2);
		close_world(world);
	}
}

static void
test_address(struct mx *mx, struct mx *other)
{
	static const struct way way = { USUAL("a", 0) };

	t_case("resume: another address of the host");
	open_empty_world();
	send_by(&way, mx);
	send_by(&way, other);
	t_int(mx_resumed(other), 0);
	t_int(count(world, OUTCOME_DELIVERED), 2);
	close_world(world);
}

/* One message to each of as many domains, at once; how many resumed? */
static int
send_together(struct mx *mx, int n)
{
	static const struct way ways[] = { { USUAL("a", 0) }, { USUAL("b", 0) },
		{ USUAL("c", 0) } };
	int i, before = mx_resumed(mx);
	struct lane *lane[3];

	for (i = 0; i < n; i++)
		lane[i] = begin(&ways[i], mx);
	finish(world);
	world->lane = NULL;
	for (i = 0; i < n; i++)
		lane_free(lane[i]);
	return mx_resumed(mx) - before;
}

static void
test_number(struct mx *mx)
{
	t_case("resume: connections at once leave a session each, and each"
	       " serves once (RFC 8446 C.4)");
	open_empty_world();
	t_int(send_together(mx, 2), 0);
	t_int(send_together(mx, 3), 2);
	t_int(send_together(mx, 3), 3);
	t_int(count(world, OUTCOME_DELIVERED), 8);
	t_int(mx_connections(mx), 8);
	close_world(world);
}

/* Else one host could fill the place for all (RFC 8446 4.6.1). */
static void
test_tickets(struct mx *mx)
{
	static const struct way way = { USUAL("d", 0) };
	struct lane *lane;

	t_case("resume: a host that sends many tickets leaves one");
	open_empty_world();
	lane = begin(&way, mx);
	give(world, 1, 1);
	give(world, 1, 1);
	finish(world);
	world->lane = NULL;
	lane_free(lane);
	t_int(mx_connections(mx), 1);
	t_int(send_together(mx, 2), 1);
	t_int(count(world, OUTCOME_DELIVERED), 5);
	close_world(world);
}

int
main(void)
{
	struct mx_conduct conduct = { 0 };
	struct mx *mx, *other;

	make_world();
	conduct.tls = good;
	pki_spki(good, spki);
	pki_root_spki(pki, root);
	mx = mx_start(1, 0, &conduct);
	other = mx_start(1, 0, &conduct);
	test_context(mx);
	test_address(mx, other);
	mx_stop(mx);
	mx_stop(other);
	conduct.think_ms = 300;
	mx = mx_start(1, 0, &conduct);
	test_number(mx);
	mx_stop(mx);
	conduct.tickets = true;
	mx = mx_start(1, 0, &conduct);
	test_tickets(mx);
	mx_stop(mx);
	end_world();
	return t_done();
}
