/*
 * Textual control requests: what sealpost(8) asks of the daemon.
 *
 * A request is one line, `CTL` and then
 *
 *	VERB [ARGUMENT] [KEY=VALUE ...]
 *
 * with one blank between words. ARGUMENT and VALUEs are written as visible
 * ASCII in which "+XX" (two upper-case hex digits) stands for any other byte,
 * for "+" and for "=" (the xtext of RFC 3461 4); controls are refused in
 * either form. The same table serves the listener, which parses, and
 * sealpost(8), which writes.
 */

#ifndef SMTPD_CTL_H
#define SMTPD_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smtpd/msg.h"

#define CTL_LINE_MAX 2048 /* bytes of a request, without `CTL ` and CRLF */
#define CTL_WHAT_SIZE 320
#define CTL_DOMAIN_SIZE 256
#define CTL_STATE_SIZE 16
/* An error that passes: sealpost exits with EX_TEMPFAIL. */
#define CTL_BUSY "too many requests at once; try again"

/* Who answers. */
enum ctl_answerer { CTL_BY_QUEUE, CTL_BY_POLICY, CTL_BY_PARENT };

/* What a verb wants as its argument. */
enum ctl_argument {
	CTL_ARG_NONE,
	CTL_ARG_ID,      /* of one message */
	CTL_ARG_MESSAGE, /* that, or its Message-ID */
	CTL_ARG_WHAT,    /* ID, destination, or `all` */
	CTL_ARG_DOMAIN
};

struct ctl_row {
	const char *word;
	enum ctl_answerer answerer;
	enum ctl_argument argument;
	unsigned keys; /* that may be given: CTL_KEY_* of ctl.c */
	bool own;      /* everyone may ask, about messages of their own */
};

/* A request. Strings that were not given are empty. */
struct ctl_request {
	enum ctl_verb verb;
	uint32_t flags;               /* CTL_FLAG_* */
	char what[CTL_WHAT_SIZE];     /* the argument */
	char domain[CTL_DOMAIN_SIZE]; /* filter: recipients' domain */
	char sender[ADDRESS_SIZE];    /* filter: envelope sender */
	char state[CTL_STATE_SIZE];   /* filter: one of ctl_state_is_known() */
};

/* The row of a verb; CTL_VERBS and beyond: NULL. A constant. */
const struct ctl_row *ctl_row(enum ctl_verb);

/*
 * Parse "len" bytes of "text", a request without `CTL ` and line end.
 *
 * returns  0 and *req filled in whole, or -1 and *why (a constant, fit to
 *          follow "501 5.5.4 ")
 */
int ctl_parse(const char *text, size_t len, struct ctl_request *req,
    const char **why);

/*
 * Write a request as text, with a NUL, into "out" of "size" bytes;
 * CTL_LINE_MAX + 1 always do for what ctl_parse() would accept.
 *
 * returns  its length, or -1 if the request is not one that ctl_parse() would
 *          read back, or does not fit; *why as there
 */
int ctl_format(const struct ctl_request *req, char *out, size_t size,
    const char **why);

/* Is "state" one of the states of a recipient? */
bool ctl_state_is_known(const char *state);

/*
 * Fill in the message for the process that answers (all of *msg is written).
 * uid: whose messages; -1: everyone's.
 */
void ctl_to_queue(const struct ctl_request *, int64_t uid,
    struct msg_ctl_queue *);
void ctl_to_policy(const struct ctl_request *, struct msg_ctl_policy *);
void ctl_to_parent(const struct ctl_request *, struct msg_ctl_parent *);

#endif
