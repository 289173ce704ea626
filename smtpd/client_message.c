/*
 * The SMTP client engine's third part: a message and its content.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/client.h"
#include "smtpd/client_step.h"

#define OUTPUT_HIGH (256 << 10)    /* bytes; above it no content is wanted */
#define MESSAGE_TIMEOUT_MS 1800000 /* one message in all, and in addition */
#define RATE_MIN 1                 /* a ms for so many bytes of content */

/* ---- results ---- */

void
client_settle(struct client *c, size_t i, enum stage stage,
    enum trouble_kind kind, const struct reply *r)
{
	struct client_slot *slot = &c->pass->slots[i];

	if (slot->settled)
		return;
	slot->settled = true;
	trouble_judge(&slot->result.trouble, stage, kind, r, NULL);
	if (r != NULL)
		reply_show(r, slot->result.reply, sizeof slot->result.reply);
}

void
client_settle_all(struct client *c, enum stage stage, enum trouble_kind kind,
    const struct reply *r)
{
	size_t i;

	for (i = 0; c->pass != NULL && i < c->pass->slot_count; i++)
		client_settle(c, i, stage, kind, r);
}

/* ---- the envelope ---- */

/*
 * May "address" stand between "<" and ">"? No control; blanks and angle
 * brackets only inside quotes. Sets *utf8 if any byte is not ASCII.
 */
static bool
is_path(const char *address, bool *utf8)
{
	const char *p;
	bool quoted = false;

	for (p = address; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
		if ((unsigned char)*p >= 0x80)
			*utf8 = true;
		if (quoted && *p == '\\' && p[1] != '\0')
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && strchr(" <>", *p) != NULL)
			return false;
	}
	return !quoted;
}

/* xtext as on the wire (RFC 3461 4); NULL and "" are fine. */
static bool
is_word(const char *text)
{
	for (; text != NULL && *text != '\0'; text++) {
		if (*text < '!' || *text > '~')
			return false;
	}
	return true;
}

static int
make_slots(struct client_pass *p, size_t count)
{
	struct client_slot *slots;
	size_t i;

	if (count > p->slot_room) {
		slots = reallocarray(p->slots, count, sizeof *slots);
		if (slots == NULL)
			return -1;
		p->slots = slots;
		p->slot_room = count;
	}
	p->slot_count = count;
	for (i = 0; i < count; i++) {
		p->slots[i].accepted = p->slots[i].settled = false;
		p->slots[i].result.tried = true;
		p->slots[i].result.reply[0] = '\0';
	}
	return 0;
}

/* Recipients that must not be written are settled before anything is. */
static void
check_rcpts(struct client_pass *p, bool *utf8)
{
	const struct client_rcpt *to;
	size_t i;

	for (i = 0; i < p->slot_count; i++) {
		to = &p->message->rcpts[i];
		if (to->address[0] != '\0' && is_path(to->address, utf8) &&
		    is_word(to->orcpt))
			continue;
		client_settle(p->client, i, STAGE_RCPT, TROUBLE_ARGUMENT, NULL);
		p->slots[i].result.trouble.scope = SCOPE_RECIPIENT;
	}
}

/* Settle all if the peer cannot be given this message. */
static void
check_message(struct client_pass *p)
{
	const struct client_message *m = p->message;
	struct client *c = p->client;

	p->utf8 = m->smtputf8;
	check_rcpts(p, &p->utf8);
	if (!is_path(m->sender, &p->utf8) || !is_word(m->envid))
		client_settle_all(c, STAGE_MAIL, TROUBLE_ARGUMENT, NULL);
	else if (c->size_max > 0 && m->size > c->size_max)
		client_settle_all(c, STAGE_MAIL, TROUBLE_SIZE, NULL);
	else if (p->utf8 && !(c->offers & CLIENT_OFFERS_SMTPUTF8))
		client_settle_all(c, STAGE_MAIL, TROUBLE_UTF8, NULL);
	else if (m->eightbit && !(c->offers & CLIENT_OFFERS_8BITMIME))
		client_settle_all(c, STAGE_MAIL, TROUBLE_8BIT, NULL);
}

/* How many recipients one message may have here: rcpt_most, or RCPTMAX of
 * LIMITS (RFC 9422) where that is less. */
static size_t
rcpts_at_once(const struct client *c)
{
	return c->rcpt_max > 0 && c->rcpt_max < c->rcpt_most
	    ? (size_t)c->rcpt_max
	    : c->rcpt_most;
}

/* Recipients over the limit wait for the next round; true if this round has
 * any. */
static bool
apply_limit(struct client_pass *p)
{
	size_t i, tried = 0, max = rcpts_at_once(p->client);

	p->limit = 0;
	for (i = 0; i < p->slot_count; i++) {
		if (p->slots[i].settled)
			continue;
		if (tried == max) {
			client_settle(p->client, i, STAGE_RCPT, TROUBLE_LOCAL,
			    NULL);
			p->slots[i].result.tried = false;
			continue;
		}
		tried++;
		p->limit = i + 1;
	}
	return tried > 0;
}

void
client_send_message(struct client_pass *p, const struct client_message *m,
    int64_t now)
{
	struct client *c = p->client;

	c->now = now;
	if (c->step != STEP_READY) {
		client_abort(c, "a message while none was asked for", now);
		return;
	}
	p->message = m;
	p->next = p->accepted = 0;
	p->mail_refused = false;
	c->answered = false;
	if (make_slots(p, m->rcpt_count) == -1) {
		p->slot_count = 0;
		client_abort(c, "out of memory", now);
		return;
	}
	check_message(p);
	if (!apply_limit(p))
		return;
	c->messages++;
	c->message_by = now + MESSAGE_TIMEOUT_MS +
	    (int64_t)(m->size < INT64_MAX / 2 ? m->size / RATE_MIN : 0);
	client_enter(c, c->needs_rset ? STEP_RSET : STEP_MAIL);
}

const struct client_result *
client_result(const struct client_pass *p, size_t i)
{
	return &p->slots[i].result;
}

/* ---- the content ---- */

static void
finish(struct client *c)
{
	if (c->framing == FRAMING_DOT) {
		if (!c->at_line_start)
			client_put(c, "\r\n", 2);
		client_put(c, ".\r\n", 3);
	}
	c->framing = FRAMING_NONE;
	client_await_end(c, c->written);
}

void
client_body_begin(struct client *c, enum framing framing)
{
	char line[64];
	int len;

	c->framing = framing;
	c->body_left = c->pass->message->size;
	c->at_line_start = true;
	c->after_cr = false;
	if (framing == FRAMING_BDAT) {
		len = snprintf(line, sizeof line, "BDAT %" PRIu64 " LAST",
		    c->body_left);
		if (c->trace != NULL)
			c->trace(c->trace_arg, '>', line);
		client_put(c, line, (size_t)len);
		client_put(c, "\r\n", 2);
	}
	client_await(c, UINT64_MAX);
	if (c->body_left == 0)
		finish(c);
}

/*
 * Write one line, or a part of one, with its dot doubled. False if CR and LF do
 * not come as a pair: the server let no such content in, and what follows could
 * be read as commands (SMTP smuggling).
 */
static bool
put_stuffed(struct client *c, const char *bytes, size_t len)
{
	bool ends = bytes[len - 1] == '\n';
	const char *cr;

	if (c->after_cr && bytes[0] != '\n')
		return false;
	if (ends && !(len >= 2 ? bytes[len - 2] == '\r' : c->after_cr))
		return false;
	cr = memchr(bytes, '\r', len);
	if (cr != NULL && (size_t)(cr - bytes) + (ends ? 2 : 1) != len)
		return false;
	if (c->at_line_start && bytes[0] == '.')
		client_put(c, ".", 1);
	client_put(c, bytes, len);
	c->after_cr = cr != NULL && !ends;
	c->at_line_start = ends;
	return true;
}

void
client_feed(struct client *c, const char *bytes, size_t len, int64_t now)
{
	const char *lf;
	size_t n;

	c->now = now;
	if (c->framing == FRAMING_NONE || len > c->body_left) {
		client_abort(c, "more content than was announced", now);
		return;
	}
	c->body_left -= len;
	c->since = now;
	if (c->framing == FRAMING_BDAT) {
		client_put(c, bytes, len);
		len = 0;
	}
	while (len > 0) {
		lf = memchr(bytes, '\n', len);
		n = lf != NULL ? (size_t)(lf - bytes) + 1 : len;
		if (!put_stuffed(c, bytes, n)) {
			client_abort(c, "the content has a bare CR or LF", now);
			return;
		}
		bytes += n;
		len -= n;
	}
	if (c->body_left == 0)
		finish(c);
	if (c->out.failed)
		client_abort(c, "out of memory", now);
}

bool
client_wants_body(const struct client *c)
{
	return c->framing != FRAMING_NONE && buf_len(&c->out) < OUTPUT_HIGH;
}

uint64_t
client_body_left(const struct client *c)
{
	return c->framing != FRAMING_NONE ? c->body_left : 0;
}

/* ---- facts ---- */

enum client_need
client_need(const struct client *c)
{
	if (c->step == STEP_ENDED)
		return CLIENT_ENDED;
	if (c->step == STEP_HANDSHAKE)
		return CLIENT_NEEDS_TLS;
	if (c->step == STEP_VERDICT)
		return CLIENT_NEEDS_VERDICT;
	if (c->step == STEP_READY)
		return CLIENT_NEEDS_MESSAGE;
	return c->framing != FRAMING_NONE ? CLIENT_NEEDS_BODY
					  : CLIENT_NEEDS_PEER;
}

enum client_security
client_security(const struct client *c)
{
	return c->security;
}

bool
client_was_answered(const struct client *c)
{
	return c->answered;
}

const struct client_result *
client_trouble(const struct client *c)
{
	return &c->trouble;
}

unsigned
client_offers(const struct client *c)
{
	return c->offers;
}
