#include "queue/limit.h"

#include "tests/t.h"

#define NOW 1700000000000

/* Jobs that may start now. */
static int
start_all(struct limit *limit, int64_t now)
{
	int n;

	for (n = 0; limit_next(limit, now) == 0 && n < 10000; n++)
		limit_begin(limit, now);
	return n;
}

static void
end_all(struct limit *limit)
{
	while (limit->busy > 0)
		limit_end(limit);
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
	end_all(&limit);
	t_int(start_all(&limit, NOW), 20 * LIMIT_PER_SESSION);

	t_case("failure shrinks it, and lets one probe go when the time comes");
	t_true(limit_failed(&limit, NOW, NOW + 10, NOW + 300000));
	end_all(&limit);
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
	end_all(&limit);
	t_true(start_all(&limit, NOW + 300002) > 1);

	t_case("the administrator's word forgets the failures");
	t_true(limit_failed(&limit, NOW + 300003, NOW + 300004, NOW + 900000));
	limit_forgive(&limit);
	end_all(&limit);
	t_true(start_all(&limit, NOW + 300005) >= LIMIT_FIRST);

	t_case("fewer connections are obeyed at once");
	conf.connections = 2;
	limit_change(&limit, &conf);
	end_all(&limit);
	t_true(start_all(&limit, NOW + 300006) <= 2 * LIMIT_PER_SESSION);
	conf.connections = 0;
	limit_change(&limit, &conf);
	t_int(limit.conf.connections, 1);

	t_case("a rate lets a period's worth go, then one after another");
	conf.connections = 1000;
	conf.rate = 60;
	conf.rate_ms = 60000;
	limit_init(&limit, &conf);
	limit.proven = true;
	limit.window = 1000;
	t_int(start_all(&limit, NOW), 60);
	t_int(limit_next(&limit, NOW), NOW + 1000);
	t_int(start_all(&limit, NOW + 1000), 1);
	t_int(start_all(&limit, NOW + 11000), 10);
	t_int(start_all(&limit, NOW + 1000000), 60);
	return t_done();
}
