/* The journal on a disk that fails, or is full. */

#include "tests/queue/bare.h"

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

	t_case("... nor written to where nothing was preallocated");
	t_int(put(ONCE, 2, 600, &pos), 0);
	t_int(put(ONCE, 3, 600, &pos), 0);
	t_int(JOURNAL_SEQ(pos), 2);
	t_int(put(ONCE, 4, 2000, &pos), -1);
	t_int(errno, ENOSPC);
	t_int(commit(), 1);
	journal_name(2, name);
	t_int(fstatat(w.dirfd, name, &st, 0), 0);
	t_true(st.st_size <= SEGMENT / 16);
	w.scarce = false;
	again();
	t_int(count_in_order(), 3);
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
	t_true(journal_synced_mark(w.j) < journal_mark(w.j));
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

static void
looked_into(void)
{
	uint64_t pos;

	t_case("trouble is looked into, and over, without new mail");
	set_up();
	t_int(put(ONCE, 1, 2000, &pos), 0);
	t_int(commit(), 1);
	t_true(!journal_is_dirty(w.j));
	w.full = true;
	t_int(put(ONCE, 2, 14000, &pos), -1);
	t_true(journal_is_dirty(w.j));
	t_int(commit(), -1);
	t_int(errno, ENOSPC);

	t_case("... until then, what would find room is refused as well");
	t_int(put(ONCE, 2, 0, &pos), -1);
	t_int(errno, ENOSPC);

	t_case("... which a sync of what there was room for does not end");
	t_int(put(RESULT, 2, 0, &pos), 0);
	t_int(commit(), 1);
	t_int(journal_error(w.j), ENOSPC);
	w.full = false;
	t_int(commit(), 1);
	t_int(journal_error(w.j), 0);
	t_true(!journal_is_dirty(w.j));

	t_case("... nor is it over before a sync has gone well");
	t_int(put(ONCE, 3, 100, &pos), 0);
	w.failing = EIO;
	t_int(commit(), -1);
	w.failing = 0;
	t_int(put(ONCE, 3, 100, &pos), 0);
	t_int(journal_error(w.j), EIO);
	t_int(commit(), 1);
	t_int(journal_error(w.j), 0);
	again();
	t_int(count_in_order(), 3);
	take_down();
}

static void
overtaken(void)
{
	int fds[JOURNAL_SYNC_FILES], count, i;
	uint64_t pos, mark;

	t_case("a group that fails while one is synced: that one is lost, too");
	set_up();
	t_int(put(ONCE, 1, 100, &pos), 0);
	t_int(commit(), 1);
	t_int(put(RESULT, 2, 100, &pos), 0);
	mark = journal_mark(w.j);
	t_int(journal_sync_begin(w.j, fds, &count), 1);
	w.failing = EIO;
	for (i = 0; i < 3 && put(ONCE, 9, 8000, &pos) == 0; i++)
		;
	t_int(w.failed, 1);
	journal_synced(w.j, 0);
	t_true(journal_synced_mark(w.j) < mark);
	w.failing = 0;
	t_int(commit(), 1);
	again();
	t_int(count_in_order(), 2);
	t_int(w.id_count, 2);
	take_down();
}

static void
late_comer(void)
{
	int fds[JOURNAL_SYNC_FILES], count;
	uint64_t pos;

	t_case("what came while a group was synced is lost with its own");
	set_up();
	t_int(put(ONCE, 1, 100, &pos), 0);
	t_int(journal_sync_begin(w.j, fds, &count), 1);
	t_int(put(ONCE, 9, 100, &pos), 0);
	journal_synced(w.j, 0);
	t_int(commit_with(EIO), 1);
	t_int(put(ONCE, 2, 100, &pos), 0);
	t_int(commit(), 1);
	again();
	t_int(count_in_order(), 2);
	t_int(w.id_count, 2);
	take_down();
}

static void
left_over(void)
{
	uint64_t pos;

	t_case(
	    "a file that could not be used, nor removed, is in nobody's way");
	set_up();
	w.stuck = true;
	t_int(put(ONCE, 1, 100, &pos), -1);
	t_int(errno, EIO);
	w.stuck = false;
	t_int(put(ONCE, 1, 100, &pos), 0);
	t_int(commit(), 1);
	again();
	t_int(count_in_order(), 1);
	t_str(w.trouble, "");
	take_down();
}

/* "cut": could the restart cut off what was void? */
static void
void_is_gone(bool cut)
{
	struct segment *seg;
	uint64_t pos, i;

	t_case("a lost group stays lost though the word on it is gone");
	set_up();
	t_int(put(ONCE, 1, 100, &pos), 0);
	t_int(commit(), 1);
	t_int(put(ONCE, 1000, 100, &pos), 0);
	t_int(commit_with(EIO), 1);
	t_int(put(ONCE, 1001, 100, &pos), 0);
	t_int(commit(), 1);
	w.stuck = !cut;
	again();
	w.stuck = false;
	if (cut) /* two are sealed, one is cut */
		t_str(w.ops, "swsswss");
	for (i = 2; i < 5; i++) {
		t_int(put(ONCE, i, 8000, &pos), 0);
		t_int(commit(), 1);
	}
	seg = journal_segment_at(w.j, 1);
	t_int(seg->seq, 2);
	t_int(journal_delete(w.j, seg), 0);
	t_int(commit(), 1);
	again();
	t_int(count_in_order(), 4);
	t_int(w.id_count, 4);
	take_down();
}

static void
many_voids(void)
{
	uint64_t pos, id;
	int i;

	t_case("a group that was lost stays so, however often that was said");
	set_up();
	for (id = 1; id < 4; id++) {
		t_int(put(ONCE, id, 100, &pos), 0);
		t_int(commit(), 1);
		t_int(put(ONCE, 1000, 100, &pos), 0);
		t_int(commit_with(EIO), 1);
		for (i = 0; i < 90; i++) {
			t_int(put(ONCE, 0, 12000, &pos), 0);
			t_int(commit(), 1);
		}
	}
	again();
	for (i = 0, id = 1; i < (int)w.id_count; i++) {
		t_true(w.ids[i] != 1000);
		if (w.ids[i] == id)
			id++;
	}
	t_int(id, 4);
	take_down();
}

int
main(void)
{
	failure();
	large_group();
	scarce();
	no_room();
	looked_into();
	overtaken();
	late_comer();
	left_over();
	void_is_gone(true);
	void_is_gone(false);
	many_voids();
	return t_done();
}
