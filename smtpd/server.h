/*
 * The SMTP server engine: bytes in, bytes out, no descriptor, clock or log.
 *
 * The caller owns the stream. It passes what it read to server_input(), which
 * tells how much of it was used; writes what server_output() shows; calls
 * server_expire() at server_deadline(); and after each of these does what
 * server_need() asks. Bytes that were not used are passed again, with what
 * follows them.
 *
 * RFC 5321; extensions: 1870 (SIZE), 2034 (codes), 2920 (PIPELINING), 3030
 * (CHUNKING), 3461 (DSN), 6152 (8BITMIME), 6531 (SMTPUTF8), 9422 (LIMITS).
 */

#ifndef SMTPD_SERVER_H
#define SMTPD_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/envelope.h"

struct server;

#define SERVER_NO_DEADLINE INT64_MAX

struct server_params {
	const char *hostname; /* ours; borrowed while the engine lives */
	uint64_t size_max;    /* bytes of content */
	unsigned rcpt_max;    /* of one message */
	bool may_relay;       /* else every RCPT is refused: 550 5.7.1 */
	bool is_local;        /* on the Unix socket: `CTL` is understood */
	bool is_batch;        /* a file: EHLO may be missing, no deadlines */
	/*
	 * Rewrite an address of RCPT: call "add" with each that takes its
	 * place; -1 with *why if there is none. NULL: no aliases.
	 */
	int (*expand)(void *arg, const char *address,
	    int (*add)(void *add_arg, const char *address), void *add_arg,
	    const char **why);
	void *expand_arg;
	/* As client_params' trace: '<' a command, '>' a reply. Or NULL. */
	void (*trace)(void *arg, char direction, const char *line);
	void *trace_arg;
};

/* What the engine needs of its caller to go on. */
enum server_need {
	SERVER_NEEDS_PEER,    /* output written, more input */
	SERVER_HAS_CONTENT,   /* server_content() */
	SERVER_NEEDS_VERDICT, /* the message is complete: server_answer() */
	SERVER_HAS_CTL,       /* server_ctl(), then server_answer() or the end:
			       * the connection was handed to another */
	SERVER_ENDED          /* write what is left of the output, close */
};

/* The connection is open. NULL: no memory. */
struct server *server_new(const struct server_params *, int64_t now);
void server_free(struct server *); /* NULL is allowed */

/*
 * Use bytes of input; content among them is changed in place. Returns how
 * many were used: 0 while something else is needed or output waits.
 */
size_t server_input(struct server *, char *bytes, size_t len, int64_t now);
/* The peer closed, or the stream broke. */
void server_eof(struct server *);

/* As of the client engine. */
const char *server_output(const struct server *, size_t *len);
void server_sent(struct server *, size_t len, int64_t now);
int64_t server_deadline(const struct server *);
void server_expire(struct server *, int64_t now);

enum server_need server_need(const struct server *);

/*
 * While SERVER_HAS_CONTENT: the next part of the content, CRLF lines, dots
 * undone; within the bytes given to server_input(). May be called once.
 * "first" is set for the first part of a message.
 */
const char *server_content(struct server *, size_t *len, bool *first);
/*
 * The content cannot be taken: what still comes of it is passed over and the
 * message answered like this. "text" is copied.
 */
void server_refuse_content(struct server *, int code, const char *dsn,
    const char *text);

/* While SERVER_NEEDS_VERDICT: the envelope; valid until the answer. */
const struct envelope *server_envelope(const struct server *);
/* The name given by EHLO or HELO; "" if none. */
const char *server_helo(const struct server *);
/* SMTP, ESMTP, UTF8SMTP... for Received (RFC 5321 4.4, RFC 6531 3.7.3). */
const char *server_protocol(const struct server *);

/* Answer to the message, or to a control request that was refused. */
void server_answer(struct server *, int code, const char *dsn, const char *text,
    int64_t now);

/* While SERVER_HAS_CTL: the request behind `CTL `, NUL-terminated. */
const char *server_ctl(const struct server *);

/* Say 421 with the reason and end, unless ended. */
void server_close(struct server *, const char *dsn, const char *text);

/*
 * The first refusal of the session, 0 if none; of a transcript the first that
 * may not last (4xx), if there is one.
 */
int server_refusal(const struct server *, const char **text);
/* Messages answered with 250, and recipients refused. */
unsigned server_accepted(const struct server *);

#endif
