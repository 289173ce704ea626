#include "queue/retry.h"

#include "tests/t.h"

int
main(void)
{
	struct retry_conf conf = { 300000, 14400000 };
	int64_t at;
	unsigned i;

	t_case("the delay doubles from the first up to the greatest");
	/* In the middle of the spread. */
	t_int(retry_delay_ms(&conf, 1, 0x80000000U), 300000);
	t_int(retry_delay_ms(&conf, 2, 0x80000000U), 600000);
	t_int(retry_delay_ms(&conf, 3, 0x80000000U), 1200000);
	t_int(retry_delay_ms(&conf, 7, 0x80000000U), 14400000);
	t_int(retry_delay_ms(&conf, 60000, 0x80000000U), 14400000);

	t_case("it is spread by an eighth to both sides");
	for (i = 0; i < 100; i++) {
		at = retry_delay_ms(&conf, 1, i * 42949672U);
		t_true(at >= 262500 && at < 337500);
	}
	t_int(retry_delay_ms(&conf, 1, 0), 262500);

	t_case("it is never nothing");
	conf.first_ms = 0;
	conf.max_ms = 0;
	t_true(retry_delay_ms(&conf, 1, 0) >= 1);

	t_case("notice of delay: sooner for TLS, never where none is wanted");
	t_int(retry_warns_ms(1000, 14400000, 3600000, false), 14401000);
	t_int(retry_warns_ms(1000, 14400000, 3600000, true), 3601000);
	t_int(retry_warns_ms(1000, 14400000, 20000000, true), 14401000);
	t_true(retry_warns_ms(1000, -1, -1, true) == INT64_MAX);
	t_int(retry_warns_ms(1000, -1, 3600000, true), 3601000);
	t_true(retry_warns_ms(1000, -1, 3600000, false) == INT64_MAX);
	t_int(retry_expires_ms(1000, 500), 1500);
	return t_done();
}
