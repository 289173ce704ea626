#include "smtpd/alias.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

/* clang-format off */
static const char usual[] =
	"# /etc/aliases\n"
	"mailer-daemon: postmaster\n"
	"Postmaster:\troot\r\n"
	"\n"
	"root: admin@example.org,  # who is on duty\n"
	"\tsecond@example.org, <third@example.org>\n"
	"# between\n"
	"    fourth@EXAMPLE.org\n"
	"www-data : root\n"
	"all: root, ops, \"quoted, name\"@example.org\n"
	"ops: All.Ops@other.example, nobody, root@relay.example.org\n"
	"hash: a#b@example.org\n"
	"loop-a: loop-b\n"
	"loop-b: loop-c, x@y.example\n"
	"loop-c: Loop-A@LOCALHOST\n"
	"self: self, x@y.example\n"
	"\"two words\": x@y.example\n";

static const struct {
	const char *address;
	const char *want; /* each followed by a newline; NULL: refused */
} expansions[] = {
	{ "root", "admin@example.org\nsecond@example.org\nthird@example.org\n"
	  "fourth@example.org\n" },
	{ "ROOT", "admin@example.org\nsecond@example.org\nthird@example.org\n"
	  "fourth@example.org\n" },
	{ "root@localhost", "admin@example.org\nsecond@example.org\n"
	  "third@example.org\nfourth@example.org\n" },
	{ "Root@Relay.Example.ORG", "admin@example.org\nsecond@example.org\n"
	  "third@example.org\nfourth@example.org\n" },
	{ "mailer-daemon", "admin@example.org\nsecond@example.org\n"
	  "third@example.org\nfourth@example.org\n" },
	{ "www-data", "admin@example.org\nsecond@example.org\n"
	  "third@example.org\nfourth@example.org\n" },
	{ "all", "admin@example.org\nsecond@example.org\nthird@example.org\n"
	  "fourth@example.org\nAll.Ops@other.example\n"
	  "nobody@relay.example.org\n\"quoted, name\"@example.org\n" },
	{ "hash", "a#b@example.org\n" },
	{ "\"two words\"", "x@y.example\n" },
	/* what has no alias */
	{ "nobody", "nobody@relay.example.org\n" },
	{ "Some.One", "Some.One@relay.example.org\n" },
	{ "nobody@relay.example.org", "nobody@relay.example.org\n" },
	{ "root@example.org", "root@example.org\n" },
	{ "root@sub.relay.example.org", "root@sub.relay.example.org\n" },
	{ "root@[127.0.0.1]", "root@[127.0.0.1]\n" },
	/* loops */
	{ "loop-a", NULL }, { "loop-b", NULL }, { "self", NULL },
};

static const struct {
	const char *text;
	size_t count;
	const char *errors; /* NULL: none */
} files[] = {
	{ "", 0, NULL }, { "\n\n# x\n  # y\n", 0, NULL },
	{ "a: b", 1, NULL }, { "a:b@c.d", 1, NULL }, { " a: b", 1, NULL },
	{ "a: \"|/bin/prog x\"",
	  0, "f:1: `\"|/bin/prog x\"`: pipes are not supported: nothing is"
	  " delivered here\nf:1: `a` leads to no address\n" },
	{ "a: b, |prog\nc: d",
	  2, "f:1: `|prog`: pipes are not supported: nothing is delivered"
	  " here\n" },
	{ "a: /dev/null", 0, "f:1: `/dev/null`: files are not supported: nothing"
	  " is delivered here\nf:1: `a` leads to no address\n" },
	{ "a: b,\n\n \"/x y\"", 1, "f:3: `\"/x y\"`: files are not supported:"
	  " nothing is delivered here\n" },
	{ "a: :include:/etc/list", 0, "f:1: `:include:/etc/list`: :include: is"
	  " not supported\nf:1: `a` leads to no address\n" },
	{ "a: \\a", 0, "f:1: `\\a`: a backslash means local delivery: there is"
	  " none\nf:1: `a` leads to no address\n" },
	{ "a b c", 0, "f:1: `a b c`: no colon behind a name\n" },
	{ "a@b.c: d", 0, "f:1: `a@b.c`: a name here has no domain\n" },
	{ "a b: c", 0, "f:1: `a b`: a wrong character in the local part\n" },
	{ ": c", 0, "f:1: ``: an empty address\n" },
	{ "a: b c", 0, "f:1: `b c`: a wrong character in the local part\n"
	  "f:1: `a` leads to no address\n" },
	{ "a:\nb: c", 1, "f:1: `a` leads to no address\n" },
	{ "a: b\nc: d\nA: e", 2, "f:3: `a` is already on line 1\n" },
	{ "a: b@c..d", 0, "f:1: `b@c..d`: an empty label in the domain\n"
	  "f:1: `a` leads to no address\n" },
	{ "a: \"b", 0, "f:1: `\"b`: a quote is not closed\n"
	  "f:1: `a` leads to no address\n" },
	{ "a: b\001c", 0, "f:1: `b?c`: a control character\n"
	  "f:1: `a` leads to no address\n" },
	{ "a@x: |p\nb", 0, "f:1: `a@x`: a name here has no domain\n"
	  "f:1: `|p`: pipes are not supported: nothing is delivered here\n"
	  "f:2: `b`: no colon behind a name\n" },
};
/* clang-format on */

static int
note(void *arg, const char *address)
{
	(void)strlcat(arg, address, 4096);
	(void)strlcat(arg, "\n", 4096);
	return 0;
}

static int
stop(void *arg, const char *address)
{
	(void)arg;
	(void)address;
	return -1;
}

static int
ignore(void *arg, const char *address)
{
	(void)arg;
	(void)address;
	return 0;
}

static struct alias_table *
parse(const char *text, struct conf_errors *errors)
{
	return alias_parse("f", text, strlen(text), "relay.example.org",
	    errors);
}

static void
test_usual(void)
{
	struct conf_errors errors = { 0 };
	struct alias_table *t = parse(usual, &errors);
	char got[4096];

	t_case("aliases: lists, comments, continuation, case, loops");
	t_str(errors.text, NULL);
	for (size_t i = 0; i < nitems(expansions); i++) {
		const char *why = NULL;
		int r;

		t_row("%s", expansions[i].address);
		got[0] = '\0';
		r = alias_expand(t, expansions[i].address, note, got, &why);
		t_str(r == -1 ? NULL : got, expansions[i].want);
		if (r == -1)
			t_str(why, "an alias leads back to itself");
	}
	t_row(NULL);
	t_case("aliases: the taker may stop; without a table nothing changes");
	t_int(alias_expand(t, "root", stop, NULL, &(const char *){ NULL }), -1);
	got[0] = '\0';
	t_int(alias_expand(NULL, "root", note, got, &(const char *){ NULL }),
	    1);
	t_str(got, "root\n");
	alias_free(t);
	alias_free(NULL);
}

static void
test_files(void)
{
	t_case("aliases: what is refused, with its line; the rest holds");
	for (size_t i = 0; i < nitems(files); i++) {
		struct conf_errors errors = { 0 };
		struct alias_table *t = parse(files[i].text, &errors);

		t_row("%s", files[i].text);
		t_int(alias_count(t), files[i].count);
		t_str(errors.text, files[i].errors);
		alias_free(t);
		conf_errors_clear(&errors);
	}
	t_row(NULL);
}

/* Its mail would go to the name itself, which is nobody's. */
static void
test_refused(void)
{
	static const struct {
		const char *address;
		const char *want; /* NULL: refused */
	} rows[] = { { "pipe", NULL }, { "PIPE@localhost", NULL },
		{ "empty", NULL }, { "to-pipe", NULL },
		{ "both", "b@example.org\n" }, { "late", "l@example.org\n" } };
	struct conf_errors errors = { 0 };
	struct alias_table *t = parse("pipe: |prog\nempty:\nto-pipe: pipe\n"
				      "both: pipe, b@example.org, /file\n"
				      "late: /file\nlate: l@example.org\n",
	    &errors);
	char got[4096];

	t_case("aliases: a name left without an address is refused");
	t_int(alias_count(t), 3);
	for (size_t i = 0; i < nitems(rows); i++) {
		const char *why = NULL;
		int r;

		t_row("%s", rows[i].address);
		got[0] = '\0';
		r = alias_expand(t, rows[i].address, note, got, &why);
		t_str(r == -1 ? NULL : got, rows[i].want);
		if (r == -1)
			t_str(why, "its entry was refused, as the log says");
	}
	t_row(NULL);
	alias_free(t);
	conf_errors_clear(&errors);
}

/* Text with n lines "aI: a(I+1), a(I+1)", or so. */
static char *
chain(size_t n, const char *fmt_twice, size_t *len)
{
	char *text = malloc(n * 64);

	*len = 0;
	for (size_t i = 0; i < n; i++)
		*len += (size_t)snprintf(text + *len, 64, "a%zu: a%zu%s%zu\n",
		    i, i + 1, fmt_twice, i + 1);
	return text;
}

static void
test_bounds(void)
{
	struct conf_errors errors = { 0 };
	struct alias_table *t;
	const char *why = NULL;
	size_t len, n = 0;
	char *text = chain(31, ", a", &len);

	t_case("bounds: a name that doubles 31 times is walked once");
	t = alias_parse("f", text, len, "h.example", &errors);
	t_int(alias_expand(t, "a0", ignore, NULL, &why), 1);
	alias_free(t);
	free(text);
	t_case("bounds: 32 names deep, no deeper");
	text = chain(40, ", a", &len);
	t = alias_parse("f", text, len, "h.example", &errors);
	t_int(alias_expand(t, "a8", ignore, NULL, &why), 1);
	t_int(alias_expand(t, "a7", ignore, NULL, &why), -1);
	t_str(why, "an alias leads through too many others");
	alias_free(t);
	free(text);
	t_case("bounds: 1000 addresses, no more");
	text = malloc(1 << 16);
	n = (size_t)snprintf(text, 64, "a: x0");
	for (int i = 1; i < 1000; i++)
		n += (size_t)snprintf(text + n, 64, ", x%d", i);
	t = alias_parse("f", text, n, "h.example", &errors);
	t_int(alias_expand(t, "a", ignore, NULL, &why), 1000);
	alias_free(t);
	n += (size_t)snprintf(text + n, 64, ", x1000");
	t = alias_parse("f", text, n, "h.example", &errors);
	t_int(alias_expand(t, "a", ignore, NULL, &why), -1);
	t_str(why, "an alias leads to too many addresses");
	alias_free(t);
	free(text);
	t_str(errors.text, NULL);
}

static void
test_hostile(void)
{
	static const char *const units[] = { ",", ":", "\"", "#", "\n", " ",
		"a", "a:", "a:b\n", "a,", "\n ", "\\", "a: b,\n c\n", "\xff",
		"<", "|", "a: a\n", "\r", "a:a," };
	size_t size = 1 << 20;
	char *big = malloc(size);
	const char *why;

	t_case("hostile: a megabyte of anything");
	for (size_t i = 0; i < nitems(units); i++) {
		struct conf_errors errors = { 0 };
		struct alias_table *t;
		size_t n = strlen(units[i]);

		t_row("%s", units[i]);
		for (size_t at = 0; at + n <= size; at += n)
			memcpy(big + at, units[i], n);
		t = alias_parse("f", big, size, "h.example", &errors);
		t_true(t != NULL);
		why = NULL;
		t_true(alias_expand(t, "a", ignore, NULL, &why) != -1 ||
		    why != NULL);
		alias_free(t);
		t_true(errors.len < 128 * 1024);
		conf_errors_clear(&errors);
	}
	t_row(NULL);
	t_case("hostile: every byte value in name and value");
	for (int c = 0; c < 256; c++) {
		struct conf_errors errors = { 0 };
		char text[] = "aXb: cXd\n";

		text[1] = text[6] = (char)c;
		alias_free(alias_parse("f", text, sizeof text - 1, "h.example",
		    &errors));
		for (size_t i = 0; i < errors.len; i++)
			t_true(errors.text[i] == '\n' ||
			    (errors.text[i] >= 0x20 && errors.text[i] < 0x7f));
		conf_errors_clear(&errors);
	}
	free(big);
}

int
main(void)
{
	test_usual();
	test_files();
	test_refused();
	test_bounds();
	test_hostile();
	return t_done();
}
