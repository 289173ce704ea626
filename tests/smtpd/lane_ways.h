/*
 * Ways to send a message, pair by pair: does what was opened for the first
 * serve the second? For the tests of what lanes share.
 */

#ifndef TESTS_SMTPD_LANE_WAYS_H
#define TESTS_SMTPD_LANE_WAYS_H

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
	bool via;                           /* the administrator named it */
	bool insecure;                      /* as DNS told of it */
	const struct client_auth *auth;     /* log in there */
};

#define UNUSABLE 255 /* usage: records, but of no kind that we know */

static uint8_t spki[32], root[32];
static int lanes; /* of this world; each asks once */

static inline void
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

static inline struct lane_route *
make_route(const struct way *way, struct mx *mx)
{
	struct lane_route *r = new_route();
	const char *name = way->host != NULL ? way->host : "mx.test";
	struct lane_host *h = add_host(r, name, mx);

	r->mode = way->mode;
	r->policy_sha256[0] = way->digest;
	r->policy_fetched = way->digest == 0 ? 0 : wall_clock() - 60;
	strlcpy(r->next_hop, way->destination, sizeof(r->next_hop));
	if (way->expanded != NULL)
		strlcpy(r->expanded, way->expanded, sizeof(r->expanded));
	if (way->base != NULL)
		strlcpy(h->tlsa_base, way->base, sizeof(h->tlsa_base));
	h->matches = way->matches;
	h->origin = way->via ? MX_VIA : way->insecure ? MX_INSECURE : MX_SECURE;
	if (way->usage == UNUSABLE)
		h->dane = DANE_UNUSABLE;
	else if (way->usage != 0)
		add_record(h, way);
	return r;
}

/* A lane of its own, which the caller frees, begins to send one message. */
static inline struct lane *
begin(const struct way *way, struct mx *mx)
{
	struct lane_options options = { .destination = way->destination,
		.domain = way->destination,
		.level = way->level,
		.auth = way->auth };

	world->lane = lane_new(world->pool, &options);
	world->next[lanes++] = make_route(way, mx);
	give(world, 1, 1);
	return world->lane;
}

static inline void
end_lanes(struct lane **lane, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		lane_free(lane[i]);
	world->lane = NULL;
	close_world(world);
}

static inline void
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
	int same;
} pairs[] = {
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
	{ "the administrator named the host", { USUAL("a", 0) },
	    { USUAL("b", 0), .via = true }, 0 },
};

#endif
