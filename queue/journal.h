/*
 * The journal: append-only segments of checked records, group commit.
 *
 * It knows nothing of mail. A record has a type, an id and three parts: the
 * brief, which a restart needs; text and body, which it does not. A segment
 * that is full is sealed by an index of the briefs of its records, so that a
 * restart reads those and no bodies.
 *
 * On disk (numbers little-endian, records at multiples of 8):
 *
 *	segment  struct seg_head, records, [index, struct seg_tail]
 *	record   struct rec_head, brief, text, body
 *	index    struct seg_entry and brief, for each record that mattered
 *
 * Every record carries its segment's random number: neither what a recycled
 * file still holds of its former life nor what someone writes into a mail can
 * pass for a record. A group whose write or sync failed
 * is void: the next segment begins with REC_VOID records that say so.
 */

#ifndef QUEUE_JOURNAL_H
#define QUEUE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/disk.h"

#define JOURNAL_SEGMENT (64U << 20) /* bytes of a segment, by default */
#define JOURNAL_NAME_SIZE 16        /* "seg-00000001" */
#define JOURNAL_MAGIC 0x31676573u   /* "seg1" */
#define JOURNAL_TAIL_MAGIC 0x31787369u

/* Record types below 16 are the journal's own. */
enum rec_type { REC_NONE, REC_VOID, REC_FIRST = 16, REC_END = 64 };

struct seg_head {
	uint32_t magic;
	uint32_t seq;
	uint32_t nonce;
	uint32_t crc; /* of the above */
};

struct rec_head {
	uint32_t crc; /* of all that follows in the record */
	uint32_t nonce;
	uint32_t len; /* of brief, text and body */
	uint32_t brief_len;
	uint32_t text_len;
	uint32_t type;
	uint64_t id;
};

struct seg_entry {
	uint64_t id;
	uint32_t off;
	uint32_t len; /* of the whole record, padding included */
	uint32_t type;
	uint32_t brief_len;
};

struct seg_tail {
	uint32_t magic;
	uint32_t nonce;
	uint32_t index_off;
	uint32_t index_len;
	uint32_t index_crc;
	uint32_t crc; /* of the tail up to here */
};

struct rec_void {
	uint32_t seq;
	uint32_t from;    /* nothing in that segment from here on counts, */
	uint32_t through; /* nor anything in those after it up to this */
	uint32_t reserved;
};

/* Segment and offset of a record in one number; 0 is nowhere. */
#define JOURNAL_POS(seq, off) ((uint64_t)(seq) << 32 | (off))
#define JOURNAL_SEQ(pos) ((uint32_t)((pos) >> 32))
#define JOURNAL_OFF(pos) ((uint32_t)(pos))

struct segment {
	uint32_t seq;
	uint32_t nonce;
	int fd;
	uint32_t room;     /* bytes that it may grow to */
	uint32_t end;      /* of its records; where the index begins */
	uint32_t synced;   /* durable up to here */
	uint32_t sync_end; /* ... when the sync under way is through */
	uint32_t index_len;
	uint32_t live; /* messages that live in it: the owner counts */
	uint64_t live_bytes;
	bool sealed;  /* an index follows the records */
	bool dirty;   /* written since the last sync began */
	bool syncing; /* in the sync under way */
	bool dead;    /* unlinked; gone when the folder has been synced */
	bool dead_syncing;
	bool spare; /* dead, and its file to be used again */
	bool sick;  /* writing or syncing it failed: not to be used again */
	bool stale; /* holds copies of messages that live elsewhere */
	bool kept;  /* could not be read or compacted: not again */
	bool tight; /* ... for want of room: not until there is some */
};

struct journal_hooks {
	void *arg;
	/* At sealing: will a restart want this record? */
	bool (*keep)(void *arg, const struct seg_entry *, const void *brief,
	    uint64_t pos);
	/* A record that was lost with its group, or had found no room (from
	 * is 0), was written. Its brief is given, no other part. */
	void (*moved)(void *arg, const struct seg_entry *, const void *brief,
	    uint64_t from, uint64_t to);
	/* The group was lost: records of type "once" in it never will be. */
	void (*failed)(void *arg, int error);
};

/* One record to append, or as loaded. */
struct journal_rec {
	uint32_t type;
	uint64_t id;
	const void *brief;
	uint32_t brief_len;
	const void *text;
	uint32_t text_len;
	const void *body; /* NULL: to be read from ... */
	int body_fd;      /* ... here: body_len bytes from offset 0 */
	uint32_t body_len;
	bool urgent; /* of type "once", and may take the room of results */
};

struct journal;

/*
 * A journal in the folder "dirfd" (borrowed). Segments that exist are made
 * known by journal_adopt(), before the first append. NULL: no memory.
 *
 * segment  bytes of one
 * once     records of this type are not written anew when their group fails
 */
struct journal *journal_new(int dirfd, const struct disk *, uint32_t segment,
    uint32_t once, const struct journal_hooks *);
/* Closes files; writes nothing. */
void journal_free(struct journal *);

/* Add an empty segment, in ascending order. Takes "fd". NULL: no memory. */
struct segment *journal_adopt(struct journal *, uint32_t seq, int fd);
void journal_name(uint32_t seq, char name[JOURNAL_NAME_SIZE]);

/*
 * Append a record to the group. Returns 0, or -1 with errno: ENOSPC, EIO...
 * On -1 a record of type "once" is refused; any other is kept, *pos is 0, and
 * it is written as soon as that is possible.
 */
int journal_append(struct journal *, const struct journal_rec *, uint64_t *pos);

/* Is there room for a record of type "once" that is not urgent? 0, or -1 with
 * errno. */
int journal_prepare(struct journal *, uint32_t size);
/* Bytes that an urgent one, or a result, finds without more of the disk. */
uint32_t journal_room(const struct journal *);

/* Records of other types than "once" are not to be written before this is
 * called off: one of that type is to go first, and could not be appended. */
void journal_hold(struct journal *, bool);

/* Bytes ever appended: what a sync's mark is compared with. */
uint64_t journal_mark(const struct journal *);
uint64_t journal_synced_mark(const struct journal *);
bool journal_is_dirty(const struct journal *);
int journal_error(const struct journal *);

/* Bytes of results that could not be written and wait in memory. */
size_t journal_backlog(const struct journal *);

#define JOURNAL_SYNC_FILES 6
/*
 * Write the group out. Returns 1 and the files to sync, 0 if there is
 * nothing to, or -1 with errno: the group is lost, failed() was called.
 */
int journal_sync_begin(struct journal *, int fds[JOURNAL_SYNC_FILES],
    int *count);
/* "error": 0 or errno of the sync. */
void journal_synced(struct journal *, int error);

/*
 * Seal the segment that is written to: the next start reads its index and no
 * record. For a clean end, when all is durable; else nothing is done.
 */
void journal_seal(struct journal *);

/*
 * Load a record and check it. Parts point into a buffer of the journal that
 * is overwritten by the next call. Returns -1 with errno: EBADMSG (damaged),
 * ENOENT (no such segment), EIO...
 */
int journal_load(struct journal *, uint64_t pos, struct journal_rec *);
/* Its brief and text only: unchecked, the body unread. */
int journal_load_text(struct journal *, uint64_t pos, struct journal_rec *);

/* The segment, or NULL if there is none (any more). */
struct segment *journal_segment(const struct journal *, uint32_t seq);
/* May its file still be there after a power failure? True for dead ones. */
bool journal_holds(const struct journal *, uint32_t seq);
size_t journal_segments(const struct journal *);
struct segment *journal_segment_at(const struct journal *, size_t n);
/* Is it the one that is written to? */
bool journal_is_current(const struct journal *, const struct segment *);
uint64_t journal_bytes(const struct journal *);
/* Bytes of one segment. */
uint32_t journal_size(const struct journal *);

/*
 * Call "each" for every record of a segment that is not current, as a
 * restart would. Returns 0, or -1 with errno if it cannot be read.
 */
int journal_replay(struct journal *, struct segment *,
    void (*each)(void *arg, const struct seg_entry *, const void *brief,
	uint64_t pos),
    void *arg);

/*
 * Delete a segment that is not current; its file may serve again. It stays
 * known, as dead, until a sync has made that durable.
 */
int journal_delete(struct journal *, struct segment *);

#endif
