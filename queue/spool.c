#include "queue/spool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/crc.h"
#include "queue/spool_state.h"

#define FORETELL_JOBS 2 /* under way: more than that is load */

void
spool_tell(struct spool *sp, const char *fmt, ...)
{
	char text[320];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	sp->hooks.trouble(sp->hooks.arg, text);
}

void
spool_account(struct spool *sp, const struct message *m, int by)
{
	struct segment *seg;

	seg = journal_segment(sp->journal, JOURNAL_SEQ(m->where));
	if (seg == NULL)
		return;
	seg->live += (uint32_t)by;
	seg->live_bytes += (uint64_t)((int64_t)by * (int64_t)m->record_size);
}

static void
close_body(struct spool *sp, struct message *m)
{
	if (m->body == -1)
		return;
	(void)close(m->body);
	m->body = -1;
	sp->bodies--;
}

static void
doom_large(struct spool *sp, uint64_t id)
{
	struct doomed *d;

	d = malloc(sizeof *d);
	if (d == NULL)
		return; /* the next start removes it */
	d->id = id;
	d->mark = journal_mark(sp->journal);
	TAILQ_INSERT_TAIL(&sp->doomed, d, link);
}

void
spool_finish(struct spool *sp, struct message *m)
{
	struct brief_done brief;
	struct journal_rec rec;
	uint64_t pos;

	memset(&brief, 0, sizeof brief);
	memset(&rec, 0, sizeof rec);
	brief.seq = JOURNAL_SEQ(m->where);
	brief.flags = (m->flags & MESSAGE_TOLD) != 0 ? DONE_TOLD : 0;
	rec.type = REC_DONE;
	rec.id = m->id;
	rec.brief = &brief;
	rec.brief_len = sizeof brief;
	rec.body_fd = -1;
	(void)journal_append(sp->journal, &rec, &pos);
	if ((m->flags & MESSAGE_LARGE) != 0)
		doom_large(sp, m->id);
	spool_account(sp, m, -1);
	close_body(sp, m);
	index_free(&sp->index, m);
}

uint8_t
spool_flags(const struct rcpt *r)
{
	uint8_t flags;

	flags = r->flags & (RCPT_TLS | RCPT_ENFORCE | RCPT_FINAL);
	return r->order == EVENT_BOUNCED ? flags | STATE_BOUNCE : flags;
}

enum rcpt_state
spool_standing(const struct rcpt *r)
{
	if (r->state != RCPT_SENDING)
		return (enum rcpt_state)r->state;
	if (r->order == EVENT_HOLD)
		return RCPT_HELD;
	return r->order == EVENT_REMOVE ? RCPT_DONE : RCPT_READY;
}

void
spool_note_rcpt(struct spool *sp, struct rcpt *r, enum rcpt_state state,
    int64_t next_ms, const struct spool_attempt *attempt)
{
	struct brief_rcpt brief;
	struct journal_rec rec;
	struct message *m;
	uint64_t pos;
	char *text;

	m = index_owner(r);
	memset(&brief, 0, sizeof brief);
	memset(&rec, 0, sizeof rec);
	brief.rcpt = r->number;
	brief.state = (uint8_t)state;
	brief.flags = spool_flags(r);
	if ((m->flags & MESSAGE_TOLD) != 0)
		brief.flags |= STATE_TOLD;
	brief.attempts = r->attempts;
	brief.next_ms = next_ms;
	brief.before = r->last;
	text = NULL;
	if (attempt != NULL &&
	    (text = malloc(record_attempt_size(attempt))) != NULL)
		rec.text_len = (uint32_t)record_attempt_put(attempt, text);
	rec.type = text != NULL ? REC_OUTCOME : REC_STATE;
	rec.id = m->id;
	rec.brief = &brief;
	rec.brief_len = sizeof brief;
	rec.text = text;
	rec.body_fd = -1;
	(void)journal_append(sp->journal, &rec, &pos);
	if (text != NULL && pos != 0)
		r->last = pos;
	free(text);
}

/* ---- append ---- */

struct message *
spool_message(struct spool *sp, uint64_t id, const void *brief, uint32_t len)
{
	struct brief_message b;
	struct message *m;
	char domain[256];
	uint32_t at, i;

	/* 0 is any to a filter; nothing would come after the last. */
	if (id == 0 || id == UINT64_MAX || record_message(brief, len, &b) == -1)
		return NULL;
	m = index_message(id, (uint16_t)b.rcpts);
	if (m == NULL)
		return NULL;
	m->arrived_us = b.arrived_us;
	m->size = b.size;
	m->sender_hash = b.sender_hash;
	m->uid = b.uid < 0 ? UINT32_MAX : (uint32_t)b.uid;
	if ((b.flags & BRIEF_LARGE) != 0)
		m->flags |= MESSAGE_LARGE;
	at = sizeof b;
	domain[0] = '\0';
	for (i = 0; i < b.rcpts; i++)
		if (record_domain(brief, len, &at, domain) == -1 ||
		    index_set_domain(&sp->index, m, (uint16_t)i, domain) ==
			-1) {
			index_free(&sp->index, m);
			return NULL;
		}
	return m;
}

/* Write the record of "p", whose message is in the index. */
static int
append_pending(struct spool *sp, struct pending *p, int body)
{
	struct journal_rec rec;

	memset(&rec, 0, sizeof rec);
	rec.type = REC_MESSAGE;
	rec.id = p->m->id;
	rec.brief = p->brief;
	rec.brief_len = p->brief_len;
	rec.text = p->text;
	rec.text_len = p->text_len;
	rec.body_fd = body;
	if (body != -1 && p->m->size > UINT32_MAX / 2) {
		errno = EFBIG;
		return -1;
	}
	rec.body_len = body == -1 ? 0 : (uint32_t)p->m->size;
	rec.urgent = p->is_report;
	if (journal_append(sp->journal, &rec, &p->m->where) == -1)
		return -1;
	p->m->record_size = (uint32_t)sizeof(struct rec_head) + rec.brief_len +
	    rec.text_len + rec.body_len;
	p->mark = journal_mark(sp->journal);
	p->lost = false;
	spool_account(sp, p->m, 1);
	return 0;
}

static void
free_pending(struct pending *p)
{
	if (p == NULL)
		return;
	free(p->text);
	free(p->brief);
	free(p);
}

static void
drop_pending(struct spool *sp, struct pending *p)
{
	TAILQ_REMOVE(&sp->pending, p, link);
	if (!p->is_report)
		sp->awaited--;
	free_pending(p);
}

static struct pending *
make_pending(struct spool *sp, const struct envelope *env, int body)
{
	struct pending *p;
	size_t len;

	p = calloc(1, sizeof *p);
	if (p == NULL || envelope_encode(env, &p->text, &len) == -1 ||
	    len > UINT32_MAX / 2) {
		free_pending(p);
		return NULL;
	}
	p->text_len = (uint32_t)len;
	p->brief = record_brief(env, body == -1 ? BRIEF_LARGE : 0,
	    crc32c(0, p->text, len), &p->brief_len);
	p->m = p->brief == NULL
	    ? NULL
	    : spool_message(sp, env->id, p->brief, p->brief_len);
	if (p->m == NULL) {
		free_pending(p);
		errno = ENOMEM;
		return NULL;
	}
	p->m->flags |= MESSAGE_PENDING;
	return p;
}

/* While reports could not be written, results wait: a recipient that bounced is
 * done only if the report of it is in the journal. */
static void
miss_reports(struct spool *sp, bool missing)
{
	sp->missing = missing;
	journal_hold(sp->journal, missing);
}

/* Reports that could not be appended, or were lost with their group. */
static int
append_lost(struct spool *sp)
{
	struct pending *p;

	TAILQ_FOREACH(p, &sp->pending, link)
		if (p->lost && append_pending(sp, p, p->m->body) == -1)
			return -1;
	miss_reports(sp, false);
	return 0;
}

int
spool_put(struct spool *sp, const struct envelope *env, int body,
    bool is_report)
{
	struct pending *p;
	int error;

	if (env->rcpt_count == 0 || env->rcpt_count > ENVELOPE_RCPTS_MAX) {
		errno = EINVAL;
		return -1;
	}
	if (index_find(&sp->index, env->id) != NULL) {
		errno = EEXIST;
		return -1;
	}
	if (sp->missing && !is_report && append_lost(sp) == -1)
		return -1;
	p = make_pending(sp, env, body);
	if (p == NULL)
		return -1;
	p->is_report = is_report;
	if (append_pending(sp, p, body) == -1 &&
	    (!is_report || errno == EFBIG)) {
		error = errno;
		index_free(&sp->index, p->m);
		free_pending(p);
		errno = error;
		return -1;
	}
	p->lost = p->mark == 0;
	if (p->lost)
		miss_reports(sp, true);
	(void)index_add(&sp->index, p->m);
	p->m->body = body;
	if (body != -1)
		sp->bodies++;
	TAILQ_INSERT_TAIL(&sp->pending, p, link);
	if (!is_report) {
		sp->awaited++;
		free(p->text);
		free(p->brief);
		p->text = NULL;
		p->brief = NULL;
	}
	return 0;
}

int
spool_append(struct spool *sp, const struct envelope *env, int body,
    int64_t now_ms)
{
	sp->now_ms = now_ms;
	return spool_put(sp, env, body, false);
}

const char *
spool_foretell(struct spool *sp, uint64_t id, int64_t now_ms)
{
	const struct message *m;
	const struct dest *dest;

	/* Under load sessions are open, and time is better spent. */
	if (sp->job_count - sp->job_unproven >= FORETELL_JOBS)
		return NULL;
	m = index_find(&sp->index, id);
	if (m == NULL || (m->flags & MESSAGE_PENDING) == 0)
		return NULL;
	dest = m->rcpts[0].domain->dest;
	if (dest->limit.busy > 0 || limit_next(&dest->limit, now_ms) != 0)
		return NULL;
	return dest->key;
}

/* ---- group commit ---- */

/* Nothing of it will be found: it was not a report. */
static void
refuse_pending(struct spool *sp, struct pending *p, int error)
{
	struct message *m;
	uint64_t id;
	bool is_large;

	m = p->m;
	id = m->id;
	is_large = (m->flags & MESSAGE_LARGE) != 0;
	close_body(sp, m);
	index_free(&sp->index, m);
	drop_pending(sp, p);
	if (is_large)
		spool_large_drop(sp, id);
	sp->hooks.settled(sp->hooks.arg, id, error);
}

void
spool_group_failed(void *arg, int error)
{
	struct spool *sp;
	struct pending *p, *next;

	sp = arg;
	compact_failed(sp);
	TAILQ_FOREACH_SAFE(p, &sp->pending, link, next) {
		/* cppcheck-suppress uninitvar ; the list's own */
		if (!p->lost)
			spool_account(sp, p->m, -1);
		p->lost = true;
		if (p->is_report)
			miss_reports(sp, true);
		else
			refuse_pending(sp, p, error);
	}
}

static void
activate(struct spool *sp, struct message *m)
{
	uint16_t i;

	m->flags &= (uint8_t)~MESSAGE_PENDING;
	if (sp->bodies > SPOOL_BODIES)
		close_body(sp, m);
	for (i = 0; i < m->count; i++) {
		index_move(&sp->index, &m->rcpts[i], RCPT_READY, 0, false);
		index_settle(&sp->index, m->rcpts[i].domain->dest, sp->now_ms);
	}
	spool_arm(sp, m);
}

static void
settle_pending(struct spool *sp, struct pending *p)
{
	uint64_t id;
	bool is_report;

	id = p->m->id;
	is_report = p->is_report;
	activate(sp, p->m);
	drop_pending(sp, p);
	if (!is_report)
		sp->hooks.settled(sp->hooks.arg, id, 0);
}

static void
settle(struct spool *sp)
{
	struct pending *p, *next;
	uint64_t mark;

	mark = journal_synced_mark(sp->journal);
	TAILQ_FOREACH_SAFE(p, &sp->pending, link, next) {
		/* cppcheck-suppress uninitvar ; the list's own */
		if (p->lost)
			continue;
		if (p->mark > mark)
			break;
		settle_pending(sp, p);
	}
}

static void
unlink_one(struct spool *sp, struct doomed *d)
{
	char name[LARGE_NAME_SIZE];

	TAILQ_REMOVE(&sp->doomed, d, link);
	large_name(d->id, name);
	(void)sp->disk->unlinkat(sp->disk->arg, sp->dirfd, name);
	free(d);
}

static void
unlink_doomed(struct spool *sp)
{
	struct doomed *d, *next;

	TAILQ_FOREACH_SAFE(d, &sp->doomed, link, next) {
		/* cppcheck-suppress uninitvar ; the list's own */
		if (d->mark > journal_synced_mark(sp->journal))
			break;
		unlink_one(sp, d);
	}
}

bool
spool_is_dirty(const struct spool *sp)
{
	return journal_is_dirty(sp->journal) || !TAILQ_EMPTY(&sp->large) ||
	    sp->missing;
}

bool
spool_is_awaited(const struct spool *sp)
{
	return !TAILQ_EMPTY(&sp->large) || sp->awaited > 0;
}

int
spool_sync_begin(struct spool *sp, struct spool_sync *sync, int64_t now_ms)
{
	int fds[JOURNAL_SYNC_FILES];
	struct large *l;
	int count, i, more;

	sp->now_ms = now_ms;
	sync->count = 0;
	if (sp->syncing)
		return 0;
	if (sp->missing)
		(void)append_lost(sp);
	TAILQ_FOREACH(l, &sp->large, link) {
		if (sync->count == SPOOL_LARGE_SYNC)
			break;
		l->syncing = true;
		sync->fds[sync->count++] = l->fd;
	}
	if (sync->count > 0)
		sync->fds[sync->count++] = sp->large_fd;
	count = 0;
	more = journal_sync_begin(sp->journal, fds, &count);
	if (more == -1 && sync->count == 0)
		return -1;
	for (i = 0; more == 1 && i < count; i++)
		sync->fds[sync->count++] = fds[i];
	sp->syncing = more == 1 || sync->count > 0;
	return sp->syncing ? 1 : 0;
}

void
spool_synced(struct spool *sp, int error, int64_t now_ms)
{
	struct large *l, *next;

	sp->now_ms = now_ms;
	sp->syncing = false;
	journal_synced(sp->journal, error);
	settle(sp);
	TAILQ_FOREACH_SAFE(l, &sp->large, link, next)
		if (l->syncing)
			large_synced(sp, l, error);
	unlink_doomed(sp);
	compact_synced(sp);
}

void
spool_seal(struct spool *sp)
{
	journal_seal(sp->journal);
}

int
spool_failing(const struct spool *sp)
{
	return journal_error(sp->journal);
}
