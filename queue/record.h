/*
 * What the spool writes into the journal: the parts of its records.
 *
 * Briefs are structs as they stand in memory, numbers little-endian; they are
 * what a restart reads. Texts are read only when they are asked for.
 */

#ifndef QUEUE_RECORD_H
#define QUEUE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/envelope.h"
#include "queue/journal.h"
#include "queue/spool.h"

enum spool_rec {
	/* brief_message and its domains; text: the envelope; body. The last
	 * of several counts: compaction moves messages. */
	REC_MESSAGE = REC_FIRST,
	REC_OUTCOME, /* brief_rcpt; text: attempts */
	REC_STATE,   /* brief_rcpt, no text: the administrator, the clock */
	REC_WARNED,  /* the sender was told of the delay; no parts */
	REC_DONE     /* brief_done */
};

#define BRIEF_LARGE 1U /* the body is large/ID */

struct brief_message {
	uint64_t size;
	uint64_t arrived_us;
	int64_t uid;
	uint32_t flags;
	uint32_t text_crc;
	uint32_t sender_hash;
	uint32_t rcpts;
	/* the domain of each recipient follows, lower-case: a byte, its length
	 * and 1, and its bytes; or 0: the same as the one before */
};

#define STATE_TLS 1U     /* TLS or policy was the last reason */
#define STATE_ENFORCE 2U /* ... under a policy in mode enforce */
#define STATE_FINAL 4U   /* the last attempt before expiry was made */
#define STATE_TOLD 8U    /* as DONE_TOLD */
#define STATE_BOUNCE 16U /* to be bounced: an order that is not carried out */

struct brief_rcpt {
	uint16_t rcpt;
	uint8_t state; /* enum rcpt_state; never SENDING */
	uint8_t flags; /* STATE_* */
	uint16_t attempts;
	uint16_t reserved;
	int64_t next_ms;
	uint64_t before; /* position of the outcome before; 0: none */
};

#define DONE_TOLD 1U /* a report about it was written just before */

struct brief_done {
	uint32_t seq; /* segment of the message */
	uint32_t flags;
};

/* A hash of an address, upper and lower case alike, for filters. */
uint32_t record_hash(const char *text);

/* The brief of a message, to free(3). NULL: no memory. */
void *record_brief(const struct envelope *, uint32_t flags, uint32_t text_crc,
    uint32_t *len);

/* Read it back; domains by record_domain(), each lower-case. -1: malformed. */
int record_message(const void *brief, uint32_t len, struct brief_message *);
/*
 * The next domain: *at begins behind the brief_message. Writes it to "domain"
 * unless it is the one before. -1: malformed.
 */
int record_domain(const void *brief, uint32_t len, uint32_t *at,
    char domain[256]);

int record_rcpt(const void *brief, uint32_t len, struct brief_rcpt *);
int record_done(const void *brief, uint32_t len, struct brief_done *);

/* Bytes that an attempt takes as text, at most. */
size_t record_attempt_size(const struct spool_attempt *);
/* Write it; returns the bytes used. */
size_t record_attempt_put(const struct spool_attempt *, char *to);
/*
 * Read the attempt at *at, its strings borrowed from "text"; moves *at on.
 * Returns 1, 0 at the end, -1: malformed.
 */
int record_attempt_get(const char *text, uint32_t len, uint32_t *at,
    struct spool_attempt *);

#endif
