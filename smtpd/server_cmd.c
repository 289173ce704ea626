#include "smtpd/server_cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BATCH_RCPTS_MAX 10000 /* of a message in a transcript */
#define UNIQUE_MAX 1000       /* recipients that another is compared with */

/* ---- hello ---- */

/* A name that may stand in a header: no blank, no control (checked before). */
static bool
take_name(struct server *s, const char *args)
{
	if (args[0] == '\0' || strlen(args) >= sizeof s->helo ||
	    strpbrk(args, " \t()<>\"\\;,") != NULL) {
		server_reply(s, 501, "5.5.4", "a host name, please");
		return false;
	}
	(void)strlcpy(s->helo, args, sizeof s->helo);
	return true;
}

static void
run_helo(struct server *s, char *args)
{
	if (!take_name(s, args))
		return;
	server_reset(s);
	s->hello = HELLO_HELO;
	server_reply(s, 250, NULL, "%s", s->params.hostname);
}

static void
run_ehlo(struct server *s, char *args)
{
	if (!take_name(s, args))
		return;
	server_reset(s);
	s->hello = HELLO_EHLO;
	server_reply_more(s, 250, "%s", s->params.hostname);
	server_reply_more(s, 250, "PIPELINING");
	server_reply_more(s, 250, "SIZE %" PRIu64, s->params.size_max);
	server_reply_more(s, 250, "8BITMIME");
	server_reply_more(s, 250, "SMTPUTF8");
	server_reply_more(s, 250, "DSN");
	server_reply_more(s, 250, "CHUNKING");
	server_reply_more(s, 250, "LIMITS RCPTMAX=%u", s->params.rcpt_max);
	server_reply(s, 250, NULL, "ENHANCEDSTATUSCODES");
}

/* ---- a message ---- */

static bool
no_memory(struct server *s)
{
	server_reply(s, 452, "4.3.1", "out of memory");
	return false;
}

static void
run_mail(struct server *s, char *args)
{
	struct server_mail m;

	if (s->hello == HELLO_NONE && !s->params.is_batch) {
		server_reply(s, 503, "5.5.1", "EHLO first");
		return;
	}
	if (s->has_mail) {
		server_reply(s, 503, "5.5.1", "a message is under way");
		return;
	}
	if (!server_param_mail(s, args, &m))
		return;
	s->env.flags = m.flags;
	s->env.sender = envelope_text(&s->env, m.sender.text);
	s->env.envid = envelope_text(&s->env, m.envid);
	if (s->env.sender == NULL || s->env.envid == NULL) {
		server_reset(s);
		(void)no_memory(s);
		return;
	}
	s->has_mail = true;
	server_reply(s, 250, "2.1.0", "sender ok");
}

/* A recipient on its way into the envelope. */
struct adding {
	struct server *server;
	const struct server_rcpt *rcpt;
	int error;
};

/* Is the address among the first recipients? All would be too much work. */
static bool
is_there(const struct envelope *env, const char *address)
{
	size_t i;

	for (i = 0; i < env->rcpt_count && i < UNIQUE_MAX; i++) {
		if (strcmp(env->rcpts[i].address, address) == 0)
			return true;
	}
	return false;
}

static int
add_rcpt(void *arg, const char *address)
{
	struct adding *adding = arg;
	struct recipient r = { .address = address,
		.orcpt = adding->rcpt->orcpt,
		.notify = adding->rcpt->notify };

	if (is_there(&adding->server->env, address))
		return 0;
	if (envelope_add(&adding->server->env, &r) == 0)
		return 0;
	adding->error = errno;
	return -1;
}

static bool
expand(struct server *s, const struct server_rcpt *r)
{
	struct adding adding = { .server = s, .rcpt = r };
	size_t before = s->env.rcpt_count;
	const char *why = "it leads to nobody";
	int n;

	if (s->params.expand == NULL)
		n = add_rcpt(&adding, r->address.text) == 0 ? 1 : -1;
	else
		n = s->params.expand(s->params.expand_arg, r->address.text,
		    add_rcpt, &adding, &why);
	if (n > 0)
		return true;
	/* Recipients found before the error must not get the message. */
	s->env.rcpt_count = before;
	if (adding.error == ENOMEM)
		return no_memory(s);
	if (adding.error == E2BIG)
		server_reply(s, 452, "4.5.3", "too many recipients");
	else
		server_reply(s, 550, "5.1.3", "alias: %s", why);
	return false;
}

/* A transcript may name more: nobody would send the message once more for those
 * over the limit. */
static size_t
rcpt_max(const struct server *s)
{
	return s->params.is_batch && s->params.rcpt_max < BATCH_RCPTS_MAX
	    ? BATCH_RCPTS_MAX
	    : s->params.rcpt_max;
}

static bool
may_add(struct server *s)
{
	if (!s->has_mail || s->in_content) {
		server_reply(s, 503, "5.5.1", "MAIL first");
		return false;
	}
	if (!s->params.may_relay) {
		server_reply(s, 550, "5.7.1", "relaying is not permitted");
		return false;
	}
	if (s->env.rcpt_count >= rcpt_max(s)) {
		/* The client is not idle: it sends the message to those that
		 * fit and the rest in another (RFC 5321 4.5.3.1.10). */
		s->idle = 0;
		server_reply(s, 452, "4.5.3", "too many recipients");
		return false;
	}
	return true;
}

static void
run_rcpt(struct server *s, char *args)
{
	struct server_rcpt r;
	const char *why;

	if (!may_add(s) || !server_param_rcpt(s, args, &r))
		return;
	if (r.address.domain[0] == '\0' && s->params.expand == NULL &&
	    address_qualify(&r.address, s->params.hostname, &why) == -1) {
		server_reply(s, 501, "5.1.3", "bad address: %s", why);
		return;
	}
	if (r.address.is_literal) {
		server_reply(s, 550, "5.1.2",
		    "mail for address literals is not taken");
		return;
	}
	if (!expand(s, &r))
		return;
	s->idle = 0;
	server_reply(s, 250, "2.1.5", "recipient ok");
}

static bool
may_send(struct server *s)
{
	if (!s->has_mail) {
		server_reply(s, 503, "5.5.1", "MAIL first");
		return false;
	}
	if (s->env.rcpt_count == 0) {
		server_reply(s, 554, "5.5.1", "no valid recipients");
		return false;
	}
	return true;
}

static void
run_data(struct server *s, char *args)
{
	if (args[0] != '\0') {
		server_reply(s, 501, "5.5.4", "DATA stands alone");
		return;
	}
	if (s->in_content) {
		server_reply(s, 503, "5.5.1", "BDAT is under way");
		return;
	}
	if (!may_send(s))
		return;
	server_reply(s, 354, NULL, "end with <CRLF>.<CRLF>");
	server_content_begin(s, PHASE_DATA, 0, false);
}

/* RFC 3030 2: BDAT SP chunk-size [ SP "LAST" ] */
static bool
take_chunk(char *args, uint64_t *size, bool *last)
{
	size_t digits = strspn(args, "0123456789");
	char *rest = args + digits;

	if (digits == 0 || digits > 18)
		return false;
	*last = false;
	if (*rest == ' ' || *rest == '\t') {
		*rest++ = '\0';
		rest += strspn(rest, " \t");
		if (strcasecmp(rest, "LAST") != 0)
			return false;
		*last = true;
	} else if (*rest != '\0')
		return false;
	*size = strtoull(args, NULL, 10);
	return true;
}

static void
run_bdat(struct server *s, char *args)
{
	uint64_t size;
	bool last;

	/* Nobody can tell whether content or commands follow. */
	if (!take_chunk(args, &size, &last)) {
		server_reply(s, 501, "5.5.4", "BDAT size [LAST], closing");
		server_end(s);
		return;
	}
	s->idle = 0;
	server_content_begin(s, PHASE_BDAT, size, last);
	/* The client sends the chunk whatever the reply (RFC 3030 2). */
	if (!s->has_mail)
		server_refuse_content(s, 503, "5.5.1", "MAIL first");
	else if (s->env.rcpt_count == 0)
		server_refuse_content(s, 554, "5.5.1", "no valid recipients");
	else if (size > s->params.size_max)
		server_refuse_content(s, 552, "5.3.4",
		    "the message is too large");
}

/* ---- the rest ---- */

static void
run_rset(struct server *s, char *args)
{
	(void)args;
	server_reset(s);
	server_reply(s, 250, "2.0.0", "ok");
}

static void
run_noop(struct server *s, char *args)
{
	(void)args;
	server_reply(s, 250, "2.0.0", "ok");
}

static void
run_vrfy(struct server *s, char *args)
{
	if (args[0] == '\0')
		server_reply(s, 501, "5.5.4", "VRFY address");
	else
		server_reply(s, 252, "2.0.0", "send some mail, it is tried");
}

static void
run_help(struct server *s, char *args)
{
	(void)args;
	server_reply(s, 214, "2.0.0",
	    "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT");
}

static void
run_quit(struct server *s, char *args)
{
	(void)args;
	server_reply(s, 221, "2.0.0", "%s closing", s->params.hostname);
	server_end(s);
}

static void
run_unsupported(struct server *s, char *args)
{
	(void)args;
	server_reply(s, 502, "5.5.1", "not supported here");
}

static void
run_ctl(struct server *s, char *args)
{
	if (!s->params.is_local || s->params.is_batch ||
	    s->hello != HELLO_NONE || s->has_mail) {
		server_reply(s, 502, "5.5.1", "not supported here");
		return;
	}
	(void)strlcpy(s->ctl, args, sizeof s->ctl);
	s->phase = PHASE_CTL;
}

/* clang-format off */
const struct server_row server_rows[] = {
	{ "EHLO",     false, run_ehlo },
	{ "HELO",     false, run_helo },
	{ "MAIL",     true,  run_mail },
	{ "RCPT",     true,  run_rcpt },
	{ "DATA",     false, run_data },
	{ "BDAT",     false, run_bdat },
	{ "RSET",     false, run_rset },
	{ "NOOP",     false, run_noop },
	{ "VRFY",     false, run_vrfy },
	{ "HELP",     false, run_help },
	{ "QUIT",     false, run_quit },
	{ "CTL",      true,  run_ctl },
	{ "EXPN",     false, run_unsupported },
	{ "STARTTLS", false, run_unsupported },
	{ "AUTH",     true,  run_unsupported },
	{ "ETRN",     false, run_unsupported },
	{ NULL,	      false, NULL },
};
/* clang-format on */

const struct server_row *
server_row(const char *line, size_t len)
{
	const struct server_row *row;
	size_t n = strcspn(line, " \t");

	if (n > len)
		n = len;
	for (row = server_rows; row->verb != NULL; row++) {
		if (strlen(row->verb) == n &&
		    strncasecmp(line, row->verb, n) == 0)
			return row;
	}
	return NULL;
}

/* ---- the life of the engine ---- */

struct server *
server_new(const struct server_params *params, int64_t now)
{
	struct server *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->params = *params;
	s->since = now;
	buf_init(&s->out, 1 << 20);
	envelope_init(&s->env);
	server_reply(s, 220, NULL, "%s ESMTP Sealpost", params->hostname);
	return s;
}

void
server_free(struct server *s)
{
	if (s == NULL)
		return;
	envelope_clear(&s->env);
	buf_clear(&s->out);
	free(s);
}

/* ---- facts ---- */

const struct envelope *
server_envelope(const struct server *s)
{
	return &s->env;
}

const char *
server_helo(const struct server *s)
{
	return s->helo;
}

const char *
server_protocol(const struct server *s)
{
	if (s->env.flags & ENVELOPE_SMTPUTF8)
		return "UTF8SMTP";
	return s->hello == HELLO_EHLO ? "ESMTP" : "SMTP";
}

const char *
server_ctl(const struct server *s)
{
	return s->ctl;
}

int
server_refusal(const struct server *s, const char **text)
{
	*text = s->refusal_text;
	return s->refusal;
}

unsigned
server_accepted(const struct server *s)
{
	return s->accepted;
}
