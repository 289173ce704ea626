#include "tests/queue/box.h"

static void
bounced(void)
{
	struct spool_job job;
	struct box b;
	char *text;

	t_case(
	    "a bounce goes to the sender, from the null sender (RFC 5321 6.1)");
	box_init(&b);
	t_true(box_open(&b));
	(void)box_mail(&b, "a@one.example", "b@two.example");
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_BOUNCED, SCOPE_RECIPIENT, "remote-5xx");
	t_int(b.reports[REPORT_BOUNCE], 1);
	t_int(box_messages(&b), 1);
	box_sync(&b);
	box_reopen(&b);
	t_int(box_messages(&b), 1);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	t_str(job.env->sender, "");
	t_str(job.env->rcpts[0].address, "a@one.example");
	text = box_read(job.body);
	t_true(strstr(text, "Final-Recipient: rfc822; b@two.example") != NULL);
	t_true(strstr(text, "Subject: x\r\n") != NULL);
	free(text);

	t_case("a bounce is never bounced");
	box_answer(&b, &job, OUTCOME_BOUNCED, SCOPE_RECIPIENT, "remote-5xx");
	t_int(b.reports[REPORT_BOUNCE], 1);
	t_int(box_messages(&b), 0);
	box_clear(&b);
}

static void
bounced_8bit(void)
{
	struct spool_job job;
	uint64_t id;
	struct box b;
	char *text;

	t_case("a bounce that a host without 8BITMIME cannot be given goes out"
	       " again, in seven bits");
	box_init(&b);
	t_true(box_open(&b));
	t_int(box_append(&b, "a@one.example", "b@two.example", 0,
		  "Subject: \xfc\r\n\r\n\xdf\r\n", &id),
	    0);
	box_sync(&b);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_BOUNCED, SCOPE_RECIPIENT, "8bit");
	box_sync(&b);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	t_true((job.env->flags & ENVELOPE_8BIT) != 0);
	box_answer(&b, &job, OUTCOME_BOUNCED, SCOPE_RECIPIENT, "8bit");
	t_int(b.reports[REPORT_BOUNCE], 2);
	t_int(box_messages(&b), 1);
	box_sync(&b);
	box_reopen(&b);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	t_str(job.env->sender, "");
	t_str(job.env->rcpts[0].address, "a@one.example");
	t_int((int)job.env->flags, 0);
	text = box_read(job.body);
	t_true(strstr(text, "Subject: =FC\r\n") != NULL);
	free(text);

	t_case("... and not once more");
	box_answer(&b, &job, OUTCOME_BOUNCED, SCOPE_RECIPIENT, "8bit");
	t_int(b.reports[REPORT_BOUNCE], 2);
	t_int(box_messages(&b), 0);
	box_clear(&b);
}

int
main(void)
{
	bounced();
	bounced_8bit();
	return t_done();
}
