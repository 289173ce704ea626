#include "smtpd/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/t.h"

/* Parse all of "bytes" in pieces; the result, and the bytes taken. */
static int
parse(struct reply_parser *p, const char *bytes, size_t len, size_t piece,
    size_t *taken, const char **why)
{
	size_t used, n;
	int got = 0;

	reply_start(p);
	*taken = 0;
	while (got == 0 && *taken < len) {
		n = len - *taken < piece ? len - *taken : piece;
		got = reply_parse(p, bytes + *taken, n, &used, why);
		*taken += used;
	}
	return got;
}

struct good {
	const char *what;
	const char *bytes;
	int code;
	const char *dsn;
	const char *text;
	size_t taken; /* 0: all */
};

/* clang-format off */
static const struct good goods[] = {
	{ "one line", "250 OK\r\n", 250, "", "OK", 0 },
	{ "code alone", "250\r\n", 250, "", "", 0 },
	{ "code and blank", "250 \r\n", 250, "", "", 0 },
	{ "several lines", "250-mx\r\n250-SIZE 10\r\n250 HELP\r\n", 250, "",
	    "mx\nSIZE 10\nHELP", 0 },
	{ "an empty line within", "250-a\r\n250-\r\n250 b\r\n", 250, "",
	    "a\n\nb", 0 },
	{ "enhanced code", "550 5.1.1 no such user\r\n", 550, "5.1.1",
	    "5.1.1 no such user", 0 },
	{ "enhanced code alone", "550 5.1.10\r\n", 550, "5.1.10", "5.1.10", 0 },
	{ "three digits", "421 4.123.456 x\r\n", 421, "4.123.456",
	    "4.123.456 x", 0 },
	{ "of another class", "550 4.1.1 no\r\n", 550, "", "4.1.1 no", 0 },
	{ "no enhanced code: version", "250 2.0 ok\r\n", 250, "", "2.0 ok", 0 },
	{ "no enhanced code: four digits", "250 2.0.1234 ok\r\n", 250, "",
	    "2.0.1234 ok", 0 },
	{ "no enhanced code: word", "250 2.0.0x ok\r\n", 250, "", "2.0.0x ok",
	    0 },
	{ "of the first line", "550-5.7.1 a\r\n550 5.1.1 b\r\n", 550, "5.7.1",
	    "5.7.1 a\n5.1.1 b", 0 },
	{ "controls are masked", "550 a\tb\x1b[2J\x7f\r\n", 550, "",
	    "a?b?[2J?", 0 },
	{ "bytes over 127 are masked", "550 \xc3\xa4\r\n", 550, "", "??", 0 },
	{ "the next reply is left", "220 a\r\n250 b\r\n", 220, "", "a", 7 },
};

static const struct { const char *what; const char *bytes; size_t len; }
bads[] = {
	{ "no code", "hello\r\n", 7 },
	{ "empty line", "\r\n", 2 },
	{ "two digits", "25 ok\r\n", 7 },
	{ "code of 1xx", "100 ok\r\n", 8 },
	{ "code of 6xx", "600 ok\r\n", 8 },
	{ "four digits", "2500 ok\r\n", 9 },
	{ "other separator", "250_ok\r\n", 8 },
	{ "codes differ", "250-a\r\n251 b\r\n", 14 },
	{ "second line without code", "250-a\r\nb\r\n", 10 },
	{ "bare LF", "250 ok\n", 7 },
	{ "bare LF within", "250-a\n250 b\r\n", 13 },
	{ "bare CR", "250 o\rk\r\n", 9 },
	{ "CR CR LF", "250 ok\r\r\n", 9 },
	{ "NUL", "250 o\0k\r\n", 9 },
	{ "NUL in the code", "2\0000 ok\r\n", 8 },
	{ "HTTP", "HTTP/1.1 400 Bad Request\r\n", 26 },
};
/* clang-format on */

static void
right(size_t piece)
{
	struct reply_parser p;
	const struct good *g;
	const char *why;
	size_t i, taken;

	for (i = 0; i < sizeof goods / sizeof goods[0]; i++) {
		g = &goods[i];
		t_row("%s, pieces of %zu", g->what, piece);
		t_int(parse(&p, g->bytes, strlen(g->bytes), piece, &taken,
			  &why),
		    1);
		t_int(p.reply.code, g->code);
		t_str(p.reply.dsn, g->dsn);
		t_str(p.reply.text, g->text);
		t_int(taken, g->taken != 0 ? g->taken : strlen(g->bytes));
	}
}

static void
wrong(size_t piece)
{
	struct reply_parser p;
	const char *why;
	size_t i, taken;

	for (i = 0; i < sizeof bads / sizeof bads[0]; i++) {
		why = NULL;
		t_row("%s, pieces of %zu", bads[i].what, piece);
		t_int(parse(&p, bads[i].bytes, bads[i].len, piece, &taken,
			  &why),
		    -1);
		t_true(why != NULL);
	}
}

static void
bounds(void)
{
	static char many[200 * 8 + 1], line[3000];
	struct reply_parser p;
	const char *why;
	size_t i, taken;

	t_case("a line over 2 KiB is refused, with or without its end");
	memset(line, 'x', sizeof line);
	memcpy(line, "250 ", 4);
	t_int(parse(&p, line, sizeof line, 1, &taken, &why), -1);
	t_int(taken, REPLY_LINE_MAX);
	t_int(parse(&p, line, sizeof line, sizeof line, &taken, &why), -1);
	memcpy(line + REPLY_LINE_MAX - 2, "\r\n", 2);
	t_int(parse(&p, line, sizeof line, 7, &taken, &why), 1);
	t_int(taken, REPLY_LINE_MAX);

	t_case("a reply of more than 100 lines is refused");
	for (i = 0; i < 200; i++)
		memcpy(many + 8 * i, "250-ab\r\n", 8);
	t_int(parse(&p, many, 1600, 1600, &taken, &why), -1);
	t_int(taken, 8 * (REPLY_LINES_MAX + 1));
	memcpy(many + 8 * (REPLY_LINES_MAX - 1), "250 ab\r\n", 8);
	t_int(parse(&p, many, 1600, 5, &taken, &why), 1);

	t_case("text beyond what is kept is left out by whole lines");
	for (i = 0; i < 4; i++) {
		memset(many, 'x', sizeof many - 1);
		memcpy(many, "250-", 4);
		memcpy(many + sizeof many - 3, "\r\n", 2);
	}
	reply_start(&p);
	for (i = 0; i < 4; i++)
		t_int(reply_parse(&p, many, sizeof many - 1, &taken, &why), 0);
	t_int(reply_parse(&p, "250 end\r\n", 9, &taken, &why), 1);
	t_true(strlen(p.reply.text) < REPLY_TEXT_SIZE);
}

static void
shown(void)
{
	struct reply_parser p;
	const char *why;
	char text[32], line[8];
	size_t taken, pos = 0;

	t_case("a reply is shown on one line, and cut");
	t_int(parse(&p, "550-5.1.1 a\r\n550 b\r\n", 20, 20, &taken, &why), 1);
	reply_show(&p.reply, text, sizeof text);
	t_str(text, "550 5.1.1 a b");
	reply_show(&p.reply, text, 6);
	t_str(text, "550 5");

	t_case("its lines are stepped through");
	t_true(reply_line(&p.reply, &pos, line, sizeof line));
	t_str(line, "5.1.1 a");
	t_true(reply_line(&p.reply, &pos, line, sizeof line));
	t_str(line, "b");
	t_true(!reply_line(&p.reply, &pos, line, sizeof line));
}

int
main(void)
{
	t_case("replies as RFC 5321 4.2 and RFC 2034 have them");
	right(1000);
	right(1);
	right(3);
	t_case("what is no reply is refused");
	wrong(1000);
	wrong(1);
	bounds();
	shown();
	return t_done();
}
