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
#include "queue/proof_state.h"

#define SEGMENT_BYTES 16777216 /* bytes; then the next one begins */
#define SEGMENT_MS_MIN (60LL * 1000)
#define SEGMENT_MS_MAX PROOF_DAY_MS
#define KEEP_SEGMENTS 30   /* that the time to keep is divided into */
#define BUFFER_MAX 1048576 /* bytes that wait for the disk */

void
proof_name(int64_t began_ms, char name[PROOF_NAME_SIZE])
{
	(void)snprintf(name, PROOF_NAME_SIZE, "%013" PRId64 ".log", began_ms);
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
	struct proof_segment *grown;

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
	const struct proof_segment *x = a, *y = b;

	return (x->began_ms > y->began_ms) - (x->began_ms < y->began_ms);
}

/* An empty one is what a full disk left. */
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

static int64_t
segment_ms(const struct proof_store *p)
{
	int64_t ms = p->keep_ms / KEEP_SEGMENTS;

	if (ms > SEGMENT_MS_MAX)
		return SEGMENT_MS_MAX;
	return ms < SEGMENT_MS_MIN ? SEGMENT_MS_MIN : ms;
}

/* The first segment ended when the next one began; the last one, if it is not
 * being written, after its time. */
static bool
is_too_old(const struct proof_store *p, int64_t now_ms)
{
	int64_t end_ms = p->count > 1 ? p->segments[1].began_ms
				      : p->segments[0].began_ms + segment_ms(p);

	return end_ms < now_ms - p->keep_ms;
}

static int
drop_first(struct proof_store *p)
{
	char name[PROOF_NAME_SIZE];

	proof_name(p->segments[0].began_ms, name);
	if (unlinkat(p->dirfd, name, 0) == -1 && errno != ENOENT)
		return -1;
	p->count--;
	(void)memmove(p->segments, p->segments + 1,
	    p->count * sizeof *p->segments);
	return 0;
}

static void
drop_old(struct proof_store *p, int64_t now_ms)
{
	size_t i, busy = p->fd != -1 ? 1 : 0;
	uint64_t total = 0;

	for (i = 0; i < p->count; i++)
		total += p->segments[i].size;
	while (p->count > busy &&
	    (total > p->max_bytes || is_too_old(p, now_ms))) {
		total -= p->segments[0].size;
		if (drop_first(p) == -1)
			return;
	}
}

static struct proof_segment *
last(struct proof_store *p)
{
	return &p->segments[p->count - 1];
}

/* The current segment is complete; the next begins when there is something to
 * write. What waits in the buffer names offsets in it: only with an empty
 * buffer may it end. */
static void
end_segment(struct proof_store *p)
{
	if (p->fd != -1)
		(void)close(p->fd);
	p->fd = -1;
	p->segment++; /* its seals are forgotten */
}

static int
begin_segment(struct proof_store *p, int64_t now_ms)
{
	char name[PROOF_NAME_SIZE];
	int fd;

	if (p->count > 0 && now_ms <= last(p)->began_ms)
		now_ms = last(p)->began_ms + 1;
	proof_name(now_ms, name);
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
	p->fd = fd;
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
	p->segment = 1;
	p->keep_ms = keep_ms;
	p->max_bytes = max_bytes;
	p->buffer = malloc(BUFFER_MAX);
	p->seals = calloc(PROOF_SEALS, sizeof *p->seals);
	if (p->buffer == NULL || p->seals == NULL || find_segments(p) == -1) {
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
	end_segment(p);
	free(p->segments);
	free(p->buffer);
	free(p->seals);
	(void)close(p->dirfd);
	free(p);
}

void
proof_keep(struct proof_store *p, int64_t keep_ms)
{
	p->keep_ms = keep_ms;
}

void
proof_erase(struct proof_store *p)
{
	end_segment(p);
	p->buffered = 0;
	while (p->count > 0) {
		if (drop_first(p) == -1)
			break;
	}
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

static struct proof_known *
find_seal(const struct proof_store *p, uint32_t hash, const char *line)
{
	size_t set = hash % (PROOF_SEALS / PROOF_WAYS), i;

	for (i = set * PROOF_WAYS; i < (set + 1) * PROOF_WAYS; i++)
		if (p->seals[i].segment == p->segment &&
		    p->seals[i].hash == hash &&
		    strcmp(p->seals[i].text, line) == 0)
			return &p->seals[i];
	return NULL;
}

/* Remember a seal, in the place of another. */
static void
keep_seal(struct proof_store *p, uint32_t hash, const char *line, uint64_t at)
{
	size_t set = hash % (PROOF_SEALS / PROOF_WAYS);
	struct proof_known *known =
	    &p->seals[set * PROOF_WAYS + p->victim++ % PROOF_WAYS];

	known->segment = p->segment;
	known->hash = hash;
	known->offset = at;
	if (strlcpy(known->text, line, sizeof known->text) >=
	    sizeof known->text)
		known->segment = 0;
}

/* Where the seal's line stands in the segment; it is appended if new. */
static int
place_seal(struct proof_store *p, const struct proof_seal *seal, uint64_t *at)
{
	char line[PROOF_LINE_MAX];
	size_t len = proof_line_seal(seal, line);
	uint32_t hash = proof_line_hash(line, len);
	const struct proof_known *known = find_seal(p, hash, line);

	if (known != NULL) {
		*at = known->offset;
		return 0;
	}
	*at = (p->fd != -1 ? last(p)->size : 0) + p->buffered;
	if (append(p, line, len) == -1)
		return -1;
	keep_seal(p, hash, line, *at);
	return 0;
}

static bool
is_complete(struct proof_store *p, int64_t now_ms)
{
	return p->fd != -1 &&
	    (last(p)->size >= SEGMENT_BYTES ||
		now_ms - last(p)->began_ms >= segment_ms(p));
}

int
proof_add(struct proof_store *p, const struct proof *proof)
{
	char line[PROOF_LINE_MAX];
	uint64_t at;
	size_t len;

	if (p->buffered == 0 && is_complete(p, proof->delivered_ms))
		end_segment(p);
	if (place_seal(p, &proof->seal, &at) == -1)
		return -1;
	len = proof_line_delivery(proof, at, line);
	return append(p, line, len);
}

int
proof_flush(struct proof_store *p, int64_t now_ms)
{
	ssize_t n;

	if (p->buffered > 0 && p->fd == -1 && begin_segment(p, now_ms) == -1)
		return -1;
	while (p->buffered > 0) {
		n = write(p->fd, p->buffer, p->buffered);
		if (n == -1)
			return -1;
		p->buffered -= (size_t)n;
		last(p)->size += (uint64_t)n;
		(void)memmove(p->buffer, p->buffer + n, p->buffered);
	}
	drop_old(p, now_ms);
	return 0;
}
