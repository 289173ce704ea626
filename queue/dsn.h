/*
 * Delivery status notifications: bounces, notices of delay and of relaying
 * as multipart/report (RFC 3461, 3462, 3464, 6522), marked as automatic
 * (RFC 3834). For people first: what happened, why, and what can be done.
 */

#ifndef QUEUE_DSN_H
#define QUEUE_DSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "queue/spool.h"

/* One recipient of the original, and what came of it. */
struct dsn_rcpt {
	const struct recipient *rcpt;
	const struct spool_attempt *attempt;
};

struct dsn {
	enum spool_report kind;
	uint64_t id;          /* of the report: for Message-ID and boundary */
	const char *hostname; /* ours */
	const struct envelope *env; /* the original's */
	const struct dsn_rcpt *rcpts;
	size_t rcpt_count;
	int64_t now_ms;
	int64_t expires_ms; /* REPORT_DELAY: until when it is tried */
	/* What a reason word means and what to do; "" if unknown. */
	const char *(*advice)(void *arg, const char *reason);
	void *arg;
	const char *content; /* of the original, CRLF line ends */
	size_t content_len;
	bool full; /* the content is all of it and goes along; else headers */
	bool eight_bit; /* what goes along has octets above 127 */
};

/*
 * May the sender be told of this recipient? RFC 3461 4.1: not if NOTIFY says
 * otherwise; never for the null sender (RFC 5321 6.1).
 */
bool dsn_wanted(enum spool_report, const char *sender,
    const struct recipient *);

/*
 * Write the report, header and body, with CRLF line ends. Errors stay in the
 * stream: ferror(3).
 */
void dsn_write(FILE *, const struct dsn *);

/*
 * The report once more, "text" being what dsn_write() wrote, in seven bits:
 * its parts are quoted-printable, and of the original, which may not be
 * encoded, there is the header alone (RFC 6522 4). What stays as it was is a
 * header of the report with an address beyond ASCII.
 */
void dsn_write_7bit(FILE *, const char *text, size_t len);

/* Is there a byte beyond ASCII? */
bool dsn_has_8bit(const char *bytes, size_t len);

/* Length of the header section of a message, its empty line excluded. */
size_t dsn_header_len(const char *content, size_t len);

#endif
