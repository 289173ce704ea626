#include "smtpd/session_talk.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "smtpd/explain.h"

#define CHUNK 65536 /* bytes of content read at once */

/* ---- the verdict ---- */

static enum cert_chain
chain_of(enum tls_chain chain)
{
	switch (chain) {
	case TLS_CHAIN_OK:
		return CERT_OK;
	case TLS_CHAIN_EXPIRED:
		return CERT_EXPIRED;
	case TLS_CHAIN_UNTRUSTED:
		return CERT_UNTRUSTED;
	case TLS_CHAIN_NONE:
	case TLS_CHAIN_BAD:
		break;
	}
	return CERT_INVALID;
}

static enum cert_dane
dane_of(enum tls_dane dane)
{
	switch (dane) {
	case TLS_DANE_OTHER_NAME:
		return CERT_DANE_OTHER_NAME;
	case TLS_DANE_EXPIRED:
		return CERT_DANE_EXPIRED;
	case TLS_DANE_OK:
		return CERT_DANE_OK;
	case TLS_DANE_NO_MATCH:
		break;
	}
	return CERT_DANE_NO_MATCH;
}

enum verdict_action
session_decide(struct session *s, enum tls_stage stage)
{
	struct verdict_facts facts = s->target.facts;
	const struct tls_facts *tls = &s->report.tls;

	facts.stage = stage;
	memset(&facts.cert, 0, sizeof(facts.cert));
	if (stage == TLS_DONE && s->report.tls_done) {
		facts.cert.chain = chain_of(tls->chain);
		facts.cert.name_matches = tls->name_matches;
		facts.cert.dane = dane_of(tls->dane);
	}
	s->report.verdict = verdict_decide(&facts);
	if (s->clear) {
		/* Report what was wrong with the first connection, not with
		 * this one in the clear. */
		s->report.verdict.would_defer = s->first.would_defer;
		s->report.verdict.sts_failure = s->first.sts_failure;
	}
	return s->report.verdict.action;
}

static void
find_fault(struct session *s, enum reason reason, const char *words)
{
	char found[sizeof(s->fault.found)];
	struct explain_found_args about = {
		.reason = reason,
		.host = s->target.name,
		.tls = s->report.tls_done ? &s->report.tls : NULL,
		.words = words,
	};

	explain_found(found, sizeof(found), &about);
	session_set_fault(s, reason, found);
}

void
session_end_verdict(struct session *s, const char *reply, const char *words)
{
	find_fault(s, s->report.verdict.reason, words);
	s->fault.is_verdict = true;
	s->fault.before_contact = !s->report.connected;
	(void)strlcpy(s->fault.reply, reply, sizeof(s->fault.reply));
	session_end(s);
}

/* Some hosts resume badly: once more, with a full handshake. */
static void
in_full(struct session *s)
{
	s->no_resume = true;
	session_reconnect(s);
}

static bool
was_resumed(const struct session *s)
{
	return s->report.tls_done && s->report.tls.resumed;
}

/* There is no TLS, or none that completed: what now? */
static void
without_tls(struct session *s, enum tls_stage stage, const char *reply,
    const char *words)
{
	switch (session_decide(s, stage)) {
	case VERDICT_SKIP:
		session_end_verdict(s, reply, words);
		return;
	case VERDICT_RETRY_CLEAR:
		s->first = s->report.verdict;
		s->clear = true;
		session_reconnect(s);
		return;
	case VERDICT_GO:
		break; /* never, where TLS failed */
	}
	session_end_for(s, REASON_VALIDATION_FAILURE, words);
}

void
session_no_handshake(struct session *s, const char *words)
{
	if (s->target.resume != NULL && !s->no_resume) {
		in_full(s);
		return;
	}
	without_tls(s, s->target.implicit_tls ? TLS_FAILED_FIRST : TLS_FAILED,
	    "", words);
}

static enum tls_stage
stage_of(const struct session *s)
{
	switch (client_security(s->client)) {
	case CLIENT_SECURE:
		return TLS_DONE;
	case CLIENT_NOT_OFFERED:
		return TLS_NOT_OFFERED;
	case CLIENT_REFUSED:
		return TLS_REFUSED;
	case CLIENT_IN_CLEAR:
	case CLIENT_UNANSWERED: /* has ended */
		break;
	}
	return TLS_CLEAR;
}

/* Credentials go to an authenticated host only. */
static bool
must_not_log_in(const struct session *s)
{
	return (s->target.auth != NULL || s->target.wants_proof) &&
	    s->report.verdict.auth == AUTH_NONE;
}

static void
ask_verdict(struct session *s)
{
	enum tls_stage stage = stage_of(s);
	enum verdict_action action = session_decide(s, stage);

	if (action == VERDICT_SKIP && was_resumed(s)) {
		in_full(s);
		return;
	}
	s->report.offers_dsn = client_offers(s->client) & CLIENT_OFFERS_DSN;
	if (action != VERDICT_GO) {
		without_tls(s, stage, "", "");
		return;
	}
	if (must_not_log_in(s)) {
		find_fault(s, s->report.verdict.would_defer, "");
		(void)strlcat(s->fault.found,
		    "; credentials go to an authenticated host only",
		    sizeof(s->fault.found));
		session_end(s);
		return;
	}
	s->pass = stage == TLS_DONE
	    ? client_proceed(s->client, s->target.auth, session_now(s))
	    : client_proceed_in_clear(s->client, session_now(s));
}

/* ---- the dialogue ---- */

static void
trace(void *arg, char direction, const char *line)
{
	const struct session *s = arg;

	log_dialogue(s->tag, direction, line, strlen(line));
}

void
session_make_client(struct session *s)
{
	struct client_params params = {
		.helo = s->setup->helo,
		.tls = s->clear              ? CLIENT_TLS_CLEAR
		    : s->target.implicit_tls ? CLIENT_TLS_IMPLICIT
					     : CLIENT_TLS_STARTTLS,
		.trace = log_is_verbose() ? trace : NULL,
		.trace_arg = s,
	};

	s->client = client_new(&params, session_now(s));
	if (s->client == NULL)
		log_die("out of memory");
	s->state = SESSION_TALKING;
	session_pump(s);
}

void
session_start_tls(struct session *s)
{
	struct tls_target target = {
		.name = s->target.name,
		.base = s->target.tlsa_base,
		.also = { s->target.also[0], s->target.also[1] },
		.tlsa = s->target.tlsa,
		.tlsa_count = s->target.tlsa_count,
		.resume = s->no_resume ? NULL : s->target.resume,
	};
	struct tls *tls;

	tls = tls_client(s->setup->tls, &target, io_fd(s->io));
	if (tls == NULL)
		session_no_handshake(s, "TLS cannot be set up on our side");
	else
		io_start_tls(s->io, tls);
}

void
session_write_out(struct session *s)
{
	size_t len;
	const char *bytes = client_output(s->client, &len);

	if (len > s->handed) {
		io_write(s->io, bytes + s->handed, len - s->handed);
		s->handed = len;
	}
}

void
session_tell_sent(struct session *s)
{
	size_t left = io_pending(s->io), sent = s->handed - left;

	if (left > s->handed || sent == 0)
		return;
	s->handed = left;
	client_sent(s->client, sent, session_now(s));
}

static void
feed_body(struct session *s)
{
	char chunk[CHUNK];
	uint64_t left;
	ssize_t n;

	while (client_wants_body(s->client)) {
		left = client_body_left(s->client);
		n = pread(s->body, chunk, left < CHUNK ? left : CHUNK,
		    (off_t)s->body_at);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			client_abort(s->client, "the content cannot be read",
			    session_now(s));
			return;
		}
		s->body_at += (uint64_t)n;
		client_feed(s->client, chunk, (size_t)n, session_now(s));
	}
}

static void
client_over(struct session *s)
{
	const struct client_result *t = client_trouble(s->client);

	if (!s->go && was_resumed(s))
		in_full(s);
	else if (!s->go && client_security(s->client) == CLIENT_REFUSED)
		without_tls(s, TLS_REFUSED, t->reply, t->reply);
	else if (!s->go && client_security(s->client) == CLIENT_UNANSWERED)
		without_tls(s, TLS_FAILED, "", t->trouble.detail);
	else
		session_end_told(s, t);
}

static void
ready(struct session *s)
{
	bool had_message = s->sending;

	s->go = true;
	s->sending = false;
	session_tell(s, had_message ? SESSION_RESULT : SESSION_READY);
}

/* Do one thing that the engine needs; false: wait for the stream. */
static bool
serve_client(struct session *s)
{
	switch (client_need(s->client)) {
	case CLIENT_NEEDS_PEER:
		return false;
	case CLIENT_NEEDS_TLS:
		if (io_tls(s->io) == NULL && !s->report.tls_done)
			session_start_tls(s);
		return false;
	case CLIENT_NEEDS_VERDICT:
		ask_verdict(s);
		return true;
	case CLIENT_NEEDS_BODY:
		if (!client_wants_body(s->client))
			return false;
		feed_body(s);
		return true;
	case CLIENT_NEEDS_MESSAGE:
		if (s->go && !s->sending)
			return false; /* idle */
		ready(s);
		return true;
	case CLIENT_ENDED:
		client_over(s);
		return false;
	}
	return false;
}

static void
set_deadline(struct session *s)
{
	int64_t at = client_deadline(s->client);

	io_set_deadline(s->io, at == CLIENT_NO_DEADLINE ? 0 : at);
}

void
session_pump(struct session *s)
{
	if (s->pumping)
		return;
	s->pumping = true;
	while (
	    s->client != NULL && s->state == SESSION_TALKING && serve_client(s))
		;
	s->pumping = false;
	if (s->client == NULL || s->state != SESSION_TALKING)
		return;
	session_write_out(s);
	set_deadline(s);
}
