/* Reading fails: a pread(2) that stands before the real one. */

#ifndef TESTS_QUEUE_UNREAD_H
#define TESTS_QUEUE_UNREAD_H

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the disk does not give of any file; none if "to" is 0. */
static struct unread {
	off_t from;
	off_t to;
} unread;

/* By its symbol: the headers may define the name as an inline function. */
ssize_t unread_pread(int, void *, size_t, off_t) __asm__("pread");

ssize_t
unread_pread(int fd, void *to, size_t len, off_t at)
{
	if (at < unread.to && at + (off_t)len > unread.from) {
		if (at >= unread.from) {
			errno = EIO;
			return -1;
		}
		len = (size_t)(unread.from - at);
	}
	return syscall(SYS_pread64, fd, to, len, at);
}

#endif
