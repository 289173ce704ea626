#include "queue/spool_state.h"
#include "tests/queue/box.h"

static void
accepted(void)
{
	struct spool_sync sync;
	struct spool_job job;
	struct box b;
	uint64_t id;
	char *text;
	int i;

	t_case("a message is queued and told only after the sync");
	box_init(&b);
	t_true(box_open(&b));
	t_int(box_append(&b, "a@one.example", "b@two.example", 0, "x\r\n", &id),
	    0);
	t_int(b.settled_count, 0);
	t_int(spool_next(b.sp, b.now, false, &job), 0);
	box_sync(&b);
	t_int(b.settled_count, 1);
	t_int(box_count(&b, RCPT_READY), 1);

	t_case("what came while a group was synced waits for the next");
	t_int(box_append(&b, "a@one.example", "c@two.example", 0, "x\r\n", &id),
	    0);
	t_int(spool_sync_begin(b.sp, &sync, b.now), 1);
	t_int(box_append(&b, "a@one.example", "d@two.example", 0, "x\r\n", &id),
	    0);
	t_true(spool_is_awaited(b.sp));
	spool_synced(b.sp, 0, b.now);
	t_int(b.settled_count, 2);
	box_sync(&b);
	t_int(b.settled_count, 3);
	t_true(!spool_is_awaited(b.sp));
	for (i = 0; i < 2; i++) {
		t_int(spool_next(b.sp, b.now, false, &job), 1);
		box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	}

	t_case("an id that is known is refused");
	b.ids.last_us--;
	t_int(box_append(&b, "a@one.example", "b@two.example", 0, "x\r\n", &id),
	    EEXIST);

	t_case("a job carries the envelope and the body");
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	t_str(job.destination, "two.example");
	t_str(job.env->sender, "a@one.example");
	t_str(job.env->rcpts[job.rcpts[0]].address, "d@two.example");
	text = box_read(job.body);
	t_str(text, "x\r\n");
	free(text);
	t_int(box_count(&b, RCPT_SENDING), 1);

	t_case("delivered, it is gone, and after a restart too");
	box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	t_int(box_messages(&b), 0);
	box_sync(&b);
	box_reopen(&b);
	t_int(box_messages(&b), 0);
	box_clear(&b);
}

static void
recovered(void)
{
	struct spool_job job;
	struct box b;
	uint64_t id;
	char *text;

	t_case("a restart finds what was durable, body and all");
	box_init(&b);
	t_true(box_open(&b));
	id = box_mail(&b, "a@one.example", "b@two.example");
	box_reopen(&b);
	t_int(box_count(&b, RCPT_READY), 1);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	t_true(job.env->id == id);
	text = box_read(job.body);
	t_str(text, "Subject: x\r\n\r\nbody\r\n");
	free(text);

	t_case("a deferral survives a restart: time, attempts, reason");
	box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_RECIPIENT, "remote-4xx");
	t_int(b.changes[EVENT_FAILED_RCPT], 1);
	t_true(b.next_ms > b.now + 200000 && b.next_ms < b.now + 400000);
	box_sync(&b);
	box_reopen(&b);
	t_int(box_count(&b, RCPT_DEFERRED), 1);
	t_int(spool_next(b.sp, b.now, false, &job), 0);
	b.now = b.next_ms + 100;
	spool_tick(b.sp, b.now);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	t_int(box_messages(&b), 0);
	box_clear(&b);
}

static void
recipients(void)
{
	struct spool_job job, other;
	struct box b;

	t_case("recipients of one destination go in one job, others in theirs");
	box_init(&b);
	t_true(box_open(&b));
	(void)box_mail(&b, "a@one.example",
	    "b@two.example c@three.example d@TWO.example");
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	t_int(spool_next(b.sp, b.now, false, &other), 1);
	t_int(spool_next(b.sp, b.now, false, &other), 0);
	t_int(job.rcpt_count + other.rcpt_count, 2 + other.rcpt_count);
	t_int(job.rcpt_count, 2);

	t_case("each recipient has its own outcome, kept over a restart");
	box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	t_int(box_messages(&b), 1);
	box_sync(&b);
	box_reopen(&b);
	t_int(box_count(&b, RCPT_READY), 1);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	t_str(job.destination, "three.example");
	box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	t_int(box_messages(&b), 0);
	box_clear(&b);
}

static void
dead_destination(void)
{
	struct spool_job jobs[LIMIT_FIRST], job;
	struct box b;
	int i, n;

	t_case("a dead destination is probed by one message, not by all");
	box_init(&b);
	t_true(box_open(&b));
	for (i = 0; i < 50; i++)
		(void)box_mail(&b, "a@one.example", "b@dead.example");
	for (n = 0; spool_next(b.sp, b.now, false, &job) == 1; n++)
		jobs[n] = job;
	t_int(n, LIMIT_FIRST);
	for (i = 0; i < n; i++)
		box_answer(&b, &jobs[i], OUTCOME_DEFERRED, SCOPE_DESTINATION,
		    "connect-failed");
	t_int(spool_next(b.sp, b.now, false, &job), 0);
	t_int(box_count(&b, RCPT_DEFERRED), 50);
	t_int(box_count(&b, RCPT_READY), 0);
	b.now += 400000;
	spool_tick(b.sp, b.now);
	for (n = 0; spool_next(b.sp, b.now, false, &jobs[n]) == 1; n++)
		;
	t_int(n, 1);

	t_case("... and when it lives again all go");
	box_answer(&b, &jobs[0], OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	t_int(box_count(&b, RCPT_DEFERRED), 0);
	for (n = 0; spool_next(b.sp, b.now, false, &job) == 1; n++)
		box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	t_int(n, 49);
	t_int(box_messages(&b), 0);
	box_clear(&b);
}

static void
thousand_dead(void)
{
	struct spool_job job;
	struct box b;
	uint64_t id;
	char to[64];
	int i, n, live;

	t_case("a thousand dead destinations do not hold up a live one");
	box_init(&b);
	b.conf.segment = 0;
	t_true(box_open(&b));
	for (i = 0; i < 20000; i++) {
		(void)snprintf(to, sizeof to, "x@dead%04d.example", i % 1000);
		t_int(box_append(&b, "a@one.example", to, 0, "x", &id), 0);
		if (i % 200 == 199)
			box_sync(&b);
	}
	/* Their first attempts fail. */
	while (spool_next(b.sp, b.now, false, &job) == 1)
		box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_DESTINATION,
		    "connect-failed");
	t_int(box_count(&b, RCPT_DEFERRED), 20000);
	/* All are to be probed at once, each probe takes long ... */
	b.now += 400000;
	spool_tick(b.sp, b.now);
	for (i = 0; i < 100; i++)
		t_int(box_append(&b, "a@one.example", "x@live.example", 0, "x",
			  &id),
		    0);
	box_sync(&b);
	/* ... and a worker holds some hundred jobs. */
	for (n = live = 0; n < 300; n++) {
		if (spool_next(b.sp, b.now, false, &job) != 1)
			break;
		if (strcmp(job.destination, "live.example") == 0) {
			live++;
			box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT,
			    "");
		} else
			(void)close(job.body);
	}
	t_int(live, 100);
	t_int(spool_jobs_unproven(b.sp), 128);
	t_int(b.sp->job_count, 128); /* and no other */
	box_clear(&b);
}

static void
turns(void)
{
	struct spool_job job;
	struct box b;
	int i, first, run;
	char last = 0;

	t_case("destinations take turns: a large one does not hold up another");
	box_init(&b);
	t_true(box_open(&b));
	for (i = 0; i < 100; i++)
		(void)box_mail(&b, "a@one.example", "b@large.example");
	(void)box_mail(&b, "a@one.example", "b@small.example");
	first = -1;
	for (i = 0; spool_next(b.sp, b.now, false, &job) == 1; i++) {
		if (strcmp(job.destination, "small.example") == 0)
			first = i;
		box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	}
	t_int(i, 101);
	t_true(first >= 0 && first <= 10);

	t_case("... not when both work, either");
	for (i = 0; i < 100; i++)
		(void)box_mail(&b, "a@one.example",
		    i < 50 ? "b@large.example" : "b@other.example");
	for (i = run = 0; i < 90 && run <= 10; i++) {
		t_int(spool_next(b.sp, b.now, false, &job), 1);
		run = *job.destination == last ? run + 1 : 1;
		last = *job.destination;
		box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	}
	t_true(run <= 10);
	while (spool_next(b.sp, b.now, false, &job) == 1)
		box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");

	box_clear(&b);
}

static void
rates(void)
{
	struct spool_dest dest;
	struct spool_job job;
	struct box b;
	int i;

	t_case("a rate is kept: no more jobs than it allows in its time");
	box_init(&b);
	t_true(box_open(&b));
	b.rate = 10;
	for (i = 0; i < 30; i++)
		(void)box_mail(&b, "a@one.example", "b@slow.example");
	for (i = 0; spool_next(b.sp, b.now, false, &job) == 1; i++)
		box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	t_int(i, 10);
	b.now += 59999;
	spool_tick(b.sp, b.now);
	t_int(spool_next(b.sp, b.now, false, &job), 0);
	b.now += 1000;
	spool_tick(b.sp, b.now);
	for (i = 0; spool_next(b.sp, b.now, false, &job) == 1; i++)
		box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	t_int(i, 10);

	t_case("... also where one comes after the other has gone");
	box_clear(&b);
	box_init(&b);
	t_true(box_open(&b));
	b.rate = 10;
	for (i = 0; i < 12; i++) {
		(void)box_mail(&b, "a@one.example", "b@slow.example");
		if (spool_next(b.sp, b.now, false, &job) == 1)
			box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT,
			    "");
		if (i == 9)
			t_true(!spool_dest_next(b.sp, "", &dest));
	}
	t_int(box_count(&b, RCPT_READY), 2);
	t_true(spool_dest_next(b.sp, "", &dest));
	t_true(!spool_dest_next(b.sp, dest.key, &dest));
	b.now += 61000;
	spool_tick(b.sp, b.now);
	for (i = 0; spool_next(b.sp, b.now, false, &job) == 1; i++)
		box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	t_int(i, 2);
	b.now += 61000;
	spool_tick(b.sp, b.now);
	box_clear(&b);
}

static void
expired(void)
{
	struct spool_job job;
	struct box b;
	char *text;

	t_case("late mail is told of once, with the TLS reason sooner");
	box_init(&b);
	t_true(box_open(&b));
	(void)box_mail(&b, "a@one.example", "b@two.example");
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_DESTINATION,
	    "certificate-expired");
	b.now += 3599000;
	spool_tick(b.sp, b.now);
	t_int(b.reports[REPORT_DELAY], 0);
	b.now += 2000;
	spool_tick(b.sp, b.now);
	t_int(b.reports[REPORT_DELAY], 1);
	box_sync(&b);
	box_reopen(&b);
	b.now += 14400000;
	spool_tick(b.sp, b.now);
	t_int(b.reports[REPORT_DELAY], 1);

	t_case("expiry needs no attempt: the queue sees to it");
	b.now = BOX_START + b.conf.expire_ms + 1000;
	spool_tick(b.sp, b.now);
	t_int(b.reports[REPORT_BOUNCE], 1);
	t_int(b.changes[EVENT_EXPIRED], 1);
	box_sync(&b);
	for (;;) {
		t_int(spool_next(b.sp, b.now, false, &job), 1);
		text = box_read(job.body);
		if (strstr(text, "Action: failed") != NULL)
			break;
		free(text);
		box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	}
	t_true(strstr(text, "not delivered in time; at last") != NULL);
	t_true(strstr(text, "certificate-expired") != NULL);
	t_true(strstr(text, "Reason: expired\r\n") != NULL);
	t_true(strstr(text, "Status: 5.4.7\r\n") != NULL);
	free(text);
	box_clear(&b);
}

/* The next job is a last attempt, which fails as the former did. */
static void
fail_last(struct box *b)
{
	struct spool_job job;

	t_int(spool_next(b->sp, b->now, false, &job), 1);
	t_true(job.recheck);
	box_answer(b, &job, OUTCOME_DEFERRED, SCOPE_DESTINATION,
	    "sts-mx-mismatch");
}

static void
last_attempt(void)
{
	struct spool_job job;
	struct box b;

	t_case("under enforce one more attempt looks at the policy anew before"
	       " the bounce (RFC 8461 5.1)");
	box_init(&b);
	t_true(box_open(&b));
	(void)box_mail(&b, "a@one.example", "b@two.example");
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	t_true(!job.recheck);
	box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_DESTINATION,
	    "sts-mx-mismatch");
	/* These wait behind it, untried. */
	(void)box_mail(&b, "a@one.example", "c@two.example");
	(void)box_mail(&b, "a@one.example", "d@two.example");
	t_int(spool_next(b.sp, b.now, false, &job), 0);
	b.now = BOX_START + b.conf.expire_ms + 1000;
	spool_tick(b.sp, b.now);
	t_int(b.changes[EVENT_EXPIRED], 0);
	fail_last(&b);
	t_int(b.changes[EVENT_EXPIRED], 1);

	t_case("... also for those that waited in line behind it");
	b.now += 400000;
	spool_tick(b.sp, b.now);
	fail_last(&b);
	t_int(b.changes[EVENT_EXPIRED], 2);

	t_case("... for a while; then they have expired");
	b.now += 300000;
	spool_tick(b.sp, b.now);
	t_int(b.changes[EVENT_EXPIRED], 3);
	box_clear(&b);
}

static void
orders(void)
{
	struct spool_filter all = { 0, NULL, NULL, -1, -1 };
	struct spool_cursor cursor;
	struct spool_entry entry;
	struct spool_job job;
	struct box b;
	uint64_t id;

	t_case("hold stops attempts and survives a restart");
	box_init(&b);
	t_true(box_open(&b));
	id = box_mail(&b, "a@one.example", "b@two.example");
	(void)box_mail(&b, "a@one.example", "c@three.example");
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 100;
	all.domain = "two.example";
	t_int(spool_act(b.sp, ACT_HOLD, &all, &cursor, b.now), 0);
	t_int(cursor.done, 1);
	box_sync(&b);
	box_reopen(&b);
	t_int(box_count(&b, RCPT_HELD), 1);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	t_str(job.destination, "three.example");
	box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	t_int(spool_next(b.sp, b.now, false, &job), 0);

	t_case(
	    "nobody is told of a delay while it is held, nor busily not told");
	b.now += 20000000;
	spool_tick(b.sp, b.now);
	t_int(b.reports[REPORT_DELAY], 0);
	t_true(spool_wake(b.sp, b.now) > b.now);

	t_case("release lets it go; one with another sender is not touched");
	all.domain = NULL;
	all.id = id;
	all.sender = "z@one.example";
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 1000;
	t_int(spool_act(b.sp, ACT_RELEASE, &all, &cursor, b.now), 0);
	t_int(box_count(&b, RCPT_HELD), 1);
	all.sender = "A@one.example";
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 1000;
	t_int(spool_act(b.sp, ACT_RELEASE, &all, &cursor, b.now), 0);
	t_int(box_count(&b, RCPT_READY), 1);

	t_case(
	    "an order that meets a recipient under way waits for its result");
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 1000;
	t_int(spool_act(b.sp, ACT_REMOVE, &all, &cursor, b.now), 0);
	t_int(box_messages(&b), 1);

	t_case("... but one that is removed is not listed, nor taken back");
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 1000;
	t_int(spool_list(b.sp, &all, &cursor, &entry), 0);
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 1000;
	t_int(spool_act(b.sp, ACT_RELEASE, &all, &cursor, b.now), 0);
	t_int(cursor.done, 0);
	box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_RECIPIENT, "remote-4xx");
	t_int(box_messages(&b), 0);
	t_int(b.reports[REPORT_BOUNCE], 0);

	t_case("bounce tells the sender, remove does not");
	(void)box_mail(&b, "a@one.example", "b@two.example");
	(void)box_mail(&b, "a@one.example", "c@three.example");
	memset(&all, 0, sizeof all);
	all.state = -1;
	all.uid = -1;
	all.domain = "three.example";
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 1000;
	t_int(spool_act(b.sp, ACT_BOUNCE, &all, &cursor, b.now), 0);
	t_int(b.reports[REPORT_BOUNCE], 1);
	all.domain = NULL;
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 1000;
	box_sync(&b);
	t_int(spool_act(b.sp, ACT_REMOVE, &all, &cursor, b.now), 0);
	t_int(box_messages(&b), 0);
	box_sync(&b);
	box_reopen(&b);
	t_int(box_messages(&b), 0);
	box_clear(&b);
}

static void
count_attempt(void *arg, const struct spool_attempt *attempt)
{
	(void)attempt;
	(*(int *)arg)++;
}

static void
listed(void)
{
	struct spool_filter all = { 0, NULL, NULL, -1, -1 };
	struct spool_cursor cursor;
	struct spool_entry entry;
	struct spool_job job;
	struct box b;
	uint64_t id;
	int n, i, result;

	t_case("a listing goes on page by page, each recipient once");
	box_init(&b);
	t_true(box_open(&b));
	for (i = 0; i < 20; i++)
		id = box_mail(&b, "a@one.example",
		    "b@two.example c@via.example");
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 1000;
	for (n = 0;;) {
		cursor.budget = 3;
		while ((result = spool_list(b.sp, &all, &cursor, &entry)) == 1)
			n++;
		if (result == 0)
			break;
	}
	t_int(n, 40);

	t_case("a filter takes a recipient's domain or its next hop");
	all.domain = "relay.example:587";
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 1000;
	for (n = 0; spool_list(b.sp, &all, &cursor, &entry) == 1; n++)
		t_str(entry.env->rcpts[entry.rcpt].address, "c@via.example");
	t_int(n, 20);

	t_case("the last reason and every attempt can be seen");
	for (i = 0; i < 3; i++) {
		while (spool_next(b.sp, b.now, false, &job) == 1)
			box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_RECIPIENT,
			    "remote-4xx");
		b.now += 2000000;
		spool_tick(b.sp, b.now);
	}
	all.domain = NULL;
	all.id = id;
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 1000;
	t_int(spool_list(b.sp, &all, &cursor, &entry), 1);
	t_str(entry.last->reason, "remote-4xx");
	t_str(entry.last->mx, "mx.example");
	t_int(entry.attempts, 3);
	n = 0;
	spool_history(b.sp, id, 0, count_attempt, &n);
	t_int(n, 3);
	box_clear(&b);
}

static void
returned(void)
{
	struct spool_job job;
	struct box b;

	t_case("a worker that dies gives its recipients back");
	box_init(&b);
	t_true(box_open(&b));
	(void)box_mail(&b, "a@one.example", "b@two.example");
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	(void)close(job.body);
	t_int(spool_job_end(b.sp, job.job, b.now), 0);
	t_int(spool_job_end(b.sp, job.job, b.now), -1);
	t_int(box_count(&b, RCPT_READY), 1);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	(void)close(job.body);

	t_case("... but not at once for ever");
	t_int(spool_job_end(b.sp, job.job, b.now), 0);
	t_int(box_count(&b, RCPT_DEFERRED), 1);
	box_clear(&b);
}

static void
large(void)
{
	struct spool_job job;
	struct spool_sync sync;
	struct recipient rcpt = { "b@two.example", "", 0 };
	struct envelope env;
	struct box b;
	char name[128], text[ID_SIZE];
	uint64_t other;
	int fd;

	t_case("a large body is a file, gone when the message is");
	box_init(&b);
	t_true(box_open(&b));
	envelope_init(&env);
	env.id = id_next(&b.ids, (uint64_t)b.now * 1000);
	env.arrived_us = (uint64_t)b.now * 1000;
	env.sender = "a@one.example";
	env.size = 5;
	t_int(envelope_add(&env, &rcpt), 0);
	fd = spool_large_open(b.sp, env.id);
	t_true(fd != -1);
	t_int(write(fd, "body\n", 5), 5);
	(void)close(fd);
	t_int(spool_append_large(b.sp, &env, b.now), 0);
	t_int(b.settled_count, 0);
	box_sync(&b);
	t_int(b.settled_count, 1);
	box_reopen(&b);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	t_int(lseek(job.body, 0, SEEK_END), 5);
	id_format(env.id, text);
	(void)snprintf(name, sizeof name, "%s/large/%s", b.dir, text);
	t_int(box_append(&b, "a@one.example", "c@one.example", 0, "x\r\n",
		  &other),
	    0);
	t_int(spool_sync_begin(b.sp, &sync, b.now), 1);
	box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	spool_synced(b.sp, 0, b.now);
	t_int(access(name, F_OK), 0); /* its end is not durable yet */
	box_sync(&b);
	t_int(access(name, F_OK), -1);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");

	t_case("a large body that could not be synced is refused, and gone");
	env.id += 4;
	fd = spool_large_open(b.sp, env.id);
	t_int(write(fd, "body\n", 5), 5);
	(void)close(fd);
	t_int(spool_append_large(b.sp, &env, b.now), 0);
	t_int(spool_sync_begin(b.sp, &sync, b.now), 1);
	spool_synced(b.sp, EIO, b.now);
	t_int(b.refused_count, 1);
	box_sync(&b);
	t_int(box_messages(&b), 0);
	id_format(env.id, text);
	(void)snprintf(name, sizeof name, "%s/large/%s", b.dir, text);
	t_int(access(name, F_OK), -1);

	t_case("one that was never submitted is cleaned up at start");
	fd = spool_large_open(b.sp, env.id + 4);
	(void)close(fd);
	id_format(env.id + 4, text);
	(void)snprintf(name, sizeof name, "%s/large/%s", b.dir, text);
	t_int(access(name, F_OK), 0);
	box_reopen(&b);
	t_int(access(name, F_OK), -1);

	t_case("one that was cut short is kept aside, and so is its envelope");
	env.id += 8;
	fd = spool_large_open(b.sp, env.id);
	t_int(write(fd, "body\n", 5), 5);
	t_int(spool_append_large(b.sp, &env, b.now), 0);
	box_sync(&b);
	t_int(ftruncate(fd, 4), 0);
	(void)close(fd);
	box_reopen(&b);
	t_int(box_messages(&b), 0);
	id_format(env.id, text);
	(void)snprintf(name, sizeof name, "%s/damaged/%s-body", b.dir, text);
	t_int(access(name, F_OK), 0);
	name[strlen(name) - 5] = '\0';
	t_int(access(name, F_OK), 0);
	box_reopen(&b);
	t_int(box_messages(&b), 0);
	envelope_clear(&env);
	box_clear(&b);
}

static void
compacted(void)
{
	struct spool_counts counts;
	struct spool_job job;
	struct box b;
	char *body;
	uint64_t id, held;
	int i, round;

	t_case("segments go when their messages are done; what lives moves on");
	box_init(&b);
	b.conf.segment = 32768;
	b.conf.warn_ms = 1000;
	t_true(box_open(&b));
	body = calloc(1, 4001);
	if (body == NULL)
		abort();
	memset(body, 'x', 4000);
	held = box_mail(&b, "a@one.example", "b@waits.example");
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_RECIPIENT, "remote-4xx");
	for (round = 0; round < 40; round++) {
		if (round == 3)
			b.now += 2000; /* its notice is in another segment */
		spool_tick(b.sp, b.now);
		for (i = 0; i < 7; i++)
			t_int(box_append(&b, "a@one.example", "b@two.example",
				  0, body, &id),
			    0);
		box_sync(&b);
		while (spool_next(b.sp, b.now, false, &job) == 1)
			box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT,
			    "");
		for (i = 0; i < 8; i++) {
			(void)spool_tidy(b.sp, b.now);
			box_sync(&b);
		}
	}
	spool_count(b.sp, &counts);
	t_true(counts.segments < 14);
	t_int(counts.messages, 1);
	box_reopen(&b);
	t_int(box_messages(&b), 1);
	t_int(box_count(&b, RCPT_DEFERRED), 1);
	i = 0;
	spool_history(b.sp, held, 0, count_attempt, &i);
	t_int(i, 1);
	b.now += 1000000;
	spool_tick(b.sp, b.now);
	t_int(b.reports[REPORT_DELAY], 1);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	free(body);
	body = box_read(job.body);
	t_str(body, "Subject: x\r\n\r\nbody\r\n");
	free(body);
	t_int(b.troubles, 0);
	t_str(b.trouble, "");
	box_clear(&b);
}

int
main(void)
{
	accepted();
	recovered();
	recipients();
	dead_destination();
	thousand_dead();
	turns();
	rates();
	expired();
	last_attempt();
	orders();
	listed();
	returned();
	large();
	compacted();
	return t_done();
}
