/*
 * The header of a message: what is in it, what we add, whom it names.
 *
 * RFC 5322 2.2, 3.4 and 3.6; RFC 5321 4.4 for Received.
 */

#ifndef SMTPD_HEADER_H
#define SMTPD_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "smtpd/base/buf.h"

#define HEADER_RECEIVED_MAX 50 /* more is a loop: 554 5.4.6 */
#define HEADER_NAME_MAX 76     /* longer names are seen, but not known */
#define HEADER_LINE_SIZE 2048  /* for any line that is built here */

/*
 * Scanner over a whole message in chunks of any size; CRLF and LF both end a
 * line. Embedded; nothing to free. Only the public facts are to be read.
 */
struct header_scan {
	/* facts, right at any time for what was seen so far */
	unsigned received;   /* Received fields */
	bool has_from;       /* From */
	bool has_date;       /* Date */
	bool has_message_id; /* Message-ID */
	bool header_8bit;    /* a byte over 127 in the header */
	bool body_8bit;      /* a byte over 127 in the body */
	bool has_nul;        /* a NUL anywhere */
	bool ended;          /* the header is over, the rest is body */
	bool no_blank_line;  /* it was ended by a line that is no field: a
				blank line belongs before offset "body" */
	size_t body;         /* once ended: offset of the first byte of the
				body, behind the blank line if there is one */
	size_t line_max;     /* longest line seen, without its line end */

	/* private */
	size_t offset;
	size_t line_at;
	size_t line_len;
	size_t name_len;
	int state;
	bool last_cr;
	char name[HEADER_NAME_MAX + 1];
};

void header_scan_init(struct header_scan *);
void header_scan_feed(struct header_scan *, const char *bytes, size_t len);
/* No more bytes: settle an unfinished last line. */
void header_scan_end(struct header_scan *);

/* What a Received field tells; strings borrowed, NULL: not told. */
struct header_trace {
	const char *helo;   /* name the client gave */
	const char *client; /* address literal, as netaddr_literal() gives */
	long uid;           /* of a local submitter, else -1 */
	const char *by;     /* our host name */
	const char *with;   /* ESMTP, ESMTPS, ESMTPA, UTF8SMTP, LMTP... */
	const char *tls;    /* "TLSv1.3 cipher", as a comment */
	const char *id;     /* message id in text */
	const char *rcpt;   /* the only recipient; NULL if several */
	time_t now;
};

/*
 * Build one field, folded, ending in CRLF, NUL-terminated. Bytes that may not
 * stand in a header are dropped from what was given.
 *
 * returns  its length, or -1 if it does not fit
 */
int header_received(char *out, size_t size, const struct header_trace *);
int header_date(char *out, size_t size, time_t now);
int header_message_id(char *out, size_t size, const char *id,
    const char *hostname);
/* "From: name <address>"; name NULL or "": the address alone. RFC 2047. */
int header_from(char *out, size_t size, const char *address, const char *name);

/* Called with each address found; -1 stops with header_rcpts() failing. */
typedef int header_rcpt_fn(void *arg, const char *address, size_t len);

/*
 * The recipients that a header names, for `sendmail -t`: To, Cc and Bcc, or,
 * if any of these is there, Resent-To, Resent-Cc and Resent-Bcc alone.
 * Groups, comments, quoted strings, folding and source routes are taken off;
 * display names are skipped unread. An address may be bare ("root") and is
 * not checked: address_parse() does that.
 *
 * head     header block, CRLF or LF, up to the blank line or its end
 * returns  number of addresses, or -1 with *why; "fn" may have set it
 */
int header_rcpts(const char *head, size_t len, header_rcpt_fn *fn, void *arg,
    const char **why);

/* The same for one address list, as in a To field or on a command line. */
int header_list(const char *list, size_t len, header_rcpt_fn *fn, void *arg,
    const char **why);

/* Who takes the addresses of a list, and where each stands. */
struct header_taker {
	header_rcpt_fn *fn;
	void *arg;
	const char **why;
	const char *behind; /* in the list: behind the address that "fn" is
			       given, before any blank, ">" or comment */
};

/* header_list() for one who wants to know where. */
int header_list_take(const char *list, size_t len, struct header_taker *);

/*
 * Copy a header block to "out", addresses without a domain completed with
 * "@domain" where it names people: From, Sender, Reply-To, To, Cc, Bcc and the
 * like with Resent- before it. What is no address list is copied as it is.
 *
 * RFC 6409 4.2; RFC 5322 3.4.1 knows no address without a domain.
 */
void header_qualify(struct buf *out, const char *head, size_t len,
    const char *domain);

/* Remove every Bcc and Resent-Bcc from a header block, in place. New length. */
size_t header_strip_bcc(char *head, size_t len);

#endif
