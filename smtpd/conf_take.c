#include "smtpd/conf_take.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/address.h"
#include "smtpd/conf_value.h"

int
conf_complain(struct conf_parser *p, const char *fmt, ...)
{
	char message[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	conf_error(p->errors, p->name, p->line, "%s", message);
	return -1;
}

int
conf_wants(struct conf_parser *p)
{
	return conf_complain(p, "`%s` wants %s", p->row->show.words,
	    p->row->show.arguments);
}

const char *
conf_take(struct conf_parser *p)
{
	return *p->word != NULL ? *p->word++ : NULL;
}

bool
conf_take_word(struct conf_parser *p, const char *word)
{
	if (*p->word == NULL || strcmp(*p->word, word) != 0)
		return false;
	p->word++;
	return true;
}

int
conf_keep(struct conf_parser *p, char **out, const char *s)
{
	free(*out);
	*out = strdup(s);
	if (*out == NULL)
		return conf_complain(p, "out of memory");
	return 0;
}

int
conf_take_duration(struct conf_parser *p, unsigned *seconds)
{
	const char *word = conf_take(p), *why;

	if (word == NULL)
		return conf_wants(p);
	if (conf_duration(word, seconds, &why) == -1)
		return conf_complain(p, "`%s`: %s", word, why);
	return 0;
}

int
conf_take_number(struct conf_parser *p, unsigned max, unsigned *out)
{
	const char *word = conf_take(p), *why;

	if (word == NULL)
		return conf_wants(p);
	if (conf_number(word, 1, max, out, &why) == -1)
		return conf_complain(p, "`%s`: %s; 1 to %u", word, why, max);
	return 0;
}

/* An absolute path: children and parent have different working directories. */
int
conf_take_path(struct conf_parser *p, char **out)
{
	const char *word = conf_take(p);

	if (word == NULL)
		return conf_wants(p);
	if (word[0] != '/')
		return conf_complain(p, "`%s` is no absolute path", word);
	return conf_keep(p, out, word);
}

int
conf_take_host(struct conf_parser *p, char **out)
{
	char domain[ADDRESS_DOMAIN_SIZE];
	const char *word = conf_take(p), *why;

	if (word == NULL)
		return conf_wants(p);
	if (address_domain(domain, word, strlen(word), ADDRESS_UTF8, &why) ==
	    -1)
		return conf_complain(p, "`%s`: %s", word, why);
	return conf_keep(p, out, domain);
}

/* ADDRESS, and "port PORT" behind it if "port" is not 0. */
int
conf_take_address(struct conf_parser *p, struct sockaddr_storage *out,
    uint16_t port)
{
	const char *word = conf_take(p), *why, *number;

	if (word == NULL)
		return conf_wants(p);
	if (netaddr_parse(out, word, port, &why) == -1)
		return conf_complain(p, "`%s`: %s", word, why);
	if (port == 0 || !conf_take_word(p, "port"))
		return 0;
	number = conf_take(p);
	if (number == NULL)
		return conf_wants(p);
	if (conf_port(number, &port, &why) == -1)
		return conf_complain(p, "`%s`: %s", number, why);
	return netaddr_parse(out, word, port, &why);
}

static int
take_until(struct conf_parser *p, struct conf_tls *tls)
{
	const char *date = conf_take(p), *why;

	if (date == NULL)
		return conf_wants(p);
	if (conf_date_end(date, &tls->until, &why) == -1)
		return conf_complain(p, "`%s`: %s", date, why);
	return 0;
}

static int
take_because(struct conf_parser *p, struct conf_tls *tls)
{
	const char *text = conf_take(p);

	if (text == NULL || text[0] == '\0')
		return conf_wants(p);
	return conf_keep(p, &tls->because, text);
}

/* An exception, and nothing else, says until when and why. */
static int
check_tls(struct conf_parser *p, const struct conf_tls *tls)
{
	if (*p->word != NULL)
		return 0; /* the caller complains of it */
	if (tls->level != LEVEL_OPPORTUNISTIC) {
		if (tls->until == 0 && tls->because == NULL)
			return 0;
		return conf_complain(p,
		    "until and because belong to"
		    " `tls opportunistic` alone");
	}
	if (tls->until == 0 || tls->because == NULL)
		return conf_complain(p,
		    "`tls opportunistic` wants"
		    " until DATE because TEXT");
	return 0;
}

/* LEVEL [until DATE] [because TEXT] */
int
conf_take_tls(struct conf_parser *p, struct conf_tls *tls)
{
	const char *word = conf_take(p);
	int r = 0;

	if (word == NULL)
		return conf_wants(p);
	if (level_parse(word, &tls->level) == -1)
		return conf_complain(p,
		    "`%s` is no TLS level: require, strict or opportunistic",
		    word);
	while (r == 0) {
		if (tls->until == 0 && conf_take_word(p, "until"))
			r = take_until(p, tls);
		else if (tls->because == NULL && conf_take_word(p, "because"))
			r = take_because(p, tls);
		else
			return check_tls(p, tls);
	}
	return r;
}
