/*
 * A message as a program hands it to sendmail(8): read from a descriptor,
 * line ends made right, header apart from body.
 *
 * The header is held in memory (bounded); the body too while it is small,
 * else in an unlinked temporary file.
 */

#ifndef SMTPD_CLI_CONTENT_H
#define SMTPD_CLI_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smtpd/base/buf.h"
#include "smtpd/header.h"

#define CONTENT_HEAD_MAX 1048576  /* bytes of header */
#define CONTENT_MEMORY_MAX 262144 /* bytes of body held in memory */

struct content {
	struct header_scan scan; /* facts about header and body */
	struct buf head; /* header with its blank line, lines end in CRLF */

	/* private */
	struct buf line; /* of the header, not yet complete */
	struct buf body; /* what is not, or not yet, in the file */
	int fd;          /* the file, -1 while there is none */
	uint64_t in_file;
	size_t crs;      /* CRs seen whose meaning is open */
	size_t line_len; /* bytes of the current line, as written */
	bool lone_dot;   /* a dot began the line and is held back */
	bool begun;      /* the first line is over */
	bool done;       /* a line with a dot alone was seen */
};

/* Zero is no content: init first, clear at the end. */
void content_init(struct content *);
void content_clear(struct content *);

/*
 * Read a message from "fd" to its end: CRLF, LF and lone CR all end a line
 * and become CRLF; a last line without an end gets one; a "From " line of a
 * mbox at the start is dropped; where the body begins without a blank line,
 * one is put in.
 *
 * dot_ends  a line with a single dot ends the message too (no -i)
 * returns   0; or -1 with *why: the input fails, the header is too large
 *           (errno 0), or no space is left for the body
 */
int content_read(struct content *, int fd, bool dot_ends, const char **why);

/* Put "field", complete with CRLF, before the header. -1 if too large. */
int content_add_field(struct content *, const char *field);

/* header_qualify() the header; -1 if it becomes too large. */
int content_qualify(struct content *, const char *domain);

/* Remove Bcc and Resent-Bcc from the header. */
void content_strip_bcc(struct content *);

/* Bytes of header and body together. */
uint64_t content_size(const struct content *);

/*
 * Read up to "room" bytes at "offset" of the whole, header first.
 * Returns how many (0: the end), or -1 with errno.
 */
long content_at(struct content *, uint64_t offset, char *out, size_t room);

#endif
