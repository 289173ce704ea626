#include "queue/proof.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/proof_line.h"

#define SEGMENT_BYTES (16U * 1024 * 1024) /* then the next one begins */
#define SEGMENT_MS (24LL * 3600 * 1000)
#define BUFFER_MAX (1024U * 1024) /* bytes that wait for the disk */
#define SEALS 1024                /* remembered, a power of two */
#define NAME_SIZE 24              /* 13 digits and ".log" */

struct segment {
	int64_t began_ms; /* its name */
	uint64_t size;
};

/* A seal line already in the current segment. */
struct known {
	char *text;
	uint64_t offset;
};

struct proof_store {
	int dirfd;
	int fd; /* the current segment; -1: none yet */
	int64_t keep_ms;
	uint64_t max_bytes;
	struct segment *segments; /* oldest first, the current one last */
	size_t count;
	size_t room;
	char *buffer;
	size_t buffered;
	struct known seals[SEALS];
};

static void
name_segment(int64_t began_ms, char name[NAME_SIZE])
{
	(void)snprintf(name, NAME_SIZE, "%013" PRId64 ".log", began_ms);
}

/* The time in a segment's name, or -1 for any other file. */
static int64_t
parse_name(const char *name)
{
	char *end;
	long long ms;

	if (strspn(name, "0123456789") != 13)
		return -1;
	ms = strtoll(name, &end, 10);
	return strcmp(end, ".log") == 0 ? ms : -1;
}

static int
add_segment(struct proof_store *p, int64_t began_ms, uint64_t size)
{
	struct segment *grown;

	if (p->count == p->room) {
		size_t room = p->room == 0 ? 64 : p->room * 2;

		grown = reallocarray(p->segments, room, sizeof *grown);
		if (grown == NULL)
			return -1;
		p->segments = grown;
		p->room = room;
	}
	p->segments[p->count].began_ms = began_ms;
	p->segments[p->count++].size = size;
	return 0;
}

static int
by_time(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	return (x->began_ms > y->began_ms) - (x->began_ms < y->began_ms);
}

/* An empty one is what an idle run left. */
static int
find_segment(struct proof_store *p, const char *name)
{
	int64_t began_ms = parse_name(name);
	struct stat st;

	if (began_ms == -1 ||
	    fstatat(p->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    !S_ISREG(st.st_mode))
		return 0;
	if (st.st_size == 0 && unlinkat(p->dirfd, name, 0) == 0)
		return 0;
	return add_segment(p, began_ms, (uint64_t)st.st_size);
}

static int
find_segments(struct proof_store *p)
{
	struct dirent *entry;
	int copy, error = 0;
	DIR *dir;

	if ((copy = fcntl(p->dirfd, F_DUPFD_CLOEXEC, 0)) == -1)
		return -1;
	if ((dir = fdopendir(copy)) == NULL) {
		(void)close(copy);
		return -1;
	}
	while (error == 0 && (entry = readdir(dir)) != NULL)
		error = find_segment(p, entry->d_name);
	(void)closedir(dir);
	if (error == 0 && p->count > 0)
		qsort(p->segments, p->count, sizeof *p->segments, by_time);
	return error;
}

static void
forget_seals(struct proof_store *p)
{
	size_t i;

	for (i = 0; i < SEALS; i++) {
		free(p->seals[i].text);
		p->seals[i].text = NULL;
	}
}

/* A segment is old when the one after it is: its own last line is older. */
static bool
is_too_old(const struct proof_store *p, int64_t now_ms)
{
	return p->count > 1 && p->segments[1].began_ms < now_ms - p->keep_ms;
}

static void
drop_old(struct proof_store *p, int64_t now_ms)
{
	uint64_t total = 0;
	char name[NAME_SIZE];
	size_t i;

	for (i = 0; i < p->count; i++)
		total += p->segments[i].size;
	while (
	    p->count > 1 && (total > p->max_bytes || is_too_old(p, now_ms))) {
		name_segment(p->segments[0].began_ms, name);
		if (unlinkat(p->dirfd, name, 0) == -1 && errno != ENOENT)
			return;
		total -= p->segments[0].size;
		p->count--;
		(void)memmove(p->segments, p->segments + 1,
		    p->count * sizeof *p->segments);
	}
}

static struct segment *
current(struct proof_store *p)
{
	return &p->segments[p->count - 1];
}

/* What waits in the buffer names offsets in the segment before: only with an
 * empty buffer may a new one begin. */
static int
begin_segment(struct proof_store *p, int64_t now_ms)
{
	char name[NAME_SIZE];
	int fd;

	if (p->count > 0 && now_ms <= current(p)->began_ms)
		now_ms = current(p)->began_ms + 1;
	name_segment(now_ms, name);
	fd = openat(p->dirfd, name,
	    O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
	    0600);
	if (fd == -1)
		return -1;
	if (add_segment(p, now_ms, 0) == -1) {
		(void)close(fd);
		(void)unlinkat(p->dirfd, name, 0);
		return -1;
	}
	if (p->fd != -1)
		(void)close(p->fd);
	p->fd = fd;
	forget_seals(p);
	return 0;
}

struct proof_store *
proof_open(int dirfd, int64_t keep_ms, uint64_t max_bytes, int64_t now_ms)
{
	struct proof_store *p = calloc(1, sizeof *p);

	if (p == NULL) {
		(void)close(dirfd);
		return NULL;
	}
	p->dirfd = dirfd;
	p->fd = -1;
	p->keep_ms = keep_ms;
	p->max_bytes = max_bytes;
	p->buffer = malloc(BUFFER_MAX);
	if (p->buffer == NULL || find_segments(p) == -1 ||
	    begin_segment(p, now_ms) == -1) {
		int error = errno;

		proof_close(p);
		errno = error;
		return NULL;
	}
	drop_old(p, now_ms);
	return p;
}

void
proof_close(struct proof_store *p)
{
	if (p == NULL)
		return;
	forget_seals(p);
	free(p->segments);
	free(p->buffer);
	if (p->fd != -1)
		(void)close(p->fd);
	(void)close(p->dirfd);
	free(p);
}

void
proof_keep(struct proof_store *p, int64_t keep_ms)
{
	p->keep_ms = keep_ms;
}

static int
append(struct proof_store *p, const char *text, size_t len)
{
	if (len > BUFFER_MAX - p->buffered) {
		errno = ENOBUFS;
		return -1;
	}
	(void)memcpy(p->buffer + p->buffered, text, len);
	p->buffered += len;
	return 0;
}

/* Where the seal's line stands in the segment; it is appended if new. */
static int
place_seal(struct proof_store *p, const struct proof_seal *seal, uint64_t *at)
{
	char line[PROOF_LINE_MAX];
	size_t len = proof_line_seal(seal, line);
	struct known *known = &p->seals[proof_line_hash(line, len) % SEALS];
	char *copy;

	if (known->text != NULL && strcmp(known->text, line) == 0) {
		*at = known->offset;
		return 0;
	}
	if ((copy = strdup(line)) == NULL)
		return -1;
	*at = current(p)->size + p->buffered;
	if (append(p, line, len) == -1) {
		free(copy);
		return -1;
	}
	free(known->text);
	known->text = copy;
	known->offset = *at;
	return 0;
}

int
proof_add(struct proof_store *p, const struct proof *proof)
{
	char line[PROOF_LINE_MAX];
	uint64_t at;
	size_t len;

	if (place_seal(p, &proof->seal, &at) == -1)
		return -1;
	len = proof_line_delivery(proof, at, line);
	return append(p, line, len);
}

int
proof_flush(struct proof_store *p, int64_t now_ms)
{
	ssize_t n;

	while (p->buffered > 0) {
		n = write(p->fd, p->buffer, p->buffered);
		if (n == -1)
			return -1;
		p->buffered -= (size_t)n;
		current(p)->size += (uint64_t)n;
		(void)memmove(p->buffer, p->buffer + n, p->buffered);
	}
	if (current(p)->size < SEGMENT_BYTES &&
	    now_ms - current(p)->began_ms < SEGMENT_MS)
		return 0;
	if (current(p)->size > 0 && begin_segment(p, now_ms) == -1)
		return -1;
	drop_old(p, now_ms);
	return 0;
}

/* ---- looking up ---- */

#define STEP_BYTES (1024U * 1024)
#define READ_BYTES 65536U

struct proof_search {
	int dirfd; /* its own */
	uint64_t id;
	char message_id[PROOF_FIELD_MAX]; /* without brackets */
	int64_t *began_ms;                /* of the segments to read */
	size_t count;
	size_t next;
	int fd; /* the segment being read; -1: none */
	char buffer[READ_BYTES];
	size_t have;
};

static void
copy_bare(char *to, size_t room, const char *message_id)
{
	size_t len = strlen(message_id);

	if (len >= 2 && message_id[0] == '<' && message_id[len - 1] == '>') {
		message_id++;
		len -= 2;
	}
	if (len >= room)
		len = room - 1;
	(void)memcpy(to, message_id, len);
	to[len] = '\0';
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
		copy_bare(s->message_id, sizeof s->message_id,
		    query->message_id);
	s->began_ms = calloc(p->count, sizeof *s->began_ms);
	s->dirfd = fcntl(p->dirfd, F_DUPFD_CLOEXEC, 0);
	if (s->began_ms == NULL || s->dirfd == -1) {
		proof_search_free(s);
		return NULL;
	}
	for (i = 0; i < p->count; i++)
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
	char bare[PROOF_FIELD_MAX];

	if (s->id != 0)
		return proof->id == s->id;
	copy_bare(bare, sizeof bare, proof->message_id);
	return bare[0] != '\0' && strcmp(bare, s->message_id) == 0;
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

/* The lines that are complete; what is left moves to the front. */
static void
read_lines(struct proof_search *s,
    void (*each)(void *arg, const struct proof *), void *arg)
{
	char *line = s->buffer, *end;
	size_t left = s->have;

	while ((end = memchr(line, '\n', left)) != NULL) {
		*end = '\0';
		left -= (size_t)(end + 1 - line);
		read_line(s, line, each, arg);
		line = end + 1;
	}
	/* No line of ours is that long: damage is passed over. */
	if (left == sizeof s->buffer)
		left = 0;
	(void)memmove(s->buffer, line, left);
	s->have = left;
}

static int
open_next(struct proof_search *s)
{
	char name[NAME_SIZE];

	name_segment(s->began_ms[s->next++], name);
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
			read_lines(s, each, arg);
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
