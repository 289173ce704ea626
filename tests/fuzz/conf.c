#include "smtpd/conf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
want(bool holds)
{
	if (!holds)
		abort();
}

/* What holds of every configuration without an error. */
static void
check(const struct conf *conf)
{
	static const char *const domains[] = { "", "a", "example.net",
		"sub.example.net", "xn--tda.example" };
	struct conf_dest d;

	want(conf->listen_count > 0 && conf->relay_from.count > 0);
	want(conf->message_size >= 65536 && conf->recipients > 0);
	want(conf->queue_directory[0] == '/' && conf->aliases[0] == '/');
	want(conf->queue_expire_s > 0 && conf->queue_retry_s > 0);
	want(conf->queue_retry_max_s >= conf->queue_retry_s);
	want(conf->queue_warn_tls_s <= conf->queue_warn_s);
	for (size_t i = 0; i < sizeof domains / sizeof domains[0]; i++) {
		conf_destination(conf, domains[i], 1795487579, &d);
		want(d.connections > 0);
		want(d.auth == NULL || d.via != NULL);
		want(d.via == NULL || d.via_port > 0);
		want((d.rate > 0) == (d.rate_s > 0));
		want((d.level == LEVEL_OPPORTUNISTIC) == (d.because != NULL));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_errors errors = { 0 };
	struct conf conf;

	if (conf_parse(&conf, "f", (const char *)data, size, &errors) == 0) {
		want(errors.count == 0);
		check(&conf);
	} else
		want(errors.count > 0);
	for (size_t i = 0; i < errors.len; i++)
		want(errors.text[i] == '\n' || errors.text[i] == '\t' ||
		    ((unsigned char)errors.text[i] >= 0x20 &&
			errors.text[i] != 0x7f));
	conf_clear(&conf);
	conf_errors_clear(&errors);
	return 0;
}
