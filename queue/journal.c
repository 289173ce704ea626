#include "queue/journal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/crc.h"
#include "queue/journal_state.h"

#define BUF_MAX (1U << 20)  /* bytes gathered before they are written out */
#define LITTLE (128U << 10) /* bytes: room for results where there is no more */

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
    "the format on disk is little-endian");
static_assert(sizeof(struct rec_head) == 32, "no padding");
static_assert(sizeof(struct seg_head) % 8 == 0, "records are aligned");
static_assert(sizeof(struct rec_void) % 8 == 0, "records are aligned");

struct journal *
journal_new(int dirfd, const struct disk *disk, uint32_t segment, uint32_t once,
    const struct journal_hooks *hooks)
{
	struct journal *j;

	j = calloc(1, sizeof *j);
	if (j == NULL)
		return NULL;
	j->dirfd = dirfd;
	j->disk = disk;
	j->segment = segment;
	j->once = once;
	j->hooks = *hooks;
	return j;
}

void
journal_free(struct journal *j)
{
	size_t i;

	if (j == NULL)
		return;
	for (i = 0; i < j->count; i++) {
		if (j->segs[i]->fd != -1)
			(void)close(j->segs[i]->fd);
		free(j->segs[i]);
	}
	free(j->segs);
	free(j->buf.mem);
	free(j->index.mem);
	free(j->redo.mem);
	free(j->scratch.mem);
	free(j);
}

/* A restart must never read what is not known to be durable: declare the rest
 * of the segment void. */
static void
give_up_segment(struct journal *j, struct segment *seg)
{
	struct rec_void *v;

	/* No group has succeeded since the last void: extend that one. */
	v = j->void_count == j->voids_synced ? NULL
					     : &j->voids[j->void_count - 1];
	if (v != NULL && seg->synced == 0 && seg->seq > v->through)
		v->through = seg->seq;
	else if (j->void_count < JOURNAL_VOIDS) {
		v = &j->voids[j->void_count++];
		v->seq = seg->seq;
		v->from = seg->synced;
		v->through = seg->seq;
		v->reserved = 0;
	} else
		(void)j->disk->ftruncate(j->disk->arg, seg->fd, seg->synced);
	seg->sick = true;
	seg->end = seg->synced;
	seg->index_len = 0;
	seg->sealed = false;
	seg->dirty = false;
	seg->syncing = false;
}

void
journal_trouble(struct journal *j, int error)
{
	j->error = error;
	j->error_seq = j->current != NULL ? j->current->seq : j->last_seq;
	errno = error;
}

void
journal_fail(struct journal *j, int error)
{
	size_t i;

	for (i = 0; i < j->count; i++)
		if (j->segs[i]->dirty || j->segs[i]->syncing ||
		    j->segs[i] == j->current)
			give_up_segment(j, j->segs[i]);
	j->current = NULL;
	j->buf.len = 0;
	j->index.len = 0;
	journal_trouble(j, error);
	j->redo_left = j->redo_start;
	j->sync_lost = j->syncing;
	j->hooks.failed(j->hooks.arg, error);
	errno = error;
}

/* ---- append ---- */

static int
check_size(const struct journal *j, const struct journal_rec *rec)
{
	uint64_t len, most;

	len = (uint64_t)rec->brief_len + rec->text_len + rec->body_len;
	most = j->segment;
	if (segment_spares(j, rec))
		most -= most / RESERVE;
	most -= sizeof(struct seg_head) +
	    JOURNAL_VOIDS * (sizeof(struct rec_head) + sizeof(struct rec_void));
	if (len + sizeof(struct rec_head) + 8 <= most)
		return 0;
	errno = EFBIG;
	return -1;
}

/* Make sure that "size" bytes fit in the current segment. */
static int
make_room(struct journal *j, const struct journal_rec *rec, uint32_t size)
{
	uint32_t least;

	if (j->current != NULL && segment_has_room(j, rec, size))
		return j->buf.len > BUF_MAX ? segment_flush(j) : 0;
	least = segment_least(j);
	if (!segment_spares(j, rec) && size < least && LITTLE < least - size)
		least = size + LITTLE;
	if (segment_begin(j, least) == -1)
		return -1;
	if (segment_has_room(j, rec, size))
		return 0;
	errno = ENOSPC; /* the disk had no more for it */
	return -1;
}

static int
read_body(int fd, char *to, size_t len)
{
	ssize_t n;
	size_t have;

	for (have = 0; have < len; have += (size_t)n) {
		n = pread(fd, to + have, len - have, (off_t)have);
		if (n == -1 && errno == EINTR)
			n = 0;
		else if (n <= 0) {
			if (n == 0)
				errno = EINVAL; /* shorter than was said */
			return -1;
		}
	}
	return 0;
}

static int
put_index(struct journal *j, const struct journal_rec *rec, uint32_t size)
{
	struct seg_entry entry;
	size_t len;

	entry.id = rec->id;
	entry.off = j->current->end;
	entry.len = size;
	entry.type = rec->type;
	entry.brief_len = rec->brief_len;
	len = (sizeof entry + rec->brief_len + 7) & ~(size_t)7;
	if (bytes_reserve(&j->index, len) == -1)
		return -1;
	memset(j->index.mem + j->index.len, 0, len);
	memcpy(j->index.mem + j->index.len, &entry, sizeof entry);
	if (rec->brief_len > 0)
		memcpy(j->index.mem + j->index.len + sizeof entry, rec->brief,
		    rec->brief_len);
	j->index.len += len;
	return 0;
}

/* The record at the end of the buffer. */
static int
put_record(struct journal *j, const struct journal_rec *rec, uint64_t *pos)
{
	struct rec_head head;
	uint32_t size;
	char *at, *body;

	memset(&head, 0, sizeof head);
	head.nonce = j->current->nonce;
	head.len = rec->brief_len + rec->text_len + rec->body_len;
	head.brief_len = rec->brief_len;
	head.text_len = rec->text_len;
	head.type = rec->type;
	head.id = rec->id;
	size = record_size(head.len);
	if (bytes_reserve(&j->buf, size) == -1)
		return -1;
	at = j->buf.mem + j->buf.len;
	memset(at + size - 8, 0, 8);
	body = at + sizeof head;
	if (rec->brief_len > 0)
		memcpy(body, rec->brief, rec->brief_len);
	body += rec->brief_len;
	if (rec->text_len > 0)
		memcpy(body, rec->text, rec->text_len);
	body += rec->text_len;
	if (rec->body != NULL && rec->body_len > 0)
		memcpy(body, rec->body, rec->body_len);
	else if (read_body(rec->body_fd, body, rec->body_len) == -1)
		return -1;
	if (put_index(j, rec, size) == -1)
		return -1;
	memcpy(at, &head, sizeof head);
	head.crc = crc32c(0, at + sizeof head.crc,
	    sizeof head - sizeof head.crc + head.len);
	memcpy(at, &head.crc, sizeof head.crc);
	j->buf.len += size;
	*pos = JOURNAL_POS(j->current->seq, j->current->end);
	j->current->end += size;
	j->mark += size;
	j->dirty = true;
	return 0;
}

static bool
has_unwritten(const struct journal *j)
{
	return j->redo_left < j->redo.len;
}

/* Remember the record until it is durable; pos 0: it is not written yet. */
static int
keep_redo(struct journal *j, const struct journal_rec *rec, uint64_t pos)
{
	struct redo redo;
	char *at;

	memset(&redo, 0, sizeof redo);
	redo.pos = pos;
	redo.id = rec->id;
	redo.type = rec->type;
	redo.brief_len = rec->brief_len;
	redo.text_len = rec->text_len;
	redo.size =
	    (uint32_t)(sizeof redo + rec->brief_len + rec->text_len + 7) & ~7U;
	if (bytes_reserve(&j->redo, redo.size) == -1)
		return -1;
	/* It gets a mark of its own: only a sync after it was written makes it
	 * durable. */
	if (pos == 0)
		j->mark += redo.size;
	redo.mark = j->mark;
	at = j->redo.mem + j->redo.len;
	memcpy(at, &redo, sizeof redo);
	at += sizeof redo;
	if (rec->brief_len > 0)
		memcpy(at, rec->brief, rec->brief_len);
	if (rec->text_len > 0)
		memcpy(at + rec->brief_len, rec->text, rec->text_len);
	j->redo.len += redo.size;
	if (pos != 0)
		j->redo_left = j->redo.len;
	return 0;
}

static int
write_result(struct journal *j, const struct journal_rec *rec, uint64_t *pos)
{
	if (make_room(j, rec, record_size(rec->brief_len + rec->text_len)) ==
		0 &&
	    put_record(j, rec, pos) == 0)
		return 0;
	journal_trouble(j, errno);
	return -1;
}

void
journal_hold(struct journal *j, bool hold)
{
	j->held = hold;
}

/* Results keep their order: none goes past one that could not be written. */
static int
append_result(struct journal *j, const struct journal_rec *rec, uint64_t *pos)
{
	int error;

	*pos = 0;
	error = 0;
	if (j->held || has_unwritten(j) ||
	    (j->current == NULL && j->error != 0))
		error = j->error != 0 ? j->error : EAGAIN;
	else if (write_result(j, rec, pos) == -1)
		error = errno;
	if (keep_redo(j, rec, *pos) == -1 && error == 0)
		error = ENOMEM;
	if (error == 0)
		return 0;
	errno = error;
	return -1;
}

/* Write what was lost with its group, or never had room. */
static int
write_redo(struct journal *j)
{
	struct journal_rec rec;
	struct seg_entry entry;
	struct redo redo;
	uint64_t pos;
	char *at;

	while (has_unwritten(j) && !j->held) {
		at = j->redo.mem + j->redo_left;
		memcpy(&redo, at, sizeof redo);
		memset(&rec, 0, sizeof rec);
		rec.type = redo.type;
		rec.id = redo.id;
		rec.brief = at + sizeof redo;
		rec.brief_len = redo.brief_len;
		rec.text = at + sizeof redo + redo.brief_len;
		rec.text_len = redo.text_len;
		if (write_result(j, &rec, &pos) == -1)
			return -1;
		memset(&entry, 0, sizeof entry);
		entry.id = redo.id;
		entry.type = redo.type;
		entry.brief_len = redo.brief_len;
		j->hooks.moved(j->hooks.arg, &entry, rec.brief, redo.pos, pos);
		redo.mark = j->mark;
		redo.pos = pos;
		memcpy(at, &redo, sizeof redo);
		j->redo_left += redo.size;
	}
	return 0;
}

/* After a failure: a new segment, void records, then the results. */
static int
revive(struct journal *j)
{
	if ((!has_unwritten(j) || (j->held && j->current == NULL)) &&
	    segment_begin(j, segment_least(j)) == -1) {
		journal_trouble(j, errno);
		return -1;
	}
	return write_redo(j);
}

/* Is the current segment from before the trouble? */
static bool
is_of_old(const struct journal *j)
{
	return j->current->seq <= j->error_seq;
}

/* Results to write, a lost group to declare void, trouble to look into? */
static bool
must_revive(const struct journal *j)
{
	if (j->error != 0 && (j->current == NULL || is_of_old(j)))
		return true;
	if (j->current == NULL && j->void_count > 0)
		return true;
	return has_unwritten(j) && !j->held;
}

int
journal_append(struct journal *j, const struct journal_rec *rec, uint64_t *pos)
{
	uint32_t size;

	if (check_size(j, rec) == -1)
		return -1;
	if (rec->type != j->once)
		return append_result(j, rec, pos);
	size = record_size(rec->brief_len + rec->text_len + rec->body_len);
	/* Until the trouble is over, small messages are refused as well as
	 * large ones. */
	if (must_revive(j) && revive(j) == -1 && !rec->urgent)
		return -1;
	if (make_room(j, rec, size) == -1) {
		journal_trouble(j, errno);
		return -1;
	}
	return put_record(j, rec, pos);
}

int
journal_prepare(struct journal *j, uint32_t size)
{
	struct journal_rec rec;

	memset(&rec, 0, sizeof rec);
	rec.type = j->once;
	rec.body_len = size;
	if (check_size(j, &rec) == -1 || (must_revive(j) && revive(j) == -1))
		return -1;
	if (make_room(j, &rec, record_size(size)) == 0)
		return 0;
	journal_trouble(j, errno);
	return -1;
}

/* ---- group commit ---- */

uint64_t
journal_mark(const struct journal *j)
{
	return j->mark;
}

uint64_t
journal_synced_mark(const struct journal *j)
{
	return j->synced_mark;
}

bool
journal_is_dirty(const struct journal *j)
{
	return j->dirty || must_revive(j);
}

int
journal_error(const struct journal *j)
{
	return j->error;
}

static int
list_files(struct journal *j, int fds[JOURNAL_SYNC_FILES])
{
	struct segment *seg;
	size_t i;
	int count;

	count = 0;
	for (i = j->count; i > 0; i--) {
		seg = j->segs[i - 1];
		if (seg->dead)
			seg->dead_syncing = true;
		if (!seg->dirty)
			continue;
		seg->dirty = false;
		seg->syncing = true;
		seg->sync_end = seg->end;
		/* The current segment is first in the list. If others do not
		 * fit, no harm is done: their records were synced when they
		 * were sealed, only the index was not. */
		if (count < JOURNAL_SYNC_FILES - 1)
			fds[count++] = seg->fd;
	}
	if (j->dir_dirty)
		fds[count++] = j->dirfd;
	j->dir_dirty = false;
	return count;
}

size_t
journal_backlog(const struct journal *j)
{
	return j->redo.len - j->redo_left;
}

/* What was appended before the first that is not written. */
static uint64_t
written_mark(const struct journal *j)
{
	struct redo redo;

	if (!has_unwritten(j))
		return j->mark;
	memcpy(&redo, j->redo.mem + j->redo_left, sizeof redo);
	return redo.mark - 1;
}

int
journal_sync_begin(struct journal *j, int fds[JOURNAL_SYNC_FILES], int *count)
{
	if (j->syncing || !journal_is_dirty(j))
		return 0;
	if (must_revive(j) && revive(j) == -1 &&
	    (j->current == NULL || !j->dirty))
		return -1;
	if (j->current != NULL && segment_flush(j) == -1)
		return -1;
	*count = list_files(j, fds);
	j->syncing = true;
	j->sync_lost = false;
	j->sync_mark = written_mark(j);
	j->dirty = false;
	return 1;
}

/* The folder is synced: what was deleted is gone. */
static void
drop_dead(struct journal *j)
{
	size_t from, to;

	for (from = to = 0; from < j->count; from++) {
		if (j->segs[from]->dead_syncing) {
			segment_reuse(j, j->segs[from]);
			free(j->segs[from]);
		} else
			j->segs[to++] = j->segs[from];
	}
	j->count = to;
}

/* A void is written into every new segment while what it voids exists. */
static void
drop_voids(struct journal *j)
{
	const struct rec_void *v;
	size_t from, to, i;

	for (from = to = 0; from < j->void_count; from++) {
		v = &j->voids[from];
		for (i = 0; i < j->count; i++)
			if (j->segs[i]->seq >= v->seq &&
			    j->segs[i]->seq <= v->through)
				break;
		if (i < j->count)
			j->voids[to++] = *v;
	}
	j->void_count = to;
	j->voids_synced = to;
}

static void
drop_redo(struct journal *j)
{
	struct redo redo;

	while (j->redo_start < j->redo_left) {
		memcpy(&redo, j->redo.mem + j->redo_start, sizeof redo);
		if (redo.mark > j->synced_mark)
			break;
		j->redo_start += redo.size;
	}
	if (j->redo_start == 0 || j->redo_start < j->redo.len / 2)
		return;
	j->redo.len -= j->redo_start;
	j->redo_left -= j->redo_start;
	memmove(j->redo.mem, j->redo.mem + j->redo_start, j->redo.len);
	j->redo_start = 0;
}

void
journal_synced(struct journal *j, int error)
{
	struct segment *seg;
	size_t i;

	if (!j->syncing)
		return;
	j->syncing = false;
	if (j->sync_lost)
		return;
	if (error != 0) {
		journal_fail(j, error);
		return;
	}
	for (i = 0; i < j->count; i++) {
		seg = j->segs[i];
		if (!seg->syncing)
			continue;
		seg->syncing = false;
		seg->synced = seg->sync_end;
	}
	j->synced_mark = j->sync_mark;
	drop_dead(j);
	drop_voids(j);
	drop_redo(j);
	if (j->current != NULL && !is_of_old(j) && !has_unwritten(j))
		j->error = 0;
}
