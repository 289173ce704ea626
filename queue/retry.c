#include "queue/retry.h"

int64_t
retry_delay_ms(const struct retry_conf *conf, unsigned failures,
    uint32_t random)
{
	int64_t delay, spread;

	delay = conf->first_ms;
	while (failures > 1 && delay < conf->max_ms) {
		delay *= 2;
		failures--;
	}
	if (delay > conf->max_ms)
		delay = conf->max_ms;
	if (delay < 1)
		delay = 1;
	spread = delay / 4;
	return delay - spread / 2 +
	    (int64_t)((uint64_t)random * (uint64_t)spread >> 32);
}

int64_t
retry_expires_ms(int64_t arrived_ms, int64_t expire_ms)
{
	return arrived_ms + expire_ms;
}

int64_t
retry_warns_ms(int64_t arrived_ms, int64_t warn_ms, int64_t warn_tls_ms,
    bool tls)
{
	int64_t wait;

	wait = warn_ms;
	if (tls && warn_tls_ms >= 0 && (wait < 0 || warn_tls_ms < wait))
		wait = warn_tls_ms;
	return wait < 0 ? INT64_MAX : arrived_ms + wait;
}
