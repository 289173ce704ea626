#include "mtasts/discover.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/t.h"

#define T0 1795507200 /* 2026-11-24 08:00 UTC */
#define DOM "example.net"
#define DAY 86400
#define RENEWAL_FAILED "enforce from cache (sts-policy-fetch-error)"
#define nitems(a) (sizeof(a) / sizeof((a)[0]))
#define ENFORCE \
	"version: STSv1\nmode: enforce\nmax_age: 604800\nmx: a.example\n"
#define TESTING \
	"version: STSv1\nmode: testing\nmax_age: 604800\nmx: a.example\n"
#define SHORT "version: STSv1\nmode: enforce\nmax_age: 60\nmx: a.example\n"
#define SECOND "version: STSv1\nmode: enforce\nmax_age: 1\nmx: a.example\n"
#define ZERO "version: STSv1\nmode: enforce\nmax_age: 0\nmx: a.example\n"

/* One discovery, its clock, and what it has asked for since last looked. */
struct world {
	struct cache *cache;
	struct discover *d;
	time_t now;
	char log[1024];
	struct discover_answer answer; /* the last one; pointers are stale */
};

static void __attribute__((format(printf, 2, 3)))
add(struct world *w, const char *fmt, ...)
{
	size_t len = strlen(w->log);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->log + len, sizeof(w->log) - len, fmt, ap);
	va_end(ap);
}

static void
add_action(struct world *w, const struct discover_action *a)
{
	const char *sep = w->log[0] == '\0' ? "" : ", ";

	switch (a->kind) {
	case DISCOVER_TXT:
		add(w, "%stxt%s", sep, a->fresh ? "!" : "");
		break;
	case DISCOVER_FETCH:
		add(w, "%sfetch", sep);
		break;
	case DISCOVER_ANSWER:
		add(w, "%s%s from %s", sep, mode_word(a->answer.mode),
		    source_word(a->answer.source));
		if (a->answer.trouble != REASON_NONE)
			add(w, " (%s)", reason_word(a->answer.trouble));
		w->answer = a->answer;
		break;
	case DISCOVER_NOTE:
		add(w, "%snote %s", sep, note_word(a->note));
		break;
	}
}

/* All actions since the last look, in one line. */
static const char *
seen(struct world *w)
{
	struct discover_action a;

	w->log[0] = '\0';
	while (discover_next(w->d, &a, w->now))
		add_action(w, &a);
	return w->log;
}

static void
open_world(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->cache = cache_new(CACHE_MEMORY, -1, 200);
	w->d = discover_new(w->cache, 1);
	w->now = T0;
}

static void
close_world(struct world *w)
{
	discover_free(w->d);
	cache_free(w->cache);
}

static const char *
ask(struct world *w, enum discover_why why)
{
	t_int(discover_ask(w->d, DOM, why, w->now), 0);
	return seen(w);
}

static const char *
txt(struct world *w, const char *id)
{
	discover_txt(w->d, DOM, TXT_FOUND, id, w->now);
	return seen(w);
}

static const char *
no_txt(struct world *w, enum discover_txt status)
{
	discover_txt(w->d, DOM, status, "SERVFAIL", w->now);
	return seen(w);
}

static const char *
slow(struct world *w)
{
	discover_slow(w->d, DOM, w->now);
	return seen(w);
}

static const char *
body(struct world *w, const char *text)
{
	struct sts_body served = { .text = text, .len = strlen(text) };

	served.sha256[0] = (uint8_t)served.len;
	discover_fetched(w->d, DOM, &served, w->now);
	return seen(w);
}

static const char *
failed(struct world *w, enum reason reason)
{
	discover_failed(w->d, DOM, reason, "no route", w->now);
	return seen(w);
}

/* A world that holds the policy "text" under id "1", fetched at T0. */
static void
open_with(struct world *w, const char *text)
{
	open_world(w);
	ask(w, ASK_DELIVERY);
	txt(w, "1");
	body(w, text);
}

static void
first_contact(void)
{
	struct world w;

	open_world(&w);
	t_case("first contact: TXT, fetch, answer (RFC 8461 3)");
	t_str(ask(&w, ASK_DELIVERY), "txt");
	t_str(txt(&w, "1"), "fetch");
	t_str(body(&w, ENFORCE), "note new, enforce from fetched");
	t_case("afterwards TXT alone is asked, and the cache serves (3.3)");
	t_str(ask(&w, ASK_DELIVERY), "txt");
	t_str(txt(&w, "1"), "enforce from cache");
	t_int(w.answer.expires, T0 + 604800);
	close_world(&w);

	open_world(&w);
	t_case("no record: no policy, no fetch (RFC 8461 3.1)");
	ask(&w, ASK_DELIVERY);
	t_str(no_txt(&w, TXT_NONE), "absent from none");
	t_case("DNS trouble is told from that");
	ask(&w, ASK_DELIVERY);
	t_str(no_txt(&w, TXT_TROUBLE), "absent from none (dns-error)");
	t_case("and the look-up is tried again at the next attempt");
	t_str(ask(&w, ASK_DELIVERY), "txt");
	t_str(slow(&w), "");
	close_world(&w);
}

static void
single_flight(void)
{
	struct world w;
	int i;

	open_world(&w);
	t_case("500 messages to a cold domain: one TXT, one fetch, one answer");
	t_str(ask(&w, ASK_DELIVERY), "txt");
	for (i = 0; i < 250; i++)
		t_str(ask(&w, ASK_DELIVERY), "");
	t_str(txt(&w, "1"), "fetch");
	for (i = 0; i < 250; i++)
		t_str(ask(&w, ASK_DELIVERY), "");
	t_str(body(&w, ENFORCE), "note new, enforce from fetched");
	t_case("events that nobody waits for are nothing");
	t_str(txt(&w, "2"), "");
	t_str(body(&w, TESTING), "");
	t_str(failed(&w, REASON_STS_POLICY_FETCH_ERROR), "");
	discover_txt(w.d, "other.example", TXT_FOUND, "1", w.now);
	t_str(seen(&w), "");
	close_world(&w);
}

static void
five_minutes(void)
{
	struct world w;

	open_world(&w);
	t_case("a failed fetch without a cached policy: none (RFC 8461 3.3)");
	ask(&w, ASK_DELIVERY);
	txt(&w, "1");
	t_str(failed(&w, REASON_STS_WEBPKI_INVALID),
	    "note refused, absent from none (sts-webpki-invalid)");
	t_case("not again for this id within five minutes (RFC 8461 3.3)");
	w.now += 299;
	t_str(ask(&w, ASK_DELIVERY), "txt");
	t_str(txt(&w, "1"), "absent from none (sts-webpki-invalid)");
	t_case("another id may be tried at once (RFC 8461 3.3)");
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, "2"), "fetch");
	failed(&w, REASON_STS_POLICY_FETCH_ERROR);
	t_case("each id has its own five minutes (RFC 8461 3.3)");
	w.now -= 298;
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, "1"), "absent from none (sts-policy-fetch-error)");
	w.now += 299;
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, "1"), "fetch");
	failed(&w, REASON_STS_POLICY_FETCH_ERROR);
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, "2"), "absent from none (sts-policy-fetch-error)");
	t_case("after five minutes the same id is tried again");
	w.now += 300;
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, "2"), "fetch");
	t_case("a policy that does not parse is a failed fetch (RFC 8461 3.3)");
	t_str(body(&w, "<html>\n"),
	    "note refused, absent from none (sts-policy-invalid)");
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, "2"), "absent from none (sts-policy-invalid)");
	t_case("the clock set back ends the wait");
	w.now -= 3600;
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, "2"), "fetch");
	t_case("the administrator need not wait");
	failed(&w, REASON_STS_POLICY_FETCH_ERROR);
	t_str(ask(&w, ASK_REFRESH), "txt!");
	t_str(txt(&w, "2"), "fetch");
	close_world(&w);
}

static void
cache_holds(void)
{
	struct world w;

	open_with(&w, ENFORCE);
	w.now += 1000;
	t_case("TXT is gone: the cached policy holds (RFC 8461 3.3, 10.2)");
	ask(&w, ASK_DELIVERY);
	t_str(no_txt(&w, TXT_NONE), "enforce from cache");
	t_case("DNS fails: the cached policy holds (RFC 8461 10.2)");
	ask(&w, ASK_DELIVERY);
	t_str(no_txt(&w, TXT_TROUBLE), "enforce from cache (dns-error)");
	t_case("TXT takes long: the cached policy does not wait (10.2)");
	ask(&w, ASK_DELIVERY);
	t_str(slow(&w), "enforce from cache");
	t_str(slow(&w), "");
	t_str(no_txt(&w, TXT_TROUBLE), "");
	t_case(
	    "nor while a changed id is followed by a fetch that hangs (3.3)");
	ask(&w, ASK_DELIVERY);
	t_str(slow(&w), "enforce from cache");
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, "2"), "fetch");
	t_str(slow(&w), "enforce from cache");
	t_str(slow(&w), "");
	ask(&w, ASK_DELIVERY);
	t_str(slow(&w), "enforce from cache");
	t_case("and whoever waits gets the new policy when it comes");
	ask(&w, ASK_DELIVERY);
	t_str(body(&w, ENFORCE), "note refreshed, enforce from fetched");
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, "1"), "fetch");
	body(&w, ENFORCE);
	w.now += 1000;
	t_case("but before a bounce TXT is waited for (RFC 8461 5.1)");
	ask(&w, ASK_FAILED);
	t_str(slow(&w), "");
	t_str(txt(&w, "1"), "fetch");
	t_str(body(&w, ENFORCE), "note refreshed, enforce from fetched");
	t_case("another id prompts a fetch (RFC 8461 3.3)");
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, "2"), "fetch");
	t_case("which fails: the cached policy holds (RFC 8461 3.3)");
	t_str(failed(&w, REASON_STS_POLICY_FETCH_ERROR),
	    "note refused, enforce from cache (sts-policy-fetch-error)");
	t_case("the new policy is invalid: the cached one holds");
	w.now += 301;
	ask(&w, ASK_DELIVERY);
	txt(&w, "2");
	t_str(body(&w, "mode: none\n"),
	    "note refused, enforce from cache (sts-policy-invalid)");
	t_case("a valid new one replaces it");
	w.now += 301;
	ask(&w, ASK_DELIVERY);
	txt(&w, "2");
	t_str(body(&w, TESTING), "note changed, testing from fetched");
	close_world(&w);
}

static void
life(void)
{
	struct world w;

	open_with(&w, ENFORCE);
	t_case("an unchanged id does not prolong its life (RFC 8461 3.3)");
	w.now = T0 + 604799;
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, "1"), "enforce from cache");
	w.now = T0 + 604800;
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, "1"), "fetch");
	t_case("expired and not to be renewed: as if none (RFC 8461 3.3)");
	t_str(failed(&w, REASON_STS_POLICY_FETCH_ERROR),
	    "note refused, absent from none (sts-policy-fetch-error)");
	t_case("expired and no longer announced: none");
	ask(&w, ASK_DELIVERY);
	t_str(no_txt(&w, TXT_NONE), "absent from none");
	t_case("and no wish for a fetch brings it back (RFC 8461 3.1)");
	w.now += 301;
	ask(&w, ASK_FAILED);
	t_str(no_txt(&w, TXT_NONE), "absent from none");
	ask(&w, ASK_REFRESH);
	t_str(no_txt(&w, TXT_NONE), "absent from none");
	ask(&w, ASK_REFRESH);
	t_str(no_txt(&w, TXT_TROUBLE), "absent from none (dns-error)");
	t_case("a log line says once that it ran out");
	discover_tick(w.d, w.now);
	t_str(seen(&w), "note expired");
	discover_tick(w.d, w.now);
	t_str(seen(&w), "");
	t_case("a clock that is put right finds the policy again");
	w.now = T0 + 1000;
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, "1"), RENEWAL_FAILED);
	t_case("after a week's grace it is forgotten");
	w.now = T0 + 604800 + 8 * DAY;
	discover_tick(w.d, w.now);
	seen(&w);
	t_int(cache_count(w.cache), 0);
	close_world(&w);

	open_world(&w);
	t_case("max_age 0 serves the flight that fetched it (RFC 8461 3.2)");
	ask(&w, ASK_DELIVERY);
	txt(&w, "1");
	t_str(body(&w, ZERO), "note new, enforce from fetched");
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, "1"), "fetch");
	close_world(&w);
}

/* So many domains hold a policy whose renewal is due. */
static void
hold_due(struct world *w, int count, const char *name)
{
	struct cache_entry *e;
	char domain[32];
	const char *why;

	for (; count > 0; count--) {
		snprintf(domain, sizeof(domain), "%s%d.example", name, count);
		e = cache_put(w->cache, domain);
		t_int(policy_parse(&e->policy, ENFORCE, strlen(ENFORCE), &why),
		    0);
		e->fetched = e->used = w->now - 2 * DAY;
	}
}

static int
count_begun(struct world *w)
{
	struct discover_action a;
	int n = 0;

	while (discover_next(w->d, &a, w->now))
		n += a.kind == DISCOVER_TXT;
	return n;
}

static void
refreshes(void)
{
	struct world w;
	time_t due;

	open_with(&w, ENFORCE);
	t_case("a refresh is due within a day, with jitter (RFC 8461 10.2)");
	due = cache_find(w.cache, DOM)->refresh;
	t_true(due <= T0 + DAY && due >= T0 + DAY * 3 / 4);
	t_int(discover_tick(w.d, w.now), T0 + 3600);
	t_str(seen(&w), "");
	t_case("it does not hang on TXT (RFC 8461 10.2)");
	w.now = due;
	discover_tick(w.d, w.now);
	t_str(seen(&w), "txt!");
	t_str(no_txt(&w, TXT_TROUBLE), "fetch");
	t_case("and counts the life anew from the fetch (RFC 8461 3.3)");
	t_str(body(&w, ENFORCE), "note refreshed");
	t_int(cache_find(w.cache, DOM)->fetched, due);
	t_case("a failed refresh is tried again, later and later");
	w.now = cache_find(w.cache, DOM)->refresh;
	discover_tick(w.d, w.now);
	seen(&w);
	no_txt(&w, TXT_NONE);
	t_str(failed(&w, REASON_STS_POLICY_FETCH_ERROR), "note refused");
	due = cache_find(w.cache, DOM)->refresh - w.now;
	t_true(due >= 300 && due <= 330);
	w.now += due;
	discover_tick(w.d, w.now);
	t_str(seen(&w), "txt!");
	no_txt(&w, TXT_NONE);
	failed(&w, REASON_STS_POLICY_FETCH_ERROR);
	t_true(cache_find(w.cache, DOM)->refresh - w.now >= 600);
	t_case("the policy holds all the while");
	ask(&w, ASK_DELIVERY);
	t_str(no_txt(&w, TXT_NONE), RENEWAL_FAILED);
	close_world(&w);

	open_with(&w, SHORT);
	t_case("a short life is renewed at half of it");
	due = cache_find(w.cache, DOM)->refresh;
	t_true(due <= T0 + 30 && due >= T0 + 23);
	t_int(discover_tick(w.d, w.now), due);
	t_case("and looked at when it ends, if it cannot be renewed");
	w.now = due;
	t_int(discover_tick(w.d, w.now), T0 + 60);
	t_str(seen(&w), "txt!");
	no_txt(&w, TXT_NONE);
	failed(&w, REASON_STS_POLICY_FETCH_ERROR);
	t_int(discover_tick(w.d, w.now), T0 + 60);
	close_world(&w);

	open_with(&w, SHORT);
	due = cache_find(w.cache, DOM)->refresh;
	t_case("but not for ever when nobody asks");
	cache_find(w.cache, DOM)->used = due - 20 * 60 - 1;
	w.now = due;
	t_int(discover_tick(w.d, w.now), T0 + 60);
	t_str(seen(&w), "");
	close_world(&w);

	open_world(&w);
	t_case(
	    "many that are due do not stand in the way of mail: 100 a second");
	hold_due(&w, 90, "a");
	hold_due(&w, 90, "b");
	t_int(discover_tick(w.d, w.now), T0 + 1);
	t_int(count_begun(&w), 100);
	w.now++;
	discover_tick(w.d, w.now);
	t_int(count_begun(&w), 80);
	close_world(&w);

	open_with(&w, SECOND);
	t_case("a life of a second is not renewed at once, round and round");
	t_int(discover_tick(w.d, w.now), T0 + 1);
	t_str(seen(&w), "");
	close_world(&w);
}

static void
failed_messages(void)
{
	struct world w;

	open_with(&w, ENFORCE);
	t_case("a failure prompts a fetch, id or no id (RFC 8461 5.1)");
	w.now += 60;
	t_str(ask(&w, ASK_FAILED), "txt!");
	t_str(txt(&w, "1"), "fetch");
	body(&w, ENFORCE);
	t_case("at most once in five minutes");
	t_str(ask(&w, ASK_FAILED), "txt!");
	t_str(txt(&w, "1"), "enforce from cache");
	t_case("but for a changed id");
	ask(&w, ASK_FAILED);
	t_str(txt(&w, "2"), "fetch");
	t_str(body(&w, ENFORCE), "note refreshed, enforce from fetched");
	t_case("then again, TXT or no TXT");
	w.now += 301;
	ask(&w, ASK_FAILED);
	t_str(no_txt(&w, TXT_NONE), "fetch");
	t_str(failed(&w, REASON_STS_POLICY_FETCH_ERROR),
	    "note refused, enforce from cache (sts-policy-fetch-error)");
	t_case("at most once in five minutes");
	w.now += 299;
	ask(&w, ASK_FAILED);
	t_str(no_txt(&w, TXT_NONE), RENEWAL_FAILED);
	t_case("before a bounce TXT and policy are asked (RFC 8461 5.1)");
	w.now += 301;
	t_str(ask(&w, ASK_FAILED), "txt!");
	t_str(txt(&w, "2"), "fetch");
	t_str(body(&w, TESTING), "note changed, testing from fetched");
	close_world(&w);
}

static void
damage(void)
{
	struct world w;
	struct cache_entry *e;

	open_world(&w);
	e = cache_put(w.cache, DOM);
	e->damaged = true;
	t_case("a damaged copy is fetched anew even where TXT is gone");
	t_str(ask(&w, ASK_DELIVERY), "note damaged, txt");
	t_str(no_txt(&w, TXT_NONE), "fetch");
	t_case("and the domain waits, once");
	t_str(body(&w, ENFORCE),
	    "note new, unknown from none (sts-policy-fetch-error)");
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, ""), "enforce from cache");
	close_world(&w);

	open_world(&w);
	e = cache_put(w.cache, DOM);
	e->damaged = true;
	t_case("once, even if the fetch fails");
	ask(&w, ASK_DELIVERY);
	txt(&w, "1");
	t_str(failed(&w, REASON_STS_POLICY_FETCH_ERROR),
	    "note refused, unknown from none (sts-policy-fetch-error)");
	ask(&w, ASK_DELIVERY);
	t_str(txt(&w, "1"), "absent from none (sts-policy-fetch-error)");
	close_world(&w);
}

static void
odds(void)
{
	struct discover_answer a;
	struct world w;
	char name[32];
	int i;

	open_with(&w, ENFORCE);
	t_case("a clock set back: the policy holds, is noted and renewed");
	w.now = T0 - 7200;
	t_str(ask(&w, ASK_DELIVERY), "note clock, txt");
	t_str(txt(&w, "1"), "enforce from cache");
	t_str(ask(&w, ASK_DELIVERY), "txt");
	txt(&w, "1");
	discover_tick(w.d, w.now);
	t_str(seen(&w), "txt!");
	txt(&w, "1");
	body(&w, ENFORCE);
	t_int(cache_find(w.cache, DOM)->fetched, T0 - 7200);
	t_case("a look without asking");
	discover_peek(w.d, DOM, &a, w.now);
	t_int(a.mode, POLICY_ENFORCE);
	t_str(a.id, "1");
	t_case("a policy just read from disk knows when it is renewed");
	cache_find(w.cache, DOM)->refresh = 0;
	discover_peek(w.d, DOM, &a, w.now);
	t_true(a.refresh > a.fetched && a.refresh < a.expires);
	cache_find(w.cache, DOM)->refresh = 0;
	ask(&w, ASK_DELIVERY);
	txt(&w, "1");
	t_true(w.answer.refresh == a.refresh);
	t_case("a policy is forgotten on command");
	t_true(discover_forget(w.d, DOM));
	t_true(!discover_forget(w.d, DOM));
	discover_peek(w.d, DOM, &a, w.now);
	t_int(a.mode, POLICY_ABSENT);
	t_case("memory is bounded: 21,000 domains come by");
	for (i = 0; i < 21000; i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		discover_ask(w.d, name, ASK_DELIVERY, w.now);
		seen(&w);
		discover_txt(w.d, name, TXT_NONE, "", w.now);
		seen(&w);
	}
	t_str(w.log, "absent from none");
	close_world(&w);
}

int
main(void)
{
	first_contact();
	single_flight();
	five_minutes();
	cache_holds();
	life();
	refreshes();
	failed_messages();
	damage();
	odds();
	return t_done();
}
