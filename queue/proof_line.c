#include "queue/proof_line.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/id.h"

/* Fields are cut so that the longest line fits: 13 of 255 written bytes. */
#define WRITTEN_MAX 300

static bool
is_plain(unsigned char c)
{
	return c > ' ' && c != 0x7f && c != '%';
}

/* Add " field"; the caller's line always has the room, see WRITTEN_MAX. */
static size_t
add_field(char *line, size_t at, const char *value)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t begin = at + 1;

	line[at++] = ' ';
	if (value[0] == '\0' || strcmp(value, "-") == 0) {
		const char *text = value[0] == '\0' ? "-" : "%2D";

		(void)memcpy(line + at, text, strlen(text));
		return at + strlen(text);
	}
	for (; *value != '\0' && at - begin < WRITTEN_MAX - 3; value++) {
		unsigned char c = (unsigned char)*value;

		if (is_plain(c)) {
			line[at++] = (char)c;
			continue;
		}
		line[at++] = '%';
		line[at++] = hex[c >> 4];
		line[at++] = hex[c & 15];
	}
	return at;
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
	const char *const fields[PROOF_FIELDS] = { s->level, s->auth, s->route,
		s->policy, s->policy_id, s->policy_sha256, s->policy_fetched,
		s->tls, s->cipher, s->group, s->cert_sha256, s->mx, s->addr };
	size_t at = 1, i;

	line[0] = 'S';
	for (i = 0; i < PROOF_FIELDS; i++)
		at = add_field(line, at, fields[i]);
	return end_line(line, at);
}

size_t
proof_line_delivery(const struct proof *p, uint64_t seal,
    char line[PROOF_LINE_MAX])
{
	char id[ID_SIZE], numbers[80];
	size_t at;

	id_format(p->id, id);
	(void)snprintf(numbers, sizeof numbers,
	    "D %" PRIu64 " %s %" PRId64 " %" PRId64, seal, id, p->accepted_ms,
	    p->delivered_ms);
	at = strlen(numbers);
	(void)memcpy(line, numbers, at);
	at = add_field(line, at, p->recipient);
	at = add_field(line, at, p->message_id);
	at = add_field(line, at, p->reply);
	return end_line(line, at);
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

/* One field up to "end" into "out". -1: a bad escape, or too long. */
static int
read_field(const char *p, const char *end, char out[PROOF_FIELD_MAX])
{
	size_t n = 0;

	if (end - p == 1 && *p == '-')
		p = end;
	while (p < end) {
		char c = *p++;

		if (c == '%') {
			int high, low;

			if (end - p < 2 || (high = hex_digit(p[0])) == -1 ||
			    (low = hex_digit(p[1])) == -1)
				return -1;
			c = (char)(high << 4 | low);
			p += 2;
		}
		if (c == '\0' || n == PROOF_FIELD_MAX - 1)
			return -1;
		out[n++] = c;
	}
	out[n] = '\0';
	return 0;
}

static int
split(const char *line, char kind, size_t want, struct proof_text *text)
{
	const char *end = line;

	text->count = 0;
	if (line[0] != kind || line[1] != ' ')
		return -1;
	for (line += 2; text->count < want; line = end + 1) {
		end = line + strcspn(line, " ");
		if (end == line ||
		    read_field(line, end, text->field[text->count]) == -1)
			return -1;
		text->count++;
		if (*end == '\0')
			break;
	}
	return text->count == want && *end == '\0' ? 0 : -1;
}

int
proof_parse_seal(const char *line, struct proof_text *text,
    struct proof_seal *s)
{
	const char **const to[PROOF_FIELDS] = { &s->level, &s->auth, &s->route,
		&s->policy, &s->policy_id, &s->policy_sha256,
		&s->policy_fetched, &s->tls, &s->cipher, &s->group,
		&s->cert_sha256, &s->mx, &s->addr };
	size_t i;

	if (split(line, 'S', PROOF_FIELDS, text) == -1)
		return -1;
	for (i = 0; i < PROOF_FIELDS; i++)
		*to[i] = text->field[i];
	return 0;
}

static int
read_number(const char *text, uint64_t *number)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -1;
	errno = 0;
	*number = strtoull(text, &end, 10);
	return *end == '\0' && errno == 0 ? 0 : -1;
}

int
proof_parse_delivery(const char *line, struct proof_text *text, struct proof *p,
    uint64_t *seal)
{
	uint64_t accepted, delivered;

	(void)memset(p, 0, sizeof *p);
	if (split(line, 'D', 7, text) == -1 ||
	    read_number(text->field[0], seal) == -1 ||
	    id_parse(text->field[1], &p->id) == -1 ||
	    read_number(text->field[2], &accepted) == -1 ||
	    read_number(text->field[3], &delivered) == -1 ||
	    *seal > INT64_MAX || accepted > INT64_MAX || delivered > INT64_MAX)
		return -1;
	p->accepted_ms = (int64_t)accepted;
	p->delivered_ms = (int64_t)delivered;
	p->recipient = text->field[4];
	p->message_id = text->field[5];
	p->reply = text->field[6];
	return 0;
}
