#include "smtpd/sts.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "mtasts/fetch.h"
#include "smtpd/base/log.h"
#include "smtpd/netaddr.h"
#include "tests/fakedns.h"
#include "tests/pki.h"
#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))
#define DRIP_DOMAIN "d24.example" /* of the last row */
#define BODY \
	"version: STSv1\nmode: enforce\nmax_age: 86400\n" \
	"mx: mx.example\n"
#define TEXT "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
#define GOOD TEXT "Connection: close\r\n\r\n" BODY
#define ENFORCE "enforce fetched"
#define FETCH_ERROR "absent none sts-policy-fetch-error"
#define WEBPKI "absent none sts-webpki-invalid"
#define INVALID "absent none sts-policy-invalid"
#define FLOOD '+' /* opens a response that is followed by a flood */
#define DRIP '~'  /* opens one that is sent in pieces, for 1.5 s */

/* What a policy host at 127.0.0.(row + 1) does. */
static const struct {
	const char *sentence;
	const char *names, *common; /* of the certificate; NULL: right */
	int days;
	const char *response; /* NULL: no TLS is spoken */
	const char *want;
} rows[] = {
	{ "a policy is fetched", NULL, NULL, 9, GOOD, ENFORCE },
	{ "media type with parameters (RFC 8461 3.2)", NULL, NULL, 9,
	    "HTTP/1.1 200 OK\r\ncontent-type: Text/Plain ; charset=utf-8\r\n"
	    "\r\n" BODY,
	    ENFORCE },
	{ "chunks", NULL, NULL, 9,
	    TEXT "Transfer-Encoding: chunked\r\n\r\n"
		 "3b\r\n" BODY "\r\n0\r\n\r\n",
	    ENFORCE },
	{ "a wildcard certificate (RFC 6125 6.4.3)", "*.d4.example", NULL, 9,
	    GOOD, ENFORCE },
	{ "a redirect is not followed (RFC 8461 3.3)", NULL, NULL, 9,
	    "HTTP/1.1 302 Found\r\nLocation: https://mta-sts.d1.example/"
	    ".well-known/mta-sts.txt\r\nContent-Type: text/plain\r\n\r\n" BODY,
	    FETCH_ERROR },
	{ "404", NULL, NULL, 9,
	    "HTTP/1.1 404 No\r\nContent-Type: text/plain\r\n\r\n" BODY,
	    FETCH_ERROR },
	{ "only 200 counts (RFC 8461 3.3)", NULL, NULL, 9,
	    "HTTP/1.1 203 Fine\r\nContent-Type: text/plain\r\n\r\n" BODY,
	    FETCH_ERROR },
	{ "media type text/html (RFC 8461 3.2)", NULL, NULL, 9,
	    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" BODY,
	    INVALID },
	{ "media type text/plainer", NULL, NULL, 9,
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plainer\r\n\r\n" BODY,
	    INVALID },
	{ "no media type", NULL, NULL, 9, "HTTP/1.1 200 OK\r\n\r\n" BODY,
	    INVALID },
	{ "a policy that breaks the rules", NULL, NULL, 9,
	    TEXT "\r\nversion: STSv2\n", INVALID },
	{ "an encoding nobody asked for", NULL, NULL, 9,
	    TEXT "Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08", INVALID },
	{ "more bytes announced than sent", NULL, NULL, 9,
	    TEXT "Content-Length: 4000\r\n\r\n" BODY, FETCH_ERROR },
	{ "a body without end (RFC 8461 3.3)", NULL, NULL, 9,
	    "+" TEXT "\r\n" BODY, FETCH_ERROR },
	{ "headers without end", NULL, NULL, 9, "+" TEXT "X: ", FETCH_ERROR },
	{ "HTTP/0.9", NULL, NULL, 9, BODY, FETCH_ERROR },
	{ "no HTTP at all", NULL, NULL, 9, "220 mx ESMTP\r\n", FETCH_ERROR },
	{ "an expired certificate (RFC 8461 3.3)", NULL, NULL, -2, GOOD,
	    WEBPKI },
	{ "a certificate of nobody's", NULL, NULL, 0, GOOD, WEBPKI },
	{ "a certificate for another name (RFC 8461 3.3)", "www.d20.example",
	    NULL, 9, GOOD, WEBPKI },
	{ "the name in the CN only (RFC 8461 3.3)", "", "mta-sts.d21.example",
	    9, GOOD, WEBPKI },
	{ "a wildcard for two labels", "*.example", NULL, 9, GOOD, WEBPKI },
	{ "no TLS", NULL, NULL, 9, NULL, FETCH_ERROR },
	{ "a trickle that comes to its end", NULL, NULL, 9, "~" GOOD, ENFORCE },
};

struct web {
	struct pki *pki, *other;
	SSL_CTX *ctx[nitems(rows)];
	int fd[nitems(rows)], stop[2];
	unsigned hits[nitems(rows)];
	pthread_t thread;
};

static void
make_context(struct web *w, size_t i)
{
	char right[64];
	struct pki_leaf leaf = { .days = rows[i].days };

	snprintf(right, sizeof(right), "mta-sts.d%zu.example", i + 1);
	leaf.names = rows[i].names == NULL ? right : rows[i].names;
	if (leaf.names[0] == '\0')
		leaf.names = NULL;
	leaf.common = rows[i].common;
	if (leaf.days == 0) {
		leaf.days = 9;
		leaf.own = 1;
	}
	w->ctx[i] = pki_server(w->pki, &leaf);
}

static void
flood(SSL *ssl)
{
	char block[4096];
	int n;

	memset(block, 'x', sizeof(block));
	for (n = 0; n < 100; n++)
		if (SSL_write(ssl, block, sizeof(block)) <= 0)
			return;
}

static void
drip(SSL *ssl, const char *response)
{
	const struct timespec pause = { 0, 12000000 };

	for (; *response != '\0'; response++) {
		if (SSL_write(ssl, response, 1) <= 0)
			return;
		nanosleep(&pause, NULL);
	}
}

static void
speak(SSL *ssl, const char *response)
{
	char request[4096];

	if (SSL_accept(ssl) != 1 ||
	    SSL_read(ssl, request, sizeof(request)) <= 0)
		return;
	if (response[0] == FLOOD) {
		SSL_write(ssl, response + 1, (int)strlen(response + 1));
		flood(ssl);
	} else if (response[0] == DRIP) {
		drip(ssl, response + 1);
	} else {
		SSL_write(ssl, response, (int)strlen(response));
	}
	SSL_shutdown(ssl);
}

static void
serve_one(struct web *w, size_t i)
{
	const struct timeval patience = { 5, 0 };
	int fd = accept(w->fd[i], NULL, NULL);
	SSL *ssl;

	w->hits[i]++;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (rows[i].response == NULL) {
		(void)!write(fd, "HTTP/1.1 400 Bad\r\n\r\n", 20);
	} else {
		ssl = SSL_new(w->ctx[i]);
		SSL_set_fd(ssl, fd);
		speak(ssl, rows[i].response);
		SSL_free(ssl);
	}
	close(fd);
}

static void *
serve(void *arg)
{
	struct pollfd p[nitems(rows) + 1];
	struct web *w = arg;
	size_t i;

	for (i = 0; i < nitems(rows); i++)
		p[i] = (struct pollfd){ w->fd[i], POLLIN, 0 };
	p[i] = (struct pollfd){ w->stop[0], POLLIN, 0 };
	while (poll(p, nitems(p), -1) > 0 && p[nitems(rows)].revents == 0)
		for (i = 0; i < nitems(rows); i++)
			if (p[i].revents & POLLIN)
				serve_one(w, i);
	return NULL;
}

static void
start_web(struct web *w)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	size_t i;

	w->pki = pki_new();
	in.sin_port = htons(443);
	for (i = 0; i < nitems(rows); i++) {
		make_context(w, i);
		in.sin_addr.s_addr = htonl(0x7f000001 + (uint32_t)i);
		w->fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (bind(w->fd[i], (struct sockaddr *)&in, sizeof(in)) == -1 ||
		    listen(w->fd[i], 64) == -1)
			abort();
	}
	if (pipe(w->stop) == -1 ||
	    pthread_create(&w->thread, NULL, serve, w) != 0)
		abort();
}

static void
stop_web(struct web *w)
{
	size_t i;

	(void)!write(w->stop[1], "", 1);
	pthread_join(w->thread, NULL);
	for (i = 0; i < nitems(rows); i++) {
		SSL_CTX_free(w->ctx[i]);
		close(w->fd[i]);
	}
	close(w->stop[0]);
	close(w->stop[1]);
	pki_free(w->pki);
}

/* TXT and A for every row, and some domains more. */
static struct fakedns_row zone[2 * nitems(rows) + 12];
static char names[2 * nitems(rows)][64], addresses[nitems(rows)][32];

static size_t
fill_zone(void)
{
	size_t i, n = 0;

	for (i = 0; i < nitems(rows); i++) {
		snprintf(names[2 * i], 64, "_mta-sts.d%zu.example", i + 1);
		snprintf(names[2 * i + 1], 64, "mta-sts.d%zu.example", i + 1);
		snprintf(addresses[i], 32, "127.0.0.%zu", i + 1);
		zone[n++] = (struct fakedns_row){ names[2 * i], DNS_TXT,
			"v=STSv1; id=1;", 0, 60 };
		zone[n++] = (struct fakedns_row){ names[2 * i + 1], DNS_A,
			addresses[i], 0, 60 };
	}
	zone[n++] = (struct fakedns_row){ "_mta-sts.ten.example", DNS_TXT,
		"v=STSv1; id=1;", 0, 60 };
	zone[n++] = (struct fakedns_row){ "mta-sts.ten.example", DNS_A,
		"10.0.0.1", 0, 60 };
	zone[n++] = (struct fakedns_row){ "_mta-sts.bare.example", DNS_TXT,
		"v=STSv1; id=1;", 0, 60 };
	zone[n++] = (struct fakedns_row){ "_mta-sts.closed.example", DNS_TXT,
		"v=STSv1; id=1;", 0, 60 };
	zone[n++] = (struct fakedns_row){ "mta-sts.closed.example", DNS_A,
		"127.9.9.9", 0, 60 };
	zone[n++] = (struct fakedns_row){ "_mta-sts.mute.example", DNS_TXT,
		NULL, FAKE_SILENT, 0 };
	zone[n++] = (struct fakedns_row){ "_mta-sts.lost.example", DNS_TXT,
		"v=STSv1; id=1;", 0, 60 };
	zone[n++] = (struct fakedns_row){ "mta-sts.lost.example", DNS_A,
		"127.8.8.8", 0, 60 };
	zone[n++] = (struct fakedns_row){ "mta-sts.lost.example", DNS_A,
		"127.0.0.1", 0, 60 };
	zone[n++] = (struct fakedns_row){ "_mta-sts.twice.example", DNS_TXT,
		"v=STSv1; id=1;", 0, 60 };
	zone[n++] = (struct fakedns_row){ "_mta-sts.twice.example", DNS_TXT,
		"v=STSv1; id=2;", 0, 60 };
	return n;
}

struct world {
	struct ev *ev;
	struct fakedns *fake;
	struct dns *dns;
	struct sts *sts;
	struct tls_ctx *tls;
	struct host_allow allow;
	struct netaddr_net net;
	struct web web;
	unsigned left;
	char text[512], detail[256];
	char changed[64]; /* the domain last told to have another policy */
};

static void
on_changed(void *arg, const char *domain)
{
	struct world *w = arg;

	snprintf(w->changed, sizeof(w->changed), "%s", domain);
}

static void
open_world(struct world *w)
{
	struct sts_options so = { .kind = CACHE_MEMORY,
		.dirfd = -1,
		.quiet = true,
		.allow = &w->allow,
		.changed = on_changed,
		.arg = w };
	struct dns_server server = { 0 };
	const char *root, *why;

	memset(w, 0, sizeof(*w));
	netaddr_net_parse(&w->net, "127.0.0.0/8", &why);
	w->allow.net = &w->net;
	w->allow.count = 1;
	w->ev = ev_new();
	start_web(&w->web);
	w->fake = fakedns_start(zone, fill_zone());
	netaddr_parse(&server.addr, "127.0.0.1", fakedns_port(w->fake), &why);
	w->dns = dns_new(w->ev, &server, 1, &why);
	w->sts = sts_new(w->ev, w->dns, &so);
	root = pki_root(w->web.pki);
	w->tls = tls_ctx_client(root, strlen(root), &why);
	if (w->dns == NULL || w->sts == NULL || w->tls == NULL)
		abort();
	sts_trust(w->sts, w->tls);
	sts_start(w->sts);
}

static void
close_world(struct world *w)
{
	dns_free(w->dns);
	sts_free(w->sts);
	tls_ctx_free(w->tls);
	ev_free(w->ev);
	fakedns_stop(w->fake);
	stop_web(&w->web);
}

static void
on_answer(void *arg, const struct discover_answer *a)
{
	struct world *w = arg;

	snprintf(w->text, sizeof(w->text), "%s %s%s%s", mode_word(a->mode),
	    source_word(a->source), a->trouble == REASON_NONE ? "" : " ",
	    reason_word(a->trouble));
	snprintf(w->detail, sizeof(w->detail), "%s", a->detail);
	if (--w->left == 0)
		ev_stop(w->ev);
}

static const char *
ask(struct world *w, const char *domain)
{
	w->left = 1;
	sts_ask(w->sts, domain, ASK_DELIVERY, on_answer, w);
	t_int(w->left, 1);
	ev_run(w->ev);
	return w->text;
}

static void
hosts(struct world *w)
{
	char domain[64];
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		t_case(rows[i].sentence);
		snprintf(domain, sizeof(domain), "d%zu.example", i + 1);
		t_row("%s", domain);
		t_str(ask(w, domain), rows[i].want);
		t_row("detail %s", w->detail);
		t_true((w->detail[0] == '\0') ==
		    (strcmp(rows[i].want, ENFORCE) == 0));
		t_int(w->web.hits[i], 1);
		t_row("told of the change");
		t_str(w->changed,
		    strcmp(rows[i].want, ENFORCE) == 0 ? domain : "");
		w->changed[0] = '\0';
	}
	t_case("a failed fetch is not repeated (RFC 8461 3.3)");
	t_str(ask(w, "d5.example"), FETCH_ERROR);
	t_int(w->web.hits[4], 1);
	t_case("nor one that succeeded");
	t_str(ask(w, "d1.example"), "enforce cache");
	t_int(w->web.hits[0], 1);
	t_str(w->changed, "");
	t_case("a policy that is forgotten is another than before");
	t_true(sts_forget(w->sts, "d1.example"));
	t_str(w->changed, "d1.example");
}

static void
others(struct world *w)
{
	t_case("no record, no policy");
	t_str(ask(w, "nothing.example"), "absent none");
	t_case("a policy host with a private address is not contacted");
	t_str(ask(w, "ten.example"), "absent none private-address");
	t_case("a policy host without address");
	t_str(ask(w, "bare.example"), FETCH_ERROR);
	t_case("a policy host that refuses connections");
	t_str(ask(w, "closed.example"), FETCH_ERROR);
	t_case("two records mean none (RFC 8461 3.1)");
	t_str(ask(w, "twice.example"), "absent none");
}

/* At 127.8.8.8 the queue of connections is full: more get no answer. */
static void
lost(struct world *w)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons(443) };
	int fd[4];
	size_t i;

	in.sin_addr.s_addr = htonl(0x7f080808);
	for (i = 0; i < nitems(fd); i++)
		fd[i] = socket(AF_INET,
		    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	t_int(bind(fd[0], (struct sockaddr *)&in, sizeof(in)), 0);
	t_int(listen(fd[0], 0), 0);
	for (i = 1; i < nitems(fd); i++)
		(void)connect(fd[i], (struct sockaddr *)&in, sizeof(in));
	t_case("a policy host's address is mute: the next one is tried");
	t_str(ask(w, "lost.example"), WEBPKI);
	for (i = 0; i < nitems(fd); i++)
		close(fd[i]);
}

static void
mute(struct world *w)
{
	struct cache_entry *e = cache_put(sts_cache(w->sts), "mute.example");
	const char *why;

	t_case("no answer for TXT: mail does not wait (RFC 8461 10.2)");
	t_int(policy_parse(&e->policy, BODY, strlen(BODY), &why), 0);
	e->fetched = time(NULL);
	t_str(ask(w, "mute.example"), "enforce cache");
}

/* Another face on the same world, that is less patient. */
static void
hurry(struct world *w)
{
	struct sts_options so = { .kind = CACHE_MEMORY,
		.dirfd = -1,
		.quiet = true,
		.allow = &w->allow,
		.fetch_s = 1 };
	struct sts *patient = w->sts;

	t_case("a trickle ends when its time is over (RFC 8461 3.3)");
	w->sts = sts_new(w->ev, w->dns, &so);
	sts_trust(w->sts, w->tls);
	t_str(ask(w, DRIP_DOMAIN), FETCH_ERROR);
	t_row("detail %s", w->detail);
	t_true(strstr(w->detail, "timed out") != NULL);
	sts_free(w->sts);
	w->sts = patient;
}

/* How the log heard that the renewal of a policy in this mode failed. */
static const char *
alarm_of(struct world *w, enum policy_mode mode, char line[256])
{
	struct sts_options so = { .kind = CACHE_MEMORY,
		.dirfd = -1,
		.quiet = false,
		.allow = &w->allow };
	struct cache_entry *e;
	struct sts *quiet = w->sts;
	const char *why;
	ssize_t n;
	int log[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, log) == -1)
		abort();
	log_init("test", log[0], true, false);
	w->sts = sts_new(w->ev, w->dns, &so);
	sts_trust(w->sts, w->tls);
	e = cache_put(sts_cache(w->sts), "closed.example");
	t_int(policy_parse(&e->policy, BODY, strlen(BODY), &why), 0);
	e->policy.mode = mode;
	e->fetched = time(NULL) - 400;
	w->left = 1;
	sts_ask(w->sts, "closed.example", ASK_FAILED, on_answer, w);
	ev_run(w->ev);
	n = recv(log[1], line, 255, 0);
	line[n < 0 ? 0 : n] = '\0';
	sts_free(w->sts);
	w->sts = quiet;
	log_init("test", 2, false, false);
	close(log[0]);
	close(log[1]);
	return line;
}

static void
alarms(struct world *w)
{
	char line[256];

	t_case("a policy that cannot be renewed is warned of (RFC 8461 10.2)");
	t_true(strstr(alarm_of(w, POLICY_ENFORCE, line), "policy-refused") !=
	    NULL);
	t_int(strncmp(line, "<20>", 4), 0);
	t_case("but not where its owner is about to end it (RFC 8461 8.3)");
	t_true(
	    strstr(alarm_of(w, POLICY_NONE, line), "policy-refused") != NULL);
	t_int(strncmp(line, "<22>", 4), 0);
}

static void
herd(struct world *w)
{
	unsigned i;

	t_case("500 messages to a cold domain: one TXT, one fetch");
	t_true(sts_forget(w->sts, "d2.example"));
	w->left = 500;
	for (i = 0; i < 500; i++)
		sts_ask(w->sts, "d2.example", ASK_DELIVERY, on_answer, w);
	ev_run(w->ev);
	t_str(w->text, ENFORCE);
	t_int(w->web.hits[1], 2);
	t_int(fakedns_asked(w->fake, "_mta-sts.d2.example", DNS_TXT), 1);
	t_case("many domains at once, more than may run at once");
	for (i = 0; i < 4; i++)
		sts_forget(w->sts,
		    i == 0       ? "d1.example"
			: i == 1 ? "d2.example"
			: i == 2 ? "d3.example"
				 : "d4.example");
	w->left = 4;
	sts_ask(w->sts, "d1.example", ASK_REFRESH, on_answer, w);
	sts_ask(w->sts, "d2.example", ASK_REFRESH, on_answer, w);
	sts_ask(w->sts, "d3.example", ASK_REFRESH, on_answer, w);
	sts_ask(w->sts, "d4.example", ASK_REFRESH, on_answer, w);
	ev_run(w->ev);
	t_str(w->text, ENFORCE);
}

static void
crowd(struct world *w)
{
	char domain[64];
	unsigned i;

	t_case("at most 10,000 domains are held");
	for (i = 0; i < 10100; i++) {
		snprintf(domain, sizeof(domain), "d%u.crowd.example", i);
		t_true(cache_put(sts_cache(w->sts), domain) != NULL);
	}
	t_int(cache_count(sts_cache(w->sts)), 10000);
}

static size_t opened;

static bool
count_open(void *arg, const struct sockaddr *addr)
{
	(void)arg;
	(void)addr;
	opened++;
	return true;
}

static bool
refuse(void *arg, const struct sockaddr *addr)
{
	(void)arg;
	(void)addr;
	return false;
}

static enum reason refused;

static void
on_refused(void *arg, const char *domain, const struct fetch_result *r)
{
	(void)arg;
	(void)domain;
	refused = r->reason;
}

static void
no_watch(void *arg, int fd, unsigned events)
{
	(void)arg;
	(void)fd;
	(void)events;
}

static void
no_timer(void *arg, long ms)
{
	(void)arg;
	(void)ms;
}

static void
queue_up(void)
{
	struct fetch_hooks hooks = { .watch = no_watch,
		.timer = no_timer,
		.may_connect = count_open };
	struct sockaddr_storage ss;
	char domain[64];
	struct fetch *f = fetch_new(&hooks, FETCH_TOTAL_S);
	const char *why;
	unsigned i;

	t_case("at most 64 fetches run, the others wait in line");
	netaddr_parse(&ss, "127.0.0.1", 0, &why);
	for (i = 0; i < 200; i++) {
		snprintf(domain, sizeof(domain), "d%u.line.example", i);
		t_int(fetch_start(f, domain, &ss, 1), 0);
	}
	for (i = 0; i < 3; i++)
		fetch_timeout(f);
	t_int(opened, 64);
	fetch_free(f);

	t_case("an address that may not be used is not, whoever found it");
	hooks.may_connect = refuse;
	hooks.done = on_refused;
	f = fetch_new(&hooks, FETCH_TOTAL_S);
	t_int(fetch_start(f, "a.example", &ss, 1), 0);
	fetch_timeout(f);
	t_str(reason_word(refused), "private-address");
	fetch_free(f);
}

/* A network of our own, whose port 443 is free. */
static bool
have_network(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd, result;

	if (unshare(CLONE_NEWNET) == -1)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ifr.ifr_flags = IFF_UP;
	result = ioctl(fd, SIOCSIFFLAGS, &ifr);
	close(fd);
	return result == 0;
}

int
main(void)
{
	struct world w;

	signal(SIGPIPE, SIG_IGN);
	log_init("test", 2, false, false);
	if (!have_network()) {
		t_case("policy hosts on loopback");
		t_skip("no network namespace of our own: not root");
		return t_done();
	}
	/* Nothing of the environment counts. */
	setenv("https_proxy", "http://127.0.0.1:9", 1);
	setenv("SSL_CERT_FILE", "/dev/null", 1);
	open_world(&w);
	hosts(&w);
	others(&w);
	mute(&w);
	lost(&w);
	hurry(&w);
	alarms(&w);
	herd(&w);
	crowd(&w);
	queue_up();
	close_world(&w);
	return t_done();
}
