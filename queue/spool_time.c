/* What time brings to the queue: due, expired, late. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/spool_state.h"

#define LOOK_AGAIN_MS 60000 /* at what is under way, held, or not told of */
#define FINAL_MS 600000     /* the last attempt must begin by then */
#define BACK_MS 60000       /* the clock was set back, not corrected */
#define TICK_MOST 20000     /* timers served in one call */

int64_t
spool_latest(const struct spool *sp)
{
	int64_t wait;

	wait = sp->conf.retry_max_ms > sp->conf.retry_first_ms
	    ? sp->conf.retry_max_ms
	    : sp->conf.retry_first_ms;
	return sp->now_ms + wait + wait / 4; /* jitter */
}

static int64_t
arrived_ms(const struct message *m)
{
	return (int64_t)(m->arrived_us / 1000);
}

/* Is TLS or policy what holds the recipient up? */
static bool
waits_for_tls(const struct rcpt *r)
{
	const struct fault *fault;

	if ((r->flags & RCPT_TLS) != 0)
		return true;
	fault = index_fault(r->domain->dest);
	return r->state == RCPT_READY && fault != NULL && fault->tls;
}

static int64_t
warns_ms(const struct spool *sp, const struct message *m, bool tls)
{
	if ((m->flags & MESSAGE_WARNED) != 0)
		return INT64_MAX;
	return retry_warns_ms(arrived_ms(m), sp->conf.warn_ms,
	    sp->conf.warn_tls_ms, tls);
}

void
spool_arm(struct spool *sp, struct message *m)
{
	int64_t at, warn;
	bool tls;
	uint16_t i;

	at = retry_expires_ms(arrived_ms(m), sp->conf.expire_ms);
	/* Recipients in line have no attempt that shows whether TLS holds them
	 * up: look at the time for that case, then again at the other. */
	warn = warns_ms(sp, m, true);
	if (warn <= sp->now_ms) {
		tls = false;
		for (i = 0; i < m->count && !tls; i++)
			tls = waits_for_tls(&m->rcpts[i]);
		warn = warns_ms(sp, m, tls);
	}
	if (warn < at)
		at = warn;
	wheel_set(&sp->index.message_wheel, &m->timer, at);
}

void
spool_look_again(struct spool *sp, struct message *m)
{
	wheel_set(&sp->index.message_wheel, &m->timer,
	    sp->now_ms + LOOK_AGAIN_MS);
}

/* ---- expiry ---- */

/* Until a recipient has an attempt of its own, the fault of its destination is
 * what it waits for. */
static void
begin_with_fault(struct spool_attempt *last, const struct dest *dest)
{
	const struct fault *fault;

	fault = index_fault(dest);
	if (fault == NULL)
		return;
	last->result.tls = fault->tls;
	last->result.reason = fault->reason;
	last->result.dsn = fault->dsn;
	last->result.detail = fault->detail;
}

void
spool_expire(struct spool *sp, const struct envelope *env, struct rcpt *r,
    enum rcpt_event event, struct told_list *told)
{
	struct spool_attempt last;
	struct spool_change change;
	char detail[SPOOL_DETAIL_SIZE];
	uint32_t len, at;
	char *text;

	spool_untried(&last);
	begin_with_fault(&last, r->domain->dest);
	text = spool_attempts(sp, r->last, &len);
	for (at = 0;
	     text != NULL && record_attempt_get(text, len, &at, &last) == 1;)
		;
	if (event == EVENT_EXPIRED)
		spool_run_out(&last.result, detail);
	else
		spool_give_up(&last.result, detail);
	spool_add_told(told, r->number, REPORT_BOUNCE, &last);
	change.event = event;
	change.env = env;
	change.rcpt = r->number;
	change.result = &last.result;
	change.attempts = r->attempts;
	change.next_ms = 0;
	sp->hooks.changed(sp->hooks.arg, &change);
	index_move(&sp->index, r, RCPT_DONE, 0, false);
	index_owner(r)->alive--;
	free(text);
}

/* For those in line without an attempt the destination's last one counts. */
static bool
is_under_enforce(const struct rcpt *r)
{
	return (r->flags & RCPT_ENFORCE) != 0 ||
	    (r->state == RCPT_READY && r->domain->dest->enforce);
}

/* Under an enforce policy a last attempt looks at the policy anew first
 * (RFC 8461 5.1). */
static bool
try_once_more(struct spool *sp, struct rcpt *r)
{
	struct dest *dest;
	bool was_down;

	if (!is_under_enforce(r) || (r->flags & RCPT_FINAL) != 0)
		return false;
	r->flags |= RCPT_FINAL;
	dest = r->domain->dest;
	was_down = index_is_down(dest);
	limit_forgive(&dest->limit);
	index_dest_down(&sp->index, dest, was_down);
	index_move(&sp->index, r, RCPT_READY, 0, true);
	index_settle(&sp->index, dest, sp->now_ms);
	spool_note_rcpt(sp, r, RCPT_READY, 0, NULL);
	return true;
}

static bool
may_expire(const struct spool *sp, const struct message *m,
    const struct rcpt *r)
{
	int64_t at;

	/* What is under way has its result first; what is held stays. */
	if (r->state != RCPT_READY && r->state != RCPT_DEFERRED)
		return false;
	at = retry_expires_ms(arrived_ms(m), sp->conf.expire_ms);
	return (r->flags & RCPT_FINAL) == 0 || sp->now_ms >= at + FINAL_MS;
}

static void
expire_message(struct spool *sp, struct message *m)
{
	struct told_list told;
	struct envelope env;
	struct rcpt *r;
	struct told *t;
	uint16_t i;

	if (spool_envelope(sp, m, &env) == -1) {
		if (errno == EBADMSG || errno == ENOENT)
			spool_damaged(sp, m);
		return;
	}
	TAILQ_INIT(&told);
	for (i = 0; i < m->count; i++) {
		r = &m->rcpts[i];
		if (r->state != RCPT_DONE && may_expire(sp, m, r) &&
		    !try_once_more(sp, r))
			spool_expire(sp, &env, r, EVENT_EXPIRED, &told);
	}
	spool_report(sp, m, &env, &told);
	if (m->alive == 0 && m->jobs == 0)
		spool_finish(sp, m);
	else {
		TAILQ_FOREACH(t, &told, link) {
			spool_note_rcpt(sp, &m->rcpts[t->rcpt], RCPT_DONE, 0,
			    &t->attempt);
		}
	}
	free_told(&told);
	envelope_clear(&env);
}

/* ---- notice of delay ---- */

static void
add_delayed(struct spool *sp, struct rcpt *r, struct told_list *told)
{
	struct spool_attempt last;
	uint32_t len, at;
	char *text;

	spool_untried(&last);
	last.result.dsn = "4.0.0";
	last.result.outcome = OUTCOME_DEFERRED;
	begin_with_fault(&last, r->domain->dest);
	text = spool_attempts(sp, r->last, &len);
	for (at = 0;
	     text != NULL && record_attempt_get(text, len, &at, &last) == 1;)
		;
	spool_add_told(told, r->number, REPORT_DELAY, &last);
	free(text);
}

/* False: nobody is to be told at present. */
static bool
warn_message(struct spool *sp, struct message *m)
{
	struct told_list told;
	struct journal_rec rec;
	struct envelope env;
	uint64_t pos;
	uint16_t i;

	if (spool_envelope(sp, m, &env) == -1)
		return false;
	TAILQ_INIT(&told);
	for (i = 0; i < m->count; i++)
		if (m->rcpts[i].state == RCPT_READY ||
		    m->rcpts[i].state == RCPT_DEFERRED)
			add_delayed(sp, &m->rcpts[i], &told);
	if (TAILQ_EMPTY(&told)) {
		envelope_clear(&env);
		return false;
	}
	m->flags |= MESSAGE_WARNED;
	spool_report(sp, m, &env, &told);
	memset(&rec, 0, sizeof rec);
	rec.type = REC_WARNED;
	rec.id = m->id;
	rec.body_fd = -1;
	(void)journal_append(sp->journal, &rec, &pos);
	free_told(&told);
	envelope_clear(&env);
	return true;
}

static void
message_due(struct spool *sp, struct message *m)
{
	uint64_t id;
	int64_t expires;
	bool tls;
	uint16_t i;

	id = m->id;
	spool_catch_up(sp, m);
	m = index_find(&sp->index, id);
	if (m == NULL)
		return;
	/* Reports would pile up in memory. */
	if (journal_error(sp->journal) != 0) {
		spool_look_again(sp, m);
		return;
	}
	expires = retry_expires_ms(arrived_ms(m), sp->conf.expire_ms);
	if (expires <= sp->now_ms) {
		expire_message(sp, m);
		m = index_find(&sp->index, id);
		if (m != NULL)
			spool_look_again(sp, m);
		return;
	}
	for (tls = false, i = 0; i < m->count && !tls; i++)
		tls = waits_for_tls(&m->rcpts[i]);
	if (warns_ms(sp, m, tls) > sp->now_ms || warn_message(sp, m))
		spool_arm(sp, m);
	else
		spool_look_again(sp, m);
}

/* ---- the clock ---- */

static struct message *
message_of(struct wheel_node *node)
{
	return (struct message *)(void *)((char *)node -
	    offsetof(struct message, timer));
}

static struct rcpt *
rcpt_of(struct wheel_node *node)
{
	return (struct rcpt *)(void *)((char *)node -
	    offsetof(struct rcpt, at.timer));
}

static struct dest *
dest_of(struct wheel_node *node)
{
	return (
	    struct dest *)(void *)((char *)node - offsetof(struct dest, timer));
}

static void
set_back(struct spool *sp)
{
	index_set_back(&sp->index, sp->now_ms, spool_latest(sp));
	ages_init(&sp->index, sp->now_ms);
}

void
spool_tick(struct spool *sp, int64_t now_ms)
{
	struct wheel_node *node;
	struct rcpt *r;
	int most;

	sp->now_ms = now_ms;
	for (most = TICK_MOST; most > 0; most--) {
		node = wheel_pop(&sp->index.rcpt_wheel, now_ms);
		if (node == NULL)
			break;
		r = rcpt_of(node);
		index_move(&sp->index, r, RCPT_READY, 0, false);
		index_settle(&sp->index, r->domain->dest, now_ms);
	}
	while ((node = wheel_pop(&sp->index.dest_wheel, now_ms)) != NULL)
		index_dest_due(&sp->index, dest_of(node), now_ms);
	for (most = TICK_MOST / 100; most > 0; most--) {
		node = wheel_pop(&sp->index.message_wheel, now_ms);
		if (node == NULL)
			break;
		message_due(sp, message_of(node));
	}
	/* Now that the wheels stand at the new time. */
	if (now_ms + BACK_MS < sp->tick_ms)
		set_back(sp);
	(void)ages_advance(&sp->index, now_ms, TICK_MOST);
	sp->tick_ms = now_ms;
}

int64_t
spool_wake(const struct spool *sp, int64_t now_ms)
{
	int64_t next, at;

	next = wheel_next(&sp->index.rcpt_wheel);
	at = wheel_next(&sp->index.dest_wheel);
	if (at < next)
		next = at;
	at = wheel_next(&sp->index.message_wheel);
	if (at < next)
		next = at;
	return next < now_ms ? now_ms : next;
}
