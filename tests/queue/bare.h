/*
 * A journal in a folder of its own, on a disk that can fail. For the tests of
 * queue/ that see no mail.
 */

#ifndef TESTS_QUEUE_BARE_H
#define TESTS_QUEUE_BARE_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/journal.h"
#include "queue/recover.h"
#include "tests/t.h"

#define ONCE 16
#define RESULT 17
#define SEGMENT 16384U

static struct world {
	char dir[64];
	int dirfd;
	struct journal *j;
	int failing; /* operations that write fail with this errno */
	uint64_t ids[1024];
	size_t id_count;
	char trouble[2048]; /* all that was told */
	int moved;
	int failed;
	bool drop;   /* keep() says no */
	bool scarce; /* no room for a whole segment */
	int synced[64];
	int synced_count;
	bool unsynced; /* no sync goes well */
	char ops[64];  /* w: written, s: synced */
	bool full;     /* no file can be made */
	bool stuck;    /* ... nor any go, be cut, or have blocks */
} w;

static inline int
gone(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static inline int
sick_pwrite(void *arg, int fd, const void *bytes, size_t len, int64_t at)
{
	if (w.failing != 0) {
		errno = w.failing;
		return -1;
	}
	(void)strlcat(w.ops, "w", sizeof w.ops);
	return disk_real.pwrite(arg, fd, bytes, len, at);
}

static inline int
full_openat(void *arg, int dirfd, const char *name, int flags)
{
	if (w.full && (flags & O_CREAT) != 0) {
		errno = ENOSPC;
		return -1;
	}
	return disk_real.openat(arg, dirfd, name, flags);
}

/* For a test of what was synced when. */
static inline int
noted_fsync(void *arg, int fd)
{
	if (w.unsynced) {
		errno = EIO;
		return -1;
	}
	(void)strlcat(w.ops, "s", sizeof w.ops);
	if (w.synced_count < 64)
		w.synced[w.synced_count++] = fd;
	return disk_real.fsync(arg, fd);
}

static inline bool
keep(void *arg, const struct seg_entry *entry, const void *brief, uint64_t pos)
{
	(void)arg;
	(void)entry;
	(void)brief;
	(void)pos;
	return !w.drop;
}

static inline int
stuck_unlinkat(void *arg, int dirfd, const char *name)
{
	if (w.stuck) {
		errno = EIO;
		return -1;
	}
	return disk_real.unlinkat(arg, dirfd, name);
}

static inline int
stuck_ftruncate(void *arg, int fd, int64_t len)
{
	if (w.stuck) {
		errno = EIO;
		return -1;
	}
	return disk_real.ftruncate(arg, fd, len);
}

/* As ext4 does: what was found stays with the file. */
static inline int
scarce_fallocate(void *arg, int fd, int64_t len)
{
	if (w.stuck) {
		errno = EIO;
		return -1;
	}
	if (!w.scarce || len < (int64_t)SEGMENT)
		return disk_real.fallocate(arg, fd, len);
	t_int(disk_real.fallocate(arg, fd, len / 2), 0);
	errno = ENOSPC;
	return -1;
}

static inline void
moved(void *arg, const struct seg_entry *entry, const void *brief,
    uint64_t from, uint64_t to)
{
	(void)arg;
	(void)entry;
	(void)brief;
	t_true(from != to);
	w.moved++;
}

static inline void
failed(void *arg, int error)
{
	(void)arg;
	(void)error;
	w.failed++;
}

static inline void
each(void *arg, const struct seg_entry *entry, const void *brief, uint64_t pos)
{
	(void)arg;
	(void)brief;
	(void)pos;
	if (w.id_count < 1024)
		w.ids[w.id_count++] = entry->id;
}

static inline bool
trust(void *arg, uint32_t type, const void *brief, uint32_t len)
{
	(void)arg;
	(void)type;
	(void)brief;
	(void)len;
	return true;
}

static inline void
trouble(void *arg, const char *text)
{
	(void)arg;
	(void)strlcat(w.trouble, text, sizeof w.trouble);
}

static inline void
begin(void)
{
	static const struct journal_hooks hooks = { NULL, keep, moved, failed };
	static const struct recover_hooks recover = { NULL, each, trust,
		trouble };
	static struct disk disk;

	disk = disk_real;
	disk.openat = full_openat;
	disk.pwrite = sick_pwrite;
	disk.unlinkat = stuck_unlinkat;
	disk.ftruncate = stuck_ftruncate;
	disk.fallocate = scarce_fallocate;
	disk.fsync = noted_fsync;
	w.id_count = 0;
	w.trouble[0] = '\0';
	w.ops[0] = '\0';
	w.j = journal_new(w.dirfd, &disk, SEGMENT, ONCE, &hooks);
	t_int(recover_journal(w.j, &recover), 0);
}

static inline void
set_up(void)
{
	memset(&w, 0, sizeof w);
	(void)snprintf(w.dir, sizeof w.dir, "/tmp/sealpost-test-XXXXXX");
	if (mkdtemp(w.dir) == NULL)
		abort();
	w.dirfd = open(w.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mkdirat(w.dirfd, "damaged", 0700) == -1)
		abort();
	begin();
}

static inline void
again(void)
{
	journal_free(w.j);
	begin();
}

static inline void
take_down(void)
{
	journal_free(w.j);
	(void)close(w.dirfd);
	(void)nftw(w.dir, gone, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int
put(uint32_t type, uint64_t id, size_t size, uint64_t *pos)
{
	static char body[SEGMENT];
	struct journal_rec rec;

	memset(&rec, 0, sizeof rec);
	memset(body, (int)(id & 127), sizeof body);
	rec.type = type;
	rec.id = id;
	rec.brief = "brief";
	rec.brief_len = 5;
	rec.text = "text";
	rec.text_len = 4;
	rec.body = body;
	rec.body_len = (uint32_t)size;
	rec.body_fd = -1;
	if (type == RESULT) { /* has no body */
		rec.text = body;
		rec.text_len = (uint32_t)size;
		rec.body_len = 0;
	}
	return journal_append(w.j, &rec, pos);
}

static inline int
commit_with(int error)
{
	int fds[JOURNAL_SYNC_FILES], count, result;

	result = journal_sync_begin(w.j, fds, &count);
	if (result == 1)
		journal_synced(w.j, error);
	return result;
}

static inline int
commit(void)
{
	return commit_with(0);
}

/* Of ids that were found: how many make up 1, 2, 3... */
static inline size_t
count_in_order(void)
{
	size_t i;

	for (i = 0; i < w.id_count && w.ids[i] == i + 1; i++)
		;
	return i;
}

#endif
