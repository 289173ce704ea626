#include "smtpd/queue_jobs.h"

#include <string.h>

#include "tests/t.h"

static const char text[] =
    "connections 7\n"
    "destination * { via relay.example port 587\n connections 3 }\n"
    "destination strict.example { tls strict }\n"
    "destination direct.example { rate 5 per 1m\n via other.example }\n"
    "destination .own.example { via own.example port 2525\n rate 9 per 10s }\n"
    "destination one.example { via both.example\n connections 2\n"
    " rate 10 per 1m }\n"
    "destination two.example { via both.example\n connections 5\n"
    " rate 2 per 10s }\n"
    "destination six.example { via both.example\n rate 100 per 1s }\n";

/* All workers together have `connections` at most, and the home, where a
 * destination is alone, at least half of them. */
static void
widths(void)
{
	unsigned most, workers, home, other;

	t_case("connections: no worker, and not all together, have too many");
	for (workers = 1; workers <= 64; workers++)
		for (most = 1; most <= 1000; most += most < 50 ? 1 : 37) {
			home = queue_jobs_width(most, most, workers, true);
			other = queue_jobs_width(most, most, workers, false);
			t_row("%u among %u", most, workers);
			t_true(home + (workers - 1) * other <= most);
			t_true(home * 2 >= most && home >= 1);
			t_int(queue_jobs_width(1, most, workers, true), 1);
		}
	t_row(NULL);
	t_int(queue_jobs_width(20, 20, 2, true), 15);
	t_int(queue_jobs_width(20, 20, 2, false), 5);
	t_int(queue_jobs_width(3, 3, 2, true), 3);
	t_int(queue_jobs_width(3, 3, 2, false), 0);
}

int
main(void)
{
	static const struct {
		const char *domain;
		const char *key;
		unsigned connections;
		unsigned rate;
	} rows[] = {
		{ "a.example", "relay.example:587", 3, 0 },
		{ "b.example", "relay.example:587", 3, 0 },
		{ "strict.example", "relay.example:587;strict", 3, 0 },
		{ "direct.example", "other.example:25", 3, 5 },
		{ "x.own.example", "own.example:2525", 3, 9 },
		{ "one.example", "both.example:25", 2, 10 },
		{ "two.example", "both.example:25", 2, 10 },
		{ "six.example", "both.example:25", 2, 10 },
	};
	struct conf_errors errors = { 0 };
	struct limit_conf limits;
	char key[SPOOL_DEST_SIZE];
	struct conf conf;
	size_t i;

	widths();
	t_case("next hop: those who share a relay host share a key, unless they"
	       " demand another level, and obey the limits of all");
	t_int(conf_parse(&conf, "f", text, sizeof text - 1, &errors), 0);
	for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		t_row("%s", rows[i].domain);
		queue_jobs_next_hop(&conf, rows[i].domain, key);
		t_str(key, rows[i].key);
		(void)memset(&limits, 0xff, sizeof limits);
		queue_jobs_limits(&conf, key, &limits);
		t_int(limits.connections, rows[i].connections);
		t_int(limits.rate, rows[i].rate);
	}
	conf_clear(&conf);

	t_case("next hop: without a via line it is the domain, with the global"
	       " limits");
	t_row(NULL);
	t_int(conf_parse(&conf, "f", "connections 7", 13, &errors), 0);
	queue_jobs_next_hop(&conf, "a.example", key);
	t_str(key, "a.example");
	queue_jobs_limits(&conf, key, &limits);
	t_int(limits.connections, 7);
	t_int(limits.rate, 0);
	conf_clear(&conf);
	return t_done();
}
