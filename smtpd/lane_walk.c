#include "smtpd/lane_part.h"

#include <stdlib.h>
#include <string.h>

#include "smtpd/base/log.h"

#define WALK_MS 1800000 /* for finding a host at all */
#define AGAIN_MAX 3     /* times that a connection may be gone */

static void on_session(void *arg, struct session *, enum session_event);

/* ---- jobs for sessions ---- */

/* May it take mail by its route? One that took longer to open than the route
 * lives may do so once. */
static bool
is_current(const struct berth *b)
{
	const struct lane *lane = b->lane;

	return b->plan == lane->plan && !lane->asking && !lane->refresh &&
	    (!lane_is_expired(lane) || b->served == 0);
}

/* Give it a job that it may serve; false: there is none. */
static bool
take_job(struct berth *b)
{
	struct lane *lane = b->lane;
	struct lane_job *job;

	if (!is_current(b))
		return false;
	TAILQ_FOREACH(job, &lane->jobs, entry)
		if (job->from <= b->at)
			break;
	if (job == NULL)
		return false;
	lane_berth_wake(b);
	TAILQ_REMOVE(&lane->jobs, job, entry);
	b->job = job;
	lane_make_message(job);
	lane_pace_begin(b);
	session_send(b->session, &job->message, job->body);
	return true;
}

static void
look_for_job(struct berth *b)
{
	struct lane *lane = b->lane;

	if (take_job(b))
		return;
	if (!is_current(b) && b->plan != lane->plan)
		lane_berth_close(b);
	else
		lane_berth_rest(b);
	lane_soon(lane);
}

/* The job waits again. */
static void
return_job(struct berth *b)
{
	struct lane *lane = b->lane;
	struct lane_job *job = b->job;

	b->job = NULL;
	if (b->plan != lane->plan)
		job->from = 0;
	TAILQ_INSERT_HEAD(&lane->jobs, job, entry);
}

/* The job's results are there; it goes back to its owner, or to the lane. */
static void
settle_job(struct berth *b, bool stay)
{
	struct lane *lane = b->lane;
	struct lane_job *job = b->job;

	if (!lane_take_results(lane, b, stay)) {
		return_job(b);
		return;
	}
	b->job = NULL;
	lane_finish_job(lane, job);
}

/* ---- what sessions tell ---- */

static bool
others_ready(const struct berth *b)
{
	const struct berth *other;

	TAILQ_FOREACH(other, &b->lane->berths, entry)
		if (other != b && other->ready && other->plan == b->plan &&
		    other->at == b->at)
			return true;
	return false;
}

/* The session never became ready: do not try its address again on this walk. */
static void
mark_bad(struct berth *b)
{
	const struct session_fault *f = session_fault(b->session);
	struct lane_plan *plan = b->plan;
	size_t i = b->at, end = b->at + 1;

	free(plan->candidate[i].kept);
	plan->candidate[i].kept = lane_keep_fault(b);
	if (f->before_contact)
		end = lane_next_host(plan, i);
	/* Hosts behind ourselves in the list lead back here (RFC 5321 5.1). */
	if (f->trouble.reason == REASON_MAIL_LOOP)
		end = plan->candidate_count;
	for (; i < end; i++)
		plan->candidate[i].bad = true;
}

/*
 * Had the connection served before, and was it gone when the host should have
 * taken up the job? Then a new one to the same host is tried at once: a
 * deferral would bring no more.
 */
static bool
was_gone(const struct berth *b)
{
	const struct session_fault *f = session_fault(b->session);

	if (b->served == 0 || b->job->again >= AGAIN_MAX)
		return false;
	return !session_was_answered(b->session) ||
	    (f->trouble.next_host && f->trouble.scope == SCOPE_HOST);
}

/* By at least one recipient. */
static bool
was_taken(const struct berth *b)
{
	size_t i;

	for (i = 0; i < b->job->message.rcpt_count; i++)
		if (session_result(b->session, i)->trouble.outcome ==
		    OUTCOME_DELIVERED)
			return true;
	return false;
}

/*
 * Did the host refuse all of it on a connection that another lane opened? It
 * may count messages, or tell the senders of domains apart: then that is no
 * answer to us yet.
 */
static bool
was_turned_away(const struct berth *b)
{
	const struct client_result *c;
	size_t i;

	if (!b->is_guest)
		return false;
	for (i = 0; i < b->job->message.rcpt_count; i++) {
		c = session_result(b->session, i);
		if (c->tried &&
		    (c->trouble.outcome == OUTCOME_DELIVERED ||
			c->reply[0] == '\0'))
			return false;
	}
	return true;
}

/* The job waits for a connection of our own. */
static void
send_again(struct berth *b)
{
	b->job->again++;
	return_job(b);
}

/* One connection was found dead: its idle siblings may well be so too. */
static void
close_siblings(const struct berth *b)
{
	struct berth *other, *next;

	TAILQ_FOREACH_SAFE(other, &b->lane->berths, entry, next)
		if (other != b && other->ready && other->job == NULL)
			lane_berth_close(other);
}

static void
on_ended(struct berth *b)
{
	struct lane *lane = b->lane;
	bool gone;

	if (b->job != NULL && was_turned_away(b)) {
		send_again(b);
	} else if (b->job != NULL) {
		gone = was_gone(b);
		if (gone) {
			b->job->again++;
			close_siblings(b);
		}
		settle_job(b, gone);
	} else if (!b->ready && b->plan == lane->plan) {
		/* It serves our other sessions: it does not want so many. */
		if (others_ready(b))
			lane->cap = (unsigned)lane->berth_count - 1;
		else
			mark_bad(b);
	}
	session_free(b->session);
	lane_berth_leave(b);
}

/* A host serves the lane: if of the plan in use, the walk has come to its end.
 */
static void
note_ready(struct berth *b)
{
	b->plan->is_news = false;
	if (b->plan != b->lane->plan)
		return;
	b->lane->proven = true;
	b->lane->walk_began_ms = 0;
}

/* False: the session is closed. */
static bool
take_result(struct berth *b)
{
	lane_pace_served(b);
	lane_resume_keep(b);
	lane_berth_served(b, was_taken(b));
	if (!was_turned_away(b)) {
		settle_job(b, false);
		return true;
	}
	send_again(b);
	lane_berth_close(b);
	return false;
}

static void
on_session(void *arg, struct session *s, enum session_event event)
{
	struct berth *b = arg;

	(void)s;
	switch (event) {
	case SESSION_READY:
		b->ready = true;
		lane_pace_opened(b);
		lane_resume_keep(b);
		note_ready(b);
		lane_soon(b->lane); /* others may open now */
		break;
	case SESSION_RESULT:
		if (!take_result(b))
			return;
		break;
	case SESSION_ENDED:
		on_ended(b);
		return;
	}
	look_for_job(b);
}

/* ---- the walk ---- */

static size_t
count_opening(const struct lane *lane)
{
	const struct berth *b;
	size_t count = 0;

	TAILQ_FOREACH(b, &lane->berths, entry)
		if (!b->ready && b->plan == lane->plan)
			count++;
	return count;
}

bool
lane_is_opening(const struct lane *lane)
{
	return count_opening(lane) > 0;
}

static bool
opening_serves(const struct lane *lane, const struct lane_job *job)
{
	const struct berth *b;

	TAILQ_FOREACH(b, &lane->berths, entry)
		if (!b->ready && b->plan == lane->plan && b->at >= job->from)
			return true;
	return false;
}

/* A session that another lane opened and does not need. */
static struct berth *
take_over(struct lane *lane, size_t at)
{
	struct berth *b = lane_berth_take_over(lane, at);

	if (b != NULL)
		note_ready(b);
	return b;
}

/* What others have to spare comes before what must be opened. A job that has
 * met a connection that was gone gets a new one. */
static void
take_spares(struct lane *lane)
{
	struct lane_job *job;
	struct berth *b;
	size_t at;

	if (lane_is_expired(lane))
		return;
	while ((job = TAILQ_FIRST(&lane->jobs)) != NULL && job->again == 0 &&
	    lane->berth_count < lane->width) {
		at = lane_next(lane->plan, job->from);
		if (at == lane->plan->candidate_count)
			return;
		b = take_over(lane, at);
		if (b == NULL || !take_job(b))
			return;
	}
}

static struct berth *
idle_berth(const struct lane *lane)
{
	struct berth *b;

	TAILQ_FOREACH(b, &lane->berths, entry)
		if (b->ready && b->job == NULL)
			return b;
	return NULL;
}

static bool
may_open(struct lane *lane)
{
	size_t limit = lane->width < lane->cap ? lane->width : lane->cap;
	struct berth *idle;

	if (lane->berth_count >= limit && (idle = idle_berth(lane)) != NULL)
		lane_berth_close(idle);
	return lane->berth_count < limit || lane->berth_count == 0;
}

/* What is counted while open_for_jobs() goes through the waiting jobs. */
struct opening {
	size_t unclaimed; /* sessions that are opening, for no job yet */
	size_t begun;
	size_t ready;
};

static void
give_up_on(struct lane *lane, struct lane_job *job)
{
	TAILQ_REMOVE(&lane->jobs, job, entry);
	lane_fail_everywhere(lane, job);
}

/* False: no more sessions may be opened now. */
static bool
open_for(struct lane *lane, struct lane_job *job, struct opening *o)
{
	size_t at;

	if (o->unclaimed > 0 && opening_serves(lane, job)) {
		o->unclaimed--;
		return true;
	}
	at = lane_next(lane->plan, job->from);
	if (at == lane->plan->candidate_count) {
		give_up_on(lane, job);
		return true;
	}
	/* A single session finds the host that works. Then each look at most
	 * doubles their number: a quick host needs few. */
	if (!lane_pace_pays(lane, job))
		return false;
	return may_open(lane) && lane_berth_open(lane, at, on_session) &&
	    lane->proven && ++o->begun < o->ready;
}

/* Open what the waiting jobs need and the width permits. */
static void
open_for_jobs(struct lane *lane)
{
	struct lane_job *job, *next;
	struct opening o;

	o.begun = o.unclaimed = count_opening(lane);
	o.ready = lane->berth_count - o.begun;
	/* With a route that is too old only what is opening is waited for. */
	if (o.begun > 0 && (!lane->proven || lane_is_expired(lane)))
		return;
	TAILQ_FOREACH_SAFE(job, &lane->jobs, entry, next)
		if (!open_for(lane, job, &o))
			return;
}

void
lane_forget_walk(struct lane *lane)
{
	struct candidate *c = lane->plan->candidate;
	size_t i;

	for (i = 0; i < lane->plan->candidate_count; i++)
		if (c[i].addr != NULL)
			c[i].bad = false;
	lane->proven = false;
	lane->walk_began_ms = 0;
}

static bool
walk_is_over(struct lane *lane)
{
	if (lane->berth_count > 0)
		return false;
	if (lane->walk_began_ms == 0) {
		/* What went wrong while others served says nothing of now. */
		if (lane_next(lane->plan, 0) == lane->plan->candidate_count)
			lane_forget_walk(lane);
		lane->walk_began_ms = lane_now(lane);
	}
	return lane_next(lane->plan, 0) == lane->plan->candidate_count ||
	    (!lane->proven && lane_now(lane) - lane->walk_began_ms > WALK_MS);
}

void
lane_open_ahead(struct lane *lane)
{
	size_t at = lane_next(lane->plan, 0);

	if (lane->plan->route->status == ROUTE_OK && lane->berth_count == 0 &&
	    at < lane->plan->candidate_count && take_over(lane, at) == NULL &&
	    lane_berth_open(lane, at, on_session))
		lane->walk_began_ms = lane_now(lane);
}

void
lane_walk(struct lane *lane)
{
	struct berth *b = TAILQ_FIRST(&lane->berths);

	/* What takes a job may end at once, and others with it. */
	while (b != NULL)
		b = b->ready && b->job == NULL && take_job(b)
		    ? TAILQ_FIRST(&lane->berths)
		    : TAILQ_NEXT(b, entry);
	if (walk_is_over(lane)) {
		if (lane_give_up(lane))
			lane_forget_walk(lane);
		return;
	}
	take_spares(lane);
	open_for_jobs(lane);
}

void
lane_expire(struct lane *lane)
{
	if (lane->plan != NULL)
		lane->plan->expires_ms = lane_now(lane);
}

void
lane_close_idle(struct lane *lane, bool all)
{
	struct berth *b, *next;

	TAILQ_FOREACH_SAFE(b, &lane->berths, entry, next) {
		if (b->job != NULL || (!all && b->plan == lane->plan))
			continue;
		if (b->ready) {
			lane_berth_close(b);
			continue;
		}
		session_free(b->session);
		lane_berth_leave(b);
	}
}

void
lane_close_all(struct lane *lane)
{
	struct berth *b, *next;

	lane_close_idle(lane, true);
	TAILQ_FOREACH_SAFE(b, &lane->berths, entry, next) {
		TAILQ_INSERT_HEAD(&lane->jobs, b->job, entry);
		session_free(b->session);
		lane_berth_leave(b);
	}
}
