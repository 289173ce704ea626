#include "queue/id.h"

#include <string.h>

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

uint64_t
id_next(struct id_source *source, uint64_t now_us)
{
	if (now_us <= source->last_us)
		now_us = source->last_us + 1;
	source->last_us = now_us;
	return now_us * 4 + (uint64_t)source->allocator;
}

uint64_t
id_at_us(uint64_t us)
{
	return us * 4 + 3;
}

uint64_t
id_time_us(uint64_t id)
{
	return id / 4;
}

void
id_format(uint64_t id, char text[ID_SIZE])
{
	int i;

	for (i = ID_SIZE - 2; i >= 0; i--) {
		text[i] = alphabet[id & 31];
		id >>= 5;
	}
	text[ID_SIZE - 1] = '\0';
}

static int
digit(char c)
{
	const char *at;

	if (c >= 'A' && c <= 'Z')
		c = (char)(c - 'A' + 'a');
	at = c == '\0' ? NULL : strchr(alphabet, c);
	return at == NULL ? -1 : (int)(at - alphabet);
}

int
id_parse(const char *text, uint64_t *id)
{
	uint64_t value;
	int i, d;

	value = 0;
	for (i = 0; i < ID_SIZE - 1; i++) {
		d = digit(text[i]);
		/* 13 characters have room for 65 bits. */
		if (d == -1 || (i == 0 && d > 15))
			return -1;
		value = value << 5 | (uint64_t)d;
	}
	if (text[i] != '\0')
		return -1;
	*id = value;
	return 0;
}
