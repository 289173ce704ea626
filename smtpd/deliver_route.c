#include "smtpd/deliver_route.h"

#include <netinet/in.h>
#include <string.h>

#include "smtpd/base/log.h"

#define TLSA_MAX 64 /* of one host */

/* The policy process may be another's: nothing of it is believed blindly. */
static void
spoil(struct lane_route *r, const char *why)
{
	r->status = ROUTE_DEFER;
	r->reason = REASON_DNS_ERROR;
	(void)strlcpy(r->dsn, reason_dsn(r->reason), sizeof(r->dsn));
	(void)strlcpy(r->detail, why, sizeof(r->detail));
}

struct lane_route *
deliver_route_new(const struct msg_route *m)
{
	struct lane_route *r = xcalloc(1, sizeof(*r));

	r->lifetime_ms = m->lifetime_ms;
	if (m->status > ROUTE_BOUNCE || m->mode > POLICY_UNKNOWN ||
	    m->reason >= REASON_COUNT || m->hosts > LANE_HOSTS_MAX) {
		spoil(r, "the policy process gave an answer out of range");
		return r;
	}
	r->status = (enum route_status)m->status;
	r->mode = (enum policy_mode)m->mode;
	r->reason = (enum reason)m->reason;
	r->hosts_announced = m->hosts;
	r->host = xcalloc((size_t)m->hosts + 1, sizeof(*r->host));
	r->policy_fetched = m->policy_fetched;
	memcpy(r->policy_sha256, m->policy_sha256, sizeof(r->policy_sha256));
	(void)strlcpy(r->dsn, m->dsn, sizeof(r->dsn));
	(void)strlcpy(r->detail, m->detail, sizeof(r->detail));
	(void)strlcpy(r->policy_id, m->policy_id, sizeof(r->policy_id));
	(void)strlcpy(r->next_hop, m->next_hop, sizeof(r->next_hop));
	(void)strlcpy(r->expanded, m->expanded, sizeof(r->expanded));
	return r;
}

/* 17 bytes: 4 or 6, and the address. */
static void
unpack(struct sockaddr_storage *to, const uint8_t *from, uint32_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };

	if (from[0] == 6) {
		in6.sin6_port = htons((in_port_t)port);
		memcpy(&in6.sin6_addr, from + 1, sizeof(in6.sin6_addr));
		memcpy(to, &in6, sizeof(in6));
	} else {
		in.sin_port = htons((in_port_t)port);
		memcpy(&in.sin_addr, from + 1, sizeof(in.sin_addr));
		memcpy(to, &in, sizeof(in));
	}
}

static bool
is_in_range(const struct lane_route *r, const struct msg_route_host *m)
{
	return m->host == r->host_count && m->host < r->hosts_announced &&
	    m->port > 0 && m->port <= 65535 && m->dane <= DANE_FAILED &&
	    m->origin <= MX_VIA && m->error < REASON_COUNT &&
	    m->tlsas <= TLSA_MAX && m->addr_count <= ROUTE_ADDRS_MAX &&
	    m->name[0] != '\0';
}

void
deliver_route_host(struct lane_route *r, const struct msg_route_host *m)
{
	struct lane_host *h;
	uint32_t i;

	if (r == NULL)
		return;
	if (!is_in_range(r, m)) {
		spoil(r, "the policy process gave a host out of range");
		return;
	}
	h = &r->host[r->host_count++];
	h->matches = m->matches != 0;
	h->dane = (enum dane_state)m->dane;
	h->origin = (enum mx_origin)m->origin;
	h->error = (enum reason)m->error;
	h->tlsas_announced = m->tlsas;
	(void)strlcpy(h->name, m->name, sizeof(h->name));
	(void)strlcpy(h->tlsa_base, m->tlsa_base, sizeof(h->tlsa_base));
	(void)strlcpy(h->detail, m->detail, sizeof(h->detail));
	if (m->tlsas > 0) {
		h->tlsa = xcalloc(m->tlsas, sizeof(*h->tlsa));
		h->tlsa_data = xcalloc(m->tlsas, sizeof(*h->tlsa_data));
	}
	for (i = 0; i < m->addr_count; i++)
		unpack(&h->addr[i], m->addrs + (size_t)17 * i, m->port);
	h->addr_count = m->addr_count;
}

void
deliver_route_tlsa(struct lane_route *r, const struct msg_route_tlsa *m)
{
	struct lane_host *h;
	struct tls_tlsa *t;
	uint8_t *data;

	if (r == NULL)
		return;
	if (m->host >= r->host_count || m->len > sizeof(m->data) ||
	    m->usage > 255 || m->selector > 255 || m->matching > 255 ||
	    r->host[m->host].tlsa_count >= r->host[m->host].tlsas_announced) {
		spoil(r, "the policy process gave a TLSA record out of range");
		return;
	}
	h = &r->host[m->host];
	data = xcalloc(1, (size_t)m->len + 1);
	memcpy(data, m->data, m->len);
	h->tlsa_data[h->tlsa_count] = data;
	t = &h->tlsa[h->tlsa_count++];
	t->usage = (uint8_t)m->usage;
	t->selector = (uint8_t)m->selector;
	t->matching = (uint8_t)m->matching;
	t->len = (uint16_t)m->len;
	t->data = data;
}

void
deliver_route_end(struct lane_route *r)
{
	size_t i;
	bool whole = r->host_count == r->hosts_announced;

	for (i = 0; i < r->host_count; i++)
		whole = whole &&
		    r->host[i].tlsa_count == r->host[i].tlsas_announced;
	if (r->status == ROUTE_OK && !whole)
		spoil(r, "the policy process gave an incomplete answer");
}
