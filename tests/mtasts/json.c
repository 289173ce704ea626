#include "mtasts/json.h"

#include <stdint.h>

#include "tests/t.h"

static void
shapes(void)
{
	struct json j;

	json_init(&j);
	t_case("objects, lists and values nest");
	json_object(&j, NULL);
	json_string(&j, "domain", "example.net");
	json_list(&j, "mx");
	json_string(&j, NULL, "a");
	json_string(&j, NULL, "b");
	json_end(&j);
	json_list(&j, "hosts");
	json_object(&j, NULL);
	json_number(&j, "preference", 10);
	json_end(&j);
	json_object(&j, NULL);
	json_end(&j);
	json_end(&j);
	json_bool(&j, "matches", true);
	json_null(&j, "last_error");
	json_string(&j, "detail", NULL);
	json_end(&j);
	t_str(json_text(&j),
	    "{\"domain\":\"example.net\",\"mx\":[\"a\",\"b\"],"
	    "\"hosts\":[{\"preference\":10},{}],\"matches\":true,"
	    "\"last_error\":null,\"detail\":null}");
	json_reset(&j);
	t_str(json_text(&j), "");

	t_case("a text that is taken in pieces is the same in sum");
	json_object(&j, NULL);
	json_list(&j, "a");
	json_number(&j, NULL, 1);
	t_str(json_text(&j), "{\"a\":[1");
	json_drain(&j);
	t_str(json_text(&j), "");
	json_number(&j, NULL, 2);
	json_end(&j);
	json_drain(&j);
	json_bool(&j, "b", true);
	json_end(&j);
	t_str(json_text(&j), ",\"b\":true}");
	json_clear(&j);
}

static const struct {
	const char *sentence;
	const char *value;
	const char *want;
} strings[] = {
	{ "quote and backslash (RFC 8259 7)", "a\"b\\c", "\"a\\\"b\\\\c\"" },
	{ "control characters (RFC 8259 7)", "a\r\n\t\001\177",
	    "\"a\\u000d\\u000a\\u0009\\u0001\\u007f\"" },
	{ "C1 controls, which terminals obey in UTF-8, too",
	    "\xc2\x80\xc2\x9b"
	    "1m\xc2\xa0",
	    "\"\\u0080\\u009b1m\xc2\xa0\"" },
	{ "UTF-8 stays",
	    "b\xc3\xbc"
	    "cher \xf0\x9f\x93\xa7",
	    "\"b\xc3\xbc"
	    "cher \xf0\x9f\x93\xa7\"" },
	{ "a stray byte becomes U+FFFD",
	    "a\xff"
	    "b",
	    "\"a\xef\xbf\xbd"
	    "b\"" },
	{ "an overlong form (RFC 3629 3)", "\xc0\xaf",
	    "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "a surrogate (RFC 3629 3)", "\xed\xa0\x80",
	    "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "a sequence cut short", "\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "beyond U+10FFFF", "\xf4\x90\x80\x80",
	    "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
};

static void
values(void)
{
	struct json j;
	size_t i;

	json_init(&j);
	for (i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		t_case(strings[i].sentence);
		json_reset(&j);
		json_string(&j, NULL, strings[i].value);
		t_str(json_text(&j), strings[i].want);
	}
	t_case("times are RFC 3339 UTC, 0 is null");
	json_reset(&j);
	json_list(&j, NULL);
	json_time(&j, NULL, 1795507200);
	json_time(&j, NULL, 0);
	json_number(&j, NULL, INT64_MIN);
	json_end(&j);
	t_str(json_text(&j),
	    "[\"2026-11-24T08:00:00Z\",null,"
	    "-9223372036854775808]");
	json_clear(&j);
}

static void
bounds(void)
{
	struct json j;
	int i;

	json_init(&j);
	t_case("nesting has a bound and its failure sticks");
	for (i = 0; i < 40; i++)
		json_list(&j, NULL);
	t_str(json_text(&j), NULL);
	json_reset(&j);
	t_case("an end too many fails");
	json_end(&j);
	t_str(json_text(&j), NULL);
	json_clear(&j);
}

int
main(void)
{
	shapes();
	values();
	bounds();
	return t_done();
}
