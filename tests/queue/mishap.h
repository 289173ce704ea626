/*
 * A spool in a folder in which no file can be made, or none can go: for the
 * tests of queue/ that are about such a disk.
 */

#ifndef TESTS_QUEUE_MISHAP_H
#define TESTS_QUEUE_MISHAP_H

#include "tests/queue/box.h"

static struct mishap {
	bool full;    /* no file can be made */
	bool stuck;   /* ... nor any go */
	int64_t most; /* bytes that a file finds; 0: any number */
} mishap;

static inline int
no_openat(void *arg, int dirfd, const char *name, int flags)
{
	if (mishap.full && (flags & O_CREAT) != 0) {
		errno = ENOSPC;
		return -1;
	}
	return disk_real.openat(arg, dirfd, name, flags);
}

static inline int
no_unlinkat(void *arg, int dirfd, const char *name)
{
	if (mishap.stuck) {
		errno = EIO;
		return -1;
	}
	return disk_real.unlinkat(arg, dirfd, name);
}

static inline int
no_renameat(void *arg, int dirfd, const char *from, const char *to)
{
	if (mishap.full || mishap.stuck) {
		errno = EIO;
		return -1;
	}
	return disk_real.renameat(arg, dirfd, from, to);
}

static inline int
no_fallocate(void *arg, int fd, int64_t len)
{
	if (mishap.most != 0 && len > mishap.most) {
		errno = ENOSPC;
		return -1;
	}
	return disk_real.fallocate(arg, fd, len);
}

static inline void
set_up(struct box *b)
{
	static struct disk disk;

	memset(&mishap, 0, sizeof mishap);
	disk = disk_real;
	disk.openat = no_openat;
	disk.unlinkat = no_unlinkat;
	disk.renameat = no_renameat;
	disk.fallocate = no_fallocate;
	box_init(b);
	b->disk = &disk;
	b->conf.segment = 16384;
	t_true(box_open(b));
}

static inline void
put_mail(struct box *b, const char *to, size_t size)
{
	char body[14001];
	uint64_t id;

	memset(body, 'x', size);
	memcpy(body, "\r\n", 2); /* no header */
	body[size] = '\0';
	t_int(box_append(b, "a@one.example", to, 0, body, &id), 0);
	box_sync(b);
}

/* "count" messages of 4 KB, durable: three to a segment. */
static inline void
fill(struct box *b, int count, const char *to)
{
	while (count-- > 0)
		put_mail(b, to, 4000);
}

static inline int
deliver(struct box *b)
{
	struct spool_job job;
	int count;

	for (count = 0; spool_next(b->sp, b->now, false, &job) == 1; count++)
		box_answer(b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	return count;
}

static inline void
tidy(struct box *b)
{
	int i;

	for (i = 0; i < 10; i++) {
		box_sync(b);
		(void)spool_tidy(b->sp, b->now);
	}
}

static inline uint64_t
segments(const struct box *b)
{
	struct spool_counts counts;

	spool_count(b->sp, &counts);
	return counts.segments;
}

static inline void
order(struct box *b, enum spool_act act, const char *domain)
{
	struct spool_filter f = { 0, domain, NULL, -1, -1 };
	struct spool_cursor cursor;

	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 10000;
	t_int(spool_act(b->sp, act, &f, &cursor, b->now), 0);
	box_sync(b);
}

#endif
