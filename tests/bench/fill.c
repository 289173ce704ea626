/*
 * fill: a spool as a bad week leaves it: many messages of 4 KiB, each with
 * one recipient that was deferred for hours.
 *
 *	fill folder messages destinations
 *
 * By the spool's own functions, as the queue process does it, but quicker
 * than through the door. Recipients are u@dN.ZONE.
 */

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "queue/disk.h"
#include "queue/id.h"
#include "queue/spool.h"

#define GROUP 1000 /* messages synced at once */
#define BODY 4096
#define HOURS 3600000LL
#define ZONE "bench.test"

static int64_t
now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t
now_ms(void)
{
	return now_us() / 1000;
}

static void
on_settled(void *arg, uint64_t id, int error)
{
	(void)arg;
	(void)id;
	if (error != 0)
		errc(1, error, "a message was refused");
}

static void
on_changed(void *arg, const struct spool_change *change)
{
	(void)arg;
	(void)change;
}

static void
on_reported(void *arg, enum spool_report kind, uint64_t of,
    const struct envelope *env)
{
	(void)arg;
	(void)kind;
	(void)of;
	(void)env;
}

static void
on_trouble(void *arg, const char *text)
{
	(void)arg;
	errx(1, "%s", text);
}

static void
route(void *arg, const char *domain, char key[SPOOL_DEST_SIZE])
{
	(void)arg;
	(void)snprintf(key, SPOOL_DEST_SIZE, "%s", domain);
}

static void
limits(void *arg, const char *key, struct limit_conf *conf)
{
	(void)arg;
	(void)key;
	memset(conf, 0, sizeof *conf);
	conf->connections = GROUP;
}

static const char *
advice(void *arg, const char *reason)
{
	(void)arg;
	(void)reason;
	return "";
}

static struct spool *
open_spool(const char *folder)
{
	static const struct spool_hooks hooks = { NULL, on_settled, on_changed,
		on_reported, on_trouble };
	static const struct spool_conf conf = {
		.hostname = "relay.example.org",
		.retry_first_ms = 4 * HOURS,
		.retry_max_ms = 4 * HOURS,
		.expire_ms = 120 * HOURS,
		.warn_ms = -1,
		.warn_tls_ms = -1,
		.route = route,
		.limits = limits,
		.advice = advice,
	};
	struct spool *sp;
	int fd;

	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		err(1, "%s", folder);
	sp = spool_open(fd, NULL, &conf, &hooks, now_ms());
	if (sp == NULL)
		err(1, "%s", folder);
	return sp;
}

static int
make_body(void)
{
	char text[BODY];
	int fd;

	memset(text, 'x', sizeof text);
	memcpy(text, "Subject: fill\r\n\r\n", 17);
	memcpy(text + BODY - 2, "\r\n", 2);
	fd = memfd_create("fill", MFD_CLOEXEC);
	if (fd == -1 || write(fd, text, BODY) != BODY)
		err(1, "memfd");
	return fd;
}

static void
append(struct spool *sp, struct id_source *ids, unsigned domain, int body)
{
	char address[64];
	struct recipient rcpt = { address, "", 0 };
	struct envelope env;

	(void)snprintf(address, sizeof address, "u@d%u.%s", domain, ZONE);
	envelope_init(&env);
	env.arrived_us = (uint64_t)now_us();
	env.id = id_next(ids, env.arrived_us);
	env.sender = "fill@" ZONE;
	env.client = "[127.0.0.1]";
	env.size = BODY;
	if (envelope_add(&env, &rcpt) == -1 ||
	    spool_append(sp, &env, dup(body), now_ms()) == -1)
		err(1, "append");
	envelope_clear(&env);
}

static void
commit(struct spool *sp)
{
	struct spool_sync sync;
	int i;

	while (spool_sync_begin(sp, &sync, now_ms()) == 1) {
		for (i = 0; i < sync.count; i++)
			if (fsync(sync.fds[i]) == -1)
				err(1, "fsync");
		spool_synced(sp, 0, now_ms());
	}
}

static void
defer(struct spool *sp)
{
	static const struct spool_result result = { .outcome = OUTCOME_DEFERRED,
		.scope = SCOPE_RECIPIENT,
		.reason = "remote-4xx",
		.dsn = "4.2.2",
		.mx = "mx." ZONE,
		.reply = "452 4.2.2 the mailbox is full",
		.detail = "mx." ZONE " said: 452 4.2.2 the mailbox is full" };
	struct spool_job job;

	while (spool_next(sp, now_ms(), false, &job) == 1) {
		(void)spool_result(sp, job.job, job.rcpts[0], &result,
		    now_ms());
		(void)close(job.body);
		(void)spool_job_end(sp, job.job, now_ms());
	}
}

int
main(int argc, char **argv)
{
	struct id_source ids = { .allocator = ID_TEST };
	struct spool *sp;
	unsigned long i, count, domains;
	int body;

	if (argc != 4)
		errx(64, "usage: fill folder messages destinations");
	count = strtoul(argv[2], NULL, 10);
	domains = strtoul(argv[3], NULL, 10);
	if (domains == 0)
		errx(64, "no destinations");
	sp = open_spool(argv[1]);
	body = make_body();
	for (i = 0; i < count; i++) {
		append(sp, &ids, (unsigned)(i % domains), body);
		if (i % GROUP == GROUP - 1 || i == count - 1) {
			commit(sp);
			defer(sp);
			while (spool_tidy(sp, now_ms()))
				commit(sp);
		}
	}
	commit(sp);
	spool_close(sp);
	return 0;
}
