/* The journal as a reader sees it: records by position, whole segments. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "queue/crc.h"
#include "queue/journal_state.h"

static struct segment *
look_up(const struct journal *j, uint32_t seq)
{
	size_t low, high, mid;

	low = 0;
	high = j->count;
	while (low < high) {
		mid = low + (high - low) / 2;
		if (j->segs[mid]->seq < seq)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == j->count || j->segs[low]->seq != seq)
		return NULL;
	return j->segs[low];
}

struct segment *
journal_segment(const struct journal *j, uint32_t seq)
{
	struct segment *seg;

	seg = look_up(j, seq);
	return seg == NULL || seg->dead ? NULL : seg;
}

bool
journal_holds(const struct journal *j, uint32_t seq)
{
	return look_up(j, seq) != NULL;
}

size_t
journal_segments(const struct journal *j)
{
	return j->count;
}

struct segment *
journal_segment_at(const struct journal *j, size_t n)
{
	return j->segs[n];
}

bool
journal_is_current(const struct journal *j, const struct segment *seg)
{
	return seg == j->current;
}

uint64_t
journal_bytes(const struct journal *j)
{
	uint64_t bytes;
	size_t i;

	bytes = 0;
	for (i = 0; i < j->count; i++)
		bytes += (uint64_t)j->segs[i]->end + j->segs[i]->index_len;
	return bytes;
}

uint32_t
journal_size(const struct journal *j)
{
	return j->segment;
}

int
segment_read(const struct segment *seg, void *to, size_t len, uint32_t off)
{
	ssize_t n;
	char *at;

	for (at = to; len > 0; at += n, off += (uint32_t)n, len -= (size_t)n) {
		n = pread(seg->fd, at, len, off);
		if (n == -1 && errno == EINTR)
			n = 0;
		else if (n <= 0) {
			if (n == 0)
				errno = EBADMSG;
			return -1;
		}
	}
	return 0;
}

/* Bytes of a segment, whether written out or not. */
static int
read_at(struct journal *j, const struct segment *seg, size_t len, uint32_t off)
{
	j->scratch.len = 0;
	if (bytes_reserve(&j->scratch, len) == -1)
		return -1;
	if (seg == j->current && off >= j->buf_off) {
		memcpy(j->scratch.mem, j->buf.mem + (off - j->buf_off), len);
		return 0;
	}
	return segment_read(seg, j->scratch.mem, len, off);
}

static int
read_head(struct journal *j, const struct segment *seg, uint32_t off,
    struct rec_head *head)
{
	if (off < sizeof(struct seg_head) || off > seg->end ||
	    seg->end - off < sizeof *head) {
		errno = EBADMSG;
		return -1;
	}
	if (read_at(j, seg, sizeof *head, off) == -1)
		return -1;
	memcpy(head, j->scratch.mem, sizeof *head);
	if (head->nonce == seg->nonce && head->len <= seg->end - off &&
	    record_size(head->len) <= seg->end - off &&
	    head->brief_len <= head->len &&
	    head->text_len <= head->len - head->brief_len)
		return 0;
	errno = EBADMSG;
	return -1;
}

static void
set_parts(struct journal *j, const struct rec_head *head,
    struct journal_rec *rec)
{
	memset(rec, 0, sizeof *rec);
	rec->type = head->type;
	rec->id = head->id;
	rec->brief = j->scratch.mem + sizeof *head;
	rec->brief_len = head->brief_len;
	rec->text = j->scratch.mem + sizeof *head + head->brief_len;
	rec->text_len = head->text_len;
	rec->body_fd = -1;
	rec->body = (const char *)rec->text + head->text_len;
	rec->body_len = head->len - head->brief_len - head->text_len;
}

static struct segment *
find_segment(struct journal *j, uint64_t pos)
{
	struct segment *seg;

	seg = journal_segment(j, JOURNAL_SEQ(pos));
	if (seg == NULL)
		errno = ENOENT;
	return seg;
}

int
journal_load(struct journal *j, uint64_t pos, struct journal_rec *rec)
{
	struct segment *seg;
	struct rec_head head;

	seg = find_segment(j, pos);
	if (seg == NULL || read_head(j, seg, JOURNAL_OFF(pos), &head) == -1 ||
	    read_at(j, seg, sizeof head + head.len, JOURNAL_OFF(pos)) == -1)
		return -1;
	if (crc32c(0, j->scratch.mem + sizeof head.crc,
		sizeof head - sizeof head.crc + head.len) != head.crc) {
		errno = EBADMSG;
		return -1;
	}
	set_parts(j, &head, rec);
	return 0;
}

#define TEXT_GUESS 1024 /* bytes: head, brief and text of most records */

int
journal_load_text(struct journal *j, uint64_t pos, struct journal_rec *rec)
{
	struct segment *seg;
	struct rec_head head;
	size_t len, got;

	seg = find_segment(j, pos);
	if (seg == NULL)
		return -1;
	/* One system call will mostly do. */
	got = 0;
	if (JOURNAL_OFF(pos) < seg->end) {
		got = seg->end - JOURNAL_OFF(pos);
		if (got > TEXT_GUESS)
			got = TEXT_GUESS;
		if (seg == j->current && JOURNAL_OFF(pos) < j->buf_off &&
		    j->buf_off - JOURNAL_OFF(pos) < got)
			got = j->buf_off - JOURNAL_OFF(pos);
	}
	if (got >= sizeof head && read_at(j, seg, got, JOURNAL_OFF(pos)) == 0) {
		memcpy(&head, j->scratch.mem, sizeof head);
		len = sizeof head + (size_t)head.brief_len + head.text_len;
		if (head.nonce == seg->nonce && len <= got &&
		    len <= sizeof head + (size_t)head.len) {
			set_parts(j, &head, rec);
			return 0;
		}
	}
	if (read_head(j, seg, JOURNAL_OFF(pos), &head) == -1 ||
	    read_at(j, seg, sizeof head + head.brief_len + head.text_len,
		JOURNAL_OFF(pos)) == -1)
		return -1;
	set_parts(j, &head, rec);
	return 0;
}
