/*
 * Inside the SMTP client engine: its state and its table of steps.
 *
 * client.c moves bytes, replies and deadlines; client_open.c and
 * client_step.c know what is said at each step and what each reply means;
 * client_message.c checks an envelope, frames content, keeps results. Nobody
 * else includes this.
 */

#ifndef SMTPD_CLIENT_STEP_H
#define SMTPD_CLIENT_STEP_H

#include "smtpd/base/buf.h"
#include "smtpd/client.h"
#include "smtpd/reply.h"

enum step {
	STEP_GREETING,
	STEP_EHLO,
	STEP_HELO,
	STEP_STARTTLS,
	STEP_HANDSHAKE,
	STEP_VERDICT,
	STEP_AUTH_PLAIN,
	STEP_AUTH_LOGIN,
	STEP_LOGIN_USER,
	STEP_LOGIN_PASSWORD,
	STEP_READY,
	STEP_RSET,
	STEP_MAIL,
	STEP_RCPT,
	STEP_DATA,
	STEP_CONTENT,
	STEP_BDAT,
	STEP_ABANDON, /* a lone dot: DATA was accepted, no recipient was */
	STEP_QUIT,
	STEP_ENDED,
	STEP_COUNT /* as a successor: none yet, wait for replies */
};

struct step_row {
	const char *name;
	enum stage stage;
	int timeout_s; /* for the reply; RFC 5321 4.5.3.2. 0: none awaited */
	void (*send)(struct client *);
	enum step (*reply)(struct client *, const struct reply *);
	/* What follows without waiting where PIPELINING is offered. */
	enum step (*ahead)(struct client *);
};

/* Steps up to the first message; client_open.c. */
void client_send_ehlo(struct client *);
void client_send_helo(struct client *);
void client_send_starttls(struct client *);
void client_send_auth_plain(struct client *);
void client_send_auth_login(struct client *);
void client_send_login_user(struct client *);
void client_send_login_password(struct client *);
enum step client_on_greeting(struct client *, const struct reply *);
enum step client_on_ehlo(struct client *, const struct reply *);
enum step client_on_helo(struct client *, const struct reply *);
enum step client_on_starttls(struct client *, const struct reply *);
enum step client_on_auth(struct client *, const struct reply *);
enum step client_on_auth_login(struct client *, const struct reply *);
enum step client_on_login_user(struct client *, const struct reply *);

extern const struct step_row client_steps[STEP_COUNT];

/* A command whose reply is awaited. */
struct pending {
	enum step step;
	size_t rcpt;  /* for STEP_RCPT */
	uint64_t end; /* output position behind its last byte */
};

/* A recipient of the message under way. */
struct client_slot {
	struct client_result result;
	bool accepted; /* 250 to its RCPT */
	bool settled;  /* the result stands */
};

/* The message under way; without a pass there is no place for one. */
struct client_pass {
	struct client *client;
	const struct client_message *message;
	struct client_slot *slots;
	size_t slot_count;
	size_t slot_room;
	size_t limit;    /* slots that this transaction may try */
	size_t next;     /* the next slot to send RCPT for */
	size_t accepted; /* recipients that the peer took */
	bool mail_refused;
	bool utf8; /* an address or the header is beyond ASCII */
};

/* Content under way: how it is framed, and where it stands in a line. */
enum framing { FRAMING_NONE, FRAMING_DOT, FRAMING_BDAT };

struct client {
	enum step step;
	enum client_tls tls;
	enum client_security security;
	struct client_pass *pass;

	struct buf out;
	uint64_t written; /* output position: bytes ever put into out */
	uint64_t shown;   /* the part of it that the caller has seen */

	struct pending *fifo; /* a ring would save nothing: it empties often */
	size_t fifo_head;
	size_t fifo_end;
	size_t fifo_room;
	size_t rcpt; /* the slot that the reply in hand is for */

	enum framing framing;
	uint64_t body_left;
	bool at_line_start;
	bool after_cr;

	int64_t now;        /* of the call under way */
	int64_t since;      /* of the last progress */
	int64_t message_by; /* the message under way must be over */
	bool needs_rset;
	bool answered; /* anything of the message under way */

	unsigned offers;
	uint64_t size_max;
	size_t rcpt_most;
	uint64_t rcpt_max; /* 0: not told */
	uint64_t mail_max;
	unsigned messages; /* begun */

	struct client_result trouble;
	struct reply_parser parser;
	char helo[256];
	char *secret; /* "user\0password", only while logging in */
	size_t secret_user;
	size_t secret_len;
	void (*trace)(void *, char, const char *);
	void *trace_arg;
};

/*
 * Send a command, the only way to do so: "format" makes the line without CRLF.
 * Awaits a reply for the step that is being entered. Refuses, by ending the
 * session, a line that holds any of 0x00-0x1f, 0x7f or is too long.
 *
 * shown    for the trace instead of the line, or NULL
 */
void client_command(struct client *, const char *shown, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Put bytes into the output: framing and content, not commands. */
void client_put(struct client *, const char *bytes, size_t len);
/* A reply is awaited to what ends at output position "end". */
void client_await(struct client *, uint64_t end);
/* Set the "end" of the last client_await(), which was not known then. */
void client_await_end(struct client *, uint64_t end);
/* Go to another step: trace, timeout, and what the step sends. Nobody else
 * changes the step while the session lasts. */
void client_enter(struct client *, enum step);

/* End the session: judge, settle every recipient, forget what is queued. */
enum step client_give_up(struct client *, enum trouble_kind,
    const struct reply *, const char *detail);

/* Settle a recipient, or all that are not yet settled. */
void client_settle(struct client *, size_t i, enum stage, enum trouble_kind,
    const struct reply *);
void client_settle_all(struct client *, enum stage, enum trouble_kind,
    const struct reply *);

/* Content is due now; after its last byte the reply to it is awaited. */
void client_body_begin(struct client *, enum framing);

#endif
