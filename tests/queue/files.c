/* The spool and its files: what is synced, checked, kept aside, removed. */

#include "tests/queue/box.h"

static struct disk disk;
static char made[32];    /* the file that was opened last to be written */
static int made_fd = -1; /* ... its descriptor, until it is synced */
static bool folder_unsynced;
static int fsyncs_fail; /* so many of the next ones */

static int
note_openat(void *arg, int dirfd, const char *name, int flags)
{
	int fd;

	fd = disk_real.openat(arg, dirfd, name, flags);
	if (fd != -1 && (flags & O_CREAT) != 0) {
		(void)snprintf(made, sizeof made, "%s", name);
		made_fd = fd;
	}
	return fd;
}

static int
note_mkdirat(void *arg, int dirfd, const char *name)
{
	folder_unsynced = true;
	return disk_real.mkdirat(arg, dirfd, name);
}

static int
note_fsync(void *arg, int fd)
{
	if (fsyncs_fail > 0) {
		fsyncs_fail--;
		errno = EIO;
		return -1;
	}
	folder_unsynced = false;
	if (fd == made_fd)
		made_fd = -1;
	return disk_real.fsync(arg, fd);
}

static void
set_up(struct box *b)
{
	disk = disk_real;
	disk.openat = note_openat;
	disk.mkdirat = note_mkdirat;
	disk.fsync = note_fsync;
	fsyncs_fail = 0;
	box_init(b);
	b->disk = &disk;
	t_true(box_open(b));
}

static void
folders(void)
{
	struct box b;

	t_case("folders are durable before anything is put into them");
	set_up(&b);
	t_true(!folder_unsynced);
	box_clear(&b);
	box_init(&b);
	b.disk = &disk;
	fsyncs_fail = 1;
	t_true(!box_open(&b));
	t_int(errno, EIO);
	t_true(box_open(&b));
	box_clear(&b);
}

/* Change one letter of the only segment: of "text", where it stands last. */
static void
spoil(const struct box *b, const char *text)
{
	char name[128], *mem, *at, *found;
	struct stat st;
	int fd;

	(void)snprintf(name, sizeof name, "%s/seg-00000001", b->dir);
	fd = open(name, O_RDWR);
	if (fd == -1 || fstat(fd, &st) == -1)
		abort();
	mem = box_read(fd);
	found = NULL;
	for (at = mem; at != NULL && at < mem + st.st_size; at++) {
		at = memmem(at, (size_t)(mem + st.st_size - at), text,
		    strlen(text));
		if (at == NULL)
			break;
		found = at;
	}
	t_true(found != NULL &&
	    pwrite(fd, "z", 1, found == NULL ? 0 : found - mem) == 1);
	free(mem);
	(void)close(fd);
}

static void
envelopes(void)
{
	struct spool_filter all = { 0, NULL, NULL, -1, -1 };
	struct spool_cursor cursor;
	struct spool_entry entry;
	struct spool_job job;
	struct box b;
	uint64_t id;

	t_case("an envelope that is not what was written is used for nothing");
	set_up(&b);
	id = box_mail(&b, "a@one.example", "bob@two.example");
	spoil(&b, "bob@two");
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 10;
	t_int(spool_list(b.sp, &all, &cursor, &entry), 0);
	t_int(spool_next(b.sp, b.now, false, &job), -1);
	t_int(errno, EBADMSG);
	t_int(spool_next(b.sp, b.now, false, &job), 0);

	t_case("... its bytes are kept aside, and durable there");
	t_int(box_messages(&b), 0);
	t_true(box_has(&b, "damaged", id));
	t_true(strncmp(made, "damaged/", 8) == 0);
	t_int(made_fd, -1);
	box_clear(&b);
}

/* A large body of five bytes, said to be of "size". */
static int
put_large(struct box *b, uint64_t id, size_t size)
{
	struct recipient rcpt = { "b@two.example", "", 0 };
	struct envelope env;
	int fd, result;

	envelope_init(&env);
	env.id = id;
	env.arrived_us = (uint64_t)b->now * 1000;
	env.sender = "a@one.example";
	env.size = size;
	t_int(envelope_add(&env, &rcpt), 0);
	fd = spool_large_open(b->sp, id);
	t_int(write(fd, "body\n", 5), 5);
	(void)close(fd);
	result = spool_append_large(b->sp, &env, b->now);
	envelope_clear(&env);
	return result;
}

static void
large(void)
{
	struct spool_sync sync;
	struct box b;
	uint64_t id;

	t_case("a large body that has not the size it should have is refused");
	set_up(&b);
	id = id_next(&b.ids, (uint64_t)b.now * 1000);
	t_int(put_large(&b, id, 4), -1);
	t_int(errno, EINVAL);
	spool_large_drop(b.sp, id);
	t_int(put_large(&b, id, 6), -1);
	spool_large_drop(b.sp, id);
	box_sync(&b);
	t_int(b.settled_count, 0);

	t_case("one that is refused with its group is removed");
	id += 4;
	t_int(put_large(&b, id, 5), 0);
	t_int(spool_sync_begin(b.sp, &sync, b.now), 1);
	spool_synced(b.sp, 0, b.now);
	t_true(box_has(&b, "large", id));
	t_int(spool_sync_begin(b.sp, &sync, b.now), 1);
	spool_synced(b.sp, EIO, b.now);
	t_int(b.refused_count, 1);
	t_int(b.settled_count, 0);
	t_true(!box_has(&b, "large", id));
	box_clear(&b);
}

int
main(void)
{
	folders();
	envelopes();
	large();
	return t_done();
}
