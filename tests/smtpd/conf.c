#include "smtpd/conf.h"

#include <stdio.h>
#include <string.h>

#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

#define DAY 86400
#define T_2027_01_31 ((time_t)1801353600) /* midnight at its start, UTC */

static const char blocks[] =
    "destination example.net { via smtp.Example.net port 587 }\n"
    "destination .example.net { via b.example implicit-tls }\n"
    "destination broken.example {\n"
    "    tls opportunistic until 2027-01-31 because \"expired, \\\"4711\\\"\"\n"
    "}\n";

static int
parse(struct conf *conf, const char *text, struct conf_errors *errors)
{
	return conf_parse(conf, "f", text, strlen(text), errors);
}

static void
test_destination(void)
{
	static const char text[] =
	    "connections 9\n"
	    "destination * { tls strict\n via any.example\n auth /any\n}\n"
	    "destination .example { rate 7 per 1m\n connections 3\n}\n"
	    "destination .b.example { via b.host port 26\n}\n"
	    "destination a.b.example { tls require\n connections 2\n}\n";
	/* clang-format off */
	static const struct {
		const char *domain;
		enum tls_level level;
		const char *via;
		uint16_t port;
		const char *auth;
		unsigned connections;
		unsigned rate;
	} want[] = {
		{ "other.test", LEVEL_STRICT, "any.example", 25, "/any", 9, 0 },
		{ "example", LEVEL_STRICT, "any.example", 25, "/any", 9, 0 },
		{ "xexample", LEVEL_STRICT, "any.example", 25, "/any", 9, 0 },
		{ "c.example", LEVEL_STRICT, "any.example", 25, "/any", 3, 7 },
		{ "b.example", LEVEL_STRICT, "any.example", 25, "/any", 3, 7 },
		{ "c.b.example", LEVEL_STRICT, "b.host", 26, NULL, 3, 7 },
		{ "d.c.b.example", LEVEL_STRICT, "b.host", 26, NULL, 3, 7 },
		{ "a.b.example", LEVEL_REQUIRE, "b.host", 26, NULL, 2, 7 },
		{ "x.a.b.example", LEVEL_STRICT, "b.host", 26, NULL, 3, 7 },
		{ "", LEVEL_STRICT, "any.example", 25, "/any", 9, 0 },
	};
	/* clang-format on */
	struct conf_errors errors = { 0 };
	struct conf_dest d;
	struct conf c;

	t_case("destination: each setting from the most specific block; via and"
	       " auth are one");
	t_int(parse(&c, text, &errors), 0);
	t_str(errors.text, NULL);
	for (size_t i = 0; i < nitems(want); i++) {
		t_row("%s", want[i].domain);
		conf_destination(&c, want[i].domain, 0, &d);
		t_int(d.level, want[i].level);
		t_str(d.via, want[i].via);
		t_int(d.via_port, want[i].port);
		t_str(d.auth, want[i].auth);
		t_int(d.connections, want[i].connections);
		t_int(d.rate, want[i].rate);
		t_int(d.rate_s, want[i].rate > 0 ? 60 : 0);
	}
	t_row(NULL);
	conf_clear(&c);
	t_case("destination: implicit TLS is port 465 unless said otherwise");
	t_int(parse(&c, blocks, &errors), 0);
	conf_destination(&c, "sub.example.net", 0, &d);
	t_str(d.via, "b.example");
	t_int(d.via_port, 465);
	t_true(d.via_implicit_tls);
	conf_destination(&c, "example.net", 0, &d);
	t_str(d.via, "smtp.example.net");
	t_int(d.via_port, 587);
	t_true(!d.via_implicit_tls);
	conf_clear(&c);
}

static void
note(void *arg, const char *sentence)
{
	(void)snprintf(arg, 512, "%s", sentence);
}

static void
test_until(void)
{
	/* clang-format off */
	static const struct { time_t now; enum tls_level level; } times[] = {
		{ 0, LEVEL_OPPORTUNISTIC }, { T_2027_01_31, LEVEL_OPPORTUNISTIC },
		{ T_2027_01_31 + DAY - 1, LEVEL_OPPORTUNISTIC },
		{ T_2027_01_31 + DAY, LEVEL_REQUIRE },
		{ T_2027_01_31 + 400L * DAY, LEVEL_REQUIRE },
	};
	/* clang-format on */
	struct conf_errors errors = { 0 };
	struct conf_dest d;
	struct conf c;
	char said[512];

	t_case(
	    "opportunistic until DATE: through that day in UTC, then require");
	t_int(parse(&c, blocks, &errors), 0);
	for (size_t i = 0; i < nitems(times); i++) {
		t_row("%ld", (long)times[i].now);
		conf_destination(&c, "broken.example", times[i].now, &d);
		t_int(d.level, times[i].level);
		t_str(d.because,
		    times[i].level == LEVEL_OPPORTUNISTIC ? "expired, \"4711\""
							  : NULL);
		t_int(d.until,
		    times[i].level == LEVEL_OPPORTUNISTIC ? T_2027_01_31 + DAY
							  : 0);
	}
	t_row(NULL);
	t_case("opportunistic: warned of from a week before its end");
	said[0] = '\0';
	conf_warnings(&c, T_2027_01_31 - 6 * DAY - 1, note, said);
	t_str(said, "");
	conf_warnings(&c, T_2027_01_31 - 6 * DAY, note, said);
	t_str(said,
	    "`tls opportunistic` for destination broken.example ends"
	    " with 2027-01-31 (because \"expired, \"4711\"\"); from"
	    " then on it is `require`");
	conf_warnings(&c, T_2027_01_31 + DAY, note, said);
	t_true(strstr(said, "ended with 2027-01-31") != NULL);
	conf_clear(&c);
}

int
main(void)
{
	test_destination();
	test_until();
	return t_done();
}
