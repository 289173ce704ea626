#include "smtpd/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))
#define L10 "aaaaaaaaaa"
#define L60 L10 L10 L10 L10 L10 L10
#define U8 ADDRESS_UTF8

/* clang-format off */
static const struct {
	const char *in;
	unsigned accept;
	const char *text; /* NULL: refused */
} mailboxes[] = {
	{ "user@example.org", 0, "user@example.org" },
	{ "User.Name+tag@EXAMPLE.Org", 0, "User.Name+tag@example.org" },
	{ "a@b", 0, "a@b" }, { "a@b-c.d3", 0, "a@b-c.d3" },
	{ "a@3com.com", 0, "a@3com.com" },
	{ "a@xn--mnchen-3ya.de", 0, "a@xn--mnchen-3ya.de" },
	{ "!#$%&'*+-/=?^_`{|}~@example.org", 0,
	    "!#$%&'*+-/=?^_`{|}~@example.org" },
	{ "\"a b\"@example.org", 0, "\"a b\"@example.org" },
	{ "\"a@b\"@example.org", 0, "\"a@b\"@example.org" },
	{ "\"a\\\"b\\\\\"@example.org", 0, "\"a\\\"b\\\\\"@example.org" },
	{ "\"\"@example.org", 0, "\"\"@example.org" },
	{ "\"<>,;:\"@example.org", 0, "\"<>,;:\"@example.org" },
	/* dots */
	{ ".a@example.org", 0, NULL }, { "a.@example.org", 0, NULL },
	{ "a..b@example.org", 0, NULL }, { ".@example.org", 0, NULL },
	/* no part may lack */
	{ "", 0, NULL }, { "@example.org", 0, NULL }, { "user@", 0, NULL },
	{ "user", 0, NULL }, { "@", 0, NULL },
	{ "", ADDRESS_NULL, "" }, { "", ADDRESS_BARE, NULL },
	{ "root", ADDRESS_BARE, "root" },
	{ "\"a@b\"", ADDRESS_BARE, "\"a@b\"" },
	{ "root@", ADDRESS_BARE, NULL },
	/* quotes */
	{ "\"a@example.org", 0, NULL }, { "\"a\\\"@example.org", 0, NULL },
	{ "a\"b\"@example.org", 0, NULL }, { "\"a\"b@example.org", 0, NULL },
	{ "\"a\".b@example.org", 0, NULL }, { "\"", ADDRESS_BARE, NULL },
	{ "\"\\", ADDRESS_BARE, NULL },
	/* wrong characters */
	{ "a b@example.org", 0, NULL }, { " a@example.org", 0, NULL },
	{ "a@example.org ", 0, NULL }, { "a@exa mple.org", 0, NULL },
	{ "a@b@example.org", 0, NULL }, { "a,b@example.org", 0, NULL },
	{ "<a@example.org>", 0, NULL }, { "a(b)@example.org", 0, NULL },
	{ "a\\b@example.org", 0, NULL }, { "a@example.org\r", 0, NULL },
	{ "a\r\nRCPT TO:<b@example.org>@example.org", 0, NULL },
	{ "\"a\r\nb\"@example.org", 0, NULL }, /* MimeKit GHSA-g7hc-96xr-gvvx */
	{ "\"a\tb\"@example.org", 0, NULL }, { "a@example.org\n", 0, NULL },
	{ "\"a\x7f\"@example.org", 0, NULL },
	/* domains */
	{ "a@-b.org", 0, NULL }, { "a@b-.org", 0, NULL },
	{ "a@b..org", 0, NULL }, { "a@.b.org", 0, NULL },
	{ "a@b.org.", 0, NULL }, { "a@b_c.org", 0, NULL },
	{ "a@b/c.org", 0, NULL }, { "a@*.org", 0, NULL },
	{ "a@192.0.2.1", 0, NULL }, { "a@example.123", 0, NULL },
	{ "a@2130706433", 0, NULL },
	/* literals, RFC 5321 4.1.3 */
	{ "a@[192.0.2.1]", 0, "a@[192.0.2.1]" },
	{ "a@[IPv6:2001:DB8::1]", 0, "a@[IPv6:2001:db8::1]" },
	{ "a@[ipv6:::1]", 0, "a@[IPv6:::1]" },
	{ "a@[2001:db8::1]", 0, NULL }, { "a@[192.0.2]", 0, NULL },
	{ "a@[192.0.2.1", 0, NULL }, { "a@[]", 0, NULL }, { "a@[", 0, NULL },
	{ "a@[IPv6:]", 0, NULL }, { "a@[x400:foo]", 0, NULL },
	{ "a@[192.0.2.1]x", 0, NULL }, { "a@[192.0.2.1].org", 0, NULL },
	{ "a@[fe80::1%eth0]", 0, NULL }, { "a@[IPv6:fe80::1%eth0]", 0, NULL },
	/* lengths, RFC 5321 4.5.3.1 */
	{ L60 "aaaa@example.org", 0, L60 "aaaa@example.org" },
	{ L60 "aaaaa@example.org", 0, NULL },
	{ "a@" L60 "aaa.org", 0, "a@" L60 "aaa.org" },
	{ "a@" L60 "aaaa.org", 0, NULL },
	{ "a@" L60 "." L60 "." L60 "." L60 ".aaaaaaaa", 0, /* 252 */
	    "a@" L60 "." L60 "." L60 "." L60 ".aaaaaaaa" },
	{ "a@" L60 "." L60 "." L60 "." L60 ".aaaaaaaaa", 0, NULL },
	/* SMTPUTF8, RFC 6531 */
	{ "jürgen@example.org", 0, NULL },
	{ "jürgen@example.org", U8, "jürgen@example.org" },
	{ "\"j ü\"@example.org", U8, "\"j ü\"@example.org" },
	{ "user@münchen.example", 0, NULL },
	{ "user@münchen.example", U8, "user@xn--mnchen-3ya.example" },
	{ "чебурашка@ПРИМЕР.испытание", U8,
	    "чебурашка@xn--e1afmkfd.xn--80akhbyknj4f" },
	{ "a\xff@example.org", U8, NULL }, { "a@\xc3.org", U8, NULL },
	{ "a\xc3\x28@example.org", U8, NULL },
	{ "a\xc0\x80@example.org", U8, NULL }, /* NUL in two bytes */
	{ "a\xc2\x85@example.org", U8, NULL }, /* C1: next line */
	{ "a@mu\xcc\x88nchen.de", U8, NULL },
	{ "a@ü_b.org", U8, NULL }, { "a@-ü.org", U8, NULL },
};

static const struct {
	const char *in;
	unsigned accept;
	const char *text; /* NULL: refused */
	const char *rest;
} paths[] = {
	{ "<a@example.org>", 0, "a@example.org", "" },
	{ "<a@example.org> SIZE=10", 0, "a@example.org", " SIZE=10" },
	{ "<>", ADDRESS_NULL, "", "" }, { "<>", 0, NULL, NULL },
	{ "<> BODY=8BITMIME", ADDRESS_NULL, "", " BODY=8BITMIME" },
	{ "<Postmaster>", ADDRESS_BARE, "Postmaster", "" },
	{ "<\"a>b\"@example.org>x", 0, "\"a>b\"@example.org", "x" },
	{ "<\"a\\\">b\"@example.org>", 0, "\"a\\\">b\"@example.org", "" },
	/* source routes, RFC 5321 4.1.1.3 */
	{ "<@a.org:u@b.org>", 0, "u@b.org", "" },
	{ "<@a.org,@c.org:u@b.org>", 0, "u@b.org", "" },
	{ "<@a.org,@c.org:>", ADDRESS_NULL, NULL, NULL },
	{ "<@a.org:root>", ADDRESS_BARE, NULL, NULL },
	{ "<@a.org>", 0, NULL, NULL }, { "<@:u@b.org>", 0, NULL, NULL },
	{ "<@a.org,c.org:u@b.org>", 0, NULL, NULL },
	{ "<@a.org,:u@b.org>", 0, NULL, NULL },
	{ "<@a b:u@b.org>", 0, NULL, NULL },
	{ "", 0, NULL, NULL }, { "<", 0, NULL, NULL }, { ">", 0, NULL, NULL },
	{ "a@example.org", 0, NULL, NULL }, { "<a@example.org", 0, NULL, NULL },
	{ " <a@example.org>", 0, NULL, NULL },
	{ "< a@example.org>", 0, NULL, NULL },
	{ "<<a@example.org>>", 0, NULL, NULL },
	{ "<a@example.org\r\n>", 0, NULL, NULL },
	{ "<\"a@example.org>", 0, NULL, NULL },
};
/* clang-format on */

static void
test_tables(void)
{
	struct address a;
	const char *why;

	t_case("mailbox: what is one, and its form (RFC 5321 4.1.2, 4.1.3)");
	for (size_t i = 0; i < nitems(mailboxes); i++) {
		const char *in = mailboxes[i].in;
		int r;

		why = NULL;
		t_row("%s", in);
		r = address_parse(&a, in, strlen(in), mailboxes[i].accept,
		    &why);
		t_str(r == 0 ? a.text : NULL, mailboxes[i].text);
		t_true((r == -1) == (why != NULL));
	}
	t_row(NULL);
	t_case("path: angle brackets, what follows, source routes");
	for (size_t i = 0; i < nitems(paths); i++) {
		const char *in = paths[i].in;
		int r;

		why = NULL;
		t_row("%s", in);
		r = address_parse_path(&a, in, strlen(in), paths[i].accept,
		    &why);
		t_str(r != -1 ? a.text : NULL, paths[i].text);
		t_str(r != -1 ? in + r : NULL, paths[i].rest);
		t_true((r == -1) == (why != NULL));
	}
	t_row(NULL);
}

static void
test_parts(void)
{
	struct address a;
	const char *why = NULL;
	const char *in = "J\xc3\xbcrgen@B\xc3\xbc"
			 "CHER.example";

	t_case("parts: local part kept, domain as key, needs told");
	t_int(address_parse(&a, in, strlen(in), U8, &why), 0);
	t_str(a.local, "J\xc3\xbcrgen");
	t_str(a.domain, "xn--bcher-kva.example");
	t_true(a.needs_utf8);
	t_true(!a.is_literal);
	in = "user@b\xc3\xbc"
	     "cher.example";
	t_int(address_parse(&a, in, strlen(in), U8, &why), 0);
	t_true(!a.needs_utf8);
	t_int(address_parse(&a, "u@[192.0.2.1]", 13, 0, &why), 0);
	t_true(a.is_literal);
	t_case("parts: a bare name is given a domain");
	t_int(address_parse(&a, "root", 4, ADDRESS_BARE, &why), 0);
	t_str(a.domain, "");
	t_int(address_qualify(&a, "Relay.Example.ORG", &why), 0);
	t_str(a.text, "root@relay.example.org");
	t_int(address_qualify(&a, "other.example", &why), 0);
	t_str(a.text, "root@relay.example.org");
	t_int(address_parse(&a, "root", 4, ADDRESS_BARE, &why), 0);
	t_int(address_qualify(&a, "not a name", &why), -1);
	t_str(a.text, "root");
}

static void
test_every_byte(void)
{
	char in[] = "aXb@example.org", path[] = "<aXb@example.org>";
	char quoted[] = "\"aXb\"@example.org", domain[] = "a@eXe.org";
	static const char atext[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"
				    "QRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~.";
	struct address a;
	const char *why;

	t_case("every byte value in each place, with and without SMTPUTF8");
	for (int c = 0; c < 256; c++) {
		bool plain = c != 0 && strchr(atext, c) != NULL;
		bool text = c >= 0x20 && c < 0x7f && c != '"';
		bool label = c == '.' || c == '-' ||
		    (plain && strchr("!#$%&'*+/=?^_`{|}~", c) == NULL);

		in[1] = path[2] = quoted[2] = domain[3] = (char)c;
		t_row("byte %d", c);
		for (unsigned accept = 0; accept <= U8; accept++) {
			t_int(address_parse(&a, in, sizeof in - 1, accept,
				  &why),
			    plain ? 0 : -1);
			t_int(address_parse(&a, quoted, sizeof quoted - 1,
				  accept, &why),
			    text ? 0 : -1);
			t_int(address_parse(&a, domain, sizeof domain - 1,
				  accept, &why),
			    label ? 0 : -1);
			t_int(address_parse_path(&a, path, sizeof path - 1,
				  accept, &why),
			    plain ? (int)sizeof path - 1 : -1);
		}
	}
	t_row(NULL);
}

static void
test_hostile(void)
{
	size_t size = 65536 + 16;
	char *big = malloc(size);
	struct address a;
	const char *why;

	t_case("hostile: 64 KB of anything is refused in bounded time");
	for (int c = 1; c < 256; c++) {
		memset(big, c, size);
		t_row("byte %d", c);
		t_int(address_parse(&a, big, size, U8, &why), -1);
		memcpy(big + 65536, "@example.org>", 13);
		t_int(address_parse(&a, big, 65536 + 12, U8, &why), -1);
		big[0] = '<';
		t_int(address_parse_path(&a, big, 65536 + 13, U8, &why), -1);
		memcpy(big, "a@", 2);
		t_int(address_parse(&a, big, 65536, U8, &why), -1);
	}
	t_row("source route of 64 KB");
	for (size_t i = 0; i + 3 < size; i += 3)
		memcpy(big + i, i == 0 ? "<@a" : ",@a", 3);
	t_int(address_parse_path(&a, big, size, U8, &why), -1);
	t_row(NULL);
	free(big);
}

static void
test_xtext(void)
{
	/* clang-format off */
	static const struct { const char *plain, *xtext; } rows[] = {
		{ "user@example.org", "user@example.org" },
		{ "a+b=c", "a+2Bb+3Dc" }, { "a b", "a+20b" }, { "", "" },
		{ "\xc3\xbc", "+C3+BC" },
	};
	static const char *const bad[] = {
		"a b", "a=b", "+", "+4", "+4g", "+4a", "+0D+0A", "+00", "a+7F",
		"\xc3\xbc", "a\x7f", "a\r\n", "+1", "++41",
	};
	/* clang-format on */
	char out[64], back[64];

	t_case("xtext: there and back (RFC 3461 4)");
	for (size_t i = 0; i < nitems(rows); i++) {
		t_row("%s", rows[i].plain);
		t_int(address_xtext_encode(out, sizeof out, rows[i].plain,
			  strlen(rows[i].plain)),
		    (int)strlen(rows[i].xtext));
		t_str(out, rows[i].xtext);
		t_int(address_xtext_decode(back, sizeof back, out, strlen(out)),
		    (int)strlen(rows[i].plain));
		t_str(back, rows[i].plain);
	}
	t_case("xtext: malformed, or hiding a control character, is refused");
	for (size_t i = 0; i < nitems(bad); i++) {
		t_row("%s", bad[i]);
		t_int(address_xtext_decode(out, sizeof out, bad[i],
			  strlen(bad[i])),
		    -1);
	}
	t_row(NULL);
	t_case("xtext: what does not fit is refused");
	t_int(address_xtext_encode(out, 4, "abcd", 4), -1);
	t_int(address_xtext_encode(out, 5, "abcd", 4), 4);
	t_int(address_xtext_encode(out, 3, "=", 1), -1);
	t_int(address_xtext_encode(out, 0, "", 0), -1);
	t_int(address_xtext_decode(out, 4, "abcd", 4), -1);
	t_int(address_xtext_decode(out, 5, "abcd", 4), 4);
}

int
main(void)
{
	test_tables();
	test_parts();
	test_every_byte();
	test_hostile();
	test_xtext();
	return t_done();
}
