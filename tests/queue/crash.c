/*
 * The crash harness: a life of a spool in which the n-th operation on the
 * disk fails, or is the last, for every n; then a restart, and a count.
 */

#include "tests/queue/life.h"

enum mode {
	MODE_RUN,   /* nothing happens: counts the operations */
	MODE_EIO,   /* the n-th fails */
	MODE_FULL,  /* so do all that write for a while: ENOSPC */
	MODE_ROOM,  /* ... or all that make files, for longer */
	MODE_SHORT, /* the n-th writes half and fails */
	MODE_END,   /* the process ends before the n-th */
	MODE_TORN   /* ... in the middle of it */
};
#define MODES 7
#define FULL_FOR 12 /* operations */
#define ROOM_FOR 60

static const char *const mode_names[MODES] = { "run", "EIO", "ENOSPC",
	"no room for files", "short write", "end", "end within" };

static struct plan {
	enum mode mode;
	int at;
	int count;
} plan;

/* ---- the disk ---- */

static bool
is_hit(void)
{
	struct plan *p = &plan;

	p->count++;
	if (p->mode == MODE_FULL)
		return p->count >= p->at && p->count < p->at + FULL_FOR;
	if (p->mode == MODE_ROOM)
		return p->count >= p->at && p->count < p->at + ROOM_FOR;
	return p->mode != MODE_RUN && p->count == p->at;
}

/* What an operation wants of the disk. */
enum room { ROOM_NONE, ROOM_BLOCKS, ROOM_FILE };

/* 0: go on with the real one; else -1 with errno. */
static int
step(enum room room)
{
	struct plan *p = &plan;

	if (w.dead) {
		errno = EIO;
		return -1;
	}
	if (!is_hit())
		return 0;
	if (p->mode == MODE_END || p->mode == MODE_TORN) {
		w.dead = true;
		w.acked = w.box.settled_count;
	}
	if ((p->mode == MODE_FULL && room == ROOM_NONE) ||
	    (p->mode == MODE_ROOM && room != ROOM_FILE))
		return 0;
	errno = p->mode == MODE_FULL || p->mode == MODE_ROOM ? ENOSPC : EIO;
	return -1;
}

static int
bad_openat(void *arg, int dirfd, const char *name, int flags)
{
	if (step((flags & O_CREAT) != 0 ? ROOM_FILE : ROOM_NONE) == -1)
		return -1;
	return disk_real.openat(arg, dirfd, name, flags);
}

static int
bad_pwrite(void *arg, int fd, const void *bytes, size_t len, int64_t at)
{
	int error;
	bool was_dead;

	was_dead = w.dead;
	if (step(ROOM_BLOCKS) == -1) {
		error = errno;
		if (!was_dead &&
		    (plan.mode == MODE_TORN || plan.mode == MODE_SHORT))
			(void)disk_real.pwrite(arg, fd, bytes, len / 2, at);
		errno = error;
		return -1;
	}
	return disk_real.pwrite(arg, fd, bytes, len, at);
}

static int
bad_fallocate(void *arg, int fd, int64_t len)
{
	return step(ROOM_FILE) == -1 ? -1 : disk_real.fallocate(arg, fd, len);
}

static int
bad_ftruncate(void *arg, int fd, int64_t len)
{
	return step(ROOM_NONE) == -1 ? -1 : disk_real.ftruncate(arg, fd, len);
}

/* A process that ends loses nothing that was written: no need to sync. */
static int
bad_fsync(void *arg, int fd)
{
	(void)arg;
	(void)fd;
	return step(ROOM_BLOCKS);
}

static int
bad_unlinkat(void *arg, int dirfd, const char *name)
{
	return step(ROOM_NONE) == -1 ? -1
				     : disk_real.unlinkat(arg, dirfd, name);
}

static int
bad_renameat(void *arg, int dirfd, const char *from, const char *to)
{
	return step(ROOM_NONE) == -1 ? -1
				     : disk_real.renameat(arg, dirfd, from, to);
}

static int
bad_mkdirat(void *arg, int dirfd, const char *name)
{
	return step(ROOM_FILE) == -1 ? -1 : disk_real.mkdirat(arg, dirfd, name);
}

static const struct disk bad_disk = {
	.openat = bad_openat,
	.pwrite = bad_pwrite,
	.fallocate = bad_fallocate,
	.ftruncate = bad_ftruncate,
	.fsync = bad_fsync,
	.unlinkat = bad_unlinkat,
	.renameat = bad_renameat,
	.mkdirat = bad_mkdirat,
};

static bool
is_among(uint64_t id, const uint64_t *ids, size_t count)
{
	while (count > 0)
		if (ids[--count] == id)
			return true;
	return false;
}

/* Everyone who waits is told one thing. */
static void
check_told(void)
{
	const struct box *b = &w.box;
	size_t i;

	for (i = 0; i < w.count; i++)
		if (is_among(w.mails[i].id, b->settled, b->settled_count) ==
		    is_among(w.mails[i].id, b->refused, b->refused_count))
			t_str("a client was told nothing, or both", "");
}

/*
 * What was recovered lives on, and is counted once more: what is gone stays
 * gone, whichever segments go.
 */
static void
live_on(void)
{
	int i, j;

	w.dead = false;
	w.box.refused_count = 0; /* nobody was told */
	w.box.now += 20000000;
	for (i = 0; i < 3; i++) {
		spool_tick(w.box.sp, w.box.now);
		deliver_all();
		for (j = 0; j < 6; j++)
			add("d@three.example", 2500);
		commit();
		tidy();
	}
	w.acked = w.box.settled_count;
	spool_close(w.box.sp);
	life_open(NULL);
	check();
}

/* One life; the number of operations it took. */
static int
live(enum mode mode, int at)
{
	int i;

	memset(&w, 0, sizeof w);
	memset(&plan, 0, sizeof plan);
	plan.mode = mode;
	plan.at = at;
	box_init(&w.box);
	life_open(&bad_disk);
	if (w.box.sp == NULL)
		t_true(mode != MODE_RUN);
	else
		script();
	if (!w.dead) {
		w.acked = w.box.settled_count;
		/* The disk is well again some day. */
		for (i = 0; w.box.sp != NULL && i < 20; i++)
			commit();
		check_told();
		if (w.box.sp != NULL)
			spool_seal(w.box.sp);
	}
	spool_close(w.box.sp);
	w.box.trouble[0] = '\0';
	life_open(NULL);
	t_true(w.box.sp != NULL);
	check();
	t_str(w.box.trouble, "");
	if (mode == MODE_END || mode == MODE_TORN)
		live_on();
	box_clear(&w.box);
	return plan.count;
}

int
main(void)
{
	/* valgrind looks at the code, and need not see it at every step. */
	int mode, at, most, stride = getenv("VALGRIND") != NULL ? 7 : 1;

	t_case("the script itself loses nothing");
	most = live(MODE_RUN, 0);
	t_true(most > 100);
	t_true(w.acked > 30);

	for (mode = MODE_EIO; mode < MODES; mode++) {
		t_case(mode_names[mode]);
		for (at = 1; at <= most; at += stride) {
			t_row("%s at operation %d", mode_names[mode], at);
			(void)live((enum mode)mode, at);
		}
	}
	return t_done();
}
