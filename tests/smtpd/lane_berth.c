/* Sessions of lanes: who may begin one, and by which route. */

#include "tests/smtpd/lane_ways.h"

#define THINK_MS 100

static const struct way usual = { USUAL("a", 0) };
static const struct way other = { USUAL("b", 0) };
static const struct way third = { USUAL("c", 0) };

/* A pool for one session: two lanes wait, and the first of them finds that it
 * needs none of its own. */
static void
test_waiting(struct mx *mx, struct mx *mx2)
{
	struct lane *lane[3];

	t_case("berth: the last that waits gets its turn, too");
	open_empty_world();
	lane_pool_free(world->pool);
	open_world(world, LEVEL_REQUIRE, 1);
	lane_free(world->lane);
	lanes = 0;
	lane[0] = begin(&usual, mx);
	run_for(THINK_MS / 2, stop_loop);
	lane[1] = begin(&other, mx);
	run_for(1, stop_loop);
	lane[2] = begin(&third, mx2);
	while (world->done < 1)
		run_for(THINK_MS, stop_loop);
	world->lane = lane[1];
	give(world, 1, 1); /* a look: it takes over what has become free */
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), 4);
	end_lanes(lane, 3);
}

/* Content that is shorter than was said: the session ends as it is sent. */
static void
test_ends_at_once(void)
{
	struct mx_conduct conduct = { .tls = good,
		.ehlo = "250-CHUNKING\r\n",
		.think_ms = THINK_MS };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct lane *lane;
	int i;

	t_case("berth: one that ends as it gets its message takes no other"
	       " down");
	open_empty_world();
	lane = begin(&usual, mx);
	for (i = 0; i < 6; i++)
		give(world, 1, 3);
	finish(world);
	t_int(mx_connections(mx), 3);
	give(world, 1, 3)->job.size = 4000;
	give(world, 1, 3);
	give(world, 1, 3);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), 9);
	t_int(count(world, OUTCOME_DEFERRED), 1);
	lane_free(lane);
	world->lane = NULL;
	close_world(world);
	mx_stop(mx);
}

static struct mx *watched;
static int opened; /* connections to it when a route was asked for again */

static void
watch_ask(void *arg, struct lane *lane, bool refresh)
{
	opened = mx_connections(watched);
	on_ask(arg, lane, refresh);
}

static void
open_watched_world(struct mx *mx)
{
	static const struct lane_ops watching = { watch_ask, on_result, on_done,
		on_idle };
	struct lane_pool_options pool = { .setup = &setup,
		.ops = &watching,
		.arg = world,
		.sessions_max = 100,
		.spare_ms = spare_ms,
		.now = wall_clock };

	open_empty_world();
	lane_pool_free(world->pool);
	world->pool = lane_pool_new(&pool);
	watched = mx;
}

/* Its messages take no time, its connections do. */
static void
test_new_policy(void)
{
	struct mx_conduct conduct = { .tls = good,
		.greet_ms = 30,
		.think_ms = 5 };
	struct mx *mx = mx_start(1, 0, &conduct);
	struct lane *lane;
	int i;

	t_case("berth: a policy that has changed is asked for before more is"
	       " opened");
	open_watched_world(mx);
	lane = begin(&usual, mx);
	finish(world);
	for (i = 0; i < 55; i++)
		give(world, 1, 8);
	while (mx_connections(mx) < 2)
		run_for(1, stop_loop);
	world->next[lanes++] = make_route(&usual, mx);
	lane_expire(lane);
	finish(world);
	t_int(world->asked, 2);
	t_true(opened <= 10);
	t_int(count(world, OUTCOME_DELIVERED), 56);
	lane_free(lane);
	world->lane = NULL;
	close_world(world);
	mx_stop(mx);
}

int
main(void)
{
	struct mx_conduct conduct = { .think_ms = THINK_MS };
	struct mx *mx, *mx2;

	make_world();
	conduct.tls = good;
	mx = mx_start(1, 0, &conduct);
	mx2 = mx_start(1, 0, &conduct);
	test_waiting(mx, mx2);
	mx_stop(mx);
	mx_stop(mx2);
	test_ends_at_once();
	test_new_policy();
	end_world();
	return t_done();
}
