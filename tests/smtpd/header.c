#include "smtpd/header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))
#define NOW 1795487579 /* Tue, 24 Nov 2026 02:32:59 UTC */

/* clang-format off */
static const struct {
	const char *text;
	unsigned received;
	const char *facts; /* f from, d date, m message-id, 8 header, b body */
	bool no_blank_line;
	const char *body;
	size_t line_max;
} scans[] = {
	{ "From: a\r\nDate: b\r\nMessage-ID: c\r\n\r\nbody\r\n", 0, "fdm",
	  false, "body\r\n", 13 },
	{ "from: a\ndate: b\nmessage-id: c\n\nbody\n", 0, "fdm", false,
	  "body\n", 13 },
	{ "FROM : a\r\nDate\t: b\r\n\r\n", 0, "fd", false, "", 8 },
	{ "Received: x\r\nReceived: y\r\n\tz\r\nRECEIVED:\r\n\r\nReceived: n",
	  3, "", false, "Received: n", 11 },
	{ "Subject: x\r\n From: folded\r\n\r\n", 0, "", false, "", 13 },
	{ "X-From: a\r\nFrom-X: b\r\nFro: c\r\n\r\n", 0, "", false, "", 9 },
	/* 8-bit bytes */
	{ "Subject: \xc3\xbc\r\n\r\nx\r\n", 0, "8", false, "x\r\n", 11 },
	{ "Subject: u\r\n\r\n\xc3\xbc\r\n", 0, "b", false, "\xc3\xbc\r\n",
	  10 },
	/* no header, or one that ends without a blank line */
	{ "\r\nbody\r\n", 0, "", false, "body\r\n", 4 },
	{ "\nFrom: body\n", 0, "", false, "From: body\n", 10 },
	{ "hello world\r\nFrom: x\r\n", 0, "", true,
	  "hello world\r\nFrom: x\r\n", 11 },
	{ "hello\r\n", 0, "", true, "hello\r\n", 5 },
	{ " hello: x\r\n", 0, "", true, " hello: x\r\n", 9 },
	{ "From: a\r\nhello world\r\nDate: b\r\n", 0, "f", true,
	  "hello world\r\nDate: b\r\n", 11 },
	{ "From: a\r\nhello\r\n\r\n", 0, "f", true, "hello\r\n\r\n", 7 },
	{ "From: a\r\n\xc3\xbc: x\r\n", 0, "fb", true, "\xc3\xbc: x\r\n", 7 },
	{ ": x\r\n", 0, "", true, ": x\r\n", 3 },
	{ "From: a\r\nna me: x\r\n", 0, "f", true, "na me: x\r\n", 8 },
	/* cut off */
	{ "", 0, "", false, "", 0 },
	{ "From: a", 0, "f", false, "", 7 },
	{ "From", 0, "", true, "From", 4 },
	{ "From: a\r\n", 0, "f", false, "", 7 },
	{ "From: a\r\n\r", 0, "f", false, "", 7 },
};

static const struct {
	const char *list;
	const char *want; /* each followed by a newline; NULL: refused */
} lists[] = {
	{ "a@b", "a@b\n" }, { "a@b, c@d", "a@b\nc@d\n" },
	{ " a@b ,\r\n c@d\r\n", "a@b\nc@d\n" },
	{ "root", "root\n" }, { "", "" }, { " \r\n", "" },
	{ ",,, a@b ,,", "a@b\n" },
	{ "John Doe <j@d>", "j@d\n" }, { "<j@d>", "j@d\n" },
	{ "\"Doe, John\" <j@d>, b@c", "j@d\nb@c\n" },
	{ "\"a \\\" b, <x@y>\" <j@d>", "j@d\n" },
	{ "=?UTF-8?Q?J=C3=BCrgen=2C?= <j@d>", "j@d\n" },
	{ "J\xc3\xbcrgen <j@d>", "j@d\n" },
	{ "John.Q.Public@d", "John.Q.Public@d\n" },
	{ "J. Q. Public <j@d>", "j@d\n" },
	{ "\"quoted local\"@d", "\"quoted local\"@d\n" },
	{ "\"a,b\"@d, \"<>\"@e", "\"a,b\"@d\n\"<>\"@e\n" },
	{ "\"folded\r\n local\"@d", "\"folded local\"@d\n" },
	{ "u@[192.0.2.1], <u@[IPv6:::1]>", "u@[192.0.2.1]\nu@[IPv6:::1]\n" },
	/* comments */
	{ "j@d (John Doe)", "j@d\n" }, { "(c) j@d (e)", "j@d\n" },
	{ "j(c)@(c)d", "j@d\n" }, { "(a (b (c)) d) j@d", "j@d\n" },
	{ "(a, b@c) j@d", "j@d\n" }, { "(\\)) j@d", "j@d\n" },
	{ "John <j(x)@d> (c), k@e", "j@d\nk@e\n" },
	{ "\"(not a comment)\" <j@d>", "j@d\n" },
	/* blanks of the obsolete syntax */
	{ "j . doe @ d . e", "j.doe@d.e\n" }, { "< j @ d >", "j@d\n" },
	/* groups */
	{ "undisclosed-recipients:;", "" },
	{ "undisclosed recipients: ;", "" },
	{ "Team: a@b, C D <c@d>;, e@f", "a@b\nc@d\ne@f\n" },
	{ "T:a@b;U:c@d;", "a@b\nc@d\n" },
	{ "\"T, x\" : a@b;", "a@b\n" },
	{ "a@b; c@d", "a@b\nc@d\n" },
	{ "T: a@b", "a@b\n" },
	/* source routes */
	{ "<@x,@y:a@b>", "a@b\n" }, { "N <@x:a@b>", "a@b\n" },
	/* refused */
	{ "a b", NULL }, { "a@b c@d", NULL }, { "John Doe", NULL },
	{ "(a", NULL }, { "(a\\)", NULL }, { "\"a", NULL }, { "[a", NULL },
	{ "<a@b", NULL }, { "<a@b> c", NULL }, { "<a@b> <c@d>", NULL },
	{ "<<a@b>>", NULL }, { "<a b@c>", NULL }, { "A: B: c@d;;", NULL },
	{ "<a@b> : c@d;", NULL },
};
/* clang-format on */

static void
facts_text(char out[8], const struct header_scan *s)
{
	(void)snprintf(out, 8, "%s%s%s%s%s", s->has_from ? "f" : "",
	    s->has_date ? "d" : "", s->has_message_id ? "m" : "",
	    s->header_8bit ? "8" : "", s->body_8bit ? "b" : "");
}

/* Feed in pieces of "step" bytes and compare. */
static void
scan_row(size_t i, size_t step)
{
	const char *text = scans[i].text;
	size_t len = strlen(text);
	struct header_scan s;
	char facts[8];

	t_row("row %zu by %zu", i, step);
	header_scan_init(&s);
	for (size_t at = 0; at < len; at += step)
		header_scan_feed(&s, text + at,
		    len - at < step ? len - at : step);
	header_scan_end(&s);
	facts_text(facts, &s);
	t_int(s.received, scans[i].received);
	t_str(facts, scans[i].facts);
	t_true(s.ended);
	t_int(s.no_blank_line, scans[i].no_blank_line);
	t_str(s.body <= len ? text + s.body : NULL, scans[i].body);
	t_int(s.line_max, scans[i].line_max);
}

static void
test_scan(void)
{
	struct header_scan s;

	t_case("scan: facts of a header, fed whole and in pieces of any size");
	for (size_t i = 0; i < nitems(scans); i++)
		for (size_t step = 1; step < 64; step++)
			scan_row(i, step);
	t_row(NULL);
	t_case("scan: a NUL is seen anywhere");
	header_scan_init(&s);
	header_scan_feed(&s, "From: a\0b\r\n", 11);
	t_true(s.has_nul);
	t_case("scan: 100,000 Received fields and endless names are counted");
	header_scan_init(&s);
	for (int i = 0; i < 100000; i++)
		header_scan_feed(&s, "Received: x\r\n", 13);
	t_int(s.received, 100000);
	for (int i = 0; i < 100000; i++)
		header_scan_feed(&s, "ReceivedReceived", 16);
	header_scan_feed(&s, ": x\r\n\r\n", 7);
	t_int(s.received, 100000);
	t_true(s.ended && !s.no_blank_line);
	t_int(s.line_max, 1600003);
}

static int
note(void *arg, const char *address, size_t len)
{
	char *out = arg;

	t_int(strlen(address), len);
	(void)strlcat(out, address, 4096);
	(void)strlcat(out, "\n", 4096);
	return 0;
}

static int
stop(void *arg, const char *address, size_t len)
{
	int *left = arg;

	(void)address;
	(void)len;
	return --*left < 0 ? -1 : 0;
}

static void
test_lists(void)
{
	char got[4096];

	t_case(
	    "address lists: names, comments, groups, folding (RFC 5322 3.4)");
	for (size_t i = 0; i < nitems(lists); i++) {
		const char *why = NULL;
		int r;

		t_row("%s", lists[i].list);
		got[0] = '\0';
		r = header_list(lists[i].list, strlen(lists[i].list), note, got,
		    &why);
		t_str(r == -1 ? NULL : got, lists[i].want);
		t_true((r == -1) == (why != NULL));
	}
	t_row(NULL);
}

static void
test_qualify(void)
{
	static const char head[] =
	    "From: root (Cron Daemon)\r\nX-From: root\r\nTo: root, <bob>,\r\n"
	    "\t\"A, b\" <c@d.example>, G: e (x), f@g.example;, \"h i\" \r\n"
	    "cc : j . k\r\nReply-To: two words\r\nBcc: l, <m\r\n"
	    "Resent-From: root\r\nSender: \r\nSubject: root\r\n\r\nTo: n\r\n";
	static const char want[] =
	    "From: root@h.example (Cron Daemon)\r\nX-From: root\r\n"
	    "To: root@h.example, <bob@h.example>,\r\n"
	    "\t\"A, b\" <c@d.example>, G: e@h.example (x), f@g.example;,"
	    " \"h i\"@h.example \r\n"
	    "cc : j . k@h.example\r\nReply-To: two words\r\nBcc: l, <m\r\n"
	    "Resent-From: root@h.example\r\nSender: \r\nSubject: root\r\n"
	    "\r\nTo: n\r\n";
	struct buf out;

	t_case("addresses without a domain are completed (RFC 6409 4.2)");
	buf_init(&out, 4096);
	header_qualify(&out, head, sizeof head - 1, "h.example");
	buf_add(&out, "", 1);
	t_str(buf_bytes(&out), want);
	buf_clear(&out);
}

static void
test_rcpts(void)
{
	static const char plain[] =
	    "From: x@y\r\nTo: a@b,\r\n\tc@d\r\nSubject: To: no@no\r\n"
	    "CC: Team: e@f;\r\nBcc : g@h\r\nBcc:\r\nX-To: i@j\r\nto: k@l\r\n"
	    "T: m@n\r\nToo: o@p\r\n"
	    "\r\nTo: body@no\r\n";
	static const char resent[] =
	    "Resent-To: r@s\r\nTo: a@b\r\nResent-Bcc: t@u\r\nCc: c@d\r\n\r\n";
	const char *why = NULL;
	char got[4096] = "";
	int left = 2;

	t_case("recipients: To, Cc and Bcc of the header alone");
	t_int(header_rcpts(plain, strlen(plain), note, got, &why), 5);
	t_str(got, "a@b\nc@d\ne@f\ng@h\nk@l\n");
	t_case("recipients: Resent fields, where there are any, alone");
	got[0] = '\0';
	t_int(header_rcpts(resent, strlen(resent), note, got, &why), 2);
	t_str(got, "r@s\nt@u\n");
	t_case("recipients: the taker may stop");
	t_int(header_rcpts(plain, strlen(plain), stop, &left, &why), -1);
	t_case("recipients: a header without any, and one that is none");
	t_int(header_rcpts("From: a\n\n", 9, note, got, &why), 0);
	t_int(header_rcpts("no header\n", 10, note, got, &why), 0);
	t_int(header_rcpts("", 0, note, got, &why), 0);
}

static void
test_strip(void)
{
	/* clang-format off */
	static const struct { const char *in, *out; } rows[] = {
		{ "To: a\r\nBcc: b,\r\n c\r\nCc: d\r\n\r\nBcc: body\r\n",
		  "To: a\r\nCc: d\r\n\r\nBcc: body\r\n" },
		{ "bcc: a\nBCC:b\nBcc : c\nResent-Bcc: d\n\n", "\n" },
		{ "Bcc: a\n", "" }, { "Bcc: a", "" }, { "", "" },
		{ "X-Bcc: a\nTo: b\n", "X-Bcc: a\nTo: b\n" },
		{ "Subject: x\n Bcc: y\n\n", "Subject: x\n Bcc: y\n\n" },
		{ "no header\nBcc: a\n", "no header\nBcc: a\n" },
	};
	/* clang-format on */
	char buf[256];

	t_case(
	    "Bcc: removed with its continuation lines, from the header only");
	for (size_t i = 0; i < nitems(rows); i++) {
		const char *in = rows[i].in;
		size_t len = strlen(in);

		t_row("row %zu", i);
		memcpy(buf, in, len);
		len = header_strip_bcc(buf, len);
		t_mem(buf, len, rows[i].out, strlen(rows[i].out));
	}
	t_row(NULL);
}

static void
test_received(void)
{
	struct header_trace trace = {
		.helo = "client.example",
		.client = "[192.0.2.1]",
		.uid = -1,
		.by = "relay.example.org",
		.with = "ESMTPS",
		.tls = "TLSv1.3 TLS_AES_256_GCM_SHA384",
		.id = "01234567abcde",
		.rcpt = "a@b.example",
		.now = NOW,
	};
	char out[HEADER_LINE_SIZE];
	int r;

	t_case("Received: from, by, with, id, for, date (RFC 5321 4.4)");
	r = header_received(out, sizeof out, &trace);
	t_int(r, (int)strlen(out));
	t_str(out,
	    "Received: from client.example ([192.0.2.1])\r\n"
	    "\t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
	    "\tby relay.example.org with ESMTPS id 01234567abcde\r\n"
	    "\tfor <a@b.example>;\r\n"
	    "\tTue, 24 Nov 2026 02:32:59 +0000\r\n");
	t_case("Received: the uid of a local submitter");
	trace = (struct header_trace){ .uid = 1000,
		.by = "relay.example.org",
		.with = "ESMTP",
		.id = "01234567abcde",
		.now = NOW };
	r = header_received(out, sizeof out, &trace);
	t_int(r, (int)strlen(out));
	t_str(out,
	    "Received: (uid 1000)\r\n"
	    "\tby relay.example.org with ESMTP id 01234567abcde;\r\n"
	    "\tTue, 24 Nov 2026 02:32:59 +0000\r\n");
	t_case("Received: nothing a client says can break out");
	trace.helo = "a\r\nX: y\t(z);<b>\xc3\xbc";
	trace.rcpt = "j\xc3\xbc@b";
	r = header_received(out, sizeof out, &trace);
	t_int(r, (int)strlen(out));
	t_true(strncmp(out, "Received: from aX:yzb (uid 1000)\r\n", 34) == 0);
	t_true(strstr(out, "for <") == NULL);
	t_case("Received: what does not fit is refused");
	for (size_t size = 0; size < 100; size++)
		t_int(header_received(out, size, &trace), -1);
}

static void
test_make(void)
{
	/* clang-format off */
	static const struct { const char *name, *want; } froms[] = {
		{ NULL, "From: <a@b>\r\n" }, { "", "From: <a@b>\r\n" },
		{ "John Doe", "From: \"John Doe\" <a@b>\r\n" },
		{ "a \"b\" \\c", "From: \"a \\\"b\\\" \\\\c\" <a@b>\r\n" },
		{ "a\r\nBcc: x@y", "From: \"aBcc: x@y\" <a@b>\r\n" },
		{ "J\xc3\xbcrgen", "From: =?UTF-8?B?SsO8cmdlbg==?= <a@b>\r\n" },
		{ "J\xfcrgen", "From: \"Jrgen\" <a@b>\r\n" },
		{ "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
		  "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
		  "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
		  "\xc3\xbc\xc3\xbc",
		  "From: =?UTF-8?B?w7zDvMO8w7zDvMO8w7zDvMO8w7zDvMO8w7zDvMO8w7zDv"
		  "MO8w7zDvMO8w7w=?=\r\n\t=?UTF-8?B?w7w=?= <a@b>\r\n" },
	};
	/* clang-format on */
	char out[HEADER_LINE_SIZE], small[8];
	int r;

	t_case("Date: UTC, whatever the locale (RFC 5322 3.3)");
	r = header_date(out, sizeof out, NOW);
	t_int(r, (int)strlen(out));
	t_str(out, "Date: Tue, 24 Nov 2026 02:32:59 +0000\r\n");
	r = header_date(out, sizeof out, 0);
	t_int(r, (int)strlen(out));
	t_str(out, "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n");
	t_int(header_date(small, sizeof small, 0), -1);
	t_case("Message-ID: id at host name");
	r = header_message_id(out, sizeof out, "01234567abcde", "r.example");
	t_int(r, (int)strlen(out));
	t_str(out, "Message-ID: <01234567abcde@r.example>\r\n");
	t_case("From: display names quoted or encoded (RFC 2047)");
	for (size_t i = 0; i < nitems(froms); i++) {
		t_row("%zu", i);
		r = header_from(out, sizeof out, "a@b", froms[i].name);
		t_int(r, (int)strlen(out));
		t_str(out, froms[i].want);
	}
	t_row(NULL);
}

/* A megabyte of each: bounded time, no recursion, no overflow. */
static void
test_hostile(void)
{
	static const char *const units[] = { ",", "(", ")", "\"", "<", ">", ":",
		";", "[", "]", "@", "\\", "a", "a,", "a@b,", "(a)", "\\(",
		"<a>,", "a:b;", " ", "\r\n ", "\xff", "=?", "To: a\r\n",
		"Bcc: a\r\n", "Bcc:\r\n a\r\n", "Resent-To: x\r\n", "To:", "\r",
		"\n" };
	size_t size = 1 << 20;
	char *big = malloc(size);
	const char *why;
	int left = 0;

	t_case("hostile: a megabyte of anything, as list and as header");
	for (size_t i = 0; i < nitems(units); i++) {
		size_t n = strlen(units[i]);

		t_row("%s", units[i]);
		for (size_t at = 0; at + n <= size; at += n)
			memcpy(big + at, units[i], n);
		left = 1 << 30;
		why = NULL;
		t_true(header_list(big, size - size % n, stop, &left, &why) !=
			-1 ||
		    why != NULL);
		why = NULL;
		t_true(header_rcpts(big, size - size % n, stop, &left, &why) !=
			-1 ||
		    why != NULL);
		t_true(header_strip_bcc(big, size) <= size);
	}
	t_row(NULL);
	t_case("hostile: every byte value in an address list");
	for (int c = 0; c < 256; c++) {
		char list[] = "aXb@c, \"dXe\"@f, <gXh@i>";

		list[1] = list[9] = list[18] = (char)c;
		left = 10;
		why = NULL;
		t_true(header_list(list, sizeof list - 1, stop, &left, &why) !=
			-1 ||
		    why != NULL);
	}
	free(big);
}

int
main(void)
{
	test_scan();
	test_lists();
	test_qualify();
	test_rcpts();
	test_strip();
	test_received();
	test_make();
	test_hostile();
	return t_done();
}
