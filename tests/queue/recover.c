#include "queue/recover.h"

#include "tests/queue/bare.h"
#include "tests/queue/unread.h"

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
	char name[JOURNAL_NAME_SIZE], last[JOURNAL_NAME_SIZE];
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

	t_case("a clean end seals: the next start looks at no record");
	t_int(put(ONCE, 10, 100, &pos[5]), 0);
	journal_seal(w.j); /* not yet durable: left alone */
	t_true(
	    journal_is_current(w.j, journal_segment(w.j, JOURNAL_SEQ(pos[5]))));
	t_int(commit(), 1);
	journal_seal(w.j);
	journal_name(JOURNAL_SEQ(pos[5]), last);
	damage(last, (off_t)JOURNAL_OFF(pos[5]) + 80);
	again();
	t_int(w.id_count, 6);
	t_str(w.trouble, "");

	t_case("a segment whose head is damaged is read all the same");
	damage(name, 1);
	again();
	t_int(w.id_count, 6);
	t_true(strstr(w.trouble, "head") != NULL);
	take_down();
}

/* Many records in one segment: the bytes of each, and its position. */
#define RECORD (sizeof(struct rec_head) + 9 + 300)
#define RECORDS 40

static void
put_many(uint64_t pos[RECORDS], char name[JOURNAL_NAME_SIZE])
{
	size_t i;

	for (i = 0; i < RECORDS; i++)
		t_int(put(ONCE, i + 1, 300, &pos[i]), 0);
	t_int(commit(), 1);
	t_int(journal_segments(w.j), 1);
	journal_name(JOURNAL_SEQ(pos[0]), name);
}

static void
overwrite(const char *name, size_t len, bool noise)
{
	char bytes[4096];
	size_t i;
	int fd;

	memset(bytes, 0, sizeof bytes);
	for (i = 0; noise && i < len; i++)
		bytes[i] = (char)(i * i * 7 + i / 3 + 1);
	fd = openat(w.dirfd, name, O_WRONLY | O_CREAT, 0600);
	if (fd == -1 || pwrite(fd, bytes, len, 0) != (ssize_t)len)
		abort();
	(void)close(fd);
}

/* Records found, and of those that are whole, those that load. */
static void
check_found(const uint64_t pos[RECORDS], size_t from, size_t to)
{
	struct journal_rec rec;
	size_t i, found;

	for (i = found = 0; i < RECORDS; i++) {
		if (JOURNAL_OFF(pos[i]) < to &&
		    JOURNAL_OFF(pos[i]) + RECORD > from)
			continue;
		t_true(found < w.id_count && w.ids[found] == i + 1);
		t_int(journal_load(w.j, pos[i], &rec), 0);
		found++;
	}
	t_int(w.id_count, found);
}

static void
headless(void)
{
	static const size_t sizes[] = { 16, 512, 4096 };
	char name[JOURNAL_NAME_SIZE];
	struct journal_rec rec;
	uint64_t pos[RECORDS];
	size_t i;

	t_case("the first block of a segment is lost: its records, no others");
	for (i = 0; i < 6; i++) {
		t_row("%zu bytes of %s", sizes[i / 2],
		    i % 2 != 0 ? "noise" : "zeros");
		set_up();
		put_many(pos, name);
		overwrite(name, sizes[i / 2], i % 2 != 0);
		again();
		check_found(pos, 0, sizes[i / 2]);
		t_true(strstr(w.trouble, "head") != NULL);
		again();
		check_found(pos, 0, sizes[i / 2]);
		take_down();
	}
	t_case("... also of one that was sealed");
	for (i = 0; i < 6; i++) {
		t_row("%zu bytes of %s", sizes[i / 2],
		    i % 2 != 0 ? "noise" : "zeros");
		set_up();
		put_many(pos, name);
		again();
		overwrite(name, sizes[i / 2], i % 2 != 0);
		again();
		t_int(w.id_count, RECORDS);
		t_int(journal_load(w.j, pos[RECORDS - 1], &rec), 0);
		if (sizes[i / 2] > 16)
			t_int(journal_load(w.j, pos[0], &rec), -1);
		t_true(strstr(w.trouble, "head") != NULL);
		take_down();
	}
	t_row(NULL);
}

static void
no_segment(void)
{
	struct stat st;
	uint64_t pos;

	t_case("a file that is no segment is moved away, not forgotten");
	set_up();
	overwrite("seg-00000007", 4000, true);
	overwrite("seg-00000008", 4000, false);
	again();
	t_true(strstr(w.trouble, "damaged/seg-00000007") != NULL);
	t_int(fstatat(w.dirfd, "damaged/seg-00000007", &st, 0), 0);
	t_int(st.st_size, 4000);
	t_int(put(ONCE, 1, 100, &pos), 0);
	t_int(commit(), 1);
	again();
	t_int(count_in_order(), 1);
	t_str(w.trouble, "");
	take_down();
}

static void
unreadable(void)
{
	char name[JOURNAL_NAME_SIZE];
	uint64_t pos[RECORDS];

	t_case("a block that cannot be read costs its records");
	set_up();
	put_many(pos, name);
	unread.from = 4096;
	unread.to = 8192;
	again();
	unread.to = 0;
	check_found(pos, 4096, 8192);
	t_true(strstr(w.trouble, "cannot be read") != NULL);
	take_down();

	t_case("... also if it is the first");
	set_up();
	put_many(pos, name);
	unread.from = 0;
	unread.to = 4096;
	again();
	unread.to = 0;
	check_found(pos, 0, 4096);
	take_down();

	t_case("a segment that cannot be read at all is left for another day");
	set_up();
	put_many(pos, name);
	unread.to = 1 << 30;
	again();
	unread.to = 0;
	t_int(w.id_count, 0);
	t_true(strstr(w.trouble, "cannot be read") != NULL);
	t_true(journal_segment_at(w.j, 0)->kept);
	again();
	t_int(count_in_order(), RECORDS);
	t_str(w.trouble, "");
	take_down();
}

static void
sealed(void)
{
	uint64_t pos;

	t_case(
	    "a restart syncs records before the index that vouches for them");
	set_up();
	t_int(put(ONCE, 1, 100, &pos), 0);
	t_int(commit(), 1);
	again();
	t_str(w.ops, "sws");
	again();
	t_str(w.ops, "");
	t_int(count_in_order(), 1);

	t_case("... and the names of files that are to be used again");
	overwrite("spare-00000000", 4096, true);
	again();
	t_str(w.ops, "s");
	t_int(w.synced[w.synced_count - 1], w.dirfd);
	take_down();
}

int
main(void)
{
	damaged();
	headless();
	no_segment();
	unreadable();
	sealed();
	return t_done();
}
