#include "smtpd/netaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <stdio.h>
#include <string.h>

#include "tests/t.h"

static struct sockaddr_storage
addr(const char *text)
{
	struct sockaddr_storage ss;
	const char *why = NULL;

	t_int(netaddr_parse(&ss, text, 25, &why), 0);
	return ss;
}

#define SA(ss) ((const struct sockaddr *)&(ss))

/* clang-format off */
static const struct {
	const char *text;
	bool is_private;
} privates[] = {
	{ "0.0.0.0", true }, { "0.255.255.255", true }, { "1.0.0.0", false },
	{ "9.255.255.255", false }, { "10.0.0.0", true },
	{ "10.255.255.255", true }, { "11.0.0.0", false },
	{ "100.63.255.255", false }, { "100.64.0.0", true },
	{ "100.127.255.255", true }, { "100.128.0.0", false },
	{ "126.255.255.255", false }, { "127.0.0.1", true },
	{ "127.255.255.255", true }, { "128.0.0.0", false },
	{ "169.253.255.255", false }, { "169.254.0.0", true },
	{ "169.254.169.254", true }, { "169.255.0.0", false },
	{ "172.15.255.255", false }, { "172.16.0.0", true },
	{ "172.31.255.255", true }, { "172.32.0.0", false },
	{ "192.167.255.255", false }, { "192.168.0.0", true },
	{ "192.168.255.255", true }, { "192.169.0.0", false },
	{ "192.0.2.1", false }, { "198.51.100.1", false },
	{ "203.0.113.1", false },
	{ "223.255.255.255", false }, { "224.0.0.0", true },
	{ "239.1.2.3", true }, { "240.0.0.1", true },
	{ "255.255.255.255", true },
	{ "::", true }, { "::1", true }, { "2001:db8::1", false },
	{ "2a00::1", false },
	{ "fbff:ffff::1", false }, { "fc00::", true }, { "fdff::1", true },
	{ "fe00::1", false }, { "fe7f:ffff::1", false }, { "fe80::", true },
	{ "febf:ffff::1", true }, { "fec0::1", true }, { "ff00::", true },
	{ "ff02::1", true }, { "ffff::1", true },
	/* IPv4-mapped */
	{ "::ffff:127.0.0.1", true }, { "::ffff:10.1.2.3", true },
	{ "::ffff:0.0.0.0", true }, { "::ffff:192.0.2.1", false },
	{ "::ffff:100.64.1.1", true }, { "::ffff:224.0.0.1", true },
	{ "::fffe:127.0.0.1", false },
	/* IPv4-compatible */
	{ "::127.0.0.1", true }, { "::192.0.2.1", false },
	/* NAT64, RFC 6052 and RFC 8215 */
	{ "64:ff9b::127.0.0.1", true }, { "64:ff9b::192.168.1.1", true },
	{ "64:ff9b::169.254.169.254", true }, { "64:ff9b::192.0.2.1", false },
	{ "64:ff9b::255.255.255.255", true }, { "64:ff9b:1::192.0.2.1", true },
	{ "64:ff9b:0:0:0:1:7f00:1", false }, { "64:ff9a::127.0.0.1", false },
	/* 6to4, RFC 3056 */
	{ "2002:7f00:1::1", true }, { "2002:a00:1::", true },
	{ "2002:c0a8:101::1", true }, { "2002:a9fe:1::1", true },
	{ "2002:c000:201::1", false }, { "2002:e000:1::", true },
	{ "2003:7f00:1::1", false },
};

static const struct {
	const char *net;
	const char *text; /* NULL: refused */
} nets[] = {
	{ "10.0.0.0/8", "10.0.0.0/8" }, { "0.0.0.0/0", "0.0.0.0/0" },
	{ "192.0.2.1", "192.0.2.1/32" }, { "192.0.2.1/32", "192.0.2.1/32" },
	{ "192.0.2.128/25", "192.0.2.128/25" }, { "::/0", "::/0" },
	{ "::1", "::1/128" }, { "[::1]", "::1/128" },
	{ "2001:DB8::/32", "2001:db8::/32" },
	{ "2001:db8:8000::/33", "2001:db8:8000::/33" },
	{ "::ffff:10.0.0.0/104", "10.0.0.0/8" },
	{ "::ffff:0.0.0.0/96", "0.0.0.0/0" },
	{ "10.0.0.1/8", NULL }, { "192.0.2.129/25", NULL },
	{ "2001:db8::1/32", NULL }, { "10.0.0.0/33", NULL },
	{ "::/129", NULL }, { "10.0.0.0/", NULL }, { "10.0.0.0/-1", NULL },
	{ "10.0.0.0/ 8", NULL }, { "10.0.0.0/+8", NULL },
	{ "10.0.0.0/8/8", NULL }, { "10.0.0.0/08x", NULL },
	{ "10.0.0.0/9999999999", NULL },
	{ "10.0.0/8", NULL }, { "10/8", NULL }, { "010.0.0.1", NULL },
	{ "", NULL }, { "/8", NULL }, { "[]", NULL }, { "fe80::1%eth0", NULL },
	{ "example.org", NULL }, { "1.2.3.4.5", NULL }, { ":::", NULL },
	{ "::ffff:1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18", NULL },
};

static const struct {
	const char *net;
	const char *addr;
	bool has;
} matches[] = {
	{ "10.0.0.0/8", "10.255.0.1", true },
	{ "10.0.0.0/8", "11.0.0.1", false },
	{ "10.0.0.0/8", "::ffff:10.0.0.1", true },
	{ "10.0.0.0/8", "64:ff9b::10.0.0.1", false },
	{ "192.0.2.128/25", "192.0.2.128", true },
	{ "192.0.2.128/25", "192.0.2.127", false },
	{ "0.0.0.0/0", "203.0.113.9", true }, { "0.0.0.0/0", "::1", false },
	{ "::/0", "2001:db8::1", true }, { "::/0", "192.0.2.1", false },
	{ "::/0", "::ffff:192.0.2.1", true },
	{ "::ffff:10.0.0.0/104", "10.1.1.1", true },
	{ "2001:db8::/33", "2001:db8:7fff::1", true },
	{ "2001:db8::/33", "2001:db8:8000::1", false },
	{ "::1", "::1", true }, { "::1", "::2", false },
	{ "127.0.0.0/8", "::1", false },
};

static const struct {
	const char *allow; /* one network */
	const char *addr;
	bool may;
} connects[] = {
	{ "10.0.0.0/8", "192.0.2.1", true },
	{ "10.0.0.0/8", "10.1.2.3", true },
	{ "10.0.0.0/8", "127.0.0.1", false },
	{ "10.0.0.0/8", "::ffff:10.1.2.3", true },
	{ "10.0.0.0/8", "64:ff9b::10.1.2.3", true },
	{ "10.0.0.0/8", "64:ff9b::192.168.0.1", false },
	{ "10.0.0.0/8", "2002:a01:203::1", false },
	{ "2002:a00::/24", "2002:a01:203::1", true },
	{ "fc00::/7", "fd00::1", true }, { "fc00::/7", "fe80::1", false },
};
/* clang-format on */

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

static void
test_ranges(void)
{
	struct sockaddr other = { .sa_family = AF_UNIX };

	t_case("private addresses: every range, its ends and the neighbours");
	for (size_t i = 0; i < nitems(privates); i++) {
		struct sockaddr_storage ss = addr(privates[i].text);

		t_row("%s", privates[i].text);
		t_int(netaddr_is_private(SA(ss)), privates[i].is_private);
	}
	t_row("AF_UNIX");
	t_true(netaddr_is_private(&other));
	t_row(NULL);
	t_case("allow private: holds IPv4-mapped and NAT64 forms too");
	for (size_t i = 0; i < nitems(connects); i++) {
		struct sockaddr_storage ss = addr(connects[i].addr);
		struct netaddr_net net;
		const char *why = NULL;

		t_row("%s, allow %s", connects[i].addr, connects[i].allow);
		t_int(netaddr_net_parse(&net, connects[i].allow, &why), 0);
		t_int(netaddr_may_connect(&net, 1, SA(ss)), connects[i].may);
	}
	t_row("nothing allowed");
	t_true(!netaddr_may_connect(NULL, 0, &other));
	t_row(NULL);
}

static const char *
net_text(const struct netaddr_net *net, char buf[NETADDR_TEXT_SIZE])
{
	char text[INET6_ADDRSTRLEN];

	(void)snprintf(buf, NETADDR_TEXT_SIZE, "%s/%u",
	    inet_ntop(net->family, net->bytes, text, sizeof text), net->bits);
	return buf;
}

static void
test_nets(void)
{
	char buf[NETADDR_TEXT_SIZE];
	struct netaddr_net net;
	const char *why;

	t_case("networks: what is accepted, and read back");
	for (size_t i = 0; i < nitems(nets); i++) {
		int r;

		why = NULL;
		t_row("%s", nets[i].net);
		r = netaddr_net_parse(&net, nets[i].net, &why);
		t_int(r, nets[i].text != NULL ? 0 : -1);
		t_true((r == -1) == (why != NULL));
		if (r == 0)
			t_str(net_text(&net, buf), nets[i].text);
	}
	t_row(NULL);
	t_case("networks: which addresses they hold");
	for (size_t i = 0; i < nitems(matches); i++) {
		struct sockaddr_storage ss = addr(matches[i].addr);

		t_row("%s in %s", matches[i].addr, matches[i].net);
		t_int(netaddr_net_parse(&net, matches[i].net, &why), 0);
		t_int(netaddr_net_has(&net, SA(ss)), matches[i].has);
		t_int(netaddr_in(&net, 1, SA(ss)), matches[i].has);
	}
	t_row(NULL);
}

static void
test_text(void)
{
	/* clang-format off */
	static const struct {
		const char *in, *text, *host, *literal;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1:25", "192.0.2.1", "[192.0.2.1]" },
		{ "2001:db8::1", "[2001:db8::1]:25", "2001:db8::1",
		    "[IPv6:2001:db8::1]" },
		{ "::ffff:192.0.2.1", "192.0.2.1:25", "192.0.2.1",
		    "[192.0.2.1]" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:25",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		    "[IPv6:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]" },
	};
	/* clang-format on */
	struct sockaddr other = { .sa_family = AF_UNIX };
	char buf[NETADDR_TEXT_SIZE];

	t_case("text: with port, without, and as literal (RFC 5321 4.1.3)");
	for (size_t i = 0; i < nitems(rows); i++) {
		struct sockaddr_storage ss = addr(rows[i].in);

		t_str(netaddr_text(SA(ss), buf), rows[i].text);
		t_str(netaddr_host_text(SA(ss), buf), rows[i].host);
		t_str(netaddr_literal(SA(ss), buf), rows[i].literal);
		t_int(netaddr_port(SA(ss)), 25);
	}
	t_str(netaddr_text(&other, buf), "unknown");
}

static void
test_hosts(void)
{
	struct sockaddr_storage a = addr("127.0.0.1");
	struct sockaddr_storage b = addr("::ffff:127.0.0.1");
	struct sockaddr_storage c = addr("::1");
	struct sockaddr_storage d = addr("[::1]");
	struct sockaddr_storage out = addr("126.255.255.255");

	t_case("hosts: same and loopback, IPv4-mapped or not");
	t_true(netaddr_same_host(SA(a), SA(b)));
	t_true(!netaddr_same_host(SA(a), SA(c)));
	t_true(netaddr_same_host(SA(c), SA(d)));
	t_true(netaddr_is_loopback(SA(a)));
	t_true(netaddr_is_loopback(SA(b)));
	t_true(netaddr_is_loopback(SA(c)));
	t_true(!netaddr_is_loopback(SA(out)));
}

int
main(void)
{
	test_ranges();
	test_nets();
	test_text();
	test_hosts();
	return t_done();
}
