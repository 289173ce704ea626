#include "queue/envelope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/t.h"

static void
read_back(void)
{
	struct recipient one = { "b@two.example", "rfc822;b+2Bx@two.example",
		NOTIFY_SUCCESS | NOTIFY_FAILURE };
	struct recipient two = { "c@three.example", "", 0 };
	struct envelope env, back;
	const char *why;
	size_t len;
	char *text;

	t_case("an envelope reads back whole");
	envelope_init(&env);
	env.id = 7000000000000000001;
	env.arrived_us = 1700000000123456;
	env.size = 4096;
	env.uid = 1000;
	env.flags = ENVELOPE_8BITMIME | ENVELOPE_RET_HDRS;
	env.sender = envelope_text(&env, "a@one.example");
	env.envid = "QQ+2B314159";
	env.client = "uid 1000";
	env.message_id = "<x@one.example>";
	t_int(envelope_add(&env, &one), 0);
	t_int(envelope_add(&env, &two), 0);
	t_int(envelope_encode(&env, &text, &len), 0);
	t_int(envelope_decode(&back, text, len, &why), 0);
	t_true(back.id == env.id && back.arrived_us == env.arrived_us &&
	    back.size == env.size && back.uid == env.uid &&
	    back.flags == env.flags);
	t_str(back.sender, env.sender);
	t_str(back.envid, env.envid);
	t_str(back.client, env.client);
	t_str(back.message_id, env.message_id);
	t_int(back.rcpt_count, 2);
	t_str(back.rcpts[0].address, one.address);
	t_str(back.rcpts[0].orcpt, one.orcpt);
	t_int(back.rcpts[0].notify, one.notify);
	t_str(back.rcpts[1].address, two.address);
	t_str(back.rcpts[1].orcpt, "");
	envelope_clear(&back);
	free(text);
	envelope_clear(&env);
}

static void
null_sender(void)
{
	struct recipient rcpt = { "b@two.example", "", 0 };
	struct envelope env, back;
	const char *why;
	size_t len;
	char *text;

	t_case("the null sender and what was not given stay so");
	envelope_init(&env);
	t_int(envelope_add(&env, &rcpt), 0);
	t_int(envelope_encode(&env, &text, &len), 0);
	t_int(envelope_decode(&back, text, len, &why), 0);
	t_str(back.sender, "");
	t_int(back.uid, -1);
	t_str(back.envid, "");
	envelope_clear(&back);
	free(text);
	envelope_clear(&env);
}

static void
unclean(void)
{
	static const char *const bad[] = { "", "a\nb@x.example", "a\rb", "a\tb",
		"a\x7f" };
	struct recipient rcpt = { NULL, "", 0 };
	struct envelope env;
	size_t i, len;
	char *text;

	t_case("control characters never get into an envelope");
	envelope_init(&env);
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		rcpt.address = bad[i];
		t_int(envelope_add(&env, &rcpt), -1);
		t_int(errno, EINVAL);
	}
	rcpt.address = "b@x.example";
	rcpt.notify = 16;
	t_int(envelope_add(&env, &rcpt), -1);
	rcpt.notify = 0;
	t_int(envelope_add(&env, &rcpt), 0);
	env.sender = "a@x.example\nRevil@x.example";
	t_int(envelope_encode(&env, &text, &len), -1);
	envelope_clear(&env);
}

static void
malformed(void)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "1\nR0b@x\n", true },
		{ "1\nZwhatever\nR0b@x\n", true }, /* of a later version */
		{ "1\nRfb@x\n", true },
		{ "2\nR0b@x\n", false },
		{ "", false },
		{ "1\n", false },
		{ "1\nR0b@x", false },
		{ "1\nR0\n", false },
		{ "1\nRgb@x\n", false },
		{ "1\nOrfc822;x\nR0b@x\n", false },
		{ "1\ni12x\nR0b@x\n", false },
		{ "1\ni-1\nR0b@x\n", false },
		{ "1\ni99999999999999999999\nR0b@x\n", false },
		{ "1\nu-2\nR0b@x\n", false },
		{ "1\nu4294967296\nR0b@x\n", false },
		{ "1\nf32\nR0b@x\n", false },
		{ "1\n\nR0b@x\n", false },
		{ "1\nR0b\r@x\n", false },
	};
	struct envelope env;
	const char *why;
	size_t i;

	t_case("a malformed text is refused, with words");
	for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		t_row("row %zu", i);
		why = NULL;
		t_int(envelope_decode(&env, rows[i].text, strlen(rows[i].text),
			  &why),
		    rows[i].good ? 0 : -1);
		t_true(rows[i].good || why != NULL);
		envelope_clear(&env);
	}
	t_row(NULL);
	t_int(envelope_decode(&env, "1\nR0b\0@x\n", 9, &why), -1);
	envelope_clear(&env);
}

int
main(void)
{
	struct recipient rcpt = { "b@x.example", "", 0 };
	struct envelope env;
	unsigned i;

	read_back();
	null_sender();
	unclean();
	malformed();

	t_case("there is a bound on recipients");
	envelope_init(&env);
	for (i = 0; i < ENVELOPE_RCPTS_MAX; i++)
		if (envelope_add(&env, &rcpt) == -1)
			break;
	t_int(i, ENVELOPE_RCPTS_MAX);
	t_int(envelope_add(&env, &rcpt), -1);
	t_int(errno, E2BIG);
	envelope_clear(&env);

	t_case("a domain is what follows the last @ outside of quotes");
	t_str(envelope_domain("a@b.example"), "b.example");
	t_str(envelope_domain("\"a@b\"@c.example"), "c.example");
	t_str(envelope_domain("\"a@b\""), "");
	t_str(envelope_domain("a@[192.0.2.1]"), "[192.0.2.1]");
	t_str(envelope_domain("postmaster"), "");
	t_str(envelope_domain(""), "");
	return t_done();
}
