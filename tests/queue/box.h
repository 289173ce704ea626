/*
 * A spool in a folder of its own, and a driver that does what the queue
 * process does: sync, pick, answer. For the tests of queue/.
 */

#ifndef TESTS_QUEUE_BOX_H
#define TESTS_QUEUE_BOX_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/disk.h"
#include "queue/id.h"
#include "queue/spool.h"
#include "tests/t.h"

#define BOX_MOST 4096
#define BOX_START 1700000000000 /* ms */

struct box {
	char dir[64];
	struct spool *sp;
	const struct disk *disk;
	struct spool_conf conf;
	int64_t now;
	struct id_source ids;
	uint64_t settled[BOX_MOST]; /* durable */
	size_t settled_count;
	uint64_t refused[BOX_MOST];
	size_t refused_count;
	size_t changes[RCPT_EVENTS];
	char last_next[64];
	int64_t next_ms;
	char last_reason[64];
	size_t reports[3];
	char trouble[512];
	size_t troubles;
	unsigned connections;
	unsigned rate;
};

static inline void
box_settled(void *arg, uint64_t id, int error)
{
	struct box *b = arg;

	if (error == 0 && b->settled_count < BOX_MOST)
		b->settled[b->settled_count++] = id;
	if (error != 0 && b->refused_count < BOX_MOST)
		b->refused[b->refused_count++] = id;
}

static inline void
box_changed(void *arg, const struct spool_change *change)
{
	struct box *b = arg;

	b->changes[change->event]++;
	b->next_ms = change->next_ms;
	(void)snprintf(b->last_reason, sizeof b->last_reason, "%s",
	    change->result->reason);
}

static inline void
box_reported(void *arg, enum spool_report kind, uint64_t of,
    const struct envelope *env)
{
	struct box *b = arg;

	(void)of;
	(void)env;
	b->reports[kind]++;
}

static inline void
box_trouble(void *arg, const char *text)
{
	struct box *b = arg;

	(void)snprintf(b->trouble, sizeof b->trouble, "%s", text);
	b->troubles++;
}

static inline void
box_route(void *arg, const char *domain, char key[SPOOL_DEST_SIZE])
{
	(void)arg;
	(void)snprintf(key, SPOOL_DEST_SIZE, "%s",
	    strcmp(domain, "via.example") == 0 ? "relay.example:587" : domain);
}

static inline void
box_limits(void *arg, const char *key, struct limit_conf *conf)
{
	struct box *b = arg;

	(void)key;
	conf->connections = b->connections;
	conf->rate = b->rate;
	conf->rate_ms = 60000;
}

static inline const char *
box_advice(void *arg, const char *reason)
{
	(void)arg;
	(void)reason;
	return "";
}

static inline bool
box_open(struct box *b)
{
	static const struct spool_hooks hooks = { NULL, box_settled,
		box_changed, box_reported, box_trouble };
	struct spool_hooks mine;
	int fd;

	mine = hooks;
	mine.arg = b;
	fd = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b->sp = spool_open(fd, b->disk, &b->conf, &mine, b->now);
	if (b->sp == NULL)
		(void)close(fd);
	return b->sp != NULL;
}

static inline void
box_init(struct box *b)
{
	memset(b, 0, sizeof *b);
	/* In memory where that can be: the harness makes thousands. */
	(void)snprintf(b->dir, sizeof b->dir, "%s/sealpost-test-XXXXXX",
	    access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(b->dir) == NULL)
		abort();
	b->now = BOX_START;
	b->ids.allocator = ID_TEST;
	b->connections = 20;
	b->conf.hostname = "relay.example";
	b->conf.retry_first_ms = 300000;
	b->conf.retry_max_ms = 14400000;
	b->conf.expire_ms = 432000000;
	b->conf.warn_ms = 14400000;
	b->conf.warn_tls_ms = 3600000;
	b->conf.segment = 65536;
	b->conf.arg = b;
	b->conf.route = box_route;
	b->conf.limits = box_limits;
	b->conf.advice = box_advice;
}

static inline int
box_remove(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static inline void
box_clear(struct box *b)
{
	spool_close(b->sp);
	b->sp = NULL;
	(void)nftw(b->dir, box_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void
box_reopen(struct box *b)
{
	spool_close(b->sp);
	b->sp = NULL;
	t_true(box_open(b));
}

static inline int
box_body(const char *text, size_t len)
{
	int fd;

	fd = memfd_create("test", MFD_CLOEXEC);
	if (fd == -1 || pwrite(fd, text, len, 0) != (ssize_t)len)
		abort();
	return fd;
}

/* Append without syncing; 0 or errno. */
static inline int
box_append(struct box *b, const char *from, const char *to, uint32_t notify,
    const char *text, uint64_t *id)
{
	char list[8192], *one, *rest;
	struct envelope env;
	struct recipient rcpt;
	int body, error;

	envelope_init(&env);
	env.id = *id = id_next(&b->ids, (uint64_t)b->now * 1000);
	env.arrived_us = (uint64_t)b->now * 1000;
	env.sender = from;
	env.client = "test";
	env.size = strlen(text);
	(void)snprintf(list, sizeof list, "%s", to);
	for (rest = list; (one = strsep(&rest, " ")) != NULL;) {
		rcpt.address = one;
		rcpt.orcpt = "";
		rcpt.notify = notify;
		if (envelope_add(&env, &rcpt) == -1)
			abort();
	}
	body = box_body(text, strlen(text));
	error = spool_append(b->sp, &env, body, b->now) == 0 ? 0 : errno;
	if (error != 0)
		(void)close(body);
	envelope_clear(&env);
	return error;
}

/* One group commit, as the queue process does it. */
static inline void
box_sync(struct box *b)
{
	const struct disk *disk;
	struct spool_sync sync;
	int i, error, rounds;

	disk = b->disk != NULL ? b->disk : &disk_real;
	for (rounds = 0; rounds < 4 && spool_is_dirty(b->sp); rounds++) {
		if (spool_sync_begin(b->sp, &sync, b->now) != 1)
			return;
		error = 0;
		for (i = 0; i < sync.count && error == 0; i++)
			if (disk->fsync(disk->arg, sync.fds[i]) == -1)
				error = errno;
		spool_synced(b->sp, error, b->now);
	}
}

/* A durable message. */
static inline uint64_t
box_mail(struct box *b, const char *from, const char *to)
{
	uint64_t id;

	t_int(box_append(b, from, to, 0, "Subject: x\r\n\r\nbody\r\n", &id), 0);
	box_sync(b);
	return id;
}

static inline void
box_answer(struct box *b, const struct spool_job *job, enum outcome outcome,
    enum scope scope, const char *reason)
{
	bool is_8bit = strcmp(reason, "8bit") == 0;
	struct spool_result r;
	size_t i;

	memset(&r, 0, sizeof r);
	r.outcome = outcome;
	r.scope = scope;
	r.reason = reason;
	r.dsn = outcome == OUTCOME_DELIVERED ? "2.0.0"
	    : is_8bit                        ? "5.6.3"
	    : outcome == OUTCOME_BOUNCED     ? "5.1.1"
					     : "4.4.1";
	r.mx = "mx.example";
	r.reply = outcome == OUTCOME_DELIVERED ? "250 ok" : "";
	r.detail = "a detail";
	r.tls = strcmp(reason, "certificate-expired") == 0;
	r.enforce = strcmp(reason, "sts-mx-mismatch") == 0;
	for (i = 0; i < job->rcpt_count; i++)
		t_int(spool_result(b->sp, job->job, job->rcpts[i], &r, b->now),
		    0);
	(void)close(job->body);
	t_int(spool_job_end(b->sp, job->job, b->now), 0);
}

static inline uint64_t
box_count(const struct box *b, enum rcpt_state state)
{
	struct spool_counts counts;

	spool_count(b->sp, &counts);
	return counts.rcpts[state];
}

static inline uint64_t
box_messages(const struct box *b)
{
	struct spool_counts counts;

	spool_count(b->sp, &counts);
	return counts.messages;
}

/* Is there a file of that message in "folder"? */
static inline bool
box_has(const struct box *b, const char *folder, uint64_t id)
{
	char path[128], text[ID_SIZE];

	id_format(id, text);
	(void)snprintf(path, sizeof path, "%s/%s/%s", b->dir, folder, text);
	return access(path, F_OK) == 0;
}

/* The whole of a descriptor as text, to free(3). */
static inline char *
box_read(int fd)
{
	struct stat st;
	char *text;

	if (fstat(fd, &st) == -1)
		return NULL;
	text = calloc(1, (size_t)st.st_size + 1);
	if (text == NULL || pread(fd, text, (size_t)st.st_size, 0) < 0)
		abort();
	return text;
}

#endif
