/*
 * The SMTP server engine, driven by tests/smtp/server-*.txt in memory, with
 * what the client sends in pieces of several sizes.
 *
 * @ relay no			the client may not relay
 * @ local, @ batch, @ size N, @ rcpts N
 * @ answer CODE DSN TEXT	to the message; default 250 2.0.0 queued
 * = FROM TO,TO FLAGS CONTENT	each message that was complete ("-" for <>);
 *				TO is ADDRESS[/ORCPT][!NOTIFY]
 * = ctl REQUEST
 * ! ENDED, ! OPEN, ! EOF, ! TIMEOUT
 */

#include "smtpd/server.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/server_cmd.h"
#include "tests/script.h"
#include "tests/t.h"

#define RESULTS_MAX 8

static struct {
	size_t piece;
	struct server *s;
	struct buf in;
	struct buf out; /* what the engine said and no line has claimed */
	char content[1 << 18];
	size_t content_len;
	char *results[RESULTS_MAX];
	size_t lens[RESULTS_MAX];
	size_t count;
	int code;
	char dsn[16];
	char text[64];
} d;

static int
expand(void *arg, const char *address,
    int (*add)(void *add_arg, const char *address), void *add_arg,
    const char **why)
{
	(void)arg;
	if (strcmp(address, "loop") == 0) {
		*why = "it leads back to itself";
		(void)add(add_arg, "half@way.test");
		return -1;
	}
	if (strcmp(address, "root") == 0)
		return add(add_arg, "admin@there.test") == 0 &&
			add(add_arg, "boss@there.test") == 0
		    ? 2
		    : -1;
	return add(add_arg, address) == 0 ? 1 : -1;
}

static struct server_params
settings(const struct script *script)
{
	struct server_params p = { .hostname = "relay.test",
		.size_max = 1000,
		.rcpt_max = 100,
		.may_relay = true };
	const struct script_line *line;
	char what[64], word[64];
	size_t i;

	d.code = 250;
	(void)strlcpy(d.dsn, "2.0.0", sizeof d.dsn);
	(void)strlcpy(d.text, "queued", sizeof d.text);
	for (i = 0; i < script->count; i++) {
		line = &script->lines[i];
		if (line->kind != '@')
			continue;
		script_word(line, 0, what, sizeof what);
		script_word(line, 1, word, sizeof word);
		if (strcmp(what, "relay") == 0)
			p.may_relay = false;
		else if (strcmp(what, "local") == 0)
			p.is_local = true;
		else if (strcmp(what, "batch") == 0)
			p.is_batch = true;
		else if (strcmp(what, "aliases") == 0)
			p.expand = expand;
		else if (strcmp(what, "size") == 0)
			p.size_max = (uint64_t)atoll(word);
		else if (strcmp(what, "rcpts") == 0)
			p.rcpt_max = (unsigned)atoi(word);
		else if (strcmp(what, "answer") == 0) {
			d.code = atoi(word);
			script_word(line, 2, d.dsn, sizeof d.dsn);
			script_word(line, 3, d.text, sizeof d.text);
		}
	}
	return p;
}

static void
keep_result(const char *head)
{
	size_t len = strlen(head);

	d.lens[d.count] = len + d.content_len;
	d.results[d.count] = malloc(d.lens[d.count] + 1);
	memcpy(d.results[d.count], head, len);
	memcpy(d.results[d.count] + len, d.content, d.content_len);
	d.count++;
}

static void
take_message(void)
{
	const struct envelope *env = server_envelope(d.s);
	char head[4096];
	size_t i, len;

	len = (size_t)snprintf(head, sizeof head, "%s ",
	    env->sender[0] != '\0' ? env->sender : "-");
	for (i = 0; i < env->rcpt_count; i++) {
		len += (size_t)snprintf(head + len, sizeof head - len,
		    "%s%s%s%s", i > 0 ? "," : "", env->rcpts[i].address,
		    env->rcpts[i].orcpt[0] != '\0' ? "/" : "",
		    env->rcpts[i].orcpt);
		if (env->rcpts[i].notify != 0)
			len += (size_t)snprintf(head + len, sizeof head - len,
			    "!%u", env->rcpts[i].notify);
	}
	(void)snprintf(head + len, sizeof head - len, " %u ", env->flags);
	keep_result(head);
	server_answer(d.s, d.code, d.dsn, d.text, 1);
}

static bool
serve(void)
{
	const char *bytes;
	char head[4200];
	size_t len;
	bool first;

	switch (server_need(d.s)) {
	case SERVER_NEEDS_PEER:
	case SERVER_ENDED:
		return false;
	case SERVER_HAS_CONTENT:
		bytes = server_content(d.s, &len, &first);
		if (first)
			d.content_len = 0;
		memcpy(d.content + d.content_len, bytes, len);
		d.content_len += len;
		return true;
	case SERVER_NEEDS_VERDICT:
		take_message();
		d.content_len = 0;
		return true;
	case SERVER_HAS_CTL:
		(void)snprintf(head, sizeof head, "ctl %s", server_ctl(d.s));
		d.content_len = 0;
		keep_result(head);
		server_answer(d.s, 550, "5.7.1", "no", 1);
		return true;
	}
	return false;
}

static void
take_output(void)
{
	size_t len;
	const char *bytes = server_output(d.s, &len);

	buf_add(&d.out, bytes, len);
	server_sent(d.s, len, 1);
}

static void
pump(void)
{
	size_t used;

	do {
		used =
		    server_input(d.s, d.in.mem + d.in.start, buf_len(&d.in), 1);
		while (serve())
			;
		take_output();
		buf_take(&d.in, used);
	} while (used > 0 && buf_len(&d.in) > 0);
}

static void
give(const char *bytes, size_t len)
{
	size_t n;

	while (len > 0) {
		n = d.piece == 0 || d.piece > len ? len : d.piece;
		buf_add(&d.in, bytes, n);
		bytes += n;
		len -= n;
		pump();
	}
}

/* All that the client sends up to the server's next line, as one. */
static size_t
gather(const struct script *script, size_t i)
{
	static char bytes[1 << 18];
	const struct script_line *line;
	size_t len = 0;

	for (; i < script->count; i++) {
		line = &script->lines[i];
		if (line->kind != 'C' && line->kind != 'c')
			break;
		memcpy(bytes + len, line->text, line->len);
		len += line->len;
		if (line->kind == 'C') {
			memcpy(bytes + len, "\r\n", 2);
			len += 2;
		}
	}
	give(bytes, len);
	return i;
}

static void
expect(const struct script_line *line)
{
	char want[4096];
	size_t n;

	memcpy(want, line->text, line->len);
	memcpy(want + line->len, "\r\n", 2);
	n = buf_len(&d.out) < line->len + 2 ? buf_len(&d.out) : line->len + 2;
	t_mem(buf_bytes(&d.out), n, want, line->len + 2);
	buf_take(&d.out, n);
}

static void
event(const struct script_line *line)
{
	if (strcmp(line->text, "ENDED") == 0)
		t_int(server_need(d.s), SERVER_ENDED);
	else if (strcmp(line->text, "OPEN") == 0)
		t_int(server_need(d.s), SERVER_NEEDS_PEER);
	else if (strcmp(line->text, "EOF") == 0)
		server_eof(d.s);
	else if (strcmp(line->text, "TIMEOUT") == 0) {
		server_expire(d.s, server_deadline(d.s) - 1);
		t_int(server_need(d.s), SERVER_NEEDS_PEER);
		server_expire(d.s, server_deadline(d.s));
		take_output();
	}
}

static void
check_results(const struct script *script)
{
	size_t i, n = 0;

	for (i = 0; i < script->count; i++) {
		if (script->lines[i].kind != '=')
			continue;
		t_row("line %d, pieces of %zu", script->lines[i].number,
		    d.piece);
		t_mem(n < d.count ? d.results[n] : "(none)",
		    n < d.count ? d.lens[n] : 6, script->lines[i].text,
		    script->lines[i].len);
		n++;
	}
	t_int(d.count, n);
	for (i = 0; i < d.count; i++)
		free(d.results[i]);
}

static void
play(const struct script *script, size_t piece)
{
	struct server_params params;
	size_t i = 0;

	memset(&d, 0, sizeof d);
	buf_init(&d.in, 1 << 20);
	buf_init(&d.out, 1 << 20);
	d.piece = piece;
	params = settings(script);
	d.s = server_new(&params, 0);
	take_output();
	while (i < script->count) {
		t_row("line %d, pieces of %zu", script->lines[i].number, piece);
		switch (script->lines[i].kind) {
		case 'C':
		case 'c':
			t_mem(buf_bytes(&d.out), buf_len(&d.out), "", 0);
			i = gather(script, i);
			continue;
		case 'S':
			expect(&script->lines[i]);
			break;
		case '!':
			event(&script->lines[i]);
			break;
		default:
			break;
		}
		i++;
	}
	t_row("at the end, pieces of %zu", piece);
	t_mem(buf_bytes(&d.out), buf_len(&d.out), "", 0);
	check_results(script);
	server_free(d.s);
	buf_clear(&d.in);
	buf_clear(&d.out);
}

static void
run(const struct script *script)
{
	static const size_t pieces[] = { 0, 1, 2, 3, 7 };
	size_t i;

	t_case(script->title);
	for (i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
		play(script, pieces[i]);
}

/* ---- what has no place in a transcript ---- */

static struct server *
opened(const char *commands)
{
	struct server_params p = { .hostname = "relay.test",
		.size_max = 1000000,
		.rcpt_max = 100,
		.may_relay = true };
	struct server *s = server_new(&p, 0);
	char bytes[1000];
	size_t len = strlen(commands), used = 0, n;

	memcpy(bytes, commands, len);
	while (used < len &&
	    (n = server_input(s, bytes + used, len - used, 0)) > 0)
		used += n;
	(void)server_output(s, &n);
	server_sent(s, n, 0);
	return s;
}

static const char *const to_data =
    "EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n";

/*
 * What different servers take for the end of content; none of these may end
 * it here, wherever the pieces are cut.
 */
static void
smuggling(void)
{
	static const char *const ends[] = { "\n.\n", "\r\n.\n", "\n.\r\n",
		"\r.\r", "\r.\r\n", "\r\n.\r", "\r\n\r.\r\n", "\r\n.\r\r\n",
		"\n\n.\n\n", "\r\r\n.\r\n", "\r\n.\n\r\n", "\n\r.\r\n" };
	char bytes[200];
	struct server *s;
	const char *out;
	size_t i, cut, len, used, n, k;
	bool first;

	t_case("no bare CR or LF ends content: 554 and the session is over "
	       "(SMTP smuggling)");
	for (i = 0; i < sizeof ends / sizeof ends[0]; i++) {
		len = (size_t)snprintf(bytes, sizeof bytes,
		    "one%sMAIL FROM:<x@y.test>\r\n.\r\n", ends[i]);
		for (cut = 1; cut < len; cut++) {
			s = opened(to_data);
			(void)snprintf(bytes, sizeof bytes,
			    "one%sMAIL FROM:<x@y.test>\r\n.\r\n", ends[i]);
			used = 0;
			for (k = 0; k < 20 && used < len; k++) {
				n = used < cut ? cut : len;
				used +=
				    server_input(s, bytes + used, n - used, 0);
				if (server_need(s) == SERVER_HAS_CONTENT)
					(void)server_content(s, &n, &first);
			}
			t_row("end %zu cut at %zu", i, cut);
			t_int(server_need(s), SERVER_ENDED);
			out = server_output(s, &n);
			t_mem(out, n < 9 ? n : 9, "554 5.6.0", 9);
			server_free(s);
		}
	}
}

static void
endless_line(void)
{
	static char bytes[10000];
	struct server *s;
	size_t i, n, len;
	const char *out;

	t_case("an endless command is passed over in bounded memory, then 500");
	s = opened("");
	memset(bytes, 'x', sizeof bytes);
	for (i = 0; i < 100; i++)
		t_int(server_input(s, bytes, sizeof bytes, 1), sizeof bytes);
	(void)server_output(s, &len);
	t_int(len, 0);
	memcpy(bytes, "\r\nNOOP\r\n", 8);
	n = server_input(s, bytes, 8, 1);
	t_int(n, 8);
	out = server_output(s, &len);
	t_mem(out, len, "500 5.5.2 line too long\r\n250 2.0.0 ok\r\n", 39);
	server_free(s);

	t_case("and is no progress: the session times out");
	s = opened("");
	(void)server_input(s, bytes + 100, 9000, 200000);
	(void)server_input(s, bytes + 100, 9000, 299999);
	t_int(server_deadline(s), 300000);
	server_free(s);
}

static void
slow_reader(void)
{
	static char bytes[60000];
	struct server *s;
	size_t i, n, len;

	t_case("a client that does not read its replies is not read either");
	s = opened("");
	for (i = 0; i < 10000; i++)
		memcpy(bytes + 6 * i, "HELP\r\n", 6);
	n = server_input(s, bytes, sizeof bytes, 0);
	t_true(n < sizeof bytes);
	(void)server_output(s, &len);
	t_true(len < 9000);
	t_int(server_input(s, bytes + n, sizeof bytes - n, 0), 0);
	server_free(s);
}

static void
oversize(void)
{
	static char bytes[100002];
	struct server *s = opened(to_data);
	size_t i, len, fed = 0;
	const char *out;
	bool first;

	t_case("content far beyond the limit is passed over, but not for ever");
	memset(bytes, 'x', sizeof bytes);
	(void)memcpy(bytes + 50000, "\r\n", 2);
	memcpy(bytes + 100000, "\r\n", 2);
	for (i = 0; i < 3000 && server_need(s) != SERVER_ENDED; i++) {
		fed += server_input(s, bytes, sizeof bytes, 0);
		if (server_need(s) == SERVER_HAS_CONTENT)
			(void)server_content(s, &len, &first);
	}
	t_true(fed > 250000000 && fed < 270000000);
	out = server_output(s, &len);
	t_mem(out, len < 9 ? len : 9, "552 5.3.4", 9);
	server_free(s);
}

static void
content_deadline(void)
{
	struct server *s = opened(to_data);
	char bytes[4];
	int64_t t;
	size_t len;
	bool first;

	t_case("content that trickles in ends after an hour in all");
	for (t = 0; t < 3600000; t += 100000) {
		memcpy(bytes, "x", 1);
		t_int(server_input(s, bytes, 1, t), 1);
		(void)server_content(s, &len, &first);
	}
	t_int(server_deadline(s), 3600000);
	server_expire(s, 3600000);
	t_int(server_need(s), SERVER_ENDED);
	server_free(s);
}

static void
many_commands(void)
{
	struct server *s = opened("EHLO x\r\nMAIL FROM:<a@b.test>\r\n");
	char line[100];
	const char *out;
	size_t i, len;

	t_case("a thousand recipients are no idle talk (RFC 5321 4.5.3.1.8)");
	s->params.rcpt_max = 1000;
	for (i = 0; i < 1000; i++) {
		len = (size_t)snprintf(line, sizeof line,
		    "RCPT TO:<u%zu@d.test>\r\n", i);
		t_int(server_input(s, line, len, 1), len);
		out = server_output(s, &len);
		t_mem(out, len, "250 2.1.5 recipient ok\r\n", 24);
		server_sent(s, len, 1);
	}
	t_int(server_envelope(s)->rcpt_count, 1000);
	server_free(s);

	t_case("but two hundred commands to no end are enough");
	s = opened("EHLO x\r\n");
	for (i = 0; i < 199; i++) {
		memcpy(line, "NOOP\r\n", 6);
		t_int(server_input(s, line, 6, 1), 6);
		(void)server_output(s, &len);
		server_sent(s, len, 1);
	}
	t_int(server_need(s), SERVER_NEEDS_PEER);
	(void)server_input(s, line, 6, 1);
	t_int(server_need(s), SERVER_ENDED);
	server_free(s);
}

static void
every_row_is_named(void)
{
	size_t i;

	t_case("every command has a verb and a function, and is found");
	for (i = 0; server_rows[i].verb != NULL; i++) {
		t_true(server_rows[i].run != NULL);
		t_true(server_row(server_rows[i].verb,
			   strlen(server_rows[i].verb)) == &server_rows[i]);
	}
	t_true(server_row("NOOPX", 5) == NULL);
	t_true(server_row("", 0) == NULL);
	t_true(server_row("noop x", 6) != NULL);
}

int
main(void)
{
	glob_t g;
	size_t i;
	int cases = 0;

	every_row_is_named();
	smuggling();
	endless_line();
	slow_reader();
	oversize();
	content_deadline();
	many_commands();
	if (glob("tests/smtp/server-*.txt", 0, NULL, &g) != 0)
		return 1;
	for (i = 0; i < g.gl_pathc; i++)
		cases += script_each(g.gl_pathv[i], run);
	globfree(&g);
	t_case("there are transcripts");
	t_true(cases > 20);
	return t_done();
}
