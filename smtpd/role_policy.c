#include "smtpd/role_policy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "smtpd/base/tls.h"
#include "smtpd/caller.h"
#include "smtpd/conf.h"
#include "smtpd/policy_ctl.h"
#include "smtpd/route.h"
#include "smtpd/self.h"
#include "smtpd/setup.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

#define STATS_MS 1000
#define PROBE_AGAIN_MS 60000 /* while no resolver answers */
#define RETIRE_MS 60000      /* for the last answers of former resolvers */

struct policy {
	struct child *child;
	struct ev *ev;
	struct dns *dns;
	struct dns_server servers[CONF_RESOLVER_MAX];
	size_t server_count;
	struct dns *retired; /* former resolvers, still answering */
	struct ev_timer retire, probe, stats;
	struct sts *sts;
	gid_t admins;
	struct router *router;
	struct tls_ctx *tls;
	struct host_allow allow;
	struct sockaddr_storage interface[SELF_MAX]; /* asked for once */
	size_t interfaces;
	bool dane_told;               /* that it is off */
	bool unprobed;                /* no answer tells whether it is */
	struct msg_policy_stats told; /* the figures last sent */
};

/* ---- set-up ---- */

static bool
is_same(const struct dns_server *a, const struct dns_server *b)
{
	const struct sockaddr *x = (const struct sockaddr *)&a->addr;
	const struct sockaddr *y = (const struct sockaddr *)&b->addr;

	return netaddr_same_host(x, y) && netaddr_port(x) == netaddr_port(y) &&
	    a->trusted == b->trusted;
}

/* Take the resolvers of the configuration; true if they are others now. */
static bool
take_servers(struct policy *p)
{
	const struct conf *conf = child_conf(p->child);
	bool same = conf->resolver_count == p->server_count;

	for (size_t i = 0; i < conf->resolver_count; i++) {
		struct dns_server server = { .addr = conf->resolver[i].addr,
			.trusted = conf->resolver[i].trusted };

		same = same && is_same(&server, &p->servers[i]);
		p->servers[i] = server;
	}
	p->server_count = conf->resolver_count;
	return !same;
}

static struct dns *
open_dns(struct policy *p)
{
	const char *why;
	struct dns *dns;

	dns = dns_new(p->ev, p->servers, p->server_count, &why);
	if (dns == NULL)
		log_die("DNS: %s", why);
	return dns;
}

/* What a new configuration changes, resolvers apart. */
static void
take_conf(struct policy *p)
{
	const struct conf *conf = child_conf(p->child);
	struct sockaddr_storage self[SELF_MAX];
	struct router_self who = { .hostname = "", .addr = self };

	who.addr_count = self_listening(conf, p->interface, p->interfaces, self,
	    nitems(self));
	if (conf->hostname != NULL)
		who.hostname = conf->hostname;
	router_set_self(p->router, &who);
	p->allow.net = conf->allow_private.net;
	p->allow.count = conf->allow_private.count;
}

static int
open_cache(const struct conf *conf)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/policy", conf->queue_directory);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		log_die("%s: %s", path, strerror(errno));
	return fd;
}

/* What was told of routes under the former policy serves no more. */
static void
on_changed(void *arg, const char *domain)
{
	struct policy *p = arg;
	struct msg_policy_changed m = { 0 };
	struct ipc *ipc;
	uint32_t i;

	strlcpy(m.domain, domain, sizeof(m.domain));
	for (i = 0; i < child_workers(p->child); i++) {
		ipc = child_peer(p->child, ROLE_DELIVER, i);
		if (ipc != NULL)
			MSG_SEND(ipc, policy_changed, &m, -1);
	}
}

/* c-ares and libcurl read files of the system, once, before the cage. */
static void
prepare(struct child *child)
{
	struct policy *p = xcalloc(1, sizeof(*p));
	struct sts_options so = { .kind = CACHE_WRITE,
		.allow = &p->allow,
		.changed = on_changed,
		.arg = p };
	struct router_options ro = { .allow = &p->allow };

	child_set_state(child, p);
	p->child = child;
	p->ev = child_ev(child);
	p->admins = caller_admins();
	(void)take_servers(p);
	p->dns = open_dns(p);
	so.dirfd = open_cache(child_conf(child));
	p->sts = sts_new(p->ev, p->dns, &so);
	if (p->sts == NULL)
		log_die("libcurl cannot be set up");
	ro.ev = p->ev;
	ro.dns = p->dns;
	ro.sts = p->sts;
	p->router = router_new(&ro);
	p->interfaces = self_interfaces(p->interface, SELF_MAX);
	take_conf(p);
}

/* ---- is there DNSSEC? ---- */

static void
tell_dane_off(struct policy *p, const char *why)
{
	if (p->dane_told)
		return;
	p->dane_told = true;
	log_note(LOG_PRI_WARNING, "DANE is off: %s", why);
}

/* A validating resolver sets AD for the root, if for anything. */
static void
on_probe(void *arg, const struct dns_answer *answer)
{
	struct policy *p = arg;

	p->unprobed =
	    answer->status == DNS_FAILED || answer->status == DNS_TIMEOUT;
	if (p->unprobed)
		ev_timer_set(p->ev, &p->probe, ev_now(p->ev) + PROBE_AGAIN_MS);
	else if (!answer->secure)
		tell_dane_off(p,
		    "the resolver does not validate DNSSEC (no AD bit for the"
		    " root); mail still goes by certificates and MTA-STS");
}

static void
probe(void *arg)
{
	struct policy *p = arg;

	if (dns_believes(p->dns))
		dns_ask_fresh(p->dns, "", DNS_SOA, on_probe, p);
	else
		tell_dane_off(p,
		    "no resolver is on loopback or marked trusted, so what it"
		    " says of DNSSEC cannot be believed");
}

/* If the root could not be asked for, other answers show whether DNSSEC is
 * validated. */
static void
note_answers(struct policy *p)
{
	struct dns_stats stats;

	dns_stats(p->dns, &stats);
	if (p->unprobed && stats.secure == 0)
		tell_dane_off(p,
		    "no answer of the resolver had the AD bit so far; mail"
		    " still goes by certificates and MTA-STS");
}

/* ---- routes ---- */

/* A question of a deliver process. */
struct pending {
	struct policy *policy;
	uint32_t instance;
	uint64_t ask;
};

static void
pack_addresses(struct msg_route_host *m, const struct route_host *h)
{
	for (size_t i = 0; i < h->addr_count; i++) {
		const struct sockaddr_storage *ss = &h->addr[i];
		uint8_t *to = m->addrs + i * 17;

		to[0] = ss->ss_family == AF_INET6 ? 6 : 4;
		if (ss->ss_family == AF_INET6)
			memcpy(to + 1,
			    &((const struct sockaddr_in6 *)ss)->sin6_addr, 16);
		else
			memcpy(to + 1,
			    &((const struct sockaddr_in *)ss)->sin_addr, 4);
	}
	m->addr_count = (uint32_t)h->addr_count;
}

static void
send_host(struct ipc *ipc, uint64_t ask, uint32_t index,
    const struct route_host *h)
{
	struct msg_route_host m = { .ask = ask, .host = index };

	m.port = h->port;
	m.matches = h->matches;
	m.dane = h->dane;
	m.origin = h->origin;
	m.error = h->error;
	m.tlsas = (uint32_t)h->tlsa_count;
	strlcpy(m.name, h->name, sizeof(m.name));
	strlcpy(m.tlsa_base, h->tlsa_base, sizeof(m.tlsa_base));
	strlcpy(m.detail, h->detail, sizeof(m.detail));
	pack_addresses(&m, h);
	MSG_SEND(ipc, route_host, &m, -1);
	for (size_t i = 0; i < h->tlsa_count; i++) {
		const struct tls_tlsa *r = &h->tlsa[i];
		struct msg_route_tlsa t = { .ask = ask, .host = index };

		t.usage = r->usage;
		t.selector = r->selector;
		t.matching = r->matching;
		t.len = r->len;
		memcpy(t.data, r->data, r->len);
		MSG_SEND(ipc, route_tlsa, &t, -1);
	}
}

static void
send_head(struct ipc *ipc, uint64_t ask, const struct route *r, uint32_t hosts)
{
	struct msg_route m = { .ask = ask, .hosts = hosts };
	bool ok = r->status == ROUTE_OK;

	m.status = r->status;
	m.mode = r->mode;
	m.lifetime_ms = r->lifetime_ms;
	m.policy_fetched = r->fetched;
	memcpy(m.policy_sha256, r->policy.sha256, sizeof(m.policy_sha256));
	/* Of a usable route: why there is no policy, for level strict. */
	m.reason = ok ? r->policy_trouble : r->reason;
	strlcpy(m.detail, ok ? r->policy_detail : r->detail, sizeof(m.detail));
	strlcpy(m.dsn, r->status == ROUTE_OK ? "" : reason_dsn(r->reason),
	    sizeof(m.dsn));
	strlcpy(m.policy_id, r->policy_id, sizeof(m.policy_id));
	strlcpy(m.next_hop, r->next_hop, sizeof(m.next_hop));
	strlcpy(m.expanded, r->expanded, sizeof(m.expanded));
	MSG_SEND(ipc, route, &m, -1);
}

static void
on_route(void *arg, const struct route *r)
{
	struct pending *q = arg;
	struct ipc *ipc =
	    child_peer(q->policy->child, ROLE_DELIVER, q->instance);
	uint32_t hosts = r->status == ROUTE_OK ? (uint32_t)r->host_count : 0;
	struct msg_route_end end = { .ask = q->ask };

	if (r->status == ROUTE_OK)
		note_answers(q->policy);
	/* The process that asked may have died meanwhile. */
	if (ipc != NULL) {
		send_head(ipc, q->ask, r, hosts);
		for (uint32_t i = 0; i < hosts; i++)
			send_host(ipc, q->ask, i, &r->host[i]);
		MSG_SEND(ipc, route_end, &end, -1);
	}
	free(q);
}

static void
take_question(struct policy *p, uint32_t instance,
    const struct msg_route_ask *m)
{
	struct pending *q;

	q = xcalloc(1, sizeof(*q));
	q->policy = p;
	q->instance = instance;
	q->ask = m->ask;
	router_ask(p->router, m->destination,
	    m->refresh != 0 ? ASK_FAILED : ASK_DELIVERY, on_route, q);
}

/* ---- trust, statistics, the rest ---- */

/* The CA bundle's text: a regular file or a sealed memfd. Closes "fd". */
static void
take_trust(struct policy *p, int fd)
{
	struct tls_ctx *tls = setup_take_trust(fd);

	if (tls == NULL)
		return;
	/* Fetches under way hold the former store themselves. */
	sts_trust(p->sts, tls);
	tls_ctx_free(p->tls);
	p->tls = tls;
}

static void
on_stats(void *arg)
{
	struct policy *p = arg;
	struct ipc *queue = child_peer(p->child, ROLE_QUEUE, 0);
	struct msg_policy_stats m = { 0 };
	struct sts_stats sts;
	struct dns_stats dns;

	ev_timer_set(p->ev, &p->stats, ev_now(p->ev) + STATS_MS);
	if (queue == NULL)
		return;
	sts_stats(p->sts, &sts);
	dns_stats(p->dns, &dns);
	m.cached = cache_count(sts_cache(p->sts));
	m.enforce = sts.enforce;
	m.testing = sts.testing;
	m.none = sts.none;
	m.fetches = sts.fetches;
	m.fetch_errors = sts.fetch_errors;
	m.dns_queries = dns.queries;
	m.dns_errors = dns.errors;
	m.authenticated_dns = dns.secure;
	if (memcmp(&m, &p->told, sizeof(m)) == 0)
		return;
	p->told = m;
	MSG_SEND(queue, policy_stats, &m, -1);
}

static void
on_retire(void *arg)
{
	struct policy *p = arg;

	dns_retire(p->retired);
	p->retired = NULL;
}

static void
start(struct child *child)
{
	struct policy *p = child_state(child);

	ev_timer_init(&p->retire, on_retire, p);
	ev_timer_init(&p->probe, probe, p);
	ev_timer_init(&p->stats, on_stats, p);
	sts_start(p->sts);
	probe(p);
	on_stats(p);
}

/* Questions under way still use the former resolvers for a while. */
static void
use_servers(struct policy *p)
{
	struct dns *former = p->retired;

	p->retired = p->dns;
	ev_timer_set(p->ev, &p->retire, ev_now(p->ev) + RETIRE_MS);
	p->dns = open_dns(p);
	router_use_dns(p->router, p->dns);
	sts_use_dns(p->sts, p->dns);
	/* What still waits there fails, and may ask the new ones. */
	dns_retire(former);
	p->dane_told = false;
	probe(p);
}

static void
reloaded(struct child *child)
{
	struct policy *p = child_state(child);

	take_conf(p);
	if (take_servers(p))
		use_servers(p);
}

static void
take_request(struct policy *p, const struct msg_ctl_policy *m, int fd)
{
	if (caller_may(fd, p->admins, -1))
		policy_ctl(p->ev, p->sts, m, fd);
	else
		close(fd);
}

static void
hear(struct child *child, const struct heard *h)
{
	struct policy *p = child_state(child);

	if (h->type == MSG_trust)
		take_trust(p, h->fd);
	else if (h->type == MSG_ctl_policy)
		take_request(p, h->body, h->fd);
	else if (h->type == MSG_route_ask)
		take_question(p, h->instance, h->body);
	else
		log_bug("message %u from peer %d", h->type, h->peer);
}

static void
lost(struct child *child, int peer, uint32_t instance)
{
	(void)child;
	(void)peer;
	(void)instance;
}

static void
connected(struct child *child, int peer, uint32_t instance)
{
	struct policy *p = child_state(child);

	(void)instance;
	/* A new queue process knows no figures. */
	if (peer == ROLE_QUEUE)
		memset(&p->told, 0, sizeof(p->told));
}

static void
stop(struct child *child)
{
	struct policy *p = child_state(child);

	sts_stop(p->sts);
	child_exit(child, 0);
}

const struct role_ops role_policy_ops = {
	.prepare = prepare,
	.start = start,
	.hear = hear,
	.lost = lost,
	.connected = connected,
	.reloaded = reloaded,
	.stop = stop,
};
