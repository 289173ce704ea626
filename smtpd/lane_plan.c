/* Routes, as a lane follows them: their hosts and addresses in the order to
 * try, and what is the same in a later answer. */

#include <stdlib.h>
#include <string.h>

#include "smtpd/base/log.h"
#include "smtpd/lane_part.h"

#define LIFETIME_MIN 1000 /* ms an answer serves at least */

void
lane_route_free(struct lane_route *route)
{
	size_t i, j;

	if (route == NULL)
		return;
	for (i = 0; i < route->host_count; i++) {
		for (j = 0; j < route->host[i].tlsa_count; j++)
			free(route->host[i].tlsa_data[j]);
		free(route->host[i].tlsa_data);
		free(route->host[i].tlsa);
	}
	free(route->host);
	free(route);
}

/* One candidate for each address, and one for a host that has none. */
static void
make_candidates(struct lane_plan *plan)
{
	const struct lane_host *host;
	struct candidate *c;
	size_t i, j, count = 0;

	for (i = 0; i < plan->route->host_count; i++)
		count += plan->route->host[i].addr_count + 1;
	plan->candidate = xcalloc(count + 1, sizeof(*plan->candidate));
	c = plan->candidate;
	for (i = 0; i < plan->route->host_count; i++) {
		host = &plan->route->host[i];
		for (j = 0; j < host->addr_count; j++, c++) {
			c->host = host;
			c->addr = &host->addr[j];
		}
		if (host->addr_count == 0) {
			c->host = host;
			c->bad = true;
			c->kept = lane_keep_error(host);
			c++;
		}
	}
	plan->candidate_count = (size_t)(c - plan->candidate);
}

void
lane_plan_prolong(const struct lane *lane, struct lane_plan *plan,
    const struct lane_route *route)
{
	uint32_t lifetime = route->lifetime_ms;

	plan->expires_ms = lane_now(lane) +
	    (lifetime < LIFETIME_MIN ? LIFETIME_MIN : lifetime);
	plan->is_news = route->policy_fetched >= lane->asked_s;
	plan->route->policy_fetched = route->policy_fetched;
}

struct lane_plan *
lane_plan_new(const struct lane *lane, struct lane_route *route)
{
	struct lane_plan *plan = xcalloc(1, sizeof(*plan));

	plan->refs = 1;
	plan->route = route;
	lane_plan_prolong(lane, plan, route);
	make_candidates(plan);
	return plan;
}

void
lane_plan_release(struct lane_plan *plan)
{
	size_t i;

	if (plan == NULL || --plan->refs > 0)
		return;
	for (i = 0; i < plan->candidate_count; i++)
		free(plan->candidate[i].kept);
	free(plan->candidate);
	lane_route_free(plan->route);
	free(plan);
}

static bool
same_host(const struct lane_host *a, const struct lane_host *b)
{
	size_t i;

	if (strcmp(a->name, b->name) != 0 ||
	    strcmp(a->tlsa_base, b->tlsa_base) != 0 ||
	    a->matches != b->matches || a->dane != b->dane ||
	    a->origin != b->origin || a->addr_count != b->addr_count ||
	    a->tlsa_count != b->tlsa_count || a->error != b->error)
		return false;
	for (i = 0; i < a->addr_count; i++)
		if (!netaddr_same_host((const void *)&a->addr[i],
			(const void *)&b->addr[i]) ||
		    netaddr_port((const void *)&a->addr[i]) !=
			netaddr_port((const void *)&b->addr[i]))
			return false;
	for (i = 0; i < a->tlsa_count; i++)
		if (a->tlsa[i].usage != b->tlsa[i].usage ||
		    a->tlsa[i].selector != b->tlsa[i].selector ||
		    a->tlsa[i].matching != b->tlsa[i].matching ||
		    a->tlsa[i].len != b->tlsa[i].len ||
		    memcmp(a->tlsa[i].data, b->tlsa[i].data, a->tlsa[i].len) !=
			0)
			return false;
	return true;
}

bool
lane_policy_is_same(const struct lane_route *a, const struct lane_route *b)
{
	return a->status == b->status && a->mode == b->mode &&
	    a->reason == b->reason && strcmp(a->policy_id, b->policy_id) == 0 &&
	    memcmp(a->policy_sha256, b->policy_sha256,
		sizeof(a->policy_sha256)) == 0;
}

bool
lane_route_is_same(const struct lane_route *a, const struct lane_route *b)
{
	size_t i;

	if (!lane_policy_is_same(a, b) || a->host_count != b->host_count ||
	    strcmp(a->next_hop, b->next_hop) != 0 ||
	    strcmp(a->expanded, b->expanded) != 0)
		return false;
	for (i = 0; i < a->host_count; i++)
		if (!same_host(&a->host[i], &b->host[i]))
			return false;
	return true;
}

static const struct candidate *
find_candidate(const struct lane_plan *plan, const struct candidate *like)
{
	const struct candidate *c = plan->candidate;
	size_t i;

	for (i = 0; i < plan->candidate_count; i++, c++)
		if (c->addr != NULL && like->addr != NULL &&
		    strcmp(c->host->name, like->host->name) == 0 &&
		    netaddr_same_host((const void *)c->addr,
			(const void *)like->addr))
			return c;
	return NULL;
}

void
lane_plan_carry_over(const struct lane_plan *from, struct lane_plan *to)
{
	const struct candidate *old;
	struct candidate *c = to->candidate;
	size_t i;

	for (i = 0; i < to->candidate_count; i++, c++) {
		old = find_candidate(from, c);
		if (old == NULL || !old->bad || old->kept == NULL ||
		    old->kept->is_verdict ||
		    old->kept->trouble.reason == REASON_MAIL_LOOP)
			continue;
		c->bad = true;
		c->kept = xcalloc(1, sizeof(*c->kept));
		*c->kept = *old->kept;
	}
}

size_t
lane_next(const struct lane_plan *plan, size_t from)
{
	while (from < plan->candidate_count && plan->candidate[from].bad)
		from++;
	return from;
}

size_t
lane_next_host(const struct lane_plan *plan, size_t at)
{
	const struct lane_host *host = plan->candidate[at].host;

	while (at < plan->candidate_count && plan->candidate[at].host == host)
		at++;
	return at;
}
