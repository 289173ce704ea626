/* The spool and what befalls its folder: no room, files that cannot go. */

#include "tests/queue/box.h"

static struct mishap {
	bool full;  /* no file can be made */
	bool stuck; /* ... nor any go */
} mishap;

static int
no_openat(void *arg, int dirfd, const char *name, int flags)
{
	if (mishap.full && (flags & O_CREAT) != 0) {
		errno = ENOSPC;
		return -1;
	}
	return disk_real.openat(arg, dirfd, name, flags);
}

static int
no_unlinkat(void *arg, int dirfd, const char *name)
{
	if (mishap.stuck) {
		errno = EIO;
		return -1;
	}
	return disk_real.unlinkat(arg, dirfd, name);
}

static int
no_renameat(void *arg, int dirfd, const char *from, const char *to)
{
	if (mishap.full || mishap.stuck) {
		errno = EIO;
		return -1;
	}
	return disk_real.renameat(arg, dirfd, from, to);
}

static void
set_up(struct box *b)
{
	static struct disk disk;

	memset(&mishap, 0, sizeof mishap);
	disk = disk_real;
	disk.openat = no_openat;
	disk.unlinkat = no_unlinkat;
	disk.renameat = no_renameat;
	box_init(b);
	b->disk = &disk;
	b->conf.segment = 16384;
	t_true(box_open(b));
}

/* "count" messages of 4 KB, durable: three to a segment. */
static void
fill(struct box *b, int count, const char *to)
{
	char body[4001];
	uint64_t id;

	memset(body, 'x', 4000);
	body[4000] = '\0';
	while (count-- > 0) {
		t_int(box_append(b, "a@one.example", to, 0, body, &id), 0);
		box_sync(b);
	}
}

static int
deliver(struct box *b)
{
	struct spool_job job;
	int count;

	for (count = 0; spool_next(b->sp, b->now, false, &job) == 1; count++)
		box_answer(b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	return count;
}

static void
tidy(struct box *b)
{
	int i;

	for (i = 0; i < 10; i++) {
		box_sync(b);
		(void)spool_tidy(b->sp, b->now);
	}
}

static uint64_t
segments(const struct box *b)
{
	struct spool_counts counts;

	spool_count(b->sp, &counts);
	return counts.segments;
}

static void
full(void)
{
	struct box b;
	uint64_t id;
	char body[4001];

	t_case("on a full disk, segments that hold nothing any more go");
	set_up(&b);
	fill(&b, 9, "b@two.example");
	t_int(segments(&b), 3);
	mishap.full = true;
	memset(body, 'x', 4000);
	body[4000] = '\0';
	t_int(box_append(&b, "a@one.example", "b@two.example", 0, body, &id),
	    ENOSPC);
	t_int(spool_failing(b.sp), ENOSPC);
	t_int(deliver(&b), 9);
	tidy(&b);
	t_int(segments(&b), 1);
	t_int(spool_failing(b.sp), ENOSPC);
	box_reopen(&b);
	t_int(box_messages(&b), 0);
	box_clear(&b);
}

int
main(void)
{
	full();
	return t_done();
}
