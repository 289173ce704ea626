#include "smtpd/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/base/io.h"
#include "smtpd/base/log.h"
#include "smtpd/session_talk.h"

static void contact(void *arg);

int64_t
session_now(const struct session *s)
{
	return ev_now(s->setup->ev);
}

/* ---- the end ---- */

static void
destroy(void *arg)
{
	free(arg);
}

static void
disconnect(struct session *s)
{
	io_free(s->io);
	s->io = NULL;
	client_free(s->client);
	s->client = NULL;
	s->pass = NULL;
	s->handed = 0;
}

void
session_free(struct session *s)
{
	if (s == NULL || s->freed)
		return;
	s->freed = true;
	ev_soon_del(s->setup->ev, &s->task);
	disconnect(s);
	/* The callback that called us may still use it. */
	ev_soon(s->setup->ev, &s->task, destroy, s);
}

void
session_tell(struct session *s, enum session_event event)
{
	s->cb(s->arg, s, event);
}

/* Close; say QUIT where the dialogue permits it. */
static void
part(struct session *s)
{
	enum client_need need;

	if (s->io == NULL)
		return;
	need = s->client == NULL ? CLIENT_ENDED : client_need(s->client);
	if (need == CLIENT_NEEDS_VERDICT || need == CLIENT_NEEDS_MESSAGE) {
		client_quit(s->client, session_now(s));
		session_write_out(s);
		io_finish(s->io);
	} else if (s->client != NULL && need == CLIENT_ENDED &&
	    client_trouble(s->client)->trouble.outcome == OUTCOME_DELIVERED)
		io_finish(s->io); /* after QUIT */
	else
		io_free(s->io);
	s->io = NULL;
}

void
session_end(struct session *s)
{
	if (s->state == SESSION_OVER)
		return;
	s->state = SESSION_OVER;
	part(s);
	if (s->released)
		session_free(s);
	else
		session_tell(s, SESSION_ENDED);
}

void
session_set_fault(struct session *s, enum reason reason, const char *found)
{
	struct session_fault *f = &s->fault;

	memset(f, 0, sizeof(*f));
	f->trouble.outcome = OUTCOME_DEFERRED;
	f->trouble.scope = SCOPE_HOST;
	f->trouble.reason = reason;
	f->trouble.next_host = true;
	(void)strlcpy(f->trouble.dsn, reason_dsn(reason),
	    sizeof(f->trouble.dsn));
	f->trouble.dsn[0] = '4';
	(void)strlcpy(f->found, found, sizeof(f->found));
}

void
session_end_for(struct session *s, enum reason reason, const char *found)
{
	session_set_fault(s, reason, found);
	session_end(s);
}

void
session_end_told(struct session *s, const struct client_result *t)
{
	s->fault.trouble = t->trouble;
	if (s->fault.trouble.outcome != OUTCOME_DELIVERED)
		s->fault.trouble.outcome = OUTCOME_DEFERRED;
	(void)strlcpy(s->fault.reply, t->reply, sizeof(s->fault.reply));
	(void)strlcpy(s->fault.found, t->trouble.detail,
	    sizeof(s->fault.found));
	session_end(s);
}

void
session_reconnect(struct session *s)
{
	disconnect(s);
	s->state = SESSION_NEW;
	s->report.tls_done = false;
	ev_soon(s->setup->ev, &s->task, contact, s);
}

/* ---- the stream ---- */

static void
take_input(struct session *s)
{
	struct buf *in = io_input(s->io);

	/* Also what comes in the clear while TLS is awaited: the engine ends
	 * the session then. */
	client_input(s->client, buf_bytes(in), buf_len(in), session_now(s));
	buf_take(in, buf_len(in));
}

static void
secured(struct session *s)
{
	s->report.tls = *io_tls_facts(s->io);
	s->report.tls_done = true;
	if (s->client == NULL) {
		session_make_client(s); /* implicit TLS */
		return;
	}
	client_secured(s->client, session_now(s));
	session_pump(s);
}

static void
connected(struct session *s)
{
	s->report.connected = true;
	if (s->target.implicit_tls)
		session_start_tls(s);
	else
		session_make_client(s);
}

/* Is a handshake under way, after STARTTLS or as the first thing? */
static bool
awaits_tls(const struct session *s)
{
	if (s->client == NULL)
		return s->report.connected;
	return client_need(s->client) == CLIENT_NEEDS_TLS;
}

static void
stream_ended(struct session *s, const char *words)
{
	if (awaits_tls(s)) {
		session_no_handshake(s, words);
	} else if (s->state == SESSION_CONNECTING) {
		session_end_for(s,
		    io_errno(s->io) == ETIMEDOUT ? REASON_TIMEOUT
						 : REASON_CONNECT_FAILED,
		    words);
	} else {
		client_eof(s->client, session_now(s));
		session_pump(s);
	}
}

static void
timed_out(struct session *s)
{
	if (awaits_tls(s)) {
		session_no_handshake(s, "TLS handshake: no answer in time");
	} else if (s->state == SESSION_CONNECTING) {
		session_end_for(s, REASON_TIMEOUT, "no connection in time");
	} else {
		session_tell_sent(s);
		client_expire(s->client, session_now(s));
		session_pump(s);
	}
}

static void
on_io(void *arg, enum io_event event)
{
	struct session *s = arg;

	switch (event) {
	case IO_CONNECTED:
		connected(s);
		return;
	case IO_SECURE:
		secured(s);
		return;
	case IO_INPUT:
		take_input(s);
		session_pump(s);
		return;
	case IO_SENT:
		session_tell_sent(s);
		session_pump(s);
		return;
	case IO_CLOSED:
		stream_ended(s, "the host closed the connection");
		return;
	case IO_TIMEOUT:
		timed_out(s);
		return;
	case IO_ERROR:
		stream_ended(s, io_why(s->io));
		return;
	}
}

/* ---- the beginning ---- */

static bool
is_ours(const struct session *s)
{
	const struct sockaddr *addr = (const void *)&s->target.addr, *own;
	size_t i;

	for (i = 0; i < s->setup->own_count; i++) {
		own = (const void *)&s->setup->own[i];
		if (netaddr_port(own) == netaddr_port(addr) &&
		    netaddr_same_host(own, addr))
			return true;
	}
	return false;
}

static bool
is_forbidden(const struct session *s)
{
	return !s->target.via &&
	    !netaddr_may_connect(s->setup->allow, s->setup->allow_count,
		(const void *)&s->target.addr);
}

static const struct sockaddr *
source_of(const struct session *s)
{
	const struct sockaddr_storage *source =
	    s->target.addr.ss_family == AF_INET6 ? &s->setup->source6
						 : &s->setup->source4;

	return source->ss_family == 0 ? NULL : (const void *)source;
}

/* The policy's or the DNS's words, where one of them forbids the host. */
static const char *
known_words(const struct session *s)
{
	enum reason reason = s->report.verdict.reason;
	const char *words =
	    reason == REASON_STS_MX_MISMATCH || reason == REASON_DNSSEC_INVALID
	    ? s->target.host_words
	    : s->target.policy_words;

	return words == NULL || reason == REASON_NO_POLICY ? "" : words;
}

static void
contact(void *arg)
{
	struct session *s = arg;
	const struct sockaddr *addr = (const void *)&s->target.addr;

	if (!s->clear && session_decide(s, TLS_BEFORE) != VERDICT_GO) {
		session_end_verdict(s, "", known_words(s));
		return;
	}
	if (is_ours(s)) {
		session_end_for(s, REASON_MAIL_LOOP, "the address is our own");
		return;
	}
	if (is_forbidden(s)) {
		session_end_for(s, REASON_PRIVATE_ADDRESS,
		    "the address is private or reserved");
		return;
	}
	s->state = SESSION_CONNECTING;
	s->report.connected = false;
	s->io = io_connect(s->setup->ev, addr, source_of(s), on_io, s);
	if (s->io == NULL)
		session_end_for(s, REASON_CONNECT_FAILED, strerror(errno));
	else
		io_set_deadline(s->io, session_now(s) + s->target.connect_ms);
}

static void
set_target(struct session *s, const struct session_target *target)
{
	s->target = *target;
	(void)strlcpy(s->tag, target->tag, sizeof(s->tag));
}

struct session *
session_new(const struct session_setup *setup,
    const struct session_target *target, session_cb *cb, void *arg)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->setup = setup;
	set_target(s, target);
	s->cb = cb;
	s->arg = arg;
	(void)netaddr_text((const void *)&target->addr, s->report.addr);
	ev_soon(setup->ev, &s->task, contact, s);
	return s;
}

bool
session_hand_over(struct session *s, const struct session_target *target)
{
	set_target(s, target);
	return s->state == SESSION_TALKING && s->pass != NULL && !s->sending &&
	    s->report.tls_done && target->auth == NULL &&
	    session_decide(s, TLS_DONE) == VERDICT_GO;
}

void
session_release(struct session *s)
{
	if (s == NULL || s->freed)
		return;
	s->released = true;
	if (s->state != SESSION_TALKING ||
	    client_need(s->client) == CLIENT_NEEDS_TLS) {
		session_free(s);
		return;
	}
	client_quit(s->client, session_now(s));
	session_pump(s);
}

/* ---- messages ---- */

void
session_send(struct session *s, const struct client_message *message, int body)
{
	if (s->state != SESSION_TALKING || s->pass == NULL || s->sending)
		log_bug("session: a message that is not awaited");
	s->sending = true;
	s->body = body;
	s->body_at = 0;
	client_send_message(s->pass, message, session_now(s));
	session_pump(s);
}

const struct client_result *
session_result(const struct session *s, size_t i)
{
	return client_result(s->pass, i);
}

bool
session_was_answered(const struct session *s)
{
	return client_was_answered(s->client);
}

const struct session_fault *
session_fault(const struct session *s)
{
	return &s->fault;
}

const struct session_report *
session_report(const struct session *s)
{
	return &s->report;
}

struct tls_session *
session_take_tls(struct session *s)
{
	if (s->io == NULL || io_tls(s->io) == NULL || !s->go)
		return NULL;
	return tls_session_take(io_tls(s->io));
}
