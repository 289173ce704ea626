#include "smtpd/cli/content.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define READ_SIZE 65536

void
content_init(struct content *c)
{
	memset(c, 0, sizeof *c);
	header_scan_init(&c->scan);
	buf_init(&c->head, CONTENT_HEAD_MAX);
	buf_init(&c->line, CONTENT_HEAD_MAX);
	buf_init(&c->body, CONTENT_HEAD_MAX + CONTENT_MEMORY_MAX);
	c->fd = -1;
}

void
content_clear(struct content *c)
{
	buf_clear(&c->head);
	buf_clear(&c->line);
	buf_clear(&c->body);
	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
}

/* A file without a name, wherever one can be had. -1 with errno. */
static int
open_nameless(void)
{
	static const char *const folders[] = { "/var/tmp", "/tmp" };
	int fd;

	for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
		fd = open(folders[i], O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC,
		    0600);
		if (fd != -1)
			return fd;
	}
	return memfd_create("message", MFD_CLOEXEC);
}

/* Move what is held of the body to the file. */
static int
flush_body(struct content *c)
{
	ssize_t n;

	if (c->fd == -1 && (c->fd = open_nameless()) == -1)
		return -1;
	while (buf_len(&c->body) > 0) {
		n = write(c->fd, buf_bytes(&c->body), buf_len(&c->body));
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		buf_take(&c->body, (size_t)n);
		c->in_file += (uint64_t)n;
	}
	return 0;
}

/* A line of what may be the header is complete, CRLF included. */
static void
end_head_line(struct content *c)
{
	const char *line = buf_bytes(&c->line);
	size_t len = buf_len(&c->line);
	bool first = !c->begun;

	c->begun = true;
	/* The separator of a mbox is no part of the message. */
	if (first && len > 5 && memcmp(line, "From ", 5) == 0) {
		buf_take(&c->line, len);
		return;
	}
	header_scan_feed(&c->scan, line, len);
	if (c->scan.ended && c->scan.no_blank_line) {
		buf_adds(&c->head, "\r\n");
		buf_add(&c->body, line, len);
	} else
		buf_add(&c->head, line, len);
	buf_take(&c->line, len);
}

/* Bytes of a line, without its end. */
static void
add_text(struct content *c, const char *bytes, size_t len)
{
	c->line_len += len;
	if (!c->scan.ended) {
		buf_add(&c->line, bytes, len);
		return;
	}
	header_scan_feed(&c->scan, bytes, len);
	buf_add(&c->body, bytes, len);
}

static void
end_line(struct content *c, bool dot_ends)
{
	if (c->lone_dot) {
		c->lone_dot = false;
		if (dot_ends) {
			c->done = true;
			return;
		}
		add_text(c, ".", 1);
	}
	add_text(c, "\r\n", 2);
	c->line_len = 0;
	if (!c->scan.ended)
		end_head_line(c);
}

/* CRs were held back: those before an LF are part of the line end, any other
 * is a line end of its own. */
static void
settle_crs(struct content *c, bool before_lf, bool dot_ends)
{
	size_t ends = c->crs;

	c->crs = 0;
	if (before_lf)
		ends = 1;
	for (; ends > 0 && !c->done; ends--)
		end_line(c, dot_ends);
}

/* Bytes up to the next CR or LF. */
static size_t
text_len(const char *bytes, size_t len)
{
	const char *lf = memchr(bytes, '\n', len);
	const char *cr;

	if (lf != NULL)
		len = (size_t)(lf - bytes);
	cr = memchr(bytes, '\r', len);
	return cr != NULL ? (size_t)(cr - bytes) : len;
}

static void
add_run(struct content *c, const char *bytes, size_t len)
{
	if (c->lone_dot) {
		c->lone_dot = false;
		add_text(c, ".", 1);
	}
	/* Held back until it is clear whether it is alone. */
	if (c->line_len == 0 && len == 1 && bytes[0] == '.')
		c->lone_dot = true;
	else
		add_text(c, bytes, len);
}

static void
add_input(struct content *c, const char *bytes, size_t len, bool dot_ends)
{
	size_t run;

	while (len > 0 && !c->done) {
		run = 1;
		if (bytes[0] == '\n')
			settle_crs(c, true, dot_ends);
		else if (bytes[0] == '\r')
			c->crs++;
		else {
			settle_crs(c, false, dot_ends);
			if (c->done)
				return;
			run = text_len(bytes, len);
			add_run(c, bytes, run);
		}
		bytes += run;
		len -= run;
	}
}

/* The input is over: complete the last line, and the header. */
static void
finish(struct content *c)
{
	settle_crs(c, false, false);
	if (!c->done && (c->line_len > 0 || c->lone_dot))
		end_line(c, false);
	if (!c->scan.ended)
		buf_adds(&c->head, "\r\n");
	header_scan_end(&c->scan);
}

static int
check(struct content *c, const char **why)
{
	errno = 0;
	if (c->head.failed || c->line.failed || c->body.failed) {
		*why = "the header is too large";
		return -1;
	}
	if (buf_len(&c->body) >= CONTENT_MEMORY_MAX && flush_body(c) == -1) {
		*why = "no room for a temporary file";
		return -1;
	}
	return 0;
}

int
content_read(struct content *c, int fd, bool dot_ends, const char **why)
{
	static const char failure[] = "cannot read the message";
	char bytes[READ_SIZE];
	ssize_t n;

	while (!c->done) {
		n = read(fd, bytes, sizeof bytes);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			*why = failure;
			return -1;
		}
		if (n == 0)
			break;
		add_input(c, bytes, (size_t)n, dot_ends);
		if (check(c, why) == -1)
			return -1;
	}
	finish(c);
	return check(c, why);
}

/* "head" in place of the one there was, if all went well with it. */
static int
replace_head(struct content *c, struct buf *head)
{
	if (head->failed) {
		buf_clear(head);
		return -1;
	}
	buf_clear(&c->head);
	c->head = *head;
	return 0;
}

int
content_add_field(struct content *c, const char *field)
{
	struct buf head;

	buf_init(&head, CONTENT_HEAD_MAX + HEADER_LINE_SIZE);
	buf_adds(&head, field);
	buf_add(&head, buf_bytes(&c->head), buf_len(&c->head));
	return replace_head(c, &head);
}

int
content_qualify(struct content *c, const char *domain)
{
	struct buf head;

	buf_init(&head, CONTENT_HEAD_MAX + HEADER_LINE_SIZE);
	header_qualify(&head, buf_bytes(&c->head), buf_len(&c->head), domain);
	return replace_head(c, &head);
}

void
content_strip_bcc(struct content *c)
{
	struct buf head;
	size_t len = buf_len(&c->head);
	char *room;

	buf_init(&head, CONTENT_HEAD_MAX + HEADER_LINE_SIZE);
	room = buf_room(&head, len);
	if (room == NULL) {
		c->head.failed = true;
		return;
	}
	memcpy(room, buf_bytes(&c->head), len);
	buf_grown(&head, header_strip_bcc(room, len));
	buf_clear(&c->head);
	c->head = head;
}

uint64_t
content_size(const struct content *c)
{
	return buf_len(&c->head) + c->in_file + buf_len(&c->body);
}

static long
copy(char *out, size_t room, const struct buf *from, uint64_t offset)
{
	size_t left = buf_len(from) - (size_t)offset;

	if (left > room)
		left = room;
	memcpy(out, buf_bytes(from) + offset, left);
	return (long)left;
}

long
content_at(struct content *c, uint64_t offset, char *out, size_t room)
{
	uint64_t head = buf_len(&c->head);
	ssize_t n;

	if (offset < head)
		return copy(out, room, &c->head, offset);
	offset -= head;
	if (offset < c->in_file) {
		if (room > c->in_file - offset)
			room = (size_t)(c->in_file - offset);
		do
			n = pread(c->fd, out, room, (off_t)offset);
		while (n == -1 && errno == EINTR);
		return n;
	}
	return copy(out, room, &c->body, offset - c->in_file);
}
