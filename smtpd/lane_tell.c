#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/base/log.h"
#include "smtpd/explain.h"
#include "smtpd/lane_part.h"

/* ---- messages ---- */

void
lane_make_message(struct lane_job *job)
{
	const struct lane_rcpt *r;
	size_t i, n = 0;

	for (i = 0; i < job->rcpt_count; i++) {
		r = &job->rcpts[i];
		if (r->settled)
			continue;
		job->to[n].address = r->address;
		job->to[n].orcpt = r->orcpt;
		job->to[n].notify = r->notify;
		job->to_rcpt[n++] = i;
	}
	job->message = (struct client_message){ .sender = job->sender,
		.envid = job->envid,
		.ret = job->ret,
		.eightbit = job->eightbit,
		.smtputf8 = job->smtputf8,
		.size = job->size,
		.rcpts = job->to,
		.rcpt_count = n };
}

/* ---- from facts to results ---- */

static void
add_policy(struct msg_rcpt_result *r, const struct lane_route *route)
{
	r->policy = route->mode;
	(void)strlcpy(r->policy_id, route->policy_id, sizeof(r->policy_id));
	r->policy_fetched = route->policy_fetched;
	if (route->policy_fetched != 0)
		memcpy(r->policy_sha256, route->policy_sha256,
		    sizeof(r->policy_sha256));
}

static struct msg_rcpt_result
empty_result(const struct lane *lane, const struct lane_plan *plan)
{
	struct msg_rcpt_result r = { .outcome = OUTCOME_DEFERRED,
		.scope = SCOPE_DESTINATION,
		.level = lane->level };

	if (plan != NULL)
		add_policy(&r, plan->route);
	return r;
}

static void
add_tls(struct msg_rcpt_result *r, const struct tls_facts *tls)
{
	(void)strlcpy(r->tls, tls->version, sizeof(r->tls));
	(void)strlcpy(r->cipher, tls->cipher, sizeof(r->cipher));
	(void)strlcpy(r->group, tls->group, sizeof(r->group));
	(void)strlcpy(r->tlsa, tls->tlsa, sizeof(r->tlsa));
	r->resumed = tls->resumed;
	memcpy(r->cert_sha256, tls->sha256, sizeof(r->cert_sha256));
}

static void
add_report(struct msg_rcpt_result *r, const struct session_report *report)
{
	(void)strlcpy(r->addr, report->addr, sizeof(r->addr));
	r->would_defer = report->verdict.would_defer;
	r->sts_failure = report->verdict.sts_failure;
	r->auth = report->verdict.auth;
	r->route_secure = report->verdict.route_secure;
	r->dsn_relayed = report->offers_dsn;
	if (report->tls_done)
		add_tls(r, &report->tls);
	else if (report->connected)
		(void)strlcpy(r->tls, "none", sizeof(r->tls));
}

static void
add_trouble(struct msg_rcpt_result *r, const struct trouble *t)
{
	r->outcome = t->outcome;
	r->scope = t->scope;
	r->reason = t->reason;
	(void)strlcpy(r->dsn, t->dsn, sizeof(r->dsn));
}

static void
tell(struct lane *lane, struct lane_job *job, size_t rcpt,
    struct msg_rcpt_result *r)
{
	const struct lane_pool_options *o = &lane->pool->options;

	job->rcpts[rcpt].settled = true;
	o->ops->result(o->arg, job, rcpt, r);
}

static void
tell_client_result(struct lane *lane, struct berth *b, size_t rcpt,
    const struct client_result *c)
{
	struct msg_rcpt_result r = empty_result(lane, b->plan);

	add_report(&r, session_report(b->session));
	add_trouble(&r, &c->trouble);
	(void)strlcpy(r.mx, b->target.name, sizeof(r.mx));
	(void)strlcpy(r.reply, c->reply, sizeof(r.reply));
	if (c->trouble.detail[0] != '\0')
		(void)snprintf(r.detail, sizeof(r.detail), "%s (%s): %s", r.mx,
		    r.addr, c->trouble.detail);
	tell(lane, b->job, rcpt, &r);
}

/* ---- what to keep ---- */

static struct lane_kept *
keep(const struct berth *b, const struct trouble *t, const char *reply,
    const char *found)
{
	struct lane_kept *k = xcalloc(1, sizeof(*k));

	k->trouble = *t;
	k->has_report = true;
	k->report = *session_report(b->session);
	(void)strlcpy(k->mx, b->target.name, sizeof(k->mx));
	(void)netaddr_host_text((const void *)&b->target.addr, k->ip);
	(void)strlcpy(k->reply, reply, sizeof(k->reply));
	(void)strlcpy(k->found, found, sizeof(k->found));
	return k;
}

struct lane_kept *
lane_keep_fault(const struct berth *b)
{
	const struct session_fault *f = session_fault(b->session);
	struct lane_kept *k = keep(b, &f->trouble, f->reply, f->found);

	k->is_verdict = f->is_verdict;
	k->trouble.scope = SCOPE_DESTINATION; /* once no host is left */
	return k;
}

static struct lane_kept *
keep_result(const struct berth *b, const struct client_result *c)
{
	return keep(b, &c->trouble, c->reply, c->trouble.detail);
}

struct lane_kept *
lane_keep_error(const struct lane_host *host)
{
	struct lane_kept *k = xcalloc(1, sizeof(*k));
	enum reason reason =
	    host->error == REASON_NONE ? REASON_DNS_ERROR : host->error;

	k->trouble.outcome = OUTCOME_DEFERRED;
	k->trouble.scope = SCOPE_DESTINATION;
	k->trouble.reason = reason;
	(void)strlcpy(k->trouble.dsn, reason_dsn(reason),
	    sizeof(k->trouble.dsn));
	k->trouble.dsn[0] = '4';
	(void)strlcpy(k->mx, host->name, sizeof(k->mx));
	(void)strlcpy(k->found,
	    host->detail[0] != '\0' ? host->detail : "it has no address",
	    sizeof(k->found));
	return k;
}

/* ---- results of a message ---- */

/* Where to go on for a recipient that this host did not settle. */
static size_t
next_for(const struct berth *b, const struct client_result *c)
{
	size_t from = b->at + 1;

	/* A host that speaks to us says the same at its other addresses. */
	if (c->reply[0] != '\0')
		from = lane_next_host(b->plan, b->at);
	return lane_next(b->plan, from);
}

/* Does it wait for another host, or for another connection? */
static bool
is_put_off(struct berth *b, const struct client_result *c, bool stay)
{
	struct lane_job *job = b->job;
	size_t next;

	if (stay && c->trouble.outcome == OUTCOME_DEFERRED &&
	    c->trouble.scope != SCOPE_RECIPIENT)
		return true;
	if (c->trouble.outcome == OUTCOME_DELIVERED || !c->trouble.next_host)
		return false;
	next = next_for(b, c);
	if (next == b->plan->candidate_count)
		return false;
	free(job->kept);
	job->kept = keep_result(b, c);
	job->from = b->plan == b->lane->plan ? next : 0;
	return true;
}

bool
lane_take_results(struct lane *lane, struct berth *b, bool stay)
{
	struct lane_job *job = b->job;
	const struct client_result *c;
	size_t i, left = 0, untried = 0;

	for (i = 0; i < job->message.rcpt_count; i++) {
		c = session_result(b->session, i);
		if (!c->tried) {
			untried++;
			continue;
		}
		if (is_put_off(b, c, stay))
			left++;
		else
			tell_client_result(lane, b, job->to_rcpt[i], c);
	}
	if (untried < job->message.rcpt_count)
		return left + untried == 0;
	/* Not even one was tried, so another round would do no better. */
	for (i = 0; i < untried; i++)
		tell_client_result(lane, b, job->to_rcpt[i],
		    session_result(b->session, i));
	return true;
}

/* ---- no host is left ---- */

static bool
is_better(const struct lane_kept *a, const struct lane_kept *b)
{
	if (b == NULL)
		return true;
	/* What TLS or policy forbids tells most, above all of a host that was
	 * contacted and failed to prove itself. */
	if (a->is_verdict != b->is_verdict)
		return a->is_verdict;
	return a->is_verdict && a->report.connected && !b->report.connected;
}

static const struct lane_kept *
choose_fault(const struct lane_plan *plan)
{
	const struct lane_kept *best = NULL, *k;
	size_t i;

	for (i = 0; i < plan->candidate_count; i++) {
		k = plan->candidate[i].kept;
		if (k != NULL && is_better(k, best))
			best = k;
	}
	return best;
}

/* Hosts that failed in another way, in short. */
static void
add_others(char *detail, const struct lane_plan *plan,
    const struct lane_kept *told)
{
	const struct lane_kept *k;
	char text[512];
	size_t i;

	for (i = 0; i < plan->candidate_count; i++) {
		k = plan->candidate[i].kept;
		if (k == NULL || k == told)
			continue;
		(void)snprintf(text, sizeof(text), "; also %s%s%s%s: %s", k->mx,
		    k->ip[0] != '\0' ? " (" : "", k->ip,
		    k->ip[0] != '\0' ? ")" : "",
		    reason_word(k->trouble.reason));
		if (strlen(detail) + strlen(text) < DETAIL_SIZE)
			(void)strlcat(detail, text, DETAIL_SIZE);
	}
}

/* The host, what was found, and the lines of an exception. */
static void
make_detail(char detail[DETAIL_SIZE], const struct lane *lane,
    const struct lane_kept *k)
{
	struct explain_exception_args about = {
		.reason = k->trouble.reason,
		.destination = lane->domain,
		.addr = k->ip,
		.level = lane->level,
		.mode = lane->plan->route->mode,
		.now = lane->pool->options.now(),
	};
	char exception[400];
	size_t i;

	for (i = 0; i < lane->plan->route->host_count; i++)
		if (strcmp(lane->plan->route->host[i].name, k->mx) == 0)
			about.dane = lane->plan->route->host[i].dane;
	(void)snprintf(detail, DETAIL_SIZE, "%s%s%s%s: %s", k->mx,
	    k->ip[0] != '\0' ? " (" : "", k->ip, k->ip[0] != '\0' ? ")" : "",
	    k->found);
	explain_exception(exception, sizeof(exception), &about);
	if (exception[0] != '\0' &&
	    strlen(detail) + strlen(exception) + 2 < DETAIL_SIZE) {
		(void)strlcat(detail, "; ", DETAIL_SIZE);
		(void)strlcat(detail, exception, DETAIL_SIZE);
	}
}

/* Is the most preferred host ourselves? Waiting does not change that. */
static bool
is_loop(const struct lane *lane, const struct lane_kept *k)
{
	return k->trouble.reason == REASON_MAIL_LOOP &&
	    lane->plan->candidate[0].kept == k;
}

void
lane_fail_everywhere(struct lane *lane, struct lane_job *job)
{
	const struct lane_kept *k =
	    job->kept != NULL ? job->kept : choose_fault(lane->plan);
	struct msg_rcpt_result r = empty_result(lane, lane->plan);

	if (k == NULL) {
		lane_fail_locally(lane, job,
		    "the destination has no host that could be tried");
		return;
	}
	if (k->has_report)
		add_report(&r, &k->report);
	add_trouble(&r, &k->trouble);
	if (is_loop(lane, k)) {
		r.outcome = OUTCOME_BOUNCED;
		(void)strlcpy(r.dsn, reason_dsn(REASON_MAIL_LOOP),
		    sizeof(r.dsn));
	}
	make_detail(r.detail, lane, k);
	add_others(r.detail, lane->plan, k);
	(void)strlcpy(r.mx, k->mx, sizeof(r.mx));
	(void)strlcpy(r.reply, k->reply, sizeof(r.reply));
	lane_fail_job(lane, job, &r);
}

void
lane_fail_route(struct lane *lane, struct lane_job *job)
{
	const struct lane_route *route = lane->plan->route;
	struct msg_rcpt_result r = empty_result(lane, lane->plan);
	const char *dsn = route->dsn;

	r.reason = route->reason;
	if (dsn[0] == '\0')
		dsn = reason_dsn(route->reason);
	(void)strlcpy(r.dsn, dsn, sizeof(r.dsn));
	(void)strlcpy(r.detail, route->detail, sizeof(r.detail));
	if (route->status == ROUTE_BOUNCE)
		r.outcome = OUTCOME_BOUNCED;
	lane_fail_job(lane, job, &r);
}

void
lane_fail_locally(struct lane *lane, struct lane_job *job, const char *detail)
{
	struct msg_rcpt_result r = empty_result(lane, lane->plan);

	r.reason = REASON_DNS_ERROR;
	(void)strlcpy(r.dsn, reason_dsn(REASON_DNS_ERROR), sizeof(r.dsn));
	(void)strlcpy(r.detail, detail, sizeof(r.detail));
	lane_fail_job(lane, job, &r);
}
