/* A full disk, and what comes of a spool that filled it. */

#include "tests/queue/mishap.h"

/* Started anew where only a little is left; nothing is accepted. */
static void
set_up_tight(struct box *b, const char *to)
{
	char body[4001];
	uint64_t id;

	set_up(b);
	b->conf.segment = 16U << 20;
	box_reopen(b);
	fill(b, 3, to);
	box_reopen(b);
	mishap.most = 200000;
	memset(body, 'x', 4000);
	body[4000] = '\0';
	t_int(box_append(b, "a@one.example", "b@two.example", 0, body, &id),
	    ENOSPC);
	t_int(spool_failing(b->sp), ENOSPC);
}

static void
tight(void)
{
	struct box b;
	uint64_t id;

	t_case("a full disk at start: results find the little that is left");
	set_up_tight(&b, "b@two.example");
	t_int(deliver(&b), 3);
	t_int(box_append(&b, "a@one.example", "b@two.example", 0, "x", &id),
	    ENOSPC);
	tidy(&b);
	t_int(segments(&b), 1);
	t_int(spool_failing(b.sp), ENOSPC);
	t_int(box_append(&b, "a@one.example", "b@two.example", 0, "x", &id),
	    ENOSPC);
	t_int(segments(&b), 1);
	box_reopen(&b);
	t_int(box_messages(&b), 0);

	t_case("... and mail is taken again once there is more");
	mishap.most = 0;
	put_mail(&b, "b@two.example", 4000);
	t_int(spool_failing(b.sp), 0);
	t_int(deliver(&b), 1);
	box_clear(&b);
}

static bool
has_segment(const struct box *b, unsigned seq)
{
	char name[96];

	(void)snprintf(name, sizeof name, "%s/seg-%08x", b->dir, seq);
	return access(name, F_OK) == 0;
}

static void
roomless(void)
{
	struct box b;

	t_case("no room at all at start: what is delivered makes some");
	set_up(&b);
	fill(&b, 9, "b@two.example");
	box_reopen(&b);
	mishap.full = true;
	t_int(deliver(&b), 9);
	tidy(&b);
	t_int(spool_failing(b.sp), ENOSPC);
	t_int(has_segment(&b, 1) + has_segment(&b, 2) + has_segment(&b, 3), 2);
	mishap.full = false;
	put_mail(&b, "b@two.example", 4000);
	t_int(spool_failing(b.sp), 0);
	box_reopen(&b);
	t_int(box_messages(&b), 1);
	box_clear(&b);
}

static void
one_tight(void)
{
	struct spool_job job;
	struct box b;

	t_case("... though what comes first would have to be moved");
	set_up(&b);
	put_mail(&b, "b@late.example", 100);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	fill(&b, 4, "b@two.example");
	t_int(segments(&b), 2);
	box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_RECIPIENT, "remote-4xx");
	fill(&b, 5, "b@two.example");
	t_int(segments(&b), 3);
	box_reopen(&b);
	mishap.full = true;
	t_int(deliver(&b), 9);
	tidy(&b);
	t_true(has_segment(&b, 1) && has_segment(&b, 2));
	t_true(!has_segment(&b, 3));
	mishap.full = false;
	put_mail(&b, "b@two.example", 100);
	t_int(spool_failing(b.sp), 0);
	tidy(&b);
	t_true(!has_segment(&b, 2));
	box_reopen(&b);
	t_int(box_messages(&b), 2);
	t_int(box_count(&b, RCPT_DEFERRED), 1);
	box_clear(&b);
}

/* The size of the only message there is; it is bounced to nobody. */
static uint64_t
report_size(struct box *b)
{
	struct spool_job job;
	uint64_t size;

	if (spool_next(b->sp, b->now, false, &job) != 1)
		return UINT64_MAX;
	t_str(job.env->sender, "");
	size = job.env->size;
	box_answer(b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	return size;
}

static void
brief(void)
{
	struct spool_job job;
	struct box b;
	int i;

	t_case("a full disk: reports go without content, and segments go");
	set_up_tight(&b, "b@bad.example");
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	box_sync(&b);
	for (i = 0; i < 2; i++) {
		t_int(spool_next(b.sp, b.now, false, &job), 1);
		box_answer(&b, &job, OUTCOME_BOUNCED, SCOPE_RECIPIENT,
		    "remote-5xx");
	}
	t_int(b.reports[REPORT_BOUNCE], 2);
	box_sync(&b);
	for (i = 0; i < 2; i++)
		t_true(report_size(&b) < 4000);
	tidy(&b);
	t_int(segments(&b), 1);
	box_reopen(&b);
	t_int(box_messages(&b), 0);
	box_clear(&b);
}

static void
ordered(void)
{
	struct box b;

	t_case("... what is given up at a full start is told of, too");
	set_up_tight(&b, "b@bad.example");
	order(&b, ACT_BOUNCE, "bad.example");
	t_int(b.reports[REPORT_BOUNCE], 0);
	b.now += 61000;
	spool_tick(b.sp, b.now);
	t_int(b.reports[REPORT_BOUNCE], 3);
	box_sync(&b);
	t_true(report_size(&b) < 4000);
	tidy(&b);
	t_int(segments(&b), 1);
	t_int(deliver(&b), 2);
	box_clear(&b);
}

static void
unbounced(void)
{
	struct spool_job job;
	struct box b;

	t_case("no room for a report: what is refused is tried again");
	set_up_tight(&b, "b@bad.example");
	mishap.full = true;
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_BOUNCED, SCOPE_RECIPIENT, "remote-5xx");
	t_int(b.reports[REPORT_BOUNCE], 0);
	t_int(b.changes[EVENT_FAILED_RCPT], 1);
	t_int(box_messages(&b), 3);
	mishap.full = false;
	mishap.most = 0;
	box_sync(&b);
	t_int(spool_failing(b.sp), 0);
	b.now += 400000;
	spool_tick(b.sp, b.now);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_BOUNCED, SCOPE_RECIPIENT, "remote-5xx");
	t_int(b.reports[REPORT_BOUNCE], 1);

	t_case("... unless nobody is to be told");
	box_clear(&b);
	set_up(&b);
	t_true(box_mail(&b, "", "b@bad.example") != 0);
	box_reopen(&b);
	mishap.full = true;
	order(&b, ACT_HOLD, "none.example");
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_BOUNCED, SCOPE_RECIPIENT, "remote-5xx");
	t_int(b.changes[EVENT_BOUNCED], 1);
	t_int(box_messages(&b), 0);
	box_clear(&b);
}

static void
last(void)
{
	struct spool_job job;
	struct box b;
	char body[4001];
	uint64_t id;

	t_case("... nor does it expire with its last attempt");
	set_up(&b);
	put_mail(&b, "b@late.example", 100);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_RECIPIENT,
	    "sts-mx-mismatch");
	b.now += b.conf.expire_ms + 1000;
	spool_tick(b.sp, b.now);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	t_true(job.recheck);
	mishap.full = true;
	memset(body, 'x', 4000);
	body[4000] = '\0';
	while (
	    box_append(&b, "a@one.example", "b@two.example", 0, body, &id) == 0)
		;
	box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_RECIPIENT,
	    "sts-mx-mismatch");
	t_int(b.changes[EVENT_EXPIRED], 0);
	t_int(b.reports[REPORT_BOUNCE], 0);
	mishap.full = false;
	box_sync(&b);
	b.now += 700000;
	spool_tick(b.sp, b.now);
	t_int(b.changes[EVENT_EXPIRED], 1);
	t_int(b.reports[REPORT_BOUNCE], 1);
	box_clear(&b);
}

int
main(void)
{
	tight();
	roomless();
	one_tight();
	brief();
	ordered();
	unbounced();
	last();
	return t_done();
}
