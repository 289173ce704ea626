#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/base/log.h"
#include "smtpd/cli/check.h"
#include "smtpd/explain.h"
#include "smtpd/route_host.h"

#define CONNECT_MS 10000
#define ADDRESSES_MAX 4   /* tried of one host */
#define PATIENCE_MS 45000 /* with one host; deliveries have more */

static void next_address(struct check_host *h);

void
check_keep_route(struct check *c, const struct route *route)
{
	c->route = *route;
	c->route.host = NULL;
	c->hosts = xcalloc(route->host_count + 1, sizeof *c->hosts);
	for (size_t i = 0; i < route->host_count; i++) {
		c->hosts[i].check = c;
		c->hosts[i].host = route->host[i];
		route_host_copy_tlsa(&c->hosts[i].host, route->host[i].tlsa,
		    route->host[i].tlsa_count);
	}
	memset(&c->route.policy, 0, sizeof c->route.policy);
	if (policy_copy(&c->route.policy, &route->policy) == -1)
		log_die("out of memory");
}

void
check_clear(struct check *c)
{
	for (size_t i = 0; i < c->route.host_count; i++)
		route_host_clear(&c->hosts[i].host);
	free(c->hosts);
	c->hosts = NULL;
	c->route.host_count = 0;
	policy_clear(&c->route.policy);
}

/* The host has its result. */
static void
finish(struct check_host *h)
{
	struct check *c = h->check;

	h->session = NULL;
	ev_timer_del(c->ev, &h->patience);
	if (--c->running == 0)
		ev_stop(c->ev);
}

static void
add(struct check_host *h, const char *text)
{
	if (text[0] == '\0')
		return;
	if (h->detail[0] != '\0')
		(void)strlcat(h->detail, "; ", sizeof h->detail);
	(void)strlcat(h->detail, text, sizeof h->detail);
}

/* In words: what was found, and what would make an exception. */
static void
tell_fault(struct check_host *h)
{
	const struct session_fault *f = session_fault(h->session);
	char address[NETADDR_TEXT_SIZE], lines[CHECK_DETAIL_SIZE] = "";
	struct explain_exception_args about = {
		.reason = f->trouble.reason,
		.destination = h->check->domain,
		.addr =
		    netaddr_host_text((const void *)&h->target.addr, address),
		.level = h->check->dest.level,
		.mode = h->check->route.mode,
		.dane = h->host.dane,
		.now = h->check->now,
	};

	h->reason = f->trouble.reason;
	h->is_verdict = f->is_verdict;
	h->detail[0] = '\0';
	add(h, f->found);
	add(h, f->reply);
	explain_exception(lines, sizeof lines, &about);
	add(h, lines);
}

static void
on_session(void *arg, struct session *s, enum session_event event)
{
	struct check_host *h = arg;
	bool again;

	h->report = *session_report(s);
	if (event == SESSION_READY) {
		h->go = true;
		session_release(s);
		finish(h);
		return;
	}
	tell_fault(h);
	/* TLS or policy forbid the host, not an address of it. */
	again = !session_fault(s)->is_verdict &&
	    h->tried < h->host.addr_count && h->tried < ADDRESSES_MAX;
	session_free(s);
	if (again)
		next_address(h);
	else
		finish(h);
}

static void
on_patience(void *arg)
{
	struct check_host *h = arg;

	h->report = *session_report(h->session);
	session_free(h->session);
	h->reason = REASON_TIMEOUT;
	h->detail[0] = '\0';
	add(h, "no end of it after 45 seconds; a delivery would wait longer");
	finish(h);
}

static void
set_facts(struct check_host *h)
{
	const struct check *c = h->check;
	struct verdict_facts *facts = &h->target.facts;

	facts->level = c->dest.level;
	facts->mode = c->route.mode;
	facts->policy_trouble = c->route.policy_trouble;
	facts->mx_matches = h->host.matches;
	facts->dane = h->host.dane;
	facts->origin = h->host.origin;
}

static void
next_address(struct check_host *h)
{
	struct session_target *t = &h->target;

	memset(t, 0, sizeof *t);
	t->name = h->host.name;
	t->addr = h->host.addr[h->tried++];
	t->via = h->host.origin == MX_VIA;
	t->wants_proof = t->via && h->check->dest.auth != NULL;
	t->implicit_tls = t->via && h->check->dest.via_implicit_tls;
	set_facts(h);
	t->host_words = h->host.detail;
	t->policy_words = h->check->route.policy_detail;
	t->tlsa = h->host.tlsa_count > 0 ? h->host.tlsa : NULL;
	t->tlsa_count = h->host.tlsa_count;
	t->tlsa_base = h->host.tlsa_base;
	t->also[0] = h->check->route.next_hop;
	t->also[1] = h->check->route.expanded;
	t->connect_ms = CONNECT_MS;
	t->tag = h->host.name;
	h->session = session_new(&h->check->setup, t, on_session, h);
}

/* A host without addresses has failed already, unless policy forbids it
 * first: that is what its owner has to know. */
static void
judge_unreachable(struct check_host *h)
{
	struct verdict v;

	set_facts(h);
	h->target.facts.stage = TLS_BEFORE;
	v = verdict_decide(&h->target.facts);
	if (v.action == VERDICT_SKIP)
		h->reason = v.reason;
	else {
		h->reason = h->host.error;
		if (h->reason == REASON_NONE)
			h->reason = REASON_DNS_ERROR;
		add(h, h->host.detail);
	}
	add(h, reason_advice(h->reason));
}

/* As deliveries weigh it: who was contacted and failed to prove itself says
 * most, then who was forbidden before. */
static int
weight(const struct check_host *h)
{
	if (!h->is_verdict)
		return 0;
	return h->report.connected ? 2 : 1;
}

/* The first host that takes mail decides; else the one that tells most. */
static void
sum_up(struct check *c)
{
	const struct check_host *told = NULL, *h;

	c->go = false;
	c->reason = c->route.reason;
	(void)strlcpy(c->detail, c->route.detail, sizeof c->detail);
	c->bounce = c->route.status == ROUTE_BOUNCE;
	for (size_t i = 0; i < c->route.host_count; i++) {
		h = &c->hosts[i];
		if (h->go) {
			c->go = true;
			c->reason = REASON_NONE;
			c->detail[0] = '\0';
			return;
		}
		if (told == NULL || weight(h) > weight(told))
			told = h;
	}
	if (told == NULL || c->route.status != ROUTE_OK)
		return;
	c->reason = told->reason;
	(void)strlcpy(c->detail, told->host.name, sizeof c->detail);
	(void)strlcat(c->detail, ": ", sizeof c->detail);
	(void)strlcat(c->detail, told->detail, sizeof c->detail);
}

void
check_probe(struct check *c)
{
	struct check_host *h;

	c->running = 0;
	for (size_t i = 0; i < c->route.host_count; i++) {
		h = &c->hosts[i];
		if (h->host.addr_count == 0) {
			judge_unreachable(h);
			continue;
		}
		c->running++;
		ev_timer_init(&h->patience, on_patience, h);
		ev_timer_set(c->ev, &h->patience, ev_now(c->ev) + PATIENCE_MS);
		next_address(h);
	}
	if (c->running > 0 && ev_run(c->ev) == -1)
		log_die("the event loop failed");
	sum_up(c);
}

void
check_verdict(const struct check *c, char *out, size_t size)
{
	if (c->go)
		(void)strlcpy(out, "would deliver", size);
	else
		(void)snprintf(out, size, "would %s: %s",
		    c->bounce ? "bounce" : "defer", reason_word(c->reason));
}
