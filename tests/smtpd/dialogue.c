/*
 * Our client against our server, in memory: what goes in comes out, whatever
 * the content, the extensions in use, and the sizes of the pieces.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/base/buf.h"
#include "smtpd/client.h"
#include "smtpd/server.h"
#include "tests/t.h"

#define ROUNDS 300
#define BODY_MAX 90000
#define MESSAGES 3
#define RCPTS 5

static struct {
	uint64_t seed;
	struct client *c;
	struct client_pass *pass;
	struct server *s;
	struct buf to_server, to_client;
	char hide[16]; /* the server offers this not */
	char body[MESSAGES][BODY_MAX];
	struct client_message m[MESSAGES];
	struct client_rcpt rcpts[RCPTS];
	size_t sent, arrived, fed, content_len;
	char content[BODY_MAX];
} d;

/* xorshift: the same dialogues each time. */
static size_t
chance(size_t below)
{
	d.seed ^= d.seed << 13;
	d.seed ^= d.seed >> 7;
	d.seed ^= d.seed << 17;
	return (size_t)(d.seed % below);
}

static void
make_message(struct client_message *m, char *body)
{
	static const char bytes[] = "..\r.ab c\xe4";
	size_t len = 0,
	       size = chance(4) == 0 ? chance(BODY_MAX - 10) : chance(200);
	char c;

	while (len < size) {
		c = bytes[chance(sizeof bytes - 1)];
		if (c == '\r')
			body[len++] = '\r';
		body[len++] = c == '\r' ? '\n' : c;
	}
	if (len > 0 && body[len - 1] != '\n') {
		body[len++] = '\r';
		body[len++] = '\n';
	}
	*m = (struct client_message){ .sender =
					  chance(4) == 0 ? "" : "a@here.test",
		.envid = chance(2) == 0 ? "id+2B7" : NULL,
		.ret = (enum client_ret)chance(3),
		.eightbit = true,
		.size = len,
		.rcpts = d.rcpts,
		.rcpt_count = 1 + chance(RCPTS) };
}

static void
compare_envelope(const struct client_message *m)
{
	const struct envelope *env = server_envelope(d.s);
	size_t i;

	t_str(env->sender, m->sender);
	t_str(env->envid, m->envid != NULL ? m->envid : "");
	t_int(env->rcpt_count, m->rcpt_count);
	for (i = 0; i < m->rcpt_count && i < env->rcpt_count; i++) {
		t_str(env->rcpts[i].address, m->rcpts[i].address);
		t_int(env->rcpts[i].notify, m->rcpts[i].notify);
	}
	t_true((env->flags & ENVELOPE_8BITMIME) != 0);
}

static bool
serve_server(void)
{
	const struct client_message *m = &d.m[d.arrived];
	const char *bytes;
	size_t len;
	bool first;

	if (server_need(d.s) == SERVER_HAS_CONTENT) {
		bytes = server_content(d.s, &len, &first);
		memcpy(d.content + d.content_len, bytes, len);
		d.content_len += len;
		return true;
	}
	if (server_need(d.s) != SERVER_NEEDS_VERDICT)
		return false;
	compare_envelope(m);
	t_mem(d.content, d.content_len, d.body[d.arrived], m->size);
	d.content_len = 0;
	d.arrived++;
	server_answer(d.s, 250, "2.0.0", "ok", 1);
	return true;
}

static void
check_sent(void)
{
	size_t i;

	for (i = 0; d.sent > 0 && i < d.m[d.sent - 1].rcpt_count; i++)
		t_int(client_result(d.pass, i)->trouble.outcome,
		    OUTCOME_DELIVERED);
}

static bool
serve_client(void)
{
	size_t n;

	switch (client_need(d.c)) {
	case CLIENT_NEEDS_VERDICT:
		d.pass = client_proceed_in_clear(d.c, 1);
		return true;
	case CLIENT_NEEDS_MESSAGE:
		check_sent();
		d.fed = 0;
		if (d.sent < MESSAGES)
			client_send_message(d.pass, &d.m[d.sent++], 1);
		else
			client_quit(d.c, 1);
		return true;
	case CLIENT_NEEDS_BODY:
		n = 1 + chance((size_t)client_body_left(d.c));
		client_feed(d.c, d.body[d.sent - 1] + d.fed, n, 1);
		d.fed += n;
		return true;
	case CLIENT_NEEDS_PEER:
	case CLIENT_NEEDS_TLS:
	case CLIENT_ENDED:
		break;
	}
	return false;
}

/* A piece of what the client has to say goes over. */
static void
forth(void)
{
	size_t len, used, n;
	const char *bytes = client_output(d.c, &len);

	n = len == 0 ? 0 : 1 + chance(len);
	buf_add(&d.to_server, bytes, n);
	client_sent(d.c, n, 1);
	if (buf_len(&d.to_server) == 0)
		return;
	do {
		used = server_input(d.s, d.to_server.mem + d.to_server.start,
		    buf_len(&d.to_server), 1);
		while (serve_server())
			;
		buf_take(&d.to_server, used);
	} while (used > 0 && buf_len(&d.to_server) > 0);
}

/* What the server has to say, without the extension that it is to hide. */
static void
back(void)
{
	size_t len, n;
	const char *bytes = server_output(d.s, &len);
	char *found;

	buf_add(&d.to_client, bytes, len);
	server_sent(d.s, len, 1);
	len = buf_len(&d.to_client);
	if (len == 0)
		return;
	found = memmem(d.to_client.mem + d.to_client.start, len, d.hide,
	    strlen(d.hide));
	if (found != NULL)
		*found = 'X';
	n = 1 + chance(len);
	client_input(d.c, buf_bytes(&d.to_client), n, 1);
	buf_take(&d.to_client, n);
	while (serve_client())
		;
}

static void
play(void)
{
	struct client_params cp = { .helo = "relay.test",
		.tls = CLIENT_TLS_CLEAR };
	struct server_params sp = { .hostname = "mx.test",
		.size_max = BODY_MAX,
		.rcpt_max = 100,
		.may_relay = true };
	size_t i;

	for (i = 0; i < MESSAGES; i++)
		make_message(&d.m[i], d.body[i]);
	d.c = client_new(&cp, 0);
	d.s = server_new(&sp, 0);
	buf_init(&d.to_server, 1 << 20);
	buf_init(&d.to_client, 1 << 20);
	d.sent = d.arrived = d.content_len = 0;
	for (i = 0; i < 300000 && client_need(d.c) != CLIENT_ENDED; i++) {
		forth();
		back();
	}
	t_int(client_need(d.c), CLIENT_ENDED);
	t_int(d.arrived, MESSAGES);
	t_int(client_trouble(d.c)->trouble.outcome, OUTCOME_DELIVERED);
	client_free(d.c);
	server_free(d.s);
	buf_clear(&d.to_server);
	buf_clear(&d.to_client);
}

int
main(void)
{
	static const char *const hidden[] = { "CHUNKING", "PIPELINING",
		"nothing" };
	static const char *const rcpts[RCPTS] = { "b@there.test",
		"\"c d\"@there.test", "e+f@there.test", "g@x.there.test",
		"h@there.test" };
	size_t i;

	t_case("our client and our server agree on every message, in any "
	       "pieces");
	for (i = 0; i < RCPTS; i++) {
		d.rcpts[i].address = rcpts[i];
		d.rcpts[i].notify =
		    i % 2 == 0 ? NOTIFY_SUCCESS | NOTIFY_DELAY : NOTIFY_NEVER;
	}
	d.seed = 20261124;
	for (i = 0; i < ROUNDS; i++) {
		(void)strlcpy(d.hide, hidden[i % 3], sizeof d.hide);
		t_row("round %zu, without %s", i, d.hide);
		play();
	}
	return t_done();
}
