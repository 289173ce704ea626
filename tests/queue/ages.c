#include "queue/ages.h"

#include "queue/spool_state.h"
#include "tests/queue/box.h"

#define STEPS 400
#define DESTS 3

static const int64_t limit_s[AGES - 1] = { 300, 1800, 7200, 28800, 86400 };

/* What is queued, recipient by recipient, by another reckoning. */
static struct {
	uint64_t id;
	int dest;
} queued[STEPS * 2];
static size_t count;

static uint32_t
draw(uint32_t below)
{
	static uint32_t state = 1;

	state = state * 1664525U + 1013904223U;
	return (state >> 8) % below;
}

static void
expect(int dest, int64_t now_ms, uint64_t ages[AGES])
{
	int64_t age_ms;
	size_t i;
	int age;

	memset(ages, 0, AGES * sizeof ages[0]);
	for (i = 0; i < count; i++) {
		if (queued[i].dest != dest)
			continue;
		age_ms = now_ms - (int64_t)(id_time_us(queued[i].id) / 1000);
		for (age = 0; age < AGES - 1; age++)
			if (age_ms < limit_s[age] * 1000)
				break;
		ages[age]++;
	}
}

static void
compare(struct box *b)
{
	struct spool_dest dest;
	uint64_t want[AGES];
	char key[SPOOL_DEST_SIZE];
	int i;

	for (i = 0; i < DESTS; i++) {
		(void)snprintf(key, sizeof key, "d%d.example", i);
		expect(i, b->now, want);
		key[1]--; /* what comes behind it */
		if (!spool_dest_next(b->sp, key, &dest) ||
		    dest.key[1] != '0' + i)
			memset(dest.ages, 0, sizeof dest.ages);
		t_mem(dest.ages, sizeof dest.ages, want, sizeof want);
	}
}

/* The next in turn is delivered; it is not known which that is. */
static void
deliver_one(struct box *b)
{
	struct spool_job job;
	size_t i;

	if (spool_next(b->sp, b->now, false, &job) != 1)
		return;
	for (i = 0; i < count;)
		if (queued[i].id == job.env->id &&
		    queued[i].dest == job.destination[1] - '0')
			queued[i] = queued[--count];
		else
			i++;
	box_answer(b, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT, "");
}

static void
step(struct box *b)
{
	char to[64];
	uint64_t id;
	int first, second;

	b->now += 1 + draw(1200000);
	first = (int)draw(DESTS);
	second = (int)draw(DESTS);
	(void)snprintf(to, sizeof to, "u@d%d.example v@d%d.example", first,
	    second);
	id = box_mail(b, "", to);
	queued[count].id = queued[count + 1].id = id;
	queued[count++].dest = first;
	queued[count++].dest = second;
	if (draw(5) < 3)
		deliver_one(b);
	if (draw(10) == 0)
		spool_tick(b->sp, b->now);
}

int
main(void)
{
	struct box b;
	int i, turns;

	t_case("what is queued is counted by age, whatever comes and goes");
	box_init(&b);
	t_true(box_open(&b));
	for (i = 0; i < STEPS; i++) {
		step(&b);
		if (i % 7 != 0)
			continue;
		for (turns = 0; !ages_advance(&b.sp->index, b.now, 1); turns++)
			if (turns > STEPS * AGES)
				abort();
		compare(&b);
	}
	t_true(count > STEPS / 4);

	t_case("... over a restart");
	box_sync(&b); /* of the last delivery, too */
	box_reopen(&b);
	t_true(spool_grow_older(b.sp, b.now));
	compare(&b);

	t_case("... and when the clock is set back");
	b.now += 50000000;
	spool_tick(b.sp, b.now);
	compare(&b);
	b.now -= 90000000;
	spool_tick(b.sp, b.now);
	t_true(spool_grow_older(b.sp, b.now));
	compare(&b);
	box_clear(&b);
	return t_done();
}
