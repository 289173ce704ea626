/*
 * Which segments go. One whose messages are all done, or nearly so, is read
 * as a restart would; what still counts is written anew at the journal's end,
 * and when that is durable the segment is deleted. What still counts:
 *
 * - messages that live in it, and their recipients' states and attempts;
 * - attempts of messages that live elsewhere;
 * - `done` of messages whose record is still in another segment.
 *
 * Nothing in a segment points into another one without this being carried
 * forward, so segments may go in any order.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/spool_state.h"

#define COMPACT_SHARE 3 /* a segment of which less than 1/3 lives is moved */
#define COMPACT_SLACK 4 /* ... once so many segments' room is wasted */

/* May a segment other than "but" hold older copies of moved messages? */
static bool
copies_may_exist(const struct spool *sp, const struct segment *but)
{
	struct segment *seg;
	size_t i;

	for (i = 0; i < journal_segments(sp->journal); i++) {
		seg = journal_segment_at(sp->journal, i);
		if (seg != but && (seg->stale || seg->dead))
			return true;
	}
	return false;
}

bool
spool_keep(void *arg, const struct seg_entry *entry, const void *brief,
    uint64_t pos)
{
	struct brief_done done;
	struct message *m;
	struct spool *sp;

	sp = arg;
	m = index_find(&sp->index, entry->id);
	switch (entry->type) {
	case REC_MESSAGE:
		return m != NULL && m->where == pos;
	case REC_OUTCOME:
	case REC_STATE:
	case REC_WARNED:
		return m != NULL;
	case REC_DONE:
		/* Left out along with its message if that was in this very
		 * segment. */
		return m == NULL &&
		    record_done(brief, entry->brief_len, &done) == 0 &&
		    (done.seq != JOURNAL_SEQ(pos) || sp->compact.seq != 0 ||
			copies_may_exist(sp, NULL));
	default:
		return true;
	}
}

struct move {
	struct spool *sp;
	struct segment *seg;
	bool copies; /* others may hold copies of what is in this segment */
	bool failed;
};

static void
copy_warned(struct spool *sp, uint64_t id)
{
	struct journal_rec rec;
	uint64_t pos;

	memset(&rec, 0, sizeof rec);
	rec.type = REC_WARNED;
	rec.id = id;
	rec.body_fd = -1;
	(void)journal_append(sp->journal, &rec, &pos);
}

/* The state of a recipient as a record of its own, all its attempts in it. */
static void
copy_rcpt(struct move *mv, struct message *m, struct rcpt *r)
{
	struct brief_rcpt brief;
	struct journal_rec rec;
	uint64_t pos;
	uint32_t len;
	char *text;

	memset(&brief, 0, sizeof brief);
	memset(&rec, 0, sizeof rec);
	brief.rcpt = r->number;
	brief.state = (uint8_t)spool_standing(r);
	brief.flags = spool_flags(r);
	brief.attempts = r->attempts;
	if (r->state == RCPT_DEFERRED)
		brief.next_ms = index_due(r);
	len = 0;
	text = spool_attempts(mv->sp, r->last, &len);
	rec.type = text == NULL ? REC_STATE : REC_OUTCOME;
	rec.id = m->id;
	rec.brief = &brief;
	rec.brief_len = sizeof brief;
	rec.text = text;
	rec.text_len = len;
	rec.body_fd = -1;
	(void)journal_append(mv->sp->journal, &rec, &pos);
	if (text != NULL && pos != 0)
		r->last = pos;
	free(text);
}

static int
remember_copy(struct spool *sp, uint64_t id, uint64_t from)
{
	struct compaction *c;
	struct copied *grown;
	size_t room;

	c = &sp->compact;
	if (c->count == c->room) {
		room = c->room == 0 ? 64 : c->room * 2;
		grown = reallocarray(c->copies, room, sizeof *grown);
		if (grown == NULL)
			return -1;
		c->copies = grown;
		c->room = room;
	}
	c->copies[c->count].id = id;
	c->copies[c->count].from = from;
	c->count++;
	return 0;
}

static void
move_message(struct move *mv, struct message *m)
{
	struct journal_rec rec;
	struct spool *sp;
	uint64_t pos;
	uint32_t len;
	uint16_t i;
	char *copy;

	sp = mv->sp;
	if (journal_load(sp->journal, m->where, &rec) == -1) {
		if (errno == EBADMSG)
			spool_damaged(sp, m);
		else
			mv->failed = true;
		return;
	}
	len = rec.brief_len + rec.text_len + rec.body_len;
	copy = malloc(len == 0 ? 1 : len);
	if (copy == NULL) {
		mv->failed = true;
		return;
	}
	memcpy(copy, rec.brief, len);
	rec.brief = copy;
	rec.text = copy + rec.brief_len;
	rec.body = copy + rec.brief_len + rec.text_len;
	if (remember_copy(sp, m->id, m->where) == -1 ||
	    journal_append(sp->journal, &rec, &pos) == -1 || sp->compact.lost) {
		mv->failed = true;
		free(copy);
		return;
	}
	free(copy);
	spool_account(sp, m, -1);
	m->where = pos;
	spool_account(sp, m, 1);
	for (i = 0; i < m->count; i++)
		if (m->rcpts[i].attempts > 0 || m->rcpts[i].last != 0 ||
		    m->rcpts[i].order != EVENT_NONE ||
		    m->rcpts[i].state == RCPT_HELD ||
		    m->rcpts[i].state == RCPT_DONE)
			copy_rcpt(mv, m, &m->rcpts[i]);
	if ((m->flags & MESSAGE_WARNED) != 0)
		copy_warned(sp, m->id);
}

static void
move_rcpt(struct move *mv, struct message *m, const void *brief, uint32_t len)
{
	struct brief_rcpt b;

	/* A message in this segment was, or will be, moved as a whole. */
	if (m == NULL || JOURNAL_SEQ(m->where) == mv->seg->seq ||
	    record_rcpt(brief, len, &b) == -1 || b.rcpt >= m->count)
		return;
	copy_rcpt(mv, m, &m->rcpts[b.rcpt]);
}

static void
move_done(struct move *mv, uint64_t id, const void *brief, uint32_t len)
{
	struct brief_done b;
	struct journal_rec rec;
	uint64_t pos;

	if (index_find(&mv->sp->index, id) != NULL ||
	    record_done(brief, len, &b) == -1)
		return;
	if (!mv->copies &&
	    (b.seq == mv->seg->seq || !journal_holds(mv->sp->journal, b.seq)))
		return;
	memset(&rec, 0, sizeof rec);
	rec.type = REC_DONE;
	rec.id = id;
	rec.brief = brief;
	rec.brief_len = len;
	rec.body_fd = -1;
	(void)journal_append(mv->sp->journal, &rec, &pos);
}

static void
move_record(void *arg, const struct seg_entry *entry, const void *brief,
    uint64_t pos)
{
	struct message *m;
	struct move *mv;

	mv = arg;
	if (mv->failed || mv->sp->compact.lost)
		return;
	m = index_find(&mv->sp->index, entry->id);
	switch (entry->type) {
	case REC_MESSAGE:
		if (m != NULL && m->where == pos)
			move_message(mv, m);
		break;
	case REC_OUTCOME:
	case REC_STATE:
		move_rcpt(mv, m, brief, entry->brief_len);
		break;
	case REC_WARNED:
		if (m != NULL && JOURNAL_SEQ(m->where) != mv->seg->seq)
			copy_warned(mv->sp, m->id);
		break;
	case REC_DONE:
		move_done(mv, entry->id, brief, entry->brief_len);
		break;
	default:
		break;
	}
}

/* The segment that costs least to be rid of; NULL: none is worth it. */
static struct segment *
choose(const struct spool *sp)
{
	struct segment *seg, *best;
	uint64_t all, live;
	bool failing;
	size_t i;

	/* While there is no room, a segment in which nothing lives goes
	 * first. */
	failing = journal_error(sp->journal) != 0;
	best = NULL;
	all = live = 0;
	for (i = 0; i < journal_segments(sp->journal); i++) {
		seg = journal_segment_at(sp->journal, i);
		all += seg->end;
		live += seg->live_bytes;
		if (seg->dead || seg->dirty || seg->syncing || seg->kept ||
		    journal_is_current(sp->journal, seg) ||
		    (failing && (seg->live > 0 || seg->tight)))
			continue;
		if (seg->stale)
			return seg;
		if (seg->live_bytes * COMPACT_SHARE <= seg->end &&
		    (best == NULL || seg->live_bytes < best->live_bytes))
			best = seg;
	}
	if (best != NULL && best->live > 0 &&
	    all <
		2 * live + (uint64_t)COMPACT_SLACK * journal_size(sp->journal))
		return NULL;
	return best;
}

static bool
awaits_report(const struct spool *sp)
{
	const struct pending *p;

	TAILQ_FOREACH(p, &sp->pending, link)
		if (p->is_report)
			return true;
	return false;
}

/*
 * Until when has the segment to stay, now that what counts was written anew?
 * If nothing did, and no report waits that tells of it: no longer. On a disk
 * that has no room even for `done`, this makes some.
 */
static uint64_t
outlived(const struct spool *sp, const struct move *mv, uint64_t before)
{
	uint64_t mark;

	mark = journal_mark(sp->journal);
	if (journal_error(sp->journal) != 0 && mark == before && !mv->copies &&
	    !awaits_report(sp))
		return 0;
	return mark;
}

bool
spool_tidy(struct spool *sp, int64_t now_ms)
{
	struct compaction *c;
	struct segment *seg;
	struct move mv;
	uint64_t before;

	sp->now_ms = now_ms;
	c = &sp->compact;
	if (c->seq != 0 || c->count > 0)
		return false;
	seg = choose(sp);
	if (seg == NULL)
		return false;
	mv.sp = sp;
	mv.seg = seg;
	mv.copies = copies_may_exist(sp, seg);
	mv.failed = false;
	c->seq = seg->seq;
	c->lost = false;
	before = journal_mark(sp->journal);
	if (journal_replay(sp->journal, seg, move_record, &mv) == -1 ||
	    mv.failed || c->lost || seg->live > 0) {
		/* Not all could be copied. What was, lives in its new place;
		 * for the rest the segment stays, until there is room or until
		 * the next start. */
		seg->stale = !c->lost;
		seg->kept = !c->lost && journal_error(sp->journal) == 0;
		c->seq = 0;
	}
	c->mark = outlived(sp, &mv, before);
	/* No sync is in sight that this one could wait for; others may go. */
	if (c->mark != 0 && journal_backlog(sp->journal) > 0 && c->count == 0) {
		seg->tight = true;
		c->seq = 0;
	}
	compact_synced(sp);
	return c->seq == 0 && c->count == 0;
}

void
compact_synced(struct spool *sp)
{
	struct compaction *c;
	struct segment *seg;

	c = &sp->compact;
	if ((c->seq == 0 && c->count == 0) ||
	    c->mark > journal_synced_mark(sp->journal))
		return;
	seg = journal_segment(sp->journal, c->seq);
	c->seq = 0;
	c->count = 0;
	/* If it cannot be deleted, a restart finds the older copies there. */
	if (seg != NULL && journal_delete(sp->journal, seg) == -1)
		seg->kept = seg->stale = true;
}

/* The copies were lost with their group: the messages are still where they were
 * before. */
void
compact_failed(struct spool *sp)
{
	struct compaction *c;
	struct message *m;

	c = &sp->compact;
	for (; c->count > 0; c->count--) {
		m = index_find(&sp->index, c->copies[c->count - 1].id);
		if (m == NULL)
			continue;
		spool_account(sp, m, -1);
		m->where = c->copies[c->count - 1].from;
		spool_account(sp, m, 1);
	}
	c->seq = 0;
	c->lost = true;
}
