#include "queue/recover.h"

#include "tests/queue/bare.h"

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

int
main(void)
{
	damaged();
	return t_done();
}
