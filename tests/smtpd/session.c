#include "smtpd/session.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/mx.h"
#include "tests/pki.h"
#include "tests/t.h"

static struct ev *ev;
static struct pki *pki;
static struct session_setup setup;
static struct netaddr_net loopback;

/* The owner of a session: sends a message when it may, then leaves. */
struct owner {
	struct session *session;
	bool probe; /* send nothing */
	bool ready;
	bool ended;
	int results;
	int send; /* messages still to send */
	struct client_message message;
	int body;
	struct client_result result;
	struct session_fault fault;
	struct session_report report;
	bool keep_tls;
	struct tls_session *tls;
};

static void
keep_report(struct owner *o)
{
	o->report = *session_report(o->session);
	ev_stop(ev);
}

static void
on_session(void *arg, struct session *s, enum session_event event)
{
	struct owner *o = arg;

	switch (event) {
	case SESSION_READY:
		o->ready = true;
		break;
	case SESSION_RESULT:
		o->results++;
		o->result = *session_result(s, 0);
		break;
	case SESSION_ENDED:
		o->ended = true;
		o->fault = *session_fault(s);
		if (o->ready && o->send == 0 && !o->probe)
			o->result = *session_result(s, 0);
		keep_report(o);
		session_free(s);
		o->session = NULL;
		return;
	}
	if (!o->probe && o->send > 0) {
		o->send--;
		session_send(s, &o->message, o->body);
		return;
	}
	keep_report(o);
	if (o->keep_tls) {
		tls_session_free(o->tls); /* serves once (RFC 8446 C.4) */
		o->tls = session_take_tls(s);
	}
	session_release(s);
	o->session = NULL;
}

static void
give_up(void *arg)
{
	(void)arg;
	t_str("the session hangs", "it ends");
	ev_stop(ev);
}

static int
body_of(const char *text)
{
	int fd = memfd_create("body", MFD_CLOEXEC);

	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		exit(1);
	return fd;
}

static void
run_loop(int ms, void (*cb)(void *), void *arg)
{
	struct ev_timer end = { 0 };

	ev_timer_init(&end, cb, arg);
	ev_timer_set(ev, &end, ev_now(ev) + ms);
	ev_run(ev);
	ev_timer_del(ev, &end);
}

static void
stop_loop(void *arg)
{
	(void)arg;
	ev_stop(ev);
}

static const char letter[] = "Subject: x\r\n\r\n.dot\r\nbody\r\n";

static void
run(struct owner *o, struct session_target *target)
{
	static const struct client_rcpt to[] = { { .address = "b@test" } };

	o->message = (struct client_message){ .sender = "a@here.test",
		.size = sizeof(letter) - 1,
		.rcpts = to,
		.rcpt_count = 1 };
	o->body = body_of(letter);
	o->session = session_new(&setup, target, on_session, o);
	run_loop(10000, give_up, NULL);
	run_loop(5, stop_loop, NULL); /* a QUIT leaves */
	session_free(o->session);
	close(o->body);
}

static struct session_target
target_of(struct mx *mx)
{
	struct session_target t = { .name = "mx.test",
		.connect_ms = 3000,
		.tag = "t" };
	struct sockaddr_in sin = mx_address(mx);

	memcpy(&t.addr, &sin, sizeof(sin));
	return t;
}

/* What is wrong with the host, by name. */
enum fault { NO_FAULT, STRIP, NAME, EXPIRED, UNTRUSTED };

static SSL_CTX *certs[UNTRUSTED + 1];

static void
make_certs(void)
{
	struct pki_leaf good = { .names = "mx.test", .days = 9 };
	struct pki_leaf name = { .names = "evil.test", .days = 9 };
	struct pki_leaf expired = { .names = "mx.test", .days = -1 };
	struct pki_leaf own = { .names = "mx.test", .days = 9, .own = 1 };

	certs[NO_FAULT] = pki_server(pki, &good);
	certs[NAME] = pki_server(pki, &name);
	certs[EXPIRED] = pki_server(pki, &expired);
	certs[UNTRUSTED] = pki_server(pki, &own);
}

struct attack {
	const char *name;
	enum fault cert;
	struct mx_conduct conduct;
	enum reason reason;
	const char *found; /* part of the words */
};

static const struct attack attacks[] = {
	{ "STARTTLS stripped from EHLO", STRIP, { 0 },
	    REASON_STARTTLS_NOT_SUPPORTED, "does not offer STARTTLS" },
	{ "STARTTLS refused, 454", NO_FAULT,
	    { .starttls = "454 4.7.0 not now\r\n" },
	    REASON_STARTTLS_NOT_SUPPORTED, "454 4.7.0 not now" },
	{ "STARTTLS refused, 502", NO_FAULT,
	    { .starttls = "502 never heard of\r\n" },
	    REASON_STARTTLS_NOT_SUPPORTED, "502 never" },
	{ "closed instead of an answer to STARTTLS", NO_FAULT,
	    { .starttls = "" }, REASON_VALIDATION_FAILURE,
	    "starttls: the connection was lost" },
	{ "certificate of another name", NAME, { 0 },
	    REASON_CERTIFICATE_HOST_MISMATCH, "evil.test, not for mx.test" },
	{ "certificate expired", EXPIRED, { 0 }, REASON_CERTIFICATE_EXPIRED,
	    "expired" },
	{ "certificate of nobody's", UNTRUSTED, { 0 },
	    REASON_CERTIFICATE_NOT_TRUSTED, "self-signed" },
	{ "reply injected behind 220", NO_FAULT,
	    { .inject = "250-injected\r\n250 SIZE 1\r\n" },
	    REASON_PROTOCOL_ERROR, "bytes in the clear" },
	{ "reset in the handshake", NO_FAULT, { .handshake = MX_RESET },
	    REASON_VALIDATION_FAILURE, "reset" },
	{ "garbage in the handshake", NO_FAULT, { .handshake = MX_GARBAGE },
	    REASON_VALIDATION_FAILURE, "handshake" },
	{ "half a handshake", NO_FAULT, { .handshake = MX_HALF },
	    REASON_VALIDATION_FAILURE, "handshake" },
	{ "greeting refuses", NO_FAULT, { .greeting = "554 go away\r\n" },
	    REASON_REMOTE_5XX, "554" },
	{ "greeting is garbage", NO_FAULT, { .greeting = "\x16\x03\x01 x\r\n" },
	    REASON_PROTOCOL_ERROR, "" },
	{ "a greeting already secured by its own word", STRIP,
	    { .greeting = "220 mx.test TLS is on\r\n250 ok\r\n" },
	    REASON_PROTOCOL_ERROR, "" },
};

static void
check_attack(const struct attack *a, enum tls_level level)
{
	struct mx_conduct conduct = a->conduct;
	struct session_target target;
	struct owner o = { .send = 1 };
	struct mx *mx;

	conduct.tls = a->cert == STRIP ? NULL : certs[a->cert];
	mx = mx_start(1, 0, &conduct);
	target = target_of(mx);
	target.facts.level = level;
	if (level == LEVEL_OPPORTUNISTIC) {
		target.facts.mode = POLICY_ENFORCE;
		target.facts.mx_matches = true;
	}
	run(&o, &target);
	t_true(o.ended && !o.ready);
	t_int(o.fault.trouble.outcome, OUTCOME_DEFERRED);
	t_str(reason_word(o.fault.trouble.reason), reason_word(a->reason));
	t_int(o.fault.trouble.dsn[0], '4');
	t_true(strstr(mx_heard(mx), "MAIL") == NULL);
	t_true(strstr(mx_heard(mx), "here.test") == NULL ||
	    strstr(mx_heard(mx), "relay.here.test") != NULL);
	t_true(strstr(mx_heard(mx), "b@test") == NULL);
	t_true(strstr(o.fault.found, a->found) != NULL ||
	    strstr(o.fault.reply, a->found) != NULL);
	if (strstr(o.fault.found, a->found) == NULL &&
	    strstr(o.fault.reply, a->found) == NULL)
		t_str(o.fault.found, a->found);
	mx_stop(mx);
}

static void
test_attacks(void)
{
	size_t i;

	t_case("session: nothing of a message leaves under an attack: require");
	for (i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		t_row("%s", attacks[i].name);
		check_attack(&attacks[i], LEVEL_REQUIRE);
	}
	t_case("session: nor under opportunistic where a policy enforces");
	for (i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		t_row("%s", attacks[i].name);
		check_attack(&attacks[i], LEVEL_OPPORTUNISTIC);
	}
	t_row(NULL);
}

static void
test_silent(void)
{
	struct mx_conduct conduct = { .tls = certs[NO_FAULT],
		.handshake = MX_SILENT };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct session_target target = target_of(mx);
	struct owner o = { .send = 1 };

	t_case("session: one that is silent can be left at any time");
	o.session = session_new(&setup, &target, on_session, &o);
	run_loop(60, stop_loop, NULL);
	t_true(!o.ready && !o.ended);
	session_release(o.session);
	run_loop(10, stop_loop, NULL);
	t_true(strstr(mx_heard(mx), "MAIL") == NULL);
	mx_stop(mx);
}

/* What was said last may still be on its way to the host. */
static bool
comes_to_hear(struct mx *mx, const char *what)
{
	int tries;

	for (tries = 0; tries < 250; tries++) {
		if (strstr(mx_heard(mx), what) != NULL)
			return true;
		run_loop(20, stop_loop, NULL);
	}
	return false;
}

static void
test_good(void)
{
	struct mx_conduct conduct = { .tls = certs[NO_FAULT] };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct session_target target = target_of(mx);
	struct owner o = { .send = 3, .keep_tls = true };

	t_case("session: messages go, one after another, over proven TLS");
	run(&o, &target);
	t_true(o.ready && !o.ended);
	t_int(o.results, 3);
	t_int(o.result.trouble.outcome, OUTCOME_DELIVERED);
	t_str(o.result.reply, "250 2.0.0 taken");
	t_int(o.report.verdict.auth, AUTH_WEBPKI);
	t_str(o.report.tls.version, "TLSv1.3");
	t_true(o.report.offers_dsn);
	t_true(!o.report.tls.resumed);
	t_int(mx_messages(mx), 3);
	t_int(mx_connections(mx), 1);

	t_case("session: EHLO is said anew after the handshake (RFC 3207 4.2)");
	t_true(strncmp(mx_heard(mx),
		   "EHLO relay.here.test\nSTARTTLS\nEHLO relay.here.test\n"
		   "MAIL FROM:<a@here.test>\nRCPT TO:<b@test>\nDATA\n"
		   "Subject: x\n\n..dot\nbody\n.\nMAIL",
		   104) == 0);
	t_true(comes_to_hear(mx, "\n.\nQUIT\n"));

	t_case("session: a TLS session is resumed with what it proved");
	o = (struct owner){ .send = 1, .keep_tls = true, .tls = o.tls };
	t_true(o.tls != NULL);
	target.resume = o.tls;
	run(&o, &target);
	t_int(o.results, 1);
	t_true(o.report.tls.resumed);
	t_int(o.report.verdict.auth, AUTH_WEBPKI);
	t_int(mx_resumed(mx), 1);
	mx_stop(mx);

	t_case("session: where resuming fails, one full handshake follows");
	conduct.resume_fails = true;
	mx = mx_start(1, 0, &conduct);
	target = target_of(mx);
	target.resume = o.tls;
	o = (struct owner){ .send = 1, .tls = o.tls };
	run(&o, &target);
	t_int(o.results, 1);
	t_true(!o.report.tls.resumed);
	t_int(mx_connections(mx), 2);
	tls_session_free(o.tls);
	mx_stop(mx);
}

static void
test_clear(void)
{
	static const struct {
		const char *name;
		struct mx_conduct conduct;
		bool tls;
		enum reason would_defer;
		int connections;
	} rows[] = {
		{ "not offered", { 0 }, false, REASON_STARTTLS_NOT_SUPPORTED,
		    1 },
		{ "refused", { .starttls = "454 no\r\n" }, true,
		    REASON_STARTTLS_NOT_SUPPORTED, 2 },
		{ "not answered", { .starttls = "" }, true,
		    REASON_VALIDATION_FAILURE, 2 },
		{ "handshake fails", { .handshake = MX_GARBAGE }, true,
		    REASON_VALIDATION_FAILURE, 2 },
	};
	struct session_target target;
	struct mx_conduct conduct;
	struct owner o;
	struct mx *mx;
	size_t i;

	t_case("session: opportunistic goes in the clear, on a fresh connection"
	       " (RFC 7435), and says what require would have done");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t_row("%s", rows[i].name);
		conduct = rows[i].conduct;
		conduct.tls = rows[i].tls ? certs[NO_FAULT] : NULL;
		mx = mx_start(1, 0, &conduct);
		target = target_of(mx);
		target.facts.level = LEVEL_OPPORTUNISTIC;
		o = (struct owner){ .send = 1 };
		run(&o, &target);
		t_int(o.results, 1);
		t_int(o.result.trouble.outcome, OUTCOME_DELIVERED);
		t_int(o.report.verdict.auth, AUTH_NONE);
		t_true(!o.report.tls_done);
		t_str(reason_word(o.report.verdict.would_defer),
		    reason_word(rows[i].would_defer));
		t_int(mx_connections(mx), rows[i].connections);
		mx_stop(mx);
	}
	t_row(NULL);
}

static void
test_before_contact(void)
{
	struct mx_conduct conduct = { .tls = certs[NO_FAULT] };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct session_target target = target_of(mx);
	struct sockaddr_in sin = mx_address(mx);
	struct sockaddr_storage own = { 0 };
	struct owner o = { .send = 1 };

	t_case("session: a host that the policy does not name is not contacted "
	       "(RFC 8461 4.1)");
	target.facts.mode = POLICY_ENFORCE;
	run(&o, &target);
	t_str(reason_word(o.fault.trouble.reason), "sts-mx-mismatch");
	t_true(o.fault.is_verdict && o.fault.before_contact);

	t_case("session: a private address from DNS is not contacted");
	target = target_of(mx);
	setup.allow_count = 0;
	o = (struct owner){ .send = 1 };
	run(&o, &target);
	t_str(reason_word(o.fault.trouble.reason), "private-address");
	t_int(mx_connections(mx), 0);

	t_case("session: a `via` host may have one");
	target.via = true;
	o = (struct owner){ .send = 1 };
	run(&o, &target);
	t_int(o.results, 1);
	setup.allow_count = 1;
	target.via = false;

	t_case("session: our own listening address is a mail loop");
	memcpy(&own, &sin, sizeof(sin));
	setup.own = &own;
	setup.own_count = 1;
	o = (struct owner){ .send = 1 };
	run(&o, &target);
	t_str(reason_word(o.fault.trouble.reason), "mail-loop");
	t_str(o.fault.trouble.dsn, "4.4.6");
	t_int(mx_connections(mx), 1);
	setup.own_count = 0;
	mx_stop(mx);

	t_case("session: nobody listens there");
	o = (struct owner){ .send = 1 };
	run(&o, &target);
	t_str(reason_word(o.fault.trouble.reason), "connect-failed");
	t_str(o.fault.found, "Connection refused");
}

static void
test_during(void)
{
	struct mx_conduct conduct = { .tls = certs[NO_FAULT], .end = "" };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct session_target target = target_of(mx);
	struct owner o = { .send = 1 };

	t_case("session: lost after the final dot: unknown, so deferred, and "
	       "never elsewhere (RFC 5321 4.5.4.1)");
	run(&o, &target);
	t_true(o.ended);
	t_int(o.result.trouble.outcome, OUTCOME_DEFERRED);
	t_true(!o.result.trouble.next_host);
	mx_stop(mx);

	t_case("session: TLS cut off before the final reply is no delivery");
	conduct.no_close_notify = true;
	mx = mx_start(1, 0, &conduct);
	target = target_of(mx);
	o = (struct owner){ .send = 1 };
	run(&o, &target);
	t_true(o.ended);
	t_int(o.result.trouble.outcome, OUTCOME_DEFERRED);
	mx_stop(mx);

	t_case("session: an idle one that the host ends, ends");
	conduct = (struct mx_conduct){ .tls = certs[NO_FAULT], .messages = 1 };
	mx = mx_start(1, 0, &conduct);
	target = target_of(mx);
	o = (struct owner){ .send = 2 };
	run(&o, &target);
	t_int(o.results, 1);
	t_true(o.ended);
	t_int(o.result.trouble.outcome, OUTCOME_DEFERRED);
	t_true(o.result.trouble.next_host);
	mx_stop(mx);
}

static void
test_login(void)
{
	struct client_auth auth = { "user", "secret" };
	struct mx_conduct conduct = { .tls = certs[NO_FAULT],
		.implicit = true,
		.ehlo = "250-AUTH PLAIN LOGIN\r\n" };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct session_target target = target_of(mx);
	struct owner o = { .send = 1 };

	t_case("session: implicit TLS, and logging in where that is proved");
	target.via = target.implicit_tls = true;
	target.auth = &auth;
	run(&o, &target);
	t_int(o.results, 1);
	t_true(strstr(mx_heard(mx), "AUTH PLAIN AHVzZXIAc2VjcmV0\n") != NULL);
	t_true(strstr(mx_heard(mx), "STARTTLS") == NULL);
	mx_stop(mx);

	t_case("session: implicit TLS that fails has no clear to fall back on");
	conduct.handshake = MX_GARBAGE;
	mx = mx_start(1, 0, &conduct);
	target = target_of(mx);
	target.via = target.implicit_tls = true;
	target.facts.level = LEVEL_OPPORTUNISTIC;
	o = (struct owner){ .send = 1 };
	run(&o, &target);
	t_true(o.ended && !o.ready);
	t_str(reason_word(o.fault.trouble.reason), "validation-failure");
	t_int(mx_connections(mx), 1);
	conduct.handshake = MX_SHAKE;
	mx_stop(mx);

	t_case("session: credentials stay here if the host is not proved");
	conduct.implicit = false;
	conduct.tls = certs[UNTRUSTED];
	mx = mx_start(1, 0, &conduct);
	target = target_of(mx);
	target.auth = &auth;
	target.facts.level = LEVEL_OPPORTUNISTIC;
	o = (struct owner){ .send = 1 };
	run(&o, &target);
	t_true(o.ended && !o.ready);
	t_str(reason_word(o.fault.trouble.reason), "certificate-not-trusted");
	t_true(strstr(o.fault.found, "does not verify") != NULL);
	t_true(strstr(o.fault.found, "credentials") != NULL);
	t_true(strstr(mx_heard(mx), "AUTH") == NULL);
	mx_stop(mx);
}

static void
test_probe(void)
{
	struct mx_conduct conduct = { .tls = certs[NO_FAULT] };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct session_target target = target_of(mx);
	struct owner o = { .probe = true };

	t_case("session: a probe learns all and sends no mail");
	run(&o, &target);
	t_true(o.ready);
	t_int(o.report.verdict.auth, AUTH_WEBPKI);
	t_str(o.report.tls.names, "mx.test");
	t_true(comes_to_hear(mx, "QUIT\n"));
	t_str(mx_heard(mx),
	    "EHLO relay.here.test\nSTARTTLS\n"
	    "EHLO relay.here.test\nQUIT\n");
	mx_stop(mx);
}

int
main(void)
{
	const char *why;
	size_t i;

	ev = ev_new();
	pki = pki_new();
	make_certs();
	if (netaddr_net_parse(&loopback, "127.0.0.0/8", &why) == -1)
		return 1;
	setup.ev = ev;
	setup.helo = "relay.here.test";
	setup.tls = tls_ctx_client(pki_root(pki), strlen(pki_root(pki)), &why);
	setup.allow = &loopback;
	setup.allow_count = 1;
	test_attacks();
	test_silent();
	test_good();
	test_clear();
	test_before_contact();
	test_during();
	test_login();
	test_probe();
	for (i = 0; i <= UNTRUSTED; i++)
		SSL_CTX_free(certs[i]);
	tls_ctx_free(setup.tls);
	pki_free(pki);
	ev_free(ev);
	return t_done();
}
