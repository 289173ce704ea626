/* What the administrator sees and does. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "queue/spool_state.h"

#define AGES_A_TURN 20000           /* messages that grow older */
#define HISTORY_MOST 64             /* attempts read for one recipient */
#define HISTORY_BYTES (256U * 1024) /* and their text */

/* ---- attempts ---- */

/* The record at "pos" in front of the text; its forerunner in *pos. */
static int
prepend_attempt(struct spool *sp, uint64_t *pos, char **text, uint32_t *len)
{
	struct journal_rec rec;
	struct brief_rcpt brief;
	char *grown;

	if (journal_load(sp->journal, *pos, &rec) == -1 ||
	    rec.type != REC_OUTCOME ||
	    record_rcpt(rec.brief, rec.brief_len, &brief) == -1 ||
	    rec.text_len > HISTORY_BYTES - *len)
		return -1;
	grown = realloc(*text, (size_t)*len + rec.text_len + 1);
	if (grown == NULL)
		return -1;
	memmove(grown + rec.text_len, grown, *len);
	memcpy(grown, rec.text, rec.text_len);
	*text = grown;
	*len += rec.text_len;
	*pos = brief.before;
	return 0;
}

char *
spool_attempts(struct spool *sp, uint64_t last, uint32_t *len)
{
	char *text;
	int most;

	text = NULL;
	*len = 0;
	/* Older ones may be gone with their segment. */
	for (most = HISTORY_MOST; last != 0 && most > 0; most--)
		if (prepend_attempt(sp, &last, &text, len) == -1)
			break;
	return text;
}

void
spool_history(struct spool *sp, uint64_t id, uint32_t rcpt,
    void (*each)(void *arg, const struct spool_attempt *), void *arg)
{
	struct spool_attempt attempt;
	struct message *m;
	uint32_t len, at;
	char *text;

	m = index_find(&sp->index, id);
	if (m == NULL || rcpt >= m->count)
		return;
	text = spool_attempts(sp, m->rcpts[rcpt].last, &len);
	for (at = 0;
	     text != NULL && record_attempt_get(text, len, &at, &attempt) == 1;)
		each(arg, &attempt);
	free(text);
}

int
spool_body(struct spool *sp, uint64_t id)
{
	struct message *m;

	m = index_find(&sp->index, id);
	if (m == NULL) {
		errno = ENOENT;
		return -1;
	}
	return spool_open_body(sp, m);
}

/* ---- filters ---- */

/* What can be told without reading from disk. */
static bool
message_passes(const struct spool_filter *f, const struct message *m)
{
	if ((m->flags & MESSAGE_PENDING) != 0)
		return false;
	if (f->id != 0 && m->id != f->id)
		return false;
	if (f->uid != -1 && (int64_t)m->uid != f->uid)
		return false;
	return f->sender == NULL || record_hash(f->sender) == m->sender_hash;
}

static enum rcpt_state
shown_state(const struct rcpt *r)
{
	if (r->state == RCPT_READY && index_is_down(r->domain->dest))
		return RCPT_DEFERRED;
	return (enum rcpt_state)r->state;
}

static bool
rcpt_passes(const struct spool_filter *f, const struct rcpt *r)
{
	/* What is removed while it is under way is gone for people. */
	if (r->state == RCPT_DONE || r->order == EVENT_REMOVE)
		return false;
	if (f->state != -1 && (int)shown_state(r) != f->state)
		return false;
	return f->domain == NULL || strcmp(f->domain, r->domain->name) == 0 ||
	    strcmp(f->domain, r->domain->dest->key) == 0;
}

/* The next of one message; the cursor goes behind it. */
static struct rcpt *
match_in(const struct spool_filter *f, struct message *m,
    struct spool_cursor *cursor)
{
	struct rcpt *r;

	if (!message_passes(f, m)) {
		cursor->rcpt = m->count;
		cursor->budget--;
	}
	while (cursor->rcpt < m->count && cursor->budget > 0) {
		r = &m->rcpts[cursor->rcpt++];
		cursor->budget--;
		if (rcpt_passes(f, r))
			return r;
	}
	if (cursor->rcpt >= m->count) {
		cursor->id = m->id + 1;
		cursor->rcpt = 0;
	}
	return NULL;
}

/*
 * The next recipient from the cursor on that passes, and the cursor behind
 * it. NULL: the end, or the budget is used up (then it is 0).
 */
static struct rcpt *
next_match(struct spool *sp, const struct spool_filter *f,
    struct spool_cursor *cursor, struct message **found)
{
	struct message *m;
	struct rcpt *r;

	if (f->id != 0 && cursor->id < f->id) {
		cursor->id = f->id;
		cursor->rcpt = 0;
	}
	m = index_from(&sp->index, cursor->id);
	for (; cursor->budget > 0; m = index_next(m)) {
		if (m == NULL || (f->id != 0 && m->id > f->id) ||
		    (cursor->end != 0 && m->id > cursor->end))
			return NULL;
		if (m->id != cursor->id)
			cursor->rcpt = 0;
		cursor->id = m->id;
		r = match_in(f, m, cursor);
		if (r != NULL) {
			*found = m;
			return r;
		}
	}
	return NULL;
}

/* ---- listing ---- */

static bool
view_message(struct spool *sp, struct message *m)
{
	if (sp->view_pos == m->where && sp->view.id == m->id)
		return true;
	envelope_clear(&sp->view);
	sp->view_pos = 0;
	if (spool_envelope(sp, m, &sp->view) == -1)
		return false;
	sp->view_pos = m->where;
	return true;
}

static void
view_last(struct spool *sp, const struct rcpt *r, struct spool_entry *entry)
{
	struct spool_attempt attempt;
	struct journal_rec rec;
	uint32_t at;
	bool some;

	entry->last = NULL;
	entry->last_ms = 0;
	if (r->last == 0 ||
	    journal_load_text(sp->journal, r->last, &rec) == -1 ||
	    rec.type != REC_OUTCOME)
		return;
	free(sp->view_text);
	sp->view_text = malloc(rec.text_len + 1);
	if (sp->view_text == NULL)
		return;
	memcpy(sp->view_text, rec.text, rec.text_len);
	some = false;
	for (at = 0; record_attempt_get(sp->view_text, rec.text_len, &at,
			 &attempt) == 1;)
		some = true;
	if (!some)
		return;
	sp->view_last = attempt.result;
	entry->last = &sp->view_last;
	entry->last_ms = attempt.at_ms;
}

/* One that waits behind a dead destination has its reason. */
static void
view_down(struct spool *sp, const struct dest *dest, struct spool_entry *entry)
{
	const struct fault *fault;

	fault = index_fault(dest);
	entry->next_ms = dest->limit.down_until_ms;
	if (entry->last != NULL || fault == NULL)
		return;
	sp->view_last.outcome = OUTCOME_DEFERRED;
	sp->view_last.scope = SCOPE_DESTINATION;
	sp->view_last.tls = fault->tls;
	sp->view_last.reason = fault->reason;
	sp->view_last.dsn = fault->dsn;
	sp->view_last.detail = fault->detail;
	sp->view_last.mx = sp->view_last.reply = "";
	entry->last = &sp->view_last;
}

static void
view_rcpt(struct spool *sp, const struct rcpt *r, struct spool_entry *entry)
{
	entry->env = &sp->view;
	entry->rcpt = r->number;
	entry->state = shown_state(r);
	entry->attempts = r->attempts;
	entry->destination = r->domain->dest->key;
	entry->next_ms = -1;
	view_last(sp, r, entry);
	if (r->state == RCPT_DEFERRED)
		entry->next_ms = index_due(r);
	else if (entry->state == RCPT_DEFERRED)
		view_down(sp, r->domain->dest, entry);
	else if (r->state == RCPT_READY)
		entry->next_ms = sp->now_ms;
}

int
spool_list(struct spool *sp, const struct spool_filter *f,
    struct spool_cursor *cursor, struct spool_entry *entry)
{
	struct message *m;
	struct rcpt *r;

	for (;;) {
		r = next_match(sp, f, cursor, &m);
		if (r == NULL)
			return cursor->budget > 0 ? 0 : -1;
		/* Damage is found by the next attempt; here it is skipped. */
		if (!view_message(sp, m))
			continue;
		if (f->sender != NULL &&
		    strcasecmp(f->sender, sp->view.sender) != 0)
			continue;
		view_rcpt(sp, r, entry);
		return 1;
	}
}

/* ---- orders ---- */

static void
forgive(struct spool *sp, struct dest *dest)
{
	bool was_down;

	was_down = index_is_down(dest);
	limit_forgive(&dest->limit);
	index_dest_down(&sp->index, dest, was_down);
	index_settle(&sp->index, dest, sp->now_ms);
}

/* What an order makes of a recipient that is not under way. */
static enum rcpt_state
ordered_state(enum spool_act act, enum rcpt_state state)
{
	switch (act) {
	case ACT_RETRY:
		return state == RCPT_HELD ? RCPT_HELD : RCPT_READY;
	case ACT_HOLD:
		return RCPT_HELD;
	case ACT_RELEASE:
		return state == RCPT_HELD ? RCPT_READY : state;
	case ACT_REMOVE:
	case ACT_BOUNCE:
		break;
	}
	return RCPT_DONE;
}

/* The recipient is not under way. */
static void
order_rcpt(struct spool *sp, enum spool_act act, struct message *m,
    struct rcpt *r, struct told_list *told)
{
	enum rcpt_state state, next;
	struct dest *dest;

	dest = r->domain->dest;
	state = (enum rcpt_state)r->state;
	next = ordered_state(act, state);
	if (act == ACT_BOUNCE) {
		spool_expire(sp, &sp->view, r, EVENT_BOUNCED, told);
		return;
	}
	if (act == ACT_RETRY)
		forgive(sp, dest);
	if (next == state)
		return;
	if (next == RCPT_DONE)
		m->alive--;
	index_move(&sp->index, r, next, 0, false);
	if (next != RCPT_DONE || m->alive > 0)
		spool_note_rcpt(sp, r, next, 0, NULL);
	index_settle(&sp->index, dest, sp->now_ms);
}

/* Under way, or no report can be written. */
static bool
must_wait(const struct spool *sp, enum spool_act act, const struct rcpt *r)
{
	return r->state == RCPT_SENDING ||
	    (act == ACT_BOUNCE && !spool_can_tell(sp, &sp->view, r->number));
}

/* It is carried out with the result; or by a restart that comes first; or
 * when there is room. */
static void
order_later(struct spool *sp, enum spool_act act, struct rcpt *r)
{
	static const uint8_t orders[] = { [ACT_RETRY] = EVENT_NONE,
		[ACT_HOLD] = EVENT_HOLD,
		[ACT_RELEASE] = EVENT_NONE,
		[ACT_REMOVE] = EVENT_REMOVE,
		[ACT_BOUNCE] = EVENT_BOUNCED };

	if (act == ACT_RETRY || r->order == orders[act])
		return;
	r->order = orders[act];
	spool_note_rcpt(sp, r, spool_standing(r), 0, NULL);
	if (r->state != RCPT_SENDING)
		spool_look_again(sp, index_owner(r));
}

/* The rest of what an order asks for a message. */
static void
order_message(struct spool *sp, struct message *m, struct told_list *told)
{
	struct told *t;

	if (!TAILQ_EMPTY(told))
		spool_report(sp, m, &sp->view, told);
	if (m->alive == 0 && m->jobs == 0)
		spool_finish(sp, m);
	else {
		TAILQ_FOREACH(t, told, link) {
			spool_note_rcpt(sp, &m->rcpts[t->rcpt], RCPT_DONE, 0,
			    &t->attempt);
		}
	}
	free_told(told);
}

void
spool_catch_up(struct spool *sp, struct message *m)
{
	struct told_list told;
	uint16_t i;

	TAILQ_INIT(&told);
	for (i = 0; i < m->count; i++)
		if (m->rcpts[i].order == EVENT_BOUNCED &&
		    m->rcpts[i].state != RCPT_DONE &&
		    m->rcpts[i].state != RCPT_SENDING && view_message(sp, m) &&
		    spool_can_tell(sp, &sp->view, i))
			spool_expire(sp, &sp->view, &m->rcpts[i], EVENT_BOUNCED,
			    &told);
	if (!TAILQ_EMPTY(&told))
		order_message(sp, m, &told);
}

/* The budget is used up between recipients of one message: it is dealt with
 * as a whole, so that one bounce tells of all. */
static bool
is_amid(const struct spool_cursor *cursor, const struct message *m)
{
	return m != NULL && cursor->budget <= 0 && cursor->id == m->id &&
	    cursor->rcpt < m->count;
}

static struct rcpt *
next_meant(struct spool *sp, const struct spool_filter *f,
    struct spool_cursor *cursor, const struct message *last, struct message **m)
{
	struct rcpt *r;

	r = next_match(sp, f, cursor, m);
	if (r == NULL && is_amid(cursor, last)) {
		cursor->budget = (int)(last->count - cursor->rcpt);
		r = next_match(sp, f, cursor, m);
	}
	return r;
}

/* A bounce needs the envelope, whoever the sender is. */
static bool
is_readable(struct spool *sp, enum spool_act act, const struct spool_filter *f,
    struct message *m)
{
	if (act != ACT_BOUNCE && f->sender == NULL)
		return true;
	return view_message(sp, m) &&
	    (f->sender == NULL || strcasecmp(f->sender, sp->view.sender) == 0);
}

int
spool_act(struct spool *sp, enum spool_act act, const struct spool_filter *f,
    struct spool_cursor *cursor, int64_t now_ms)
{
	struct told_list told;
	struct message *m, *last;
	struct rcpt *r;

	sp->now_ms = now_ms;
	TAILQ_INIT(&told);
	last = NULL;
	if (cursor->end == 0)
		cursor->end = index_newest(&sp->index);
	while ((r = next_meant(sp, f, cursor, last, &m)) != NULL) {
		if (last != NULL && last != m)
			order_message(sp, last, &told);
		last = NULL;
		if (!is_readable(sp, act, f, m))
			continue;
		if (act == ACT_RETRY && r->state == RCPT_HELD) {
			cursor->held++;
			continue;
		}
		last = m;
		cursor->done++;
		if (must_wait(sp, act, r))
			order_later(sp, act, r);
		else
			order_rcpt(sp, act, m, r, &told);
	}
	if (last != NULL)
		order_message(sp, last, &told);
	return cursor->budget > 0 ? 0 : -1;
}

/* ---- counts ---- */

void
spool_count(const struct spool *sp, struct spool_counts *counts)
{
	const struct index *ix;
	int i;

	ix = &sp->index;
	counts->messages = ix->message_count;
	for (i = 0; i < RCPT_LISTED; i++)
		counts->rcpts[i] = ix->counts[i];
	counts->rcpts[RCPT_READY] -= ix->blocked;
	counts->rcpts[RCPT_DEFERRED] += ix->blocked;
	counts->destinations = ix->dest_count;
	counts->segments = journal_segments(sp->journal);
	counts->bytes = journal_bytes(sp->journal);
}

bool
spool_dest_next(struct spool *sp, const char *after, struct spool_dest *out)
{
	const struct fault *fault;
	struct dest *dest;
	int i;

	dest = index_dest_after(&sp->index, after);
	if (dest == NULL)
		return false;
	fault = index_fault(dest);
	out->key = dest->key;
	for (i = 0; i < RCPT_LISTED; i++)
		out->rcpts[i] = dest->counts[i];
	out->down = index_is_down(dest);
	if (out->down) {
		out->rcpts[RCPT_DEFERRED] += out->rcpts[RCPT_READY];
		out->rcpts[RCPT_READY] = 0;
	}
	out->window = limit_width(&dest->limit);
	out->next_ms = dest->limit.down_until_ms;
	out->reason = fault != NULL ? fault->reason : "";
	for (i = 0; i < AGES; i++)
		out->ages[i] = dest->ages[i];
	out->oldest = index_oldest(dest);
	return true;
}

bool
spool_grow_older(struct spool *sp, int64_t now_ms)
{
	return ages_advance(&sp->index, now_ms, AGES_A_TURN);
}
