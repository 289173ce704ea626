#include "smtpd/submission.h"

#include <sys/mman.h>
#include <sys/sendfile.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define HELD_MAX (1 << 20)   /* bytes: header, and a block of input */
#define HELD_WRITE (1 << 16) /* bytes from which on they are written */

void
submission_init(struct submission *sub)
{
	memset(sub, 0, sizeof *sub);
	buf_init(&sub->held, HELD_MAX);
	sub->fd = -1;
}

void
submission_reset(struct submission *sub)
{
	struct buf held;

	if (sub->fd != -1)
		close(sub->fd);
	buf_take(&sub->held, buf_len(&sub->held));
	held = sub->held;
	held.failed = false;
	submission_init(sub);
	sub->held = held;
}

void
submission_clear(struct submission *sub)
{
	submission_reset(sub);
	buf_clear(&sub->held);
}

static void
fail(struct submission *sub, int error)
{
	if (sub->error == 0)
		sub->error = error != 0 ? error : EIO;
}

/* ---- writing ---- */

static void
write_out(struct submission *sub)
{
	ssize_t n;

	if (sub->error == 0 && sub->fd == -1) {
		sub->fd =
		    memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (sub->fd == -1)
			fail(sub, errno);
	}
	while (sub->error == 0 && buf_len(&sub->held) > 0) {
		n = write(sub->fd, buf_bytes(&sub->held), buf_len(&sub->held));
		if (n <= 0) {
			if (n == -1 && errno == EINTR)
				continue;
			fail(sub, n == -1 ? errno : EIO);
			break;
		}
		sub->written += (uint64_t)n;
		buf_take(&sub->held, (size_t)n);
	}
	if (sub->error != 0)
		buf_take(&sub->held, buf_len(&sub->held));
}

bool
submission_wants_file(const struct submission *sub)
{
	return !sub->is_large && sub->error == 0 &&
	    sub->size > SUBMISSION_LARGE;
}

void
submission_take_file(struct submission *sub, int fd)
{
	off_t at = 0;
	ssize_t n;

	while (sub->fd != -1 && (uint64_t)at < sub->written) {
		n = sendfile(fd, sub->fd, &at,
		    (size_t)(sub->written - (uint64_t)at));
		if (n <= 0) {
			fail(sub, n == -1 ? errno : EIO);
			break;
		}
	}
	if (sub->fd != -1)
		close(sub->fd);
	sub->fd = fd;
	sub->is_large = true;
}

/* ---- the header ---- */

/* A field's value, unfolded, blanks at its ends off; cut to "size". */
static void
copy_value(const char *p, const char *end, char *out, size_t size)
{
	size_t len = 0;

	for (; p < end && len + 1 < size; p++) {
		if (*p == '\n' &&
		    !(p + 1 < end && (p[1] == ' ' || p[1] == '\t')))
			break;
		if (*p != '\r' && *p != '\n' && *p != ' ' && *p != '\t')
			out[len++] = (char)(*p > ' ' && *p <= '~' ? *p : '?');
	}
	out[len] = '\0';
}

/* Of an id with comments around it only the id (RFC 5322 3.6.4). */
static void
strip_comments(char *id)
{
	size_t from = strcspn(id, "<"), len = strcspn(id + from, ">");

	if (id[from] == '\0' || id[from + len] == '\0')
		return;
	memmove(id, id + from, len + 1);
	id[len + 1] = '\0';
}

static void
find_message_id(struct submission *sub, const char *p, size_t len)
{
	const char *end = p + len, *lf;

	while (p < end) {
		if (end - p > 11 && strncasecmp(p, "Message-ID:", 11) == 0) {
			copy_value(p + 11, end, sub->message_id,
			    sizeof sub->message_id);
			strip_comments(sub->message_id);
			return;
		}
		lf = memchr(p, '\n', (size_t)(end - p));
		p = lf != NULL ? lf + 1 : end;
	}
}

/* Put "len" bytes of "text" into what is held, at offset "at". */
static void
insert(struct submission *sub, size_t at, const char *text, size_t len)
{
	size_t had = buf_len(&sub->held);
	char *mem;

	if (len == 0)
		return;
	buf_add(&sub->held, text, len); /* for the room */
	if (sub->held.failed) {
		fail(sub, ENOMEM);
		return;
	}
	mem = sub->held.mem + sub->held.start;
	memmove(mem + at + len, mem + at, had - at);
	memcpy(mem + at, text, len);
	sub->size += len;
}

/* The header is complete and still held: put what it lacks at its front. */
static void
finish_header(struct submission *sub)
{
	char text[2 * HEADER_LINE_SIZE], id[ID_SIZE];
	const struct header_scan *scan = &sub->scan;
	size_t len = 0;
	int n;

	sub->header_done = true;
	sub->header_8bit = scan->header_8bit;
	find_message_id(sub, buf_bytes(&sub->held) + sub->trace_len,
	    scan->body);
	if (scan->no_blank_line)
		insert(sub, sub->trace_len + scan->body, "\r\n", 2);
	if (!scan->has_date &&
	    (n = header_date(text, HEADER_LINE_SIZE, sub->now)) > 0)
		len += (size_t)n;
	id_format(sub->id, id);
	if (!scan->has_message_id &&
	    (n = header_message_id(text + len, HEADER_LINE_SIZE, id,
		 sub->hostname)) > 0) {
		find_message_id(sub, text + len, (size_t)n);
		len += (size_t)n;
	}
	insert(sub, sub->trace_len, text, len);
}

void
submission_begin(struct submission *sub, uint64_t id,
    const struct header_trace *trace)
{
	char line[HEADER_LINE_SIZE];
	int n;

	submission_reset(sub);
	sub->id = id;
	sub->now = trace->now;
	(void)strlcpy(sub->hostname, trace->by, sizeof sub->hostname);
	header_scan_init(&sub->scan);
	n = header_received(line, sizeof line, trace);
	if (n > 0) {
		buf_add(&sub->held, line, (size_t)n);
		sub->trace_len = (size_t)n;
		sub->size = (uint64_t)n;
	}
}

/* ---- content ---- */

/* Is any byte above 0x7f? Eight at a time. */
static bool
has_8bit(const char *bytes, size_t len)
{
	uint64_t word, all = 0;

	for (; len >= sizeof word; bytes += sizeof word, len -= sizeof word) {
		memcpy(&word, bytes, sizeof word);
		all |= word;
	}
	for (; len > 0; bytes++, len--)
		all |= (uint64_t)(unsigned char)*bytes;
	return (all & 0x8080808080808080U) != 0;
}

static void
look_at_body(struct submission *sub, const char *bytes, size_t len)
{
	sub->is_8bit = sub->is_8bit || has_8bit(bytes, len);
	sub->scan.has_nul =
	    sub->scan.has_nul || memchr(bytes, '\0', len) != NULL;
}

void
submission_add(struct submission *sub, const char *bytes, size_t len)
{
	if (sub->error != 0 || sub->header_too_large)
		return;
	look_at_body(sub, bytes, len);
	if (!sub->header_done)
		header_scan_feed(&sub->scan, bytes, len);
	buf_add(&sub->held, bytes, len);
	sub->size += len;
	if (sub->held.failed) {
		fail(sub, ENOMEM);
		return;
	}
	if (!sub->header_done && sub->scan.ended)
		finish_header(sub);
	if (!sub->header_done && sub->size > SUBMISSION_HEADER_MAX)
		sub->header_too_large = true;
	if (sub->header_done && buf_len(&sub->held) >= HELD_WRITE)
		write_out(sub);
}

static void
seal(struct submission *sub)
{
	if (fcntl(sub->fd, F_ADD_SEALS,
		F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == -1)
		fail(sub, errno);
}

enum submission_verdict
submission_end(struct submission *sub)
{
	if (sub->header_too_large)
		return SUBMISSION_HEADER;
	if (!sub->header_done && sub->error == 0) {
		header_scan_end(&sub->scan);
		finish_header(sub);
	}
	if (sub->scan.has_nul)
		return SUBMISSION_NUL;
	if (sub->scan.received > HEADER_RECEIVED_MAX)
		return SUBMISSION_LOOP;
	write_out(sub);
	if (sub->error == 0 && !sub->is_large)
		seal(sub);
	return sub->error == 0 ? SUBMISSION_OK : SUBMISSION_ERROR;
}
