#include "queue/proof_line.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/id.h"

/* Written bytes of a field at most: together they fit a line. */
#define SEAL_FIELD_MAX 280
#define RECIPIENT_MAX 960
#define MESSAGE_ID_MAX 765
#define REPLY_MAX 2200
#define NUMBERS_MAX 100 /* what precedes them in a delivery */

_Static_assert(PROOF_FIELDS *(SEAL_FIELD_MAX + 1) + 3 <= PROOF_LINE_MAX,
    "the longest seal fits a line");
_Static_assert(NUMBERS_MAX + RECIPIENT_MAX + MESSAGE_ID_MAX + REPLY_MAX + 5 <=
	PROOF_LINE_MAX,
    "the longest delivery fits a line");

/* What stands for itself between blanks, or where they need not be told from
 * those between fields. */
static bool
is_plain(unsigned char c, bool blanks)
{
	return (c > ' ' && c != 0x7f && c != '%') || (blanks && c == ' ');
}

/* Write "value" at "out", "max" bytes at most; returns how many. */
static size_t
escape(char *out, const char *value, size_t max, bool blanks)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;

	for (; *value != '\0' && n + 3 <= max; value++) {
		unsigned char c = (unsigned char)*value;

		if (is_plain(c, blanks)) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '%';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	return n;
}

/* Add " field"; the caller's line has the room. */
static size_t
add_field(char *line, size_t at, const char *value, size_t max)
{
	line[at++] = ' ';
	if (value[0] == '\0') {
		line[at++] = '-';
		return at;
	}
	if (strcmp(value, "-") == 0) { /* is not to pass for an empty one */
		line[at++] = '%';
		line[at++] = '2';
		line[at++] = 'D';
		return at;
	}
	return at + escape(line + at, value, max, false);
}

static size_t
end_line(char *line, size_t at)
{
	line[at++] = '\n';
	line[at] = '\0';
	return at;
}

size_t
proof_line_seal(const struct proof_seal *s, char line[PROOF_LINE_MAX])
{
	char fetched[24];
	const char *const fields[PROOF_FIELDS] = { s->level, s->auth, s->route,
		s->policy, s->policy_id, s->policy_sha256, fetched, s->tlsa,
		s->tls, s->cipher, s->group, s->cert_sha256, s->mx, s->addr };
	size_t at = 1, i;

	(void)snprintf(fetched, sizeof fetched, "%" PRId64, s->policy_fetched);
	line[0] = 'S';
	for (i = 0; i < PROOF_FIELDS; i++)
		at = add_field(line, at, fields[i], SEAL_FIELD_MAX);
	return end_line(line, at);
}

static int64_t
id_ms(uint64_t id)
{
	return (int64_t)(id_time_us(id) / 1000);
}

size_t
proof_line_delivery(const struct proof *p, uint64_t seal,
    char line[PROOF_LINE_MAX])
{
	char id[ID_SIZE];
	size_t at;

	id_format(p->id, id);
	at = (size_t)snprintf(line, NUMBERS_MAX,
	    "D %" PRIu64 " %s %" PRId64 " %" PRId64, seal, id,
	    p->accepted_ms - id_ms(p->id), p->delivered_ms - p->accepted_ms);
	at = add_field(line, at, p->recipient, RECIPIENT_MAX);
	at = add_field(line, at, p->message_id, MESSAGE_ID_MAX);
	line[at++] = ' ';
	at += escape(line + at, p->reply, REPLY_MAX, true);
	return end_line(line, at);
}

void
proof_line_field(const char *value, size_t len, char field[PROOF_LINE_MAX])
{
	char copy[MESSAGE_ID_MAX + 1];

	if (len > MESSAGE_ID_MAX)
		len = MESSAGE_ID_MAX;
	(void)memcpy(copy, value, len);
	copy[len] = '\0';
	field[escape(field, copy, MESSAGE_ID_MAX, false)] = '\0';
}

uint32_t
proof_line_hash(const char *line, size_t len)
{
	uint32_t hash = 2166136261U; /* FNV-1a */
	size_t i;

	for (i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)line[i]) * 16777619U;
	return hash;
}

static int
hex_digit(char c)
{
	static const char digits[] = "0123456789ABCDEF";
	const char *p = c != '\0' ? strchr(digits, c) : NULL;

	return p != NULL ? (int)(p - digits) : -1;
}

/* One field up to "end" to "out", which is never longer, and a NUL. Returns
 * its length with that; 0: a bad escape. */
static size_t
read_field(const char *p, const char *end, char *out)
{
	size_t n = 0;

	while (p < end) {
		int high, low;
		char c = *p++;

		if (c == '%') {
			if (end - p < 2 || (high = hex_digit(p[0])) == -1 ||
			    (low = hex_digit(p[1])) == -1 || high + low == 0)
				return 0;
			c = (char)(high << 4 | low);
			p += 2;
		}
		out[n++] = c;
	}
	out[n++] = '\0';
	return n;
}

/* Split a line into "want" fields; "rest": the last one has blanks. */
static int
split(const char *line, size_t want, bool rest, struct proof_text *text)
{
	const char *p = line + 2, *end = line;
	size_t count, n, used = 0;

	if (strlen(line) >= sizeof text->bytes || line[1] != ' ')
		return -1;
	for (count = 0; count < want; p = end + 1) {
		bool last = count + 1 == want;

		end = p + (last && rest ? strlen(p) : strcspn(p, " "));
		if ((*end == '\0') != last || (end == p && !(last && rest)))
			return -1;
		text->field[count] = text->bytes + used;
		if (end - p == 1 && *p == '-' && !(last && rest))
			p = end;
		n = read_field(p, end, text->bytes + used);
		if (n == 0)
			return -1;
		used += n;
		count++;
	}
	return 0;
}

static int
read_number(const char *text, int64_t *number)
{
	const char *digits = text + (text[0] == '-');
	char *end;

	if (digits[0] < '0' || digits[0] > '9')
		return -1;
	errno = 0;
	*number = strtoll(text, &end, 10);
	return *end == '\0' && errno == 0 ? 0 : -1;
}

int
proof_parse_seal(const char *line, struct proof_text *text,
    struct proof_seal *s)
{
	const char *fetched = "";
	const char **const to[PROOF_FIELDS] = { &s->level, &s->auth, &s->route,
		&s->policy, &s->policy_id, &s->policy_sha256, &fetched,
		&s->tlsa, &s->tls, &s->cipher, &s->group, &s->cert_sha256,
		&s->mx, &s->addr };
	size_t i;

	if (line[0] != 'S' || split(line, PROOF_FIELDS, false, text) == -1)
		return -1;
	for (i = 0; i < PROOF_FIELDS; i++)
		*to[i] = text->field[i];
	return read_number(fetched, &s->policy_fetched);
}

#define SPAN_MAX (INT64_C(1) << 50) /* ms: nothing real is further off */

static int
read_span(const char *text, int64_t *ms)
{
	if (read_number(text, ms) == -1 || *ms > SPAN_MAX || *ms < -SPAN_MAX)
		return -1;
	return 0;
}

int
proof_parse_delivery(const char *line, struct proof_text *text, struct proof *p,
    uint64_t *seal)
{
	int64_t at, accepted, delivered;

	(void)memset(p, 0, sizeof *p);
	if (line[0] != 'D' || split(line, 7, true, text) == -1 ||
	    read_number(text->field[0], &at) == -1 || at < 0 ||
	    id_parse(text->field[1], &p->id) == -1 ||
	    read_span(text->field[2], &accepted) == -1 ||
	    read_span(text->field[3], &delivered) == -1)
		return -1;
	*seal = (uint64_t)at;
	p->accepted_ms = id_ms(p->id) + accepted;
	p->delivered_ms = p->accepted_ms + delivered;
	p->recipient = text->field[4];
	p->message_id = text->field[5];
	p->reply = text->field[6];
	return 0;
}
