#include "queue/journal.h"

#include "tests/queue/bare.h"

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

static void
deleted(void)
{
	int fds[JOURNAL_SYNC_FILES], count;
	uint64_t pos;

	t_case(
	    "what is deleted while a sync is under way is so after the next");
	set_up();
	t_int(put(ONCE, 1, 12000, &pos), 0);
	t_int(put(ONCE, 2, 12000, &pos), 0);
	t_int(commit(), 1);
	t_int(put(ONCE, 3, 100, &pos), 0);
	t_int(journal_sync_begin(w.j, fds, &count), 1);
	t_int(journal_delete(w.j, journal_segment_at(w.j, 0)), 0);
	journal_synced(w.j, 0);
	t_true(journal_holds(w.j, 1));
	t_true(journal_segment(w.j, 1) == NULL);
	t_int(commit(), 1);
	t_true(!journal_holds(w.j, 1));
	take_down();
}

int
main(void)
{
	load();
	restart();
	recycled();
	deleted();
	return t_done();
}
