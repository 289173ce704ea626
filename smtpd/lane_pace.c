/* Does one more session pay? What its opening takes is weighed against how long
 * the jobs in line would wait for the others. */

#include <time.h>

#include "smtpd/lane_part.h"

#define OPENING_US 300000 /* assumed until a session was opened */

static int64_t
now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void
lane_pace_begin(struct berth *b)
{
	b->began_us = now_us();
}

void
lane_pace_opened(struct berth *b)
{
	b->lane->open_us = now_us() - b->began_us;
}

void
lane_pace_served(struct berth *b)
{
	struct lane *lane = b->lane;
	int64_t took = now_us() - b->began_us;

	/* A moving average over some eight jobs. */
	lane->serve_us = lane->serve_us == 0
	    ? took
	    : lane->serve_us + (took - lane->serve_us) / 8;
}

static void
look_again(void *arg)
{
	lane_soon(arg);
}

void
lane_pace_init(struct lane *lane)
{
	lane->open_us = OPENING_US;
	ev_timer_init(&lane->pace, look_again, lane);
}

void
lane_pace_stop(struct lane *lane)
{
	ev_timer_del(lane->pool->options.setup->ev, &lane->pace);
}

/*
 * A job takes as long as others did, or as the one under way has by now: a
 * host may think about a message for half a minute.
 */
bool
lane_pace_pays(struct lane *lane, const struct lane_job *job)
{
	int64_t now = now_us(), serve_us = lane->serve_us, enough_us;
	unsigned sessions = 0, waiting = (unsigned)lane->job_count;
	const struct berth *b;
	bool serves = false;

	TAILQ_FOREACH(b, &lane->berths, entry) {
		if (b->job != NULL)
			waiting--;
		if (b->plan != lane->plan)
			continue;
		sessions++;
		serves = serves || (b->ready && b->at >= job->from);
		if (b->job != NULL && now - b->began_us > serve_us)
			serve_us = now - b->began_us;
	}
	if (!serves || waiting == 0)
		return true;
	enough_us = lane->open_us * sessions / waiting;
	if (serve_us > enough_us)
		return true;
	ev_timer_set(lane->pool->options.setup->ev, &lane->pace,
	    lane_now(lane) + (enough_us - serve_us) / 1000 + 1);
	return false;
}
