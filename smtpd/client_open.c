/*
 * The SMTP client engine's steps up to the first message: greeting, EHLO,
 * STARTTLS, logging in.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "smtpd/client_step.h"

#define ARGUMENT_MAX 1024 /* bytes of user and password together */

/* RFC 4648 4. "text" holds 4 * (len + 2) / 3 + 1 bytes. */
static void
base64(const char *bytes, size_t len, char *text)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = (const unsigned char *)bytes;
	unsigned v;

	for (; len > 0; p += 3) {
		v = (unsigned)p[0] << 16;
		v |= len > 1 ? (unsigned)p[1] << 8 : 0;
		v |= len > 2 ? p[2] : 0;
		*text++ = digits[v >> 18];
		*text++ = digits[v >> 12 & 63];
		*text++ = '=';
		*text++ = '=';
		if (len > 1)
			text[-2] = digits[v >> 6 & 63];
		if (len > 2)
			text[-1] = digits[v & 63];
		len -= len > 3 ? 3 : len;
	}
	*text = '\0';
}

/* ---- opening: greeting, EHLO, STARTTLS ---- */

enum step
client_on_greeting(struct client *c, const struct reply *r)
{
	if (r->code == 220)
		return STEP_EHLO;
	return client_give_up(c,
	    r->code >= 400 ? TROUBLE_REPLY : TROUBLE_PROTOCOL, r, NULL);
}

void
client_send_ehlo(struct client *c)
{
	client_command(c, NULL, "EHLO %s", c->helo);
}

void
client_send_helo(struct client *c)
{
	client_command(c, NULL, "HELO %s", c->helo);
}

/* The next blank-separated word of "*rest", or NULL. */
static char *
next_word(char **rest)
{
	char *word;

	while ((word = strsep(rest, " \t")) != NULL) {
		if (*word != '\0')
			return word;
	}
	return NULL;
}

static uint64_t
number(const char *text)
{
	uint64_t value = 0;
	size_t i;

	for (i = 0; text[i] >= '0' && text[i] <= '9' && i < 18; i++)
		value = value * 10 + (uint64_t)(text[i] - '0');
	return i > 0 && text[i] == '\0' ? value : 0;
}

/* RFC 9422 4: LIMITS RCPTMAX=20 MAILMAX=100 */
static void
learn_limits(struct client *c, char *rest)
{
	char *word;

	while ((word = next_word(&rest)) != NULL) {
		if (strncasecmp(word, "RCPTMAX=", 8) == 0)
			c->rcpt_max = number(word + 8);
		else if (strncasecmp(word, "MAILMAX=", 8) == 0)
			c->mail_max = number(word + 8);
	}
}

static void
learn_auth(struct client *c, char *rest)
{
	char *word;

	while ((word = next_word(&rest)) != NULL) {
		if (strcasecmp(word, "PLAIN") == 0)
			c->offers |= CLIENT_OFFERS_PLAIN;
		else if (strcasecmp(word, "LOGIN") == 0)
			c->offers |= CLIENT_OFFERS_LOGIN;
	}
}

static void
learn(struct client *c, char *line)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = {
		{ "STARTTLS", CLIENT_OFFERS_STARTTLS },
		{ "PIPELINING", CLIENT_OFFERS_PIPELINING },
		{ "SIZE", CLIENT_OFFERS_SIZE },
		{ "8BITMIME", CLIENT_OFFERS_8BITMIME },
		{ "SMTPUTF8", CLIENT_OFFERS_SMTPUTF8 },
		{ "DSN", CLIENT_OFFERS_DSN },
		{ "CHUNKING", CLIENT_OFFERS_CHUNKING },
		{ "ENHANCEDSTATUSCODES", CLIENT_OFFERS_CODES },
	};
	char *rest = line, *word = next_word(&rest), *value;
	size_t i;

	if (word == NULL)
		return;
	for (i = 0; i < sizeof words / sizeof words[0]; i++) {
		if (strcasecmp(word, words[i].word) == 0)
			c->offers |= words[i].bit;
	}
	if (strcasecmp(word, "SIZE") == 0) {
		value = next_word(&rest);
		c->size_max = value != NULL ? number(value) : 0;
	} else if (strcasecmp(word, "AUTH") == 0)
		learn_auth(c, rest);
	else if (strcasecmp(word, "LIMITS") == 0)
		learn_limits(c, rest);
}

static void
learn_all(struct client *c, const struct reply *r)
{
	char line[REPLY_LINE_MAX];
	size_t pos = 0;

	/* The first line greets; keywords follow (RFC 5321 4.1.1.1). */
	if (!reply_line(r, &pos, line, sizeof line))
		return;
	while (reply_line(r, &pos, line, sizeof line))
		learn(c, line);
}

enum step
client_on_ehlo(struct client *c, const struct reply *r)
{
	/* Servers older than ESMTP get HELO where TLS is not wanted. */
	if (c->tls == CLIENT_TLS_CLEAR && r->code / 100 == 5)
		return STEP_HELO;
	/* A server that does not know EHLO has no STARTTLS either. */
	if (c->tls == CLIENT_TLS_STARTTLS && c->security == CLIENT_IN_CLEAR &&
	    (r->code == 500 || r->code == 502)) {
		c->security = CLIENT_NOT_OFFERED;
		return STEP_HELO;
	}
	if (r->code != 250)
		return client_give_up(c,
		    r->code >= 400 ? TROUBLE_REPLY : TROUBLE_PROTOCOL, r, NULL);
	learn_all(c, r);
	if (c->tls != CLIENT_TLS_STARTTLS || c->security == CLIENT_SECURE)
		return STEP_VERDICT;
	if (c->offers & CLIENT_OFFERS_STARTTLS)
		return STEP_STARTTLS;
	c->security = CLIENT_NOT_OFFERED;
	return STEP_VERDICT;
}

enum step
client_on_helo(struct client *c, const struct reply *r)
{
	if (r->code == 250)
		return STEP_VERDICT;
	return client_give_up(c,
	    r->code >= 400 ? TROUBLE_REPLY : TROUBLE_PROTOCOL, r, NULL);
}

void
client_send_starttls(struct client *c)
{
	client_command(c, NULL, "STARTTLS");
}

enum step
client_on_starttls(struct client *c, const struct reply *r)
{
	if (r->code == 220)
		return STEP_HANDSHAKE;
	c->security = CLIENT_REFUSED;
	return client_give_up(c,
	    r->code >= 400 ? TROUBLE_REPLY : TROUBLE_NO_TLS, r, NULL);
}

/* ---- logging in to a smarthost (RFC 4954) ---- */

static void
forget_secret(struct client *c)
{
	if (c->secret != NULL)
		explicit_bzero(c->secret, c->secret_len);
	free(c->secret);
	c->secret = NULL;
}

static void
send_base64(struct client *c, const char *prefix, const char *bytes, size_t len)
{
	char text[2 * ARGUMENT_MAX];

	base64(bytes, len, text);
	client_command(c, "(secret)", "%s%s", prefix, text);
	explicit_bzero(text, sizeof text);
}

void
client_send_auth_plain(struct client *c)
{
	char plain[ARGUMENT_MAX];

	/* RFC 4616 2: [authzid] NUL authcid NUL passwd; client_proceed()
	 * bounds the length. */
	plain[0] = '\0';
	memcpy(plain + 1, c->secret, c->secret_len - 1);
	send_base64(c, "AUTH PLAIN ", plain, c->secret_len);
	explicit_bzero(plain, sizeof plain);
}

void
client_send_auth_login(struct client *c)
{
	client_command(c, NULL, "AUTH LOGIN");
}

void
client_send_login_user(struct client *c)
{
	send_base64(c, "", c->secret, c->secret_user);
}

void
client_send_login_password(struct client *c)
{
	send_base64(c, "", c->secret + c->secret_user + 1,
	    c->secret_len - c->secret_user - 2);
}

enum step
client_on_auth(struct client *c, const struct reply *r)
{
	forget_secret(c);
	if (r->code == 235)
		return STEP_READY;
	return client_give_up(c,
	    r->code >= 400 ? TROUBLE_REPLY : TROUBLE_PROTOCOL, r, NULL);
}

enum step
client_on_auth_login(struct client *c, const struct reply *r)
{
	return r->code == 334 ? STEP_LOGIN_USER : client_on_auth(c, r);
}

enum step
client_on_login_user(struct client *c, const struct reply *r)
{
	return r->code == 334 ? STEP_LOGIN_PASSWORD : client_on_auth(c, r);
}
