#include "smtpd/base/utf8.h"

#include <string.h>

#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

static void
test_utf8(void)
{
	/* clang-format off */
	static const struct { const char *s; bool valid; } rows[] = {
		{ "", true }, { "abc", true }, { "\xc2\x80", true },
		{ "\xdf\xbf", true }, { "\xe0\xa0\x80", true },
		{ "\xed\x9f\xbf", true }, { "\xee\x80\x80", true },
		{ "\xf0\x90\x80\x80", true }, { "\xf4\x8f\xbf\xbf", true },
		{ "\x80", false }, { "\xc0\x80", false }, { "\xc1\xbf", false },
		{ "\xc2", false }, { "\xc2\xc2", false }, { "\xe0\x9f\xbf", false },
		{ "\xed\xa0\x80", false }, { "\xe1\x80", false },
		{ "\xf0\x8f\xbf\xbf", false }, { "\xf4\x90\x80\x80", false },
		{ "\xf5\x80\x80\x80", false }, { "\xff", false },
		{ "\xf1\x80\x80", false },
	};
	/* clang-format on */

	t_case("UTF-8: shortest forms only, no surrogates (RFC 3629 4)");
	for (size_t i = 0; i < nitems(rows); i++) {
		t_row("row %zu", i);
		t_int(utf8_is_valid(rows[i].s, strlen(rows[i].s)),
		    rows[i].valid);
	}
	t_row(NULL);
}

static void
test_points(void)
{
	static const struct {
		const char *s;
		size_t len;
		uint32_t c;
	} rows[] = {
		{ "ab", 1, 'a' },
		{ "\xc3\xa9!", 2, 0xe9 },
		{ "\xe2\x82\xac", 3, 0x20ac },
		{ "\xf0\x9f\x93\xa7", 4, 0x1f4e7 },
	};
	uint32_t c;

	t_case("UTF-8: a character and its length, never beyond the end");
	for (size_t i = 0; i < nitems(rows); i++) {
		t_row("row %zu", i);
		t_int(utf8_char(rows[i].s, strlen(rows[i].s), &c), rows[i].len);
		t_int(c, rows[i].c);
		t_int(utf8_char(rows[i].s, rows[i].len - (rows[i].len > 1), &c),
		    rows[i].len > 1 ? 0 : 1);
	}
	t_row(NULL);
}

int
main(void)
{
	test_utf8();
	test_points();
	return t_done();
}
