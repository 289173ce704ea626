/*
 * The parts of sealpost(8) that need no daemon: reading its JSON, printing
 * for people and for Prometheus.
 */

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/cli/cmd_status.h"
#include "smtpd/cli/describe.h"
#include "smtpd/cli/jread.h"
#include "smtpd/cli/print.h"
#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

/* The tree written back in one form, to compare. */
static void
write_tree(FILE *f, const struct jread *j)
{
	if (j->key != NULL)
		(void)fprintf(f, "%s:", j->key);
	switch (j->kind) {
	case JREAD_NULL:
		(void)fputs("null", f);
		break;
	case JREAD_BOOL:
		(void)fputs(j->number != 0 ? "true" : "false", f);
		break;
	case JREAD_NUMBER:
		(void)fprintf(f, "%" PRId64, j->number);
		break;
	case JREAD_STRING:
		(void)fprintf(f, "'%s'", j->string);
		break;
	case JREAD_LIST:
	case JREAD_OBJECT:
		(void)fputc(j->kind == JREAD_LIST ? '[' : '{', f);
		for (j = j->first; j != NULL; j = j->next) {
			write_tree(f, j);
			(void)fputc(' ', f);
		}
		(void)fputc(')', f);
		break;
	}
}

static const struct {
	const char *text;
	const char *want;
} good_json[] = {
	{ "{}", "{)" },
	{ "[]", "[)" },
	{ " { \"a\" : 1 , \"b\":[true,false,null] } ",
	    "{a:1 b:[true false null ) )" },
	{ "-12", "-12" },
	{ "3.7e2", "3" },
	{ "\"\"", "''" },
	{ "\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "'a\"\\/\b\f\n\r\tz'" },
	{ "\"\\u0041\\u00e4\\u20ac\\ud83d\\ude00\"",
	    "'A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80'" },
	{ "{\"a\":{\"b\":[{\"c\":\"d\"}]}}", "{a:{b:[{c:'d' ) ) ) )" },
};

static const char *const bad_json[] = { "", "{", "[", "[1", "[1,", "[1,]",
	"{\"a\"}", "{\"a\":}", "{a:1}", "{\"a\":1,}", "\"a", "\"a\\", "\"\\x\"",
	"\"\\u12\"", "\"\\u0000\"", "\"\\ud800\"", "\"\\ud800\\u0041\"",
	"\"\\udc00\"", "\"\\u+123\"", "\"a\nb\"", "tru", "nul", "1 2", "{} x",
	"+1", ".5", "-x0", "[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]" };

static void
json_is_read(void)
{
	const char *why;
	struct jread *j;
	char *text;
	size_t len;
	FILE *f;

	t_case("json: what the daemon answers is read (RFC 8259)");
	for (size_t i = 0; i < nitems(good_json); i++) {
		t_row("%s", good_json[i].text);
		j = jread_parse(good_json[i].text, strlen(good_json[i].text),
		    &why);
		t_true(j != NULL);
		if (j == NULL)
			continue;
		f = open_memstream(&text, &len);
		if (f == NULL)
			exit(1);
		write_tree(f, j);
		(void)fclose(f);
		t_str(text, good_json[i].want);
		free(text);
		jread_free(j);
	}
	t_case("json: what is malformed, or nested too deeply, is refused");
	for (size_t i = 0; i < nitems(bad_json); i++) {
		t_row("%s", bad_json[i]);
		why = NULL;
		j = jread_parse(bad_json[i], strlen(bad_json[i]), &why);
		t_true(j == NULL && why != NULL);
		jread_free(j);
	}
	t_row(NULL);
	t_true(jread_parse("\"a\0b\"", 5, &why) == NULL);
}

/* `show` of many recipients with a long body behind them. */
static void
strings_are_small(void)
{
	static char text[1 << 20];
	struct jread *j;
	const char *why;
	size_t len;

	t_case("json: a string takes its own room, not what follows it");
	len = (size_t)snprintf(text, sizeof text, "[\"short\",\"");
	memset(text + len, 'x', sizeof text - len);
	memcpy(text + sizeof text - 2, "\"]", 2);
	j = jread_parse(text, sizeof text, &why);
	t_true(j != NULL);
	if (j != NULL)
		t_true(malloc_usable_size(j->first->string) < 1000);
	jread_free(j);
}

static void
members_are_found(void)
{
	static const char text[] =
	    "{\"a\":\"x\",\"n\":5,\"z\":null,\"t\":true}";
	const char *why;
	struct jread *j = jread_parse(text, sizeof text - 1, &why);

	t_case("json: members are found by key and kind");
	t_str(jread_text(j, "a"), "x");
	t_str(jread_text(j, "n"), NULL);
	t_str(jread_text(j, "z"), NULL);
	t_str(jread_text(j, "no"), NULL);
	t_int(jread_int(j, "n", 9), 5);
	t_int(jread_int(j, "t", 9), 1);
	t_int(jread_int(j, "a", 9), 9);
	t_int(jread_int(j, "z", 9), 9);
	t_str(jread_text(NULL, "a"), NULL);
	jread_free(j);
}

static const struct {
	const char *text;
	const char *want;
} unsafe[] = {
	{ "plain ~ text", "plain ~ text" },
	{ "a\x1b[31mb", "a\\x1b[31mb" },
	{ "a\tb\nc\rd\x7f", "a\\x09b\\x0ac\\x0dd\\x7f" },
	{ "\xc3\xa4\xe2\x82\xac", "\xc3\xa4\xe2\x82\xac" },
	{ "\xc2\x9b"
	  "31m",
	    "\\u{9b}31m" },
	{ "\xe2\x80\xae"
	  "abc",
	    "\\u{202e}abc" },
	{ "\xff\xfe", "\\xff\\xfe" },
	{ "\xc0\x8a", "\\xc0\\x8a" },
	{ "\xe2\x82", "\\xe2\\x82" },
	{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },
	{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
	{ "\x80x", "\\x80x" },
};

static void
terminals_are_safe(void)
{
	char *copy;

	t_case("print: nothing that a terminal obeys gets there raw");
	for (size_t i = 0; i < nitems(unsafe); i++) {
		t_row("%zu", i);
		copy = print_safe_copy(unsafe[i].text);
		t_str(copy, unsafe[i].want);
		free(copy);
	}
}

static const struct {
	int64_t number;
	const char *age;
	const char *size;
} figures[] = {
	{ -5, "0s", "0" },
	{ 0, "0s", "0" },
	{ 59, "59s", "59" },
	{ 60, "1m", "60" },
	{ 61, "1m1s", "61" },
	{ 310, "5m10s", "310" },
	{ 600, "10m", "600" },
	{ 999, "16m", "999" },
	{ 1000, "16m", "1.0K" },
	{ 3599, "59m", "3.5K" },
	{ 11530, "3h12m", "11K" },
	{ 7200, "2h", "7.0K" },
	{ 86399, "23h59m", "84K" },
	{ 352800, "4d2h", "345K" },
	{ 1023000, "11d20h", "999K" },
	{ 1048576, "12d3h", "1.0M" },
	{ INT64_C(26214400), "303d9h", "25M" },
	{ INT64_C(1) << 40, "", "1.0T" },
};

static void
figures_are_short(void)
{
	char text[PRINT_SHORT_SIZE];

	t_case("print: ages and sizes are short");
	for (size_t i = 0; i < nitems(figures); i++) {
		t_row("%" PRId64, figures[i].number);
		print_size(text, figures[i].number);
		t_str(text, figures[i].size);
		if (i + 1 == nitems(figures))
			break;
		print_age(text, figures[i].number);
		t_str(text, figures[i].age);
	}
	t_case("print: times are RFC 3339 in UTC");
	t_int(print_read_time("2026-11-24T02:38:40Z"), 1795487920);
	t_int(print_read_time("2026-11-24T02:38:40.25Z"), 1795487920);
	t_int(print_read_time("2026-11-24T02:38:40"), -1);
	t_int(print_read_time("2026-11-24T02:38:40+01:00"), -1);
	t_int(print_read_time("soon"), -1);
}

static void
tables_are_aligned(void)
{
	static const struct table_column columns[] = { { "ID", false },
		{ "SIZE", true }, { "WHO", false }, { NULL, false } };
	struct table *t;
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	t_case("print: a table is as wide as its cells; notes are set in");
	if (f == NULL)
		exit(1);
	t = table_new(f, columns);
	table_cell(t, "x");
	table_cell(t, "12345");
	table_cell(t, "\xc3\xa4\x1b");
	table_row(t, "why\nnot");
	table_cell(t, "longer");
	table_cell(t, "1");
	table_cell(t, NULL);
	table_cell(t, "one too many");
	table_row(t, NULL);
	t_int(table_rows(t), 2);
	table_end(t);
	(void)fclose(f);
	t_str(text,
	    "ID       SIZE  WHO\n"
	    "x       12345  \xc3\xa4\\x1b\n"
	    "    why\\x0anot\n"
	    "longer      1  -\n");
	free(text);

	t_case("print: an empty table has no head");
	f = open_memstream(&text, &len);
	if (f == NULL)
		exit(1);
	table_end(table_new(f, columns));
	(void)fclose(f);
	t_str(text, "");
	free(text);
}

/* Parse "json", and print it by "print". To free(3). */
static char *
printed(const char *json, void (*print)(FILE *, const struct jread *))
{
	const char *why;
	struct jread *j = jread_parse(json, strlen(json), &why);
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL || j == NULL)
		exit(1);
	print(f, j);
	(void)fclose(f);
	jread_free(j);
	return text;
}

static void
describe(FILE *f, const struct jread *j)
{
	describe_write(f, j, 0);
}

static void
answers_are_described(void)
{
	char *text;

	t_case("describe: whatever an answer holds is shown, text last");
	text = printed(
	    "{\"id\":\"x\",\"size\":4200,\"headers\":\"A: b\\nC\\u001b\\n\","
	    "\"mx\":[\"a\",\"b\"],\"none\":[],\"last_error\":null,"
	    "\"rcpts\":[{\"to\":\"a\"},{\"to\":\"b\"}],"
	    "\"queue\":{\"ready\":1}}",
	    describe);
	t_str(text,
	    "id:   x\n"
	    "size: 4.1K\n"
	    "mx:   a b\n"
	    "rcpts:\n"
	    "    to: a\n"
	    "\n"
	    "    to: b\n"
	    "queue:\n"
	    "    ready: 1\n"
	    "\n"
	    "A: b\nC\\x1b\n");
	free(text);
}

static void
prometheus_reads_it(void)
{
	char *text;

	t_case("status: figures as Prometheus reads them");
	text = printed(
	    "{\"uptime\":5,\"paused\":false,\"version\":\"x\","
	    "\"queue\":{\"ready\":1,\"held\":0},\"tls\":{\"TLSv1.2\":4},"
	    "\"deferred_by_reason\":{\"remote-4xx\":3,\"a\\\"b\":1},"
	    "\"e\":{}}",
	    status_prometheus);
	t_str(text,
	    "# TYPE sealpost_uptime gauge\n"
	    "sealpost_uptime 5\n"
	    "# TYPE sealpost_paused gauge\n"
	    "sealpost_paused 0\n"
	    "# TYPE sealpost_queue_ready gauge\n"
	    "sealpost_queue_ready 1\n"
	    "# TYPE sealpost_queue_held gauge\n"
	    "sealpost_queue_held 0\n"
	    "# TYPE sealpost_tls_TLSv1_2 counter\n"
	    "sealpost_tls_TLSv1_2 4\n"
	    "# TYPE sealpost_deferred_by_reason counter\n"
	    "sealpost_deferred_by_reason{reason=\"remote-4xx\"} 3\n"
	    "sealpost_deferred_by_reason{reason=\"a\\\"b\"} 1\n");
	free(text);
}

int
main(void)
{
	json_is_read();
	strings_are_small();
	members_are_found();
	terminals_are_safe();
	figures_are_short();
	tables_are_aligned();
	answers_are_described();
	prometheus_reads_it();
	return t_done();
}
