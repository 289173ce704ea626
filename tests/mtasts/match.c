#include "mtasts/match.h"

#include <string.h>

#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))
#define LABEL63 \
	"a23456789012345678901234567890123456789012345678901234567890123"

static const struct {
	const char *sentence;
	const char *host, *pattern;
	bool matches;
} rows[] = {
	{ "the same name (RFC 8461 4.1)", "mail.example.com",
	    "mail.example.com", true },
	{ "case does not count (RFC 4343)", "MAIL.Example.COM",
	    "mail.example.com", true },
	{ "the final dot does not count", "mail.example.com.",
	    "mail.example.com", true },
	{ "another name", "mail.example.org", "mail.example.com", false },
	{ "a parent is not its child", "example.com", "mail.example.com",
	    false },
	{ "a child is not its parent", "mail.example.com", "example.com",
	    false },
	{ "a wildcard is one label (4.1)", "a.example.com", "*.example.com",
	    true },
	{ "a wildcard is not two labels (4.1)", "a.b.example.com",
	    "*.example.com", false },
	{ "a wildcard is not none (4.1)", "example.com", "*.example.com",
	    false },
	{ "a wildcard is not the empty label", ".example.com", "*.example.com",
	    false },
	{ "a wildcard takes its dot", "aexample.com", "*.example.com", false },
	{ "a wildcard with a final dot", "a.example.com.", "*.example.com",
	    true },
	{ "the wildcard of a large host (tlspol#94)",
	    "example-com.mail.protection.outlook.com",
	    "*.mail.protection.outlook.com", true },
	{ "its bare suffix", "mail.protection.outlook.com",
	    "*.mail.protection.outlook.com", false },
	{ "no host matches nothing", "", "*.example.com", false },
	{ "a dot matches nothing", ".", "*.example.com", false },
	{ "a host of one label", "mail", "*.mail", false },
	{ "a wildcard below a top-level domain", "example.com", "*.com", true },
};

static const struct {
	const char *sentence;
	const char *text;
	const char *host, *pattern; /* normalized, or NULL */
} forms[] = {
	{ "a host name", "Mail.Example.COM", "mail.example.com",
	    "mail.example.com" },
	{ "a final dot is dropped", "mail.example.com.", "mail.example.com",
	    "mail.example.com" },
	{ "two final dots", "mail.example.com..", NULL, NULL },
	{ "a wildcard opens a pattern only (RFC 8461 3.2)", "*.Example.com",
	    NULL, "*.example.com" },
	{ "* alone is no pattern (RFC 8461 10.4)", "*", NULL, NULL },
	{ "*. alone is no pattern", "*.", NULL, NULL },
	{ "a wildcard inside", "mail.*.com", NULL, NULL },
	{ "two wildcards", "*.*.com", NULL, NULL },
	{ "a partial wildcard (RFC 6125 6.4.3)", "m*.example.com", NULL, NULL },
	{ "an IDN must be A-labels (RFC 8461 3.2)",
	    "b\xc3\xbc"
	    "cher.example",
	    NULL, NULL },
	{ "an A-label", "xn--bcher-kva.example", "xn--bcher-kva.example",
	    "xn--bcher-kva.example" },
	{ "an underscore is not in host names", "_mx.example.com", NULL, NULL },
	{ "a label opens with no hyphen", "-a.example.com", NULL, NULL },
	{ "a label ends with no hyphen", "a-.example.com", NULL, NULL },
	{ "an empty label", "a..example.com", NULL, NULL },
	{ "nothing", "", NULL, NULL },
	{ "a blank inside", "a b.example.com", NULL, NULL },
	{ "a label of 63", LABEL63 ".com", LABEL63 ".com", LABEL63 ".com" },
	{ "a label of 64", LABEL63 "4.com", NULL, NULL },
	{ "a colon", "mail.example.com:25", NULL, NULL },
};

static void
lengths(void)
{
	char name[300], out[HOST_SIZE];

	memset(name, 'a', sizeof(name));
	name[63] = name[127] = name[191] = '.';
	t_case("a name of 253 characters (RFC 1035 2.3.4)");
	t_int(host_normalize(out, name, 253), 0);
	t_int(strlen(out), 253);
	t_case("a name of 254 characters is too long (RFC 1035 2.3.4)");
	t_int(host_normalize(out, name, 254), -1);
	t_str(out, "");
}

int
main(void)
{
	char out[HOST_SIZE];
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		t_case(rows[i].sentence);
		t_int(sts_match(rows[i].host, rows[i].pattern),
		    rows[i].matches);
	}
	for (i = 0; i < nitems(forms); i++) {
		size_t len = strlen(forms[i].text);
		int result;

		t_case(forms[i].sentence);
		result = host_normalize(out, forms[i].text, len);
		t_str(result == 0 ? out : NULL, forms[i].host);
		result = pattern_normalize(out, forms[i].text, len);
		t_str(result == 0 ? out : NULL, forms[i].pattern);
	}
	lengths();
	return t_done();
}
