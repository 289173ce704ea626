#include "smtpd/lane.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/base/log.h"
#include "smtpd/lane_part.h"

#define REST_MS 20000     /* an empty lane is kept for, with its sessions */
#define REFRESH_MS 300000 /* between two looks for a changed policy */
#define RECHECK_MS 1000   /* that are asked for */
#define ASK_MS 180000     /* for an answer to how the destination is reached */

int64_t
lane_now(const struct lane *lane)
{
	return ev_now(lane->pool->options.setup->ev);
}

bool
lane_is_expired(const struct lane *lane)
{
	return lane_now(lane) >= lane->plan->expires_ms;
}

/* ---- jobs ---- */

void
lane_finish_job(struct lane *lane, struct lane_job *job)
{
	free(job->to);
	free(job->to_rcpt);
	free(job->kept);
	job->to = NULL;
	job->to_rcpt = NULL;
	job->kept = NULL;
	lane->job_count--;
	lane->pool->options.ops->done(lane->pool->options.arg, job);
}

void
lane_fail_job(struct lane *lane, struct lane_job *job,
    struct msg_rcpt_result *result)
{
	const struct lane_pool_options *o = &lane->pool->options;
	size_t i;

	for (i = 0; i < job->rcpt_count; i++) {
		if (job->rcpts[i].settled)
			continue;
		job->rcpts[i].settled = true;
		o->ops->result(o->arg, job, i, result);
	}
	lane_finish_job(lane, job);
}

static struct lane_job *
first_waiting(struct lane *lane)
{
	struct lane_job *job = TAILQ_FIRST(&lane->jobs);

	if (job != NULL)
		TAILQ_REMOVE(&lane->jobs, job, entry);
	return job;
}

/* Hand back every job that waits. */
static void
fail_waiting(struct lane *lane, void (*fail)(struct lane *, struct lane_job *))
{
	struct lane_job *job;

	while ((job = first_waiting(lane)) != NULL)
		fail(lane, job);
}

/* ---- the question for the route ---- */

static bool
may_refresh(const struct lane *lane, int64_t after_ms)
{
	return lane->refreshed_ms == 0 ||
	    lane_now(lane) - lane->refreshed_ms >= after_ms;
}

static void
ask(struct lane *lane)
{
	const struct lane_pool_options *o = &lane->pool->options;
	bool refresh = lane->refresh;

	if (lane->asking)
		return;
	lane->asking = true;
	lane->asked_refresh = refresh;
	lane->asked_s = o->now();
	lane->refresh = false;
	if (refresh)
		lane->refreshed_ms = lane_now(lane);
	ev_timer_set(o->setup->ev, &lane->patience, lane_now(lane) + ASK_MS);
	o->ops->ask(o->arg, lane, refresh);
}

/* Is it TLS or policy that rules a host, or the whole route, out? */
static bool
fails_by_policy(const struct lane_plan *plan)
{
	size_t i;

	if (plan->route->status == ROUTE_DEFER)
		return reason_is_tls(plan->route->reason);
	for (i = 0; i < plan->candidate_count; i++)
		if (plan->candidate[i].kept != NULL &&
		    reason_is_tls(plan->candidate[i].kept->trouble.reason))
			return true;
	return false;
}

/* No host would do under a policy in mode enforce: ask whether it has changed
 * meanwhile (RFC 8461 5.1), unless it was fetched for this very walk. */
static bool
ask_once_more(struct lane *lane)
{
	struct lane_plan *plan = lane->plan;
	bool is_news = plan->is_news;

	plan->is_news = false;
	if (plan->route->mode != POLICY_ENFORCE || is_news ||
	    !may_refresh(lane, REFRESH_MS) || !fails_by_policy(plan))
		return false;
	lane->second_look = lane->refresh = true;
	ask(lane);
	return true;
}

static void
fail_all(struct lane *lane)
{
	fail_waiting(lane,
	    lane->plan->route->status == ROUTE_OK ? lane_fail_everywhere
						  : lane_fail_route);
}

bool
lane_give_up(struct lane *lane)
{
	if (ask_once_more(lane))
		return false;
	fail_all(lane);
	return true;
}

/* ---- what to do next ---- */

/* Is its route unknown, too old, or doubted? */
static bool
must_ask(const struct lane *lane)
{
	return lane->plan == NULL || lane->refresh ||
	    (lane_is_expired(lane) && !lane_is_opening(lane));
}

/* Nothing waits. */
static void
run_idle(struct lane *lane)
{
	if (lane->job_count == 0)
		ev_timer_set(lane->pool->options.setup->ev, &lane->rest,
		    lane_now(lane) + REST_MS);
	if (!lane->open_ahead || lane->asking)
		return;
	if (must_ask(lane)) {
		ask(lane);
		return;
	}
	lane->open_ahead = false;
	lane_open_ahead(lane);
}

static void
run(void *arg)
{
	struct lane *lane = arg;

	if (TAILQ_EMPTY(&lane->jobs)) {
		run_idle(lane);
		return;
	}
	lane->open_ahead = false;
	if (lane->asking)
		return;
	if (must_ask(lane)) {
		ask(lane);
		return;
	}
	if (lane->plan->route->status == ROUTE_OK)
		lane_walk(lane);
	else if (lane_give_up(lane))
		lane_soon(lane);
}

void
lane_soon(struct lane *lane)
{
	if (!lane->freed)
		ev_soon(lane->pool->options.setup->ev, &lane->run, run, lane);
}

/* ---- the answer ---- */

static void
use_plan(struct lane *lane, struct lane_plan *plan)
{
	struct lane_job *job;

	if (lane->walk_began_ms != 0 && lane->plan != NULL &&
	    lane_policy_is_same(lane->plan->route, plan->route))
		lane_plan_carry_over(lane->plan, plan);
	lane_plan_release(lane->plan);
	lane->plan = plan;
	lane->proven = false;
	lane->cap = UINT_MAX;
	TAILQ_FOREACH(job, &lane->jobs, entry)
		job->from = 0;
	lane_close_idle(lane, false);
}

void
lane_answer(struct lane *lane, struct lane_route *route)
{
	struct lane_plan *plan = lane->plan;
	bool second_look = lane->second_look;

	if (!lane->asking) {
		lane_route_free(route);
		return;
	}
	lane->asking = lane->second_look = false;
	ev_timer_del(lane->pool->options.setup->ev, &lane->patience);
	lane_soon(lane);
	if (second_look)
		lane->walk_began_ms = 0;
	if (second_look && lane_policy_is_same(plan->route, route))
		fail_all(lane);
	if (!second_look && plan != NULL &&
	    lane_route_is_same(plan->route, route)) {
		lane_plan_prolong(lane, plan, route);
		lane_route_free(route);
		return;
	}
	use_plan(lane, lane_plan_new(lane, route));
}

void
lane_ask_again(struct lane *lane)
{
	const struct lane_pool_options *o = &lane->pool->options;

	if (lane->asking)
		o->ops->ask(o->arg, lane, lane->asked_refresh);
}

static void
fail_unanswered(struct lane *lane, struct lane_job *job)
{
	lane_fail_locally(lane, job,
	    "no answer came to how the destination is reached");
}

static void
on_no_answer(void *arg)
{
	struct lane *lane = arg;

	lane->asking = lane->second_look = lane->open_ahead = false;
	fail_waiting(lane, fail_unanswered);
	lane_soon(lane);
}

/* ---- what its owner asks for ---- */

void
lane_add(struct lane *lane, struct lane_job *job, unsigned width)
{
	ev_timer_del(lane->pool->options.setup->ev, &lane->rest);
	lane->width = width < 1 ? 1 : width;
	lane->job_count++;
	job->from = 0;
	job->to = xcalloc(job->rcpt_count + 1, sizeof(*job->to));
	job->to_rcpt = xcalloc(job->rcpt_count + 1, sizeof(*job->to_rcpt));
	TAILQ_INSERT_TAIL(&lane->jobs, job, entry);
	/* Jobs that expire together share one look at the policy. */
	if (job->recheck && may_refresh(lane, RECHECK_MS))
		lane->refresh = true;
	lane_soon(lane);
}

void
lane_expect(struct lane *lane)
{
	if (lane->job_count > 0 || lane->berth_count > 0)
		return;
	/* What an earlier one met that never came does not hold for this. */
	if (lane->plan != NULL)
		lane_forget_walk(lane);
	lane->open_ahead = true;
	lane_soon(lane);
}

void
lane_renew(struct lane *lane)
{
	lane_plan_release(lane->plan);
	lane->plan = NULL;
	lane->walk_began_ms = 0;
	lane->proven = lane->second_look = false;
	lane_close_idle(lane, true);
	lane_soon(lane);
}

void
lane_drain(struct lane *lane)
{
	lane_close_idle(lane, true);
	fail_waiting(lane, lane_finish_job);
}

void *
lane_owner(const struct lane *lane)
{
	return lane->owner;
}

/* ---- the life of a lane ---- */

static void
on_rest(void *arg)
{
	struct lane *lane = arg;

	if (lane->job_count == 0)
		lane->pool->options.ops->idle(lane->pool->options.arg, lane);
}

struct lane *
lane_new(struct lane_pool *pool, const struct lane_options *options)
{
	struct lane *lane = xcalloc(1, sizeof(*lane));

	lane->pool = pool;
	lane->owner = options->owner;
	lane->destination = xstrdup(options->destination);
	lane->domain = xstrdup(options->domain);
	lane->level = options->level;
	lane->implicit_tls = options->implicit_tls;
	if (options->auth != NULL) {
		lane->has_auth = true;
		lane->auth.user = xstrdup(options->auth->user);
		lane->auth.password = xstrdup(options->auth->password);
	}
	lane->width = 1;
	lane->cap = UINT_MAX;
	TAILQ_INIT(&lane->jobs);
	TAILQ_INIT(&lane->berths);
	ev_timer_init(&lane->rest, on_rest, lane);
	ev_timer_init(&lane->patience, on_no_answer, lane);
	lane_pace_init(lane);
	return lane;
}

static void
fail_stopped(struct lane *lane, struct lane_job *job)
{
	lane_fail_locally(lane, job, "delivery was stopped");
}

static void
free_secret(const char *text)
{
	char *copy;

	if (text == NULL)
		return;
	memcpy(&copy, &text, sizeof(copy));
	explicit_bzero(copy, strlen(copy));
	free(copy);
}

void
lane_free(struct lane *lane)
{
	struct ev *ev;

	if (lane == NULL || lane->freed)
		return;
	ev = lane->pool->options.setup->ev;
	lane->freed = true;
	lane_close_all(lane);
	fail_waiting(lane, fail_stopped);
	ev_soon_del(ev, &lane->run);
	ev_timer_del(ev, &lane->rest);
	ev_timer_del(ev, &lane->patience);
	lane_pace_stop(lane);
	if (lane->waiting)
		TAILQ_REMOVE(&lane->pool->waiting, lane, waiting_entry);
	lane_plan_release(lane->plan);
	free(lane->destination);
	free(lane->domain);
	free_secret(lane->auth.user);
	free_secret(lane->auth.password);
	free(lane);
}

/* ---- the pool ---- */

struct lane_pool *
lane_pool_new(const struct lane_pool_options *options)
{
	struct lane_pool *pool = xcalloc(1, sizeof(*pool));

	pool->options = *options;
	pool->resume = lane_resume_new();
	TAILQ_INIT(&pool->waiting);
	return pool;
}

void
lane_pool_free(struct lane_pool *pool)
{
	if (pool == NULL)
		return;
	ev_soon_del(pool->options.setup->ev, &pool->turn);
	lane_resume_free(pool->resume);
	free(pool);
}
