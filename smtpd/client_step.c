#include "smtpd/client_step.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "queue/envelope.h"

/*
 * Content up to here goes out with the envelope, without waiting for the
 * replies to RCPT: a round trip saved outweighs bytes sent in vain.
 */
#define BDAT_AHEAD_MAX 32768

static bool
is_positive(const struct reply *r)
{
	return r->code / 100 == 2;
}

static bool
is_refusal(const struct reply *r)
{
	return r->code >= 400;
}

/* ---- a message ---- */

static void
send_rset(struct client *c)
{
	client_command(c, NULL, "RSET");
}

static enum step
to_mail(struct client *c)
{
	(void)c;
	return STEP_MAIL;
}

static enum step
on_rset(struct client *c, const struct reply *r)
{
	if (!is_positive(r))
		return client_give_up(c, TROUBLE_PROTOCOL, r,
		    "RSET was refused");
	c->needs_rset = false;
	return STEP_MAIL;
}

static void
send_mail(struct client *c)
{
	static const char *const rets[] = { [CLIENT_RET_NONE] = "",
		[CLIENT_RET_FULL] = " RET=FULL",
		[CLIENT_RET_HDRS] = " RET=HDRS" };
	const struct client_message *m = c->pass->message;
	bool dsn = (c->offers & CLIENT_OFFERS_DSN) != 0;
	bool envid = dsn && m->envid != NULL && m->envid[0] != '\0';
	char size[32] = "";

	c->needs_rset = true;
	if (c->offers & CLIENT_OFFERS_SIZE)
		(void)snprintf(size, sizeof size, " SIZE=%" PRIu64, m->size);
	client_command(c, NULL, "MAIL FROM:<%s>%s%s%s%s%s%s", m->sender, size,
	    m->eightbit ? " BODY=8BITMIME" : "",
	    c->pass->utf8 ? " SMTPUTF8" : "", dsn ? rets[m->ret] : "",
	    envid ? " ENVID=" : "", envid ? m->envid : "");
}

/* The first slot from "next" on that is not settled already. */
static bool
find_slot(struct client_pass *p)
{
	while (p->next < p->limit && p->slots[p->next].settled)
		p->next++;
	return p->next < p->limit;
}

static enum step
to_rcpt(struct client *c)
{
	(void)c;
	return STEP_RCPT;
}

static enum step
on_mail(struct client *c, const struct reply *r)
{
	if (is_positive(r))
		return STEP_RCPT;
	if (!is_refusal(r))
		return client_give_up(c, TROUBLE_PROTOCOL, r, NULL);
	c->pass->mail_refused = true;
	client_settle_all(c, STAGE_MAIL, TROUBLE_REPLY, r);
	return STEP_READY;
}

static const char *
notify_text(unsigned notify, char *text, size_t size)
{
	if (notify & NOTIFY_NEVER)
		return " NOTIFY=NEVER";
	(void)snprintf(text, size, " NOTIFY%s%s%s",
	    notify & NOTIFY_SUCCESS ? ",SUCCESS" : "",
	    notify & NOTIFY_FAILURE ? ",FAILURE" : "",
	    notify & NOTIFY_DELAY ? ",DELAY" : "");
	text[strlen(" NOTIFY")] = '=';
	return notify != 0 ? text : "";
}

static void
send_rcpt(struct client *c)
{
	struct client_pass *p = c->pass;
	const struct client_rcpt *to;
	char notify[64];
	bool dsn, orcpt;

	(void)find_slot(p);
	to = &p->message->rcpts[p->next];
	c->rcpt = p->next++;
	dsn = (c->offers & CLIENT_OFFERS_DSN) != 0;
	orcpt = dsn && to->orcpt != NULL && to->orcpt[0] != '\0';
	client_command(c, NULL, "RCPT TO:<%s>%s%s%s", to->address,
	    dsn ? notify_text(to->notify, notify, sizeof notify) : "",
	    orcpt ? " ORCPT=" : "", orcpt ? to->orcpt : "");
}

static enum step
content_step(const struct client *c)
{
	return c->offers & CLIENT_OFFERS_CHUNKING ? STEP_BDAT : STEP_DATA;
}

static enum step
past_rcpt(struct client *c)
{
	if (find_slot(c->pass))
		return STEP_RCPT;
	if (content_step(c) == STEP_BDAT &&
	    c->pass->message->size > BDAT_AHEAD_MAX)
		return STEP_COUNT;
	return content_step(c);
}

/* RFC 5321 4.5.3.1.10; 552 comes from servers of RFC 821's days. */
static bool
is_too_many(const struct reply *r)
{
	return r->code == 452 ||
	    (r->code == 552 &&
		(r->dsn[0] == '\0' || strcmp(r->dsn, "5.5.3") == 0));
}

static enum step
on_rcpt(struct client *c, const struct reply *r)
{
	struct client_pass *p = c->pass;
	struct client_slot *slot = &p->slots[c->rcpt];

	if (!is_positive(r) && !is_refusal(r))
		return client_give_up(c, TROUBLE_PROTOCOL, r, NULL);
	if (slot->settled)
		; /* MAIL was refused: this reply is only its echo */
	else if (is_positive(r)) {
		slot->accepted = true;
		p->accepted++;
	} else {
		client_settle(c, c->rcpt, STAGE_RCPT, TROUBLE_REPLY, r);
		if (is_too_many(r) && p->accepted > 0)
			slot->result.tried = false; /* another round */
	}
	if (find_slot(p))
		return STEP_RCPT;
	return p->accepted > 0 ? content_step(c) : STEP_READY;
}

static void
send_data(struct client *c)
{
	client_command(c, NULL, "DATA");
}

static enum step
on_data(struct client *c, const struct reply *r)
{
	struct client_pass *p = c->pass;

	if (r->code == 354 && p->accepted > 0)
		return STEP_CONTENT;
	if (r->code == 354 && !p->mail_refused)
		return STEP_ABANDON;
	if (!is_refusal(r))
		return client_give_up(c, TROUBLE_PROTOCOL, r, NULL);
	client_settle_all(c, STAGE_DATA, TROUBLE_REPLY, r);
	return STEP_READY;
}

static void
begin_content(struct client *c)
{
	client_body_begin(c, FRAMING_DOT);
}

static void
begin_bdat(struct client *c)
{
	client_body_begin(c, FRAMING_BDAT);
}

static enum step
on_content(struct client *c, const struct reply *r)
{
	struct client_pass *p = c->pass;
	size_t i;

	if (!is_positive(r) && !is_refusal(r))
		return client_give_up(c, TROUBLE_PROTOCOL, r, NULL);
	if (is_refusal(r)) {
		client_settle_all(c, STAGE_END, TROUBLE_REPLY, r);
		return STEP_READY;
	}
	for (i = 0; i < p->slot_count; i++) {
		if (p->slots[i].settled || !p->slots[i].accepted)
			continue;
		trouble_none(&p->slots[i].result.trouble, r);
		reply_show(r, p->slots[i].result.reply, REPLY_SHOW_SIZE);
		p->slots[i].settled = true;
	}
	c->needs_rset = p->accepted == 0;
	return STEP_READY;
}

static void
send_abandon(struct client *c)
{
	client_command(c, NULL, ".");
}

static enum step
on_abandon(struct client *c, const struct reply *r)
{
	(void)c;
	(void)r;
	return STEP_READY;
}

static void
send_quit(struct client *c)
{
	client_command(c, NULL, "QUIT");
}

static enum step
on_quit(struct client *c, const struct reply *r)
{
	trouble_none(&c->trouble.trouble, r);
	reply_show(r, c->trouble.reply, sizeof c->trouble.reply);
	return STEP_ENDED;
}

/* clang-format off */
const struct step_row client_steps[STEP_COUNT] = {
	[STEP_GREETING]	  = { "greeting", STAGE_GREETING, 300,
	    NULL, client_on_greeting, NULL },
	[STEP_EHLO]	  = { "ehlo", STAGE_EHLO, 300,
	    client_send_ehlo, client_on_ehlo, NULL },
	[STEP_HELO]	  = { "helo", STAGE_EHLO, 300,
	    client_send_helo, client_on_helo, NULL },
	[STEP_STARTTLS]	  = { "starttls", STAGE_STARTTLS, 120,
	    client_send_starttls, client_on_starttls, NULL },
	[STEP_HANDSHAKE]  = { "handshake", STAGE_HANDSHAKE, 120,
	    NULL, NULL, NULL },
	[STEP_VERDICT]	  = { "verdict", STAGE_OTHER, 0,
	    NULL, NULL, NULL },
	[STEP_AUTH_PLAIN] = { "auth-plain", STAGE_AUTH, 300,
	    client_send_auth_plain, client_on_auth, NULL },
	[STEP_AUTH_LOGIN] = { "auth-login", STAGE_AUTH, 300,
	    client_send_auth_login, client_on_auth_login, NULL },
	[STEP_LOGIN_USER] = { "login-user", STAGE_AUTH, 300,
	    client_send_login_user, client_on_login_user, NULL },
	[STEP_LOGIN_PASSWORD] = { "login-password", STAGE_AUTH, 300,
	    client_send_login_password, client_on_auth, NULL },
	[STEP_READY]	  = { "ready", STAGE_OTHER, 0,
	    NULL, NULL, NULL },
	[STEP_RSET]	  = { "rset", STAGE_OTHER, 300,
	    send_rset, on_rset, to_mail },
	[STEP_MAIL]	  = { "mail", STAGE_MAIL, 300,
	    send_mail, on_mail, to_rcpt },
	[STEP_RCPT]	  = { "rcpt", STAGE_RCPT, 300,
	    send_rcpt, on_rcpt, past_rcpt },
	[STEP_DATA]	  = { "data", STAGE_DATA, 120,
	    send_data, on_data, NULL },
	[STEP_CONTENT]	  = { "content", STAGE_END, 600,
	    begin_content, on_content, NULL },
	[STEP_BDAT]	  = { "bdat", STAGE_END, 600,
	    begin_bdat, on_content, NULL },
	[STEP_ABANDON]	  = { "abandon", STAGE_OTHER, 120,
	    send_abandon, on_abandon, NULL },
	[STEP_QUIT]	  = { "quit", STAGE_QUIT, 5,
	    send_quit, on_quit, NULL },
	[STEP_ENDED]	  = { "ended", STAGE_OTHER, 0,
	    NULL, NULL, NULL },
};
/* clang-format on */
