/*
 * TLS sessions kept to be resumed (RFC 8446 2.2), beyond the life of a lane:
 * each serves once (C.4), and only what is the same in all that a verdict
 * asks for.
 */

#include <stdlib.h>
#include <string.h>

#include "smtpd/base/buf.h"
#include "smtpd/base/log.h"
#include "smtpd/base/tls.h"
#include "smtpd/lane_part.h"

#define KEPT_MAX 1024     /* sessions, of some 4 KiB each */
#define KEPT_MS 3600000   /* for at most */
#define CONTEXT_MAX 65536 /* bytes */

struct kept {
	RB_ENTRY(kept) by_key;
	TAILQ_ENTRY(kept) by_age;
	struct tls_session *tls;
	int64_t until_ms;
	uint8_t key[TLS_SHA256_SIZE];
};

struct lane_resume {
	RB_HEAD(kept_tree, kept) tree;
	TAILQ_HEAD(, kept) line; /* the oldest first */
	size_t count;
};

static int
compare(struct kept *a, struct kept *b)
{
	return memcmp(a->key, b->key, sizeof(a->key));
}

/* RB_GENERATE_STATIC() of libbsd 0.11 needs an __unused that it lacks. */
RB_GENERATE_INTERNAL(kept_tree, kept, by_key, compare,
    static __attribute__((unused)))

static void
add_text(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text) + 1);
}

static void
add_tlsa(struct buf *b, const struct tls_tlsa *t)
{
	buf_add(b, &t->usage, sizeof(t->usage));
	buf_add(b, &t->selector, sizeof(t->selector));
	buf_add(b, &t->matching, sizeof(t->matching));
	buf_add(b, &t->len, sizeof(t->len));
	buf_add(b, t->data, t->len);
}

/* Destination, level, policy, host, its TLSA records and the names that they
 * permit, address and port. */
static bool
make_key(uint8_t key[TLS_SHA256_SIZE], const struct lane *lane,
    const struct lane_route *route, const struct candidate *c)
{
	char addr[NETADDR_TEXT_SIZE];
	struct buf b;
	bool whole;
	size_t i;

	buf_init(&b, CONTEXT_MAX);
	add_text(&b, lane->destination);
	add_text(&b, level_word(lane->level));
	add_text(&b, mode_word(route->mode));
	buf_add(&b, route->policy_sha256, sizeof(route->policy_sha256));
	add_text(&b, c->host->name);
	add_text(&b, c->host->matches ? "matches" : "");
	add_text(&b, netaddr_text((const void *)c->addr, addr));
	add_text(&b, dane_word(c->host->dane));
	add_text(&b, c->host->tlsa_base);
	add_text(&b, route->next_hop);
	add_text(&b, route->expanded);
	for (i = 0; i < c->host->tlsa_count; i++)
		add_tlsa(&b, &c->host->tlsa[i]);
	tls_sha256(buf_bytes(&b), buf_len(&b), key);
	whole = !b.failed;
	buf_clear(&b);
	return whole;
}

static void
drop(struct lane_resume *r, struct kept *k)
{
	RB_REMOVE(kept_tree, &r->tree, k);
	TAILQ_REMOVE(&r->line, k, by_age);
	r->count--;
	tls_session_free(k->tls);
	free(k);
}

struct lane_resume *
lane_resume_new(void)
{
	struct lane_resume *r = xcalloc(1, sizeof(*r));

	RB_INIT(&r->tree);
	TAILQ_INIT(&r->line);
	return r;
}

void
lane_resume_free(struct lane_resume *r)
{
	struct kept *k, *next;

	TAILQ_FOREACH_SAFE(k, &r->line, by_age, next)
		drop(r, k);
	free(r);
}

void
lane_resume_keep(struct berth *b)
{
	struct lane_resume *r = b->lane->pool->resume;
	struct tls_session *tls = session_take_tls(b->session);
	struct kept *k, *other;

	if (tls == NULL)
		return;
	k = xcalloc(1, sizeof(*k));
	if (!make_key(k->key, b->lane, b->plan->route,
		&b->plan->candidate[b->at])) {
		tls_session_free(tls);
		free(k);
		return;
	}
	k->tls = tls;
	k->until_ms = lane_now(b->lane) + KEPT_MS;
	if ((other = RB_FIND(kept_tree, &r->tree, k)) != NULL)
		drop(r, other);
	if (r->count == KEPT_MAX)
		drop(r, TAILQ_FIRST(&r->line));
	RB_INSERT(kept_tree, &r->tree, k);
	TAILQ_INSERT_TAIL(&r->line, k, by_age);
	r->count++;
}

struct tls_session *
lane_resume_take(struct lane *lane, const struct candidate *c)
{
	struct lane_resume *r = lane->pool->resume;
	struct tls_session *tls;
	struct kept want, *k, *next;

	TAILQ_FOREACH_SAFE(k, &r->line, by_age, next) {
		if (k->until_ms > lane_now(lane))
			break;
		drop(r, k);
	}
	if (!make_key(want.key, lane, lane->plan->route, c) ||
	    (k = RB_FIND(kept_tree, &r->tree, &want)) == NULL)
		return NULL;
	tls = k->tls;
	k->tls = NULL;
	drop(r, k);
	return tls;
}
