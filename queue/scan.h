/*
 * The records of a segment, looked for in its bytes: where no index says
 * where they are, or the bytes are damaged.
 */

#ifndef QUEUE_SCAN_H
#define QUEUE_SCAN_H

#include <stdint.h>

#include "queue/journal.h"

struct scan {
	const struct segment *seg;
	const char *mem; /* its bytes */
	uint32_t len;
	uint32_t end; /* set: behind the last good record */
	void *arg;
	/* A record, as in journal_replay(); NULL: not told. */
	void (*each)(void *arg, const struct seg_entry *, const void *brief,
	    uint64_t pos);
	/* Bytes between good records; NULL: not told. */
	void (*damaged)(void *arg, const char *mem, uint32_t from, uint32_t to);
};

void scan_records(struct scan *);

/*
 * The number that the segment's records carry, from the first that can be
 * one; 0: there is none. For a segment whose head is lost.
 */
uint32_t scan_nonce(const char *mem, uint32_t len);

/*
 * The bytes of a segment up to "len", to free(3); NULL with errno.
 *
 * bad	set to the number of bytes that the disk does not give; zeros stand
 *	for them. NULL: all or nothing.
 */
char *scan_read(const struct segment *, uint32_t len, uint32_t *bad);

#endif
