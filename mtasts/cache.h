/*
 * The policies we hold: in memory, and one small file a domain on disk.
 *
 * Files are written anew and renamed into place, carry a checksum, and are
 * read once at start. Every name is relative to a directory descriptor, so
 * that the cache works inside a chroot. Bounded in domains and in bytes: the
 * entry unused for longest goes first; if it is the bytes that run out, one that
 * has more than its share of them. The cache keeps and finds; when to fetch, and
 * what is in force, is the business of discover.
 */

#ifndef MTASTS_CACHE_H
#define MTASTS_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/tree.h>
#include <time.h>

#include "mtasts/match.h"
#include "mtasts/policy.h"
#include "mtasts/record.h"

#define CACHE_MAX 10000  /* domains */
#define CACHE_SHARE 6144 /* bytes of memory for each, on average */

/* What is known of one domain's policy. */
struct cache_entry {
	char domain[HOST_SIZE]; /* policy domain, normalized */
	char id[STS_ID_SIZE];   /* of the TXT record it was fetched for; "" */
	struct sts_policy policy;
	time_t fetched;    /* when HTTPS last gave it (RFC 8461 3.3) */
	time_t used;       /* when it was last asked for */
	time_t refresh;    /* when to fetch it again in the background */
	unsigned failures; /* of that, in a row */
	bool damaged;     /* the file was unreadable; there is no policy here */
	bool expiry_told; /* the caller has heard that it ran out */
	bool is_dirty;    /* the cache's own from here on */
	size_t bytes;     /* what it takes in memory, about */
	RB_ENTRY(cache_entry) by_name;
	TAILQ_ENTRY(cache_entry) by_use;
	TAILQ_ENTRY(cache_entry) dirty;
};

struct cache;

enum cache_kind {
	CACHE_MEMORY, /* nothing on disk */
	CACHE_READ,   /* files are read, never written or removed */
	CACHE_WRITE
};

/* A file was unreadable; it is gone, and its entry is marked damaged. */
typedef void cache_damage_cb(void *arg, const char *domain, const char *why);

/*
 * dirfd    the folder; borrowed until cache_free(); ignored for CACHE_MEMORY
 * max      domains held
 * returns  NULL on no memory
 */
struct cache *cache_new(enum cache_kind, int dirfd, size_t max);
/* Free it; what is not yet flushed is lost. */
void cache_free(struct cache *);

/*
 * Read the folder, leftovers of an interrupted write being removed.
 *
 * returns  0, or -1 with errno where the folder cannot be read
 */
int cache_load(struct cache *, cache_damage_cb *damage, void *arg);
/* Read the file of one domain only, if there is one. 0, or -1 with errno. */
int cache_load_one(struct cache *, const char *domain, cache_damage_cb *damage,
    void *arg);

/* NULL if there is none. Entries stay the cache's. */
struct cache_entry *cache_find(struct cache *, const char *domain);
/* The entry of "domain", made (all zero) if need be; NULL on no memory.
 * Making one may drop the entry unused for longest. */
struct cache_entry *cache_put(struct cache *, const char *domain);
/* It was asked for: it goes last now. */
void cache_use(struct cache *, struct cache_entry *, time_t now);
/* It was changed: its file is to be written with the next flush. Others that
 * are large may be dropped. */
void cache_store(struct cache *, struct cache_entry *);
/* Forget it, on disk too. */
void cache_drop(struct cache *, struct cache_entry *);

/*
 * Write at most "max" of the changed entries, synced with one sync of the
 * folder for all.
 *
 * returns  how many are still to be written; -1 with errno where writing
 *          some failed: those stay to be written, after all others
 */
int cache_flush(struct cache *, int max);

/* In the order of names; NULL behind the last. */
struct cache_entry *cache_first(struct cache *);
struct cache_entry *cache_next(struct cache_entry *);
size_t cache_count(const struct cache *);

#endif
