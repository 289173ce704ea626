/*
 * TLS sessions kept to be resumed (RFC 8446 2.2), beyond the life of a lane:
 * each serves once (C.4), and only what is the same in all that a verdict
 * asks for. That may be another domain with the same host and the very same
 * policy: providers publish one for all of their customers.
 *
 * As each connection takes one and leaves one, there are no more under a key
 * than there were connections at once.
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
	uint64_t number;
	uint8_t key[TLS_SHA256_SIZE];
};

struct lane_resume {
	RB_HEAD(kept_tree, kept) tree;
	TAILQ_HEAD(, kept) line; /* the oldest first */
	size_t count;
	uint64_t last;
};

/* By key; under one, the newest first. */
static int
compare(struct kept *a, struct kept *b)
{
	int by_key = memcmp(a->key, b->key, sizeof(a->key));

	if (by_key != 0)
		return by_key;
	return (a->number < b->number) - (a->number > b->number);
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

bool
lane_key(uint8_t key[TLS_SHA256_SIZE], const struct lane *lane,
    const struct lane_plan *plan, size_t at)
{
	const struct lane_route *route = plan->route;
	const struct candidate *c = &plan->candidate[at];
	char addr[NETADDR_TEXT_SIZE];
	struct buf b;
	bool whole;
	size_t i;

	buf_init(&b, CONTEXT_MAX);
	add_text(&b, level_word(lane->level));
	add_text(&b, mode_word(route->mode));
	buf_add(&b, route->policy_sha256, sizeof(route->policy_sha256));
	add_text(&b, c->host->name);
	add_text(&b, c->host->origin == MX_VIA ? "via" : "");
	add_text(&b, c->host->matches ? "matches" : "");
	add_text(&b, netaddr_text((const void *)c->addr, addr));
	add_text(&b, dane_word(c->host->dane));
	for (i = 0; i < c->host->tlsa_count; i++)
		add_tlsa(&b, &c->host->tlsa[i]);
	if (c->host->tlsa_count > 0) {
		add_text(&b, c->host->tlsa_base);
		add_text(&b, route->next_hop);
		add_text(&b, route->expanded);
	}
	whole = !b.failed && tls_sha256(buf_bytes(&b), buf_len(&b), key);
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
	struct tls_session *tls;
	struct kept *k;

	if (b->tls_is_kept || !b->has_key ||
	    (tls = session_take_tls(b->session)) == NULL)
		return;
	b->tls_is_kept = true;
	k = xcalloc(1, sizeof(*k));
	memcpy(k->key, b->key, sizeof(k->key));
	k->tls = tls;
	k->until_ms = lane_now(b->lane) + KEPT_MS;
	k->number = ++r->last;
	if (r->count == KEPT_MAX)
		drop(r, TAILQ_FIRST(&r->line));
	RB_INSERT(kept_tree, &r->tree, k);
	TAILQ_INSERT_TAIL(&r->line, k, by_age);
	r->count++;
}

struct tls_session *
lane_resume_take(struct berth *b)
{
	struct lane_resume *r = b->lane->pool->resume;
	struct tls_session *tls;
	struct kept want = { .number = UINT64_MAX }, *k, *next;

	TAILQ_FOREACH_SAFE(k, &r->line, by_age, next) {
		if (k->until_ms > lane_now(b->lane))
			break;
		drop(r, k);
	}
	if (!b->has_key)
		return NULL;
	memcpy(want.key, b->key, sizeof(want.key));
	k = RB_NFIND(kept_tree, &r->tree, &want);
	if (k == NULL || memcmp(k->key, want.key, sizeof(k->key)) != 0)
		return NULL;
	tls = k->tls;
	k->tls = NULL;
	drop(r, k);
	return tls;
}
