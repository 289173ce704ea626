#include "smtpd/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "mtasts/match.h"
#include "smtpd/base/log.h"
#include "smtpd/route_host.h"

#define LIFETIME_MAX_MS 300000
#define LIFETIME_MIN_MS 1000 /* an answer serves at least those who wait */
#define PORT_SMTP 25

/* A question under way. */
struct ask {
	LIST_ENTRY(ask) entry;
	struct ev_task task;
	struct router *router;
	struct route r;
	bool is_via, is_implicit;
	bool policy_known;
	bool hosts_known;
	size_t hosts_left; /* whose look-ups are under way */
	uint32_t ttl_s;
	router_cb *cb;
	void *arg;
};

/* One host's look-up. */
struct visit {
	struct ask *ask;
	size_t index;
};

struct router {
	struct router_options o;
	char hostname[DNS_NAME_SIZE];
	struct sockaddr_storage self[ROUTE_SELF_MAX];
	size_t self_count;
	LIST_HEAD(, ask) asks;
};

static const struct host_allow allow_all = { .all = true };

struct router *
router_new(const struct router_options *o)
{
	struct router *router = xcalloc(1, sizeof(*router));

	router->o = *o;
	LIST_INIT(&router->asks);
	return router;
}

static void
free_ask(struct ask *a)
{
	route_clear(&a->r);
	free(a);
}

void
router_free(struct router *router)
{
	struct ask *a, *next;

	if (router == NULL)
		return;
	LIST_FOREACH_SAFE(a, &router->asks, entry, next) {
		ev_soon_del(router->o.ev, &a->task);
		free_ask(a);
	}
	free(router);
}

void
router_set_self(struct router *router, const struct router_self *self)
{
	size_t i;

	strlcpy(router->hostname, self->hostname, sizeof(router->hostname));
	router->self_count = 0;
	for (i = 0; i < self->addr_count && i < ROUTE_SELF_MAX; i++)
		router->self[router->self_count++] = self->addr[i];
}

void
router_use_dns(struct router *router, struct dns *dns)
{
	router->o.dns = dns;
}

static void
set_status(struct ask *a, enum route_status status, enum reason reason,
    const char *detail)
{
	a->r.status = status;
	a->r.reason = reason;
	strlcpy(a->r.detail, detail, sizeof(a->r.detail));
}

static void
shorten(struct ask *a, uint32_t ttl_s)
{
	if (ttl_s < a->ttl_s)
		a->ttl_s = ttl_s;
}

/* ---- the end: all look-ups are done ---- */

static bool
is_self(const struct router *router, const struct route_host *h)
{
	size_t i, j;

	if (strcasecmp(h->name, router->hostname) == 0)
		return true;
	for (i = 0; i < h->addr_count; i++)
		for (j = 0; j < router->self_count; j++)
			if (h->port == PORT_SMTP &&
			    netaddr_same_host(
				(const struct sockaddr *)&h->addr[i],
				(const struct sockaddr *)&router->self[j]))
				return true;
	return false;
}

/*
 * RFC 5321 5.1: where we ourselves are among the hosts, those as preferred
 * as we are and those less preferred are dropped, before any policy is
 * looked at (RFC 8461 8.4).
 */
static void
cut_off_self(struct ask *a)
{
	struct route *r = &a->r;
	size_t i, keep = 0;

	while (keep < r->host_count && !is_self(a->router, &r->host[keep]))
		keep++;
	if (keep == r->host_count || a->is_via)
		return;
	while (keep > 0 &&
	    r->host[keep - 1].preference == r->host[keep].preference)
		keep--;
	for (i = keep; i < r->host_count; i++)
		route_host_clear(&r->host[i]);
	r->host_count = keep;
	if (keep == 0)
		set_status(a, ROUTE_BOUNCE, REASON_MAIL_LOOP,
		    "its most preferred mail host is this machine, which does"
		    " not take mail for it");
}

static void
match_hosts(struct route *r)
{
	size_t i;

	if (r->mode != POLICY_ENFORCE && r->mode != POLICY_TESTING)
		return;
	for (i = 0; i < r->host_count; i++) {
		r->host[i].matches =
		    policy_matches(&r->policy, r->host[i].name);
		if (!r->host[i].matches && r->host[i].detail[0] == '\0')
			route_host_mismatch(&r->host[i], &r->policy);
	}
}

/* No host has an address: what of it? */
static void
judge_no_address(struct ask *a)
{
	struct route *r = &a->r;
	const struct route_host *h = r->host;
	size_t i;

	for (i = 0; i < r->host_count; i++)
		if (r->host[i].error == REASON_NONE)
			return;
	if (a->is_implicit && h->error == REASON_NO_SUCH_DOMAIN)
		set_status(a, ROUTE_BOUNCE, REASON_NO_SUCH_DOMAIN,
		    "it has neither MX nor address records");
	else if (r->mode == POLICY_ENFORCE && !h->matches)
		set_status(a, ROUTE_DEFER, REASON_STS_MX_MISMATCH, h->name);
	else if (h->error == REASON_NO_SUCH_DOMAIN)
		/* An MX host that is missing may yet be put right. */
		set_status(a, ROUTE_DEFER, REASON_DNS_ERROR, h->detail);
	else
		set_status(a, ROUTE_DEFER, h->error, h->detail);
}

static void
set_lifetime(struct ask *a)
{
	time_t now = time(NULL);
	uint64_t ms;

	/* A policy with a max_age of 0 expires at once. */
	if (a->r.expires != 0)
		shorten(a,
		    a->r.expires <= now ? 0 : (uint32_t)(a->r.expires - now));
	ms = (uint64_t)a->ttl_s * 1000;
	if (a->r.status != ROUTE_OK || a->r.mode == POLICY_UNKNOWN ||
	    ms < LIFETIME_MIN_MS)
		ms = LIFETIME_MIN_MS;
	if (ms > LIFETIME_MAX_MS)
		ms = LIFETIME_MAX_MS;
	a->r.lifetime_ms = (uint32_t)ms;
}

static void
finish_if_done(struct ask *a)
{
	if (!a->policy_known || !a->hosts_known || a->hosts_left > 0)
		return;
	if (a->r.status == ROUTE_OK) {
		match_hosts(&a->r);
		cut_off_self(a);
	}
	if (a->r.status == ROUTE_OK)
		judge_no_address(a);
	set_lifetime(a);
	LIST_REMOVE(a, entry);
	a->cb(a->arg, &a->r);
	free_ask(a);
}

/* ---- hosts ---- */

static void
host_is_done(struct visit *v)
{
	struct ask *a = v->ask;

	free(v);
	a->hosts_left--;
	finish_if_done(a);
}

static void ask_tlsa(struct visit *, const char *base, dns_cb *);

/* The records at the name in the MX record itself. */
static void
on_tlsa(void *arg, const struct dns_answer *answer)
{
	struct visit *v = arg;
	struct route_host *h = &v->ask->r.host[v->index];

	route_host_tlsa(h, answer);
	shorten(v->ask, answer->ttl_s);
	host_is_done(v);
}

/* RFC 7672 2.2.3: first where CNAMEs lead, then the name itself. */
static void
on_tlsa_expanded(void *arg, const struct dns_answer *answer)
{
	struct visit *v = arg;
	struct route_host *h = &v->ask->r.host[v->index];

	route_host_tlsa(h, answer);
	if (h->dane != DANE_NONE) {
		on_tlsa(v, answer);
		return;
	}
	shorten(v->ask, answer->ttl_s);
	h->tlsa_base[0] = '\0';
	ask_tlsa(v, h->name, on_tlsa);
}

static void
ask_tlsa(struct visit *v, const char *base, dns_cb *cb)
{
	const struct route_host *h = &v->ask->r.host[v->index];
	char name[DNS_NAME_SIZE + 16];

	snprintf(name, sizeof(name), "_%u._tcp.%s", h->port, base);
	dns_ask(v->ask->router->o.dns, name, DNS_TLSA, cb, v);
}

static void
on_host(void *arg, const struct host_addrs *found)
{
	struct visit *v = arg;
	struct ask *a = v->ask;
	struct route_host *h = &a->r.host[v->index];

	route_host_found(h, found);
	shorten(a, found->ttl_s);
	if (a->is_implicit)
		a->r.mx_secure = found->secure;
	if (!a->is_via)
		h->origin = a->r.mx_secure ? MX_SECURE : MX_INSECURE;
	/* RFC 7672 2.2: TLSA is asked for only where all that leads there is
	 * authenticated. */
	if (h->addr_count == 0 || !found->secure || h->origin == MX_INSECURE) {
		host_is_done(v);
		return;
	}
	if (found->cnames > 0) {
		strlcpy(h->tlsa_base, found->name, sizeof(h->tlsa_base));
		ask_tlsa(v, found->name, on_tlsa_expanded);
		return;
	}
	ask_tlsa(v, h->name, on_tlsa);
}

static void
ask_hosts(struct ask *a)
{
	const struct host_allow *allow =
	    a->is_via ? &allow_all : a->router->o.allow;
	char name[HOST_SIZE];
	struct visit *v;
	size_t i;

	a->hosts_known = true;
	a->hosts_left = a->r.host_count;
	for (i = 0; i < a->r.host_count; i++) {
		struct route_host *h = &a->r.host[i];

		if (host_normalize(name, h->name, strlen(h->name)) == -1) {
			route_host_fail(h, REASON_DNS_ERROR,
			    "is not a host name");
			a->hosts_left--;
			continue;
		}
		strlcpy(h->name, name, sizeof(h->name));
		v = xcalloc(1, sizeof(*v));
		v->ask = a;
		v->index = i;
		host_ask(a->router->o.dns, h->name, allow, on_host, v);
	}
}

/* The domain itself is the host: a via line, or a domain without MX. */
static void
ask_single(struct ask *a, uint16_t port, enum mx_origin origin)
{
	a->r.host = xcalloc(1, sizeof(a->r.host[0]));
	a->r.host_count = 1;
	strlcpy(a->r.host->name, a->r.domain, sizeof(a->r.host->name));
	a->r.host->port = port;
	a->r.host->origin = origin;
	ask_hosts(a);
}

static void
on_mx(void *arg, const struct dns_answer *answer)
{
	struct ask *a = arg;

	a->hosts_known = true;
	shorten(a, answer->ttl_s);
	a->r.mx_secure = answer->secure;
	switch (answer->status) {
	case DNS_OK:
		if (route_is_null_mx(answer)) {
			set_status(a, ROUTE_BOUNCE, REASON_NULL_MX,
			    "it accepts no mail (null MX, RFC 7505)");
			break;
		}
		strlcpy(a->r.next_hop, a->r.domain, sizeof(a->r.next_hop));
		strlcpy(a->r.expanded, answer->name, sizeof(a->r.expanded));
		route_take_mx(&a->r, answer, PORT_SMTP);
		ask_hosts(a);
		break;
	case DNS_NODATA:
		a->is_implicit = true;
		ask_single(a, PORT_SMTP, MX_INSECURE);
		break;
	case DNS_NXDOMAIN:
		set_status(a, ROUTE_BOUNCE, REASON_NO_SUCH_DOMAIN,
		    "there is no such domain");
		break;
	case DNS_FAILED:
	case DNS_TIMEOUT:
		set_status(a, ROUTE_DEFER, REASON_DNS_ERROR, "");
		snprintf(a->r.detail, sizeof(a->r.detail), "MX of %s: %s",
		    a->r.domain, answer->why);
		break;
	}
	finish_if_done(a);
}

/* ---- the policy ---- */

static void
on_policy(void *arg, const struct discover_answer *answer)
{
	struct ask *a = arg;
	struct route *r = &a->r;

	a->policy_known = true;
	r->mode = answer->mode;
	r->source = answer->source;
	r->fetched = answer->fetched;
	r->expires = answer->expires;
	/* The answer lives no longer than the TXT record, so that a changed id
	 * is seen. */
	shorten(a, sts_txt_s(a->router->o.sts, r->policy_domain));
	r->policy_trouble = answer->trouble;
	strlcpy(r->policy_id, answer->id, sizeof(r->policy_id));
	strlcpy(r->policy_detail, answer->detail, sizeof(r->policy_detail));
	if (answer->policy != NULL &&
	    policy_copy(&r->policy, answer->policy) == -1)
		log_die("no memory for a policy");
	finish_if_done(a);
}

/* ---- the beginning ---- */

/*
 * Split a destination. Writes the domain or host, normalized as far as it is
 * a name; *port is 0 for a domain (MX applies). -1: it is neither.
 */
static int
split_destination(const char *destination, char name[DNS_NAME_SIZE],
    uint16_t *port)
{
	char text[DESTINATION_SIZE];
	const char *why, *host = text;
	char *colon;
	size_t len;

	*port = 0;
	if (strlcpy(text, destination, sizeof(text)) >= sizeof(text))
		return -1;
	colon = strrchr(text, ':');
	if (colon == NULL)
		return host_normalize(name, text, strlen(text));
	text[strcspn(text, ";")] = '\0';
	colon = strrchr(text, ':');
	if (colon == NULL)
		return -1;
	*port = (uint16_t)strtonum(colon + 1, 1, UINT16_MAX, &why);
	if (why != NULL)
		return -1;
	len = (size_t)(colon - text);
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		host++;
		len -= 2;
	}
	if (host_normalize(name, host, len) == 0)
		return 0;
	if (len >= DNS_NAME_SIZE)
		return -1;
	memcpy(name, host, len); /* an IPv6 address */
	name[len] = '\0';
	return 0;
}

/* A via line that names an address: nothing to look up, and no policy. */
static bool
take_literal(struct ask *a, uint16_t port)
{
	struct route_host *h;
	struct sockaddr_storage ss;
	const char *why;

	if (!a->is_via || netaddr_parse(&ss, a->r.domain, port, &why) == -1)
		return false;
	h = xcalloc(1, sizeof(*h));
	strlcpy(h->name, a->r.domain, sizeof(h->name));
	h->port = port;
	h->origin = MX_VIA;
	h->addr[0] = ss;
	h->addr_count = 1;
	a->r.host = h;
	a->r.host_count = 1;
	return true;
}

/* An answer that needs no look-up; it too comes after router_ask(). */
static void
answer_at_once(void *arg)
{
	struct ask *a = arg;

	a->policy_known = true;
	a->hosts_known = true;
	finish_if_done(a);
}

void
router_ask(struct router *router, const char *destination,
    enum discover_why why, router_cb *cb, void *arg)
{
	struct ask *a = xcalloc(1, sizeof(*a));
	uint16_t port;

	a->router = router;
	a->ttl_s = DNS_TTL_MAX_S;
	a->cb = cb;
	a->arg = arg;
	LIST_INSERT_HEAD(&router->asks, a, entry);
	if (split_destination(destination, a->r.domain, &port) == -1) {
		set_status(a, ROUTE_BOUNCE, REASON_NO_SUCH_DOMAIN,
		    "it is no domain name");
		ev_soon(router->o.ev, &a->task, answer_at_once, a);
		return;
	}
	a->is_via = port != 0;
	if (take_literal(a, port)) {
		ev_soon(router->o.ev, &a->task, answer_at_once, a);
		return;
	}
	strlcpy(a->r.policy_domain, a->r.domain, sizeof(a->r.policy_domain));
	sts_ask(router->o.sts, a->r.policy_domain, why, on_policy, a);
	if (a->is_via)
		ask_single(a, port, MX_VIA);
	else
		dns_ask(router->o.dns, a->r.domain, DNS_MX, on_mx, a);
}
