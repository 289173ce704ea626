/*
 * The SMTP server engine's content: DATA and BDAT, dots, line ends, limits.
 */

#include <string.h>

#include "smtpd/server_cmd.h"

#define CONTENT_TIMEOUT_MS 3600000 /* for one message's content in all */
#define OVERSIZE_MAX (1U << 28)    /* bytes passed over beyond the limit */

void
server_content_begin(struct server *s, enum phase phase, uint64_t chunk,
    bool last)
{
	s->phase = phase;
	s->chunk = chunk;
	s->last = last;
	if (s->in_content)
		return;
	s->in_content = true;
	s->first = true;
	s->seen = 0;
	s->line_len = 0;
	s->place = PLACE_START;
	s->refuse_code = 0;
	s->content_by = s->since + CONTENT_TIMEOUT_MS;
}

void
server_refuse_content(struct server *s, int code, const char *dsn,
    const char *text)
{
	if (s->refuse_code != 0)
		return;
	s->refuse_code = code;
	(void)strlcpy(s->refuse_dsn, dsn, sizeof s->refuse_dsn);
	(void)strlcpy(s->refuse_text, text, sizeof s->refuse_text);
}

static void
end_content(struct server *s)
{
	if (s->refuse_code == 0) {
		s->phase = PHASE_VERDICT;
		return;
	}
	s->phase = PHASE_COMMAND;
	server_reply(s, s->refuse_code, s->refuse_dsn, "%s", s->refuse_text);
	server_reset(s);
}

void
server_smuggling(struct server *s)
{
	server_reply(s, 554, "5.6.0", "bare CR or LF, closing");
	server_end(s);
}

/* What one byte of content decides. */
struct byte_sense {
	bool keep; /* it is content */
	bool end;  /* all content is complete */
	bool bad;  /* CR and LF are not a pair */
};

/*
 * One stretch of a line, from inside it: up to its CRLF or to "end". Returns
 * the byte behind it, or NULL where CR and LF are not a pair.
 */
static const char *
scan_line(struct server *s, const char *p, const char *end)
{
	const char *lf = memchr(p, '\n', (size_t)(end - p));
	const char *stop = lf != NULL ? lf : end;
	const char *cr = memchr(p, '\r', (size_t)(stop - p));

	s->line_len += (size_t)((cr != NULL ? cr : stop) - p);
	if (s->line_len > SERVER_TEXT_MAX)
		server_refuse_content(s, 554, "5.6.0",
		    "a line of the message is too long");
	if (cr != NULL && cr + 1 != stop)
		return NULL;
	if (lf == NULL) {
		s->place = cr != NULL ? PLACE_CR : PLACE_IN;
		return end;
	}
	if (cr == NULL)
		return NULL;
	s->place = PLACE_START;
	s->line_len = 0;
	return lf + 1;
}

/* Does the byte stand where it decides alone? Then "v" says what. */
static bool
take_byte(struct server *s, char c, struct byte_sense *v)
{
	switch (s->place) {
	case PLACE_START:
		if (s->phase != PHASE_DATA || c != '.')
			return false;
		s->place = PLACE_DOT;
		return true;
	case PLACE_DOT:
		if (c != '\r')
			return false;
		s->place = PLACE_DOT_CR;
		return true;
	case PLACE_DOT_CR:
		v->end = c == '\n';
		v->bad = !v->end;
		return true;
	case PLACE_CR:
		v->keep = true;
		v->bad = c != '\n';
		s->place = PLACE_START;
		s->line_len = 0;
		return true;
	case PLACE_IN:
		break;
	}
	return false;
}

/*
 * Take content from p to end, writing what remains of it to "to" (which never
 * passes p). Returns the byte behind what was used, NULL for bare CR or LF.
 */
static const char *
take_content(struct server *s, const char *p, const char *end, char *to,
    bool *done)
{
	struct byte_sense v = { false, false, false };
	const char *next;

	s->content = to;
	while (p < end && !v.end) {
		v.keep = false;
		if (take_byte(s, *p, &v)) {
			next = p + 1;
		} else {
			s->place = PLACE_IN;
			next = scan_line(s, p, end);
			v.keep = true;
		}
		if (next == NULL || v.bad)
			return NULL;
		if (v.keep) {
			if (to != p)
				memmove(to, p, (size_t)(next - p));
			to += next - p;
		}
		p = next;
	}
	*done = v.end;
	s->content_len = (size_t)(to - s->content);
	return p;
}

static void
count_content(struct server *s)
{
	s->seen += s->content_len;
	if (s->seen > s->params.size_max)
		server_refuse_content(s, 552, "5.3.4",
		    "the message is too large");
	if (s->refuse_code != 0)
		s->content_len = 0;
	if (s->seen > s->params.size_max &&
	    s->seen - s->params.size_max > OVERSIZE_MAX) {
		server_reply(s, 552, "5.3.4",
		    "the message is too large, closing");
		server_end(s);
	}
}

size_t
server_input_data(struct server *s, char *bytes, size_t len)
{
	const char *p;
	bool done;

	p = take_content(s, bytes, bytes + len, bytes, &done);
	if (p == NULL) {
		server_smuggling(s);
		return len;
	}
	count_content(s);
	if (done && s->phase == PHASE_DATA)
		end_content(s);
	return (size_t)(p - bytes);
}

/* The last chunk is here: its last line must be whole, or is made so. */
static void
finish_bdat(struct server *s)
{
	static const char crlf[2] = { '\r', '\n' };

	if (s->place == PLACE_CR) {
		server_smuggling(s);
		return;
	}
	if (s->place == PLACE_IN && s->refuse_code == 0 &&
	    s->content_len == 0) {
		s->content = crlf;
		s->content_len = sizeof crlf;
		s->place = PLACE_START;
	}
}

static void
end_chunk(struct server *s)
{
	if (s->last) {
		end_content(s);
		return;
	}
	s->phase = PHASE_COMMAND;
	if (!s->has_mail)
		s->in_content = false;
	if (s->refuse_code != 0)
		server_reply(s, s->refuse_code, s->refuse_dsn, "%s",
		    s->refuse_text);
	else
		server_reply(s, 250, "2.0.0", "chunk taken");
}

size_t
server_input_bdat(struct server *s, char *bytes, size_t len)
{
	bool done;

	if (len > s->chunk)
		len = (size_t)s->chunk;
	if (take_content(s, bytes, bytes + len, bytes, &done) == NULL) {
		server_smuggling(s);
		return len;
	}
	s->chunk -= len;
	count_content(s);
	return len;
}

void
server_settle_chunk(struct server *s)
{
	if (s->phase != PHASE_BDAT || s->chunk > 0 || s->content_len > 0)
		return;
	if (s->last)
		finish_bdat(s);
	if (s->phase == PHASE_BDAT && s->content_len == 0)
		end_chunk(s);
}

const char *
server_content(struct server *s, size_t *len, bool *first)
{
	const char *content = s->content;

	*len = s->content_len;
	*first = s->first;
	s->first = false;
	s->content_len = 0;
	server_settle_chunk(s);
	return content;
}
