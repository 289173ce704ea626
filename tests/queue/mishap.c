/* The spool and what befalls its folder: no room, files that cannot go. */

#include "tests/queue/mishap.h"
#include "tests/queue/unread.h"

/* Segments of which enough is done for another one to be worth moving. */
static void
full(void)
{
	struct box b;
	uint64_t id;
	char body[4001];

	t_case("on a full disk, segments that hold nothing any more go");
	set_up(&b);
	fill(&b, 9, "b@two.example");
	t_int(segments(&b), 3);
	mishap.full = true;
	memset(body, 'x', 4000);
	body[4000] = '\0';
	t_int(box_append(&b, "a@one.example", "b@two.example", 0, body, &id),
	    ENOSPC);
	t_int(spool_failing(b.sp), ENOSPC);
	t_int(deliver(&b), 9);
	tidy(&b);
	t_int(segments(&b), 1);
	t_int(spool_failing(b.sp), ENOSPC);
	box_reopen(&b);
	t_int(box_messages(&b), 0);
	box_clear(&b);
}

/* One message is deferred, the rest of its segment done: it is moved. */
static void
move_one(struct box *b)
{
	struct spool_job job;

	(void)box_mail(b, "a@one.example", "b@late.example");
	t_int(spool_next(b->sp, b->now, false, &job), 1);
	box_answer(b, &job, OUTCOME_DEFERRED, SCOPE_RECIPIENT, "remote-4xx");
	fill(b, 20, "b@two.example");
	t_int(deliver(b), 20);
	tidy(b);
}

static void
unsynced(void)
{
	struct spool_sync sync;
	struct box b;
	uint64_t id;

	t_case("a message whose sync failed is refused, and not found again");
	set_up(&b);
	t_int(box_append(&b, "a@one.example", "b@two.example", 0, "x", &id), 0);
	t_int(spool_sync_begin(b.sp, &sync, b.now), 1);
	spool_synced(b.sp, EIO, b.now);
	t_int(b.refused_count, 1);
	t_int(b.settled_count, 0);
	t_int(box_messages(&b), 0);
	t_int(spool_failing(b.sp), EIO);
	box_sync(&b);
	t_int(spool_failing(b.sp), 0);
	box_reopen(&b);
	t_int(box_messages(&b), 0);
	box_clear(&b);
}

static void
bounded(void)
{
	struct spool_result result = { .outcome = OUTCOME_DEFERRED,
		.scope = SCOPE_RECIPIENT };
	struct spool_job job;
	struct box b;
	char text[2001];
	int i;

	t_case("results wait in memory for a disk that is full, up to a bound");
	set_up(&b);
	b.conf.expire_ms = INT64_MAX / 4;
	spool_reconfigure(b.sp, &b.conf, b.now);
	put_mail(&b, "b@late.example", 100);
	mishap.full = true;
	memset(text, 'x', 2000);
	text[2000] = '\0';
	result.reason = result.dsn = result.mx = result.reply = result.detail =
	    text;
	for (i = 0; i < 20000; i++) {
		if (spool_next(b.sp, b.now, false, &job) != 1)
			break;
		(void)close(job.body);
		t_int(spool_result(b.sp, job.job, 0, &result, b.now), 0);
		t_int(spool_job_end(b.sp, job.job, b.now), 0);
		b.now += 20000000;
		spool_tick(b.sp, b.now);
	}
	t_true(i > 5000 && i < 10000);
	mishap.full = false;
	box_sync(&b);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	(void)close(job.body);
	box_clear(&b);
}

static void
patient(void)
{
	struct box b;
	char body[4001];
	uint64_t id;

	t_case("nothing expires while no report of it can be written");
	set_up(&b);
	put_mail(&b, "b@two.example", 100);
	mishap.full = true;
	memset(body, 'x', 4000);
	body[4000] = '\0';
	while (
	    box_append(&b, "a@one.example", "b@two.example", 0, body, &id) == 0)
		;
	b.now += b.conf.expire_ms + 1000;
	spool_tick(b.sp, b.now);
	t_int(b.reports[REPORT_BOUNCE], 0);
	t_true(spool_wake(b.sp, b.now) > b.now);
	mishap.full = false;
	box_sync(&b);
	b.now += 61000;
	spool_tick(b.sp, b.now);
	t_int(b.reports[REPORT_BOUNCE], 4);
	box_clear(&b);
}

static uint64_t
bytes(const struct box *b)
{
	struct spool_counts counts;

	spool_count(b->sp, &counts);
	return counts.bytes;
}

/* Hardly anything fits into the segment, and there will be no other; nobody
 * has noticed. */
static void
fill_up(struct box *b)
{
	int i;

	mishap.full = true;
	put_mail(b, "b@held.example", 14000 - (size_t)bytes(b));
	for (i = 0; bytes(b) < 15900; i++)
		order(b, i % 2 == 0 ? ACT_HOLD : ACT_RELEASE, "held.example");
	order(b, ACT_HOLD, "held.example");
	t_int(spool_failing(b->sp), 0);
}

static void
untold(void)
{
	struct spool_job job;
	struct box b;

	t_case("what is given up is done only if the report found room");
	set_up(&b);
	put_mail(&b, "b@bad.example", 100);
	order(&b, ACT_HOLD, "bad.example");
	fill_up(&b);
	order(&b, ACT_BOUNCE, "bad.example");
	t_int(b.reports[REPORT_BOUNCE], 1);
	t_int(spool_failing(b.sp), ENOSPC);
	box_sync(&b);
	box_reopen(&b);
	t_int(box_messages(&b), 2);
	t_int(box_count(&b, RCPT_HELD), 2);

	t_case("... and the report comes through when there is some");
	mishap.full = false;
	box_clear(&b);
	set_up(&b);
	put_mail(&b, "b@bad.example", 100);
	order(&b, ACT_HOLD, "bad.example");
	fill_up(&b);
	order(&b, ACT_BOUNCE, "bad.example");
	box_sync(&b);
	mishap.full = false;
	box_sync(&b);
	box_reopen(&b);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	t_str(job.destination, "one.example");
	(void)close(job.body);
	t_int(spool_next(b.sp, b.now, false, &job), 0);
	box_clear(&b);
}

static void
stuck(void)
{
	struct box b;
	int i;

	t_case("a message that was moved is not back when its old place is");
	set_up(&b);
	mishap.stuck = true;
	move_one(&b);
	b.now += 1000000;
	spool_tick(b.sp, b.now);
	t_int(deliver(&b), 1);
	for (i = 0; i < 6; i++) {
		fill(&b, 3, "b@two.example");
		t_int(deliver(&b), 3);
		tidy(&b);
	}
	box_reopen(&b);
	t_int(box_messages(&b), 0);

	t_case("... nor after another life, when files go again");
	mishap.stuck = false;
	for (i = 0; i < 6; i++) {
		fill(&b, 3, "b@two.example");
		t_int(deliver(&b), 3);
		tidy(&b);
		box_reopen(&b);
		t_int(box_messages(&b), 0);
	}
	box_clear(&b);
}

static void
waste(struct box *b)
{
	int i;

	for (i = 0; i < 20; i++) {
		put_mail(b, "b@waits.example", 4000);
		fill(b, 2, "b@two.example");
	}
	order(b, ACT_HOLD, "waits.example");
}

/* "pad" decides how much is moved; "early": what was, is done before the
 * segment that it went to is sealed. */
static void
cut_short(size_t pad, bool early)
{
	struct box b;
	int i;

	t_case("moving a segment was cut short: what was moved, done, sealed");
	t_row("pad %zu, %s", pad, early ? "early" : "late");
	set_up(&b);
	put_mail(&b, "b@moves.example", 100);
	put_mail(&b, "b@stays.example", 1900);
	fill(&b, 3, "b@two.example");
	waste(&b);
	order(&b, ACT_HOLD, "stays.example");
	order(&b, ACT_HOLD, "moves.example");
	t_int(deliver(&b), 43);
	fill(&b, 2, "b@two.example");
	put_mail(&b, "b@two.example", 600);
	put_mail(&b, "b@two.example", pad);
	mishap.full = true;
	t_true(!spool_tidy(b.sp, b.now));
	mishap.full = early;
	box_sync(&b);
	order(&b, ACT_RELEASE, "moves.example");
	t_int(deliver(&b), 5);
	mishap.full = false;
	box_sync(&b);
	fill(&b, 3, "b@two.example");
	t_int(deliver(&b), 3);
	box_sync(&b);
	box_reopen(&b);
	t_int(box_messages(&b), 21);
	t_case("... is not back when the segment that says so is gone");
	for (i = 0; i < 4; i++) {
		(void)spool_tidy(b.sp, b.now);
		box_sync(&b);
		if (!early && i % 2 == 0)
			continue;
		box_reopen(&b);
		t_int(box_messages(&b), 21);
	}
	t_row(NULL);
	box_clear(&b);
}

static void
overtaken(void)
{
	struct spool_filter all = { 0, NULL, NULL, -1, -1 };
	struct spool_cursor cursor;
	struct box b;
	char body[4001];
	uint64_t id;
	int i;

	t_case("a message is moved, done and sealed before its old place goes");
	set_up(&b);
	put_mail(&b, "b@moves.example", 100);
	fill(&b, 3, "b@two.example");
	waste(&b);
	order(&b, ACT_HOLD, "moves.example");
	t_int(deliver(&b), 43);
	mishap.stuck = true;
	(void)spool_tidy(b.sp, b.now);
	all.domain = "moves.example";
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 10000;
	t_int(spool_act(b.sp, ACT_RELEASE, &all, &cursor, b.now), 0);
	t_int(deliver(&b), 1);
	memset(body, 'x', 4000);
	body[4000] = '\0';
	for (i = 0; i < 5; i++)
		t_int(box_append(&b, "a@one.example", "b@two.example", 0, body,
			  &id),
		    0);
	box_sync(&b);
	box_reopen(&b);
	t_int(box_messages(&b), 25);
	box_clear(&b);
}

static void
half_read(void)
{
	struct stat st;
	struct box b;
	char path[128];
	int fd;

	t_case("a segment of which a message could not be moved does not go");
	set_up(&b);
	put_mail(&b, "b@moves.example", 100);
	fill(&b, 3, "b@two.example");
	waste(&b);
	order(&b, ACT_HOLD, "moves.example");
	t_int(deliver(&b), 43);
	(void)snprintf(path, sizeof path, "%s/seg-00000001", b.dir);
	fd = open(path, O_RDWR);
	t_int(fstat(fd, &st), 0);
	t_int(pwrite(fd, "?", 1, 60), 1);                  /* the record */
	t_int(pwrite(fd, "?????", 5, st.st_size - 60), 5); /* the index */
	(void)close(fd);
	tidy(&b);
	t_int(access(path, F_OK), 0);
	box_clear(&b);
}

static void
resumed(void)
{
	struct box b;
	char path[128];

	t_case("moving a segment that was cut short for want of room goes on");
	set_up(&b);
	put_mail(&b, "b@moves.example", 100);
	put_mail(&b, "b@stays.example", 1900);
	fill(&b, 3, "b@two.example");
	waste(&b);
	order(&b, ACT_HOLD, "stays.example");
	order(&b, ACT_HOLD, "moves.example");
	t_int(deliver(&b), 43);
	fill(&b, 2, "b@two.example");
	put_mail(&b, "b@two.example", 4000);
	put_mail(&b, "b@two.example", 600);
	mishap.full = true;
	t_true(!spool_tidy(b.sp, b.now));
	t_int(spool_failing(b.sp), ENOSPC);
	mishap.full = false;
	tidy(&b);
	(void)snprintf(path, sizeof path, "%s/seg-00000001", b.dir);
	t_int(access(path, F_OK), -1);
	t_int(box_count(&b, RCPT_HELD), 22);
	box_clear(&b);
}

/* A message with a large body; its id. */
static uint64_t
put_large(struct box *b)
{
	struct recipient rcpt = { "b@large.example", "", 0 };
	struct envelope env;
	uint64_t id;
	int fd;

	envelope_init(&env);
	env.id = id = id_next(&b->ids, (uint64_t)b->now * 1000);
	env.arrived_us = (uint64_t)b->now * 1000;
	env.size = 6;
	t_int(envelope_add(&env, &rcpt), 0);
	fd = spool_large_open(b->sp, env.id);
	t_true(fd != -1 && write(fd, "large\n", 6) == 6);
	(void)close(fd);
	t_int(spool_append_large(b->sp, &env, b->now), 0);
	box_sync(b);
	envelope_clear(&env);
	return id;
}

static void
unreadable(void)
{
	struct box b;
	uint64_t id;

	t_case("a segment that cannot be read is not taken for an empty one");
	set_up(&b);
	id = put_large(&b);
	fill(&b, 5, "b@two.example");
	unread.to = 1 << 30;
	box_reopen(&b);
	unread.to = 0;
	t_true(strstr(b.trouble, "cannot be read") != NULL);
	t_int(box_messages(&b), 0);
	fill(&b, 3, "b@two.example");
	t_int(deliver(&b), 3);
	tidy(&b);
	box_reopen(&b);
	t_int(box_messages(&b), 6);
	t_true(box_has(&b, "large", id));
	box_clear(&b);
}

static void
damaged(void)
{
	struct box b;
	uint64_t id;
	char path[128];
	int fd;

	t_case("a large body whose record is damaged is kept aside");
	set_up(&b);
	id = put_large(&b);
	put_mail(&b, "b@two.example", 100);
	(void)snprintf(path, sizeof path, "%s/seg-00000001", b.dir);
	fd = open(path, O_WRONLY);
	t_true(fd != -1 && pwrite(fd, "?", 1, 60) == 1);
	(void)close(fd);
	box_reopen(&b);
	t_int(box_messages(&b), 1);
	t_true(!box_has(&b, "large", id));
	t_true(box_has(&b, "damaged", id));

	t_case("... one that nobody submitted is removed");
	fd = spool_large_open(b.sp, id);
	(void)close(fd);
	box_reopen(&b);
	t_true(!box_has(&b, "large", id));
	box_clear(&b);
}

static void
left_alone(void)
{
	struct spool_filter ready = { 0, NULL, NULL, -1, -1 };
	struct spool_cursor cursor;
	struct spool_job job;
	struct box b;
	char path[128];
	int fd, i, failed, result;

	t_case("a damaged message goes from the lines of all its destinations");
	set_up(&b);
	(void)box_mail(&b, "a@one.example", "b@two.example c@three.example");
	put_mail(&b, "b@late.example", 100);
	box_reopen(&b);
	(void)snprintf(path, sizeof path, "%s/seg-00000001", b.dir);
	fd = open(path, O_WRONLY);
	t_true(fd != -1 && pwrite(fd, "?", 1, 125) == 1);
	(void)close(fd);
	for (i = failed = 0; i < 3; i++) {
		result = spool_next(b.sp, b.now, false, &job);
		if (result == 1)
			box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_RECIPIENT,
			    "remote-4xx");
		failed += result == -1;
	}
	t_int(failed, 1);
	t_int(box_messages(&b), 1);

	t_case("... and so does one that is bounced, or expires, in line");
	put_mail(&b, "c@late.example", 100);
	t_int(box_count(&b, RCPT_READY), 1);
	ready.state = RCPT_READY;
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 100;
	t_int(spool_act(b.sp, ACT_BOUNCE, &ready, &cursor, b.now), 0);
	box_sync(&b);
	t_int(deliver(&b), 1); /* the report */
	t_int(box_count(&b, RCPT_DEFERRED), 1);
	box_clear(&b);
}

static void
set_back(void)
{
	struct spool_job job;
	struct box b;
	int i;

	t_case(
	    "a clock that was ahead, set right: nothing waits for that long");
	set_up(&b);
	b.now += 100 * 86400000LL;
	b.rate = 1;
	spool_tick(b.sp, b.now);
	put_mail(&b, "b@late.example", 100);
	put_mail(&b, "b@dead.example", 100);
	for (i = 0; i < 2; i++) {
		t_int(spool_next(b.sp, b.now, false, &job), 1);
		box_answer(&b, &job, OUTCOME_DEFERRED,
		    strncmp(job.destination, "late", 4) == 0
			? SCOPE_RECIPIENT
			: SCOPE_DESTINATION,
		    "timeout");
	}
	b.now = BOX_START;
	spool_tick(b.sp, b.now);
	t_int(spool_next(b.sp, b.now, false, &job), 0);
	b.now += 18000000;
	spool_tick(b.sp, b.now);
	t_int(deliver(&b), 2);

	t_case("... nor if it was set right between two lives");
	b.now += 100 * 86400000LL;
	put_mail(&b, "b@three.example", 100);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_RECIPIENT, "remote-4xx");
	box_sync(&b);
	b.now = BOX_START;
	box_reopen(&b);
	b.now += 18000000;
	spool_tick(b.sp, b.now);
	t_int(deliver(&b), 1);
	box_clear(&b);
}

static void
under_way(bool moved)
{
	struct spool_job job;
	struct box b;
	char path[128];
	int i;

	t_case("an order survives a restart though its mail was under way");
	set_up(&b);
	put_mail(&b, "b@held.example", 100);
	put_mail(&b, "b@removed.example", 100);
	put_mail(&b, "b@released.example", 100);
	put_mail(&b, "b@bounced.example b@held.example", 100);
	for (i = 0; i < 5; i++) {
		t_int(spool_next(b.sp, b.now, false, &job), 1);
		(void)close(job.body);
	}
	order(&b, ACT_HOLD, "held.example");
	order(&b, ACT_REMOVE, "removed.example");
	order(&b, ACT_HOLD, "released.example");
	order(&b, ACT_RELEASE, "released.example");
	order(&b, ACT_BOUNCE, "bounced.example");
	t_int(box_count(&b, RCPT_SENDING), 5);
	t_int(b.reports[REPORT_BOUNCE], 0);
	if (moved) {
		fill(&b, 3, "b@two.example");
		waste(&b);
		t_int(deliver(&b), 43);
		tidy(&b);
	}
	(void)snprintf(path, sizeof path, "%s/seg-00000001", b.dir);
	t_int(access(path, F_OK), moved ? -1 : 0);
	box_reopen(&b);
	box_sync(&b);
	t_int(box_count(&b, RCPT_HELD), moved ? 22 : 2);
	t_int(b.reports[REPORT_BOUNCE], 1);
	t_int(b.changes[EVENT_BOUNCED], 1);
	t_int(deliver(&b), 2); /* the released and the report */
	box_sync(&b);
	box_reopen(&b);
	t_int(box_messages(&b), moved ? 22 : 2);
	t_int(b.reports[REPORT_BOUNCE], 1);
	box_clear(&b);
}

int
main(void)
{
	size_t pad;

	full();
	unsynced();
	bounded();
	patient();
	untold();
	stuck();
	for (pad = 100; pad <= 4000; pad += 100)
		cut_short(pad, pad % 200 == 0);
	overtaken();
	half_read();
	resumed();
	unreadable();
	damaged();
	left_alone();
	set_back();
	under_way(false);
	under_way(true);
	return t_done();
}
