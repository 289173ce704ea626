/*
 * Inside the SMTP server engine: its state and its table of commands.
 *
 * server.c moves bytes and lines, server_content.c content; server_cmd.c knows
 * the commands, server_param.c their parameters. Nobody else but tests includes
 * this.
 */

#ifndef SMTPD_SERVER_CMD_H
#define SMTPD_SERVER_CMD_H

#include "smtpd/address.h"
#include "smtpd/base/buf.h"
#include "smtpd/server.h"

#define SERVER_LINE_MAX 512   /* RFC 5321 4.5.3.1.4, with CRLF */
#define SERVER_LONG_MAX 4096  /* MAIL, RCPT and CTL: extensions add to it */
#define SERVER_TEXT_MAX 65536 /* bytes of a line of content, its end aside */

enum phase {
	PHASE_COMMAND,
	PHASE_SKIP, /* the rest of a line that was too long */
	PHASE_DATA,
	PHASE_BDAT,
	PHASE_VERDICT, /* the message is complete */
	PHASE_CTL,
	PHASE_ENDED
};

/* Where in a line of content the next byte stands. */
enum place {
	PLACE_START,  /* behind CRLF, or at the very start */
	PLACE_DOT,    /* behind a dot at the start */
	PLACE_DOT_CR, /* behind that and CR */
	PLACE_IN,
	PLACE_CR
};

enum hello { HELLO_NONE, HELLO_HELO, HELLO_EHLO };

struct server {
	struct server_params params;
	enum phase phase;
	enum hello hello;
	char helo[256];

	struct buf out;
	bool has_mail; /* MAIL was accepted */
	struct envelope env;

	enum place place;
	bool in_content; /* some of it came; more BDAT may follow */
	bool first;      /* nothing of it was handed out yet */
	uint64_t chunk;  /* bytes of this BDAT to come */
	bool last;
	uint64_t seen;       /* bytes of content so far */
	size_t line_len;     /* of the line of content under way */
	const char *content; /* to hand out */
	size_t content_len;
	int refuse_code; /* 0: none */
	char refuse_dsn[16];
	char refuse_text[256];

	int64_t since;      /* of the last progress */
	int64_t content_by; /* the content must be complete */
	unsigned errors;
	unsigned idle; /* commands since the last that furthered a message */
	unsigned accepted;
	int refusal;
	char refusal_text[256];
	char ctl[SERVER_LONG_MAX];
};

/* A row of the table of commands. */
struct server_row {
	const char *verb;
	bool is_long; /* up to SERVER_LONG_MAX */
	/* "args": behind the verb and its blank, NUL-terminated */
	void (*run)(struct server *, char *args);
};

/* NULL behind the last. */
extern const struct server_row server_rows[];

/* The row for a line, of "len" bytes without CRLF; NULL: unknown. */
const struct server_row *server_row(const char *line, size_t len);

/*
 * Reply, the only way to do so: "250 2.0.0 text CRLF". dsn may be NULL.
 * What is not printable ASCII in "text" becomes '?'.
 */
void server_reply(struct server *, int code, const char *dsn, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));
/* One line of several: "250-text". */
void server_reply_more(struct server *, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The parameters of MAIL and of RCPT; server_param.c. */
struct server_mail {
	struct address sender;
	uint64_t size;
	unsigned flags;    /* ENVELOPE_* */
	const char *envid; /* within the line; "" if none */
};

struct server_rcpt {
	struct address address;
	unsigned notify;
	const char *orcpt; /* within the line; "" if none */
};

/* Read "FROM:<...> ..." or "TO:<...> ..."; false: a refusal was said. */
bool server_param_mail(struct server *, char *args, struct server_mail *);
bool server_param_rcpt(struct server *, char *args, struct server_rcpt *);

/* Forget the message under way. */
void server_reset(struct server *);
/* End after what was said. */
void server_end(struct server *);
/* Begin to take content: size 0 and last false: DATA. */
void server_content_begin(struct server *, enum phase, uint64_t chunk,
    bool last);
/* Take content from the start of "bytes", changing it; how much was used. */
size_t server_input_data(struct server *, char *bytes, size_t len);
size_t server_input_bdat(struct server *, char *bytes, size_t len);
/* A chunk that is complete ends once its content was handed out. */
void server_settle_chunk(struct server *);
/* Refuse a bare CR or LF, and end: what is in the middle of a message here
 * could be its end for another server. */
void server_smuggling(struct server *);

#endif
