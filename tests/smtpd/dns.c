#include "smtpd/dns.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/base/log.h"
#include "smtpd/netaddr.h"
#include "tests/fakedns.h"
#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

static const struct fakedns_row rows[] = {
	{ "a.example", DNS_A, "192.0.2.1", FAKE_AD, 60 },
	{ "short.example", DNS_A, "192.0.2.1", 0, 0 },
	{ "one.example", DNS_A, "192.0.2.1", 0, 1 },
	{ "big.example", DNS_TXT, "over TCP", FAKE_TC, 60 },
	{ "fail.example", DNS_A, NULL, FAKE_SERVFAIL, 0 },
	{ "none.example", DNS_A, NULL, 0, 0 },
	{ "old.example", DNS_A, "192.0.2.1", FAKE_NO_EDNS | FAKE_AD, 60 },
	{ "old.example", DNS_TXT, "old", FAKE_NO_EDNS, 60 },
	{ "slow.example", DNS_A, "192.0.2.1", FAKE_SLOW, 60 },
};

/* A resolver that never answers, one that fails, one that works. */
static const struct fakedns_row silent[] = {
	{ "a.example", DNS_A, NULL, FAKE_SILENT, 0 },
	{ "fail.example", DNS_A, NULL, FAKE_SERVFAIL, 0 },
};

struct world {
	struct ev *ev;
	struct fakedns *fake[2];
	struct dns *dns;
	unsigned answers, wanted;
	enum dns_status status;
	bool secure;
	uint32_t ttl_s;
	size_t count;
	char data[64];
};

static void
on_answer(void *arg, const struct dns_answer *a)
{
	struct world *w = arg;

	w->status = a->status;
	w->secure = a->secure;
	w->ttl_s = a->ttl_s;
	w->count = a->count;
	w->data[0] = '\0';
	if (a->count > 0)
		strlcpy(w->data, (const char *)a->record[0].data,
		    sizeof(w->data));
	if (++w->answers == w->wanted)
		ev_stop(w->ev);
}

static void
open_world(struct world *w, int fakes, const char *address)
{
	struct dns_server servers[2];
	const char *why;

	memset(w, 0, sizeof(*w));
	memset(servers, 0, sizeof(servers));
	w->ev = ev_new();
	w->fake[0] = fakes > 1 ? fakedns_start(silent, nitems(silent))
			       : fakedns_start(rows, nitems(rows));
	if (fakes > 1)
		w->fake[1] = fakedns_start(rows, nitems(rows));
	for (int i = 0; i < fakes; i++)
		netaddr_parse(&servers[i].addr, address,
		    fakedns_port(w->fake[i]), &why);
	w->dns = dns_new(w->ev, servers, (size_t)fakes, &why);
	if (w->dns == NULL)
		abort();
}

/* Ask this resolver instead. */
static void
point_to(struct world *w, const struct fakedns *fake)
{
	struct dns_server server = { 0 };
	const char *why;

	dns_free(w->dns);
	netaddr_parse(&server.addr, "127.0.0.1", fakedns_port(fake), &why);
	w->dns = dns_new(w->ev, &server, 1, &why);
	if (w->dns == NULL)
		abort();
}

static void
close_world(struct world *w)
{
	dns_free(w->dns);
	ev_free(w->ev);
	fakedns_stop(w->fake[0]);
	if (w->fake[1] != NULL)
		fakedns_stop(w->fake[1]);
}

static enum dns_status
ask(struct world *w, const char *name, enum dns_type type, bool fresh)
{
	w->answers = 0;
	w->wanted = 1;
	if (fresh)
		dns_ask_fresh(w->dns, name, type, on_answer, w);
	else
		dns_ask(w->dns, name, type, on_answer, w);
	t_int(w->answers, 0);
	ev_run(w->ev);
	return w->status;
}

static unsigned
asked(struct world *w, const char *name)
{
	return fakedns_asked(w->fake[0], name, DNS_A);
}

static void
keeping(void)
{
	struct ev_timer timer = { 0 };
	struct dns_stats stats;
	struct world w;
	char name[32];
	int i;

	open_world(&w, 1, "127.0.0.1");
	t_case("an answer is kept for its TTL");
	t_int(ask(&w, "a.example", DNS_A, false), DNS_OK);
	t_int(ask(&w, "A.Example", DNS_A, false), DNS_OK);
	t_int(asked(&w, "a.example"), 1);
	t_case("a fresh question passes over what is kept");
	t_int(ask(&w, "a.example", DNS_A, true), DNS_OK);
	t_int(asked(&w, "a.example"), 2);
	t_case("another type is another question");
	t_int(ask(&w, "a.example", DNS_AAAA, false), DNS_NODATA);
	t_case("a TTL of 0 is not kept");
	ask(&w, "short.example", DNS_A, false);
	ask(&w, "short.example", DNS_A, false);
	t_int(asked(&w, "short.example"), 2);
	t_case("a TTL of 1 has passed after a second");
	ask(&w, "one.example", DNS_A, false);
	ev_timer_init(&timer, (void (*)(void *))ev_stop, w.ev);
	ev_timer_set(w.ev, &timer, ev_now(w.ev) + 1100);
	ev_run(w.ev);
	ask(&w, "one.example", DNS_A, false);
	t_int(asked(&w, "one.example"), 2);
	t_case("what is kept tells what is left of its TTL");
	t_int(ask(&w, "a.example", DNS_A, false), DNS_OK);
	t_true(w.ttl_s < 60);
	t_int(asked(&w, "a.example"), 2);
	t_int(dns_kept_s(w.dns, "a.example", DNS_A), w.ttl_s);
	t_int(dns_kept_s(w.dns, "short.example", DNS_A), 0);
	t_case("negative answers are kept (RFC 2308)");
	t_int(ask(&w, "no.example", DNS_A, false), DNS_NXDOMAIN);
	t_int(ask(&w, "no.example", DNS_A, false), DNS_NXDOMAIN);
	t_int(asked(&w, "no.example"), 1);
	t_case("failures are not kept");
	t_int(ask(&w, "fail.example", DNS_A, false), DNS_FAILED);
	t_int(ask(&w, "fail.example", DNS_A, false), DNS_FAILED);
	t_int(asked(&w, "fail.example"), 2);
	t_case("at most 10,000 answers are kept");
	w.answers = 0;
	w.wanted = 10100;
	for (i = 0; i < 10100; i++) {
		snprintf(name, sizeof(name), "n%d.example", i);
		dns_ask(w.dns, name, DNS_A, on_answer, &w);
	}
	ev_run(w.ev);
	dns_stats(w.dns, &stats);
	t_int(stats.kept, 10000);
	t_case("a thousand questions at once are one query");
	w.answers = 0;
	w.wanted = 1000;
	for (i = 0; i < 1000; i++)
		dns_ask(w.dns, "none.example", DNS_A, on_answer, &w);
	ev_run(w.ev);
	t_int(asked(&w, "none.example"), 1);
	t_int(w.answers, 1000);
	close_world(&w);
}

/* Answers of 60 KB each: what is kept of them stays within 16 MiB. */
static void
large(void)
{
	static char text[60001], name[300][16];
	static struct fakedns_row huge[300];
	struct dns_stats stats;
	struct world w;
	size_t i;

	memset(text, 'x', sizeof(text) - 1);
	for (i = 0; i < nitems(huge); i++) {
		snprintf(name[i], sizeof(name[i]), "n%zu.example", i);
		huge[i] =
		    (struct fakedns_row){ name[i], DNS_TXT, text, FAKE_TC, 60 };
	}
	open_world(&w, 1, "127.0.0.1");
	fakedns_stop(w.fake[0]);
	w.fake[0] = fakedns_start(huge, nitems(huge));
	point_to(&w, w.fake[0]);
	t_case("at most 16 MiB of answers are kept, the newest");
	for (i = 0; i < nitems(huge); i++)
		t_int(ask(&w, name[i], DNS_TXT, false), DNS_OK);
	dns_stats(w.dns, &stats);
	t_true(stats.kept > 250 && stats.kept < 280);
	ask(&w, name[i - 1], DNS_TXT, false);
	t_int(fakedns_asked(w.fake[0], name[i - 1], DNS_TXT), 2);
	ask(&w, name[0], DNS_TXT, false);
	t_int(fakedns_asked(w.fake[0], name[0], DNS_TXT), 4);
	close_world(&w);
}

static void
transport(void)
{
	struct world w;

	open_world(&w, 1, "127.0.0.1");
	t_case("an answer too long for UDP comes over TCP (RFC 7766 5)");
	t_int(ask(&w, "big.example", DNS_TXT, false), DNS_OK);
	t_str(w.data, "over TCP");
	t_int(fakedns_asked(w.fake[0], "big.example", DNS_TXT), 2);
	t_case("AD from a resolver on loopback is believed (RFC 6840 5.8)");
	ask(&w, "a.example", DNS_A, false);
	t_true(w.secure);
	t_true(dns_believes(w.dns));
	t_case("a resolver that knows no EDNS is asked without (RFC 6891 7)");
	t_int(ask(&w, "old.example", DNS_A, false), DNS_OK);
	t_true(w.secure);
	t_int(ask(&w, "old.example", DNS_TXT, false), DNS_OK);
	t_int(fakedns_asked(w.fake[0], "old.example", DNS_TXT), 2);
	t_case("a resolver that takes three seconds is waited for");
	t_int(ask(&w, "slow.example", DNS_A, false), DNS_OK);
	t_case("a name that is none is answered without asking");
	t_int(ask(&w, "a..b", DNS_A, false), DNS_NXDOMAIN);
	close_world(&w);

	open_world(&w, 2, "127.0.0.1");
	t_case("a resolver that is silent: twice, then the next one is asked");
	t_int(ask(&w, "a.example", DNS_A, false), DNS_OK);
	t_int(asked(&w, "a.example"), 2);
	t_case("and is not the first choice for a while");
	t_int(ask(&w, "a.example", DNS_A, true), DNS_OK);
	t_int(asked(&w, "a.example"), 2);
	t_case("SERVFAIL of one is asked of the other, once");
	t_int(ask(&w, "fail.example", DNS_A, false), DNS_FAILED);
	t_int(asked(&w, "fail.example"), 1);
	t_int(fakedns_asked(w.fake[1], "fail.example", DNS_A), 1);
	close_world(&w);
}

static void
retiring(void)
{
	struct ev_timer timer = { 0 };
	struct world w;

	open_world(&w, 2, "127.0.0.1");
	t_case("resolvers out of use leave no question without an answer");
	w.wanted = 9;
	dns_ask(w.dns, "a.example", DNS_A, on_answer, &w);
	ev_timer_init(&timer, (void (*)(void *))ev_stop, w.ev);
	ev_timer_set(w.ev, &timer, ev_now(w.ev) + 100);
	ev_run(w.ev);
	dns_ask(w.dns, "a.example", DNS_A, on_answer, &w);
	dns_ask(w.dns, "none.example", DNS_A, on_answer, &w);
	dns_retire(w.dns);
	t_int(w.answers, 3);
	t_int(w.status, DNS_FAILED);
	w.dns = NULL;
	close_world(&w);
}

static void
belief(void)
{
	struct dns_server servers[2];
	struct dns *dns;
	struct ev *ev = ev_new();
	const char *why;

	memset(servers, 0, sizeof(servers));
	t_case("a resolver elsewhere is not believed (RFC 6840 5.8)");
	netaddr_parse(&servers[0].addr, "192.0.2.53", 53, &why);
	dns = dns_new(ev, servers, 1, &why);
	t_true(dns != NULL && !dns_believes(dns));
	dns_free(dns);
	t_case("unless the administrator says so");
	servers[0].trusted = true;
	dns = dns_new(ev, servers, 1, &why);
	t_true(dns != NULL && dns_believes(dns));
	dns_ask(dns, "a.example", DNS_A, on_answer, NULL);
	dns_free(dns); /* with a question under way */
	t_case("without a resolver there is no DNS");
	t_true(dns_new(ev, servers, 0, &why) == NULL);
	t_str(why, "there is no resolver");
	ev_free(ev);
}

int
main(void)
{
	log_init("test", 2, false, false);
	keeping();
	large();
	transport();
	retiring();
	belief();
	return t_done();
}
