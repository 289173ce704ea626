#include "queue/record.h"

#include <stdlib.h>
#include <string.h>

#include "tests/t.h"

static void
message(void)
{
	struct recipient rcpts[] = { { "a@One.example", "", 0 },
		{ "b@one.EXAMPLE", "", 0 }, { "c@two.example", "", 0 },
		{ "postmaster", "", 0 } };
	static const char *const want[] = { "one.example", "one.example",
		"two.example", "" };
	struct brief_message b;
	struct envelope env;
	char domain[256];
	uint32_t len, at, cut;
	void *brief;
	size_t i;

	t_case("a message's brief tells each recipient's domain, lower-case");
	envelope_init(&env);
	env.size = 77;
	env.uid = 1000;
	env.sender = "S@x.example";
	for (i = 0; i < 4; i++)
		t_int(envelope_add(&env, &rcpts[i]), 0);
	brief = record_brief(&env, BRIEF_LARGE, 42, &len);
	t_int(record_message(brief, len, &b), 0);
	t_int(b.size, 77);
	t_int(b.uid, 1000);
	t_int(b.rcpts, 4);
	t_int(b.flags, BRIEF_LARGE);
	t_int(b.text_crc, 42);
	t_int(b.sender_hash, record_hash("s@X.EXAMPLE"));
	at = sizeof b;
	for (i = 0; i < 4; i++) {
		t_int(record_domain(brief, len, &at, domain), 0);
		t_str(domain, want[i]);
	}
	t_int(record_domain(brief, len, &at, domain), -1);

	t_case("a brief that is cut off is refused");
	for (cut = 0; cut < sizeof b; cut++)
		t_int(record_message(brief, cut, &b), -1);
	at = sizeof b;
	t_int(record_domain(brief, sizeof b + 3, &at, domain), -1);
	free(brief);
	envelope_clear(&env);
}

static void
attempt(void)
{
	struct spool_attempt a, back;
	char text[512];
	uint32_t at, cut, len;

	t_case("attempts read back, one behind the other");
	memset(&a, 0, sizeof a);
	a.at_ms = 1700000000000;
	a.result.outcome = OUTCOME_DEFERRED;
	a.result.scope = SCOPE_HOST;
	a.result.tls = true;
	a.result.reason = "timeout";
	a.result.dsn = "4.4.2";
	a.result.mx = "mx.example";
	a.result.reply = "";
	a.result.detail = "no answer";
	len = (uint32_t)record_attempt_put(&a, text);
	t_int(len, record_attempt_size(&a));
	len += (uint32_t)record_attempt_put(&a, text + len);
	at = 0;
	t_int(record_attempt_get(text, len, &at, &back), 1);
	t_int(record_attempt_get(text, len, &at, &back), 1);
	t_int(record_attempt_get(text, len, &at, &back), 0);
	t_true(back.at_ms == a.at_ms && back.result.tls &&
	    !back.result.enforce && back.result.scope == SCOPE_HOST);
	t_str(back.result.reason, "timeout");
	t_str(back.result.detail, "no answer");
	t_str(back.result.reply, "");

	t_case("one that is cut off is refused");
	for (cut = 1; cut < len / 2; cut++) {
		at = 0;
		t_int(record_attempt_get(text, cut, &at, &back), -1);
	}
}

int
main(void)
{
	struct brief_rcpt rcpt;
	struct brief_done done;
	char bytes[64];

	message();
	attempt();

	t_case("other briefs are of one length and in range");
	memset(bytes, 0, sizeof bytes);
	t_int(record_rcpt(bytes, sizeof rcpt, &rcpt), 0);
	t_int(record_rcpt(bytes, sizeof rcpt - 1, &rcpt), -1);
	bytes[2] = RCPT_STATES;
	t_int(record_rcpt(bytes, sizeof rcpt, &rcpt), -1);
	t_int(record_done(bytes, sizeof done, &done), 0);
	t_int(record_done(bytes, sizeof done + 1, &done), -1);
	return t_done();
}
