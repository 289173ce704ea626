#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/id.h"
#include "queue/proof_line.h"
#include "queue/proof_state.h"

#define STEP_BYTES 262144U
#define READ_BYTES 65536U

struct proof_search {
	int dirfd; /* its own */
	uint64_t id;
	char bare[PROOF_LINE_MAX]; /* the Message-ID as a field, no brackets */
	char id_text[ID_SIZE];     /* as in a line; looked for if id != 0 */
	int64_t *began_ms;         /* of the segments to read */
	size_t count;
	size_t next;
	int fd; /* the segment being read; -1: none */
	char buffer[READ_BYTES];
	size_t have;
};

/* The Message-ID without its brackets, as a field of a line holds it. */
static void
make_bare(char bare[PROOF_LINE_MAX], const char *message_id)
{
	size_t len = strlen(message_id);

	if (len >= 2 && message_id[0] == '<' && message_id[len - 1] == '>') {
		message_id++;
		len -= 2;
	}
	proof_line_field(message_id, len, bare);
}

/* A message's proofs are younger than its id, give or take a clock that was
 * set back by less than a day. */
static bool
is_before(const struct proof_store *p, size_t i, uint64_t id)
{
	int64_t ms = (int64_t)(id_time_us(id) / 1000) - PROOF_DAY_MS;

	return id != 0 && i + 1 < p->count && p->segments[i + 1].began_ms < ms;
}

struct proof_search *
proof_search_new(const struct proof_store *p, const struct proof_query *query)
{
	struct proof_search *s = calloc(1, sizeof *s);
	size_t i;

	if (s == NULL)
		return NULL;
	s->fd = -1;
	s->id = query->id;
	if (query->message_id != NULL)
		make_bare(s->bare, query->message_id);
	id_format(query->id, s->id_text);
	s->began_ms = calloc(p->count + 1, sizeof *s->began_ms);
	s->dirfd = fcntl(p->dirfd, F_DUPFD_CLOEXEC, 0);
	if (s->began_ms == NULL || s->dirfd == -1) {
		proof_search_free(s);
		return NULL;
	}
	/* Nothing asked for is nothing found. */
	if (s->id == 0 && s->bare[0] == '\0')
		return s;
	for (i = 0; i < p->count; i++)
		if (!is_before(p, i, s->id))
			s->began_ms[s->count++] = p->segments[i].began_ms;
	return s;
}

void
proof_search_free(struct proof_search *s)
{
	if (s == NULL)
		return;
	if (s->fd != -1)
		(void)close(s->fd);
	if (s->dirfd != -1)
		(void)close(s->dirfd);
	free(s->began_ms);
	free(s);
}

static bool
fits(const struct proof_search *s, const struct proof *proof)
{
	char bare[PROOF_LINE_MAX];

	if (s->id != 0)
		return proof->id == s->id;
	make_bare(bare, proof->message_id);
	return strcmp(bare, s->bare) == 0;
}

static void
read_line(struct proof_search *s, char *line,
    void (*each)(void *arg, const struct proof *), void *arg)
{
	struct proof_text delivery, seal;
	struct proof proof;
	char text[PROOF_LINE_MAX];
	uint64_t at;
	ssize_t n;

	if (proof_parse_delivery(line, &delivery, &proof, &at) == -1 ||
	    !fits(s, &proof))
		return;
	n = pread(s->fd, text, sizeof text - 1, (off_t)at);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (proof_parse_seal(text, &seal, &proof.seal) == 0)
		each(arg, &proof);
}

/* The lines of text[0..len) that hold what is looked for; it ends with a
 * newline. Only they are taken apart. */
static void
read_lines(struct proof_search *s, char *text, size_t len,
    void (*each)(void *arg, const struct proof *), void *arg)
{
	const char *key = s->id != 0 ? s->id_text : s->bare;
	char *hit, *line, *end;

	while ((hit = memmem(text, len, key, strlen(key))) != NULL) {
		line = memrchr(text, '\n', (size_t)(hit - text));
		line = line != NULL ? line + 1 : text;
		end = memchr(hit, '\n', len - (size_t)(hit - text));
		*end = '\0';
		read_line(s, line, each, arg);
		len -= (size_t)(end + 1 - text);
		text = end + 1;
	}
}

/* The lines that are complete; what is left moves to the front. */
static void
read_buffer(struct proof_search *s,
    void (*each)(void *arg, const struct proof *), void *arg)
{
	char *end = memrchr(s->buffer, '\n', s->have);
	size_t len = end != NULL ? (size_t)(end + 1 - s->buffer) : 0;

	if (len > 0)
		read_lines(s, s->buffer, len, each, arg);
	/* No line of ours is that long: damage is passed over. */
	if (s->have - len == sizeof s->buffer)
		len = s->have;
	s->have -= len;
	(void)memmove(s->buffer, s->buffer + len, s->have);
}

static int
open_next(struct proof_search *s)
{
	char name[PROOF_NAME_SIZE];

	proof_name(s->began_ms[s->next++], name);
	s->have = 0;
	s->fd = openat(s->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return s->fd == -1 && errno != ENOENT ? -1 : 1;
}

int
proof_search_step(struct proof_search *s,
    void (*each)(void *arg, const struct proof *), void *arg)
{
	size_t budget = STEP_BYTES;
	ssize_t n;

	while (budget >= READ_BYTES) {
		if (s->fd == -1)
			return s->next == s->count ? 0 : open_next(s);
		n = read(s->fd, s->buffer + s->have,
		    sizeof s->buffer - s->have);
		if (n > 0) {
			s->have += (size_t)n;
			read_buffer(s, each, arg);
			budget -= READ_BYTES;
			continue;
		}
		(void)close(s->fd);
		s->fd = -1;
		if (n == -1)
			return -1;
	}
	return 1;
}
