#include "smtpd/cli/send_relay.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK_SIZE 16384
#define BEGIN_SIZE 6 /* "BDAT 1", which few lines of text begin with */

struct relay {
	int in;
	int out;
	int fd;
	char begin[BEGIN_SIZE]; /* of the current line */
	size_t line_len;
	bool last_cr;
	bool begun; /* the first line is over */
	bool exact; /* bytes are left as they are */
};

static int
write_all(int fd, const char *bytes, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, bytes, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_bdat(const char begin[BEGIN_SIZE])
{
	return strncasecmp(begin, "BDAT", 4) == 0 && is_blank(begin[4]) &&
	    (is_blank(begin[5]) || (begin[5] >= '0' && begin[5] <= '9'));
}

/* Copy the client's bytes with CRs put in; returns the new length. */
static size_t
mend_lines(struct relay *r, const char *bytes, size_t len, char *to)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == '\n' && !r->begun) {
			r->begun = true;
			r->exact = r->exact || r->last_cr;
		}
		if (bytes[i] == '\n' && !r->last_cr && !r->exact)
			to[n++] = '\r';
		to[n++] = bytes[i];
		r->last_cr = bytes[i] == '\r';
		if (bytes[i] == '\n')
			r->line_len = 0;
		else if (r->line_len < BEGIN_SIZE) {
			r->begin[r->line_len++] = bytes[i];
			if (r->line_len == BEGIN_SIZE && is_bdat(r->begin))
				r->exact = true;
		}
	}
	return n;
}

/* 1: bytes were carried, 0: the client is done, -1: errno. */
static int
carry_in(struct relay *r)
{
	char bytes[CHUNK_SIZE], mended[2 * CHUNK_SIZE];
	ssize_t n = read(r->in, bytes, sizeof bytes);

	if (n == -1)
		return errno == EINTR || errno == EAGAIN ? 1 : -1;
	if (n == 0) {
		(void)shutdown(r->fd, SHUT_WR);
		return 0;
	}
	return write_all(r->fd, mended,
		   mend_lines(r, bytes, (size_t)n, mended)) == -1
	    ? -1
	    : 1;
}

static int
carry_out(const struct relay *r)
{
	char bytes[CHUNK_SIZE];
	ssize_t n = read(r->fd, bytes, sizeof bytes);

	if (n == -1)
		return errno == EINTR || errno == EAGAIN ? 1 : -1;
	if (n == 0)
		return 0;
	return write_all(r->out, bytes, (size_t)n) == -1 ? -1 : 1;
}

int
send_relay(int in, int out, int fd)
{
	struct relay r = { .in = in, .out = out, .fd = fd };
	struct pollfd pfd[2] = { { fd, POLLIN, 0 }, { in, POLLIN, 0 } };
	int more;

	for (;;) {
		if (poll(pfd, 2, -1) == -1) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		if (pfd[0].revents != 0) {
			more = carry_out(&r);
			if (more != 1)
				return more;
		}
		if (pfd[1].revents != 0) {
			more = carry_in(&r);
			/* A daemon that ended the session may have said why:
			 * its last words are read first. */
			if (more == 0 || (more == -1 && errno == EPIPE))
				pfd[1].fd = -1;
			else if (more == -1)
				return -1;
		}
	}
}
