#include "smtpd/base/buf.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 1024 /* bytes of a first allocation */
#define ROOM_KEPT 4096  /* bytes an emptied buffer keeps for the next use */

void
buf_init(struct buf *b, size_t max)
{
	memset(b, 0, sizeof(*b));
	b->max = max;
}

void
buf_clear(struct buf *b)
{
	free(b->mem);
	buf_init(b, b->max);
}

size_t
buf_len(const struct buf *b)
{
	return b->end - b->start;
}

const char *
buf_bytes(const struct buf *b)
{
	return b->mem == NULL ? "" : b->mem + b->start;
}

/* Move what is held to the front, where taken bytes left a gap. */
static void
close_gap(struct buf *b)
{
	if (b->start == 0 || b->mem == NULL)
		return;
	memmove(b->mem, b->mem + b->start, buf_len(b));
	b->end = buf_len(b);
	b->start = 0;
}

static bool
make_room(struct buf *b, size_t want)
{
	size_t len = buf_len(b), room = b->room;
	char *mem;

	if (want > b->max || len > b->max - want)
		return false;
	if (want <= b->room - b->end && b->mem != NULL)
		return true;
	/* Moving pays where it frees half; else copying would be quadratic. */
	if (want <= b->room - len && len <= b->room / 2 && b->mem != NULL) {
		close_gap(b);
		return true;
	}
	if (room < ROOM_FIRST)
		room = ROOM_FIRST;
	while (room - len < want)
		room = room > b->max / 2 ? len + want : room * 2;
	if (b->start > 0)
		close_gap(b);
	mem = realloc(b->mem, room + 1); /* vsnprintf() ends with a NUL */
	if (mem == NULL)
		return false;
	b->mem = mem;
	b->room = room;
	return true;
}

char *
buf_room(struct buf *b, size_t want)
{
	if (b->failed || !make_room(b, want))
		return NULL;
	return b->mem + b->end;
}

void
buf_grown(struct buf *b, size_t len)
{
	b->end += len;
}

void
buf_add(struct buf *b, const void *bytes, size_t len)
{
	char *room;

	if (len == 0)
		return;
	room = buf_room(b, len);
	if (room == NULL) {
		b->failed = true;
		return;
	}
	memcpy(room, bytes, len);
	b->end += len;
}

void
buf_adds(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

void
buf_take(struct buf *b, size_t len)
{
	b->start += len;
	if (b->start < b->end)
		return;
	b->start = b->end = 0;
	if (b->room > ROOM_KEPT) {
		free(b->mem);
		b->mem = NULL;
		b->room = 0;
	}
}
