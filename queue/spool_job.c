/* Jobs: picked, their results, their end. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/spool_state.h"

#define TURN_JOBS 8 /* jobs that a destination starts in one turn */
#define BACKLOG_MOST (64U << 20) /* bytes of results that wait in memory */
#define PROBES_MOST 128          /* dead destinations probed at once */

/* ---- the table of jobs ---- */

static struct job *
find_job(const struct spool *sp, uint64_t number)
{
	uint32_t slot;

	slot = (uint32_t)number;
	if (slot >= sp->job_room || sp->jobs[slot] == NULL ||
	    sp->jobs[slot]->number != number)
		return NULL;
	return sp->jobs[slot];
}

static int
add_job(struct spool *sp, struct job *job)
{
	struct job **grown;
	size_t room, slot, i;

	if (sp->job_count == sp->job_room) {
		room = sp->job_room == 0 ? 64 : sp->job_room * 2;
		grown = reallocarray(sp->jobs, room, sizeof(void *));
		if (grown == NULL)
			return -1;
		for (i = sp->job_room; i < room; i++)
			grown[i] = NULL;
		sp->job_hint = sp->job_room;
		sp->jobs = grown;
		sp->job_room = room;
	}
	for (slot = sp->job_hint; sp->jobs[slot] != NULL;)
		slot = slot + 1 == sp->job_room ? 0 : slot + 1;
	sp->job_hint = slot + 1 == sp->job_room ? 0 : slot + 1;
	sp->jobs[slot] = job;
	job->number = (uint64_t)++sp->job_serial << 32 | slot;
	sp->job_count++;
	if (!job->proven)
		sp->job_unproven++;
	if (job->probe)
		sp->job_probes++;
	return 0;
}

static void
free_job(struct spool *sp, struct job *job)
{
	if (job->number != 0) {
		sp->jobs[(uint32_t)job->number] = NULL;
		sp->job_hint = (uint32_t)job->number;
		sp->job_count--;
		if (!job->proven)
			sp->job_unproven--;
		if (job->probe)
			sp->job_probes--;
	}
	free_told(&job->told);
	envelope_clear(&job->env);
	free(job->rcpts);
	free(job->done);
	free(job);
}

void
jobs_free(struct spool *sp)
{
	size_t i;

	for (i = 0; i < sp->job_room; i++)
		if (sp->jobs[i] != NULL) {
			index_let_dest(&sp->index, sp->jobs[i]->dest);
			free_job(sp, sp->jobs[i]);
		}
	free(sp->jobs);
}

size_t
spool_jobs_unproven(const struct spool *sp)
{
	return sp->job_unproven;
}

/* ---- picking ---- */

/* Recipients of "m" that can go in one job to "dest". */
static int
gather(struct job *job, struct message *m, const struct dest *dest,
    uint16_t first)
{
	struct rcpt *r;
	size_t most;
	uint16_t i;

	most = m->count < SPOOL_JOB_RCPTS ? m->count : SPOOL_JOB_RCPTS;
	job->rcpts = reallocarray(NULL, most, sizeof *job->rcpts);
	job->done = calloc(most, sizeof *job->done);
	if (job->rcpts == NULL || job->done == NULL)
		return -1;
	/* cppcheck-suppress knownConditionTrueFalse ; count grows below */
	for (i = first; i < m->count && job->count < most; i++) {
		r = &m->rcpts[i];
		if (r->state == RCPT_READY && r->domain->dest == dest)
			job->rcpts[job->count++] = i;
	}
	return 0;
}

static struct job *
make_job(struct spool *sp, struct dest *dest, struct message *m, uint16_t first)
{
	struct job *job;
	int error;

	job = calloc(1, sizeof *job);
	if (job == NULL)
		return NULL;
	TAILQ_INIT(&job->told);
	envelope_init(&job->env);
	job->m = m;
	job->dest = dest;
	job->began_ms = sp->now_ms;
	job->proven = dest->limit.proven;
	job->probe = index_is_down(dest);
	if (gather(job, m, dest, first) == -1 ||
	    spool_envelope(sp, m, &job->env) == -1 || add_job(sp, job) == -1) {
		error = errno;
		job->number = 0;
		free_job(sp, job);
		errno = error;
		return NULL;
	}
	return job;
}

static bool
is_final(const struct job *job)
{
	return (job->m->rcpts[job->rcpts[0]].flags & RCPT_FINAL) != 0;
}

/* A body for the job: the memfd itself if nobody else will want it. */
static int
take_body(struct spool *sp, struct message *m, const struct job *job)
{
	int fd;

	if (m->body == -1 || job->count < m->alive)
		return spool_open_body(sp, m);
	fd = m->body;
	m->body = -1;
	sp->bodies--;
	return fd;
}

static void
start_job(struct spool *sp, struct job *job, struct spool_job *out)
{
	struct dest *dest;
	size_t i;

	dest = job->dest;
	for (i = 0; i < job->count; i++)
		index_move(&sp->index, &job->m->rcpts[job->rcpts[i]],
		    RCPT_SENDING, 0, false);
	job->m->jobs++;
	index_hold_dest(dest);
	limit_begin(&dest->limit);
	index_settle(&sp->index, dest, sp->now_ms);
	if (dest->turn == 0)
		dest->turn = dest->limit.proven ? TURN_JOBS : 1;
	if (--dest->turn == 0)
		index_rotate(&sp->index, dest);
	out->job = job->number;
	out->destination = dest->key;
	out->env = &job->env;
	out->rcpts = job->rcpts;
	out->rcpt_count = job->count;
	out->width = limit_width(&dest->limit);
	out->most = dest->limit.conf.connections;
	out->recheck = is_final(job);
}

/* The rings take turns; the dead ones have but a few places. */
static struct dest *
next_dest(struct spool *sp, bool proven)
{
	struct dest *dest;
	int i;

	if (proven)
		return index_turn(&sp->index, RING_PROVEN);
	for (i = 1; i < RINGS; i++) {
		sp->ring = sp->ring % (RINGS - 1) + 1;
		if (sp->ring == RING_DEAD && sp->job_probes >= PROBES_MOST)
			continue;
		dest = index_turn(&sp->index, sp->ring);
		if (dest != NULL)
			return dest;
	}
	return NULL;
}

/* It could not be started: later, unless it never can. */
static void
put_off(struct spool *sp, struct message *m, struct rcpt *r, int error)
{
	struct dest *dest;

	dest = r->domain->dest;
	index_hold_dest(dest);
	if (error == EBADMSG || error == ENOENT)
		spool_damaged(sp, m);
	else
		index_move(&sp->index, r, RCPT_DEFERRED,
		    sp->now_ms + sp->conf.retry_first_ms, false);
	index_settle(&sp->index, dest, sp->now_ms);
	index_let_dest(&sp->index, dest);
}

int
spool_next(struct spool *sp, int64_t now_ms, bool proven, struct spool_job *out)
{
	struct message *m;
	struct dest *dest;
	struct rcpt *r;
	struct job *job;
	int error;

	sp->now_ms = now_ms;
	/* Deliveries go on while the disk fails, but not for ever. */
	dest = journal_backlog(sp->journal) > BACKLOG_MOST
	    ? NULL
	    : next_dest(sp, proven);
	if (dest == NULL)
		return 0;
	r = TAILQ_FIRST(&dest->line);
	m = index_owner(r);
	job = make_job(sp, dest, m, r->number);
	if (job != NULL) {
		out->body = take_body(sp, m, job);
		if (out->body != -1) {
			start_job(sp, job, out);
			return 1;
		}
	}
	error = errno;
	if (job != NULL)
		free_job(sp, job);
	put_off(sp, m, r, error);
	errno = error;
	return -1;
}

/* ---- results ---- */

/* "change" has the event, recipient and result; if it is a deferral, next_ms. */
static void
tell_change(struct spool *sp, const struct job *job, struct spool_change change)
{
	change.env = &job->env;
	change.attempts = job->m->rcpts[change.rcpt].attempts;
	sp->hooks.changed(sp->hooks.arg, &change);
}

static void
set_fault(struct dest *dest, const struct spool_result *result)
{
	free(dest->fault);
	dest->fault = fault_new(result->reason, result->dsn, result->detail);
	if (dest->fault != NULL)
		dest->fault->tls = result->tls;
}

/* What the result tells of the destination; when it may be tried again. */
static void
judge_dest(struct spool *sp, struct job *job, enum rcpt_event event,
    const struct spool_result *result)
{
	struct retry_conf conf;
	struct dest *dest;
	bool was_down;

	dest = job->dest;
	was_down = index_is_down(dest);
	conf.first_ms = sp->conf.retry_first_ms;
	conf.max_ms = sp->conf.retry_max_ms;
	if (event == EVENT_FAILED_DEST) {
		if (limit_failed(&dest->limit, job->began_ms, sp->now_ms,
			sp->now_ms +
			    retry_delay_ms(&conf, dest->limit.failures + 1,
				arc4random()))) {
			set_fault(dest, result);
			dest->enforce = result->enforce;
		}
	} else if (event == EVENT_DELIVERED ||
	    result->scope == SCOPE_RECIPIENT ||
	    result->scope == SCOPE_MESSAGE) {
		limit_worked(&dest->limit);
		dest->enforce = false;
	}
	index_dest_down(&sp->index, dest, was_down);
}

static void
end_rcpt(struct spool *sp, struct message *m, struct rcpt *r)
{
	index_move(&sp->index, r, RCPT_DONE, 0, false);
	m->alive--;
}

/* It is not tried any more: the sender is to hear of that. */
static void
bounce_rcpt(struct spool *sp, struct job *job, struct rcpt *r,
    enum rcpt_event event, const struct spool_attempt *last)
{
	tell_change(sp, job,
	    (struct spool_change){ .event = event,
		.rcpt = r->number,
		.result = &last->result });
	end_rcpt(sp, job->m, r);
	spool_add_told(&job->told, r->number, REPORT_BOUNCE, last);
}

/* "attempt": how it went, as one of the past; NULL: there is no result. */
static void
give_up(struct spool *sp, struct job *job, struct rcpt *r,
    const struct spool_attempt *attempt)
{
	struct spool_attempt last;
	char detail[SPOOL_DETAIL_SIZE];

	spool_untried(&last);
	if (attempt != NULL)
		last = *attempt;
	spool_give_up(&last.result, detail);
	bounce_rcpt(sp, job, r, EVENT_BOUNCED, &last);
}

/* Carry out an order that came while the recipient was under way. True: that
 * settles it. */
static bool
obey(struct spool *sp, struct job *job, struct rcpt *r,
    const struct spool_attempt *attempt)
{
	enum rcpt_event order;

	order = (enum rcpt_event)r->order;
	if (order == EVENT_BOUNCED && !spool_can_tell(sp, &job->env, r->number))
		return false;
	r->order = EVENT_NONE;
	if (order == EVENT_HOLD) {
		index_move(&sp->index, r, RCPT_HELD, 0, false);
		spool_note_rcpt(sp, r, RCPT_HELD, 0, attempt);
	} else if (order == EVENT_REMOVE) {
		end_rcpt(sp, job->m, r);
		spool_note_rcpt(sp, r, RCPT_DONE, 0, attempt);
	} else if (order == EVENT_BOUNCED)
		give_up(sp, job, r, attempt);
	else
		return false;
	return true;
}

static void
defer_rcpt(struct spool *sp, struct job *job, struct rcpt *r,
    enum rcpt_event event, const struct spool_attempt *attempt)
{
	struct retry_conf conf;
	struct dest *dest;
	int64_t next;

	conf.first_ms = sp->conf.retry_first_ms;
	conf.max_ms = sp->conf.retry_max_ms;
	dest = r->domain->dest;
	next = dest->limit.down_until_ms;
	if (event == EVENT_FAILED_RCPT || next <= sp->now_ms)
		next = sp->now_ms +
		    retry_delay_ms(&conf, r->attempts, arc4random());
	/* If the administrator gave it up meanwhile, there is no next attempt
	 * to log. */
	if (r->order != EVENT_BOUNCED)
		tell_change(sp, job,
		    (struct spool_change){ .event = event,
			.rcpt = r->number,
			.result = &attempt->result,
			.next_ms = next });
	if (obey(sp, job, r, attempt))
		return;
	spool_note_rcpt(sp, r, RCPT_DEFERRED, next, attempt);
	/* If the destination is at fault, its whole line waits for it. */
	if (event == EVENT_FAILED_DEST && index_is_down(dest))
		index_move(&sp->index, r, RCPT_READY, 0, false);
	else
		index_move(&sp->index, r, RCPT_DEFERRED, next, false);
	index_settle(&sp->index, dest, sp->now_ms);
	spool_arm(sp, job->m);
}

static void
apply_result(struct spool *sp, struct job *job, struct rcpt *r,
    enum rcpt_event event, const struct spool_attempt *attempt)
{
	struct spool_attempt expired;
	char detail[SPOOL_DETAIL_SIZE];

	r->flags &= RCPT_FINAL;
	if (attempt->result.tls)
		r->flags |= RCPT_TLS;
	if (attempt->result.enforce)
		r->flags |= RCPT_ENFORCE;
	if (event == EVENT_DELIVERED) {
		tell_change(sp, job,
		    (struct spool_change){ .event = event,
			.rcpt = r->number,
			.result = &attempt->result });
		end_rcpt(sp, job->m, r);
		if (attempt->result.relayed)
			spool_add_told(&job->told, r->number, REPORT_RELAYED,
			    attempt);
		if (job->m->alive > 0)
			spool_note_rcpt(sp, r, RCPT_DONE, 0, attempt);
	} else if (r->order == EVENT_REMOVE) {
		(void)obey(sp, job, r, attempt); /* nobody is told */
	} else if (event == EVENT_BOUNCED) {
		bounce_rcpt(sp, job, r, event, attempt);
	} else if ((r->flags & RCPT_FINAL) != 0 &&
	    spool_can_tell(sp, &job->env, r->number)) {
		expired = *attempt;
		spool_run_out(&expired.result, detail);
		bounce_rcpt(sp, job, r, EVENT_EXPIRED, &expired);
	} else
		defer_rcpt(sp, job, r, event, attempt);
}

int
spool_result(struct spool *sp, uint64_t number, uint32_t rcpt,
    const struct spool_result *result, int64_t now_ms)
{
	struct spool_attempt attempt;
	enum rcpt_event event;
	struct rcpt *r;
	struct job *job;
	size_t i;

	sp->now_ms = now_ms;
	job = find_job(sp, number);
	if (job == NULL || result->outcome >= OUTCOME_COUNT ||
	    result->scope >= SCOPE_COUNT)
		return -1;
	for (i = 0; i < job->count; i++)
		if (job->rcpts[i] == rcpt)
			break;
	if (i == job->count || job->done[i])
		return -1;
	job->done[i] = true;
	r = &job->m->rcpts[rcpt];
	if (r->state != RCPT_SENDING) /* the message was given up meanwhile */
		return 0;
	if (r->attempts < UINT16_MAX)
		r->attempts++;
	attempt.at_ms = now_ms;
	attempt.result = *result;
	event = outcome_event(result->outcome, result->scope);
	judge_dest(sp, job, event, result);
	if (event == EVENT_BOUNCED && !spool_can_tell(sp, &job->env, rcpt))
		event = EVENT_FAILED_RCPT;
	apply_result(sp, job, r, event, &attempt);
	return 0;
}

/* ---- the end ---- */

/* It had no result, as its worker died: at once to another worker, but if that
 * happens again, only after a while. */
static void
return_rcpt(struct spool *sp, struct job *job, struct rcpt *r)
{
	if (r->state != RCPT_SENDING || obey(sp, job, r, NULL))
		return;
	if ((r->flags & RCPT_AGAIN) != 0)
		index_move(&sp->index, r, RCPT_DEFERRED,
		    sp->now_ms + sp->conf.retry_first_ms, false);
	else
		index_move(&sp->index, r, RCPT_READY, 0, true);
	r->flags |= RCPT_AGAIN;
	index_settle(&sp->index, r->domain->dest, sp->now_ms);
}

static void
note_told(struct spool *sp, struct job *job)
{
	struct told *told;

	if (job->m->alive == 0 && job->m->jobs == 0)
		return; /* spool_finish() writes that all are done */
	TAILQ_FOREACH(told, &job->told, link)
		if (told->kind == REPORT_BOUNCE)
			spool_note_rcpt(sp, &job->m->rcpts[told->rcpt],
			    RCPT_DONE, 0, &told->attempt);
}

/* Another job of the same message to the same destination. */
static struct job *
find_sibling(const struct spool *sp, const struct job *job)
{
	size_t i;

	for (i = 0; job->m->jobs > 0 && i < sp->job_room; i++)
		if (sp->jobs[i] != NULL && sp->jobs[i] != job &&
		    sp->jobs[i]->m == job->m && sp->jobs[i]->dest == job->dest)
			return sp->jobs[i];
	return NULL;
}

static void
move_told(struct told *told, struct told_list *from, struct told_list *to)
{
	TAILQ_REMOVE(from, told, link);
	TAILQ_INSERT_TAIL(to, told, link);
}

/* Many recipients go in several jobs, which are one attempt to the sender:
 * the last to end sends the bounce. */
static void
hand_on(const struct spool *sp, struct job *job)
{
	struct job *sibling;
	struct told *told, *next;

	sibling = find_sibling(sp, job);
	if (sibling == NULL)
		return;
	TAILQ_FOREACH_SAFE(told, &job->told, link, next) {
		if (told->kind == REPORT_BOUNCE)
			move_told(told, &job->told, &sibling->told);
	}
}

int
spool_job_end(struct spool *sp, uint64_t number, int64_t now_ms)
{
	struct job *job;
	size_t i;

	sp->now_ms = now_ms;
	job = find_job(sp, number);
	if (job == NULL)
		return -1;
	for (i = 0; i < job->count; i++)
		if (!job->done[i])
			return_rcpt(sp, job, &job->m->rcpts[job->rcpts[i]]);
	limit_end(&job->dest->limit, now_ms);
	index_settle(&sp->index, job->dest, now_ms);
	job->m->jobs--;
	if (!TAILQ_EMPTY(&job->told))
		hand_on(sp, job);
	/* The report is written before the outcome: if the tail is torn, the
	 * recipient is tried again, and not lost without a report. */
	if (!TAILQ_EMPTY(&job->told)) {
		spool_report(sp, job->m, &job->env, &job->told);
		note_told(sp, job);
	}
	if (job->m->alive == 0 && job->m->jobs == 0)
		spool_finish(sp, job->m);
	index_let_dest(&sp->index, job->dest);
	free_job(sp, job);
	return 0;
}
