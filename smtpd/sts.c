#include "smtpd/sts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "mtasts/fetch.h"
#include "mtasts/flight.h"
#include "mtasts/record.h"
#include "smtpd/base/log.h"
#include "smtpd/fetch_loop.h"
#include "smtpd/sts_log.h"

#define FLUSH_MS 100         /* after a change, before it is written */
#define FLUSH_AT_ONCE 128    /* files a turn: the loop must not stall */
#define FLUSH_AGAIN_MS 60000 /* after an error */
#define TICK_MAX_S 60
#define SLOW_MS 2000 /* that a message waits where a policy is known */

/* Someone who asked. */
struct asker {
	TAILQ_ENTRY(asker) entry;
	char domain[HOST_SIZE];
	sts_cb *cb;
	void *arg;
};
TAILQ_HEAD(askers, asker);

/* A look-up under way for a domain. */
struct errand {
	LIST_ENTRY(errand) entry;
	struct sts *sts;
	struct ev_timer slow;
	char domain[HOST_SIZE];
};

struct sts {
	struct ev *ev;
	struct dns *dns;
	struct sts_options options;
	const struct tls_ctx *tls;
	struct cache *cache;
	struct discover *discover;
	struct fetch_loop loop;
	struct ev_timer tick, flush;
	struct ev_task task;
	struct askers askers;
	LIST_HEAD(, errand) errands;
	bool flush_failed; /* told already */
	struct sts_stats stats;
};

static void run(void *arg);

/* Carry out actions at the end of the turn, so that no callback runs within a
 * call from outside. */
static void
wake(struct sts *s)
{
	ev_soon(s->ev, &s->task, run, s);
}

/* ---- what a fetch wants of us ---- */

static void
hook_watch(void *arg, int fd, unsigned events)
{
	fetch_loop_watch(&((struct sts *)arg)->loop, fd, events);
}

static void
hook_timer(void *arg, long ms)
{
	fetch_loop_timer(&((struct sts *)arg)->loop, ms);
}

static bool
hook_may_connect(void *arg, const struct sockaddr *addr)
{
	const struct host_allow *allow = ((struct sts *)arg)->options.allow;

	return netaddr_may_connect(allow->net, allow->count, addr);
}

static void
hook_trust(void *arg, void *ssl_ctx, const char *host)
{
	struct sts *s = arg;

	tls_ctx_lend_trust(s->tls, ssl_ctx, host);
}

/* ---- the two look-ups of a discovery ---- */

/* The look-up takes long: those who can do with the policy held are answered,
 * now, and again later for whoever asks meanwhile. */
static void
on_slow(void *arg)
{
	struct errand *e = arg;

	discover_slow(e->sts->discover, e->domain, time(NULL));
	wake(e->sts);
	ev_timer_set(e->sts->ev, &e->slow, ev_now(e->sts->ev) + SLOW_MS);
}

static struct errand *
new_errand(struct sts *s, const char *domain)
{
	struct errand *e = xcalloc(1, sizeof(*e));

	e->sts = s;
	strlcpy(e->domain, domain, sizeof(e->domain));
	LIST_INSERT_HEAD(&s->errands, e, entry);
	ev_timer_init(&e->slow, on_slow, e);
	ev_timer_set(s->ev, &e->slow, ev_now(s->ev) + SLOW_MS);
	return e;
}

/* NULL: none is under way for the domain. */
static struct errand *
find_errand(struct sts *s, const char *domain)
{
	struct errand *e;

	LIST_FOREACH(e, &s->errands, entry)
		if (strcmp(e->domain, domain) == 0)
			break;
	return e;
}

static void
end_errand(struct errand *e)
{
	ev_timer_del(e->sts->ev, &e->slow);
	LIST_REMOVE(e, entry);
	free(e);
}

static void
judge_txt(struct errand *e, const struct dns_answer *answer)
{
	struct sts_txt txts[DNS_RECORDS_MAX];
	char id[STS_ID_SIZE] = "";
	const char *why = "";
	size_t i;

	for (i = 0; i < answer->count; i++) {
		txts[i].text = (const char *)answer->record[i].data;
		txts[i].len = answer->record[i].len;
	}
	if (record_choose(txts, answer->count, id, &why) == 0)
		discover_txt(e->sts->discover, e->domain, TXT_FOUND, id,
		    time(NULL));
	else
		discover_txt(e->sts->discover, e->domain, TXT_NONE, why,
		    time(NULL));
}

static void
on_txt(void *arg, const struct dns_answer *answer)
{
	struct errand *e = arg;
	char detail[FLIGHT_DETAIL_SIZE];

	switch (answer->status) {
	case DNS_OK:
		judge_txt(e, answer);
		break;
	case DNS_NODATA:
	case DNS_NXDOMAIN:
		discover_txt(e->sts->discover, e->domain, TXT_NONE, "",
		    time(NULL));
		break;
	case DNS_FAILED:
	case DNS_TIMEOUT:
		snprintf(detail, sizeof(detail), "TXT of _mta-sts.%.100s: %s",
		    e->domain, answer->why);
		discover_txt(e->sts->discover, e->domain, TXT_TROUBLE, detail,
		    time(NULL));
		break;
	}
	wake(e->sts);
	end_errand(e);
}

/* A policy may live for less than the time to the next look at them all. */
static void
tick_in_time(struct sts *s, const char *domain)
{
	const struct cache_entry *e = cache_find(s->cache, domain);
	int64_t at;

	if (e == NULL)
		return;
	at = ev_now(s->ev) + (int64_t)(e->refresh - time(NULL)) * 1000;
	if (s->tick.armed && at < s->tick.at_ms)
		ev_timer_set(s->ev, &s->tick, at);
}

static void
on_fetched(void *arg, const char *domain, const struct fetch_result *r)
{
	struct sts *s = arg;
	struct errand *e = find_errand(s, domain);
	struct sts_body body = { .text = r->body, .len = r->len };

	if (r->reason == REASON_NONE) {
		(void)tls_sha256(r->body, r->len, body.sha256);
		discover_fetched(s->discover, domain, &body, time(NULL));
	} else {
		s->stats.fetch_errors++;
		discover_failed(s->discover, domain, r->reason, r->detail,
		    time(NULL));
	}
	if (e != NULL)
		end_errand(e);
	tick_in_time(s, domain);
	wake(s);
}

static void
fail_address(struct errand *e, const struct host_addrs *h)
{
	enum reason reason = REASON_STS_POLICY_FETCH_ERROR;
	char detail[FLIGHT_DETAIL_SIZE];
	const char *what = "has no address";
	char words[HOST_WORDS_SIZE];

	if (h->status == DNS_FAILED || h->status == DNS_TIMEOUT)
		what = h->why;
	else if (h->refused > 0) {
		reason = REASON_PRIVATE_ADDRESS;
		host_tell_private(h, words);
		what = words;
	}
	snprintf(detail, sizeof(detail), "mta-sts.%.90s %.150s", e->domain,
	    what);
	e->sts->stats.fetch_errors++;
	discover_failed(e->sts->discover, e->domain, reason, detail,
	    time(NULL));
	wake(e->sts);
}

static void
on_addresses(void *arg, const struct host_addrs *h)
{
	struct errand *e = arg;

	/* The errand is over when on_fetched() is called. */
	if (h->count > 0 &&
	    fetch_start(e->sts->loop.fetch, e->domain, h->addr, h->count) == -1)
		log_die("no memory for a policy fetch");
	if (h->count > 0)
		return;
	fail_address(e, h);
	end_errand(e);
}

static void
ask_txt(struct sts *s, const char *domain, bool fresh)
{
	struct errand *e = new_errand(s, domain);
	char name[DNS_NAME_SIZE + 16];

	snprintf(name, sizeof(name), "_mta-sts.%s", domain);
	if (fresh)
		dns_ask_fresh(s->dns, name, DNS_TXT, on_txt, e);
	else
		dns_ask(s->dns, name, DNS_TXT, on_txt, e);
}

static void
begin_fetch(struct sts *s, const char *domain)
{
	char name[DNS_NAME_SIZE + 16];

	s->stats.fetches++;
	if (s->tls == NULL) {
		discover_failed(s->discover, domain,
		    REASON_STS_POLICY_FETCH_ERROR, "no trust store is loaded",
		    time(NULL));
		return;
	}
	snprintf(name, sizeof(name), "mta-sts.%s", domain);
	host_ask(s->dns, name, s->options.allow, on_addresses,
	    new_errand(s, domain));
}

/* ---- what discovery has to say ---- */

static void
move_asker(struct askers *from, struct askers *to, struct asker *a)
{
	TAILQ_REMOVE(from, a, entry);
	if (to != NULL)
		TAILQ_INSERT_TAIL(to, a, entry);
}

static void
tell_askers(struct sts *s, const char *domain,
    const struct discover_answer *answer)
{
	struct askers told = TAILQ_HEAD_INITIALIZER(told);
	struct asker *a, *next;

	/* A callback may ask again. */
	TAILQ_FOREACH_SAFE(a, &s->askers, entry, next)
		if (strcmp(a->domain, domain) == 0)
			move_asker(&s->askers, &told, a);
	TAILQ_FOREACH_SAFE(a, &told, entry, next) {
		a->cb(a->arg, answer);
		free(a);
	}
}

static void
begin_flush(struct sts *s)
{
	if (!s->flush.armed && s->options.kind == CACHE_WRITE)
		ev_timer_set(s->ev, &s->flush, ev_now(s->ev) + FLUSH_MS);
}

static void
tell_changed(struct sts *s, const char *domain)
{
	if (s->options.changed != NULL)
		s->options.changed(s->options.arg, domain);
}

static void
note(struct sts *s, const struct discover_action *a)
{
	if (a->note == NOTE_NEW || a->note == NOTE_CHANGED)
		tell_changed(s, a->domain);
	if (!s->options.quiet)
		sts_log(a);
	begin_flush(s);
}

static void
run(void *arg)
{
	struct sts *s = arg;
	struct discover_action a;

	while (discover_next(s->discover, &a, time(NULL))) {
		switch (a.kind) {
		case DISCOVER_TXT:
			ask_txt(s, a.domain, a.fresh);
			break;
		case DISCOVER_FETCH:
			begin_fetch(s, a.domain);
			break;
		case DISCOVER_ANSWER:
			tell_askers(s, a.domain, &a.answer);
			break;
		case DISCOVER_NOTE:
			note(s, &a);
			break;
		}
	}
}

static void
on_flush(void *arg)
{
	struct sts *s = arg;
	int left = cache_flush(s->cache, FLUSH_AT_ONCE);

	if (left == -1) {
		if (!s->flush_failed && !s->options.quiet)
			log_note(LOG_PRI_ERR,
			    "the policy cache cannot be written: %s",
			    strerror(errno));
		s->flush_failed = true;
		ev_timer_set(s->ev, &s->flush, ev_now(s->ev) + FLUSH_AGAIN_MS);
		return;
	}
	s->flush_failed = false;
	if (left > 0)
		ev_timer_set(s->ev, &s->flush, ev_now(s->ev) + 1);
}

static void
on_tick(void *arg)
{
	struct sts *s = arg;
	time_t now = time(NULL), next;

	next = discover_tick(s->discover, now);
	run(s);
	if (next - now > TICK_MAX_S || next < now)
		next = now + TICK_MAX_S;
	ev_timer_set(s->ev, &s->tick,
	    ev_now(s->ev) + (int64_t)(next - now) * 1000);
}

/* ---- the face ---- */

struct sts *
sts_new(struct ev *ev, struct dns *dns, const struct sts_options *options)
{
	struct sts *s = xcalloc(1, sizeof(*s));
	struct fetch_hooks hooks = { hook_watch, hook_timer, hook_may_connect,
		hook_trust, on_fetched, s };

	s->ev = ev;
	s->dns = dns;
	s->options = *options;
	fetch_loop_init(&s->loop, ev);
	TAILQ_INIT(&s->askers);
	ev_timer_init(&s->tick, on_tick, s);
	ev_timer_init(&s->flush, on_flush, s);
	s->cache = cache_new(options->kind, options->dirfd, CACHE_MAX);
	s->loop.fetch = fetch_new(&hooks,
	    options->fetch_s > 0 ? options->fetch_s : FETCH_TOTAL_S);
	if (s->cache == NULL || s->loop.fetch == NULL) {
		sts_free(s);
		return NULL;
	}
	s->discover = discover_new(s->cache, arc4random());
	if (s->discover == NULL)
		log_die("no memory");
	return s;
}

void
sts_free(struct sts *s)
{
	struct errand *e, *following;
	struct asker *a, *next;

	if (s == NULL)
		return;
	ev_timer_del(s->ev, &s->tick);
	ev_timer_del(s->ev, &s->flush);
	fetch_free(s->loop.fetch);
	fetch_loop_clear(&s->loop);
	ev_soon_del(s->ev, &s->task);
	TAILQ_FOREACH_SAFE(a, &s->askers, entry, next)
		free(a);
	LIST_FOREACH_SAFE(e, &s->errands, entry, following)
		end_errand(e);
	discover_free(s->discover);
	cache_free(s->cache);
	free(s);
}

void
sts_trust(struct sts *s, const struct tls_ctx *tls)
{
	s->tls = tls;
}

void
sts_use_dns(struct sts *s, struct dns *dns)
{
	s->dns = dns;
}

static void
on_damage(void *arg, const char *domain, const char *why)
{
	struct sts *s = arg;
	struct log_line line;

	if (s->options.quiet)
		return;
	log_begin(&line, LOG_PRI_WARNING, "policy-damaged");
	log_str(&line, "domain", domain);
	log_str(&line, "detail", why);
	log_end(&line);
}

void
sts_start(struct sts *s)
{
	if (cache_load(s->cache, on_damage, s) == -1 && !s->options.quiet)
		log_note(LOG_PRI_ERR, "the policy cache cannot be read: %s",
		    strerror(errno));
	ev_timer_set(s->ev, &s->tick, ev_now(s->ev) + 1000);
}

void
sts_stop(struct sts *s)
{
	ev_timer_del(s->ev, &s->tick);
	ev_timer_del(s->ev, &s->flush);
	(void)cache_flush(s->cache, CACHE_MAX);
}

void
sts_ask(struct sts *s, const char *domain, enum discover_why why, sts_cb *cb,
    void *arg)
{
	struct asker *a = xcalloc(1, sizeof(*a));

	strlcpy(a->domain, domain, sizeof(a->domain));
	a->cb = cb;
	a->arg = arg;
	TAILQ_INSERT_TAIL(&s->askers, a, entry);
	if (s->options.kind == CACHE_READ &&
	    cache_find(s->cache, domain) == NULL)
		(void)cache_load_one(s->cache, domain, on_damage, s);
	if (discover_ask(s->discover, domain, why, time(NULL)) == -1)
		log_die("no memory for a discovery");
	wake(s);
}

uint32_t
sts_txt_s(struct sts *s, const char *domain)
{
	char name[DNS_NAME_SIZE + 16];

	if (find_errand(s, domain) != NULL)
		return 0;
	snprintf(name, sizeof(name), "_mta-sts.%s", domain);
	return dns_kept_s(s->dns, name, DNS_TXT);
}

bool
sts_forget(struct sts *s, const char *domain)
{
	struct log_line line;

	if (!discover_forget(s->discover, domain))
		return false;
	tell_changed(s, domain);
	if (s->options.quiet)
		return true;
	log_begin(&line, LOG_PRI_NOTICE, "policy-forgotten");
	log_str(&line, "domain", domain);
	log_end(&line);
	return true;
}

void
sts_peek(struct sts *s, const char *domain, struct discover_answer *answer)
{
	discover_peek(s->discover, domain, answer, time(NULL));
}

struct cache *
sts_cache(struct sts *s)
{
	return s->cache;
}

void
sts_stats(struct sts *s, struct sts_stats *out)
{
	struct cache_entry *e;

	*out = s->stats;
	for (e = cache_first(s->cache); e != NULL; e = cache_next(e)) {
		if (e->damaged)
			continue;
		out->enforce += e->policy.mode == POLICY_ENFORCE;
		out->testing += e->policy.mode == POLICY_TESTING;
		out->none += e->policy.mode == POLICY_NONE;
	}
}
