#include "queue/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/crc.h"
#include "queue/journal_state.h"

#define BLOCK 4096U /* bytes that a disk fails to give at once */

/* A whole and good record at "off"? Its size, or 0. */
static uint32_t
good_record(uint32_t nonce, const char *mem, uint32_t len, uint32_t off,
    struct rec_head *head)
{
	uint32_t size;

	if (len - off < sizeof *head)
		return 0;
	memcpy(head, mem + off, sizeof *head);
	if (head->nonce != nonce || head->len > len - off - sizeof *head ||
	    head->brief_len > head->len ||
	    head->text_len > head->len - head->brief_len)
		return 0;
	size = record_size(head->len);
	if (size > len - off ||
	    crc32c(0, mem + off + sizeof head->crc,
		sizeof *head - sizeof head->crc + head->len) != head->crc)
		return 0;
	return size;
}

static void
give_record(struct scan *s, const struct rec_head *head, uint32_t off,
    uint32_t size)
{
	struct seg_entry entry;

	if (s->each == NULL || head->type < REC_FIRST)
		return;
	entry.id = head->id;
	entry.off = off;
	entry.len = size;
	entry.type = head->type;
	entry.brief_len = head->brief_len;
	s->each(s->arg, &entry, s->mem + off + sizeof *head,
	    JOURNAL_POS(s->seg->seq, off));
}

void
scan_records(struct scan *s)
{
	struct rec_head head;
	uint32_t off, size;

	off = sizeof(struct seg_head);
	s->end = off;
	while (off < s->len) {
		size = good_record(s->seg->nonce, s->mem, s->len, off, &head);
		if (size == 0) {
			off += 8;
			continue;
		}
		if (off > s->end && s->damaged != NULL)
			s->damaged(s->arg, s->mem, s->end, off);
		give_record(s, &head, off, size);
		off += size;
		s->end = off;
	}
}

uint32_t
scan_nonce(const char *mem, uint32_t len)
{
	struct rec_head head;
	uint64_t budget;
	uint32_t off;

	/* What is in a mail may look like many large records. */
	budget = (uint64_t)len * 4;
	for (off = sizeof(struct seg_head);
	     off < len && len - off >= sizeof head; off += 8) {
		memcpy(&head, mem + off, sizeof head);
		if (head.nonce == 0 || head.type == REC_NONE ||
		    head.type >= REC_END || head.len > len - off ||
		    head.len > budget)
			continue;
		budget -= head.len;
		if (good_record(head.nonce, mem, len, off, &head) > 0)
			return head.nonce;
	}
	return 0;
}

char *
scan_read(const struct segment *seg, uint32_t len, uint32_t *bad)
{
	uint32_t off, most;
	char *mem;

	mem = malloc(len == 0 ? 1 : len);
	if (bad != NULL)
		*bad = 0;
	if (mem == NULL || segment_read(seg, mem, len, 0) == 0)
		return mem;
	if (bad == NULL || errno != EIO) {
		free(mem);
		return NULL;
	}
	for (off = 0; off < len; off += most) {
		most = len - off < BLOCK ? len - off : BLOCK;
		if (segment_read(seg, mem + off, most, off) == 0)
			continue;
		memset(mem + off, 0, most);
		*bad += most;
	}
	return mem;
}
