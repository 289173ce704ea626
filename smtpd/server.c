#include "smtpd/server.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "smtpd/server_cmd.h"

#define OUTPUT_MAX 65536       /* bytes */
#define OUTPUT_HIGH 8192       /* above it no more commands are read */
#define ERRORS_MAX 20          /* refusals in a session */
#define ERRORS_MAX_TRUSTED 200 /* of a client that may relay */
#define IDLE_MAX 200           /* commands without a message */
#define TIMEOUT_MS 300000      /* RFC 5321 4.5.3.2.7 */

/* ---- what we say ---- */

static void
put_line(struct server *s, char *line)
{
	char *p;

	for (p = line; *p != '\0'; p++) {
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
	if (s->params.trace != NULL)
		s->params.trace(s->params.trace_arg, '>', line);
	buf_adds(&s->out, line);
	buf_add(&s->out, "\r\n", 2);
}

void
server_reply_more(struct server *s, int code, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int len;

	len = snprintf(line, sizeof line, "%d-", code);
	va_start(ap, fmt);
	(void)vsnprintf(line + len, sizeof line - (size_t)len, fmt, ap);
	va_end(ap);
	put_line(s, line);
}

static void
note_refusal(struct server *s, int code, const char *line)
{
	char goodbye[] = "421 4.7.0 too many errors, closing";

	if (code < 400)
		return;
	/* For a transcript a refusal of 4xx counts more than one of 5xx: it is
	 * kept, and tried again for the sake of that recipient. */
	if (s->refusal == 0 ||
	    (s->params.is_batch && s->refusal >= 500 && code < 500)) {
		s->refusal = code;
		(void)strlcpy(s->refusal_text, line, sizeof s->refusal_text);
	}
	if (code < 500 || s->phase == PHASE_ENDED || s->params.is_batch)
		return;
	if (++s->errors ==
	    (s->params.may_relay ? ERRORS_MAX_TRUSTED : ERRORS_MAX)) {
		put_line(s, goodbye);
		server_end(s);
	}
}

void
server_reply(struct server *s, int code, const char *dsn, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int len;

	len = snprintf(line, sizeof line, "%d %s%s", code,
	    dsn != NULL ? dsn : "", dsn != NULL ? " " : "");
	va_start(ap, fmt);
	(void)vsnprintf(line + len, sizeof line - (size_t)len, fmt, ap);
	va_end(ap);
	put_line(s, line);
	note_refusal(s, code, line);
}

void
server_end(struct server *s)
{
	s->phase = PHASE_ENDED;
}

void
server_close(struct server *s, const char *dsn, const char *text)
{
	if (s->phase == PHASE_ENDED)
		return;
	server_reply(s, 421, dsn, "%s %s", s->params.hostname, text);
	server_end(s);
}

void
server_reset(struct server *s)
{
	envelope_clear(&s->env);
	envelope_init(&s->env);
	s->has_mail = false;
	s->in_content = false;
	s->seen = 0;
	s->refuse_code = 0;
	s->content_len = 0;
}

/* ---- commands ---- */

static bool
holds(const char *bytes, size_t len, char c)
{
	return memchr(bytes, c, len) != NULL;
}

static void
too_long(struct server *s)
{
	server_reply(s, 500, "5.5.2", "line too long");
}

/* No LF yet: wait for it, unless the line is too long already or has a CR in
 * its midst. */
static size_t
input_part(struct server *s, const char *bytes, size_t len)
{
	const char *cr = memchr(bytes, '\r', len);

	if (cr != NULL && cr + 1 != bytes + len) {
		server_smuggling(s);
		return len;
	}
	if (len <= SERVER_LONG_MAX)
		return 0;
	s->phase = PHASE_SKIP;
	return cr == NULL ? len : len - 1;
}

static size_t
input_skip(struct server *s, const char *bytes, size_t len)
{
	const char *lf = memchr(bytes, '\n', len), *cr;
	size_t n = lf != NULL ? (size_t)(lf - bytes) + 1 : len;

	cr = memchr(bytes, '\r', n);
	if (cr == NULL ? lf != NULL : cr + 1 != bytes + n - (lf != NULL)) {
		server_smuggling(s);
		return n;
	}
	/* What is passed over is bounded by the session's timeout; a CR waits
	 * for what follows it. */
	if (lf == NULL)
		return cr == NULL ? n : n - 1;
	s->phase = PHASE_COMMAND;
	too_long(s);
	return n;
}

static void
run(struct server *s, char *line, size_t len)
{
	const struct server_row *row = server_row(line, len);
	size_t i, verb;

	for (i = 0; i < len; i++) {
		if ((unsigned char)line[i] < ' ' && line[i] != '\t') {
			server_reply(s, 501, "5.5.2",
			    "control characters in a command");
			return;
		}
	}
	if (s->params.trace != NULL)
		s->params.trace(s->params.trace_arg, '<', line);
	if (len + 2 > SERVER_LINE_MAX && (row == NULL || !row->is_long)) {
		too_long(s);
		return;
	}
	if (row == NULL) {
		server_reply(s, 500, "5.5.2", "command not known");
		return;
	}
	if (++s->idle > IDLE_MAX && !s->params.is_batch) {
		server_close(s, "4.7.0", "too many commands, closing");
		return;
	}
	verb = strlen(row->verb);
	while (line[verb] == ' ' || line[verb] == '\t')
		verb++;
	while (len > verb && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		line[--len] = '\0';
	row->run(s, line + verb);
}

static size_t
input_command(struct server *s, char *bytes, size_t len)
{
	char line[SERVER_LONG_MAX + 1];
	char *lf = memchr(bytes, '\n', len);
	size_t n;

	if (lf == NULL)
		return input_part(s, bytes, len);
	n = (size_t)(lf - bytes);
	if (n == 0 || bytes[n - 1] != '\r' || holds(bytes, n - 1, '\r')) {
		server_smuggling(s);
		return n + 1;
	}
	if (n + 1 > SERVER_LONG_MAX) {
		too_long(s);
		return n + 1;
	}
	if (holds(bytes, n - 1, '\0')) {
		server_reply(s, 501, "5.5.2", "NUL in a command");
		return n + 1;
	}
	memcpy(line, bytes, n - 1);
	line[n - 1] = '\0';
	run(s, line, n - 1);
	return n + 1;
}

static size_t
input_some(struct server *s, char *bytes, size_t len)
{
	switch (s->phase) {
	case PHASE_COMMAND:
		if (buf_len(&s->out) > OUTPUT_HIGH)
			return 0;
		return input_command(s, bytes, len);
	case PHASE_SKIP:
		return input_skip(s, bytes, len);
	case PHASE_DATA:
		return server_input_data(s, bytes, len);
	case PHASE_BDAT:
		return server_input_bdat(s, bytes, len);
	case PHASE_VERDICT:
	case PHASE_CTL:
	case PHASE_ENDED:
		break;
	}
	return 0;
}

size_t
server_input(struct server *s, char *bytes, size_t len, int64_t now)
{
	enum phase before;
	size_t n, used = 0;

	while (used < len && server_need(s) == SERVER_NEEDS_PEER) {
		before = s->phase;
		n = input_some(s, bytes + used, len - used);
		used += n;
		/* Part of a command is no progress: a trickle times out. */
		if (n > 0 && before != PHASE_SKIP && s->phase != PHASE_SKIP)
			s->since = now;
		server_settle_chunk(s);
		if (n == 0)
			break;
	}
	if (s->out.failed)
		server_end(s);
	return used;
}

/* ---- the caller's side ---- */

enum server_need
server_need(const struct server *s)
{
	if (s->phase == PHASE_ENDED)
		return SERVER_ENDED;
	if (s->content_len > 0)
		return SERVER_HAS_CONTENT;
	if (s->phase == PHASE_VERDICT)
		return SERVER_NEEDS_VERDICT;
	return s->phase == PHASE_CTL ? SERVER_HAS_CTL : SERVER_NEEDS_PEER;
}

void
server_answer(struct server *s, int code, const char *dsn, const char *text,
    int64_t now)
{
	if (s->phase != PHASE_VERDICT && s->phase != PHASE_CTL)
		return;
	s->phase = PHASE_COMMAND;
	s->since = now;
	s->idle = 0;
	if (code / 100 == 2)
		s->accepted++;
	server_reply(s, code, dsn, "%s", text);
	server_reset(s);
}

void
server_eof(struct server *s)
{
	if (s->phase == PHASE_ENDED)
		return;
	if (s->refusal == 0 && s->in_content) {
		/* To read a file again that breaks off is of no use. */
		s->refusal = s->params.is_batch ? 554 : 451;
		(void)strlcpy(s->refusal_text,
		    s->params.is_batch ? "554 5.6.0 the message broke off"
				       : "451 4.4.2 the message broke off",
		    sizeof s->refusal_text);
	}
	server_end(s);
}

int64_t
server_deadline(const struct server *s)
{
	int64_t by = s->since + TIMEOUT_MS;

	if (s->params.is_batch || s->phase == PHASE_ENDED ||
	    s->phase == PHASE_VERDICT || s->phase == PHASE_CTL)
		return SERVER_NO_DEADLINE;
	if ((s->phase == PHASE_DATA || s->phase == PHASE_BDAT) &&
	    s->content_by < by)
		return s->content_by;
	return by;
}

void
server_expire(struct server *s, int64_t now)
{
	if (now >= server_deadline(s))
		server_close(s, "4.4.2", "timeout, closing");
}

const char *
server_output(const struct server *s, size_t *len)
{
	*len = buf_len(&s->out);
	return buf_bytes(&s->out);
}

void
server_sent(struct server *s, size_t len, int64_t now)
{
	(void)now;
	buf_take(&s->out, len);
}
