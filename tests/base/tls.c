#include "smtpd/base/tls.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/pki.h"
#include "tests/t.h"

static struct pki *pki;
static struct tls_ctx *ctx;

/* The other end, in a thread: a handshake, "hello", then an end. */
/* Of the server's side; set before a meeting, read after it. */
static bool renegotiates, was_offered;
static unsigned hellos;
static int tickets; /* sent before the "hello" */
static atomic_bool tickets_sent;

/* A ClientHello: does it offer a session to resume (RFC 8446 4.2.11)? */
static int
on_hello(SSL *ssl, int *alert, void *arg)
{
	const unsigned char *data;
	size_t len;

	(void)alert;
	(void)arg;
	hellos++;
	was_offered =
	    SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk, &data, &len) == 1;
	return SSL_CLIENT_HELLO_SUCCESS;
}

struct server {
	pthread_t thread;
	SSL_CTX *ctx;
	int fd;
	bool truncate;
	char sni[256];
};

static void *
serve(void *arg)
{
	struct server *s = arg;
	SSL *ssl = SSL_new(s->ctx);
	const char *name;
	char byte;
	int i;

	SSL_set_fd(ssl, s->fd);
	if (SSL_accept(ssl) == 1) {
		name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
		strlcpy(s->sni, name == NULL ? "" : name, sizeof(s->sni));
		if (renegotiates && SSL_renegotiate(ssl) == 1 &&
		    SSL_do_handshake(ssl) == 1)
			SSL_read(ssl, &byte, 1);
		for (i = 0; i < tickets; i++)
			if (SSL_new_session_ticket(ssl) != 1 ||
			    SSL_do_handshake(ssl) != 1)
				break;
		tickets_sent = true;
		SSL_write(ssl, "hello", 5);
		if (!s->truncate)
			SSL_shutdown(ssl);
		shutdown(s->fd, SHUT_WR);
		SSL_read(ssl, &byte, 1);
	}
	SSL_free(ssl);
	close(s->fd);
	return NULL;
}

/* Wait for what the stream wants; false after some seconds. */
static bool
wait_for(struct tls *tls, int fd)
{
	struct pollfd p = { .fd = fd };

	p.events = tls_wants_write(tls) ? POLLOUT : POLLIN;
	return poll(&p, 1, 10000) == 1;
}

static enum tls_step
shake(struct tls *tls, int fd)
{
	enum tls_step step;

	while ((step = tls_handshake(tls)) == TLS_STEP_WANT)
		if (!wait_for(tls, fd))
			break;
	return step;
}

static enum tls_step
read_some(struct tls *tls, int fd, char *text, size_t room, size_t *got)
{
	enum tls_step step;

	*got = 0;
	while ((step = tls_read(tls, text, room, got)) == TLS_STEP_WANT)
		if (!wait_for(tls, fd))
			break;
	return step;
}

struct meeting {
	struct server server;
	struct tls *tls;
	int fd;
	enum tls_step shaken;
	const struct tls_facts *facts;
};

static void
meet(struct meeting *m, SSL_CTX *server, const struct tls_target *target,
    bool truncate)
{
	int sv[2];

	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv);
	fcntl(sv[0], F_SETFL, O_NONBLOCK);
	memset(m, 0, sizeof(*m));
	m->server.ctx = server;
	m->server.fd = sv[1];
	m->server.truncate = truncate;
	m->fd = sv[0];
	pthread_create(&m->server.thread, NULL, serve, &m->server);
	m->tls = tls_client(ctx, target, m->fd);
	m->shaken = shake(m->tls, m->fd);
	m->facts = tls_facts(m->tls);
}

static void
part(struct meeting *m)
{
	tls_shutdown(m->tls);
	tls_free(m->tls);
	close(m->fd);
	pthread_join(m->server.thread, NULL);
}

static void
test_certificates(void)
{
	static const struct {
		const char *name;
		struct pki_leaf leaf;
		enum tls_chain chain;
		bool matches;
	} rows[] = {
		{ "good", { .names = "mx.test", .days = 9 }, TLS_CHAIN_OK,
		    true },
		{ "another case", { .names = "MX.Test", .days = 9 },
		    TLS_CHAIN_OK, true },
		{ "second name", { .names = "a.test,mx.test", .days = 9 },
		    TLS_CHAIN_OK, true },
		{ "wildcard", { .names = "*.test", .days = 9 }, TLS_CHAIN_OK,
		    false }, /* one label before a public suffix */
		{ "other name", { .names = "mx.other.test", .days = 9 },
		    TLS_CHAIN_OK, false },
		{ "partial wildcard (RFC 8461 4.1)",
		    { .names = "m*.test", .days = 9 }, TLS_CHAIN_OK, false },
		{ "CN alone never counts (RFC 8461 4.1)",
		    { .common = "mx.test", .days = 9 }, TLS_CHAIN_OK, false },
		{ "CN beside a SAN",
		    { .common = "mx.test", .names = "a.test", .days = 9 },
		    TLS_CHAIN_OK, false },
		{ "expired", { .names = "mx.test", .days = -1 },
		    TLS_CHAIN_EXPIRED, true },
		{ "signed by itself",
		    { .names = "mx.test", .days = 9, .own = 1 },
		    TLS_CHAIN_UNTRUSTED, true },
		{ "TLS 1.2", { .names = "mx.test", .days = 9, .no_tls13 = 1 },
		    TLS_CHAIN_OK, true },
	};
	struct tls_target target = { .name = "mx.test" };
	struct meeting m;
	SSL_CTX *server;
	size_t i;

	t_case("tls: the facts about a certificate, and never a verdict");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t_row("%s", rows[i].name);
		server = pki_server(pki, &rows[i].leaf);
		meet(&m, server, &target, false);
		t_int(m.shaken, TLS_STEP_DONE);
		t_int(m.facts->chain, rows[i].chain);
		t_int(m.facts->name_matches, rows[i].matches);
		t_true(
		    !m.facts->dane_tried && m.facts->dane == TLS_DANE_NO_MATCH);
		t_true(!m.facts->resumed);
		t_str(m.facts->version,
		    rows[i].leaf.no_tls13 ? "TLSv1.2" : "TLSv1.3");
		t_true((m.facts->why[0] == '\0') ==
		    (m.facts->chain == TLS_CHAIN_OK));
		part(&m);
		t_str(m.server.sni, "mx.test");
		SSL_CTX_free(server);
	}
	t_row(NULL);
}

static void
test_wildcard(void)
{
	struct pki_leaf leaf = { .names = "*.mx.test", .days = 9 };
	SSL_CTX *server = pki_server(pki, &leaf);
	struct tls_target target = { .name = "a.mx.test" };
	struct meeting m;

	t_case("tls: a wildcard is one whole leftmost label (RFC 8461 4.1)");
	meet(&m, server, &target, false);
	t_true(m.facts->name_matches);
	part(&m);
	target.name = "a.b.mx.test";
	meet(&m, server, &target, false);
	t_true(!m.facts->name_matches);
	part(&m);
	target.name = "mx.test";
	meet(&m, server, &target, false);
	t_true(!m.facts->name_matches);

	t_case("tls: names, issuer, expiry, cipher and group are told");
	t_str(m.facts->names, "*.mx.test");
	t_str(m.facts->issuer, "CN=Throw-away Root");
	t_str(m.facts->group, "x25519");
	t_true(strncmp(m.facts->cipher, "TLS_", 4) == 0);
	t_true(m.facts->not_after > time(NULL) + 8 * 86400);
	t_true(m.facts->not_after < time(NULL) + 10 * 86400);
	part(&m);
	SSL_CTX_free(server);
}

static void
test_dane(void)
{
	struct pki_leaf good = { .names = "mx.test", .days = 9 };
	struct pki_leaf own = { .names = "x.test", .days = -1, .own = 1 };
	struct pki_leaf old = { .names = "mx.test", .days = -1 };
	SSL_CTX *server = pki_server(pki, &good);
	SSL_CTX *past = pki_server(pki, &old);
	SSL_CTX *odd = pki_server(pki, &own);
	uint8_t digest[32];
	struct tls_tlsa tlsa = { 3, 1, 1, sizeof(digest), digest };
	struct tls_target target = { .name = "mx.test",
		.tlsa = &tlsa,
		.tlsa_count = 1 };
	struct meeting m;

	t_case("dane: usage 3 ignores names and dates (RFC 7672 3.1.1)");
	pki_spki(odd, digest);
	meet(&m, odd, &target, false);
	t_int(m.shaken, TLS_STEP_DONE);
	t_true(m.facts->dane_tried && m.facts->dane == TLS_DANE_OK);
	t_str(m.facts->tlsa, "3 1 1");
	t_int(m.facts->chain, TLS_CHAIN_UNTRUSTED);
	part(&m);

	t_case("dane: another key does not match, whoever signed it");
	meet(&m, server, &target, false);
	t_true(m.facts->dane_tried && m.facts->dane == TLS_DANE_NO_MATCH);
	t_str(m.facts->tlsa, "");
	t_int(m.facts->chain, TLS_CHAIN_OK);
	t_true(m.facts->name_matches);
	part(&m);

	t_case("dane: usage 2 checks names and dates (RFC 7672 3.1.2)");
	tlsa.usage = 2;
	pki_root_spki(pki, digest);
	meet(&m, server, &target, false);
	t_true(m.facts->dane == TLS_DANE_OK);
	t_str(m.facts->tlsa, "2 1 1");
	part(&m);
	target.name = "other.test";
	meet(&m, server, &target, false);
	t_int(m.facts->dane, TLS_DANE_OTHER_NAME);
	t_str(m.facts->tlsa, "");
	part(&m);
	target.name = "mx.test";
	meet(&m, past, &target, false);
	t_int(m.facts->dane, TLS_DANE_EXPIRED);
	part(&m);
	target.name = "other.test";
	target.also[1] = "mx.test"; /* the next-hop domain */
	meet(&m, server, &target, false);
	t_true(m.facts->dane == TLS_DANE_OK);
	part(&m);
	t_str(m.server.sni, "other.test");
	target.also[1] = NULL;

	t_case("dane: the TLSA base domain is a name, and SNI (RFC 7672 8.1)");
	target.base = "mx.test";
	meet(&m, server, &target, false);
	t_true(m.facts->dane == TLS_DANE_OK && !m.facts->name_matches);
	part(&m);
	t_str(m.server.sni, "mx.test");
	target.name = "mx.test";
	target.base = "other.test";
	meet(&m, server, &target, false);
	t_true(m.facts->dane == TLS_DANE_OK && m.facts->name_matches);
	part(&m);
	t_str(m.server.sni, "other.test");
	target.tlsa_count = 0; /* web PKI knows one name */
	meet(&m, server, &target, false);
	part(&m);
	t_str(m.server.sni, "mx.test");
	target.tlsa_count = 1;

	t_case("dane: records of other usages alone are not usable here");
	tlsa.usage = 1;
	meet(&m, server, &target, false);
	t_int(m.shaken, TLS_STEP_DONE);
	t_true(!m.facts->dane_tried && m.facts->dane == TLS_DANE_NO_MATCH);
	part(&m);
	SSL_CTX_free(server);
	SSL_CTX_free(past);
	SSL_CTX_free(odd);
}

static void
test_resume(void)
{
	struct pki_leaf leaf = { .names = "mx.test", .days = 9 };
	SSL_CTX *server = pki_server(pki, &leaf);
	struct tls_target target = { .name = "mx.test" };
	static const uint8_t digest[32];
	struct tls_tlsa tlsa = { 3, 1, 1, sizeof(digest), digest };
	struct tls_ctx *usual = ctx;
	struct tls_session *session;
	const char *why;
	struct meeting m;
	char text[16];
	size_t got;

	meet(&m, server, &target, false);
	t_int(read_some(m.tls, m.fd, text, sizeof(text), &got), TLS_STEP_DONE);
	session = tls_session_take(m.tls);
	t_true(session != NULL);
	part(&m);
	target.resume = session;
	SSL_CTX_set_client_hello_cb(server, on_hello, NULL);

	t_case("tls: a session is not offered under other TLSA records");
	target.tlsa = &tlsa;
	target.tlsa_count = 1;
	meet(&m, server, &target, false);
	part(&m);
	t_true(!was_offered);
	target.tlsa_count = 0;

	t_case("tls: a session is not offered under another trust store");
	ctx = tls_ctx_client(NULL, 0, &why);
	meet(&m, server, &target, false);
	t_int(m.facts->chain, TLS_CHAIN_UNTRUSTED);
	part(&m);
	t_true(!was_offered);
	tls_ctx_free(ctx);
	ctx = usual;

	t_case("tls: a session is not offered to another name");
	target.name = "other.test";
	meet(&m, server, &target, false);
	t_true(!m.facts->resumed && !m.facts->name_matches);
	part(&m);
	t_true(!was_offered);
	target.name = "mx.test";

	t_case("tls: a resumed session tells what its full handshake showed");
	meet(&m, server, &target, false);
	t_true(m.facts->resumed);
	t_int(m.facts->chain, TLS_CHAIN_OK);
	t_true(m.facts->name_matches);
	t_str(m.facts->names, "mx.test");
	part(&m);
	t_true(was_offered);
	tls_session_free(session);
	SSL_CTX_free(server);
}

/* DANE-EE knows no dates, DANE-TA does, resumed or not (RFC 7672 3.1). */
static void
test_resume_late(void)
{
	struct pki_leaf leaf = { .names = "mx.test", .seconds = 2 };
	SSL_CTX *server = pki_server(pki, &leaf);
	struct tls_session *session[3];
	uint8_t ee[32], ta[32];
	struct tls_tlsa tlsa[3] = { { 0 }, { 2, 1, 1, 32, ta },
		{ 3, 1, 1, 32, ee } };
	struct tls_target target = { .name = "mx.test" };
	struct meeting m;
	char text[16];
	size_t got;
	int i;

	pki_root_spki(pki, ta);
	pki_spki(server, ee);
	for (i = 0; i < 3; i++) {
		target.tlsa = &tlsa[i];
		target.tlsa_count = i > 0;
		meet(&m, server, &target, false);
		(void)read_some(m.tls, m.fd, text, sizeof(text), &got);
		t_true(m.facts->chain == TLS_CHAIN_OK &&
		    (m.facts->dane == TLS_DANE_OK) == (i > 0));
		session[i] = tls_session_take(m.tls);
		part(&m);
	}
	sleep(3);
	t_case("tls: a session resumed after its certificate's time");
	for (i = 0; i < 3; i++) {
		target.tlsa = &tlsa[i];
		target.tlsa_count = i > 0;
		target.resume = session[i];
		meet(&m, server, &target, false);
		t_true(m.facts->resumed);
		t_int(m.facts->chain, TLS_CHAIN_EXPIRED);
		t_int(m.facts->dane,
		    i == 2       ? TLS_DANE_OK
			: i == 1 ? TLS_DANE_EXPIRED
				 : TLS_DANE_NO_MATCH);
		part(&m);
		tls_session_free(session[i]);
	}
	SSL_CTX_free(server);
}

static void
test_renegotiation(void)
{
	struct pki_leaf leaf = { .names = "mx.test", .days = 9 };
	SSL_CTX *server = pki_server(pki, &leaf);
	struct tls_target target = { .name = "mx.test" };
	struct meeting m;
	char text[16];
	size_t got;

	t_case("tls: there is no renegotiation");
	SSL_CTX_set_max_proto_version(server, TLS1_2_VERSION);
	SSL_CTX_set_client_hello_cb(server, on_hello, NULL);
	renegotiates = true;
	hellos = 0;
	meet(&m, server, &target, false);
	t_int(m.shaken, TLS_STEP_DONE);
	(void)read_some(m.tls, m.fd, text, sizeof(text), &got);
	part(&m);
	t_int(hellos, 1);
	renegotiates = false;
	SSL_CTX_free(server);
}

static void
test_tickets(void)
{
	struct pki_leaf leaf = { .names = "mx.test", .days = 9 };
	SSL_CTX *server = pki_server(pki, &leaf);
	struct tls_target target = { .name = "mx.test" };
	struct meeting m;
	char text[16];
	size_t got;
	int left = 0;

	t_case("tls: a flood of tickets does not hold up who reads");
	tickets = 120; /* some 30 KB, which the socket holds */
	tickets_sent = false;
	meet(&m, server, &target, false);
	t_int(m.shaken, TLS_STEP_DONE);
	while (!tickets_sent)
		usleep(1000);
	t_int(tls_read(m.tls, text, sizeof(text), &got), TLS_STEP_WANT);
	t_int(ioctl(m.fd, FIONREAD, &left), 0);
	t_true(left > 0);
	t_int(read_some(m.tls, m.fd, text, sizeof(text), &got), TLS_STEP_DONE);
	t_mem(text, got, "hello", 5);
	part(&m);
	tickets = 0;
	SSL_CTX_free(server);
}

static void
test_end(void)
{
	struct pki_leaf leaf = { .names = "mx.test", .days = 9 };
	SSL_CTX *server = pki_server(pki, &leaf);
	struct tls_target target = { .name = "mx.test" };
	struct meeting m;
	char text[16];
	size_t got;
	int truncate;

	t_case("tls: an end without close_notify is a failure, with it not");
	for (truncate = 0; truncate < 2; truncate++) {
		meet(&m, server, &target, truncate);
		t_int(read_some(m.tls, m.fd, text, sizeof(text), &got),
		    TLS_STEP_DONE);
		t_mem(text, got, "hello", 5);
		t_int(read_some(m.tls, m.fd, text, sizeof(text), &got),
		    truncate ? TLS_STEP_FAILED : TLS_STEP_CLOSED);
		t_true(truncate == (tls_why(m.tls)[0] != '\0'));
		part(&m);
	}
	SSL_CTX_free(server);
}

static void
test_garbage(void)
{
	static const struct {
		const char *name;
		const char *bytes;
	} rows[] = {
		{ "text", "220 ready when you are, really\r\n" },
		{ "nothing", "" },
		{ "half a record", "\x16\x03\x03\x40" },
		{ "an alert", "\x15\x03\x03\x00\x02\x02\x28" },
	};
	struct tls_target target = { .name = "mx.test" };
	struct tls *tls;
	size_t i, len;
	int sv[2];

	t_case("tls: garbage fails the handshake, in words");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t_row("%s", rows[i].name);
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv);
		len = i == 3 ? 7 : strlen(rows[i].bytes);
		t_int(write(sv[1], rows[i].bytes, len), len);
		shutdown(sv[1], SHUT_WR);
		tls = tls_client(ctx, &target, sv[0]);
		t_int(shake(tls, sv[0]), TLS_STEP_FAILED);
		t_true(strncmp(tls_why(tls), "TLS handshake: ", 15) == 0);
		t_true(strlen(tls_why(tls)) > 20);
		tls_free(tls);
		close(sv[0]);
		close(sv[1]);
	}
	t_row(NULL);
}

static void
test_trust(void)
{
	const char *why, *root = pki_root(pki);
	char pem[8192];
	struct tls_ctx *c;

	t_case("tls: a broken entry does not hide the rest of a CA bundle");
	snprintf(pem, sizeof(pem),
	    "# a comment\n-----BEGIN CERTIFICATE-----\nAAAA\n"
	    "-----END CERTIFICATE-----\nmore\n%s%s",
	    root, root);
	c = tls_ctx_client(pem, strlen(pem), &why);
	t_true(c != NULL);
	tls_ctx_free(c);

	t_case("tls: a bundle without certificates is an error");
	t_true(tls_ctx_client("nothing", 7, &why) == NULL);
	t_str(why, "no certificate in the CA bundle");
	t_true(tls_ctx_client("", 0, &why) == NULL);

	t_case("tls: without a bundle nothing is trusted");
	c = tls_ctx_client(NULL, 0, &why);
	t_true(c != NULL);
	tls_ctx_free(c);
}

/* FIPS 180-4's first example. */
static void
test_digest(void)
{
	static const uint8_t want[TLS_SHA256_SIZE] = { 0xba, 0x78, 0x16, 0xbf,
		0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae,
		0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
		0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
	uint8_t got[TLS_SHA256_SIZE];

	t_case("tls: a SHA-256 digest (FIPS 180-4)");
	tls_sha256("abc", 3, got);
	t_mem(got, sizeof(got), want, sizeof(want));
}

int
main(void)
{
	const char *why;

	signal(SIGPIPE, SIG_IGN);
	pki = pki_new();
	ctx = tls_ctx_client(pki_root(pki), strlen(pki_root(pki)), &why);
	if (ctx == NULL)
		return 1;
	test_certificates();
	test_wildcard();
	test_dane();
	test_resume();
	test_resume_late();
	test_renegotiation();
	test_tickets();
	test_end();
	test_garbage();
	test_trust();
	test_digest();
	tls_ctx_free(ctx);
	pki_free(pki);
	return t_done();
}
