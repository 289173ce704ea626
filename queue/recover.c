#include "queue/recover.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/crc.h"
#include "queue/journal_state.h"
#include "queue/scan.h"

#define RECOVER_VOIDS 256 /* lost groups whose segments exist */

struct recover {
	struct journal *j;
	const struct recover_hooks *hooks;
	struct rec_void voids[RECOVER_VOIDS];
	size_t void_count;
	bool gap; /* something is missing before what is read now */
};

__attribute__((format(printf, 2, 3))) static void
tell(const struct recover_hooks *hooks, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	hooks->trouble(hooks->arg, text);
}

/* ---- the index ---- */

static char *
read_index(const struct segment *seg, uint32_t crc)
{
	char *mem;

	mem = malloc(seg->index_len == 0 ? 1 : seg->index_len);
	if (mem != NULL &&
	    (segment_read(seg, mem, seg->index_len, seg->end) == -1 ||
		crc32c(0, mem, seg->index_len) != crc)) {
		free(mem);
		mem = NULL;
	}
	return mem;
}

static void
each_entry(const struct segment *seg, const char *mem, uint32_t len,
    void (*each)(void *arg, const struct seg_entry *, const void *brief,
	uint64_t pos),
    void *arg)
{
	struct seg_entry entry;
	uint32_t at;

	for (at = 0; len - at >= sizeof entry;
	     at += (uint32_t)(sizeof entry + entry.brief_len + 7) & ~7U) {
		memcpy(&entry, mem + at, sizeof entry);
		if (entry.brief_len > len - at - sizeof entry)
			return;
		if (entry.off < seg->end && entry.type >= REC_FIRST)
			each(arg, &entry, mem + at + sizeof entry,
			    JOURNAL_POS(seg->seq, entry.off));
	}
}

static int
read_tail(const struct segment *seg, int64_t size, struct seg_tail *tail)
{
	if (size < (int64_t)(sizeof(struct seg_head) + sizeof *tail) ||
	    size > UINT32_MAX ||
	    segment_read(seg, tail, sizeof *tail,
		(uint32_t)(size - (int64_t)sizeof *tail)) == -1 ||
	    tail->magic != JOURNAL_TAIL_MAGIC ||
	    tail->crc != crc32c(0, tail, offsetof(struct seg_tail, crc)) ||
	    (seg->nonce != 0 && tail->nonce != seg->nonce) ||
	    (int64_t)tail->index_off + tail->index_len +
		    (int64_t)sizeof *tail !=
		size)
		return -1;
	return 0;
}

int
journal_replay(struct journal *j, struct segment *seg,
    void (*each)(void *arg, const struct seg_entry *, const void *brief,
	uint64_t pos),
    void *arg)
{
	struct seg_tail tail;
	struct scan s;
	struct stat st;
	char *mem;

	(void)j;
	if (seg->sealed && fstat(seg->fd, &st) == 0 &&
	    read_tail(seg, st.st_size, &tail) == 0 &&
	    (mem = read_index(seg, tail.index_crc)) != NULL) {
		each_entry(seg, mem, tail.index_len, each, arg);
		free(mem);
		return 0;
	}
	memset(&s, 0, sizeof s);
	s.seg = seg;
	s.len = seg->end;
	s.mem = mem = scan_read(seg, s.len, NULL);
	if (mem == NULL)
		return -1;
	s.each = each;
	s.arg = arg;
	scan_records(&s);
	free(mem);
	return 0;
}

/* ---- a segment that was not sealed ---- */

struct mend {
	struct recover *r;
	struct segment *seg;
	struct bytes index;
	bool no_memory;
};

static void
index_entry(void *arg, const struct seg_entry *entry, const void *brief,
    uint64_t pos)
{
	struct mend *m;
	size_t len;
	char *at;

	(void)pos;
	m = arg;
	if (m->r->gap &&
	    !m->r->hooks->trust(m->r->hooks->arg, entry->type, brief,
		entry->brief_len))
		return;
	len = (sizeof *entry + entry->brief_len + 7) & ~(size_t)7;
	if (bytes_reserve(&m->index, len) == -1) {
		m->no_memory = true;
		return;
	}
	at = m->index.mem + m->index.len;
	memset(at, 0, len);
	memcpy(at, entry, sizeof *entry);
	if (entry->brief_len > 0)
		memcpy(at + sizeof *entry, brief, entry->brief_len);
	m->index.len += len;
}

static void
keep_damaged(void *arg, const char *mem, uint32_t from, uint32_t to)
{
	const struct disk *disk;
	struct mend *m;
	char name[64];
	int fd;

	m = arg;
	m->r->gap = true;
	disk = m->r->j->disk;
	(void)snprintf(name, sizeof name, "damaged/%08x-%08x", m->seg->seq,
	    from);
	fd = disk->openat(disk->arg, m->r->j->dirfd, name,
	    O_WRONLY | O_CREAT | O_TRUNC);
	tell(m->r->hooks,
	    "segment %08x is damaged at %u: %u bytes %s %s; a message may be"
	    " lost",
	    m->seg->seq, from, to - from,
	    fd == -1 ? "could not be kept in" : "are kept in", name);
	if (fd == -1)
		return;
	(void)disk->pwrite(disk->arg, fd, mem + from, to - from, 0);
	(void)disk->fsync(disk->arg, fd);
	(void)close(fd);
}

/* Find its end, cut it there, seal it. */
static void
mend_segment(struct recover *r, struct segment *seg, const char *mem,
    uint32_t len)
{
	const struct disk *disk = r->j->disk;
	struct mend m;
	struct scan s;

	memset(&m, 0, sizeof m);
	m.r = r;
	m.seg = seg;
	memset(&s, 0, sizeof s);
	s.seg = seg;
	s.len = len;
	s.mem = mem;
	s.arg = &m;
	s.each = index_entry;
	s.damaged = keep_damaged;
	scan_records(&s);
	seg->end = s.end;
	if (!m.no_memory && disk->fsync(disk->arg, seg->fd) == 0 &&
	    segment_seal(r->j, seg, &m.index) == 0)
		(void)disk->fsync(disk->arg, seg->fd);
	seg->synced = seg->end;
	free(m.index.mem);
}

/* Nothing is known of what is in it: it stays as it is. */
static void
leave_segment(struct recover *r, struct segment *seg)
{
	seg->kept = true;
	tell(r->hooks, "segment %08x cannot be read: %s; messages may be lost",
	    seg->seq, strerror(errno));
}

/* No record is in it. Was it ever written to? */
static void
clear_segment(struct recover *r, struct segment *seg, const char *mem,
    uint32_t len)
{
	const struct disk *disk = r->j->disk;
	char name[JOURNAL_NAME_SIZE], aside[64];

	if (len == 0 || (mem[0] == 0 && memcmp(mem, mem + 1, len - 1) == 0))
		return;
	journal_name(seg->seq, name);
	(void)snprintf(aside, sizeof aside, "damaged/%s", name);
	seg->kept = disk->renameat(disk->arg, r->j->dirfd, name, aside) == -1;
	tell(r->hooks, "%s is no segment: it %s %s; messages may be lost", name,
	    seg->kept ? "could not be moved to" : "was moved to", aside);
}

/* A segment that was not sealed, or of which more than that is wrong. */
static void
look_through(struct recover *r, struct segment *seg, uint32_t len)
{
	uint32_t bad;
	char *mem;

	mem = scan_read(seg, len, &bad);
	if (mem != NULL && seg->nonce == 0)
		seg->nonce = scan_nonce(mem, len);
	if (mem == NULL || (bad > 0 && seg->nonce == 0)) {
		if (mem != NULL)
			errno = EIO;
		leave_segment(r, seg);
	} else if (seg->nonce == 0)
		clear_segment(r, seg, mem, len);
	else {
		if (bad > 0)
			tell(r->hooks,
			    "segment %08x: %u bytes cannot be read; messages"
			    " may be lost",
			    seg->seq, bad);
		mend_segment(r, seg, mem, len);
	}
	free(mem);
}

/* What its head says. False: the file was to be used again, and was not. */
static bool
read_nonce(struct segment *seg)
{
	struct seg_head head;

	if (segment_read(seg, &head, sizeof head, 0) == -1 ||
	    head.magic != JOURNAL_MAGIC ||
	    head.crc != crc32c(0, &head, offsetof(struct seg_head, crc)))
		return true;
	seg->nonce = head.nonce;
	return head.seq == seg->seq;
}

/* Returns whether it was sealed when it was last written. */
static bool
open_segment(struct recover *r, struct segment *seg)
{
	struct seg_tail tail;
	struct stat st;
	bool has_head, whole;

	if (fstat(seg->fd, &st) == -1) {
		leave_segment(r, seg);
		return false;
	}
	if (!read_nonce(seg))
		return false;
	has_head = seg->nonce != 0;
	whole = read_tail(seg, st.st_size, &tail) == 0;
	if (whole) {
		seg->nonce = tail.nonce;
		seg->end = tail.index_off;
		seg->synced = seg->end;
		seg->index_len = tail.index_len;
		seg->sealed = true;
	} else
		look_through(r, seg,
		    st.st_size > UINT32_MAX - 7 ? UINT32_MAX - 7
						: (uint32_t)st.st_size);
	if (!has_head && seg->nonce != 0)
		tell(r->hooks, "the head of segment %08x is damaged", seg->seq);
	return whole;
}

/* ---- all of them ---- */

/* Remember a void once, though each segment begun since then repeats it, and
 * only if what it voids still exists. */
static void
add_void(struct recover *r, const struct rec_void *v)
{
	size_t i;

	for (i = 0; i < r->void_count; i++)
		if (memcmp(&r->voids[i], v, sizeof *v) == 0)
			return;
	for (i = 0; i < r->j->count; i++)
		if (r->j->segs[i]->seq >= v->seq &&
		    r->j->segs[i]->seq <= v->through)
			break;
	if (i < r->j->count && r->void_count < RECOVER_VOIDS)
		r->voids[r->void_count++] = *v;
}

static void
collect_voids(struct recover *r, struct segment *seg)
{
	struct journal_rec rec;
	struct rec_void v;
	uint64_t pos;

	pos = JOURNAL_POS(seg->seq, sizeof(struct seg_head));
	while (journal_load(r->j, pos, &rec) == 0 && rec.type == REC_VOID &&
	    rec.brief_len == sizeof v) {
		memcpy(&v, rec.brief, sizeof v);
		add_void(r, &v);
		pos += record_size(rec.brief_len);
	}
}

/* Cut off what is void; if that fails, new segments must go on saying it. */
static void
cut_void(struct recover *r, struct segment *seg, const struct rec_void *v)
{
	const struct disk *disk;
	struct journal *j;

	j = r->j;
	disk = j->disk;
	seg->synced = seg->end;
	seg->sealed = false;
	seg->index_len = 0;
	if (disk->ftruncate(disk->arg, seg->fd, seg->end) == 0 &&
	    disk->fsync(disk->arg, seg->fd) == 0)
		return;
	if (j->void_count < JOURNAL_VOIDS)
		j->voids[j->void_count++] = *v;
}

static void
apply_void(struct recover *r, const struct rec_void *v)
{
	struct segment *seg;
	size_t i;

	for (i = 0; i < r->j->count; i++) {
		seg = r->j->segs[i];
		if (seg->seq == v->seq && v->from < seg->end)
			seg->end = v->from;
		else if (seg->seq > v->seq && seg->seq <= v->through)
			seg->end = 0;
		else
			continue;
		cut_void(r, seg, v);
	}
}

static int
by_number(const void *a, const void *b)
{
	uint32_t x, y;

	x = *(const uint32_t *)a;
	y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static bool
parse_name(const char *name, const char *prefix, uint32_t *seq)
{
	char back[JOURNAL_NAME_SIZE];
	size_t len;

	len = strlen(prefix);
	if (strncmp(name, prefix, len) != 0)
		return false;
	*seq = (uint32_t)strtoul(name + len, NULL, 16);
	(void)snprintf(back, sizeof back, "%s%08x", prefix, *seq);
	return strcmp(name, back) == 0;
}

static void
adopt_spare(struct journal *j, uint32_t seq, const char *name)
{
	if (j->spare_count < JOURNAL_SPARES)
		j->spares[j->spare_count++] = seq;
	else
		(void)j->disk->unlinkat(j->disk->arg, j->dirfd, name);
	if (seq > j->last_seq)
		j->last_seq = seq;
}

/* Numbers of the segments, to free(3); spares are adopted at once. */
static int
list_segments(struct journal *j, uint32_t **seqs, size_t *count)
{
	struct dirent *entry;
	struct bytes list;
	uint32_t seq;
	DIR *dir;
	int fd, error;

	memset(&list, 0, sizeof list);
	fd = openat(j->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd == -1 ? NULL : fdopendir(fd);
	if (dir == NULL) {
		if (fd != -1)
			(void)close(fd);
		return -1;
	}
	for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0) {
		if (parse_name(entry->d_name, "spare-", &seq))
			adopt_spare(j, seq, entry->d_name);
		if (!parse_name(entry->d_name, "seg-", &seq))
			continue;
		if (bytes_reserve(&list, sizeof seq) == -1)
			break;
		memcpy(list.mem + list.len, &seq, sizeof seq);
		list.len += sizeof seq;
	}
	/* A segment left out could hold what says that messages are done:
	 * they would be sent again. */
	error = errno;
	(void)closedir(dir);
	if (error != 0) {
		free(list.mem);
		errno = error;
		return -1;
	}
	*count = list.len / sizeof seq;
	*seqs = (uint32_t *)(void *)list.mem;
	if (*count > 1)
		qsort(*seqs, *count, sizeof seq, by_number);
	return 0;
}

static int
adopt_segments(struct recover *r, const uint32_t *seqs, size_t count)
{
	char name[JOURNAL_NAME_SIZE];
	struct segment *seg;
	size_t i;
	int fd;

	for (i = 0; i < count; i++) {
		journal_name(seqs[i], name);
		fd = openat(r->j->dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (fd == -1 && (errno == EROFS || errno == EACCES))
			fd = openat(r->j->dirfd, name,
			    O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd == -1) {
			tell(r->hooks, "%s cannot be opened: %s", name,
			    strerror(errno));
			return -1;
		}
		seg = journal_adopt(r->j, seqs[i], fd);
		if (seg == NULL) {
			(void)close(fd);
			return -1;
		}
		/* The last group of one that was not sealed may be torn. */
		r->gap = !open_segment(r, seg);
	}
	return 0;
}

int
recover_journal(struct journal *j, const struct recover_hooks *hooks)
{
	struct recover *r;
	uint32_t *seqs;
	size_t count, i;
	int result;

	r = calloc(1, sizeof *r);
	if (r == NULL)
		return -1;
	r->j = j;
	r->hooks = hooks;
	result = list_segments(j, &seqs, &count);
	/* Are their names durable? See segment_reuse(). */
	if (j->spare_count > 0 && j->disk->fsync(j->disk->arg, j->dirfd) == -1)
		j->spare_count = 0;
	if (result == 0) {
		result = adopt_segments(r, seqs, count);
		free(seqs);
	}
	for (i = 0; result == 0 && i < j->count; i++)
		collect_voids(r, j->segs[i]);
	for (i = 0; i < r->void_count; i++)
		apply_void(r, &r->voids[i]);
	for (i = 0; result == 0 && i < j->count; i++)
		if (j->segs[i]->end > 0 &&
		    journal_replay(j, j->segs[i], hooks->each, hooks->arg) ==
			-1)
			leave_segment(r, j->segs[i]);
	free(r);
	return result;
}
