/*
 * Inside the spool: shared by the files spool*.c. Nobody else includes this.
 */

#ifndef QUEUE_SPOOL_STATE_H
#define QUEUE_SPOOL_STATE_H

#include <sys/queue.h>

#include "queue/disk.h"
#include "queue/id.h"
#include "queue/index.h"
#include "queue/journal.h"
#include "queue/record.h"
#include "queue/retry.h"
#include "queue/spool.h"

#define SPOOL_BODIES 512    /* memfds kept for first attempts */
#define SPOOL_LARGE_SYNC 64 /* large files synced in one group */
#define LARGE_NAME_SIZE (ID_SIZE + 6)

/* Appended, not yet durable. */
struct pending {
	TAILQ_ENTRY(pending) link;
	struct message *m;
	uint64_t mark;
	/* Of a report, which must come through even if its group fails: */
	bool is_report;
	bool lost; /* to be appended (again) */
	char *text;
	void *brief;
	uint32_t text_len;
	uint32_t brief_len;
};
TAILQ_HEAD(pending_list, pending);

/* A large body, to be synced before its record is written. */
struct large {
	TAILQ_ENTRY(large) link;
	struct envelope env; /* its strings are its own */
	int fd;
	bool syncing;
};
TAILQ_HEAD(large_list, large);

/* A large body to unlink once the record that says so is durable. */
struct doomed {
	TAILQ_ENTRY(doomed) link;
	uint64_t id;
	uint64_t mark;
};
TAILQ_HEAD(doomed_list, doomed);

/* A recipient to be told of in a report. */
struct told {
	TAILQ_ENTRY(told) link;
	uint32_t rcpt;
	enum spool_report kind;
	struct spool_attempt attempt; /* strings in text[] */
	char text[];
};
TAILQ_HEAD(told_list, told);

struct job {
	uint64_t number;
	struct message *m;
	struct dest *dest;
	int64_t began_ms;
	struct envelope env;
	uint32_t *rcpts;
	bool *done;
	size_t count;
	bool proven; /* what its destination was when it began */
	bool probe;
	struct told_list told;
};

/* A message that compaction has written anew. */
struct copied {
	uint64_t id;
	uint64_t from;
};

struct compaction {
	uint32_t seq;  /* of the segment; 0: none under way */
	uint64_t mark; /* when this is synced, the segment may go */
	bool lost;     /* the group with copies was given up */
	struct copied *copies;
	size_t count;
	size_t room;
};

struct spool {
	int dirfd;
	int large_fd;
	const struct disk *disk;
	struct spool_conf conf;
	struct spool_hooks hooks;
	struct journal *journal;
	struct index index;
	struct id_source ids;
	int64_t now_ms;  /* of the call under way */
	int64_t tick_ms; /* of the last spool_tick() */
	struct pending_list pending;
	size_t awaited; /* pending, reports aside */
	struct large_list large;
	struct doomed_list doomed;
	bool syncing;
	bool troubled; /* what is queued may not be all that there was */
	bool missing;  /* reports are: lost ones among those pending */
	size_t bodies; /* memfds at hand */
	struct job **jobs;
	size_t job_room;
	size_t job_count;
	size_t job_unproven;
	size_t job_probes; /* of them, to dead destinations */
	size_t job_hint;   /* a slot that may be free */
	uint32_t job_serial;
	enum index_ring ring; /* that had the last turn */
	struct compaction compact;
	struct envelope view; /* of the last listing */
	uint64_t view_pos;
	char *view_text;
	struct spool_result view_last;
};

/* ---- spool.c ---- */

/* Append a message; takes "body" (-1: large) on success. Report: its record
 * is written again should its group fail. */
int spool_put(struct spool *, const struct envelope *, int body,
    bool is_report);
/* The message is done: forget it, on disk too. */
void spool_finish(struct spool *, struct message *);
/* Count it to, or away from, the segment it lives in. */
void spool_account(struct spool *, const struct message *, int by);
/* A message in the index from its brief; NULL: malformed or no memory. */
struct message *spool_message(struct spool *, uint64_t id, const void *brief,
    uint32_t len);
void spool_tell(struct spool *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* What a restart shall find of a recipient: not that it is under way, but
 * what was ordered meanwhile. */
enum rcpt_state spool_standing(const struct rcpt *);
uint8_t spool_flags(const struct rcpt *);
/* Write down a recipient's state; "attempt" may be NULL. */
void spool_note_rcpt(struct spool *, struct rcpt *, enum rcpt_state,
    int64_t next_ms, const struct spool_attempt *attempt);
/* The group is lost; a hook of the journal. */
void spool_group_failed(void *arg, int error);

/* ---- spool_large.c ---- */

void large_name(uint64_t id, char name[LARGE_NAME_SIZE]);
/* Its file is durable (0), or is not: the record comes next, or never. */
void large_synced(struct spool *, struct large *, int error);

/* ---- spool_body.c ---- */

/* Its envelope, decoded, to be cleared; -1 with errno. */
int spool_envelope(struct spool *, struct message *, struct envelope *);
/* Its record cannot be read: keep what there is aside, give it up. */
void spool_damaged(struct spool *, struct message *);
/* Bytes in memory that nobody can change, as a file; -1 with errno. */
int spool_seal_file(const void *bytes, size_t len);
/* A read-only descriptor of the body; -1 with errno. */
int spool_open_body(struct spool *, struct message *);

/* ---- spool_job.c ---- */

void jobs_free(struct spool *);

/* ---- spool_time.c ---- */

/* No attempt is put off to later than this, unless the clock was wrong. */
int64_t spool_latest(const struct spool *);
/* When is this message to be looked at? */
void spool_arm(struct spool *, struct message *);
/* ... in a minute. */
void spool_look_again(struct spool *, struct message *);

/* Give it up: an attempt of the past, or none, says why. */
void spool_expire(struct spool *, const struct envelope *, struct rcpt *,
    enum rcpt_event, struct told_list *);

/* ---- spool_report.c ---- */

/* Remember a recipient for a report. */
void spool_add_told(struct told_list *, uint32_t rcpt, enum spool_report,
    const struct spool_attempt *);
/* What stands for an attempt where there was none: strings "", no time. */
void spool_untried(struct spool_attempt *);

#define SPOOL_DETAIL_SIZE 1536 /* bytes, of a result's and words before it */

/*
 * The last attempt's result becomes that of a message that the administrator
 * gave up, or that has expired. Why it ends goes before what the attempt came
 * to; that text is in "detail" then, which must live as long as the result.
 */
void spool_give_up(struct spool_result *last, char detail[SPOOL_DETAIL_SIZE]);
void spool_run_out(struct spool_result *last, char detail[SPOOL_DETAIL_SIZE]);
void free_told(struct told_list *);
/* Could the sender be told now that the recipient is given up? On a full disk
 * reports would pile up in memory, and results wait for them. */
bool spool_can_tell(const struct spool *, const struct envelope *,
    uint32_t rcpt);
/* Write the reports, one of each kind. */
void spool_report(struct spool *, struct message *, const struct envelope *,
    struct told_list *);

/* ---- spool_compact.c ---- */

void compact_failed(struct spool *);
void compact_synced(struct spool *);
/* Will a restart want this record of a segment to be sealed? */
bool spool_keep(void *arg, const struct seg_entry *, const void *brief,
    uint64_t pos);

/* ---- spool_view.c ---- */

/* Carry out what was ordered and not done: before a restart, or for want of
 * room for a report. The message may be gone then. */
void spool_catch_up(struct spool *, struct message *);

/* Attempts of a recipient as text, oldest first, to free(3); NULL: none. */
char *spool_attempts(struct spool *, uint64_t last, uint32_t *len);

#endif
