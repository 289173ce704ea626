/*
 * The spool: what is accepted and not yet done, on disk and in memory.
 *
 * The face of queue/: one owner, one thread, no clock, no log, no loop. Time
 * comes in as "now", wall-clock milliseconds since 1970. Strings handed in
 * are borrowed for the call; what hooks receive is borrowed for the hook.
 *
 * A message's way:
 *
 *	spool_append	  pending	in the journal's buffer
 *	spool_sync_begin  pending	written; the caller syncs the files
 *	spool_synced	  queued	hook settled(id, 0): say 250 now
 *	spool_next	  sending	a job of one message, one destination
 *	spool_result	  delivered, deferred or bounced, each recipient
 *	spool_job_end	  gone when no recipient is left; bounces are written
 *
 * Nothing else is synced: results ride on the next group.
 */

#ifndef QUEUE_SPOOL_H
#define QUEUE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/ages.h"
#include "queue/envelope.h"
#include "queue/limit.h"
#include "queue/outcome.h"

struct spool;
struct disk;

#define SPOOL_DEST_SIZE 264 /* a destination key with its NUL */
#define SPOOL_JOB_RCPTS 100 /* recipients of one job (RFC 5321 4.5.3.1.8) */

/* What came of one recipient in one attempt. Strings may be "". */
struct spool_result {
	enum outcome outcome;
	enum scope scope;
	bool tls;     /* TLS or policy is the reason: warn sooner */
	bool enforce; /* a policy in mode enforce was in force */
	bool relayed; /* NOTIFY=SUCCESS is ours to honour, as `relayed` */
	const char *reason;
	const char *dsn;
	const char *mx;
	const char *reply;
	const char *detail;
};

/* One attempt of the past, for people. */
struct spool_attempt {
	int64_t at_ms;
	struct spool_result result;
};

/* What happened to one recipient: for the log. */
struct spool_change {
	enum rcpt_event event; /* DELIVERED, FAILED_*, BOUNCED, EXPIRED */
	const struct envelope *env;
	uint32_t rcpt; /* index in env->rcpts */
	const struct spool_result *result;
	unsigned attempts;
	int64_t next_ms; /* of a deferral */
};

/* Why the spool made a message itself. */
enum spool_report { REPORT_BOUNCE, REPORT_DELAY, REPORT_RELAYED };

/*
 * What the spool tells its owner, from within the call that brings it about.
 * A hook may not call the spool.
 */
struct spool_hooks {
	void *arg;
	/* A message that was appended is durable (0), or is not and never
	 * will be (errno). Not called for reports. */
	void (*settled)(void *arg, uint64_t id, int error);
	void (*changed)(void *arg, const struct spool_change *);
	/* A report was queued; "of" is the message it is about. */
	void (*reported)(void *arg, enum spool_report, uint64_t of,
	    const struct envelope *env);
	/* Something an administrator must know: damage, lost files. */
	void (*trouble)(void *arg, const char *text);
};

struct spool_conf {
	const char *hostname;   /* in bounces */
	int64_t retry_first_ms; /* first delay, doubling ... */
	int64_t retry_max_ms;   /* ... up to this */
	int64_t expire_ms;
	int64_t warn_ms;     /* -1: never */
	int64_t warn_tls_ms; /* -1: never */
	uint32_t segment;    /* bytes of a segment; 0: the default */
	void *arg;
	/* The next hop for a domain (lower-case): the key of its queue. */
	void (*route)(void *arg, const char *domain, char key[SPOOL_DEST_SIZE]);
	/* The limits of a next hop. */
	void (*limits)(void *arg, const char *key, struct limit_conf *);
	/* What a reason word means and what to do, for people; "" if unknown */
	const char *(*advice)(void *arg, const char *reason);
	/* Who reads what is sent to "address": calls fn with each, up to a
	 * failure of fn. Returns how many; 0, -1: write to itself. */
	int (*expand)(void *arg, const char *address,
	    int (*fn)(void *arg, const char *one), void *fn_arg);
};

/* ---- open ---- */

/*
 * Open the spool in the folder "dirfd" (taken; closed by spool_close) and
 * recover what is there. Makes large/ and damaged/ where missing.
 *
 * disk     file operations; NULL: the real ones
 * conf     copied, but not its strings and arg: they must outlive the spool
 * returns  NULL with errno: the folder cannot be used
 */
struct spool *spool_open(int dirfd, const struct disk *,
    const struct spool_conf *conf, const struct spool_hooks *, int64_t now_ms);
void spool_close(struct spool *);
/* Before a clean end, when nothing is dirty: the next start will be quick. */
void spool_seal(struct spool *);

/* New settings are in force; next hops and limits are asked for anew. */
void spool_reconfigure(struct spool *, const struct spool_conf *,
    int64_t now_ms);

/* 0, or the errno for which nothing can be accepted at present. */
int spool_failing(const struct spool *);

/* ---- in ---- */

/*
 * Append a message; not yet durable. The journal takes a copy of the body.
 *
 * body     fd of env->size bytes, read from offset 0; taken on success: a
 *          memfd serves the first attempt, so that it reads nothing from disk
 * returns  0; settled() follows. -1 with errno (EEXIST: the id is known;
 *          ENOSPC, EIO...): nothing was promised, and nothing of the message
 *          will be found after a restart
 */
int spool_append(struct spool *, const struct envelope *env, int body,
    int64_t now_ms);

/*
 * Where a message that is not yet durable will go as soon as it is: the
 * destination of its first recipient, borrowed. NULL: nowhere at once, or
 * others are under way there, or many elsewhere.
 */
const char *spool_foretell(struct spool *, uint64_t id, int64_t now_ms);

/* A file for a large body. Returns an fd to read and write, the caller's to
 * close; or -1 with errno. */
int spool_large_open(struct spool *, uint64_t id);
/* Remove it: it will not be appended. */
void spool_large_drop(struct spool *, uint64_t id);
/* As spool_append, the body being the file, which must have env->size. */
int spool_append_large(struct spool *, const struct envelope *env,
    int64_t now_ms);

/* ---- group commit ---- */

#define SPOOL_SYNC_FILES 72

/* Files to make durable, in this order; borrowed until spool_synced(). */
struct spool_sync {
	int count;
	int fds[SPOOL_SYNC_FILES];
};

/*
 * Write out what was appended. Returns 1: fsync or fdatasync every file of
 * "sync" (in any thread), then call spool_synced(). 0: nothing to do, or a
 * sync is under way. -1 with errno: the group was given up, settled() told
 * so for each message; results stay in memory and are written again later.
 */
int spool_sync_begin(struct spool *, struct spool_sync *sync, int64_t now_ms);
/* "error": 0, or the errno of the first sync that failed. */
void spool_synced(struct spool *, int error, int64_t now_ms);
/* Is there anything that a sync would make durable? */
bool spool_is_dirty(const struct spool *);
/* ... and does anyone wait for settled()? */
bool spool_is_awaited(const struct spool *);

/*
 * A bounded piece of housekeeping: deletes or compacts a segment.
 * Returns true if there is more to do at once.
 */
bool spool_tidy(struct spool *, int64_t now_ms);

/* ---- out ---- */

struct spool_job {
	uint64_t job; /* for spool_result(), spool_job_end() */
	const char *destination;
	const struct envelope *env; /* valid until spool_job_end() */
	const uint32_t *rcpts;      /* indexes in env->rcpts; as long */
	size_t rcpt_count;
	int body;       /* read-only fd, the caller's to close */
	unsigned width; /* sessions that the destination may have */
	unsigned most;  /* ... and ever will: its `connections` */
	bool recheck;   /* last attempt before expiry under enforce: the
			   policy must be looked at anew (RFC 8461 5.1) */
};

/*
 * The next job that may start now. Destinations take turns; limits hold.
 *
 * proven   only destinations that work: slots for others are used up
 * returns  1; 0: none; -1 with errno: one could not be read; call again
 */
int spool_next(struct spool *, int64_t now_ms, bool proven, struct spool_job *);
/* Jobs under way to destinations that are not known to work. */
size_t spool_jobs_unproven(const struct spool *);

/* 0, or -1: no such job (by its number) or recipient, or it had its result. */
int spool_result(struct spool *, uint64_t number, uint32_t rcpt,
    const struct spool_result *, int64_t now_ms);
/*
 * The job is over. Recipients without a result are ready again. -1: no such
 * job.
 */
int spool_job_end(struct spool *, uint64_t number, int64_t now_ms);

/* What time brings: due, expired, late. Cheap if nothing is. */
void spool_tick(struct spool *, int64_t now_ms);
/* When spool_tick() has something to do next; INT64_MAX: never. */
int64_t spool_wake(const struct spool *, int64_t now_ms);

/* ---- what the administrator sees and does ---- */

/* Which recipients; zero: all. */
struct spool_filter {
	uint64_t id;        /* 0: any */
	const char *domain; /* recipient's or next hop, lower-case; NULL: any */
	const char *sender; /* NULL: any; "" is the null sender */
	int state;          /* enum rcpt_state; -1: any */
	int64_t uid;        /* submitter; -1: any */
};

/*
 * Where a listing or an order stands; zero to begin. Survives any change of
 * the queue. The caller sets "budget" before each call: how many recipients
 * may be looked at; it is used up, so that a listing is spread over turns.
 */
struct spool_cursor {
	uint64_t id;
	uint32_t rcpt;
	uint64_t end; /* by spool_act(): the last id that is meant */
	int budget;
	uint64_t done; /* by spool_act(): recipients */
	uint64_t held; /* ... that it left alone, for they are held */
};

struct spool_entry {
	const struct envelope *env;
	uint32_t rcpt;
	enum rcpt_state state;
	unsigned attempts;
	int64_t next_ms; /* -1: unknown (held, sending) */
	const char *destination;
	int64_t last_ms;                 /* of the last attempt; 0: none */
	const struct spool_result *last; /* NULL: none */
};

/*
 * The next recipient that passes the filter, by age.
 *
 * returns  1: *entry is set, valid until the next call of the spool;
 *          0: the end; -1: budget used up, call again
 */
int spool_list(struct spool *, const struct spool_filter *,
    struct spool_cursor *, struct spool_entry *entry);

/*
 * The attempts of a recipient, oldest first. "each" may not call the spool.
 */
void spool_history(struct spool *, uint64_t id, uint32_t rcpt,
    void (*each)(void *arg, const struct spool_attempt *), void *arg);

/* The body of a queued message, as an fd of the caller's; -1 with errno. */
int spool_body(struct spool *, uint64_t id);

enum spool_act { ACT_RETRY, ACT_HOLD, ACT_RELEASE, ACT_REMOVE, ACT_BOUNCE };

/*
 * Do it to all that pass the filter, from the cursor on. Acts at once and
 * survives a restart. A recipient under way is dealt with when its result is
 * in; one that is removed is neither listed nor meant any more. ACT_RETRY
 * leaves what is held as it is. What is queued after the first call is not
 * meant: a bounce does not bounce the bounces.
 *
 * returns  0: complete; -1: budget used up, call again
 */
int spool_act(struct spool *, enum spool_act, const struct spool_filter *,
    struct spool_cursor *, int64_t now_ms);

struct spool_counts {
	uint64_t messages;
	uint64_t rcpts[RCPT_LISTED];
	uint64_t destinations;
	uint64_t segments;
	uint64_t bytes; /* of segments */
};
void spool_count(const struct spool *, struct spool_counts *);

struct spool_dest {
	const char *key;
	uint64_t rcpts[RCPT_LISTED];
	uint64_t ages[AGES]; /* the same by age: see spool_grow_older() */
	unsigned window;     /* sessions allowed at present */
	bool down;           /* waits for a probe */
	int64_t next_ms;     /* of the probe, if down */
	const char *reason;  /* why it is down; "" */
	uint64_t oldest;     /* no message of it has an older id; 0: none */
};
/* Destinations by name: "after" is the last key seen, "" to begin. false: the
 * end. *out is valid until the next call of the spool. */
bool spool_dest_next(struct spool *, const char *after, struct spool_dest *out);
/* Bring the ages of all up to date. false: that was a turn's work, and there
 * is more. */
bool spool_grow_older(struct spool *, int64_t now_ms);

#endif
