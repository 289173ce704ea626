/*
 * Parameters of MAIL and RCPT: path, then words KEY or KEY=VALUE.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "smtpd/msg.h"
#include "smtpd/server_cmd.h"

/* A parameter, and what its value does. Returns false after a refusal. */
struct param {
	const char *key;
	bool wants_value;
	bool (*set)(struct server *, void *out, char *value);
};

static bool
syntax(struct server *s, const char *what)
{
	server_reply(s, 501, "5.5.4", "%s", what);
	return false;
}

/* ---- MAIL ---- */

static bool
set_size(struct server *s, void *out, char *value)
{
	struct server_mail *m = out;
	size_t digits = strspn(value, "0123456789");

	if (digits == 0 || digits > 20 || value[digits] != '\0')
		return syntax(s, "SIZE is no number");
	m->size = digits > 18 ? UINT64_MAX : strtoull(value, NULL, 10);
	if (m->size <= s->params.size_max)
		return true;
	server_reply(s, 552, "5.3.4", "the message is too large");
	return false;
}

static bool
set_body(struct server *s, void *out, char *value)
{
	struct server_mail *m = out;

	if (strcasecmp(value, "8BITMIME") == 0)
		m->flags |= ENVELOPE_8BITMIME;
	else if (strcasecmp(value, "7BIT") != 0)
		return syntax(s, "BODY is 7BIT or 8BITMIME");
	return true;
}

static bool
set_smtputf8(struct server *s, void *out, char *value)
{
	struct server_mail *m = out;

	(void)s;
	(void)value;
	m->flags |= ENVELOPE_SMTPUTF8;
	return true;
}

static bool
set_ret(struct server *s, void *out, char *value)
{
	struct server_mail *m = out;

	if (strcasecmp(value, "FULL") == 0)
		m->flags |= ENVELOPE_RET_FULL;
	else if (strcasecmp(value, "HDRS") == 0)
		m->flags |= ENVELOPE_RET_HDRS;
	else
		return syntax(s, "RET is FULL or HDRS");
	return true;
}

/* xtext that decodes to something printable, of bounded length. */
static bool
is_xtext(const char *text, size_t max)
{
	char plain[ORCPT_SIZE];
	size_t len = strlen(text);

	return len > 0 && len <= max &&
	    address_xtext_decode(plain, sizeof plain, text, len) > 0;
}

static bool
set_envid(struct server *s, void *out, char *value)
{
	struct server_mail *m = out;

	if (!is_xtext(value, ENVID_SIZE - 1))
		return syntax(s, "ENVID is no xtext");
	m->envid = value;
	return true;
}

static const struct param mail_params[] = {
	{ "SIZE", true, set_size },
	{ "BODY", true, set_body },
	{ "SMTPUTF8", false, set_smtputf8 },
	{ "RET", true, set_ret },
	{ "ENVID", true, set_envid },
	{ NULL, false, NULL },
};

/* ---- RCPT ---- */

static bool
set_notify(struct server *s, void *out, char *value)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = { { "NEVER", NOTIFY_NEVER }, { "SUCCESS", NOTIFY_SUCCESS },
		{ "FAILURE", NOTIFY_FAILURE }, { "DELAY", NOTIFY_DELAY } };
	struct server_rcpt *r = out;
	unsigned before;
	char *word;
	size_t i;

	while ((word = strsep(&value, ",")) != NULL) {
		before = r->notify;
		for (i = 0; i < sizeof words / sizeof words[0]; i++) {
			if (strcasecmp(word, words[i].word) == 0)
				r->notify |= words[i].bit;
		}
		if (r->notify == before)
			return syntax(s, "NOTIFY holds a word not known");
	}
	if ((r->notify & NOTIFY_NEVER) != 0 && r->notify != NOTIFY_NEVER)
		return syntax(s, "NOTIFY=NEVER stands alone");
	return true;
}

static bool
set_orcpt(struct server *s, void *out, char *value)
{
	struct server_rcpt *r = out;
	size_t type = strcspn(value, ";");

	if (type == 0 || value[type] != ';' || strlen(value) >= ORCPT_SIZE ||
	    strspn(value,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789-") != type ||
	    !is_xtext(value + type + 1, ORCPT_SIZE - 1))
		return syntax(s, "ORCPT is no type;xtext");
	r->orcpt = value;
	return true;
}

static const struct param rcpt_params[] = {
	{ "NOTIFY", true, set_notify },
	{ "ORCPT", true, set_orcpt },
	{ NULL, false, NULL },
};

/* ---- both ---- */

static bool
set_one(struct server *s, const struct param *params, char *word, unsigned *had,
    void *out)
{
	char *value = strchr(word, '=');
	unsigned i;

	if (value != NULL)
		*value++ = '\0';
	for (i = 0; params[i].key != NULL; i++) {
		if (strcasecmp(word, params[i].key) != 0)
			continue;
		if ((*had & 1U << i) != 0)
			return syntax(s, "a parameter is given twice");
		if (params[i].wants_value != (value != NULL))
			return syntax(s, "a parameter lacks its value");
		*had |= 1U << i;
		return params[i].set(s, out, value);
	}
	server_reply(s, 555, "5.5.4", "a parameter is not known");
	return false;
}

static bool
set_all(struct server *s, const struct param *params, char *rest, void *out)
{
	unsigned had = 0;
	char *word;

	while ((word = strsep(&rest, " \t")) != NULL) {
		if (*word == '\0')
			continue;
		if (!set_one(s, params, word, &had, out))
			return false;
	}
	return true;
}

static bool
is_ascii(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if ((unsigned char)text[i] >= 0x80)
			return false;
	}
	return true;
}

/* Behind "FROM:" and "TO:", whose colon some clients follow by a blank. */
static char *
behind(char *args, const char *word)
{
	size_t len = strlen(word);

	if (strncasecmp(args, word, len) != 0)
		return NULL;
	args += len;
	return args + strspn(args, " \t");
}

/* The length of the path at "p", or -1 after a refusal. */
static int
take_path(struct server *s, char *p, unsigned accept, const char *dsn,
    struct address *out)
{
	const char *why = "";
	int len;

	if (s->params.may_relay)
		accept |= ADDRESS_BARE;
	len =
	    address_parse_path(out, p, strlen(p), accept | ADDRESS_UTF8, &why);
	if (len == -1 || (p[len] != '\0' && p[len] != ' ' && p[len] != '\t')) {
		server_reply(s, 501, dsn, "bad address: %s",
		    len == -1 ? why : "something follows it");
		return -1;
	}
	return len;
}

static bool
refuse_utf8(struct server *s)
{
	server_reply(s, 553, "5.6.7", "an address beyond ASCII needs SMTPUTF8");
	return false;
}

bool
server_param_mail(struct server *s, char *args, struct server_mail *m)
{
	char *p = behind(args, "FROM:");
	const char *why;
	int len;

	memset(m, 0, sizeof *m);
	m->envid = "";
	if (p == NULL)
		return syntax(s, "MAIL FROM:<address>");
	len = take_path(s, p, ADDRESS_NULL, "5.1.7", &m->sender);
	if (len == -1 || !set_all(s, mail_params, p + len, m))
		return false;
	if ((m->flags & ENVELOPE_SMTPUTF8) == 0 && !is_ascii(p, (size_t)len))
		return refuse_utf8(s);
	if (m->sender.text[0] != '\0' && m->sender.domain[0] == '\0' &&
	    address_qualify(&m->sender, s->params.hostname, &why) == -1) {
		server_reply(s, 501, "5.1.7", "bad address: %s", why);
		return false;
	}
	return true;
}

/* RFC 5321 4.5.1: <postmaster> alone is always right. */
static bool
is_postmaster(const char *p)
{
	return strncasecmp(p, "<postmaster>", 12) == 0;
}

bool
server_param_rcpt(struct server *s, char *args, struct server_rcpt *r)
{
	char *p = behind(args, "TO:");
	int len;

	memset(r, 0, sizeof *r);
	r->orcpt = "";
	if (p == NULL)
		return syntax(s, "RCPT TO:<address>");
	len = take_path(s, p, is_postmaster(p) ? ADDRESS_BARE : 0, "5.1.3",
	    &r->address);
	if (len == -1 || !set_all(s, rcpt_params, p + len, r))
		return false;
	if ((s->env.flags & ENVELOPE_SMTPUTF8) == 0 &&
	    !is_ascii(p, (size_t)len))
		return refuse_utf8(s);
	return true;
}
