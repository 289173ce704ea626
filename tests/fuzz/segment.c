/*
 * A spool is opened on a segment of any content, lived in, and opened again.
 *
 * The first byte says how the rest is to be read: as the bytes of a segment,
 * or as records, each with a head of eight bytes, whose checksums are then
 * right; with an index or without.
 */

#include "queue/spool.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/crc.h"
#include "queue/journal.h"
#include "queue/record.h"

#define NOW 1700000000000 /* ms */
#define NONCE 0x5eedU
#define ROOM 65536

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct out {
	char bytes[ROOM];
	size_t len;
	char index[ROOM];
	size_t index_len;
} out;

/* ---- a segment ---- */

static void
put_head(void)
{
	struct seg_head head;

	memset(&out, 0, sizeof out);
	head.magic = JOURNAL_MAGIC;
	head.seq = 1;
	head.nonce = NONCE;
	head.crc = crc32c(0, &head, offsetof(struct seg_head, crc));
	memcpy(out.bytes, &head, sizeof head);
	out.len = sizeof head;
}

static void
put_entry(const struct rec_head *head, const void *brief)
{
	struct seg_entry entry;

	entry.id = head->id;
	entry.off = (uint32_t)out.len;
	entry.len = (uint32_t)(sizeof *head + head->len + 7) & ~7U;
	entry.type = head->type;
	entry.brief_len = head->brief_len;
	memcpy(out.index + out.index_len, &entry, sizeof entry);
	memcpy(out.index + out.index_len + sizeof entry, brief,
	    head->brief_len);
	out.index_len += (sizeof entry + head->brief_len + 7) & ~(size_t)7;
}

/* One record from the input; the bytes that it used, or 0. */
static size_t
put_record(const uint8_t *data, size_t len)
{
	struct rec_head head;
	char *at;

	if (len < 8)
		return 0;
	memset(&head, 0, sizeof head);
	head.nonce = NONCE;
	head.type = data[0];
	head.id = data[1] == 255 ? UINT64_MAX : data[1];
	head.brief_len = data[2];
	head.text_len = (uint32_t)(data[3] | data[4] << 8);
	head.len = head.brief_len + head.text_len + data[5];
	if (head.len > len - 8 || out.len + sizeof head + head.len + 8 > ROOM ||
	    out.index_len + 512 > ROOM)
		return 0;
	put_entry(&head, data + 8);
	at = out.bytes + out.len;
	memcpy(at + sizeof head, data + 8, head.len);
	memcpy(at, &head, sizeof head);
	head.crc = crc32c(0, at + 4, sizeof head - 4 + head.len);
	memcpy(at, &head.crc, 4);
	out.len += (sizeof head + head.len + 7) & ~(size_t)7;
	return 8 + head.len;
}

static void
put_index(void)
{
	struct seg_tail tail;

	if (out.len + out.index_len + sizeof tail > ROOM)
		return;
	tail.magic = JOURNAL_TAIL_MAGIC;
	tail.nonce = NONCE;
	tail.index_off = (uint32_t)out.len;
	tail.index_len = (uint32_t)out.index_len;
	tail.index_crc = crc32c(0, out.index, out.index_len);
	tail.crc = crc32c(0, &tail, offsetof(struct seg_tail, crc));
	memcpy(out.bytes + out.len, out.index, out.index_len);
	out.len += out.index_len;
	memcpy(out.bytes + out.len, &tail, sizeof tail);
	out.len += sizeof tail;
}

static void
compose(uint8_t how, const uint8_t *data, size_t len)
{
	size_t used;

	put_head();
	if ((how & 3) == 0) {
		len = len < ROOM ? len : ROOM;
		memcpy(out.bytes, data, len);
		out.len = len;
		return;
	}
	while ((used = put_record(data, len)) > 0) {
		data += used;
		len -= used;
	}
	if ((how & 3) == 1)
		put_index();
	if (how >= 128) /* something is damaged */
		out.bytes[(size_t)how * 16 % out.len] ^= 1;
}

/* ---- a life ---- */

static void
on_settled(void *arg, uint64_t id, int error)
{
	(void)arg;
	(void)id;
	(void)error;
}

static void
on_changed(void *arg, const struct spool_change *change)
{
	(void)arg;
	if (change->rcpt >= change->env->rcpt_count)
		abort();
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
	(void)text;
}

static void
find_route(void *arg, const char *domain, char key[SPOOL_DEST_SIZE])
{
	(void)arg;
	(void)snprintf(key, SPOOL_DEST_SIZE, "%s", domain);
}

static void
find_limits(void *arg, const char *key, struct limit_conf *conf)
{
	(void)arg;
	(void)key;
	conf->connections = 2;
}

static const char *
find_advice(void *arg, const char *reason)
{
	(void)arg;
	(void)reason;
	return "";
}

static struct spool *
open_in(const char *dir)
{
	static const struct spool_hooks hooks = { NULL, on_settled, on_changed,
		on_reported, on_trouble };
	static const struct spool_conf conf = { .hostname = "relay.example",
		.retry_first_ms = 1000,
		.retry_max_ms = 10000,
		.expire_ms = 432000000,
		.warn_ms = 1000,
		.warn_tls_ms = -1,
		.segment = ROOM,
		.route = find_route,
		.limits = find_limits,
		.advice = find_advice };
	struct spool *sp;

	sp = spool_open(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), NULL,
	    &conf, &hooks, NOW);
	if (sp == NULL)
		abort();
	return sp;
}

static void
commit(struct spool *sp)
{
	struct spool_sync sync;

	if (spool_sync_begin(sp, &sync, NOW) == 1)
		spool_synced(sp, 0, NOW);
	(void)spool_tidy(sp, NOW);
}

static uint64_t
list(struct spool *sp)
{
	struct spool_filter all = { .state = -1, .uid = -1 };
	struct spool_cursor cursor;
	struct spool_counts counts;
	struct spool_entry entry;
	int fd, most;

	memset(&cursor, 0, sizeof cursor);
	cursor.budget = 100000;
	for (most = 0; spool_list(sp, &all, &cursor, &entry) == 1; most++) {
		if (most > ROOM) /* it goes round and round */
			abort();
		fd = spool_body(sp, entry.env->id);
		if (fd != -1)
			(void)close(fd);
	}
	spool_count(sp, &counts);
	return counts.messages;
}

static void
deliver(struct spool *sp)
{
	struct spool_result result = { .outcome = OUTCOME_DEFERRED,
		.scope = SCOPE_RECIPIENT,
		.reason = "remote-4xx",
		.dsn = "4.0.0",
		.mx = "mx",
		.reply = "",
		.detail = "" };
	struct spool_job job;
	size_t i;
	int most, r;

	for (most = 0; most < 300; most++) {
		r = spool_next(sp, NOW, false, &job);
		if (r == 0)
			break;
		if (r == -1)
			continue;
		(void)close(job.body);
		result.outcome = (enum outcome)(most % OUTCOME_COUNT);
		for (i = 0; i < job.rcpt_count; i++)
			if (spool_result(sp, job.job, job.rcpts[i], &result,
				NOW) == -1)
				abort();
		(void)spool_job_end(sp, job.job, NOW);
	}
}

static int
gone(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char dir[64], path[128];
	struct spool *sp;
	uint64_t before;
	int fd;

	if (len == 0)
		return 0;
	compose(data[0], data + 1, len - 1);
	(void)snprintf(dir, sizeof dir, "%s/sealpost-fuzz-XXXXXX",
	    access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(dir) == NULL)
		abort();
	(void)snprintf(path, sizeof path, "%s/seg-00000001", dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	if (fd == -1 || write(fd, out.bytes, out.len) != (ssize_t)out.len)
		abort();
	(void)close(fd);
	sp = open_in(dir);
	spool_tick(sp, NOW);
	commit(sp);
	before = list(sp);
	spool_close(sp);
	sp = open_in(dir);
	if (list(sp) != before)
		abort();
	deliver(sp);
	commit(sp);
	spool_tick(sp, NOW + 20000);
	commit(sp);
	(void)list(sp);
	spool_close(sp);
	(void)nftw(dir, gone, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
