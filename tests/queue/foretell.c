#include "tests/queue/box.h"

/* spool_foretell(). */
int
main(void)
{
	struct spool_job job, jobs[2];
	struct box b;
	uint64_t id;
	int i;

	t_case("where a message will go is told before it is durable");
	box_init(&b);
	t_true(box_open(&b));
	t_int(box_append(&b, "a@one.example", "b@two.example", 0, "x\r\n", &id),
	    0);
	t_str(spool_foretell(b.sp, id, b.now), "two.example");
	box_sync(&b);
	t_case("... not afterwards, nor while others are under way there");
	t_true(spool_foretell(b.sp, id, b.now) == NULL);
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	t_int(box_append(&b, "a@one.example", "b@two.example", 0, "x\r\n", &id),
	    0);
	t_true(spool_foretell(b.sp, id, b.now) == NULL);

	t_case("... and not if its destination is to be left alone");
	box_answer(&b, &job, OUTCOME_DEFERRED, SCOPE_DESTINATION, "timeout");
	t_true(spool_foretell(b.sp, id, b.now) == NULL);

	t_case("... nor while much is under way elsewhere");
	box_clear(&b);
	box_init(&b);
	t_true(box_open(&b));
	for (i = 0; i < 3; i++)
		(void)box_mail(&b, "a@one.example", "b@four.example");
	t_int(spool_next(b.sp, b.now, false, &job), 1);
	box_answer(&b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
	t_int(box_append(&b, "a@one.example", "b@three.example", 0, "x\r\n",
		  &id),
	    0);
	t_int(spool_next(b.sp, b.now, true, &jobs[0]), 1);
	t_str(spool_foretell(b.sp, id, b.now), "three.example");
	t_int(spool_next(b.sp, b.now, true, &jobs[1]), 1);
	t_true(spool_foretell(b.sp, id, b.now) == NULL);
	for (i = 0; i < 2; i++)
		box_answer(&b, &jobs[i], OUTCOME_DELIVERED, SCOPE_RECIPIENT,
		    "");
	box_clear(&b);
	return t_done();
}
