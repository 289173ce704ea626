#include "smtpd/conf_block.h"

#include <stdlib.h>
#include <string.h>

#include "smtpd/address.h"
#include "smtpd/conf_take.h"
#include "smtpd/conf_value.h"

#define PORT_SMTP 25
#define PORT_SUBMISSIONS 465 /* RFC 8314 3.3 */
#define RATE_MAX 1000000     /* messages */

void
conf_destination_free(struct conf_destination *d)
{
	if (d == NULL)
		return;
	free(d->name);
	free(d->tls.because);
	free(d->via);
	free(d->auth);
	free(d);
}

/* "*", ".suffix" or a domain; the latter two as lower-case A-labels. */
static int
put_name(struct conf_parser *p, struct conf_destination *d, const char *word)
{
	char domain[ADDRESS_DOMAIN_SIZE + 1] = ".";
	size_t dot = word[0] == '.' ? 1 : 0;
	const char *why;

	if (strcmp(word, "*") == 0)
		return conf_keep(p, &d->name, word);
	if (address_domain(domain + 1, word + dot, strlen(word + dot),
		ADDRESS_UTF8, &why) == -1)
		return conf_complain(p, "`%s`: %s", word, why);
	return conf_keep(p, &d->name, dot == 1 ? domain : domain + 1);
}

int
conf_open_block(struct conf_parser *p)
{
	const char *word = conf_take(p);
	struct conf_destination *d, *other;

	if (word == NULL)
		return conf_wants(p);
	if (p->conf->destination_count == CONF_DESTINATION_MAX)
		return conf_complain(p, "more than %d destinations",
		    CONF_DESTINATION_MAX);
	d = calloc(1, sizeof *d);
	if (d == NULL)
		return conf_complain(p, "out of memory");
	d->line = p->line;
	SLIST_INSERT_HEAD(&p->conf->destinations, d, entry);
	p->conf->destination_count++;
	p->dest = d;
	if (put_name(p, d, word) == -1)
		return -1;
	SLIST_FOREACH(other, &p->conf->destinations, entry)
		if (other != d && other->name != NULL &&
		    strcmp(other->name, d->name) == 0)
			return conf_complain(p,
			    "`destination %s` is already on line %u", d->name,
			    other->line);
	return 0;
}

static bool
is_same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Connections to one next hop are shared by all who name it. */
static void
check_next_hop(struct conf_parser *p, const struct conf_destination *d)
{
	const struct conf_destination *other;

	SLIST_FOREACH(other, &p->conf->destinations, entry) {
		if (other == d || other->via == NULL ||
		    strcmp(other->via, d->via) != 0 ||
		    other->via_port != d->via_port)
			continue;
		if (!is_same(other->auth, d->auth) ||
		    other->via_implicit_tls != d->via_implicit_tls)
			conf_error(p->errors, p->name, d->line,
			    "`via %s port %u` stands on line %u as well, with"
			    " other credentials or another `implicit-tls`",
			    d->via, d->via_port, other->line);
	}
}

void
conf_close_block(struct conf_parser *p)
{
	struct conf_destination *d = p->dest;

	p->dest = NULL;
	if (d->via != NULL)
		check_next_hop(p, d);
	if (d->auth != NULL && d->via == NULL)
		conf_error(p->errors, p->name, d->auth_line,
		    "`auth` wants a `via` in the same block: credentials"
		    " belong to one host");
}

int
conf_block_tls(struct conf_parser *p)
{
	p->dest->has_tls = true;
	return conf_take_tls(p, &p->dest->tls);
}

/* HOST [port PORT] [implicit-tls] */
int
conf_block_via(struct conf_parser *p)
{
	struct conf_destination *d = p->dest;
	struct sockaddr_storage ss;
	const char *word, *why;

	if (*p->word != NULL && netaddr_parse(&ss, *p->word, 0, &why) == 0)
		return conf_complain(p,
		    "`via` wants a host name, for which the certificate is"
		    " checked, not an address");
	if (conf_take_host(p, &d->via) == -1)
		return -1;
	for (;;) {
		if (d->via_port == 0 && conf_take_word(p, "port")) {
			word = conf_take(p);
			if (word == NULL)
				return conf_wants(p);
			if (conf_port(word, &d->via_port, &why) == -1)
				return conf_complain(p, "`%s`: %s", word, why);
		} else if (!d->via_implicit_tls &&
		    conf_take_word(p, "implicit-tls"))
			d->via_implicit_tls = true;
		else
			break;
	}
	if (d->via_port == 0)
		d->via_port =
		    d->via_implicit_tls ? PORT_SUBMISSIONS : PORT_SMTP;
	return 0;
}

int
conf_block_auth(struct conf_parser *p)
{
	p->dest->auth_line = p->line;
	return conf_take_path(p, &p->dest->auth);
}

int
conf_block_connections(struct conf_parser *p)
{
	return conf_take_number(p, CONF_CONNECTIONS_MAX, &p->dest->connections);
}

/* NUMBER per DURATION */
int
conf_block_rate(struct conf_parser *p)
{
	if (conf_take_number(p, RATE_MAX, &p->dest->rate) == -1)
		return -1;
	if (!conf_take_word(p, "per"))
		return conf_wants(p);
	return conf_take_duration(p, &p->dest->rate_s);
}
