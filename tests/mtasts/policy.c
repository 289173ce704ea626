#include "mtasts/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))
#define OK "version: STSv1\nmode: enforce\nmax_age: 86400\n"

/* A policy as one line: mode, age, patterns. */
static const char *
show(const struct sts_policy *p)
{
	static char text[1024];
	size_t i, used;

	used = (size_t)snprintf(text, sizeof(text), "%s %u%s",
	    mode_word(p->mode), p->max_age_s, p->max_age_capped ? "!" : "");
	for (i = 0; i < p->mx_count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
		    " %s", p->mx[i]);
	return text;
}

static const struct {
	const char *sentence;
	const char *body;
	const char *want; /* as show() gives it; NULL: invalid */
} rows[] = {
	{ "the example of RFC 8461 3.2",
	    "version: STSv1\nmode: enforce\nmx: mail.example.com\n"
	    "mx: *.example.net\nmx: backupmx.example.com\nmax_age: 604800\n",
	    "enforce 604800 mail.example.com *.example.net"
	    " backupmx.example.com" },
	{ "lines may end in CRLF (3.2)",
	    "version: STSv1\r\nmode: testing\r\nmx: a.example\r\n"
	    "max_age: 1\r\n",
	    "testing 1 a.example" },
	{ "and mix both (erratum 6253)", OK "mx: a.example\r\n",
	    "enforce 86400 a.example" },
	{ "the last line end may be missing (3.2)", OK "mx: a.example",
	    "enforce 86400 a.example" },
	{ "blanks around the colon and at the ends",
	    " version : STSv1 \nmode\t:enforce\nmax_age:1\t\nmx:a.example",
	    "enforce 1 a.example" },
	{ "the version may stand anywhere (3.2)",
	    "mode: none\nmax_age: 1\nversion: STSv1\n", "none 1" },
	{ "mode none needs no mx (8.3)",
	    "version: STSv1\nmode: none\nmax_age: 86400\n", "none 86400" },
	{ "mode enforce needs an mx (3.2)", OK, NULL },
	{ "mode testing needs an mx (3.2)",
	    "version: STSv1\nmode: testing\nmax_age: 1\n", NULL },
	{ "an unknown mode (3.2)",
	    "version: STSv1\nmode: report\nmax_age: 1\nmx: a.example\n", NULL },
	{ "the mode's case counts (3.2)",
	    "version: STSv1\nmode: Enforce\nmax_age: 1\nmx: a.example\n",
	    NULL },
	{ "keys' case counts (3.2)",
	    "version: STSv1\nMode: enforce\nmax_age: 1\nmx: a.example\n",
	    NULL },
	{ "no version (3.2)", "mode: none\nmax_age: 1\n", NULL },
	{ "another version (3.2)", "version: STSv2\nmode: none\nmax_age: 1\n",
	    NULL },
	{ "no mode (3.2)", "version: STSv1\nmax_age: 1\nmx: a.example\n",
	    NULL },
	{ "no max_age (3.2)", "version: STSv1\nmode: none\n", NULL },
	{ "max_age 0 is legal (3.2)",
	    "version: STSv1\nmode: none\nmax_age: 0\n", "none 0" },
	{ "max_age at its most (3.2)",
	    "version: STSv1\nmode: none\nmax_age: 31557600\n",
	    "none 31557600" },
	{ "max_age beyond is capped and noted",
	    "version: STSv1\nmode: none\nmax_age: 31557601\n",
	    "none 31557600!" },
	{ "max_age beyond 32 bits is capped (mox)",
	    "version: STSv1\nmode: none\nmax_age: 9999999999\n",
	    "none 31557600!" },
	{ "max_age of 11 digits (3.2 ABNF)",
	    "version: STSv1\nmode: none\nmax_age: 00000000001\n", NULL },
	{ "max_age negative", "version: STSv1\nmode: none\nmax_age: -1\n",
	    NULL },
	{ "max_age with a fraction",
	    "version: STSv1\nmode: none\nmax_age: 1.5\n", NULL },
	{ "max_age empty", "version: STSv1\nmode: none\nmax_age:\n", NULL },
	{ "max_age with a unit", "version: STSv1\nmode: none\nmax_age: 1d\n",
	    NULL },
	{ "of two modes the first counts (3.2)",
	    "mode: testing\n" OK "mx: a.example", "testing 86400 a.example" },
	{ "of two ages the first counts (3.2)",
	    "max_age: 5\n" OK "mx: a.example", "enforce 5 a.example" },
	{ "of two versions the first counts (3.2)",
	    OK "mx: a.example\nversion: STSv9", "enforce 86400 a.example" },
	{ "a wrong first version is not saved by a second",
	    "version: STSv9\n" OK "mx: a.example", NULL },
	{ "a later value of a known key is not even judged",
	    OK "mode: nonsense\nmx: a.example", "enforce 86400 a.example" },
	{ "unknown keys are ignored (3.2)",
	    OK "x-note: b\xc3\xbc"
	       "cher: here\nmx: a.example",
	    "enforce 86400 a.example" },
	{ "a line without a colon", OK "mx: a.example\nnonsense\n", NULL },
	{ "an HTML page", "<!DOCTYPE html>\n<p>Not found</p>\n", NULL },
	{ "an empty file", "", NULL },
	{ "empty lines at the end are tolerated", OK "mx: a.example\n\n\r\n \n",
	    "enforce 86400 a.example" },
	{ "an empty line inside is a line without a colon",
	    OK "\nmx: a.example\n", NULL },
	{ "a bare CR", OK "mx: a.example\rmx: b.example\n", NULL },
	{ "a bare CR at the very end", OK "mx: a.example\r", NULL },
	{ "a byte order mark", "\xef\xbb\xbf" OK "mx: a.example\n", NULL },
	{ "a byte order mark before an unneeded key",
	    "\xef\xbb\xbfx: y\n" OK "mx: a.example\n", NULL },
	{ "a control character", OK "x: \033[2J\nmx: a.example\n", NULL },
	{ "patterns are brought to lower case", OK "mx: *.Example.NET.\n",
	    "enforce 86400 *.example.net" },
	{ "* alone is no pattern (10.4)", OK "mx: *\n", NULL },
	{ "one wrong pattern spoils all (3.2)",
	    OK "mx: a.example\nmx: b_c.example\n", NULL },
	{ "an IDN pattern must be A-labels (3.2)",
	    OK "mx: b\xc3\xbc"
	       "cher.example\n",
	    NULL },
	{ "an empty pattern", OK "mx:\n", NULL },
	{ "two names on a line", OK "mx: a.example b.example\n", NULL },
};

static void
bodies(void)
{
	struct sts_policy policy, copy;
	const char *why;
	size_t i;
	int result;

	for (i = 0; i < nitems(rows); i++) {
		t_case(rows[i].sentence);
		why = NULL;
		result = policy_parse(&policy, rows[i].body,
		    strlen(rows[i].body), &why);
		t_str(result == 0 ? show(&policy) : NULL, rows[i].want);
		t_true((why != NULL) == (result == -1));
		t_int(policy_copy(&copy, &policy), 0);
		t_true(policy_equal(&policy, &copy));
		policy_clear(&policy);
		policy_clear(&copy);
	}
}

static void
bounds(void)
{
	static const char nul[] = OK "mx: a.example\nx: \0\n";
	struct sts_policy policy;
	char *big = malloc(POLICY_BODY_MAX + 2);
	const char *why;

	t_case("a NUL makes it invalid");
	t_int(policy_parse(&policy, nul, sizeof(nul) - 1, &why), -1);
	t_str(why, "it contains a NUL");

	if (big == NULL)
		abort();
	snprintf(big, POLICY_BODY_MAX, "%smx: a.example\n", OK);
	memset(big + strlen(big), '\n', POLICY_BODY_MAX + 1 - strlen(big));
	t_case("64 KiB are taken (RFC 8461 3.3)");
	t_int(policy_parse(&policy, big, POLICY_BODY_MAX, &why), 0);
	policy_clear(&policy);
	t_case("one byte more is not, and never cut short (RFC 8461 3.3)");
	t_int(policy_parse(&policy, big, POLICY_BODY_MAX + 1, &why), -1);
	free(big);
}

static void
matching(void)
{
	static const char body[] = OK "mx: a.example.net\nmx: *.example.org\n";
	struct sts_policy policy;
	const char *why;

	t_case("a host is looked for among all patterns (RFC 8461 4.1)");
	t_int(policy_parse(&policy, body, sizeof(body) - 1, &why), 0);
	t_true(policy_matches(&policy, "A.example.net."));
	t_true(policy_matches(&policy, "mx1.example.org"));
	t_true(!policy_matches(&policy, "b.example.net"));
	t_true(!policy_matches(&policy, "example.org"));
	policy_clear(&policy);
	t_case("a policy without patterns matches nothing");
	t_true(!policy_matches(&policy, "a.example.net"));
}

int
main(void)
{
	bodies();
	bounds();
	matching();
	return t_done();
}
