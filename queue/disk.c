#include "queue/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int
real_openat(void *arg, int dirfd, const char *name, int flags)
{
	(void)arg;
	return openat(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static int
real_pwrite(void *arg, int fd, const void *bytes, size_t len, int64_t at)
{
	const char *from;
	ssize_t n;

	(void)arg;
	for (from = bytes; len > 0; from += n, at += n, len -= (size_t)n) {
		n = pwrite(fd, from, len, at);
		if (n == -1 && errno == EINTR)
			n = 0;
		else if (n <= 0) {
			if (n == 0)
				errno = EIO;
			return -1;
		}
	}
	return 0;
}

static int
real_fallocate(void *arg, int fd, int64_t len)
{
	(void)arg;
	if (fallocate(fd, 0, 0, len) == 0)
		return 0;
	/* Not every file system can; then blocks come as they are written. */
	return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -1;
}

static int
real_ftruncate(void *arg, int fd, int64_t len)
{
	(void)arg;
	return ftruncate(fd, len);
}

static int
real_fsync(void *arg, int fd)
{
	(void)arg;
	return fsync(fd);
}

static int
real_unlinkat(void *arg, int dirfd, const char *name)
{
	(void)arg;
	return unlinkat(dirfd, name, 0);
}

static int
real_renameat(void *arg, int dirfd, const char *from, const char *to)
{
	(void)arg;
	return renameat(dirfd, from, dirfd, to);
}

static int
real_mkdirat(void *arg, int dirfd, const char *name)
{
	(void)arg;
	return mkdirat(dirfd, name, 0700);
}

const struct disk disk_real = {
	.openat = real_openat,
	.pwrite = real_pwrite,
	.fallocate = real_fallocate,
	.ftruncate = real_ftruncate,
	.fsync = real_fsync,
	.unlinkat = real_unlinkat,
	.renameat = real_renameat,
	.mkdirat = real_mkdirat,
};
