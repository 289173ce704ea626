/*
 * A scripted life of a spool, with bodies in segments and in files,
 * deferrals, bounces, holds and compaction; and the count afterwards. For
 * the tests that let it fail or end at every operation on the disk.
 */

#ifndef TESTS_QUEUE_LIFE_H
#define TESTS_QUEUE_LIFE_H

#include "tests/queue/box.h"

/* What one message came to, as the script knows it. */
struct mail {
	uint64_t id;
	bool delivered; /* the result was given */
	bool durable;   /* ... and a sync has passed since */
	bool bounced;
	bool reported; /* hook reported() */
	uint64_t report;
	bool report_sent;
	bool held;     /* the order was given, and a sync has passed */
	bool deferred; /* so was the result */
	bool split;    /* bounced for one recipient, held for another */
};

static struct world {
	struct box box;
	bool dead; /* the process has ended: nothing more counts */
	struct mail mails[BOX_MOST];
	size_t count;
	size_t acked; /* settled entries that count: before the end */
} w;

/* ---- the script ---- */

static struct mail *
find_mail(uint64_t id)
{
	size_t i;

	for (i = 0; i < w.count; i++)
		if (w.mails[i].id == id)
			return &w.mails[i];
	return NULL;
}

static void
on_report(void *arg, enum spool_report kind, uint64_t of,
    const struct envelope *env)
{
	struct mail *m;

	(void)arg;
	(void)kind;
	m = find_mail(of);
	if (m == NULL || w.dead)
		return;
	m->reported = true;
	m->report = env->id;
	m->report_sent = false;
}

static void
add(const char *to, size_t size)
{
	char text[4096];
	uint64_t id;

	memset(text, 'x', sizeof text);
	text[size] = '\0';
	w.mails[w.count].id = 0;
	if (box_append(&w.box, "a@one.example", to, 0, text, &id) == 0) {
		w.mails[w.count].split = strchr(to, ' ') != NULL;
		w.mails[w.count++].id = id;
	} else if (w.box.refused_count < BOX_MOST)
		w.box.refused[w.box.refused_count++] = id;
}

static void
add_large(void)
{
	struct recipient rcpt = { "l@large.example", "", 0 };
	struct envelope env;
	int fd;

	envelope_init(&env);
	env.id = id_next(&w.box.ids, (uint64_t)w.box.now * 1000);
	env.arrived_us = (uint64_t)w.box.now * 1000;
	env.sender = "a@one.example";
	env.size = 6;
	if (envelope_add(&env, &rcpt) == -1)
		abort();
	fd = spool_large_open(w.box.sp, env.id);
	if (fd != -1 && write(fd, "large\n", 6) == 6 &&
	    spool_append_large(w.box.sp, &env, w.box.now) == 0)
		w.mails[w.count++].id = env.id;
	else
		w.box.refused[w.box.refused_count++] = env.id;
	if (fd != -1)
		(void)close(fd);
	envelope_clear(&env);
}

static int state_of(uint64_t id);

/* Results that were given before are durable once a sync went well. */
static void
commit(void)
{
	size_t i;
	int state;

	w.box.now += 1000;
	box_sync(&w.box);
	if (w.dead || spool_is_dirty(w.box.sp))
		return;
	for (i = 0; i < w.count; i++) {
		if (w.mails[i].delivered)
			w.mails[i].durable = true;
		state = state_of(w.mails[i].id);
		w.mails[i].held = state == RCPT_HELD;
		w.mails[i].deferred = state == RCPT_DEFERRED;
	}
}

static void
report_sent(uint64_t id)
{
	size_t i;

	for (i = 0; i < w.count; i++)
		if (w.mails[i].report == id && !w.dead)
			w.mails[i].report_sent = true;
}

/* Answer all that may go; mail to `late` is deferred, to `bad` bounced. */
static void
deliver_all(void)
{
	struct spool_job job;
	struct mail *m;
	int result;
	int guard;

	for (guard = 0; guard < 1000; guard++) {
		result = spool_next(w.box.sp, w.box.now, false, &job);
		if (result == 0)
			return;
		if (result == -1)
			continue;
		m = find_mail(job.env->id);
		if (strncmp(job.destination, "late", 4) == 0) {
			box_answer(&w.box, &job, OUTCOME_DEFERRED,
			    SCOPE_RECIPIENT, "remote-4xx");
			continue;
		}
		if (strncmp(job.destination, "bad", 3) == 0) {
			if (m != NULL && !w.dead)
				m->bounced = true;
			box_answer(&w.box, &job, OUTCOME_BOUNCED,
			    SCOPE_RECIPIENT, "remote-5xx");
			continue;
		}
		if (m != NULL && !w.dead)
			m->delivered = true;
		report_sent(job.env->id);
		box_answer(&w.box, &job, OUTCOME_DELIVERED, SCOPE_RECIPIENT,
		    "");
	}
}

static void
hold(const char *domain)
{
	struct spool_filter f = { 0, domain, NULL, -1, -1 };
	struct spool_cursor cursor;

	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 1000;
	(void)spool_act(w.box.sp, ACT_HOLD, &f, &cursor, w.box.now);
}

static void
tidy(void)
{
	int i;

	for (i = 0; i < 6; i++) {
		(void)spool_tidy(w.box.sp, w.box.now);
		commit();
	}
}

/* A segment goes, and another is begun before that is durable. */
static void
hurry(void)
{
	int i;

	for (i = 0; i < 10; i++)
		add("d@three.example", 2500);
	commit();
	deliver_all();
	commit();
	(void)spool_tidy(w.box.sp, w.box.now);
	for (i = 0; i < 6; i++)
		add("d@three.example", 2500);
	commit();
	deliver_all();
	commit();
}

static void
script(void)
{
	int i, round;

	add("b@two.example", 1500);
	add("c@late.example", 1500);
	commit();
	deliver_all();
	add_large();
	commit();
	for (round = 0; round < 8; round++) {
		for (i = 0; i < 5; i++)
			add("d@three.example", 2500);
		add("e@held.example", 500);
		add("f@late.example", 500);
		add("g@bad.example", 300);
		add("g@bad.example e@held.example", 300);
		commit();
		hold("held.example");
		deliver_all();
		commit();
		deliver_all();
		tidy();
	}
	add_large();
	add("b@two.example", 1500);
	commit();
	deliver_all();
	commit();
	tidy();
	for (round = 0; round < 4; round++)
		hurry();
}

/* ---- the count ---- */

/* NULL: of whichever recipient is left. */
static int
state_at(uint64_t id, const char *domain)
{
	struct spool_filter f = { 0, NULL, NULL, -1, -1 };
	struct spool_cursor cursor;
	struct spool_entry entry;

	f.id = id;
	f.domain = domain;
	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 100;
	if (spool_list(w.box.sp, &f, &cursor, &entry) != 1)
		return -1;
	return (int)entry.state;
}

static int
state_of(uint64_t id)
{
	return state_at(id, NULL);
}

static bool
is_queued(uint64_t id)
{
	return state_of(id) != -1;
}

static void
check_mail(const struct mail *m)
{
	bool told;

	told = m->bounced && m->reported &&
	    (m->report_sent || is_queued(m->report));
	if (!is_queued(m->id) && !m->delivered && !told)
		t_str("an acknowledged message is lost", "");
	if (m->split && state_at(m->id, "bad.example") == -1 && !told)
		t_str("a recipient is done, and nobody was told", "");
	if (m->durable && is_queued(m->id))
		t_str("a message delivered long ago is queued", "");
	if (m->held)
		t_int(state_of(m->id), RCPT_HELD);
	if (m->deferred)
		t_int(state_of(m->id), RCPT_DEFERRED);
}

/* Every body can be read. */
static void
check_bodies(void)
{
	struct spool_filter f = { 0, NULL, NULL, -1, -1 };
	struct spool_cursor cursor;
	struct spool_entry entry;
	struct stat st;
	int fd;

	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 10000;
	while (spool_list(w.box.sp, &f, &cursor, &entry) == 1) {
		fd = spool_body(w.box.sp, entry.env->id);
		t_true(fd != -1 && fstat(fd, &st) == 0 &&
		    (uint64_t)st.st_size == entry.env->size);
		if (fd != -1)
			(void)close(fd);
	}
}

static void
check(void)
{
	struct mail *m;
	size_t i;

	for (i = 0; i < w.acked; i++) {
		m = find_mail(w.box.settled[i]);
		if (m != NULL)
			check_mail(m);
	}
	for (i = 0; i < w.box.refused_count; i++)
		if (!w.dead && is_queued(w.box.refused[i]))
			t_str("a refused message is queued", "");
	check_bodies();
}

static void
life_open(const struct disk *disk)
{
	struct spool_hooks hooks;
	int fd;

	w.box.conf.segment = 16384;
	w.box.disk = disk;
	memset(&hooks, 0, sizeof hooks);
	hooks.arg = &w.box;
	hooks.settled = box_settled;
	hooks.changed = box_changed;
	hooks.reported = on_report;
	hooks.trouble = box_trouble;
	fd = open(w.box.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w.box.sp = spool_open(fd, disk, &w.box.conf, &hooks, w.box.now);
	if (w.box.sp == NULL)
		(void)close(fd);
}

#endif
