/*
 * Bytes that grow at the end and are taken from the front, up to a bound.
 *
 * A write that would pass the bound, or finds no memory, sets a sticky error
 * and changes nothing more; the writer tests it once, when done.
 */

#ifndef SMTPD_BASE_BUF_H
#define SMTPD_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *mem;
	size_t start; /* first byte not yet taken */
	size_t end;
	size_t room; /* allocated */
	size_t max;
	bool failed;
};

/* Empty, bounded by "max" bytes held at a time; allocates nothing yet. */
void buf_init(struct buf *, size_t max);
/* Free the memory; the buffer is as after buf_init(). */
void buf_clear(struct buf *);

size_t buf_len(const struct buf *);
/* The bytes held; valid until the next change. Not NUL-terminated. */
const char *buf_bytes(const struct buf *);

void buf_add(struct buf *, const void *bytes, size_t len);
void buf_adds(struct buf *, const char *text);

/*
 * Room for at least "want" bytes to write into, e.g. by read(2); tell how
 * many were written with buf_grown(). NULL: over the bound (not sticky).
 */
char *buf_room(struct buf *, size_t want);
void buf_grown(struct buf *, size_t len);

/* Drop "len" bytes from the front. */
void buf_take(struct buf *, size_t len);

#endif
