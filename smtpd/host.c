#include "smtpd/host.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/base/log.h"

/* Two look-ups under way. */
struct look {
	const struct host_allow *allow;
	struct dns_answer *a, *aaaa; /* copies of the heads, NULL: not yet */
	host_cb *cb;
	void *arg;
};

static void
set_address(struct sockaddr_storage *out, const struct dns_record *r)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *in = (struct sockaddr_in *)out;

	memset(out, 0, sizeof(*out));
	if (r->len == 16) {
		in6->sin6_family = AF_INET6;
		memcpy(&in6->sin6_addr, r->data, 16);
	} else {
		in->sin_family = AF_INET;
		memcpy(&in->sin_addr, r->data, 4);
	}
}

static bool
may_connect(const struct host_allow *allow, const struct sockaddr_storage *ss)
{
	return allow->all ||
	    netaddr_may_connect(allow->net, allow->count,
		(const struct sockaddr *)ss);
}

static void
add_address(struct host_addrs *h, const struct dns_answer *from, size_t i,
    const struct host_allow *allow)
{
	struct sockaddr_storage ss;

	if (from->status != DNS_OK || i >= from->count ||
	    h->count == HOST_ADDRS_MAX)
		return;
	set_address(&ss, &from->record[i]);
	if (may_connect(allow, &ss))
		h->addr[h->count++] = ss;
	else if (h->refused++ == 0)
		h->private = ss;
}

static bool
is_trouble(const struct dns_answer *answer)
{
	return answer->status == DNS_FAILED || answer->status == DNS_TIMEOUT;
}

/* The whole is authenticated only if all that was found is. */
static bool
is_secure(const struct dns_answer *a, const struct dns_answer *aaaa)
{
	if (a->status == DNS_OK && !a->secure)
		return false;
	if (aaaa->status == DNS_OK && !aaaa->secure)
		return false;
	return a->secure || aaaa->secure;
}

/* Put two answers together; either may have failed. */
static void
merge(struct host_addrs *h, const struct dns_answer *a,
    const struct dns_answer *aaaa, const struct host_allow *allow)
{
	const struct dns_answer *main = a->status == DNS_OK ? a : aaaa;
	size_t i;

	memset(h, 0, sizeof(*h));
	for (i = 0; i < DNS_RECORDS_MAX; i++) {
		add_address(h, aaaa, i, allow);
		add_address(h, a, i, allow);
	}
	/* Without addresses a failure counts for more than "there is none". */
	if (main->status != DNS_OK && is_trouble(a))
		main = a;
	h->status = main->status;
	h->why = main->why;
	h->cnames = main->cnames;
	strlcpy(h->name, main->name, sizeof(h->name));
	h->secure = is_secure(a, aaaa);
	h->ttl_s = a->ttl_s < aaaa->ttl_s ? a->ttl_s : aaaa->ttl_s;
}

void
host_tell_private(const struct host_addrs *h, char words[HOST_WORDS_SIZE])
{
	char addr[NETADDR_TEXT_SIZE];

	netaddr_host_text((const struct sockaddr *)&h->private, addr);
	(void)snprintf(words, HOST_WORDS_SIZE,
	    "has only private addresses; if %s is meant: `allow private %s`",
	    addr, addr);
}

/* Records and data in a piece of memory of its own. */
static struct dns_answer *
copy_answer(const struct dns_answer *from)
{
	size_t head = sizeof(*from) + from->count * sizeof(from->record[0]);
	struct dns_answer *to = xcalloc(1, head + from->count * 16);
	uint8_t *bytes = (uint8_t *)to + head;

	memcpy(to, from, head);
	for (size_t i = 0; i < from->count; i++) {
		memcpy(bytes + i * 16, from->record[i].data,
		    from->record[i].len);
		to->record[i].data = bytes + i * 16;
	}
	return to;
}

static void
finish(struct look *k)
{
	struct host_addrs h;

	if (k->a == NULL || k->aaaa == NULL)
		return;
	merge(&h, k->a, k->aaaa, k->allow);
	k->cb(k->arg, &h);
	free(k->a);
	free(k->aaaa);
	free(k);
}

static void
on_a(void *arg, const struct dns_answer *answer)
{
	struct look *k = arg;

	k->a = copy_answer(answer);
	finish(k);
}

static void
on_aaaa(void *arg, const struct dns_answer *answer)
{
	struct look *k = arg;

	k->aaaa = copy_answer(answer);
	finish(k);
}

void
host_ask(struct dns *dns, const char *name, const struct host_allow *allow,
    host_cb *cb, void *arg)
{
	struct look *k = xcalloc(1, sizeof(*k));

	k->allow = allow;
	k->cb = cb;
	k->arg = arg;
	dns_ask(dns, name, DNS_AAAA, on_aaaa, k);
	dns_ask(dns, name, DNS_A, on_a, k);
}
