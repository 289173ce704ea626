/*
 * Replies of an SMTP server, parsed as their bytes arrive (RFC 5321 4.2).
 */

#ifndef SMTPD_REPLY_H
#define SMTPD_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#define REPLY_LINE_MAX 2048 /* bytes with CRLF; RFC 5321 4.5.3.1.5 says 512 */
#define REPLY_LINES_MAX 100
#define REPLY_TEXT_SIZE 4096 /* text kept of one reply, with the NUL */
#define REPLY_DSN_SIZE 12    /* "5.123.123" */

/* One complete reply. */
struct reply {
	int code; /* 200 to 599 */
	/* The first line's enhanced status code (RFC 2034) if its class is the
	 * code's; else empty. */
	char dsn[REPLY_DSN_SIZE];
	/*
	 * The lines without code, separator and CRLF, joined by '\n'. Printable
	 * ASCII only: any other byte became '?'. Whole lines that no longer fit
	 * are left out.
	 */
	char text[REPLY_TEXT_SIZE];
};

/* A reply under way. Embed it; reply_start() before the first byte. */
struct reply_parser {
	struct reply reply; /* complete when reply_parse() returned 1 */
	char line[REPLY_LINE_MAX];
	size_t line_len;
	size_t text_len;
	int lines;
};

/* Forget everything; the next byte begins a reply. */
void reply_start(struct reply_parser *);

/*
 * Take bytes up to the end of one reply, at most "len".
 *
 * used     set to the number of bytes taken; those behind a complete reply
 *          are left to the caller
 * why      set on -1: constant text for a log line
 * returns  1 when the reply is complete (call reply_start() before the
 *          next), 0 when more bytes are needed, -1 when it is no reply: a
 *          line without a code, codes that differ between the lines, NUL, a
 *          bare CR or LF, a line or a number of lines over the bounds
 */
int reply_parse(struct reply_parser *, const char *bytes, size_t len,
    size_t *used, const char **why);

/*
 * The reply on one line for logs and reports: "550 5.1.1 no such user",
 * lines joined by a blank, cut to "size" with the NUL.
 */
void reply_show(const struct reply *, char *text, size_t size);

/*
 * Step through the lines of text: "*pos" is 0 at first. Returns false after
 * the last; else "line" is set, NUL-terminated and cut to "size".
 */
bool reply_line(const struct reply *, size_t *pos, char *line, size_t size);

#endif
