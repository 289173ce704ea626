/*
 * Inside the journal: shared by journal.c, journal_read.c, segment.c, scan.c
 * and recover.c. Nobody else includes this.
 */

#ifndef QUEUE_JOURNAL_STATE_H
#define QUEUE_JOURNAL_STATE_H

#include "queue/journal.h"

#define JOURNAL_VOIDS 16 /* failed groups whose segments still exist */
#define JOURNAL_SPARES 4 /* recycled files kept */
#define RESERVE 16 /* one part in so many of a segment is kept for results */

struct bytes {
	char *mem;
	size_t len;
	size_t room;
};

/* A record kept until it is durable, followed by its brief and text. */
struct redo {
	uint64_t mark;
	uint64_t pos;
	uint64_t id;
	uint32_t type;
	uint32_t brief_len;
	uint32_t text_len;
	uint32_t size; /* of all this, padded */
};

struct journal {
	const struct disk *disk;
	int dirfd;
	uint32_t segment;
	uint32_t once;
	struct journal_hooks hooks;
	struct segment **segs; /* oldest first */
	size_t count;
	size_t room;
	struct segment *current; /* NULL: none could be made */
	uint32_t last_seq;
	struct bytes buf;   /* of the current segment, not yet written */
	uint32_t buf_off;   /* where it belongs */
	struct bytes index; /* of the current segment */
	struct bytes redo;
	size_t redo_start;
	size_t redo_left;     /* from here on: to be written, in this order */
	struct bytes scratch; /* loaded record */
	struct rec_void voids[JOURNAL_VOIDS];
	size_t void_count;
	size_t voids_synced; /* of them, from before the last good group */
	uint64_t mark;
	uint64_t sync_mark;
	uint64_t synced_mark;
	uint32_t spares[JOURNAL_SPARES]; /* names of files to use again */
	size_t spare_count;
	int error;
	uint32_t error_seq; /* over when a later segment is good */
	bool held;          /* results are not to be written yet */
	bool dirty; /* something was appended or deleted since sync_begin */
	bool dir_dirty;
	bool syncing;
	bool sync_lost; /* the sync under way is of a group given up */
};

/* Room for "more" bytes behind the end. -1: no memory. */
int bytes_reserve(struct bytes *, size_t more);

/* Make the next segment the current one, of "least" bytes or more; the old one
 * is sealed. -1, errno: nothing has changed, or the group was given up. */
int segment_begin(struct journal *, uint32_t least);
/* A smaller one is for results alone, and trouble as long as it is there. */
uint32_t segment_least(const struct journal *);
/* Write the index (which grows by the tail) behind the records of "seg" and
 * cut the file there. A segment without one costs a restart time, no more. */
int segment_seal(struct journal *, struct segment *seg, struct bytes *index);
/* Does such a record leave room for results? */
bool segment_spares(const struct journal *, const struct journal_rec *);
/* Does a record of "size" bytes fit in the current one? */
bool segment_has_room(const struct journal *, const struct journal_rec *,
    uint32_t size);
/* Its deletion is durable: its file may be used again. */
void segment_reuse(struct journal *, const struct segment *);
/* Write the buffer out; -1: the group was given up. */
int segment_flush(struct journal *);
/* Give the group up. Keeps errno. */
void journal_fail(struct journal *, int error);
/* Nothing can be accepted, for this reason. Keeps errno. */
void journal_trouble(struct journal *, int error);

/* All "len" bytes at "off"; -1 with errno, EBADMSG at the end of the file. */
int segment_read(const struct segment *, void *to, size_t len, uint32_t off);

static inline uint32_t
record_size(uint32_t len)
{
	return (uint32_t)(sizeof(struct rec_head) + len + 7) & ~7U;
}

#endif
