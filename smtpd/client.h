/*
 * The SMTP client engine: bytes in, bytes out, no descriptor, clock or log.
 *
 * The caller owns the stream. It passes what it reads to client_input(),
 * writes what client_output() shows, calls client_expire() at
 * client_deadline(), and after each of these does what client_need() asks.
 *
 * Nothing of an envelope can leave before the verdict: messages are given to
 * a struct client_pass, and only client_proceed() makes one. Until then the
 * engine holds neither addresses nor credentials to send.
 *
 * RFC 5321; extensions: 1870 (SIZE), 2034 (codes), 2920 (PIPELINING), 3030
 * (CHUNKING), 3207 (STARTTLS), 3461 (DSN), 4954 (AUTH), 6152 (8BITMIME),
 * 6531 (SMTPUTF8), 9422 (LIMITS).
 */

#ifndef SMTPD_CLIENT_H
#define SMTPD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smtpd/trouble.h"

struct client;
struct client_pass;

/* How the stream is to be secured. */
enum client_tls {
	CLIENT_TLS_STARTTLS, /* by STARTTLS, after a first EHLO */
	CLIENT_TLS_IMPLICIT, /* it is TLS already, handshake complete */
	CLIENT_TLS_CLEAR     /* not at all: STARTTLS is not tried */
};

struct client_params {
	const char *helo; /* our name; copied */
	enum client_tls tls;
	size_t rcpt_most; /* recipients of one message; 0: what every host
			   * takes, 100 (RFC 5321 4.5.3.1.8) */
	/*
	 * Hears each command ('>') and each line of a reply ('<'), without
	 * CRLF, secrets replaced; never content. NULL: no one.
	 */
	void (*trace)(void *arg, char direction, const char *line);
	void *trace_arg;
};

/* What the engine needs of its caller to go on. */
enum client_need {
	CLIENT_NEEDS_PEER,    /* output written, input read */
	CLIENT_NEEDS_TLS,     /* the handshake: see client_secured() */
	CLIENT_NEEDS_VERDICT, /* client_proceed(), or client_quit() */
	CLIENT_NEEDS_BODY,    /* client_feed() */
	CLIENT_NEEDS_MESSAGE, /* client_send_message() or client_quit(); the
			       * results of the message before are there */
	CLIENT_ENDED          /* close; so are the results now */
};

/* What the first EHLO's verdict has to judge. */
enum client_security {
	CLIENT_IN_CLEAR,    /* CLIENT_TLS_CLEAR, or nothing known yet */
	CLIENT_NOT_OFFERED, /* STARTTLS is not in the reply to EHLO */
	CLIENT_REFUSED,     /* it was answered with anything but 220 */
	CLIENT_UNANSWERED,  /* the peer left, or was silent, instead */
	CLIENT_SECURE       /* the handshake was reported complete */
};

/* Extensions offered in the EHLO reply in force. */
#define CLIENT_OFFERS_STARTTLS 0x001U
#define CLIENT_OFFERS_PIPELINING 0x002U
#define CLIENT_OFFERS_SIZE 0x004U
#define CLIENT_OFFERS_8BITMIME 0x008U
#define CLIENT_OFFERS_SMTPUTF8 0x010U
#define CLIENT_OFFERS_DSN 0x020U
#define CLIENT_OFFERS_CHUNKING 0x040U
#define CLIENT_OFFERS_CODES 0x080U /* ENHANCEDSTATUSCODES */
#define CLIENT_OFFERS_PLAIN 0x100U /* AUTH PLAIN */
#define CLIENT_OFFERS_LOGIN 0x200U /* AUTH LOGIN */

enum client_ret { CLIENT_RET_NONE, CLIENT_RET_FULL, CLIENT_RET_HDRS };

struct client_rcpt {
	const char *address; /* no angle brackets */
	const char *orcpt; /* "rfc822;xtext" as on the wire; NULL or "": none */
	unsigned notify;   /* NOTIFY_* of queue/envelope.h; 0: not given */
};

/* A message. All of it is borrowed until its results are there. */
struct client_message {
	const char *sender; /* no angle brackets; "": the null path */
	const char *envid;  /* xtext as on the wire; NULL or "": none */
	enum client_ret ret;
	bool eightbit; /* bytes above 0x7f in the content */
	bool smtputf8; /* an address or a header field is UTF-8 */
	uint64_t size; /* of the content: CRLF lines, not dot-stuffed */
	const struct client_rcpt *rcpts;
	size_t rcpt_count; /* at least 1 */
};

/* What became of one recipient. */
struct client_result {
	bool tried; /* false: over the peer's limit of recipients; send the
		     * message once more, now, for those */
	struct trouble trouble;      /* outcome, scope, reason, dsn */
	char reply[REPLY_SHOW_SIZE]; /* one line; "" if none came */
};

/* User and password for AUTH; borrowed for the call. */
struct client_auth {
	const char *user;
	const char *password;
};

/* Deadlines and "now" are absolute milliseconds of the caller's clock. */
#define CLIENT_NO_DEADLINE INT64_MAX

/* The stream is open (and secured: CLIENT_TLS_IMPLICIT). NULL: no memory. */
struct client *client_new(const struct client_params *, int64_t now);
/* The pass goes with it. NULL is allowed. */
void client_free(struct client *);

enum client_need client_need(const struct client *);

/*
 * Take all of "bytes". While CLIENT_NEEDS_TLS any byte ends the session: it
 * came in the clear behind the reply to STARTTLS (response injection). The
 * caller's own input buffer must be empty then as well; if it is not, pass
 * what it holds.
 */
void client_input(struct client *, const char *bytes, size_t len, int64_t now);
/* The peer closed the stream, or it broke. */
void client_eof(struct client *, int64_t now);

/* Bytes to write; valid until the next call. "len" may come out as 0. From
 * here on they count as said: replies to them may come. */
const char *client_output(struct client *, size_t *len);
/* The first "len" of them were written. */
void client_sent(struct client *, size_t len, int64_t now);

int64_t client_deadline(const struct client *);
/* Call at or after the deadline; before it, it does nothing. */
void client_expire(struct client *, int64_t now);

/*
 * The handshake that CLIENT_NEEDS_TLS asked for is complete. All that was
 * learnt in the clear is forgotten; EHLO follows. If the handshake failed,
 * just free the client.
 */
void client_secured(struct client *, int64_t now);

enum client_security client_security(const struct client *);

/*
 * While CLIENT_NEEDS_VERDICT: the verdict permits mail over this stream.
 * Returns the pass for messages, owned by the client. NULL if the stream is
 * not secured, or if no verdict is due: the session is ended then.
 *
 * auth     credentials to log in with first; NULL: none. If they cannot be
 *          used or are refused the session ends
 */
struct client_pass *client_proceed(struct client *, const struct client_auth *,
    int64_t now);
/* The same, where the verdict permits mail in the clear. */
struct client_pass *client_proceed_in_clear(struct client *, int64_t now);

/*
 * While CLIENT_NEEDS_MESSAGE: send this one. An address or parameter with a
 * control character or blank is refused by the engine itself: its result is
 * a bounce, and nothing of it is sent.
 */
void client_send_message(struct client_pass *, const struct client_message *,
    int64_t now);
/*
 * Has the peer replied to anything of the last message? If not, and the
 * stream was lost, it had most likely ended before the message was sent.
 */
bool client_was_answered(const struct client *);
/* Of recipient "i" of the last message; valid until the next one. */
const struct client_result *client_result(const struct client_pass *, size_t i);

/* The next "len" bytes of content; together they are message.size. */
void client_feed(struct client *, const char *bytes, size_t len, int64_t now);
/* True while content is due and little output waits to be written. */
bool client_wants_body(const struct client *);
/* Content still to be fed, in bytes. */
uint64_t client_body_left(const struct client *);

/* Say QUIT where that is polite, then end. */
void client_quit(struct client *, int64_t now);
/* End at once: the content could not be read, the verdict forbids mail... */
void client_abort(struct client *, const char *detail, int64_t now);

/*
 * Why the session ended, once CLIENT_ENDED; its outcome is OUTCOME_DELIVERED
 * after an orderly QUIT. Recipients have results of their own.
 */
const struct client_result *client_trouble(const struct client *);

/* Of the EHLO reply in force; 0 and "" before one. */
unsigned client_offers(const struct client *);

#endif
