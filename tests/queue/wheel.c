#include "queue/wheel.h"

#include <stdlib.h>
#include <string.h>

#include "tests/t.h"

#define NOW 1700000000000
#define NODES 2000

static struct wheel wheel;
static struct wheel_node nodes[NODES];

static uint32_t
draw(void)
{
	static uint32_t state = 1;

	state = state * 1664525U + 1013904223U;
	return state >> 4;
}

/* Every timer goes off in its time, whatever steps the clock takes. */
static void
run(int64_t reach, int64_t step)
{
	struct wheel_node *node;
	int64_t now, before, next;
	int i, left;

	memset(nodes, 0, sizeof nodes);
	wheel_init(&wheel, NOW);
	for (i = 0; i < NODES; i++)
		wheel_set(&wheel, &nodes[i],
		    NOW + 1 + (int64_t)(draw() % 1000000) * (reach / 1000000));
	left = NODES;
	before = NOW;
	for (now = NOW; left > 0; now += step) {
		next = wheel_next(&wheel);
		while ((node = wheel_pop(&wheel, now)) != NULL) {
			left--;
			if (node->at_ms > now || wheel_is_set(node))
				t_str("too early", "");
			if (node->at_ms <= before - WHEEL_TICK_MS)
				t_str("too late", "");
			if (next > now)
				t_str("slept over", "");
		}
		before = now;
		if (now > NOW + 2 * reach)
			break;
	}
	t_int(left, 0);
	t_true(wheel_next(&wheel) == INT64_MAX || wheel_next(&wheel) > now);
}

int
main(void)
{
	struct wheel_node far;

	t_case("timers go off in their time: seconds");
	run(10000000, 50);
	t_case("hours, looked at every minute");
	run(36000000, 60000);
	t_case("days, looked at every hour");
	run(864000000000, 3600000000);

	t_case("a timer that is cleared does not go off");
	memset(nodes, 0, sizeof nodes);
	wheel_init(&wheel, NOW);
	wheel_set(&wheel, &nodes[0], NOW + 100);
	wheel_set(&wheel, &nodes[1], NOW + 100);
	wheel_clear(&nodes[0]);
	wheel_clear(&nodes[0]);
	t_true(wheel_pop(&wheel, NOW + 1000) == &nodes[1]);
	t_true(wheel_pop(&wheel, NOW + 1000) == NULL);

	t_case("set anew, it goes off once, at the later time");
	wheel_set(&wheel, &nodes[0], NOW + 2000);
	wheel_set(&wheel, &nodes[0], NOW + 9000);
	t_true(wheel_pop(&wheel, NOW + 8000) == NULL);
	t_true(wheel_pop(&wheel, NOW + 9050) == &nodes[0]);

	t_case("a clock that goes back by a day keeps timers to it");
	wheel_set(&wheel, &nodes[0], NOW - 86400000 + 5000);
	wheel_set(&wheel, &nodes[1], NOW + 20000);
	t_true(wheel_pop(&wheel, NOW - 86400000) == &nodes[0]);
	t_true(wheel_pop(&wheel, NOW - 86400000) == NULL);
	t_true(wheel_pop(&wheel, NOW + 20050) == &nodes[1]);

	t_case("what is further off than the wheel reaches is kept");
	memset(&far, 0, sizeof far);
	wheel_set(&wheel, &far, INT64_MAX);
	t_true(wheel_is_set(&far));
	t_true(wheel_pop(&wheel, NOW + 86400000) == NULL);
	wheel_clear(&far);
	return t_done();
}
