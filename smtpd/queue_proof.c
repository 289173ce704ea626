#include "smtpd/queue_proof.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "smtpd/base/log.h"

#define FOLDER "proof"
#define BYTES_MAX (1ULL << 30) /* of all that is kept */
#define FLUSH_MS 100           /* a proof waits at most, unless disks fail */
#define FLUSH_AGAIN_MS 1000
#define TIDY_MS 60000 /* between looks for what is too old */

struct queue_proof {
	struct ev *ev;
	int dirfd; /* the queue's folder */
	unsigned keep_s;
	struct proof_store *store; /* NULL: see queue_proof_store() */
	struct queue_stats *stats;
	int failing; /* the errno last logged */
	struct ev_timer flush_timer;
	struct ev_timer tidy_timer;
	struct queue_proof_asked *asked;
};

static void
log_failing(struct queue_proof *q, int error)
{
	struct log_line line;

	if ((error != 0) == (q->failing != 0))
		return;
	log_begin(&line, error != 0 ? LOG_PRI_ERR : LOG_PRI_NOTICE,
	    error != 0 ? "proofs-failing" : "proofs-recovered");
	if (error != 0)
		log_str(&line, "error", strerror(error));
	log_int(&line, "lost", (long long)q->stats->proofs_lost);
	log_end(&line);
	q->failing = error;
}

static int
open_store(struct queue_proof *q)
{
	int fd;

	if (q->keep_s != 0 && mkdirat(q->dirfd, FOLDER, 0700) == -1 &&
	    errno != EEXIST)
		return -1;
	fd = openat(q->dirfd, FOLDER,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return -1;
	q->store =
	    proof_open(fd, (int64_t)q->keep_s * 1000, BYTES_MAX, ev_wall_ms());
	return q->store == NULL ? -1 : 0;
}

/* With `proof keep never` nothing stays. */
static void
erase_store(struct queue_proof *q)
{
	if (q->store == NULL && open_store(q) == -1) {
		log_failing(q, errno == ENOENT ? 0 : errno);
		return;
	}
	proof_erase(q->store);
	proof_close(q->store);
	q->store = NULL;
	(void)unlinkat(q->dirfd, FOLDER, AT_REMOVEDIR);
}

static void
use_store(struct queue_proof *q)
{
	if (q->keep_s == 0)
		erase_store(q);
	else if (q->store != NULL)
		proof_keep(q->store, (int64_t)q->keep_s * 1000);
	else if (open_store(q) == -1)
		log_failing(q, errno);
}

void
queue_proof_flush(struct queue_proof *q)
{
	ev_timer_del(q->ev, &q->flush_timer);
	if (q->store == NULL)
		return;
	if (proof_flush(q->store, ev_wall_ms()) == 0) {
		log_failing(q, 0);
		return;
	}
	log_failing(q, errno);
	ev_timer_set(q->ev, &q->flush_timer, ev_now(q->ev) + FLUSH_AGAIN_MS);
}

static void
on_flush(void *arg)
{
	queue_proof_flush(arg);
}

static void
on_tidy(void *arg)
{
	struct queue_proof *q = arg;

	ev_timer_set(q->ev, &q->tidy_timer, ev_now(q->ev) + TIDY_MS);
	if (q->store == NULL && q->keep_s != 0)
		use_store(q);
	queue_proof_flush(q);
}

struct queue_proof *
queue_proof_new(struct ev *ev, int dirfd, unsigned keep_s,
    struct queue_stats *stats)
{
	struct queue_proof *q = xcalloc(1, sizeof *q);

	q->ev = ev;
	q->dirfd = dirfd;
	q->keep_s = keep_s;
	q->stats = stats;
	q->asked = queue_proof_asked_new();
	ev_timer_init(&q->flush_timer, on_flush, q);
	ev_timer_init(&q->tidy_timer, on_tidy, q);
	ev_timer_set(ev, &q->tidy_timer, ev_now(ev) + TIDY_MS);
	use_store(q);
	return q;
}

void
queue_proof_free(struct queue_proof *q)
{
	if (q == NULL)
		return;
	queue_proof_asked_free(q->asked);
	queue_proof_flush(q);
	proof_close(q->store);
	ev_timer_del(q->ev, &q->flush_timer);
	ev_timer_del(q->ev, &q->tidy_timer);
	(void)close(q->dirfd);
	free(q);
}

void
queue_proof_keep(struct queue_proof *q, unsigned keep_s)
{
	q->keep_s = keep_s;
	use_store(q);
}

struct proof_store *
queue_proof_store(struct queue_proof *q, const char **why)
{
	*why = q->keep_s == 0 ? "no proof of that: none are kept"
			      : "no proof of that: the store cannot be used";
	return q->store;
}

struct ev *
queue_proof_ev(struct queue_proof *q)
{
	return q->ev;
}

struct queue_proof_asked *
queue_proof_asked(struct queue_proof *q)
{
	return q->asked;
}

/* ---- adding ---- */

#define HEX_SIZE 65 /* a SHA-256 digest as text */

/* All zero is no digest: "". */
static void
write_hex(char out[HEX_SIZE], const uint8_t digest[32])
{
	static const char hex[] = "0123456789abcdef";
	static const uint8_t none[32];
	size_t i;

	out[0] = '\0';
	if (memcmp(digest, none, sizeof none) == 0)
		return;
	for (i = 0; i < sizeof none; i++) {
		out[2 * i] = hex[digest[i] >> 4];
		out[2 * i + 1] = hex[digest[i] & 15];
	}
	out[2 * i] = '\0';
}

static int
add(struct queue_proof *q, const struct spool_change *change,
    const struct msg_rcpt_result *r)
{
	char policy[HEX_SIZE], cert[HEX_SIZE];
	struct proof proof = {
		.id = change->env->id,
		.accepted_ms = (int64_t)(change->env->arrived_us / 1000),
		.delivered_ms = ev_wall_ms(),
		.message_id = change->env->message_id,
		.recipient = change->env->rcpts[change->rcpt].address,
		.reply = r->reply,
		.seal = {
			.level = level_word((enum tls_level)r->level),
			.auth = auth_word((enum verdict_auth)r->auth),
			.route = route_word(r->route_secure != 0),
			.policy = mode_word((enum policy_mode)r->policy),
			.policy_id = r->policy_id,
			.policy_sha256 = policy,
			.policy_fetched = r->policy_fetched,
			.tlsa = r->tlsa,
			.tls = strcmp(r->tls, "none") == 0 ? "" : r->tls,
			.cipher = r->cipher,
			.group = r->group,
			.cert_sha256 = cert,
			.mx = r->mx,
			.addr = r->addr,
		},
	};

	if (q->store == NULL) {
		errno = ENOENT;
		return -1;
	}
	write_hex(policy, r->policy_sha256);
	write_hex(cert, r->cert_sha256);
	return proof_add(q->store, &proof);
}

void
queue_proof_add(struct queue_proof *q, const struct spool_change *change,
    const struct msg_rcpt_result *r)
{
	if (q->keep_s == 0)
		return;
	if (add(q, change, r) == -1) {
		q->stats->proofs_lost++;
		log_failing(q, errno);
		return;
	}
	q->stats->proofs_added++;
	if (!q->flush_timer.armed)
		ev_timer_set(q->ev, &q->flush_timer, ev_now(q->ev) + FLUSH_MS);
}
