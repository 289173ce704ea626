/*
 * The SMTP client against any server: it always ends or waits, every command
 * is one line, nothing of an envelope leaves before the verdict, and each
 * recipient has one result. Byte 0: TLS mode, and the size of pieces.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char body[] = ".dot\r\nHi\r\n..\r\n";

static const struct client_rcpt rcpts[] = {
	{ .address = "b@there.test", .notify = 6 },
	{ .address = "c\"@there.test" },
	{ .address = "d@there.test", .orcpt = "rfc822;d@there.test" },
};

static const struct client_message message = { .sender = "a@here.test",
	.envid = "x",
	.size = sizeof body - 1,
	.rcpts = rcpts,
	.rcpt_count = 3 };

static void
check_output(struct client *c, bool permitted)
{
	size_t len, i;
	const char *out = client_output(c, &len);

	for (i = 0; i < len; i++) {
		if (out[i] == '\r')
			assert(i + 1 == len || out[i + 1] == '\n');
		if (out[i] == '\n')
			assert(i == 0 || out[i - 1] == '\r');
	}
	if (!permitted && len > 0)
		assert(memmem(out, len, "here.test", 9) == NULL &&
		    memmem(out, len, "there.test", 10) == NULL);
	client_sent(c, len, 1);
}

static void
check_results(const struct client_pass *pass)
{
	const struct client_result *r;
	size_t i;

	for (i = 0; i < message.rcpt_count; i++) {
		r = client_result(pass, i);
		assert(r->trouble.dsn[0] == "245"[r->trouble.outcome]);
		assert(strpbrk(r->reply, "\r\n") == NULL);
	}
}

/* One need; false: it waits for the server, or is over. */
static bool
serve(struct client *c, struct client_pass **pass, unsigned *sent)
{
	switch (client_need(c)) {
	case CLIENT_NEEDS_PEER:
	case CLIENT_ENDED:
		return false;
	case CLIENT_NEEDS_TLS:
		client_secured(c, 1);
		return true;
	case CLIENT_NEEDS_VERDICT:
		*pass = client_security(c) == CLIENT_SECURE
		    ? client_proceed(c, NULL, 1)
		    : client_proceed_in_clear(c, 1);
		return true;
	case CLIENT_NEEDS_BODY:
		client_feed(c, body + sizeof body - 1 - client_body_left(c), 1,
		    1);
		return true;
	case CLIENT_NEEDS_MESSAGE:
		if (*sent > 0)
			check_results(*pass);
		if (++*sent < 3)
			client_send_message(*pass, &message, 1);
		else
			client_quit(c, 1);
		return true;
	}
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client_params params = { .helo = "relay.test" };
	struct client_pass *pass = NULL;
	struct client *c;
	size_t i, n, piece;
	unsigned sent = 0;

	if (size < 1)
		return 0;
	params.tls = (enum client_tls)(data[0] % 3);
	piece = data[0] / 3 % 40U + 1;
	c = client_new(&params, 0);
	for (i = 1; i < size && client_need(c) != CLIENT_ENDED; i += n) {
		n = size - i < piece ? size - i : piece;
		client_input(c, (const char *)data + i, n, 1);
		check_output(c, pass != NULL);
		while (serve(c, &pass, &sent))
			check_output(c, pass != NULL);
	}
	client_expire(c, 1000000);
	client_eof(c, 1000000);
	assert(client_need(c) == CLIENT_ENDED);
	if (sent > 0 && sent < 3)
		check_results(pass);
	client_free(c);
	return 0;
}
