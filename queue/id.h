/*
 * Message ids: 64 bits that sort by time, 13 characters when written.
 *
 * (microseconds since 1970) * 4 + allocator. The first who holds a message
 * allots its id, so each process that may do so has an allocator number.
 */

#ifndef QUEUE_ID_H
#define QUEUE_ID_H

#include <stdint.h>

#define ID_SIZE 14 /* bytes of the written form, NUL included */

enum id_allocator { ID_LISTEN, ID_QUEUE, ID_TEST, ID_SPARE };

struct id_source {
	enum id_allocator allocator;
	uint64_t last_us; /* of the last id given; start with 0 */
};

/*
 * The next id, strictly greater than any before from this source, even if
 * the clock stands still or goes back.
 *
 * now_us   microseconds since 1970
 */
uint64_t id_next(struct id_source *, uint64_t now_us);

/* The greatest id of that microsecond. */
uint64_t id_at_us(uint64_t us);

/* When the id was allotted: microseconds since 1970. */
uint64_t id_time_us(uint64_t id);

/*
 * Write the id: lower-case base 32 (digits, and letters without i, l, o, u),
 * most significant first, so that text sorts as numbers do.
 */
void id_format(uint64_t id, char text[ID_SIZE]);

/*
 * Read an id, in either case. Returns 0, or -1 if "text" is not exactly 13
 * characters of the alphabet that fit in 64 bits.
 */
int id_parse(const char *text, uint64_t *id);

#endif
