/*
 * The SMTP server against any client, twice, in pieces of different sizes: it
 * says the same and takes the same; content is CRLF lines only.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX 65536

struct run {
	char out[4 * MAX];
	size_t out_len;
	char content[MAX];
	size_t len;
	size_t kept; /* of it, of complete messages */
	size_t messages;
};

static void
check_content(const struct run *r, size_t from)
{
	size_t i;

	for (i = from; i < r->len; i++) {
		if (r->content[i] == '\r')
			assert(i + 1 < r->len && r->content[i + 1] == '\n');
		if (r->content[i] == '\n')
			assert(i > from && r->content[i - 1] == '\r');
	}
	assert(from == r->len || r->content[r->len - 1] == '\n');
}

static void
check_envelope(const struct envelope *env)
{
	size_t i;
	const char *p;

	assert(env->rcpt_count > 0);
	for (i = 0; i < env->rcpt_count; i++) {
		for (p = env->rcpts[i].address; *p != '\0'; p++)
			assert((unsigned char)*p >= ' ' && *p != 0x7f);
		assert(strpbrk(env->rcpts[i].orcpt, " \t") == NULL);
	}
}

static bool
serve(struct server *s, struct run *r, size_t *from)
{
	const char *bytes;
	size_t len;
	bool first;

	switch (server_need(s)) {
	case SERVER_NEEDS_PEER:
	case SERVER_ENDED:
		return false;
	case SERVER_HAS_CONTENT:
		bytes = server_content(s, &len, &first);
		if (first)
			*from = r->len = r->kept;
		assert(r->len + len <= sizeof r->content);
		memcpy(r->content + r->len, bytes, len);
		r->len += len;
		return true;
	case SERVER_NEEDS_VERDICT:
		check_content(r, *from);
		*from = r->kept = r->len;
		check_envelope(server_envelope(s));
		r->messages++;
		server_answer(s, 250, "2.0.0", "ok", 1);
		return true;
	case SERVER_HAS_CTL:
		assert(strpbrk(server_ctl(s), "\r\n") == NULL);
		server_answer(s, 501, "5.5.4", "no", 1);
		return true;
	}
	return false;
}

static void
play(struct run *r, const uint8_t *data, size_t size, size_t piece)
{
	struct server_params params = { .hostname = "relay.test",
		.size_max = 20000,
		.rcpt_max = 100,
		.may_relay = true,
		.is_local = true };
	struct server *s = server_new(&params, 0);
	static char in[2 * MAX];
	size_t at = 0, len = 0, used, n, from = 0;
	const char *out;

	memset(r, 0, sizeof *r);
	while (at < size || len > 0) {
		n = size - at < piece ? size - at : piece;
		memcpy(in + len, data + at, n);
		at += n;
		len += n;
		used = server_input(s, in, len, 1);
		while (serve(s, r, &from))
			;
		len -= used;
		memmove(in, in + used, len);
		out = server_output(s, &n);
		assert(r->out_len + n <= sizeof r->out);
		memcpy(r->out + r->out_len, out, n);
		r->out_len += n;
		server_sent(s, n, 1);
		if (server_need(s) == SERVER_ENDED || (used == 0 && at == size))
			break;
	}
	server_free(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run whole, parts;

	if (size < 2 || size > 8000)
		return 0;
	play(&whole, data + 1, size - 1, size);
	play(&parts, data + 1, size - 1, data[0] % 32U + 1);
	assert(whole.out_len == parts.out_len);
	assert(memcmp(whole.out, parts.out, whole.out_len) == 0);
	assert(whole.messages == parts.messages);
	assert(whole.kept == parts.kept);
	assert(memcmp(whole.content, parts.content, whole.kept) == 0);
	return 0;
}
