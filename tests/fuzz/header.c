#include "smtpd/header.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
want(bool holds)
{
	if (!holds)
		abort();
}

static int
take(void *arg, const char *address, size_t len)
{
	int *count = arg;

	want(len > 0 && strlen(address) <= len);
	for (size_t i = 0; i < len; i++)
		want(address[i] != '\n' || i > 0);
	(*count)++;
	return 0;
}

/* The scanner must not notice how it is fed. */
static void
scan(const char *s, size_t len)
{
	struct header_scan whole, bytes;

	header_scan_init(&whole);
	header_scan_feed(&whole, s, len);
	header_scan_end(&whole);
	header_scan_init(&bytes);
	for (size_t i = 0; i < len; i++)
		header_scan_feed(&bytes, s + i, 1);
	header_scan_end(&bytes);
	want(whole.received == bytes.received);
	want(whole.has_from == bytes.has_from);
	want(whole.has_date == bytes.has_date);
	want(whole.has_message_id == bytes.has_message_id);
	want(whole.header_8bit == bytes.header_8bit);
	want(whole.body_8bit == bytes.body_8bit);
	want(whole.has_nul == bytes.has_nul);
	want(whole.ended && bytes.ended);
	want(whole.no_blank_line == bytes.no_blank_line);
	want(whole.body == bytes.body && whole.body <= len);
	want(whole.line_max == bytes.line_max);
}

/* What is complete stays as it is. */
static void
qualify(const char *s, size_t size)
{
	struct buf once, twice;

	buf_init(&once, 1 << 20);
	buf_init(&twice, 1 << 20);
	header_qualify(&once, s, size, "h.example");
	want(once.failed || buf_len(&once) >= size);
	header_qualify(&twice, buf_bytes(&once), buf_len(&once), "h.example");
	want(twice.failed ||
	    (buf_len(&twice) == buf_len(&once) &&
		memcmp(buf_bytes(&twice), buf_bytes(&once), buf_len(&once)) ==
		    0));
	buf_clear(&once);
	buf_clear(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	int all = 0, n;
	struct header_scan block;
	char *copy, name[128], out[HEADER_LINE_SIZE];
	const char *why;
	size_t len;

	scan(s, size);
	n = header_list(s, size, take, &all, &why);
	want(n == -1 || n == all);
	all = 0;
	n = header_rcpts(s, size, take, &all, &why);
	want(n == -1 || n == all);
	qualify(s, size);
	copy = malloc(size + 1);
	if (copy == NULL)
		return 0;
	memcpy(copy, s, size);
	len = header_strip_bcc(copy, size);
	want(len <= size);
	want(header_strip_bcc(copy, len) == len);
	free(copy);
	len = size < sizeof name - 1 ? size : sizeof name - 1;
	memcpy(name, s, len);
	name[len] = '\0';
	n = header_from(out, sizeof out, "a@b", name);
	want(n == (int)strlen(out));
	header_scan_init(&block);
	header_scan_feed(&block, out, (size_t)n);
	header_scan_end(&block);
	want(block.body == (size_t)n);
	return 0;
}
