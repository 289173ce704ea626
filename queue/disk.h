/*
 * The file operations that change the disk, behind a table, so that a test
 * can make the n-th of them fail or be the last. Each has the contract of the
 * system call of its name, less the interruptions by signals.
 */

#ifndef QUEUE_DISK_H
#define QUEUE_DISK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct disk {
	void *arg;
	int (*openat)(void *arg, int dirfd, const char *name, int flags);
	/* All of it, or -1 with errno and anything may have been written. */
	int (*pwrite)(void *arg, int fd, const void *bytes, size_t len,
	    int64_t at);
	int (*fallocate)(void *arg, int fd, int64_t len);
	int (*ftruncate)(void *arg, int fd, int64_t len);
	int (*fsync)(void *arg, int fd);
	int (*unlinkat)(void *arg, int dirfd, const char *name);
	int (*renameat)(void *arg, int dirfd, const char *from, const char *to);
	int (*mkdirat)(void *arg, int dirfd, const char *name);
};

/* The real ones. Files are made with mode 0600, folders 0700; close-on-exec
 * is set, and symbolic links are not followed. */
extern const struct disk disk_real;

#endif
