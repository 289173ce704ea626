#include "smtpd/submission.h"

#include <sys/mman.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/t.h"

#define NOW 1795500000 /* Tue, 24 Nov 2026 06:00:00 +0000 */

static const struct header_trace trace = { .helo = "client.test",
	.client = "[192.0.2.7]",
	.uid = -1,
	.by = "relay.test",
	.with = "ESMTP",
	.id = "00000000001zz",
	.now = NOW };

static char text[1 << 21];

/* What was collected, NUL-terminated. */
static const char *
content(const struct submission *sub)
{
	ssize_t n = pread(sub->fd, text, sizeof text - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* Give "bytes" in pieces; the verdict. */
static enum submission_verdict
collect(struct submission *sub, const char *bytes, size_t len, size_t piece)
{
	size_t n;

	submission_begin(sub, 1234, &trace);
	for (; len > 0; bytes += n, len -= n) {
		n = len < piece ? len : piece;
		submission_add(sub, bytes, n);
	}
	return submission_end(sub);
}

struct row {
	const char *what;
	const char *given;
	const char *want; /* behind Received; {D} and {M}: what we add */
	const char *message_id;
};

static const struct row rows[] = {
	{ "nothing is missing", "Date: x\r\nMessage-ID: <a@b>\r\n\r\nHi\r\n",
	    "Date: x\r\nMessage-ID: <a@b>\r\n\r\nHi\r\n", "<a@b>" },
	{ "Date is missing", "message-id: <a@b>\r\n\r\nHi\r\n",
	    "{D}message-id: <a@b>\r\n\r\nHi\r\n", "<a@b>" },
	{ "Message-ID is missing", "Date: x\r\n\r\nHi\r\n",
	    "{M}Date: x\r\n\r\nHi\r\n", "M" },
	{ "both are missing", "Subject: s\r\n t\r\n\r\nDate: no\r\n",
	    "{D}{M}Subject: s\r\n t\r\n\r\nDate: no\r\n", "M" },
	{ "no header, a blank line first", "\r\nHi\r\n", "{D}{M}\r\nHi\r\n",
	    "M" },
	{ "no header at all", "Hi there\r\n", "{D}{M}\r\nHi there\r\n", "M" },
	{ "a header without a body", "Subject: s\r\n", "{D}{M}Subject: s\r\n",
	    "M" },
	{ "a header that no blank line ends", "Subject: s\r\nHi there\r\n",
	    "{D}{M}Subject: s\r\n\r\nHi there\r\n", "M" },
	{ "nothing at all", "", "{D}{M}", "M" },
	{ "a Message-ID with comments",
	    "Date: x\r\nMessage-ID: (c) <a@b> (d)\r\n\r\n",
	    "Date: x\r\nMessage-ID: (c) <a@b> (d)\r\n\r\n", "<a@b>" },
	{ "one that is none", "Date: x\r\nMessage-ID: > a <\r\n\r\n",
	    "Date: x\r\nMessage-ID: > a <\r\n\r\n", ">a<" },
	{ "a folded Message-ID", "Date: x\r\nMessage-ID:\r\n <a@b>\r\n\r\n",
	    "Date: x\r\nMessage-ID:\r\n <a@b>\r\n\r\n", "<a@b>" },
};

/* "want" with {D} and {M} replaced by the fields themselves. */
static void
spell(const char *want, char *out, size_t size, char *message_id)
{
	char date[HEADER_LINE_SIZE], id[HEADER_LINE_SIZE], number[ID_SIZE];
	size_t len = 0;

	id_format(1234, number);
	(void)header_date(date, sizeof date, NOW);
	(void)header_message_id(id, sizeof id, number, "relay.test");
	(void)snprintf(message_id, SUBMISSION_ID_SIZE, "%.*s",
	    (int)strcspn(id + 12, "\r"), id + 12);
	out[0] = '\0';
	for (; *want != '\0'; want++) {
		if (*want == '{') {
			len += strlcpy(out + len, want[1] == 'D' ? date : id,
			    size - len);
			want += 2;
		} else {
			out[len++] = *want;
			out[len] = '\0';
		}
	}
}

static void
header(size_t piece)
{
	struct submission sub;
	char want[4096], received[HEADER_LINE_SIZE], id[SUBMISSION_ID_SIZE];
	size_t i, n;

	n = (size_t)header_received(received, sizeof received, &trace);
	submission_init(&sub);
	for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		t_row("%s, pieces of %zu", rows[i].what, piece);
		t_int(collect(&sub, rows[i].given, strlen(rows[i].given),
			  piece),
		    SUBMISSION_OK);
		spell(rows[i].want, want, sizeof want, id);
		t_int(strncmp(content(&sub), received, n), 0);
		t_str(content(&sub) + n, want);
		t_str(sub.message_id,
		    strcmp(rows[i].message_id, "M") == 0 ? id
							 : rows[i].message_id);
		t_int(sub.size, n + strlen(want));
	}
	submission_clear(&sub);
}

static void
refusals(void)
{
	struct submission sub;
	size_t len = 0, i;

	submission_init(&sub);
	t_case("more than 50 Received are a loop");
	for (i = 0; i < HEADER_RECEIVED_MAX; i++)
		len += strlcpy(text + len, "Received: x\r\n", 100);
	t_int(collect(&sub, text, len, 1000), SUBMISSION_OK);
	len += strlcpy(text + len, "Received: x\r\n", 100);
	t_int(collect(&sub, text, len, 1000), SUBMISSION_LOOP);
	t_int(collect(&sub, "Date: x\r\n\r\nReceived: x\r\n", 24, 3),
	    SUBMISSION_OK);

	t_case("a NUL anywhere is refused");
	t_int(collect(&sub, "Date: x\0\r\n\r\n", 12, 100), SUBMISSION_NUL);
	t_int(collect(&sub, "Date: x\r\n\r\na\0b\r\n", 16, 5), SUBMISSION_NUL);

	t_case("a header over 256 KiB is refused");
	memset(text, 'x', sizeof text);
	memcpy(text, "X: ", 3);
	t_int(collect(&sub, text, 400000, 7000), SUBMISSION_HEADER);

	t_case("8-bit content is seen, in the header and in the body");
	t_int(collect(&sub, "Subject: x\r\n\r\nabcdefghijk\r\n", 27, 100),
	    SUBMISSION_OK);
	t_true(!sub.is_8bit && !sub.header_8bit);
	t_int(collect(&sub, "Subject: x\r\n\r\nabcdefghij\xe4\r\n", 27, 1),
	    SUBMISSION_OK);
	t_true(sub.is_8bit && !sub.header_8bit);
	t_int(collect(&sub, "Subject: \xe4\r\n\r\nabcdefghijk\r\n", 26, 100),
	    SUBMISSION_OK);
	t_true(sub.is_8bit && sub.header_8bit);
	submission_clear(&sub);
}

static void
sealed(void)
{
	struct submission sub;

	submission_init(&sub);
	t_case("content in memory is sealed");
	t_int(collect(&sub, "Date: x\r\n\r\n", 11, 100), SUBMISSION_OK);
	t_int(fcntl(sub.fd, F_GET_SEALS),
	    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	t_int(write(sub.fd, "x", 1), -1);
	submission_clear(&sub);
}

static void
large(void)
{
	struct submission sub;
	char *bytes = malloc(1000000);
	size_t i, given = 0;
	int fd = memfd_create("file", MFD_CLOEXEC);

	t_case("large content moves into the file, whole and in order");
	for (i = 0; i < 1000000; i++)
		bytes[i] = (char)('a' + i / 100 % 26);
	memcpy(bytes, "Message-ID: <x>\r\nDate: x\r\n\r\n", 28);
	memcpy(bytes + 999998, "\r\n", 2);
	submission_init(&sub);
	submission_begin(&sub, 1234, &trace);
	while (given < 1000000) {
		submission_add(&sub, bytes + given, 40000);
		given += 40000;
		t_true(submission_wants_file(&sub) ==
		    (given > SUBMISSION_LARGE && !sub.is_large));
		if (submission_wants_file(&sub))
			submission_take_file(&sub, fd);
	}
	t_int(submission_end(&sub), SUBMISSION_OK);
	t_true(sub.is_large);
	(void)content(&sub);
	t_int(sub.size, strlen(text));
	t_mem(text + strlen(text) - 1000000, 1000000, bytes, 1000000);
	submission_clear(&sub);
	free(bytes);
}

int
main(void)
{
	t_case("what a header lacks is put at its front (RFC 6409 8)");
	header(10000);
	header(1);
	header(7);
	refusals();
	sealed();
	large();
	return t_done();
}
