/* What an administrator's order does to the queue, and what senders hear. */

#include "queue/spool.h"

#include "tests/queue/box.h"
#include "tests/t.h"

/* Order all of a box, "budget" recipients at a time. */
static uint64_t
order_all(struct box *b, enum spool_act act, int budget)
{
	struct spool_filter all = { 0, NULL, NULL, -1, -1 };
	struct spool_cursor cursor;

	memset(&cursor, 0, sizeof cursor);
	do {
		cursor.budget = budget;
		box_sync(b);
	} while (spool_act(b->sp, act, &all, &cursor, b->now) == -1);
	box_sync(b);
	return cursor.done;
}

/* The next job's body, which is delivered. */
static char *
take_mail(struct box *b)
{
	struct spool_job job;
	char *text;

	box_sync(b);
	t_int(spool_next(b->sp, b->now, false, &job), 1);
	text = box_read(job.body);
	box_answer(b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	return text;
}

static void
given_up(void)
{
	struct spool_job job;
	struct box b;
	char *text;

	t_case("given up without an attempt: the report names none");
	box_init(&b);
	t_true(box_open(&b));
	(void)box_mail(&b, "a@one.example", "b@two.example");
	t_int(order_all(&b, ACT_BOUNCE, 100), 1);
	t_int(b.changes[EVENT_BOUNCED], 1);
	t_str(b.last_reason, "expired");
	text = take_mail(&b);
	t_true(strstr(text, "administrator gave the message up") != NULL);
	t_true(strstr(text, "Last-Attempt-Date") == NULL);
	free(text);

	t_case("... after one: its reason, and when it was");
	(void)box_mail(&b, "a@one.example", "b@two.example");
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_RECIPIENT, "remote-4xx");
	b.now += 3600000;
	t_int(order_all(&b, ACT_BOUNCE, 100), 1);
	t_str(b.last_reason, "remote-4xx");
	text = take_mail(&b);
	t_true(strstr(text,
		   "Last-Attempt-Date: Tue, 14 Nov 2023 22:13:20"
		   " +0000\r\n") != NULL);
	free(text);

	t_case("... while one is under way: a bounce, and no deferral");
	(void)box_mail(&b, "a@one.example", "b@two.example");
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	t_int(order_all(&b, ACT_BOUNCE, 100), 1);
	t_int(b.changes[EVENT_BOUNCED], 2);
	box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_RECIPIENT, "remote-4xx");
	t_int(b.changes[EVENT_BOUNCED], 3);
	t_int(b.changes[EVENT_FAILED_RCPT], 1);
	text = take_mail(&b);
	t_true(strstr(text, "administrator gave the message up; at") != NULL);
	free(text);
	box_clear(&b);
}

/* Whatever comes of an attempt that is under way, nobody is told. */
static void
removed_while_sending(void)
{
	static const struct {
		enum outcome outcome;
		const char *reason;
	} ends[] = { { OUTCOME_BOUNCED, "remote-5xx" },
		{ OUTCOME_DEFERRED, "remote-4xx" } };
	struct spool_job job;
	struct box b;
	size_t i;

	t_case("removed while an attempt is under way: no bounce, no next");
	box_init(&b);
	t_true(box_open(&b));
	for (i = 0; i < 2; i++) {
		(void)box_mail(&b, "a@one.example", "b@two.example");
		t_int(spool_next(b.sp, b.now, false, &job), 1);
		t_int(order_all(&b, ACT_REMOVE, 100), 1);
		box_answer(&b, &job, ends[i].outcome, SCOPE_RECIPIENT,
		    ends[i].reason);
		t_int(b.reports[REPORT_BOUNCE], 0);
		t_int(b.changes[EVENT_BOUNCED], 0);
		t_int(b.changes[EVENT_FAILED_RCPT], 0);
		t_int(box_messages(&b), 0);
	}

	t_case("... and one that is delivered all the same is told so");
	(void)box_mail(&b, "a@one.example", "b@two.example");
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	t_int(order_all(&b, ACT_REMOVE, 100), 1);
	box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	t_int(b.changes[EVENT_DELIVERED], 1);
	t_int(box_messages(&b), 0);
	box_clear(&b);
}

/* One bounce for each original and attempt. */
static void
one_bounce(void)
{
	struct spool_job job[3];
	char to[4096] = "";
	struct box b;
	int i;

	t_case("an order goes on page by page, but not within a message");
	box_init(&b);
	b.conf.segment = 1048576; /* for a long report */
	t_true(box_open(&b));
	for (i = 0; i < 20; i++)
		(void)box_mail(&b, "a@one.example",
		    "b@two.example c@three.example d@two.example");
	t_int(order_all(&b, ACT_BOUNCE, 7), 60);
	t_int(b.reports[REPORT_BOUNCE], 20);
	box_sync(&b);
	t_int(order_all(&b, ACT_REMOVE, 7), 20);

	t_case("... and not to what comes of it: the bounces stay");
	for (i = 0; i < 20; i++)
		(void)box_mail(&b, "a@two.example", "b@two.example");
	b.now += 1000;
	t_int(order_all(&b, ACT_BOUNCE, 7), 20);
	t_int(box_messages(&b), 20);
	t_int(order_all(&b, ACT_REMOVE, 7), 20);

	t_case("so many recipients that they take several jobs: one bounce");
	for (i = 0; i < 250; i++)
		(void)snprintf(to + strlen(to), sizeof to - strlen(to),
		    "%su%d@b.example", i > 0 ? " " : "", i);
	(void)box_mail(&b, "a@one.example", to);
	for (i = 0; i < 3; i++)
		t_int(spool_next(b.sp, b.now, false, &job[i]), 1);
	b.reports[REPORT_BOUNCE] = 0;
	for (i = 0; i < 3; i++)
		box_answer(&b, &job[i], OUTCOME_BOUNCED, SCOPE_RECIPIENT,
		    "remote-5xx");
	t_int(b.reports[REPORT_BOUNCE], 1);
	box_sync(&b);
	t_int(box_messages(&b), 1);

	t_case(
	    "... and after a crash before the last of them, another attempt");
	(void)order_all(&b, ACT_REMOVE, 1000);
	(void)box_mail(&b, "a@one.example", to);
	for (i = 0; i < 3; i++)
		t_int(spool_next(b.sp, b.now, false, &job[i]), 1);
	for (i = 0; i < 2; i++)
		box_answer(&b, &job[i], OUTCOME_BOUNCED, SCOPE_RECIPIENT,
		    "remote-5xx");
	(void)close(job[2].body);
	box_sync(&b);
	box_reopen(&b);
	t_int(box_count(&b, RCPT_READY), 250);
	box_clear(&b);
}

static void
held(void)
{
	struct spool_job job;
	struct box b;

	t_case("retry does not release what is held");
	box_init(&b);
	t_true(box_open(&b));
	(void)box_mail(&b, "a@one.example", "b@two.example c@two.example");
	t_int(order_all(&b, ACT_HOLD, 100), 2);
	t_int(order_all(&b, ACT_RETRY, 100), 0);
	t_int(box_count(&b, RCPT_HELD), 2);
	t_int(spool_next(b.sp, b.now, false, &job), 0);
	t_int(order_all(&b, ACT_RELEASE, 100), 2);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_RECIPIENT, "remote-4xx");

	t_case("... and release does not retry what is deferred");
	t_int(order_all(&b, ACT_RELEASE, 100), 2);
	t_int(box_count(&b, RCPT_DEFERRED), 2);
	t_int(order_all(&b, ACT_RETRY, 100), 2);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	box_clear(&b);
}

/* What waits behind a destination that cannot be reached. */
static void
behind(void)
{
	struct spool_filter all = { 0, NULL, NULL, -1, -1 };
	struct spool_cursor cursor;
	struct spool_entry entry;
	struct spool_job job;
	struct box b;
	uint64_t id;

	t_case("what was not tried has the fault of its destination");
	box_init(&b);
	t_true(box_open(&b));
	(void)box_mail(&b, "a@one.example", "b@two.example");
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_DESTINATION,
	    "certificate-expired");
	id = box_mail(&b, "a@one.example", "c@two.example");
	t_int(spool_next(b.sp, b.now, false, &job), 0);
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 10;
	all.id = id;
	t_int(spool_list(b.sp, &all, &cursor, &entry), 1);
	t_int(entry.state, RCPT_DEFERRED);
	t_int(entry.last_ms, 0);
	t_str(entry.last->reason, "certificate-expired");
	t_str(entry.last->detail, "a detail");
	t_str(entry.last->dsn, "4.4.1");

	t_case("... and its sender hears of it as soon");
	b.now += 3601000;
	spool_tick(b.sp, b.now);
	t_int(b.reports[REPORT_DELAY], 2);
	box_clear(&b);
}

int
main(void)
{
	behind();
	held();
	given_up();
	removed_while_sending();
	one_bounce();
	return t_done();
}
