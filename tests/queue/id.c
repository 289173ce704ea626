#include "queue/id.h"

#include <string.h>

#include "tests/t.h"

static const struct {
	const char *text;
	bool good;
} rows[] = {
	{ "0000000000000", true },
	{ "fzzzzzzzzzzzz", true },
	{ "FZZZZZZZZZZZZ", true },
	{ "gzzzzzzzzzzzz", false }, /* 65 bits */
	{ "000000000000", false },
	{ "00000000000000", false },
	{ "000000000000i", false },
	{ "000000000000l", false },
	{ "000000000000o", false },
	{ "000000000000u", false },
	{ "00000000000 0", false },
	{ "", false },
};

int
main(void)
{
	struct id_source source = { ID_QUEUE, 0 };
	char text[ID_SIZE], later[ID_SIZE];
	uint64_t id, next;
	size_t i;

	t_case("an id is 13 characters that read back");
	id = id_next(&source, 1700000000000000);
	id_format(id, text);
	t_int(strlen(text), 13);
	t_int(id_parse(text, &next), 0);
	t_true(id == next);
	t_true(id_time_us(id) == 1700000000000000);
	t_int(id & 3, ID_QUEUE);

	t_case("ids grow although the clock stands still or goes back");
	next = id_next(&source, 1700000000000000);
	t_true(next > id);
	id = next;
	next = id_next(&source, 1600000000000000);
	t_true(next > id);

	t_case("the text sorts as the ids do");
	id_format(id, text);
	id_format(next, later);
	t_true(strcmp(text, later) < 0);
	id_format(UINT64_MAX, text);
	t_str(text, "fzzzzzzzzzzzz");

	t_case("only whole ids are read");
	for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		t_row("%s", rows[i].text);
		t_int(id_parse(rows[i].text, &id), rows[i].good ? 0 : -1);
	}
	return t_done();
}
