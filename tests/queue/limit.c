#include "queue/limit.h"

#include "tests/t.h"

#define NOW 1700000000000

/* Jobs that may start now. */
static int
start_all(struct limit *limit, int64_t now)
{
	int n;

	for (n = 0; limit_next(limit, now) == 0 && n < 10000; n++)
		limit_begin(limit);
	return n;
}

static void
end_all(struct limit *limit, int64_t now)
{
	while (limit->busy > 0)
		limit_end(limit, now);
}

/* Of a queue that never runs dry, no period may see more than the rate,
 * and what goes should come near to it. */
static void
check_rate(unsigned rate, int64_t period, int64_t took)
{
	struct limit_conf conf = { 1000, rate, period };
	static int64_t began[4096], ended[4096];
	struct limit limit;
	size_t starts = 0, ends = 0, i;
	int64_t now;

	limit_init(&limit, &conf);
	limit.proven = true;
	limit.window = 1000;
	for (now = NOW; now < NOW + 10 * period; now += 100) {
		while (ends < starts && began[ends] + took <= now) {
			limit_end(&limit, now);
			ended[ends++] = now;
		}
		while (starts < 4096 && limit_next(&limit, now) == 0) {
			limit_begin(&limit);
			began[starts++] = now;
		}
	}
	for (i = rate; i < starts; i++)
		if (began[i] < ended[i - rate] + period)
			break;
	t_int(i, starts);
	/* A batch waits for its last. */
	t_true((int64_t)starts >=
	    rate * (10 * period / (period + period / 4 + took)));
}

int
main(void)
{
	struct limit_conf conf = { 20, 0, 0 };
	struct limit limit;
	int i;

	t_case("an unknown destination begins with few sessions");
	limit_init(&limit, &conf);
	t_int(start_all(&limit, NOW), LIMIT_FIRST);
	t_true(limit_next(&limit, NOW) == INT64_MAX);

	t_case("the window grows with success, up to `connections`");
	for (i = 0; i < 1000; i++)
		limit_worked(&limit);
	t_int(limit_width(&limit), 20);
	end_all(&limit, NOW);
	t_int(start_all(&limit, NOW), 20 * LIMIT_PER_SESSION);

	t_case("failure shrinks it, and lets one probe go when the time comes");
	t_true(limit_failed(&limit, NOW, NOW + 10, NOW + 300000));
	end_all(&limit, NOW);
	t_int(limit_next(&limit, NOW + 20), NOW + 300000);
	t_int(start_all(&limit, NOW + 300000), 1);
	t_int(limit_width(&limit), 1);

	t_case("what began before the failure tells nothing new");
	t_true(!limit_failed(&limit, NOW + 5, NOW + 20, NOW + 900000));
	t_int(limit.failures, 1);
	t_true(limit_failed(&limit, NOW + 300000, NOW + 300001, NOW + 900000));
	t_int(limit.failures, 2);

	t_case("a success brings it back");
	limit_worked(&limit);
	t_int(limit_width(&limit), 5); /* halved twice */
	end_all(&limit, NOW);
	t_true(start_all(&limit, NOW + 300002) > 1);

	t_case("the administrator's word forgets the failures");
	t_true(limit_failed(&limit, NOW + 300003, NOW + 300004, NOW + 900000));
	limit_forgive(&limit);
	end_all(&limit, NOW);
	t_true(start_all(&limit, NOW + 300005) >= LIMIT_FIRST);

	t_case("fewer connections are obeyed at once");
	conf.connections = 2;
	limit_change(&limit, &conf);
	end_all(&limit, NOW);
	t_true(start_all(&limit, NOW + 300006) <= 2 * LIMIT_PER_SESSION);
	conf.connections = 0;
	limit_change(&limit, &conf);
	t_int(limit.conf.connections, 1);

	t_case("a rate lets a period's worth go, and more when that is past");
	conf.connections = 1000;
	conf.rate = 60;
	conf.rate_ms = 60000;
	limit_init(&limit, &conf);
	limit.proven = true;
	limit.window = 1000;
	t_int(start_all(&limit, NOW), 60);
	t_true(limit_next(&limit, NOW) == INT64_MAX);
	end_all(&limit, NOW + 500);
	t_int(limit_next(&limit, NOW + 500), NOW + 60500);
	t_int(start_all(&limit, NOW + 60499), 0);
	t_int(start_all(&limit, NOW + 60500), 60);
	end_all(&limit, NOW + 60600);
	t_int(start_all(&limit, NOW + 1000000), 60);

	t_case("... in every period, however long messages take");
	check_rate(3, 6000, 100);
	check_rate(100, 60000, 5000);
	check_rate(7, 1000, 300);
	check_rate(1, 10000, 20000);

	t_case(
	    "a clock that was set back stops what a rate limits for a period");
	end_all(&limit, NOW + 1000000);
	limit_set_back(&limit, NOW - 5000000, NOW - 5000000);
	t_int(start_all(&limit, NOW - 5000000), 0);
	t_int(limit_next(&limit, NOW - 5000000), NOW - 5000000 + 60000);
	t_int(start_all(&limit, NOW - 5000000 + 60000), 60);
	return t_done();
}
