#include "smtpd/base/buf.h"

#include <string.h>

#include "tests/t.h"

static void
test_order(void)
{
	struct buf b;

	t_case("buf: bytes come out in the order they went in");
	buf_init(&b, 100);
	t_int(buf_len(&b), 0);
	t_mem(buf_bytes(&b), 0, "", 0);
	buf_adds(&b, "one ");
	buf_add(&b, "t\0o", 3);
	buf_adds(&b, " 3!");
	t_mem(buf_bytes(&b), buf_len(&b), "one t\0o 3!", 10);
	buf_take(&b, 4);
	t_mem(buf_bytes(&b), buf_len(&b), "t\0o 3!", 6);
	buf_take(&b, 6);
	t_int(buf_len(&b), 0);
	buf_adds(&b, "again");
	t_mem(buf_bytes(&b), buf_len(&b), "again", 5);
	t_true(!b.failed);
	buf_clear(&b);
}

static void
test_bound(void)
{
	struct buf b;

	t_case("buf: a write over the bound fails, sticks and adds nothing");
	buf_init(&b, 8);
	buf_adds(&b, "12345678");
	t_true(!b.failed);
	buf_adds(&b, "9");
	t_true(b.failed);
	buf_take(&b, 8);
	buf_adds(&b, "x");
	t_int(buf_len(&b), 0);
	buf_clear(&b);

	t_case("buf: asking for room over the bound is no failure");
	buf_init(&b, 8);
	t_true(buf_room(&b, 9) == NULL);
	t_true(!b.failed);
	t_true(buf_room(&b, 8) != NULL);
	buf_clear(&b);
	buf_init(&b, 8);
	t_true(buf_room(&b, (size_t)-1) == NULL);
	buf_clear(&b);
}

/* Bytes added in pieces of "add" and taken in pieces of "take". */
static void
stream(size_t add, size_t take)
{
	unsigned char in = 0, out = 0;
	struct buf b;
	size_t i, round;
	bool same = true;

	buf_init(&b, 1U << 20);
	for (round = 0; round < 2000; round++) {
		for (i = 0; i < add; i++, in++)
			buf_add(&b, &in, 1);
		for (i = 0; i < take && buf_len(&b) > 0; i++, out++) {
			same = same && (unsigned char)*buf_bytes(&b) == out;
			buf_take(&b, 1);
		}
	}
	t_true(same);
	t_true(!b.failed);
	t_int(buf_len(&b), add > take ? 2000 * (add - take) : 0);
	buf_clear(&b);
}

static void
test_stream(void)
{
	t_case("buf: a long stream in unequal pieces keeps every byte");
	stream(7, 7);
	stream(13, 5);
	stream(300, 299);
	stream(1, 9);
}

static void
test_room(void)
{
	struct buf b;
	char *room;

	t_case("buf: read(2) may write into the room it asked for");
	buf_init(&b, 100000);
	room = buf_room(&b, 70000);
	t_true(room != NULL);
	memset(room, 'a', 70000);
	buf_grown(&b, 3);
	t_mem(buf_bytes(&b), buf_len(&b), "aaa", 3);
	buf_take(&b, 3);

	t_case("buf: an emptied buffer gives back more than it needs");
	t_true(b.mem == NULL);
	buf_clear(&b);
}

int
main(void)
{
	test_order();
	test_bound();
	test_stream();
	test_room();
	return t_done();
}
