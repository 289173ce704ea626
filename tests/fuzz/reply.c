/*
 * Replies: the same whole and in pieces of the size that the first byte says;
 * what is accepted is bounded, printable and has a code.
 */

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "smtpd/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
parse(struct reply_parser *p, const char *bytes, size_t len, size_t piece,
    size_t *taken)
{
	const char *why = NULL;
	size_t n, used;
	int got = 0;

	reply_start(p);
	*taken = 0;
	while (got == 0 && *taken < len) {
		n = len - *taken < piece ? len - *taken : piece;
		got = reply_parse(p, bytes + *taken, n, &used, &why);
		assert(used <= n);
		*taken += used;
	}
	assert(got != -1 || why != NULL);
	return got;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reply_parser whole, parts;
	const char *bytes = (const char *)data + 1, *p;
	size_t taken, taken_parts;
	char shown[64];
	int got;

	if (size < 2)
		return 0;
	got = parse(&whole, bytes, size - 1, size, &taken);
	assert(parse(&parts, bytes, size - 1, data[0] % 16U + 1,
		   &taken_parts) == got);
	if (got != 1)
		return 0;
	assert(taken == taken_parts);
	assert(whole.reply.code >= 200 && whole.reply.code < 600);
	assert(strcmp(whole.reply.text, parts.reply.text) == 0);
	assert(strcmp(whole.reply.dsn, parts.reply.dsn) == 0);
	for (p = whole.reply.text; *p != '\0'; p++)
		assert(*p == '\n' || (*p >= ' ' && *p <= '~'));
	reply_show(&whole.reply, shown, sizeof shown);
	assert(strchr(shown, '\n') == NULL);
	return 0;
}
