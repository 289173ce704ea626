/*
 * A message on its way in: content collected into memory or a file, with the
 * header fields that we add (RFC 5321 4.4, RFC 6409 8).
 *
 * Received comes first, then Date and Message-ID where they are missing.
 * Small content lives in a memfd, sealed at the end; larger one in a file
 * that the caller obtains from the queue.
 */

#ifndef SMTPD_SUBMISSION_H
#define SMTPD_SUBMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/id.h"
#include "smtpd/base/buf.h"
#include "smtpd/header.h"

#define SUBMISSION_LARGE 262144      /* bytes; more goes into a file */
#define SUBMISSION_HEADER_MAX 262144 /* bytes; more is refused */
#define SUBMISSION_ID_SIZE 256       /* a Message-ID, with the NUL */

/* What it came to; all but the first refuse the message. */
enum submission_verdict {
	SUBMISSION_OK,
	SUBMISSION_LOOP,   /* more than HEADER_RECEIVED_MAX Received */
	SUBMISSION_NUL,    /* a NUL in it */
	SUBMISSION_HEADER, /* the header is too large */
	SUBMISSION_ERROR   /* no memory or disk: errno is in "error" */
};

/* Embedded; zeroed, then submission_init(). Read, do not write. */
struct submission {
	uint64_t id;
	int fd;        /* the content; -1: none yet */
	bool is_large; /* it is a file of the spool */
	uint64_t size; /* of the content so far, with what we add */
	bool is_8bit;
	bool header_8bit;
	char message_id[SUBMISSION_ID_SIZE]; /* with its brackets, or "" */
	int error;                           /* errno; 0: none */

	/* private */
	struct buf held; /* not yet written to fd */
	uint64_t written;
	size_t trace_len; /* of our Received, at the front */
	struct header_scan scan;
	bool header_done;
	bool header_too_large;
	time_t now;
	char hostname[256];
};

void submission_init(struct submission *);
/* Close, free, forget; as after submission_init(), memory kept for the next. */
void submission_reset(struct submission *);
/* The same, and the memory goes. */
void submission_clear(struct submission *);

/* Begin a message. "trace" makes its Received; trace->by is our name. */
void submission_begin(struct submission *, uint64_t id,
    const struct header_trace *trace);
/* The next part of the content. Errors are kept for submission_end(). */
void submission_add(struct submission *, const char *bytes, size_t len);

/* Is a file wanted, for the first time? */
bool submission_wants_file(const struct submission *);
/* Here it is (taken): what was collected moves into it. */
void submission_take_file(struct submission *, int fd);

/* The content is complete: written out and, in memory, sealed. */
enum submission_verdict submission_end(struct submission *);

#endif
