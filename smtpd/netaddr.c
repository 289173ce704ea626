#include "smtpd/netaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A range that is not part of the public Internet. */
struct range {
	uint8_t bytes[16];
	unsigned bits;
};

/* clang-format off */
static const struct range private4[] = {
	{ { 0 }, 8 },		/* this network, RFC 791 3.2 */
	{ { 10 }, 8 },		/* RFC 1918 */
	{ { 100, 64 }, 10 },	/* shared, RFC 6598 */
	{ { 127 }, 8 },		/* loopback, RFC 1122 3.2.1.3 */
	{ { 169, 254 }, 16 },	/* link-local, RFC 3927 */
	{ { 172, 16 }, 12 },	/* RFC 1918 */
	{ { 192, 168 }, 16 },	/* RFC 1918 */
	{ { 224 }, 3 },		/* multicast and reserved, RFC 1112 4 */
};

static const struct range private6[] = {
	{ { 0 }, 128 },					/* unspecified */
	{ { [15] = 1 }, 128 },				/* loopback */
	{ { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48 },	/* RFC 8215 */
	{ { 0xfc }, 7 },				/* RFC 4193 */
	{ { 0xfe, 0x80 }, 10 },				/* link-local */
	{ { 0xfe, 0xc0 }, 10 },				/* RFC 3879 */
	{ { 0xff }, 8 },				/* multicast */
};

/* IPv6 prefixes behind which an IPv4 address stands. */
static const struct range mapped = { { [10] = 0xff, 0xff }, 96 };
static const struct range compatible = { { 0 }, 96 };
static const struct range nat64 = { { 0x00, 0x64, 0xff, 0x9b }, 96 };
static const struct range sixto4 = { { 0x20, 0x02 }, 16 };
/* clang-format on */

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

/* The address alone. */
struct host {
	sa_family_t family; /* AF_UNSPEC for what is no IP address */
	uint8_t bytes[16];
};

static bool
prefix_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	size_t whole = bits / 8;
	unsigned mask;

	if (memcmp(a, b, whole) != 0)
		return false;
	if (bits % 8 == 0)
		return true;
	mask = 0xff00u >> (bits % 8);
	return ((a[whole] ^ b[whole]) & mask & 0xff) == 0;
}

static bool
in_range(const struct host *h, const struct range *r)
{
	return prefix_equal(h->bytes, r->bytes, r->bits);
}

/* Copied out: a sockaddr may be less aligned than what it holds. */
static struct host
raw_host(const struct sockaddr *sa)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;
	struct host h = { .family = AF_UNSPEC };

	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof in);
		h.family = AF_INET;
		memcpy(h.bytes, &in.sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof in6);
		h.family = AF_INET6;
		memcpy(h.bytes, &in6.sin6_addr, 16);
	}
	return h;
}

/* The IPv4 address that stands at "at" in an IPv6 one. */
static struct host
inner_host(const struct host *h, size_t at)
{
	struct host v4 = { .family = AF_INET };

	memcpy(v4.bytes, h->bytes + at, 4);
	return v4;
}

/* With IPv4-mapped addresses taken as what they are: IPv4. */
static struct host
plain_host(const struct sockaddr *sa)
{
	struct host h = raw_host(sa);

	if (h.family == AF_INET6 && in_range(&h, &mapped))
		return inner_host(&h, 12);
	return h;
}

static bool
is_private4(const struct host *h)
{
	for (size_t i = 0; i < nitems(private4); i++)
		if (in_range(h, &private4[i]))
			return true;
	return false;
}

static bool
is_private6(const struct host *h)
{
	struct host inner;

	for (size_t i = 0; i < nitems(private6); i++)
		if (in_range(h, &private6[i]))
			return true;
	if (in_range(h, &mapped) || in_range(h, &compatible) ||
	    in_range(h, &nat64)) {
		inner = inner_host(h, 12);
		return is_private4(&inner);
	}
	if (in_range(h, &sixto4)) {
		inner = inner_host(h, 2);
		return is_private4(&inner);
	}
	return false;
}

bool
netaddr_is_private(const struct sockaddr *sa)
{
	struct host h = raw_host(sa);

	if (h.family == AF_INET)
		return is_private4(&h);
	if (h.family == AF_INET6)
		return is_private6(&h);
	return true;
}

bool
netaddr_is_loopback(const struct sockaddr *sa)
{
	struct host h = plain_host(sa);

	if (h.family == AF_INET)
		return h.bytes[0] == 127;
	return h.family == AF_INET6 && in_range(&h, &private6[1]);
}

static bool
net_has_host(const struct netaddr_net *net, const struct host *h)
{
	return net->family == h->family &&
	    prefix_equal(h->bytes, net->bytes, net->bits);
}

bool
netaddr_net_has(const struct netaddr_net *net, const struct sockaddr *sa)
{
	struct host plain = plain_host(sa);
	struct host raw = raw_host(sa);

	return net_has_host(net, &plain) || net_has_host(net, &raw);
}

bool
netaddr_in(const struct netaddr_net *nets, size_t n, const struct sockaddr *sa)
{
	for (size_t i = 0; i < n; i++)
		if (netaddr_net_has(&nets[i], sa))
			return true;
	return false;
}

bool
netaddr_may_connect(const struct netaddr_net *allow, size_t n,
    const struct sockaddr *sa)
{
	struct host h, inner;

	if (!netaddr_is_private(sa) || netaddr_in(allow, n, sa))
		return true;
	h = raw_host(sa);
	if (h.family != AF_INET6 || !in_range(&h, &nat64))
		return false;
	inner = inner_host(&h, 12);
	for (size_t i = 0; i < n; i++)
		if (net_has_host(&allow[i], &inner))
			return true;
	return false;
}

static int
parse_host(struct host *h, const char *text, size_t len, const char **why)
{
	char copy[INET6_ADDRSTRLEN];

	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof copy) {
		*why = "not an IP address";
		return -1;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	memset(h, 0, sizeof *h);
	h->family = strchr(copy, ':') != NULL ? AF_INET6 : AF_INET;
	if (strlen(copy) != len || inet_pton(h->family, copy, h->bytes) != 1) {
		*why = "not an IP address";
		return -1;
	}
	return 0;
}

int
netaddr_parse(struct sockaddr_storage *out, const char *text, uint16_t port,
    const char **why)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct host h;

	memset(out, 0, sizeof *out);
	if (parse_host(&h, text, strlen(text), why) == -1)
		return -1;
	if (h.family == AF_INET) {
		in.sin_port = htons(port);
		memcpy(&in.sin_addr, h.bytes, 4);
		memcpy(out, &in, sizeof in);
	} else {
		in6.sin6_port = htons(port);
		memcpy(&in6.sin6_addr, h.bytes, 16);
		memcpy(out, &in6, sizeof in6);
	}
	return 0;
}

/* No bit may be set behind the prefix. */
static bool
bits_fit(const struct host *h, unsigned bits)
{
	size_t size = h->family == AF_INET ? 4 : 16;

	for (size_t i = 0; i < size; i++) {
		unsigned keep = bits >= 8 ? 8 : bits;

		if ((h->bytes[i] & (0xffu >> keep)) != 0)
			return false;
		bits -= keep;
	}
	return true;
}

int
netaddr_net_parse(struct netaddr_net *out, const char *text, const char **why)
{
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	const char *errstr;
	struct host h;
	unsigned max;

	memset(out, 0, sizeof *out);
	if (parse_host(&h, text, len, why) == -1)
		return -1;
	max = h.family == AF_INET ? 32 : 128;
	out->bits = max;
	if (slash != NULL) {
		/* strtonum(3) would take a sign and blanks too. */
		if (slash[1] < '0' || slash[1] > '9' || strlen(slash) > 4) {
			*why = "the prefix length is not a number";
			return -1;
		}
		out->bits = (unsigned)strtonum(slash + 1, 0, max, &errstr);
		if (errstr != NULL) {
			*why = "the prefix is longer than the address";
			return -1;
		}
	}
	if (!bits_fit(&h, out->bits)) {
		*why = "bits are set behind the prefix";
		return -1;
	}
	if (h.family == AF_INET6 && out->bits >= 96 && in_range(&h, &mapped)) {
		h = inner_host(&h, 12);
		out->bits -= 96;
	}
	out->family = h.family;
	memcpy(out->bytes, h.bytes, sizeof out->bytes);
	return 0;
}

bool
netaddr_same_host(const struct sockaddr *a, const struct sockaddr *b)
{
	struct host ha = plain_host(a), hb = plain_host(b);

	return ha.family != AF_UNSPEC && ha.family == hb.family &&
	    memcmp(ha.bytes, hb.bytes, sizeof ha.bytes) == 0;
}

uint16_t
netaddr_port(const struct sockaddr *sa)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof in);
		return ntohs(in.sin_port);
	}
	if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof in6);
		return ntohs(in6.sin6_port);
	}
	return 0;
}

static const char *
host_text(const struct host *h, char buf[INET6_ADDRSTRLEN])
{
	if (h->family == AF_UNSPEC ||
	    inet_ntop(h->family, h->bytes, buf, INET6_ADDRSTRLEN) == NULL)
		(void)strlcpy(buf, "unknown", INET6_ADDRSTRLEN);
	return buf;
}

const char *
netaddr_text(const struct sockaddr *sa, char buf[NETADDR_TEXT_SIZE])
{
	struct host h = plain_host(sa);
	char text[INET6_ADDRSTRLEN];
	bool v6 = h.family == AF_INET6;

	if (h.family == AF_UNSPEC)
		return host_text(&h, buf);
	(void)snprintf(buf, NETADDR_TEXT_SIZE, "%s%s%s:%u", v6 ? "[" : "",
	    host_text(&h, text), v6 ? "]" : "", netaddr_port(sa));
	return buf;
}

const char *
netaddr_host_text(const struct sockaddr *sa, char buf[NETADDR_TEXT_SIZE])
{
	struct host h = plain_host(sa);

	return host_text(&h, buf);
}

const char *
netaddr_literal(const struct sockaddr *sa, char buf[NETADDR_TEXT_SIZE])
{
	struct host h = plain_host(sa);
	char text[INET6_ADDRSTRLEN];

	(void)snprintf(buf, NETADDR_TEXT_SIZE, "[%s%s]",
	    h.family == AF_INET6 ? "IPv6:" : "", host_text(&h, text));
	return buf;
}
