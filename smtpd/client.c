#include "smtpd/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/client_step.h"

#define LINE_MAX_OUT 4096       /* bytes of one command */
#define OUTPUT_MAX (8 << 20)    /* bytes waiting to be written */
#define BLOCK_TIMEOUT_MS 180000 /* data block, RFC 5321 4.5.3.2.5 */
#define SECRET_MAX 1000         /* user and password together */
#define RCPT_MOST 100           /* RFC 5321 4.5.3.1.8 */

/* ---- what is awaited ---- */

static bool
is_awaiting(const struct client *c)
{
	return c->fifo_head < c->fifo_end;
}

void
client_await(struct client *c, uint64_t end)
{
	struct pending *grown;
	size_t room;

	if (c->fifo_head == c->fifo_end) {
		c->fifo_head = c->fifo_end = 0;
		c->since = c->now;
	}
	if (c->fifo_end == c->fifo_room) {
		room = c->fifo_room == 0 ? 16 : 2 * c->fifo_room;
		grown = reallocarray(c->fifo, room, sizeof *grown);
		if (grown == NULL) {
			c->out.failed = true;
			return;
		}
		c->fifo = grown;
		c->fifo_room = room;
	}
	c->fifo[c->fifo_end++] =
	    (struct pending){ .step = c->step, .rcpt = c->rcpt, .end = end };
}

void
client_put(struct client *c, const char *bytes, size_t len)
{
	buf_add(&c->out, bytes, len);
	c->written += len;
}

void
client_await_end(struct client *c, uint64_t end)
{
	c->fifo[c->fifo_end - 1].end = end;
}

static bool
holds_control(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return true;
	}
	return false;
}

void
client_command(struct client *c, const char *shown, const char *format, ...)
{
	char line[LINE_MAX_OUT];
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= sizeof line ||
	    holds_control(line, (size_t)len)) {
		(void)client_give_up(c, TROUBLE_ARGUMENT, NULL, NULL);
		return;
	}
	if (c->trace != NULL)
		c->trace(c->trace_arg, '>', shown != NULL ? shown : line);
	client_put(c, line, (size_t)len);
	client_put(c, "\r\n", 2);
	explicit_bzero(line, sizeof line);
	client_await(c, c->written);
}

/* ---- results ---- */

/* Could the host have taken the message? All of the content was shown to the
 * caller, and its reply is awaited. */
static bool
may_be_taken(const struct client *c)
{
	const struct pending *last;

	if (!is_awaiting(c))
		return false;
	last = &c->fifo[c->fifo_end - 1];
	return (last->step == STEP_CONTENT || last->step == STEP_BDAT) &&
	    last->end <= c->shown;
}

/* The stage that a failure belongs to: that of the first reply awaited. */
static enum stage
stage_now(const struct client *c, enum trouble_kind kind)
{
	if (kind != TROUBLE_REPLY && may_be_taken(c))
		return STAGE_END;
	if (c->framing != FRAMING_NONE && kind != TROUBLE_REPLY)
		return STAGE_CONTENT;
	if (is_awaiting(c) && kind != TROUBLE_REPLY)
		return client_steps[c->fifo[c->fifo_head].step].stage;
	return client_steps[c->step].stage;
}

enum step
client_give_up(struct client *c, enum trouble_kind kind, const struct reply *r,
    const char *detail)
{
	enum stage stage = stage_now(c, kind);
	struct client_result *t = &c->trouble;
	size_t i;

	if (c->step == STEP_ENDED)
		return STEP_ENDED;
	if (stage == STAGE_STARTTLS &&
	    (kind == TROUBLE_LOST || kind == TROUBLE_TIMEOUT))
		c->security = CLIENT_UNANSWERED;
	trouble_judge(&t->trouble, stage, kind, r, detail);
	if (r != NULL)
		reply_show(r, t->reply, sizeof t->reply);
	for (i = 0; c->pass != NULL && i < c->pass->slot_count; i++) {
		if (c->pass->slots[i].settled)
			continue;
		c->pass->slots[i].settled = true;
		c->pass->slots[i].result = *t;
		c->pass->slots[i].result.tried = true;
	}
	c->step = STEP_ENDED;
	c->framing = FRAMING_NONE;
	c->body_left = 0;
	c->fifo_head = c->fifo_end = 0;
	buf_take(&c->out, buf_len(&c->out));
	return STEP_ENDED;
}

/* ---- steps ---- */

void
client_enter(struct client *c, enum step next)
{
	const struct step_row *row;

	while (next != STEP_COUNT) {
		if (next == STEP_READY && c->mail_max > 0 &&
		    c->messages >= c->mail_max)
			next = STEP_QUIT;
		if (next == STEP_READY || next == STEP_QUIT)
			c->message_by = 0;
		c->step = next;
		row = &client_steps[next];
		if (row->send != NULL)
			row->send(c);
		if (c->step == STEP_ENDED || row->ahead == NULL ||
		    !(c->offers & CLIENT_OFFERS_PIPELINING))
			break;
		next = row->ahead(c);
	}
	if (c->out.failed)
		(void)client_give_up(c, TROUBLE_LOCAL, NULL, "out of memory");
}

/* A reply to "head" is complete; where does it lead? */
static enum step
judge(struct client *c, const struct pending *head, const struct reply *r)
{
	c->rcpt = head->rcpt;
	/* Refused before its end is sent: the rest would be taken for
	 * commands, so the session ends. */
	if (head->end > c->shown && r->code >= 400 &&
	    (head->step == STEP_CONTENT || head->step == STEP_BDAT)) {
		client_settle_all(c, STAGE_CONTENT, TROUBLE_REPLY, r);
		return client_give_up(c, TROUBLE_REPLY, r, NULL);
	}
	if (head->end > c->shown)
		return client_give_up(c, TROUBLE_PROTOCOL, r,
		    "the host answered what it had not been asked");
	/* The service closes, whatever was asked (RFC 5321 3.8). */
	if (r->code == 421 && head->step != STEP_QUIT &&
	    head->step != STEP_STARTTLS) {
		c->step = head->step;
		return client_give_up(c, TROUBLE_REPLY, r, NULL);
	}
	return client_steps[head->step].reply(c, r);
}

static void
trace_reply(struct client *c, const struct reply *r)
{
	char line[REPLY_LINE_MAX], shown[REPLY_LINE_MAX + 8];
	size_t pos = 0;
	bool more = reply_line(r, &pos, line, sizeof line);

	if (!more)
		line[0] = '\0';
	do {
		(void)snprintf(shown, sizeof shown, "%d%c%s", r->code,
		    r->text[pos] != '\0' ? '-' : ' ', line);
		c->trace(c->trace_arg, '<', shown);
	} while (more && reply_line(r, &pos, line, sizeof line));
}

static void
take_reply(struct client *c, const struct reply *r)
{
	struct pending head;
	enum step next;

	if (c->trace != NULL)
		trace_reply(c, r);
	if (!is_awaiting(c)) {
		(void)client_give_up(c,
		    r->code == 421 ? TROUBLE_REPLY : TROUBLE_PROTOCOL, r,
		    r->code == 421 ? NULL
				   : "the host spoke without being asked");
		return;
	}
	c->answered = true;
	head = c->fifo[c->fifo_head];
	next = judge(c, &head, r);
	if (next == STEP_ENDED) {
		c->step = STEP_ENDED;
		return;
	}
	if (c->step == STEP_ENDED)
		return;
	c->fifo_head++;
	c->since = c->now;
	if (!is_awaiting(c))
		client_enter(c, next);
}

void
client_input(struct client *c, const char *bytes, size_t len, int64_t now)
{
	const char *why = NULL;
	size_t used;
	int got;

	c->now = now;
	while (len > 0 && c->step != STEP_ENDED) {
		if (c->step == STEP_HANDSHAKE) {
			(void)client_give_up(c, TROUBLE_PROTOCOL, NULL,
			    "bytes in the clear follow the reply to STARTTLS");
			return;
		}
		got = reply_parse(&c->parser, bytes, len, &used, &why);
		bytes += used;
		len -= used;
		if (got == 0)
			return;
		if (got == -1) {
			(void)client_give_up(c, TROUBLE_PROTOCOL, NULL, why);
			return;
		}
		take_reply(c, &c->parser.reply);
		reply_start(&c->parser);
	}
}

void
client_eof(struct client *c, int64_t now)
{
	c->now = now;
	if (c->step == STEP_QUIT) {
		trouble_none(&c->trouble.trouble, NULL);
		c->step = STEP_ENDED;
		return;
	}
	(void)client_give_up(c, TROUBLE_LOST, NULL, NULL);
}

/* ---- output and time ---- */

const char *
client_output(struct client *c, size_t *len)
{
	c->shown = c->written;
	*len = buf_len(&c->out);
	return buf_bytes(&c->out);
}

void
client_sent(struct client *c, size_t len, int64_t now)
{
	c->now = now;
	if (len > buf_len(&c->out))
		len = buf_len(&c->out);
	/* Passwords do not stay in memory that is used again. */
	if (len > 0 && client_steps[c->step].stage == STAGE_AUTH)
		explicit_bzero(c->out.mem + c->out.start, len);
	buf_take(&c->out, len);
	if (len > 0)
		c->since = now;
}

static int64_t
time_for(enum step step)
{
	return (int64_t)client_steps[step].timeout_s * 1000;
}

int64_t
client_deadline(const struct client *c)
{
	int64_t by = CLIENT_NO_DEADLINE;

	if (c->step == STEP_ENDED)
		return CLIENT_NO_DEADLINE;
	if (c->step == STEP_HANDSHAKE)
		by = c->since + time_for(c->step);
	else if (buf_len(&c->out) > 0 || c->framing != FRAMING_NONE)
		by = c->since + BLOCK_TIMEOUT_MS;
	else if (is_awaiting(c))
		by = c->since + time_for(c->fifo[c->fifo_head].step);
	if (is_awaiting(c) && c->message_by != 0 && c->message_by < by)
		by = c->message_by;
	return by;
}

void
client_expire(struct client *c, int64_t now)
{
	if (now < client_deadline(c))
		return;
	c->now = now;
	if (c->step == STEP_QUIT) {
		client_eof(c, now);
		return;
	}
	(void)client_give_up(c, TROUBLE_TIMEOUT, NULL, NULL);
}

/* ---- TLS and the verdict ---- */

void
client_secured(struct client *c, int64_t now)
{
	c->now = now;
	if (c->step != STEP_HANDSHAKE) {
		(void)client_give_up(c, TROUBLE_LOCAL, NULL,
		    "a handshake that was not asked for");
		return;
	}
	/* RFC 3207 4.2: discard what was learnt before. */
	c->security = CLIENT_SECURE;
	c->offers = 0;
	c->size_max = 0;
	c->rcpt_max = 0;
	c->mail_max = 0;
	reply_start(&c->parser);
	client_enter(c, STEP_EHLO);
}

static struct client_pass *
make_pass(struct client *c)
{
	c->pass = calloc(1, sizeof *c->pass);
	if (c->pass == NULL)
		(void)client_give_up(c, TROUBLE_LOCAL, NULL, "out of memory");
	else
		c->pass->client = c;
	return c->pass;
}

static int
keep_secret(struct client *c, const struct client_auth *auth)
{
	size_t user = strlen(auth->user), password = strlen(auth->password);

	if (user == 0 || user + password > SECRET_MAX)
		return -1;
	c->secret_user = user;
	c->secret_len = user + password + 2;
	if ((c->secret = malloc(c->secret_len)) == NULL)
		return -1;
	memcpy(c->secret, auth->user, user + 1);
	memcpy(c->secret + user + 1, auth->password, password + 1);
	return 0;
}

struct client_pass *
client_proceed(struct client *c, const struct client_auth *auth, int64_t now)
{
	unsigned ways = c->offers & (CLIENT_OFFERS_PLAIN | CLIENT_OFFERS_LOGIN);

	c->now = now;
	if (c->step != STEP_VERDICT || c->security != CLIENT_SECURE) {
		(void)client_give_up(c, TROUBLE_LOCAL, NULL,
		    "mail may not go over a stream that is not secured");
		return NULL;
	}
	if (auth != NULL && (ways == 0 || keep_secret(c, auth) == -1)) {
		(void)client_give_up(c, TROUBLE_AUTH, NULL,
		    "the host offers no way to log in that we know");
		return NULL;
	}
	if (make_pass(c) == NULL)
		return NULL;
	if (auth == NULL)
		client_enter(c, STEP_READY);
	else
		client_enter(c,
		    ways & CLIENT_OFFERS_PLAIN ? STEP_AUTH_PLAIN
					       : STEP_AUTH_LOGIN);
	return c->pass;
}

struct client_pass *
client_proceed_in_clear(struct client *c, int64_t now)
{
	c->now = now;
	if (c->step != STEP_VERDICT) {
		(void)client_give_up(c, TROUBLE_LOCAL, NULL,
		    "no verdict was due");
		return NULL;
	}
	if (make_pass(c) != NULL)
		client_enter(c, STEP_READY);
	return c->pass;
}

/* ---- the life of the engine ---- */

struct client *
client_new(const struct client_params *params, int64_t now)
{
	struct client *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	buf_init(&c->out, OUTPUT_MAX);
	reply_start(&c->parser);
	c->tls = params->tls;
	c->rcpt_most = params->rcpt_most > 0 ? params->rcpt_most : RCPT_MOST;
	c->security = params->tls == CLIENT_TLS_IMPLICIT ? CLIENT_SECURE
							 : CLIENT_IN_CLEAR;
	(void)strlcpy(c->helo, params->helo, sizeof c->helo);
	c->trace = params->trace;
	c->trace_arg = params->trace_arg;
	c->now = now;
	c->trouble.tried = true;
	c->step = STEP_GREETING;
	client_await(c, 0);
	client_enter(c, STEP_GREETING);
	return c;
}

void
client_free(struct client *c)
{
	if (c == NULL)
		return;
	if (c->secret != NULL)
		explicit_bzero(c->secret, c->secret_len);
	free(c->secret);
	if (c->pass != NULL)
		free(c->pass->slots);
	free(c->pass);
	free(c->fifo);
	buf_clear(&c->out);
	free(c);
}

void
client_quit(struct client *c, int64_t now)
{
	c->now = now;
	if (c->step == STEP_ENDED || c->step == STEP_QUIT)
		return;
	if (c->step == STEP_VERDICT || c->step == STEP_READY)
		client_enter(c, STEP_QUIT);
	else
		(void)client_give_up(c, TROUBLE_LOCAL, NULL, NULL);
}

void
client_abort(struct client *c, const char *detail, int64_t now)
{
	c->now = now;
	(void)client_give_up(c, TROUBLE_LOCAL, NULL, detail);
}
