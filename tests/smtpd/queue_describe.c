#include "smtpd/queue_describe.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/t.h"

#define NOW_MS 1795500000000LL /* 2026-11-24T06:00:00Z */

static struct recipient rcpts[] = { { "a@example.net", "", 0 } };

static struct envelope
make_envelope(void)
{
	struct envelope env;

	envelope_init(&env);
	env.id = 4;
	env.arrived_us = (uint64_t)(NOW_MS - 90000) * 1000;
	env.size = 1234;
	env.uid = -1;
	env.sender = "";
	env.client = "127.0.0.1";
	env.rcpts = rcpts;
	env.rcpt_count = 1;
	return env;
}

static struct spool_result
make_result(void)
{
	struct spool_result r = { .outcome = OUTCOME_DEFERRED,
		.scope = SCOPE_HOST,
		.tls = true,
		.reason = "starttls-not-supported",
		.dsn = "4.7.5",
		.mx = "mx.example.net",
		.reply = "",
		.detail = "says \"no\"" };

	return r;
}

static void
test_entry(void)
{
	struct envelope env = make_envelope();
	struct spool_result last = make_result();
	struct spool_entry e = { .env = &env, .destination = "example.net" };
	struct json j;

	json_init(&j);
	t_case("queue: before a first attempt reason, detail, mx and last are"
	       " null, and next is now");
	json_object(&j, NULL);
	describe_entry(&j, &e, NOW_MS);
	json_end(&j);
	t_str(json_text(&j),
	    "{\"id\":\"0000000000004\",\"age\":90,\"size\":1234,"
	    "\"sender\":\"\",\"recipient\":\"a@example.net\","
	    "\"state\":\"ready\",\"attempts\":0,"
	    "\"next\":\"2026-11-24T06:00:00Z\",\"reason\":null,"
	    "\"detail\":null,\"mx\":null,\"last\":null}");

	t_case("queue: after one they say what happened, and when");
	e.state = RCPT_DEFERRED;
	e.attempts = 2;
	e.next_ms = NOW_MS + 60000;
	e.last_ms = NOW_MS - 60000;
	e.last = &last;
	json_reset(&j);
	json_object(&j, NULL);
	describe_entry(&j, &e, NOW_MS);
	json_end(&j);
	t_str(json_text(&j),
	    "{\"id\":\"0000000000004\",\"age\":90,\"size\":1234,"
	    "\"sender\":\"\",\"recipient\":\"a@example.net\","
	    "\"state\":\"deferred\",\"attempts\":2,"
	    "\"next\":\"2026-11-24T06:01:00Z\","
	    "\"reason\":\"starttls-not-supported\","
	    "\"detail\":\"says \\\"no\\\"\",\"mx\":\"mx.example.net\","
	    "\"last\":\"2026-11-24T05:59:00Z\"}");

	t_case("queue: where we have nothing to add, the host's reply is the"
	       " detail; held mail has no next attempt");
	last.detail = "";
	last.reply = "450 4.2.1 later";
	e.state = RCPT_HELD;
	e.next_ms = -1;
	json_reset(&j);
	json_object(&j, NULL);
	describe_entry(&j, &e, NOW_MS);
	json_end(&j);
	t_true(strstr(json_text(&j), "\"detail\":\"450 4.2.1 later\"") != NULL);
	t_case("queue: what the host said is never left out, nor said twice");
	last.detail = "mx.test: rcpt was refused";
	json_reset(&j);
	json_object(&j, NULL);
	describe_entry(&j, &e, NOW_MS);
	json_end(&j);
	t_true(strstr(json_text(&j), "refused; it said: 450 4.2.1 later\"") !=
	    NULL);
	last.detail = "mx.test: refused: 450 4.2.1 later; and so on";
	json_reset(&j);
	json_object(&j, NULL);
	describe_entry(&j, &e, NOW_MS);
	json_end(&j);
	t_true(strstr(json_text(&j), "it said") == NULL);
	t_true(strstr(json_text(&j), "\"next\":null") != NULL);
	json_clear(&j);
}

static void
test_header(void)
{
	static const char message[] = "A: b\r\nC: d\r\n\r\nbody\r\n\r\n";
	char path[] = "/tmp/describe.XXXXXX", *text;
	int fd = mkstemp(path);
	size_t len = 0;

	t_case("show: the header ends with its blank line");
	t_int(write(fd, message, sizeof message - 1), sizeof message - 1);
	text = describe_header(fd, &len);
	t_mem(text, len, message, 14);
	free(text);

	t_case("show: a message without a body is all header");
	t_int(ftruncate(fd, 12), 0);
	text = describe_header(fd, &len);
	t_mem(text, len, message, 12);
	free(text);
	(void)close(fd);
	(void)unlink(path);
}

int
main(void)
{
	test_entry();
	test_header();
	return t_done();
}
