/*
 * The SMTP client engine, driven by tests/smtp/client-*.txt in memory, once
 * with every line as one piece and once byte by byte.
 *
 * @ tls starttls|implicit|clear	default clear
 * @ verdict no			the verdict forbids: quit
 * @ auth USER PASSWORD
 * @ from ADDRESS, @ to ADDRESS [NOTIFY [ORCPT]]
 * @ envid XTEXT, @ ret full|hdrs, @ 8bit, @ utf8
 * @ body TEXT			default "Hi\r\n"
 * @ message			what follows is the next message
 * = OUTCOME REASON DSN		of each recipient in order, all messages;
 *				"untried" for one over the limit; without
 *				messages, of the session
 */

#include "smtpd/client.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/envelope.h"
#include "smtpd/base/buf.h"
#include "smtpd/client_step.h"
#include "tests/script.h"
#include "tests/t.h"

#define MESSAGES_MAX 8
#define RCPTS_MAX 128

struct mail {
	struct client_message m;
	struct client_rcpt rcpts[RCPTS_MAX];
	const char *body;
	size_t body_len;
};

static struct {
	const struct script *script;
	size_t piece; /* bytes at a time; 0: all */
	struct client *c;
	struct client_pass *pass;
	struct mail mails[MESSAGES_MAX];
	char words[MESSAGES_MAX * RCPTS_MAX][256];
	size_t word_count;
	size_t mail_count;
	size_t sent; /* messages given to the engine */
	size_t collected;
	size_t fed;
	bool refuse;
	bool secured;
	struct client_auth auth;
	struct buf out; /* what the engine wrote and no line has claimed */
	char results[MESSAGES_MAX * RCPTS_MAX][64];
	size_t result_count;
} d;

static const char *
keep(const struct script_line *line, size_t n)
{
	char *word = d.words[d.word_count++];

	return script_word(line, n, word, sizeof d.words[0]);
}

static struct mail *
next_mail(void)
{
	struct mail *mail = &d.mails[d.mail_count++];

	memset(mail, 0, sizeof *mail);
	mail->m.sender = "a@here.test";
	mail->m.rcpts = mail->rcpts;
	mail->body = "Hi\r\n";
	mail->body_len = 4;
	return mail;
}

static void
set_mail(const struct script_line *line, const char *what)
{
	struct mail *mail;
	char word[64];

	mail = d.mail_count > 0 && strcmp(what, "message") != 0
	    ? &d.mails[d.mail_count - 1]
	    : next_mail();
	if (strcmp(what, "from") == 0) {
		mail->m.sender = keep(line, 1);
	} else if (strcmp(what, "to") == 0) {
		struct client_rcpt *to = &mail->rcpts[mail->m.rcpt_count++];

		to->address = keep(line, 1);
		to->notify =
		    (unsigned)atoi(script_word(line, 2, word, sizeof word));
		to->orcpt = keep(line, 3);
	} else if (strcmp(what, "envid") == 0) {
		mail->m.envid = keep(line, 1);
	} else if (strcmp(what, "ret") == 0) {
		mail->m.ret = strcmp(keep(line, 1), "full") == 0
		    ? CLIENT_RET_FULL
		    : CLIENT_RET_HDRS;
	} else if (strcmp(what, "8bit") == 0) {
		mail->m.eightbit = true;
	} else if (strcmp(what, "utf8") == 0) {
		mail->m.smtputf8 = true;
	} else if (strcmp(what, "body") == 0) {
		mail->body = line->text + 5;
		mail->body_len = line->len - 5;
	}
	mail->m.size = mail->body_len;
}

static enum client_tls
settings(const struct script *script)
{
	enum client_tls tls = CLIENT_TLS_CLEAR;
	char what[64], word[64];
	size_t i;

	for (i = 0; i < script->count; i++) {
		if (script->lines[i].kind != '@')
			continue;
		script_word(&script->lines[i], 0, what, sizeof what);
		script_word(&script->lines[i], 1, word, sizeof word);
		if (strcmp(what, "tls") == 0)
			tls = strcmp(word, "starttls") == 0
			    ? CLIENT_TLS_STARTTLS
			    : strcmp(word, "implicit") == 0
			    ? CLIENT_TLS_IMPLICIT
			    : CLIENT_TLS_CLEAR;
		else if (strcmp(what, "verdict") == 0)
			d.refuse = true;
		else if (strcmp(what, "auth") == 0) {
			d.auth.user = keep(&script->lines[i], 1);
			d.auth.password = keep(&script->lines[i], 2);
		} else
			set_mail(&script->lines[i], what);
	}
	return tls;
}

static void
write_result(const struct client_result *r)
{
	static const char *const outcomes[] = { "deliver", "defer", "bounce" };

	(void)snprintf(d.results[d.result_count++], sizeof d.results[0],
	    "%s %s %s", r->tried ? outcomes[r->trouble.outcome] : "untried",
	    reason_word(r->trouble.reason), r->trouble.dsn);
}

static void
collect(void)
{
	size_t i;

	if (d.collected == d.sent)
		return;
	for (i = 0; i < d.mails[d.collected].m.rcpt_count; i++)
		write_result(client_result(d.pass, i));
	d.collected++;
}

static void
proceed(void)
{
	if (d.refuse)
		client_quit(d.c, 1);
	else if (client_security(d.c) == CLIENT_SECURE)
		d.pass = client_proceed(d.c,
		    d.auth.user != NULL ? &d.auth : NULL, 1);
	else
		d.pass = client_proceed_in_clear(d.c, 1);
}

static void
feed(void)
{
	const struct mail *mail = &d.mails[d.sent - 1];
	size_t n = mail->body_len - d.fed;

	if (d.piece != 0 && n > d.piece)
		n = d.piece;
	client_feed(d.c, mail->body + d.fed, n, 1);
	d.fed += n;
}

/* One thing that the engine needs; false when it waits for the peer. */
static bool
serve(void)
{
	switch (client_need(d.c)) {
	case CLIENT_NEEDS_PEER:
	case CLIENT_NEEDS_TLS:
		return false;
	case CLIENT_ENDED:
		collect();
		return false;
	case CLIENT_NEEDS_VERDICT:
		proceed();
		return true;
	case CLIENT_NEEDS_BODY:
		feed();
		return true;
	case CLIENT_NEEDS_MESSAGE:
		collect();
		d.fed = 0;
		if (d.sent < d.mail_count)
			client_send_message(d.pass, &d.mails[d.sent++].m, 1);
		else
			client_quit(d.c, 1);
		return true;
	}
	return false;
}

static void
take_output(void)
{
	size_t len;
	const char *bytes = client_output(d.c, &len);

	buf_add(&d.out, bytes, len);
	client_sent(d.c, len, 1);
}

static void
pump(void)
{
	take_output();
	while (serve())
		take_output();
	take_output();
}

static void
give(const struct script_line *line)
{
	char bytes[70000];
	size_t i, n, len = line->len;

	memcpy(bytes, line->text, len);
	if (line->kind == 'S') {
		memcpy(bytes + len, "\r\n", 2);
		len += 2;
	}
	for (i = 0; i < len; i += n) {
		n = d.piece == 0 || d.piece > len - i ? len - i : d.piece;
		client_input(d.c, bytes + i, n, 1);
		pump();
	}
}

static void
expect(const struct script_line *line)
{
	char want[70000];
	size_t len = line->len, n;

	memcpy(want, line->text, len);
	if (line->kind == 'C') {
		memcpy(want + len, "\r\n", 2);
		len += 2;
	}
	n = buf_len(&d.out) < len ? buf_len(&d.out) : len;
	t_mem(buf_bytes(&d.out), n, want, len);
	buf_take(&d.out, n);
}

static void
event(const struct script_line *line)
{
	if (strcmp(line->text, "EOF") == 0) {
		client_eof(d.c, 2);
	} else if (strcmp(line->text, "TIMEOUT") == 0) {
		client_expire(d.c, client_deadline(d.c) - 1);
		t_true(client_need(d.c) != CLIENT_ENDED);
		client_expire(d.c, client_deadline(d.c));
		t_int(client_need(d.c), CLIENT_ENDED);
	} else if (strcmp(line->text, "TLS") == 0) {
		t_int(client_need(d.c), CLIENT_NEEDS_TLS);
		client_secured(d.c, 1);
	}
	pump();
}

static void
check_results(void)
{
	size_t i, n = 0;

	if (d.sent == 0)
		write_result(client_trouble(d.c));
	for (i = 0; i < d.script->count; i++) {
		if (d.script->lines[i].kind != '=')
			continue;
		t_row("line %d", d.script->lines[i].number);
		t_str(n < d.result_count ? d.results[n] : NULL,
		    d.script->lines[i].text);
		n++;
	}
	t_int(n, d.sent == 0 && n == 0 ? 0 : (long long)d.result_count);
}

static void
play(const struct script *script, size_t piece)
{
	struct client_params params = { .helo = "relay.test" };
	size_t i;

	memset(&d, 0, sizeof d);
	buf_init(&d.out, 1 << 20);
	d.script = script;
	d.piece = piece;
	params.tls = settings(script);
	d.c = client_new(&params, 0);
	pump();
	for (i = 0; i < script->count; i++) {
		t_row("line %d, pieces of %zu", script->lines[i].number, piece);
		switch (script->lines[i].kind) {
		case 'S':
		case 's':
			t_mem(buf_bytes(&d.out), buf_len(&d.out), "",
			    0); /* before its time */
			give(&script->lines[i]);
			break;
		case 'C':
		case 'c':
			expect(&script->lines[i]);
			break;
		case '!':
			event(&script->lines[i]);
			break;
		default:
			break;
		}
	}
	t_row("at the end, pieces of %zu", piece);
	t_mem(buf_bytes(&d.out), buf_len(&d.out), "", 0);
	t_int(client_need(d.c), CLIENT_ENDED);
	collect();
	check_results();
	client_free(d.c);
	buf_clear(&d.out);
}

static void
run(const struct script *script)
{
	t_case(script->title);
	play(script, 0);
	play(script, 1);
	play(script, 3);
}

static void
every_step_is_named(void)
{
	size_t i;

	t_case("every step has a name, and a timeout if it awaits a reply");
	for (i = 0; i < STEP_COUNT; i++) {
		t_row("step %zu", i);
		t_true(client_steps[i].name != NULL);
		t_true((client_steps[i].reply == NULL) ==
			(client_steps[i].timeout_s == 0) ||
		    i == STEP_HANDSHAKE);
	}
}

/* Greeting and EHLO, with these extensions. */
static struct client *
opened(enum client_tls tls, const char *ehlo)
{
	struct client_params params = { .helo = "relay.test", .tls = tls };
	struct client *c = client_new(&params, 0);
	size_t len;

	client_input(c, "220 mx\r\n", 8, 0);
	(void)client_output(c, &len);
	client_sent(c, len, 0);
	client_input(c, ehlo, strlen(ehlo), 0);
	return c;
}

static void
no_pass_without_tls(void)
{
	struct client *c;
	size_t len;

	t_case("no pass for an unsecured stream: nothing of an envelope can "
	       "leave");
	c = opened(CLIENT_TLS_STARTTLS, "250 mx\r\n");
	t_int(client_need(c), CLIENT_NEEDS_VERDICT);
	t_int(client_security(c), CLIENT_NOT_OFFERED);
	t_true(client_proceed(c, NULL, 1) == NULL);
	t_int(client_need(c), CLIENT_ENDED);
	(void)client_output(c, &len);
	t_int(len, 0);
	client_free(c);

	c = opened(CLIENT_TLS_STARTTLS, "250-mx\r\n250 STARTTLS\r\n");
	t_true(client_proceed(c, NULL, 1) == NULL);
	t_true(client_proceed_in_clear(c, 1) == NULL);
	client_free(c);

	c = opened(CLIENT_TLS_CLEAR, "250-mx\r\n250 STARTTLS\r\n");
	t_true(client_proceed(c, NULL, 1) == NULL);
	client_free(c);
}

static void
bytes_behind_starttls(void)
{
	struct client *c;
	size_t len;

	t_case("bytes in the same piece behind 220 to STARTTLS end the session "
	       "(RFC 3207, response injection)");
	c = opened(CLIENT_TLS_STARTTLS, "250-mx\r\n250 STARTTLS\r\n");
	(void)client_output(c, &len);
	client_sent(c, len, 0);
	client_input(c, "220 go\r\n250 x\r\n", 15, 1);
	t_int(client_need(c), CLIENT_ENDED);
	t_str(reason_word(client_trouble(c)->trouble.reason), "protocol-error");
	client_free(c);
}

static void
reply_before_its_command(void)
{
	struct client_params params = { .helo = "relay.test" };
	struct client *c;
	size_t len;

	t_case("a reply that comes before its command has left is refused");
	c = client_new(&params, 0);
	client_input(c, "220 mx\r\n250 mx\r\n", 16, 1);
	t_int(client_need(c), CLIENT_ENDED);
	t_str(reason_word(client_trouble(c)->trouble.reason), "protocol-error");
	client_free(c);

	t_case("but it counts as said once it was fetched to be written");
	c = client_new(&params, 0);
	client_input(c, "220 mx\r\n", 8, 1);
	(void)client_output(c, &len);
	client_input(c, "250 mx\r\n", 8, 1);
	t_int(client_need(c), CLIENT_NEEDS_VERDICT);
	client_free(c);
}

static void
deadlines(void)
{
	struct client_params params = { .helo = "relay.test" };
	struct client *c;
	size_t len;

	t_case("each command has the time of RFC 5321 4.5.3.2");
	c = client_new(&params, 1000);
	t_int(client_deadline(c), 301000);
	client_input(c, "220 mx\r\n", 8, 2000);
	(void)client_output(c, &len);
	client_sent(c, len, 3000);
	t_int(client_deadline(c), 303000);
	t_case("a reply that trickles in has no more than that");
	client_input(c, "250", 3, 250000);
	t_int(client_deadline(c), 303000);
	client_input(c, "-mx\r\n250-SIZE 1000\r\n2", 21, 300000);
	t_int(client_deadline(c), 303000);
	client_expire(c, 303000);
	t_int(client_need(c), CLIENT_ENDED);
	t_str(reason_word(client_trouble(c)->trouble.reason), "timeout");
	client_free(c);
}

static void
controls_in_arguments(void)
{
	static const char *const bad[] = { "x\r\nRCPT TO:<y>@z.test",
		"x\n@z.test", "x\x01@z.test", "x\x7f@z.test",
		"x@z.test> SIZE=1", "<x@z.test", "x y@z.test", "\"x@z.test",
		"" };
	struct client_rcpt to = { .address = "ok@z.test" };
	struct client_message m = { .sender = "a@here.test",
		.size = 4,
		.rcpts = &to,
		.rcpt_count = 1 };
	struct client_pass *pass;
	struct client *c;
	size_t i, len, before;

	t_case("no address with a control, a blank or a bracket goes on the "
	       "wire (command injection)");
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		c = opened(CLIENT_TLS_CLEAR, "250 mx\r\n");
		pass = client_proceed_in_clear(c, 1);
		(void)client_output(c, &before);
		to.address = bad[i];
		client_send_message(pass, &m, 1);
		t_row("%zu", i);
		t_int(client_need(c), CLIENT_NEEDS_MESSAGE);
		t_int(client_result(pass, 0)->trouble.outcome, OUTCOME_BOUNCED);
		(void)client_output(c, &len);
		t_int(len, before);
		client_free(c);
	}
}

static void
body_with_bare_lf(void)
{
	static const char *const bad[] = { "a\nb\r\n", "a\rb\r\n", "\n.\r\n",
		"a\r\r\n", "a\r" };
	struct client_rcpt to = { .address = "ok@z.test" };
	struct client_message m = { .sender = "a@here.test",
		.rcpts = &to,
		.rcpt_count = 1 };
	struct client_pass *pass;
	struct client *c;
	size_t i, j, k, len;
	static const char *const replies[] = { "250 ok\r\n", "250 ok\r\n",
		"354 go\r\n" };

	t_case("content with a bare CR or LF does not leave as DATA (SMTP "
	       "smuggling)");
	for (i = 0; i < 4; i++) {
		c = opened(CLIENT_TLS_CLEAR, "250 mx\r\n");
		pass = client_proceed_in_clear(c, 1);
		m.size = strlen(bad[i]);
		client_send_message(pass, &m, 1);
		for (j = 0; j < 3; j++) {
			(void)client_output(c, &len);
			client_sent(c, len, 1);
			client_input(c, replies[j], 8, 1);
		}
		t_int(client_need(c), CLIENT_NEEDS_BODY);
		for (k = 0; k < m.size && client_need(c) != CLIENT_ENDED; k++)
			client_feed(c, bad[i] + k, 1, 1);
		t_row("%zu", i);
		t_int(client_need(c), CLIENT_ENDED);
		t_int(client_result(pass, 0)->trouble.outcome,
		    OUTCOME_DEFERRED);
		client_free(c);
	}
}

int
main(void)
{
	glob_t g;
	size_t i;
	int cases = 0;

	every_step_is_named();
	no_pass_without_tls();
	bytes_behind_starttls();
	reply_before_its_command();
	deadlines();
	controls_in_arguments();
	body_with_bare_lf();
	if (glob("tests/smtp/client-*.txt", 0, NULL, &g) != 0)
		return 1;
	for (i = 0; i < g.gl_pathc; i++)
		cases += script_each(g.gl_pathv[i], run);
	globfree(&g);
	t_case("there are transcripts");
	t_true(cases > 20);
	return t_done();
}
