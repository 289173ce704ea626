/* Segments of the journal: made, written out, sealed, recycled. */

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/crc.h"
#include "queue/journal_state.h"

#define PART 16 /* of a segment: the least for messages */

int
bytes_reserve(struct bytes *bytes, size_t more)
{
	size_t room;
	char *grown;

	if (bytes->room - bytes->len >= more)
		return 0;
	room = bytes->room == 0 ? 4096 : bytes->room;
	while (room - bytes->len < more)
		room *= 2;
	grown = realloc(bytes->mem, room);
	if (grown == NULL)
		return -1;
	bytes->mem = grown;
	bytes->room = room;
	return 0;
}

void
journal_name(uint32_t seq, char name[JOURNAL_NAME_SIZE])
{
	(void)snprintf(name, JOURNAL_NAME_SIZE, "seg-%08x", seq);
}

static void
spare_name(uint32_t seq, char name[JOURNAL_NAME_SIZE])
{
	(void)snprintf(name, JOURNAL_NAME_SIZE, "spare-%08x", seq);
}

struct segment *
journal_adopt(struct journal *j, uint32_t seq, int fd)
{
	struct segment **grown, *seg;
	size_t room;

	if (j->count == j->room) {
		room = j->room == 0 ? 16 : j->room * 2;
		grown = reallocarray(j->segs, room, sizeof(void *));
		if (grown == NULL)
			return NULL;
		j->segs = grown;
		j->room = room;
	}
	seg = calloc(1, sizeof *seg);
	if (seg == NULL)
		return NULL;
	seg->seq = seq;
	seg->fd = fd;
	j->segs[j->count++] = seg;
	if (seq > j->last_seq)
		j->last_seq = seq;
	return seg;
}

/* Keeps errno. */
static void
discard_file(struct journal *j, uint32_t seq, int fd)
{
	char name[JOURNAL_NAME_SIZE];
	int error;

	error = errno;
	journal_name(seq, name);
	(void)close(fd);
	(void)j->disk->unlinkat(j->disk->arg, j->dirfd, name);
	errno = error;
}

/* As much as there is, but not less than "least" bytes; 0: not that much. */
static uint32_t
take_space(struct journal *j, int fd, uint32_t least)
{
	uint32_t room;

	/* ext4 keeps what it had found before it failed: all the space that
	 * others have left. */
	for (room = j->segment;
	     j->disk->fallocate(j->disk->arg, fd, room) == -1;
	     room = room / PART > least ? room / PART : least)
		if (errno != ENOSPC || room <= least ||
		    j->disk->ftruncate(j->disk->arg, fd, 0) == -1)
			return 0;
	return room;
}

/* A file for segment "seq": a recycled one, whose blocks are already written
 * and hence cheaper to sync, or a new one. */
static int
open_file(struct journal *j, uint32_t seq, uint32_t least, uint32_t *room)
{
	char name[JOURNAL_NAME_SIZE], spare[JOURNAL_NAME_SIZE];
	int fd, flags;

	journal_name(seq, name);
	flags = O_RDWR | O_CREAT | O_EXCL;
	if (j->spare_count > 0) {
		spare_name(j->spares[--j->spare_count], spare);
		if (j->disk->renameat(j->disk->arg, j->dirfd, spare, name) == 0)
			flags = O_RDWR;
	}
	fd = j->disk->openat(j->disk->arg, j->dirfd, name, flags);
	if (fd == -1)
		return -1;
	*room = take_space(j, fd, least);
	if (*room != 0)
		return fd;
	discard_file(j, seq, fd);
	return -1;
}

int
segment_flush(struct journal *j)
{
	struct segment *seg;

	seg = j->current;
	if (j->buf.len == 0)
		return 0;
	if (j->disk->pwrite(j->disk->arg, seg->fd, j->buf.mem, j->buf.len,
		j->buf_off) == -1) {
		journal_fail(j, errno);
		return -1;
	}
	j->buf_off += (uint32_t)j->buf.len;
	j->buf.len = 0;
	seg->dirty = true;
	return 0;
}

int
segment_seal(struct journal *j, struct segment *seg, struct bytes *index)
{
	struct seg_tail tail;
	int64_t end;

	memset(&tail, 0, sizeof tail);
	tail.magic = JOURNAL_TAIL_MAGIC;
	tail.nonce = seg->nonce;
	tail.index_off = seg->end;
	tail.index_len = (uint32_t)index->len;
	tail.index_crc = crc32c(0, index->mem, index->len);
	tail.crc = crc32c(0, &tail, offsetof(struct seg_tail, crc));
	if (bytes_reserve(index, sizeof tail) == -1)
		return -1;
	memcpy(index->mem + index->len, &tail, sizeof tail);
	index->len += sizeof tail;
	end = (int64_t)seg->end + (int64_t)index->len;
	if (j->disk->pwrite(j->disk->arg, seg->fd, index->mem, index->len,
		seg->end) == -1 ||
	    j->disk->ftruncate(j->disk->arg, seg->fd, end) == -1)
		return -1;
	seg->index_len = tail.index_len;
	seg->sealed = true;
	return 0;
}

/* Leave in the index what a restart will want. */
static void
filter_index(struct journal *j)
{
	struct seg_entry entry;
	size_t from, to, size;

	for (from = to = 0; from < j->index.len; from += size) {
		memcpy(&entry, j->index.mem + from, sizeof entry);
		size = (sizeof entry + entry.brief_len + 7) & ~(size_t)7;
		if (entry.type >= REC_FIRST &&
		    !j->hooks.keep(j->hooks.arg, &entry,
			j->index.mem + from + sizeof entry,
			JOURNAL_POS(j->current->seq, entry.off)))
			continue;
		memmove(j->index.mem + to, j->index.mem + from, size);
		to += size;
	}
	j->index.len = to;
}

/* The records are synced before the index is written, which would otherwise
 * vouch for records that may never get to the disk. If the index is lost, the
 * next start takes longer, nothing else. */
static int
seal(struct journal *j)
{
	if (segment_flush(j) == -1)
		return -1;
	if (j->disk->fsync(j->disk->arg, j->current->fd) == -1) {
		journal_fail(j, errno);
		return -1;
	}
	filter_index(j);
	j->current->dirty = true;
	(void)segment_seal(j, j->current, &j->index);
	return 0;
}

static int
put_raw(struct journal *j, const void *bytes, size_t len)
{
	if (bytes_reserve(&j->buf, len) == -1)
		return -1;
	memcpy(j->buf.mem + j->buf.len, bytes, len);
	j->buf.len += len;
	return 0;
}

static int
put_voids(struct journal *j)
{
	struct rec_head head;
	size_t i;

	for (i = 0; i < j->void_count; i++) {
		memset(&head, 0, sizeof head);
		head.nonce = j->current->nonce;
		head.len = sizeof j->voids[i];
		head.brief_len = head.len;
		head.type = REC_VOID;
		head.crc =
		    crc32c(0, &head.nonce, sizeof head - sizeof head.crc);
		head.crc = crc32c(head.crc, &j->voids[i], head.len);
		if (put_raw(j, &head, sizeof head) == -1 ||
		    put_raw(j, &j->voids[i], head.len) == -1)
			return -1;
	}
	return 0;
}

static int
start_current(struct journal *j, struct segment *seg)
{
	struct seg_head head;

	memset(&head, 0, sizeof head);
	head.magic = JOURNAL_MAGIC;
	head.seq = seg->seq;
	seg->nonce = arc4random() | 1; /* 0 is none */
	head.nonce = seg->nonce;
	head.crc = crc32c(0, &head, offsetof(struct seg_head, crc));
	j->current = seg;
	j->buf.len = 0;
	j->buf_off = 0;
	j->index.len = 0;
	j->dirty = true;
	j->dir_dirty = true;
	if (put_raw(j, &head, sizeof head) == -1 || put_voids(j) == -1) {
		journal_fail(j, ENOMEM);
		return -1;
	}
	seg->end = (uint32_t)j->buf.len;
	return 0;
}

uint32_t
segment_least(const struct journal *j)
{
	return j->segment / PART;
}

int
segment_begin(struct journal *j, uint32_t least)
{
	struct segment *seg;
	uint32_t seq, room;
	int fd;

	seq = ++j->last_seq; /* the name is used up, whatever follows */
	fd = open_file(j, seq, least, &room);
	if (fd == -1)
		return -1;
	if (j->current != NULL && seal(j) == -1) {
		discard_file(j, seq, fd);
		return -1;
	}
	seg = journal_adopt(j, seq, fd);
	if (seg == NULL) {
		discard_file(j, seq, fd);
		journal_fail(j, ENOMEM);
		return -1;
	}
	seg->room = room;
	if (start_current(j, seg) == -1)
		return -1;
	if (room < segment_least(j))
		journal_trouble(j, ENOSPC);
	return 0;
}

bool
segment_spares(const struct journal *j, const struct journal_rec *rec)
{
	return rec->type == j->once && !rec->urgent;
}

bool
segment_has_room(const struct journal *j, const struct journal_rec *rec,
    uint32_t size)
{
	uint32_t limit;

	limit = j->current->room;
	if (segment_spares(j, rec))
		limit = limit < segment_least(j) ? 0 : limit - limit / RESERVE;
	return size <= limit && j->current->end <= limit - size;
}

uint32_t
journal_room(const struct journal *j)
{
	if (j->current == NULL || j->current->end >= j->current->room)
		return 0;
	return j->current->room - j->current->end;
}

void
journal_seal(struct journal *j)
{
	if (j->current == NULL || j->dirty || j->syncing || j->error != 0)
		return;
	(void)seal(j);
	j->current = NULL; /* no more is written to it */
}

/* Only once the folder is synced: until then a crash may bring the old name
 * back, for a file that already holds something else. */
void
segment_reuse(struct journal *j, const struct segment *seg)
{
	char name[JOURNAL_NAME_SIZE];

	if (!seg->spare)
		return;
	if (j->spare_count < JOURNAL_SPARES) {
		j->spares[j->spare_count++] = seg->seq;
		return;
	}
	spare_name(seg->seq, name);
	(void)j->disk->unlinkat(j->disk->arg, j->dirfd, name);
}

int
journal_delete(struct journal *j, struct segment *seg)
{
	char name[JOURNAL_NAME_SIZE], spare[JOURNAL_NAME_SIZE];
	struct stat st;

	journal_name(seg->seq, name);
	spare_name(seg->seq, spare);
	if (!seg->sick && j->error == 0 && j->spare_count < JOURNAL_SPARES &&
	    fstat(seg->fd, &st) == 0 &&
	    st.st_size >= (int64_t)j->segment / 4 * 3 &&
	    j->disk->renameat(j->disk->arg, j->dirfd, name, spare) == 0)
		seg->spare = true;
	else if (j->disk->unlinkat(j->disk->arg, j->dirfd, name) == -1 &&
	    errno != ENOENT)
		return -1;
	(void)close(seg->fd);
	seg->fd = -1;
	seg->dead = true;
	seg->dirty = false;
	j->dir_dirty = true;
	j->dirty = true;
	return 0;
}
