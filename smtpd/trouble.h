/*
 * From what went wrong to whom it concerns: one judgement for all failures
 * of a delivery. Pure.
 *
 * RFC 5321 4.2.1, 4.5.4.1; RFC 3463 for the codes where a peer gives none.
 */

#ifndef SMTPD_TROUBLE_H
#define SMTPD_TROUBLE_H

#include <stdbool.h>

#include "mtasts/reason.h"
#include "queue/outcome.h"
#include "smtpd/reply.h"

#define REPLY_SHOW_SIZE 512     /* a reply on one line, with the NUL */
#define TROUBLE_DETAIL_SIZE 256 /* words for people, with the NUL */

/* Where in the dialogue it happened. */
enum stage {
	STAGE_CONNECT,
	STAGE_GREETING,
	STAGE_EHLO,
	STAGE_STARTTLS,
	STAGE_HANDSHAKE,
	STAGE_AUTH,
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_DATA,    /* the reply to DATA itself */
	STAGE_CONTENT, /* content under way, its end not yet sent */
	STAGE_END,     /* the end of the content was sent, no reply yet */
	STAGE_OTHER,   /* RSET, NOOP, between messages */
	STAGE_QUIT,
	STAGE_COUNT
};

/* What happened there. */
enum trouble_kind {
	TROUBLE_REPLY,    /* the peer replied with a code of 400 to 599 */
	TROUBLE_LOST,     /* the stream ended or broke */
	TROUBLE_TIMEOUT,  /* no reply in time, or output not taken */
	TROUBLE_PROTOCOL, /* the peer broke the rules of SMTP */
	TROUBLE_NO_TLS,   /* STARTTLS is not offered, or was refused */
	TROUBLE_SIZE,     /* larger than the peer takes (SIZE) */
	TROUBLE_8BIT,     /* 8-bit content, and no 8BITMIME */
	TROUBLE_UTF8,     /* SMTPUTF8 is needed, and not offered */
	TROUBLE_ARGUMENT, /* an address that must not go on the wire */
	TROUBLE_AUTH,     /* no way to log in that both sides know */
	TROUBLE_LOCAL     /* our own side failed or gave up */
};

struct trouble {
	enum outcome outcome;
	enum scope scope;
	enum reason reason; /* REASON_NONE when delivered */
	/* Another host of the destination is worth a try now; if there is
	 * none, "outcome" holds. */
	bool next_host;
	char dsn[REPLY_DSN_SIZE];         /* RFC 3463, class as the outcome */
	char detail[TROUBLE_DETAIL_SIZE]; /* a clause for people; may be "" */
};

/*
 * Judge.
 *
 * reply    for TROUBLE_REPLY, else NULL
 * detail   a clause for people, or NULL: words made from stage and kind
 */
void trouble_judge(struct trouble *, enum stage, enum trouble_kind,
    const struct reply *reply, const char *detail);

/* Delivered, with the peer's reply of 2xx. */
void trouble_none(struct trouble *, const struct reply *reply);

#endif
