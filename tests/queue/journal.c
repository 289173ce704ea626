#include "queue/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
	char trouble[256];
	int moved;
	int failed;
	bool drop;   /* keep() says no */
	bool scarce; /* no room for a whole segment */
	int synced[64];
	int synced_count;
	bool unsynced; /* no sync goes well */
	bool full;     /* no file can be made */
} w;

static int
gone(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static int
sick_pwrite(void *arg, int fd, const void *bytes, size_t len, int64_t at)
{
	if (w.failing != 0) {
		errno = w.failing;
		return -1;
	}
	return disk_real.pwrite(arg, fd, bytes, len, at);
}

static int
full_openat(void *arg, int dirfd, const char *name, int flags)
{
	if (w.full && (flags & O_CREAT) != 0) {
		errno = ENOSPC;
		return -1;
	}
	return disk_real.openat(arg, dirfd, name, flags);
}

/* For a test of what was synced when. */
static int
noted_fsync(void *arg, int fd)
{
	if (w.unsynced) {
		errno = EIO;
		return -1;
	}
	if (w.synced_count < 64)
		w.synced[w.synced_count++] = fd;
	return disk_real.fsync(arg, fd);
}

static bool
keep(void *arg, const struct seg_entry *entry, const void *brief, uint64_t pos)
{
	(void)arg;
	(void)entry;
	(void)brief;
	(void)pos;
	return !w.drop;
}

/* As ext4 does: what was found stays with the file. */
static int
scarce_fallocate(void *arg, int fd, int64_t len)
{
	if (!w.scarce || len < (int64_t)SEGMENT)
		return disk_real.fallocate(arg, fd, len);
	t_int(disk_real.fallocate(arg, fd, len / 2), 0);
	errno = ENOSPC;
	return -1;
}

static void
moved(void *arg, const struct seg_entry *entry, const void *brief,
    uint64_t from, uint64_t to)
{
	(void)arg;
	(void)entry;
	(void)brief;
	t_true(from != to);
	w.moved++;
}

static void
failed(void *arg, int error)
{
	(void)arg;
	(void)error;
	w.failed++;
}

static void
each(void *arg, const struct seg_entry *entry, const void *brief, uint64_t pos)
{
	(void)arg;
	(void)brief;
	(void)pos;
	if (w.id_count < 1024)
		w.ids[w.id_count++] = entry->id;
}

static bool
trust(void *arg, uint32_t type, const void *brief, uint32_t len)
{
	(void)arg;
	(void)type;
	(void)brief;
	(void)len;
	return true;
}

static void
trouble(void *arg, const char *text)
{
	(void)arg;
	(void)snprintf(w.trouble, sizeof w.trouble, "%s", text);
}

static void
begin(void)
{
	static const struct journal_hooks hooks = { NULL, keep, moved, failed };
	static const struct recover_hooks recover = { NULL, each, trust,
		trouble };
	static struct disk disk;

	disk = disk_real;
	disk.openat = full_openat;
	disk.pwrite = sick_pwrite;
	disk.fallocate = scarce_fallocate;
	disk.fsync = noted_fsync;
	w.id_count = 0;
	w.trouble[0] = '\0';
	w.j = journal_new(w.dirfd, &disk, SEGMENT, ONCE, &hooks);
	t_int(recover_journal(w.j, &recover), 0);
}

static void
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

static void
again(void)
{
	journal_free(w.j);
	begin();
}

static void
take_down(void)
{
	journal_free(w.j);
	(void)close(w.dirfd);
	(void)nftw(w.dir, gone, 16, FTW_DEPTH | FTW_PHYS);
}

static int
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
	return journal_append(w.j, &rec, pos);
}

static int
commit(void)
{
	int fds[JOURNAL_SYNC_FILES], count, result;

	result = journal_sync_begin(w.j, fds, &count);
	if (result == 1)
		journal_synced(w.j, 0);
	return result;
}

static void
load(void)
{
	struct journal_rec rec;
	uint64_t pos;

	t_case("a record reads back, before and after it is written out");
	set_up();
	t_int(put(ONCE, 7, 100, &pos), 0);
	t_int(journal_load(w.j, pos, &rec), 0);
	t_mem(rec.brief, rec.brief_len, "brief", 5);
	t_int(commit(), 1);
	t_int(journal_load(w.j, pos, &rec), 0);
	t_true(rec.id == 7 && rec.type == ONCE);
	t_mem(rec.text, rec.text_len, "text", 4);
	t_int(rec.body_len, 100);
	t_int(((const char *)rec.body)[99], 7);
	t_int(journal_load_text(w.j, pos, &rec), 0);
	t_mem(rec.text, rec.text_len, "text", 4);

	t_case("a position that is none is refused");
	t_int(journal_load(w.j, pos + 8, &rec), -1);
	t_int(errno, EBADMSG);
	t_int(journal_load(w.j, JOURNAL_POS(99, 16), &rec), -1);
	t_int(errno, ENOENT);

	t_case("what does not fit in a segment is refused at once");
	t_int(put(ONCE, 8, SEGMENT, &pos), -1);
	t_int(errno, EFBIG);
	take_down();
}

static void
restart(void)
{
	uint64_t pos;
	int i;

	t_case("a restart finds all records, in order, over many segments");
	set_up();
	for (i = 1; i <= 50; i++) {
		t_int(put(ONCE, (uint64_t)i, 1500, &pos), 0);
		if (i % 4 == 0)
			t_int(commit(), 1);
	}
	t_int(commit(), 1);
	t_true(journal_segments(w.j) > 4);
	again();
	t_int(w.id_count, 50);
	for (i = 0; i < 50; i++)
		t_int(w.ids[i], i + 1);
	t_str(w.trouble, "");

	t_case("the second restart reads indexes: nothing was left unsealed");
	again();
	t_int(w.id_count, 50);
	for (i = 0; i < (int)journal_segments(w.j); i++)
		t_true(journal_segment_at(w.j, (size_t)i)->sealed);

	t_case("what nobody wants is not in the index");
	w.drop = true;
	for (i = 0; i < 20; i++)
		t_int(put(ONCE, 1000, 1500, &pos), 0);
	t_int(commit(), 1);
	again();
	t_true(w.id_count < 62);
	take_down();
}

static void
failure(void)
{
	uint64_t pos, old;
	int fds[JOURNAL_SYNC_FILES], count;

	t_case("a group that fails is void; results in it are written anew");
	set_up();
	t_int(put(ONCE, 1, 100, &pos), 0);
	t_int(commit(), 1);
	t_int(put(ONCE, 2, 100, &pos), 0);
	t_int(put(RESULT, 3, 0, &old), 0);
	w.failing = EIO;
	t_int(commit(), -1);
	t_int(w.failed, 1);
	t_int(journal_error(w.j), EIO);
	t_true(journal_is_dirty(w.j));
	t_int(put(ONCE, 4, 100, &pos), 0);
	t_int(commit(), -1);
	t_int(w.failed, 2);
	t_int(put(RESULT, 5, 0, &pos), -1);
	w.failing = 0;
	t_int(commit(), 1);
	t_int(journal_error(w.j), 0);
	t_true(!journal_is_dirty(w.j));
	t_int(w.moved, 3);
	again();
	t_int(w.id_count, 3);
	t_true(w.ids[0] == 1 && w.ids[1] == 3 && w.ids[2] == 5);

	t_case("so it is when the sync fails, though all was written");
	t_int(put(ONCE, 6, 100, &pos), 0);
	t_int(commit(), 1);
	t_int(put(ONCE, 7, 100, &pos), 0);
	t_int(journal_sync_begin(w.j, fds, &count), 1);
	journal_synced(w.j, EIO);
	t_int(commit(), 1);
	again();
	t_int(w.id_count, 4);
	t_true(w.ids[3] == 6);
	take_down();
}

/* Flip one byte of a segment file. */
static void
damage(const char *name, off_t at)
{
	char c;
	int fd;

	fd = openat(w.dirfd, name, O_RDWR);
	if (fd == -1 || pread(fd, &c, 1, at) != 1)
		abort();
	c ^= 0x40;
	if (pwrite(fd, &c, 1, at) != 1)
		abort();
	(void)close(fd);
}

static void
damaged(void)
{
	char name[JOURNAL_NAME_SIZE];
	struct journal_rec rec;
	uint64_t pos[6];
	size_t i;
	int at;

	t_case("a flipped bit costs its own record, which is kept aside");
	for (at = 0; at < 200; at += 9) {
		set_up();
		for (i = 0; i < 5; i++)
			t_int(put(ONCE, i + 1, 100, &pos[i]), 0);
		t_int(commit(), 1);
		journal_name(JOURNAL_SEQ(pos[0]), name);
		/* Record 3 is the one; its padding matters to nobody. */
		if (at >= 141)
			at = 140;
		damage(name, (off_t)JOURNAL_OFF(pos[2]) + at);
		again();
		t_row("byte %d", at);
		t_int(w.id_count, 4);
		t_true(strstr(w.trouble, "damaged") != NULL);
		for (i = 0; i < w.id_count; i++)
			t_true(w.ids[i] != 3);
		again();
		t_int(w.id_count, 4);
		t_str(w.trouble, "");
		take_down();
		if (at == 140)
			break;
	}
	t_row(NULL);

	t_case("a torn tail is cut at the last good record, without alarm");
	set_up();
	for (i = 0; i < 5; i++)
		t_int(put(ONCE, i + 1, 100, &pos[i]), 0);
	t_int(commit(), 1);
	journal_name(JOURNAL_SEQ(pos[0]), name);
	damage(name, (off_t)JOURNAL_OFF(pos[4]) + 120);
	again();
	t_int(w.id_count, 4);
	t_str(w.trouble, "");
	t_int(put(ONCE, 9, 100, &pos[5]), 0);
	t_int(commit(), 1);
	again();
	t_int(w.id_count, 5);

	t_case("a sealed one is read by its index; damage shows when loaded");
	damage(name, (off_t)JOURNAL_OFF(pos[1]) + 80);
	again();
	t_int(w.id_count, 5);
	t_int(journal_load(w.j, pos[1], &rec), -1);
	t_int(errno, EBADMSG);
	t_int(journal_load(w.j, pos[0], &rec), 0);

	t_case("a segment whose head is damaged is read all the same");
	damage(name, 1);
	again();
	t_int(w.id_count, 5);
	t_true(strstr(w.trouble, "head") != NULL);
	take_down();
}

static void
recycled(void)
{
	uint64_t pos;
	size_t i;

	t_case("a file that served before holds no records of its former life");
	set_up();
	for (i = 0; i < 8; i++)
		t_int(put(ONCE, 1, 1800, &pos), 0);
	t_int(put(ONCE, 2, 1800, &pos), 0);
	t_int(commit(), 1);
	t_int(journal_delete(w.j, journal_segment_at(w.j, 0)), 0);
	t_int(commit(), 1);
	t_int(journal_segments(w.j), 1);
	for (i = 0; i < 8; i++)
		t_int(put(ONCE, 2, 1800, &pos), 0);
	t_int(commit(), 1);
	again();
	t_true(w.id_count > 0);
	for (i = 0; i < w.id_count; i++)
		t_int(w.ids[i], 2);
	t_str(w.trouble, "");
	take_down();
}

static bool
is_among(int fd, const int *fds, int count)
{
	while (count > 0)
		if (fds[--count] == fd)
			return true;
	return false;
}

static void
large_group(void)
{
	int fds[JOURNAL_SYNC_FILES], count;
	struct segment *seg;
	uint64_t pos;
	size_t i;

	t_case("a group of many segments: each is synced before the group is");
	set_up();
	for (i = 0; i < 20; i++)
		t_int(put(ONCE, i + 1, 8000, &pos), 0);
	t_true(journal_segments(w.j) > 2 * JOURNAL_SYNC_FILES);
	t_int(journal_sync_begin(w.j, fds, &count), 1);
	t_true(is_among(w.dirfd, fds, count));
	for (i = 0; i < journal_segments(w.j); i++) {
		seg = journal_segment_at(w.j, i);
		t_true(is_among(seg->fd, w.synced, w.synced_count) ||
		    is_among(seg->fd, fds, count));
	}
	t_case("... and if it fails, it is void as a whole");
	journal_synced(w.j, EIO);
	t_int(put(ONCE, 99, 100, &pos), 0);
	t_int(commit(), 1);
	again();
	t_int(w.id_count, 1);
	t_int(w.ids[0], 99);

	t_case("... which a sync that fails at the end of a segment tells");
	w.unsynced = true;
	w.failed = 0;
	for (i = 0; i < 3 && put(ONCE, i + 1, 8000, &pos) == 0; i++)
		;
	t_true(i < 3);
	t_int(w.failed, 1);
	take_down();
}

static void
scarce(void)
{
	char name[JOURNAL_NAME_SIZE];
	struct stat st;
	uint64_t pos;

	t_case("a disk that is nearly full is not filled by preallocation");
	set_up();
	w.scarce = true;
	t_int(put(ONCE, 1, 100, &pos), 0);
	t_int(commit(), 1);
	journal_name(1, name);
	t_int(fstatat(w.dirfd, name, &st, 0), 0);
	t_true(st.st_size < SEGMENT / 2);
	w.scarce = false;
	again();
	t_int(w.id_count, 1);
	take_down();
}

/* Results until one finds no room; how many were put. */
static uint64_t
put_results(uint64_t id, size_t size)
{
	uint64_t pos;
	int i;

	for (i = 0; i < 1000; i++)
		if (put(RESULT, id++, size, &pos) == -1)
			break;
	t_true(i < 1000);
	return id;
}

/* Of ids that were found: how many make up 1, 2, 3... */
static size_t
count_in_order(void)
{
	size_t i;

	for (i = 0; i < w.id_count && w.ids[i] == i + 1; i++)
		;
	return i;
}

static void
no_room(void)
{
	uint64_t pos, id, i;

	t_case("results that find no room are written once there is some");
	set_up();
	t_int(put(ONCE, 1, 100, &pos), 0);
	t_int(commit(), 1);
	w.full = true;
	id = put_results(2, 1000);
	t_int(journal_error(w.j), ENOSPC);
	t_int(commit(), 1);
	t_true(journal_is_dirty(w.j));
	t_int(journal_error(w.j), ENOSPC);

	t_case("... in their order, though a smaller one would fit");
	t_int(put(RESULT, id++, 0, &pos), -1);
	t_int(commit(), -1);
	t_true(journal_synced_mark(w.j) < journal_mark(w.j));
	t_int(put(ONCE, 1000, 0, &pos), -1);
	t_int(errno, ENOSPC);
	w.full = false;
	t_int(commit(), 1);
	t_true(!journal_is_dirty(w.j));
	t_int(journal_error(w.j), 0);
	t_true(journal_synced_mark(w.j) == journal_mark(w.j));
	again();
	t_int(count_in_order(), id - 1);

	t_case("... also those that were lost with their group before");
	t_int(put(ONCE, id++, 100, &pos), 0);
	t_int(commit(), 1);
	for (i = 0; i < 40; i++)
		t_int(put(RESULT, id++, 1000, &pos), 0);
	w.full = true;
	id = put_results(id, 1000);
	w.failing = EIO;
	t_int(commit(), -1);
	w.failing = 0;
	t_int(commit(), -1);
	w.full = false;
	t_int(commit(), 1);
	again();
	t_int(count_in_order(), id - 1);
	take_down();
}

int
main(void)
{
	load();
	restart();
	failure();
	damaged();
	recycled();
	large_group();
	scarce();
	no_room();
	return t_done();
}
