#include "smtpd/route_host.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "smtpd/base/log.h"

#define PATTERNS_SIZE 300 /* of a policy, in words for people */

void
route_host_clear(struct route_host *h)
{
	free(h->tlsa_data);
	memset(h, 0, sizeof(*h));
}

void
route_clear(struct route *r)
{
	size_t i;

	for (i = 0; i < r->host_count; i++)
		route_host_clear(&r->host[i]);
	free(r->host);
	policy_clear(&r->policy);
	memset(r, 0, sizeof(*r));
}

static const char *
mx_name(const struct dns_record *record)
{
	return (const char *)record->data;
}

bool
route_is_null_mx(const struct dns_answer *answer)
{
	return answer->count == 1 &&
	    strcmp(mx_name(&answer->record[0]), ".") == 0;
}

/* An MX with what decides its place. */
struct place {
	const struct dns_record *record;
	uint32_t lot; /* among equals */
};

static int
by_preference(const void *x, const void *y)
{
	const struct place *a = x, *b = y;

	if (a->record->preference != b->record->preference)
		return a->record->preference < b->record->preference ? -1 : 1;
	return a->lot < b->lot ? -1 : a->lot > b->lot;
}

static bool
is_listed(const struct route *r, const char *name)
{
	size_t i;

	for (i = 0; i < r->host_count; i++)
		if (strcasecmp(r->host[i].name, name) == 0)
			return true;
	return false;
}

void
route_take_mx(struct route *r, const struct dns_answer *answer, uint16_t port)
{
	struct place places[DNS_RECORDS_MAX] = { 0 };
	struct route_host *h;
	size_t i, most = ROUTE_HOSTS_MAX;

	if (answer->count < most)
		most = answer->count;
	for (i = 0; i < answer->count; i++) {
		places[i].record = &answer->record[i];
		places[i].lot = arc4random();
	}
	qsort(places, answer->count, sizeof(places[0]), by_preference);
	r->host = xcalloc(most, sizeof(r->host[0]));
	for (i = 0; i < answer->count && r->host_count < most; i++) {
		const char *name = mx_name(places[i].record);

		if (is_listed(r, name))
			continue;
		h = &r->host[r->host_count++];
		strlcpy(h->name, name, sizeof(h->name));
		h->preference = places[i].record->preference;
		h->port = port;
	}
}

static void
set_port(struct sockaddr_storage *ss, uint16_t port)
{
	if (ss->ss_family == AF_INET6)
		((struct sockaddr_in6 *)ss)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)ss)->sin_port = htons(port);
}

void
route_host_fail(struct route_host *h, enum reason reason, const char *detail)
{
	h->error = reason;
	snprintf(h->detail, sizeof(h->detail), "%s %s", h->name, detail);
}

void
route_host_found(struct route_host *h, const struct host_addrs *found)
{
	char words[HOST_WORDS_SIZE];
	size_t i;

	switch (found->status) {
	case DNS_OK:
		break;
	case DNS_NODATA:
		route_host_fail(h, REASON_NO_SUCH_DOMAIN, "has no address");
		return;
	case DNS_NXDOMAIN:
		route_host_fail(h, REASON_NO_SUCH_DOMAIN, "does not exist");
		return;
	case DNS_FAILED:
	case DNS_TIMEOUT:
		route_host_fail(h, REASON_DNS_ERROR, found->why);
		return;
	}
	if (found->count == 0) {
		host_tell_private(found, words);
		route_host_fail(h, REASON_PRIVATE_ADDRESS, words);
		return;
	}
	for (i = 0; i < found->count && i < ROUTE_ADDRS_MAX; i++) {
		h->addr[i] = found->addr[i];
		set_port(&h->addr[i], h->port);
		h->addr_count++;
	}
}

void
route_host_copy_tlsa(struct route_host *h, const struct tls_tlsa *tlsa,
    size_t count)
{
	size_t i, size = 0;

	for (i = 0; i < count; i++)
		size += tlsa[i].len;
	h->tlsa_data = xcalloc(1, size + 1);
	for (i = size = 0; i < count; i++) {
		h->tlsa[i] = tlsa[i];
		h->tlsa[i].data = h->tlsa_data + size;
		memcpy(h->tlsa_data + size, tlsa[i].data, tlsa[i].len);
		size += tlsa[i].len;
	}
	h->tlsa_count = count;
}

void
route_host_tlsa(struct route_host *h, const struct dns_answer *answer)
{
	struct tls_tlsa usable[DANE_RECORDS_MAX];
	size_t count;

	h->dane = dane_judge(answer, usable, &count);
	if (h->dane == DANE_FAILED)
		snprintf(h->detail, sizeof(h->detail), "its TLSA records: %s",
		    answer->why[0] != '\0' ? answer->why
					   : "no trusted resolver answered");
	if (h->tlsa_count > 0 || count == 0)
		return; /* nothing, or judged before by the same answer */
	route_host_copy_tlsa(h, usable, count);
}

void
route_host_mismatch(struct route_host *h, const struct sts_policy *policy)
{
	size_t i;

	for (i = 0; i < policy->mx_count; i++) {
		if (strlen(h->detail) + strlen(policy->mx[i]) > PATTERNS_SIZE) {
			(void)strlcat(h->detail, " ...", sizeof(h->detail));
			return;
		}
		(void)strlcat(h->detail, i > 0 ? " " : "", sizeof(h->detail));
		(void)strlcat(h->detail, policy->mx[i], sizeof(h->detail));
	}
}
