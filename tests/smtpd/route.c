#include "smtpd/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/base/log.h"
#include "tests/fakedns.h"
#include "tests/t.h"

#define AD FAKE_AD
#define nitems(a) (sizeof(a) / sizeof((a)[0]))
#define SHA \
	"0301010123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef"
#define PKIX_TA \
	"000001" \
	"0123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef"

static const struct fakedns_row rows[] = {
	{ "plain.example", DNS_MX, "20 b.plain.example", 0, 60 },
	{ "plain.example", DNS_MX, "10 a.plain.example", 0, 60 },
	{ "a.plain.example", DNS_A, "192.0.2.1", 0, 60 },
	{ "a.plain.example", DNS_A, "192.0.2.2", 0, 60 },
	{ "a.plain.example", DNS_AAAA, "2001:db8::1", 0, 60 },
	{ "b.plain.example", DNS_A, "192.0.2.3", 0, 30 },
	{ "implicit.example", DNS_A, "192.0.2.9", 0, 60 },
	{ "nothing.example", DNS_TXT, "x", 0, 60 },
	{ "null.example", DNS_MX, "0 .", 0, 60 },
	{ "broken.example", DNS_MX, NULL, FAKE_SERVFAIL, 0 },
	{ "half.example", DNS_MX, "10 gone.half.example", 0, 60 },
	{ "half.example", DNS_MX, "20 a.plain.example", 0, 60 },
	{ "lost.example", DNS_MX, "10 gone.lost.example", 0, 60 },
	{ "deaf.example", DNS_MX, "10 deaf-host.example", 0, 60 },
	{ "deaf-host.example", DNS_A, "192.0.2.4", 0, 60 },
	{ "deaf-host.example", DNS_AAAA, NULL, FAKE_SERVFAIL, 0 },
	{ "private.example", DNS_MX, "10 ten.example", 0, 60 },
	{ "ten.example", DNS_A, "10.1.2.3", 0, 60 },
	{ "mixed.example", DNS_MX, "10 mixed-host.example", 0, 60 },
	{ "mixed-host.example", DNS_A, "127.0.0.1", 0, 60 },
	{ "mixed-host.example", DNS_A, "192.0.2.7", 0, 60 },
	{ "allowed.example", DNS_MX, "10 allowed-host.example", 0, 60 },
	{ "allowed-host.example", DNS_A, "172.16.5.5", 0, 60 },
	{ "odd.example", DNS_MX, "5 192.0.2.1", 0, 60 },
	{ "odd.example", DNS_MX, "10 under_score.example", 0, 60 },
	{ "self.example", DNS_MX, "10 a.plain.example", 0, 60 },
	{ "self.example", DNS_MX, "20 relay.test", 0, 60 },
	{ "self.example", DNS_MX, "20 b.plain.example", 0, 60 },
	{ "self.example", DNS_MX, "30 deaf-host.example", 0, 60 },
	{ "loop.example", DNS_MX, "10 RELAY.test", 0, 60 },
	{ "loop2.example", DNS_MX, "10 other-name.example", 0, 60 },
	{ "other-name.example", DNS_A, "192.0.2.99", 0, 60 },
	{ "relay.test", DNS_A, "192.0.2.99", 0, 60 },
	{ "twice.example", DNS_MX, "20 b.plain.example", 0, 60 },
	{ "twice.example", DNS_MX, "10 B.plain.example", 0, 60 },
	/* DANE */
	{ "dane.example", DNS_MX, "10 mx.dane.example", AD, 60 },
	{ "mx.dane.example", DNS_A, "192.0.2.20", AD, 60 },
	{ "_25._tcp.mx.dane.example", DNS_TLSA, SHA, AD, 60 },
	{ "insecure-mx.example", DNS_MX, "10 mx.dane.example", 0, 60 },
	{ "insecure-a.example", DNS_MX, "10 mx.insecure-a.example", AD, 60 },
	{ "mx.insecure-a.example", DNS_A, "192.0.2.21", 0, 60 },
	{ "_25._tcp.mx.insecure-a.example", DNS_TLSA, SHA, AD, 60 },
	{ "none.dane.example", DNS_MX, "10 mx.none.example", AD, 60 },
	{ "mx.none.example", DNS_A, "192.0.2.22", AD, 60 },
	{ "unusable.example", DNS_MX, "10 mx.unusable.example", AD, 60 },
	{ "mx.unusable.example", DNS_A, "192.0.2.23", AD, 60 },
	{ "_25._tcp.mx.unusable.example", DNS_TLSA, PKIX_TA, AD, 60 },
	{ "bogus.example", DNS_MX, "10 mx.bogus.example", AD, 60 },
	{ "mx.bogus.example", DNS_A, "192.0.2.24", AD, 60 },
	{ "_25._tcp.mx.bogus.example", DNS_TLSA, NULL, FAKE_SERVFAIL, 0 },
	{ "unsigned-tlsa.example", DNS_MX, "10 mx.ut.example", AD, 60 },
	{ "mx.ut.example", DNS_A, "192.0.2.25", AD, 60 },
	{ "_25._tcp.mx.ut.example", DNS_TLSA, SHA, 0, 60 },
	{ "alias.example", DNS_MX, "10 mx.alias.example", AD, 60 },
	{ "mx.alias.example", FAKE_CNAME, "mx.dane.example", AD, 60 },
	{ "alias2.example", DNS_MX, "10 mx.alias2.example", AD, 60 },
	{ "mx.alias2.example", FAKE_CNAME, "mx.none.example", AD, 60 },
	{ "_25._tcp.mx.alias2.example", DNS_TLSA, SHA, AD, 60 },
	{ "smtp.via.example", DNS_A, "10.9.9.9", AD, 60 },
	{ "_587._tcp.smtp.via.example", DNS_TLSA, SHA, AD, 60 },
	{ "signed.example", DNS_A, "192.0.2.30", AD, 60 },
	{ "_25._tcp.signed.example", DNS_TLSA, SHA, AD, 60 },
	{ "mute.example", DNS_MX, NULL, FAKE_SILENT, 0 },
	{ "long.example", DNS_MX, "10 mx.long.example", AD, 900 },
	{ "mx.long.example", DNS_A, "192.0.2.31", AD, 900 },
	{ "mx.long.example", DNS_AAAA, "2001:db8::31", AD, 900 },
	{ "bare.example", DNS_MX, "10 mx.bare.example", 0, 900 },
	{ "mx.bare.example", DNS_A, "192.0.2.32", 0, 900 },
	{ "mx.bare.example", DNS_AAAA, "2001:db8::32", 0, 900 },
	{ "_mta-sts.bare.example", DNS_TXT, "x", 0, 900 },
	{ "brief.example", DNS_MX, "10 mx.bare.example", 0, 900 },
	{ "_mta-sts.brief.example", DNS_TXT, "x", 0, 20 },
	{ "dark.example", DNS_MX, "10 mx.bare.example", 0, 900 },
	{ "_mta-sts.dark.example", DNS_TXT, NULL, FAKE_SERVFAIL, 0 },
	{ "held.example", DNS_MX, "10 mx.bare.example", 0, 900 },
	{ "_mta-sts.held.example", DNS_TXT, "x", 0, 900 },
};

struct world {
	struct ev *ev;
	struct fakedns *fake;
	struct dns *dns;
	struct sts *sts;
	struct router *router;
	struct host_allow allow;
	struct netaddr_net net;
	char text[4096];
	uint32_t lifetime_ms;
};

static void
add(char *text, size_t size, const char *more)
{
	strlcat(text, more, size);
}

static void
show_host(struct world *w, const struct route_host *h)
{
	char line[1024], addr[NETADDR_TEXT_SIZE];
	size_t i;

	snprintf(line, sizeof(line), "; %u %s", h->preference, h->name);
	add(w->text, sizeof(w->text), line);
	for (i = 0; i < h->addr_count; i++) {
		add(w->text, sizeof(w->text), " ");
		add(w->text, sizeof(w->text),
		    netaddr_text((const struct sockaddr *)&h->addr[i], addr));
	}
	if (h->error != REASON_NONE) {
		add(w->text, sizeof(w->text), " !");
		add(w->text, sizeof(w->text), reason_word(h->error));
	}
	if (h->origin != MX_INSECURE)
		add(w->text, sizeof(w->text),
		    h->origin == MX_VIA ? " via" : " secure");
	if (h->matches)
		add(w->text, sizeof(w->text), " matches");
	if (h->dane != DANE_NONE) {
		snprintf(line, sizeof(line), " dane=%s(%zu)%s%s",
		    dane_word(h->dane), h->tlsa_count,
		    h->tlsa_base[0] != '\0' ? "/" : "", h->tlsa_base);
		add(w->text, sizeof(w->text), line);
	}
}

static void
on_route(void *arg, const struct route *r)
{
	static const char *const words[] = {
		[ROUTE_OK] = "ok",
		[ROUTE_DEFER] = "defer",
		[ROUTE_BOUNCE] = "bounce",
	};
	struct world *w = arg;
	size_t i;

	w->lifetime_ms = r->lifetime_ms;
	snprintf(w->text, sizeof(w->text), "%s %s%s", words[r->status],
	    mode_word(r->mode), r->reason != REASON_NONE ? " " : "");
	add(w->text, sizeof(w->text), reason_word(r->reason));
	for (i = 0; i < r->host_count; i++)
		show_host(w, &r->host[i]);
	ev_stop(w->ev);
}

static const char *
ask(struct world *w, const char *destination)
{
	w->text[0] = '\0';
	router_ask(w->router, destination, ASK_DELIVERY, on_route, w);
	t_str(w->text, ""); /* never before router_ask() ends */
	ev_run(w->ev);
	return w->text;
}

static void
open_world(struct world *w)
{
	struct sockaddr_storage self[1];
	struct router_self who = { "relay.test", self, 1 };
	struct dns_server server = { 0 };
	struct sts_options so = { .kind = CACHE_MEMORY,
		.dirfd = -1,
		.quiet = true,
		.allow = &w->allow };
	struct router_options ro = { 0 };
	const char *why;

	memset(w, 0, sizeof(*w));
	netaddr_net_parse(&w->net, "172.16.0.0/12", &why);
	w->allow.net = &w->net;
	w->allow.count = 1;
	w->ev = ev_new();
	w->fake = fakedns_start(rows, nitems(rows));
	netaddr_parse(&server.addr, "127.0.0.1", fakedns_port(w->fake), &why);
	netaddr_parse(&self[0], "192.0.2.99", 25, &why);
	w->dns = dns_new(w->ev, &server, 1, &why);
	w->sts = sts_new(w->ev, w->dns, &so);
	if (w->dns == NULL || w->sts == NULL)
		abort();
	ro.ev = w->ev;
	ro.dns = w->dns;
	ro.sts = w->sts;
	ro.allow = &w->allow;
	w->router = router_new(&ro);
	router_set_self(w->router, &who);
}

static void
close_world(struct world *w)
{
	dns_free(w->dns);
	sts_free(w->sts);
	router_free(w->router);
	ev_free(w->ev);
	fakedns_stop(w->fake);
}

static const struct {
	const char *sentence;
	const char *destination;
	const char *want;
} cases[] = {
	{ "MX by preference, IPv6 and IPv4 in turn (RFC 5321 5.1)",
	    "plain.example",
	    "ok absent; 10 a.plain.example [2001:db8::1]:25 192.0.2.1:25"
	    " 192.0.2.2:25; 20 b.plain.example 192.0.2.3:25" },
	{ "a final dot and upper case are the same destination",
	    "PLAIN.example.",
	    "ok absent; 10 a.plain.example [2001:db8::1]:25 192.0.2.1:25"
	    " 192.0.2.2:25; 20 b.plain.example 192.0.2.3:25" },
	{ "no MX: the domain itself is the host (RFC 5321 5.1)",
	    "implicit.example", "ok absent; 0 implicit.example 192.0.2.9:25" },
	{ "neither MX nor address: bounced at once", "nothing.example",
	    "bounce absent no-such-domain; 0 nothing.example"
	    " !no-such-domain" },
	{ "NXDOMAIN: bounced at once", "nowhere.example",
	    "bounce absent no-such-domain" },
	{ "null MX: bounced at once (RFC 7505 3)", "null.example",
	    "bounce absent null-mx" },
	{ "SERVFAIL defers", "broken.example", "defer absent dns-error" },
	{ "one MX host that is missing is passed over (tlspol#172)",
	    "half.example",
	    "ok absent; 10 gone.half.example !no-such-domain;"
	    " 20 a.plain.example [2001:db8::1]:25 192.0.2.1:25 192.0.2.2:25" },
	{ "all MX hosts missing defers", "lost.example",
	    "defer absent dns-error; 10 gone.lost.example !no-such-domain" },
	{ "AAAA failing leaves A (tlspol#189)", "deaf.example",
	    "ok absent; 10 deaf-host.example 192.0.2.4:25" },
	{ "a private address is not contacted", "private.example",
	    "defer absent private-address; 10 ten.example !private-address" },
	{ "a private address beside a public one is left out", "mixed.example",
	    "ok absent; 10 mixed-host.example 192.0.2.7:25" },
	{ "a private address that is allowed stays", "allowed.example",
	    "ok absent; 10 allowed-host.example 172.16.5.5:25" },
	{ "an MX that is no host name is no reason to try the domain itself",
	    "odd.example",
	    "defer absent dns-error; 5 192.0.2.1 !no-such-domain;"
	    " 10 under_score.example !dns-error" },
	{ "we and those less preferred are cut off (RFC 5321 5.1)",
	    "self.example",
	    "ok absent; 10 a.plain.example [2001:db8::1]:25 192.0.2.1:25"
	    " 192.0.2.2:25" },
	{ "we alone: a loop, by name", "loop.example",
	    "bounce absent mail-loop" },
	{ "we alone: a loop, by address", "loop2.example",
	    "bounce absent mail-loop" },
	{ "a host that stands twice is tried once, at its best",
	    "twice.example", "ok absent; 10 b.plain.example 192.0.2.3:25" },
	{ "DANE: everything secure (RFC 7672 2.2)", "dane.example",
	    "ok absent; 10 mx.dane.example 192.0.2.20:25 secure"
	    " dane=usable(1)" },
	{ "DANE: not with an unsigned MX (RFC 7672 2.2.1)",
	    "insecure-mx.example",
	    "ok absent; 10 mx.dane.example 192.0.2.20:25" },
	{ "DANE: not with an unsigned address (RFC 7672 2.2.2)",
	    "insecure-a.example",
	    "ok absent; 10 mx.insecure-a.example 192.0.2.21:25 secure" },
	{ "DANE: no records", "none.dane.example",
	    "ok absent; 10 mx.none.example 192.0.2.22:25 secure" },
	{ "DANE: only PKIX-TA is unusable (RFC 7672 3.1.3)", "unusable.example",
	    "ok absent; 10 mx.unusable.example 192.0.2.23:25 secure"
	    " dane=unusable(0)" },
	{ "DANE: a failing look-up marks the host (RFC 7672 2.1.2)",
	    "bogus.example",
	    "ok absent; 10 mx.bogus.example 192.0.2.24:25 secure"
	    " dane=failed(0)" },
	{ "DANE: unsigned TLSA records are none", "unsigned-tlsa.example",
	    "ok absent; 10 mx.ut.example 192.0.2.25:25 secure" },
	{ "DANE: secure CNAMEs lead to the records (RFC 7672 2.2.3)",
	    "alias.example",
	    "ok absent; 10 mx.alias.example 192.0.2.20:25 secure"
	    " dane=usable(1)/mx.dane.example" },
	{ "DANE: else those of the name itself (RFC 7672 2.2.3)",
	    "alias2.example",
	    "ok absent; 10 mx.alias2.example 192.0.2.22:25 secure"
	    " dane=usable(1)" },
	{ "DANE: an implicit MX", "signed.example",
	    "ok absent; 0 signed.example 192.0.2.30:25 secure"
	    " dane=usable(1)" },
	{ "via: the host named, private or not, and its port's TLSA",
	    "smtp.via.example:587",
	    "ok absent; 0 smtp.via.example 10.9.9.9:587 via"
	    " dane=usable(1)" },
	{ "via: the level that the queue adds does not matter",
	    "smtp.via.example:587;strict",
	    "ok absent; 0 smtp.via.example 10.9.9.9:587 via"
	    " dane=usable(1)" },
	{ "via: an address", "192.0.2.77:25",
	    "ok absent; 0 192.0.2.77 192.0.2.77:25 via" },
	{ "via: an IPv6 address", "[2001:db8::7]:25",
	    "ok absent; 0 2001:db8::7 [2001:db8::7]:25 via" },
	{ "an address literal is no domain", "[192.0.2.1]",
	    "bounce absent no-such-domain" },
	{ "nonsense is no domain", "a..b", "bounce absent no-such-domain" },
};

/* A policy as if it had been fetched. */
static void
hold_policy(struct world *w, const char *domain, const char *body)
{
	struct cache_entry *e = cache_put(sts_cache(w->sts), domain);
	const char *why;

	policy_clear(&e->policy);
	t_int(policy_parse(&e->policy, body, strlen(body), &why), 0);
	e->fetched = time(NULL);
}

static void
policies(struct world *w)
{
	t_case("hosts are matched with the policy (RFC 8461 4.1)");
	hold_policy(w, "plain.example",
	    "version: STSv1\nmode: enforce\nmax_age: 1000\n"
	    "mx: b.plain.example\n");
	t_str(ask(w, "plain.example"),
	    "ok enforce; 10 a.plain.example [2001:db8::1]:25 192.0.2.1:25"
	    " 192.0.2.2:25; 20 b.plain.example 192.0.2.3:25 matches");
	t_case("an MX that is a CNAME: the MX record's name counts (4.1)");
	hold_policy(w, "alias.example",
	    "version: STSv1\nmode: enforce\nmax_age: 1000\n"
	    "mx: mx.dane.example\n");
	t_str(ask(w, "alias.example"),
	    "ok enforce; 10 mx.alias.example 192.0.2.20:25 secure"
	    " dane=usable(1)/mx.dane.example");
	t_case("an implicit MX must match as well (4.1)");
	hold_policy(w, "implicit.example",
	    "version: STSv1\nmode: testing\nmax_age: 1000\n"
	    "mx: *.implicit.example\n");
	t_str(ask(w, "implicit.example"),
	    "ok testing; 0 implicit.example 192.0.2.9:25");
	t_case("an MX that is forged and private is a mismatch first");
	hold_policy(w, "private.example",
	    "version: STSv1\nmode: enforce\nmax_age: 1000\n"
	    "mx: mx.private.example\n");
	t_str(ask(w, "private.example"),
	    "defer enforce sts-mx-mismatch; 10 ten.example !private-address");
}

static int answers_left;

static void
on_one_of_many(void *arg, const struct route *r)
{
	struct world *w = arg;

	t_int(r->status, ROUTE_OK);
	if (--answers_left == 0)
		ev_stop(w->ev);
}

static void
many(struct world *w)
{
	unsigned before;
	int i;

	t_case("500 messages at once: one query for each thing");
	before = fakedns_asked(w->fake, "", 0);
	answers_left = 500;
	for (i = 0; i < 500; i++)
		router_ask(w->router, "twice.example", ASK_DELIVERY,
		    on_one_of_many, w);
	ev_run(w->ev);
	t_int(fakedns_asked(w->fake, "_mta-sts.twice.example", DNS_TXT), 1);
	t_int(fakedns_asked(w->fake, "twice.example", DNS_MX), 1);
	t_int(fakedns_asked(w->fake, "b.plain.example", DNS_A), 1);
	t_true(fakedns_asked(w->fake, "", 0) - before <= 4);
}

int
main(void)
{
	struct world w;
	size_t i;

	log_init("test", 2, false, false);
	open_world(&w);
	many(&w);
	for (i = 0; i < nitems(cases); i++) {
		t_case(cases[i].sentence);
		t_str(ask(&w, cases[i].destination), cases[i].want);
	}
	t_case(
	    "a route serves as long as its answers do, five minutes at most");
	ask(&w, "bare.example");
	t_int(w.lifetime_ms, 300000);
	t_case("\"no TLSA records\" is one of those answers (RFC 2308)");
	ask(&w, "long.example");
	t_true(w.lifetime_ms <= 60000);
	t_case(
	    "so is the TXT record: a changed id is to be seen (RFC 8461 3.3)");
	ask(&w, "brief.example");
	t_true(w.lifetime_ms >= 15000 && w.lifetime_ms <= 20000);
	t_case("after a failure of it the next message asks again");
	ask(&w, "dark.example");
	t_int(w.lifetime_ms, 1000);
	t_case("and no longer than the policy lives (RFC 8461 3.2)");
	hold_policy(&w, "held.example",
	    "version: STSv1\nmode: enforce\nmax_age: 100\n"
	    "mx: mx.bare.example\n");
	ask(&w, "held.example");
	t_true(w.lifetime_ms >= 90000 && w.lifetime_ms <= 100000);
	policies(&w);
	t_case("a resolver that is silent ends in a deferral");
	t_str(ask(&w, "mute.example"), "defer absent dns-error");
	close_world(&w);
	return t_done();
}
