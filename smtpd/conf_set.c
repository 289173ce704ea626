#include "smtpd/conf_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/address.h"
#include "smtpd/conf_block.h"
#include "smtpd/conf_take.h"
#include "smtpd/conf_value.h"

#define PORT_SMTP 25
#define PORT_DNS 53
#define PORT_METRICS 9725

#define MESSAGE_MIN 65536      /* bytes, RFC 5321 4.5.3.1.7 */
#define MESSAGE_MAX 1073741824 /* bytes */
#define WARN_TLS_S 3600        /* seconds, where `queue warn` leaves it open */

#define WIDE4 8  /* bits: an IPv4 network wider than this holds strangers */
#define WIDE6 20 /* bits: no provider hands out more */

static int
not_yet(struct conf_parser *p, const char *what)
{
	return conf_complain(p, "`%s` is not yet supported", what);
}

static int
set_hostname(struct conf_parser *p)
{
	return conf_take_host(p, &p->conf->hostname);
}

/* FILE of a word that must stand there; only its form counts. */
static int
named_path(struct conf_parser *p, const char *word)
{
	char *path = NULL;
	int r;

	if (!conf_take_word(p, word))
		return conf_wants(p);
	r = conf_take_path(p, &path);
	free(path);
	return r;
}

/* "tls cert FILE key FILE" and "auth FILE", which come with a later version. */
static int
listen_options(struct conf_parser *p)
{
	const char *what = NULL;

	if (conf_take_word(p, "tls")) {
		what = "listen ... tls";
		if (named_path(p, "cert") == -1 || named_path(p, "key") == -1)
			return -1;
	}
	if (*p->word != NULL && strcmp(*p->word, "auth") == 0) {
		what = what != NULL ? what : "listen ... auth";
		if (named_path(p, "auth") == -1)
			return -1;
	}
	return what != NULL && *p->word == NULL ? not_yet(p, what) : 0;
}

static int
set_listen(struct conf_parser *p)
{
	struct conf_listen *out = &p->conf->listen[p->conf->listen_count];

	if (p->conf->listen_count == CONF_LISTEN_MAX)
		return conf_complain(p, "more than %d `listen on` lines",
		    CONF_LISTEN_MAX);
	if (conf_take_address(p, &out->addr, PORT_SMTP) == -1 ||
	    listen_options(p) == -1)
		return -1;
	for (size_t i = 0; i < p->conf->listen_count; i++)
		if (memcmp(&p->conf->listen[i].addr, &out->addr,
			sizeof out->addr) == 0)
			return conf_complain(p,
			    "the same address and port as on line %u",
			    p->conf->listen[i].line);
	out->line = p->line;
	p->conf->listen_count++;
	return 0;
}

/* NETWORK... into "nets", each first asked of "check" if there is one. */
static int
take_nets(struct conf_parser *p, struct conf_nets *nets,
    const char *(*check)(const struct netaddr_net *))
{
	const char *word = conf_take(p), *why = NULL;
	struct netaddr_net net, *grown;
	int r = 0;

	if (word == NULL)
		return conf_wants(p);
	for (; word != NULL; word = conf_take(p)) {
		if (netaddr_net_parse(&net, word, &why) == -1 ||
		    (check != NULL && (why = check(&net)) != NULL)) {
			r = conf_complain(p, "`%s`: %s", word, why);
			continue;
		}
		if (nets->count == CONF_NET_MAX)
			return conf_complain(p, "more than %d networks",
			    CONF_NET_MAX);
		grown =
		    reallocarray(nets->net, nets->count + 1, sizeof *nets->net);
		if (grown == NULL)
			return conf_complain(p, "out of memory");
		nets->net = grown;
		nets->net[nets->count++] = net;
	}
	return r;
}

/* Why the network is too wide: nobody makes an open relay by accident. */
static const char *
open_relay(const struct netaddr_net *net)
{
	bool is_v4 = net->family == AF_INET;

	if (net->bits >= (is_v4 ? WIDE4 : WIDE6))
		return NULL;
	/* fc00::/7 and fe80::/10 are wide, but nobody comes from outside. */
	if (!is_v4 && net->bits >= 7 && (net->bytes[0] & 0xfe) == 0xfc)
		return NULL;
	if (!is_v4 && net->bits >= 10 && net->bytes[0] == 0xfe &&
	    (net->bytes[1] & 0xc0) == 0x80)
		return NULL;
	return "so wide a network would make an open relay";
}

static int
set_relay_from(struct conf_parser *p)
{
	return take_nets(p, &p->conf->relay_from, open_relay);
}

static int
set_allow_private(struct conf_parser *p)
{
	return take_nets(p, &p->conf->allow_private, NULL);
}

static int
set_resolver(struct conf_parser *p)
{
	struct conf_resolver *out = &p->conf->resolver[p->conf->resolver_count];

	if (p->conf->resolver_count == CONF_RESOLVER_MAX)
		return conf_complain(p, "more than %d resolvers",
		    CONF_RESOLVER_MAX);
	if (conf_take_address(p, &out->addr, PORT_DNS) == -1)
		return -1;
	out->trusted = conf_take_word(p, "trusted") ||
	    netaddr_is_loopback((const struct sockaddr *)&out->addr);
	p->conf->resolver_count++;
	return 0;
}

static int
set_trust(struct conf_parser *p)
{
	p->conf->trust_line = p->line;
	return conf_take_path(p, &p->conf->trust);
}

static int
set_tls(struct conf_parser *p)
{
	return conf_take_tls(p, &p->conf->tls);
}

static int
set_message_size(struct conf_parser *p)
{
	const char *word = conf_take(p), *why;

	if (word == NULL)
		return conf_wants(p);
	if (conf_size(word, &p->conf->message_size, &why) == -1)
		return conf_complain(p, "`%s`: %s", word, why);
	if (p->conf->message_size < MESSAGE_MIN ||
	    p->conf->message_size > MESSAGE_MAX)
		return conf_complain(p, "`%s` is not between 64K and 1G", word);
	return 0;
}

static int
set_recipients(struct conf_parser *p)
{
	return conf_take_number(p, CONF_RECIPIENTS_MAX, &p->conf->recipients);
}

static int
set_queue_directory(struct conf_parser *p)
{
	return conf_take_path(p, &p->conf->queue_directory);
}

static int
set_queue_expire(struct conf_parser *p)
{
	return conf_take_duration(p, &p->conf->queue_expire_s);
}

/* DURATION [tls DURATION] | never */
static int
set_queue_warn(struct conf_parser *p)
{
	struct conf *conf = p->conf;

	if (conf_take_word(p, "never")) {
		conf->queue_warn_s = conf->queue_warn_tls_s = 0;
		return 0;
	}
	if (conf_take_duration(p, &conf->queue_warn_s) == -1)
		return -1;
	if (!conf_take_word(p, "tls")) {
		conf->queue_warn_tls_s = conf->queue_warn_s < WARN_TLS_S
		    ? conf->queue_warn_s
		    : WARN_TLS_S;
		return 0;
	}
	if (conf_take_duration(p, &conf->queue_warn_tls_s) == -1)
		return -1;
	if (conf->queue_warn_tls_s > conf->queue_warn_s)
		return conf_complain(p,
		    "the notice about TLS would come"
		    " later than the general one");
	return 0;
}

static int
set_queue_retry(struct conf_parser *p)
{
	struct conf *conf = p->conf;

	if (conf_take_duration(p, &conf->queue_retry_s) == -1)
		return -1;
	if (!conf_take_word(p, "up") || !conf_take_word(p, "to"))
		return conf_wants(p);
	if (conf_take_duration(p, &conf->queue_retry_max_s) == -1)
		return -1;
	if (conf->queue_retry_max_s < conf->queue_retry_s)
		return conf_complain(p,
		    "the last delay is shorter than the first");
	return 0;
}

/* DURATION | never */
static int
set_proof_keep(struct conf_parser *p)
{
	p->conf->proof_keep_s = 0;
	if (conf_take_word(p, "never"))
		return 0;
	return conf_take_duration(p, &p->conf->proof_keep_s);
}

static int
set_connections(struct conf_parser *p)
{
	return conf_take_number(p, CONF_CONNECTIONS_MAX, &p->conf->connections);
}

static int
set_aliases(struct conf_parser *p)
{
	p->conf->aliases_line = p->line;
	return conf_take_path(p, &p->conf->aliases);
}

/* One for each family. */
static int
set_source(struct conf_parser *p)
{
	struct sockaddr_storage ss, *out;

	if (conf_take_address(p, &ss, 0) == -1)
		return -1;
	out = ss.ss_family == AF_INET ? &p->conf->source4 : &p->conf->source6;
	if (out->ss_family != 0)
		return conf_complain(p,
		    "a second source address of the same family");
	*out = ss;
	return 0;
}

static int
set_dkim(struct conf_parser *p)
{
	char *s = NULL;
	int r;

	r = conf_take_host(p, &s);
	if (r == 0 && !conf_take_word(p, "selector"))
		r = conf_wants(p);
	if (r == 0)
		r = conf_take_host(p, &s);
	if (r == 0 && !conf_take_word(p, "key"))
		r = conf_wants(p);
	if (r == 0)
		r = conf_take_path(p, &s);
	free(s);
	return r == 0 && *p->word == NULL ? not_yet(p, "dkim") : r;
}

static int
set_report_tls(struct conf_parser *p)
{
	const char *word = conf_take(p), *why;
	struct address from;

	if (word == NULL || strcmp(word, "from") != 0 ||
	    (word = conf_take(p)) == NULL)
		return conf_wants(p);
	if (address_parse(&from, word, strlen(word), 0, &why) == -1)
		return conf_complain(p, "`%s`: %s", word, why);
	return *p->word == NULL ? not_yet(p, "report tls") : 0;
}

static int
set_metrics(struct conf_parser *p)
{
	struct sockaddr_storage ss;

	if (!conf_take_word(p, "on"))
		return conf_wants(p);
	if (conf_take_address(p, &ss, PORT_METRICS) == -1)
		return -1;
	return *p->word == NULL ? not_yet(p, "metrics") : 0;
}

/* ONCE may stand once, MANY adds up; in BLOCK: inside a destination block. */
#define ONCE true
#define MANY false
#define GLOBAL false
#define BLOCK true

/* clang-format off */
static const struct conf_row rows[] = {
{ { "hostname", "NAME", NULL, GLOBAL }, set_hostname, ONCE },
{ { "listen on", "ADDRESS [port PORT] [tls cert FILE key FILE] [auth FILE]",
    "127.0.0.1\nlisten on ::1", GLOBAL }, set_listen, MANY },
{ { "relay from", "NETWORK ...", "127.0.0.0/8 ::1", GLOBAL },
    set_relay_from, MANY },
{ { "resolver", "ADDRESS [port PORT] [trusted]", NULL, GLOBAL },
    set_resolver, MANY },
{ { "trust", "FILE", NULL, GLOBAL }, set_trust, ONCE },
{ { "tls", "LEVEL [until DATE because TEXT]", "require", GLOBAL },
    set_tls, ONCE },
{ { "allow private", "NETWORK ...", NULL, GLOBAL }, set_allow_private, MANY },
{ { "message size", "SIZE", "50M", GLOBAL }, set_message_size, ONCE },
{ { "recipients", "NUMBER", "1000", GLOBAL }, set_recipients, ONCE },
{ { "queue directory", "DIRECTORY", LOCALSTATEDIR "/spool/sealpost", GLOBAL },
    set_queue_directory, ONCE },
{ { "queue expire", "DURATION", "5d", GLOBAL }, set_queue_expire, ONCE },
{ { "queue warn", "DURATION [tls DURATION] | never", "4h tls 1h", GLOBAL },
    set_queue_warn, ONCE },
{ { "queue retry", "DURATION up to DURATION", "5m up to 4h", GLOBAL },
    set_queue_retry, ONCE },
{ { "proof keep", "DURATION | never", "30d", GLOBAL }, set_proof_keep, ONCE },
{ { "connections", "NUMBER", "20", GLOBAL }, set_connections, ONCE },
{ { "aliases", "FILE", SYSCONFDIR "/aliases", GLOBAL }, set_aliases, ONCE },
{ { "source", "ADDRESS", NULL, GLOBAL }, set_source, MANY },
{ { "dkim", "DOMAIN selector NAME key FILE", NULL, GLOBAL }, set_dkim, MANY },
{ { "report tls", "from ADDRESS", NULL, GLOBAL }, set_report_tls, ONCE },
{ { "metrics", "on ADDRESS [port PORT]", NULL, GLOBAL }, set_metrics, ONCE },
{ { "destination", "NAME { ... }", NULL, GLOBAL }, conf_open_block, MANY },
{ { "tls", "LEVEL [until DATE because TEXT]", NULL, BLOCK },
    conf_block_tls, ONCE },
{ { "via", "HOST [port PORT] [implicit-tls]", NULL, BLOCK },
    conf_block_via, ONCE },
{ { "auth", "FILE", NULL, BLOCK }, conf_block_auth, ONCE },
{ { "connections", "NUMBER", NULL, BLOCK }, conf_block_connections, ONCE },
{ { "rate", "NUMBER per DURATION", NULL, BLOCK }, conf_block_rate, ONCE },
};
/* clang-format on */
static_assert(sizeof rows / sizeof rows[0] <= CONF_ROWS_MAX, "all are seen");

const struct conf_row *
conf_row(size_t i)
{
	return i < sizeof rows / sizeof rows[0] ? &rows[i] : NULL;
}
