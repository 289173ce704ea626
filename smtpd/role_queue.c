#include "smtpd/role_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "queue/spool.h"
#include "smtpd/alias_take.h"
#include "smtpd/base/log.h"
#include "smtpd/caller.h"
#include "smtpd/conf.h"
#include "smtpd/msg.h"
#include "smtpd/queue_answer.h"
#include "smtpd/queue_intake.h"
#include "smtpd/queue_jobs.h"
#include "smtpd/queue_log.h"
#include "smtpd/queue_proof.h"
#include "smtpd/syncer.h"

#define RESULT_SYNC_MS 100   /* results are durable within */
#define TROUBLE_SYNC_MS 1000 /* ... or tried again, while the disk fails */
#define DAY_MS (24LL * 3600 * 1000)

struct queue_role {
	struct child *child;
	struct ev *ev;
	struct spool *spool;
	struct syncer *syncer;
	struct queue_intake *intake;
	struct queue_jobs *jobs;
	struct queue_answers *answers;
	struct queue_proof *proof;
	struct queue_stats stats;
	struct alias_table *aliases; /* NULL: not yet told */
	gid_t admins;
	struct spool_sync sync; /* the group under way */
	bool syncing;
	bool urgent; /* someone waits for a 250 */
	bool paused;
	bool told_paused; /* the parent */
	bool stopping;
	int failing; /* as last logged */
	struct ev_task turn;
	struct ev_timer sync_timer;
	struct ev_timer wake_timer;
	const struct msg_rcpt_result *result; /* while it is being applied */
};

static struct ipc *
listener(struct queue_role *q)
{
	return child_peer(q->child, ROLE_LISTEN, 0);
}

/* ---- what the spool tells ---- */

static void
on_settled(void *arg, uint64_t id, int error)
{
	struct queue_role *q = arg;

	queue_intake_settled(q->intake, id, error, listener(q));
}

static void
on_changed(void *arg, const struct spool_change *change)
{
	struct queue_role *q = arg;

	queue_log_change(&q->stats, change, q->result);
	if (change->event == EVENT_DELIVERED && q->result != NULL)
		queue_proof_add(q->proof, change, q->result);
}

static void
on_reported(void *arg, enum spool_report report, uint64_t of,
    const struct envelope *env)
{
	struct queue_role *q = arg;

	queue_log_report(&q->stats, report, of, env);
}

static void
on_trouble(void *arg, const char *text)
{
	(void)arg;
	log_note(LOG_PRI_ERR, "spool: %s", text);
}

static const struct spool_hooks hooks_template = {
	.settled = on_settled,
	.changed = on_changed,
	.reported = on_reported,
	.trouble = on_trouble,
};

/* ---- what the spool asks ---- */

static void
find_next_hop(void *arg, const char *domain, char key[SPOOL_DEST_SIZE])
{
	struct queue_role *q = arg;

	queue_jobs_next_hop(child_conf(q->child), domain, key);
}

static void
find_limits(void *arg, const char *key, struct limit_conf *limits)
{
	struct queue_role *q = arg;

	queue_jobs_limits(child_conf(q->child), key, limits);
}

static const char *
find_advice(void *arg, const char *reason)
{
	(void)arg;
	return reason_advice(reason_parse(reason));
}

static int
expand(void *arg, const char *address, int (*fn)(void *arg, const char *one),
    void *fn_arg)
{
	struct queue_role *q = arg;
	const char *why;

	return alias_expand(q->aliases, address, fn, fn_arg, &why);
}

static int64_t
warn_ms(unsigned seconds)
{
	return seconds == 0 ? -1 : (int64_t)seconds * 1000;
}

static struct spool_conf
settings(struct queue_role *q)
{
	const struct conf *conf = child_conf(q->child);
	struct spool_conf s = {
		.hostname = conf->hostname,
		.retry_first_ms = (int64_t)conf->queue_retry_s * 1000,
		.retry_max_ms = (int64_t)conf->queue_retry_max_s * 1000,
		.expire_ms = (int64_t)conf->queue_expire_s * 1000,
		.warn_ms = warn_ms(conf->queue_warn_s),
		.warn_tls_ms = warn_ms(conf->queue_warn_tls_s),
		.arg = q,
		.route = find_next_hop,
		.limits = find_limits,
		.advice = find_advice,
		.expand = expand,
	};

	return s;
}

/* ---- the end of each turn: write, dispatch, sleep ---- */

static void
log_failing(struct queue_role *q)
{
	int failing = spool_failing(q->spool);
	struct log_line line;

	if (failing == q->failing)
		return;
	log_begin(&line, failing != 0 ? LOG_PRI_ERR : LOG_PRI_NOTICE,
	    failing != 0 ? "spool-failing" : "spool-recovered");
	if (failing != 0)
		log_str(&line, "error", strerror(failing));
	log_end(&line);
	q->failing = failing;
}

static void
begin_sync(struct queue_role *q)
{
	int r;

	if (q->syncing)
		return;
	q->urgent = false;
	ev_timer_del(q->ev, &q->sync_timer);
	queue_proof_flush(q->proof);
	r = spool_sync_begin(q->spool, &q->sync, ev_wall_ms());
	if (r == 1) {
		q->syncing = true;
		syncer_start(q->syncer, q->sync.fds, (size_t)q->sync.count);
	} else if (spool_is_dirty(q->spool)) {
		/* What is done makes room where there is none. */
		(void)spool_tidy(q->spool, ev_wall_ms());
		ev_timer_set(q->ev, &q->sync_timer,
		    ev_now(q->ev) + TROUBLE_SYNC_MS);
	}
	log_failing(q);
}

/* Results may wait for a moment; a message that waits for its 250 may not. */
static void
consider_sync(struct queue_role *q)
{
	if (q->syncing || !spool_is_dirty(q->spool))
		return;
	if (q->urgent || q->stopping || spool_is_awaited(q->spool))
		begin_sync(q);
	else if (!q->sync_timer.armed)
		ev_timer_set(q->ev, &q->sync_timer,
		    ev_now(q->ev) + RESULT_SYNC_MS);
}

static void
set_wake_timer(struct queue_role *q)
{
	int64_t now_ms = ev_wall_ms(), wake_ms = spool_wake(q->spool, now_ms);

	if (wake_ms == INT64_MAX) {
		ev_timer_del(q->ev, &q->wake_timer);
		return;
	}
	if (wake_ms < now_ms)
		wake_ms = now_ms;
	if (wake_ms > now_ms + DAY_MS)
		wake_ms = now_ms + DAY_MS;
	ev_timer_set(q->ev, &q->wake_timer, ev_now(q->ev) + (wake_ms - now_ms));
}

static void
end_turn(void *arg)
{
	struct queue_role *q = arg;

	/* Before it is known whom reports reach, nothing may expire; the
	 * parent's next word says so, and kicks. */
	if (q->aliases == NULL)
		return;
	if (!q->paused && !q->stopping)
		queue_jobs_dispatch(q->jobs, q->spool, ev_wall_ms());
	consider_sync(q);
	set_wake_timer(q);
}

/* Something happened: look at everything once this turn is over. */
static void
kick(void *arg)
{
	struct queue_role *q = arg;

	ev_soon(q->ev, &q->turn, end_turn, q);
}

/* Tell the parent, so that the next queue process does not take up deliveries
 * should this one die. */
static void
tell_paused(struct queue_role *q)
{
	struct msg_paused m = { .paused = q->paused };

	if (q->paused == q->told_paused)
		return;
	MSG_SEND(child_peer(q->child, ROLE_PARENT, 0), paused, &m, -1);
	q->told_paused = q->paused;
}

/* The administrator did something to the queue, and is to find it done after
 * a crash: do not leave it to the timer of results. */
static void
on_command(void *arg)
{
	struct queue_role *q = arg;

	q->urgent = true;
	tell_paused(q);
	kick(q);
}

static void
on_sync_timer(void *arg)
{
	begin_sync(arg);
}

static void
on_wake_timer(void *arg)
{
	struct queue_role *q = arg;

	spool_tick(q->spool, ev_wall_ms());
	kick(q);
}

static void
finish_if_idle(struct queue_role *q)
{
	if (!q->stopping || q->syncing ||
	    (spool_is_dirty(q->spool) && spool_failing(q->spool) == 0))
		return;
	queue_proof_flush(q->proof);
	spool_seal(q->spool);
	child_exit(q->child, 0);
}

static void
on_synced(void *arg, int error)
{
	struct queue_role *q = arg;

	q->syncing = false;
	spool_synced(q->spool, error, ev_wall_ms());
	log_failing(q);
	if (spool_tidy(q->spool, ev_wall_ms()))
		q->urgent = q->urgent || spool_is_dirty(q->spool);
	kick(q);
	finish_if_idle(q);
}

/* ---- what the siblings say ---- */

static void
hear_request(struct queue_role *q, const struct msg_ctl_queue *m, int fd)
{
	/* Whose own messages they are, may list them. */
	if (!caller_may(fd, q->admins, m->verb == CTL_QUEUE ? m->uid : -1)) {
		(void)close(fd);
		return;
	}
	if (m->verb == CTL_RETRY)
		queue_jobs_renew(q->jobs);
	if (m->verb == CTL_PROOF)
		queue_proof_answer(q->proof, m, fd);
	else
		queue_answer(q->answers, m, fd);
}

static void
submit(struct queue_role *q, const struct msg_submit *m, int body)
{
	const struct envelope *env =
	    queue_intake_submit(q->intake, q->spool, m, body, listener(q));

	if (env != NULL && !q->paused && !q->stopping)
		queue_jobs_foretell(q->jobs, q->spool, env, ev_wall_ms());
	q->urgent = true;
}

static void
hear_listen(struct queue_role *q, uint32_t type, const void *body, int fd)
{
	switch (type) {
	case MSG_submit_rcpt:
		queue_intake_rcpt(q->intake, body);
		return;
	case MSG_submit:
		submit(q, body, fd);
		break;
	case MSG_large:
		queue_intake_large(q->intake, q->spool,
		    ((const struct msg_large *)body)->id, listener(q));
		return;
	case MSG_large_drop:
		queue_intake_large_drop(q->intake, q->spool,
		    ((const struct msg_large_drop *)body)->id);
		return;
	case MSG_ctl_queue:
		hear_request(q, body, fd);
		return;
	case MSG_listen_stats:
		q->stats.listen = *(const struct msg_listen_stats *)body;
		return;
	default:
		log_bug("queue: message %u of listen", type);
	}
	kick(q);
}

static void
hear_deliver(struct queue_role *q, uint32_t instance, uint32_t type,
    const void *body)
{
	int64_t now_ms = ev_wall_ms();

	switch (type) {
	case MSG_rcpt_result:
		q->result = body;
		queue_jobs_result(q->jobs, q->spool, instance, body, now_ms);
		q->result = NULL;
		break;
	case MSG_job_done:
		queue_jobs_done(q->jobs, q->spool, instance,
		    ((const struct msg_job_done *)body)->job, now_ms);
		break;
	default:
		log_bug("queue: message %u of deliver", type);
	}
	kick(q);
}

/* The last part of what a start needs. */
static void
take_aliases(struct queue_role *q, int fd)
{
	bool first = q->aliases == NULL;

	alias_free(q->aliases);
	q->aliases = alias_take(fd, child_conf(q->child), false);
	if (first)
		spool_tick(q->spool, ev_wall_ms());
	kick(q);
}

static void
hear(struct child *child, const struct heard *h)
{
	struct queue_role *q = child_state(child);

	if (h->type == MSG_aliases)
		take_aliases(q, h->fd);
	else if (h->peer == ROLE_LISTEN)
		hear_listen(q, h->type, h->body, h->fd);
	else if (h->peer == ROLE_DELIVER)
		hear_deliver(q, h->instance, h->type, h->body);
	else if (h->type == MSG_policy_stats)
		q->stats.policy = *(const struct msg_policy_stats *)h->body;
}

static void
lost(struct child *child, int peer, uint32_t instance)
{
	struct queue_role *q = child_state(child);

	if (peer == ROLE_LISTEN)
		queue_intake_abandon(q->intake, q->spool);
	if (peer == ROLE_DELIVER)
		queue_jobs_lost(q->jobs, q->spool, instance, ev_wall_ms());
	kick(q);
}

static void
connected(struct child *child, int peer, uint32_t instance)
{
	(void)peer;
	(void)instance;
	kick(child_state(child));
}

/* ---- begin and end ---- */

/* The cage's root is the queue's folder. */
static int
open_root(void)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		log_die("spool: %s", strerror(errno));
	return fd;
}

static void
open_spool(struct queue_role *q)
{
	struct spool_conf conf = settings(q);
	struct spool_hooks hooks = hooks_template;

	hooks.arg = q;
	q->spool = spool_open(open_root(), NULL, &conf, &hooks, ev_wall_ms());
	if (q->spool == NULL)
		log_die("spool: %s", strerror(errno));
}

static void
log_opened(struct queue_role *q, int64_t began_ms)
{
	struct spool_counts counts;
	struct log_line line;

	spool_count(q->spool, &counts);
	log_begin(&line, LOG_PRI_INFO, "spool");
	log_int(&line, "messages", (long long)counts.messages);
	log_int(&line, "destinations", (long long)counts.destinations);
	log_int(&line, "segments", (long long)counts.segments);
	log_int(&line, "ms", ev_wall_ms() - began_ms);
	log_end(&line);
}

static void
prepare(struct child *child)
{
	struct queue_role *q = xcalloc(1, sizeof *q);

	q->admins = caller_admins();
	child_set_state(child, q);
}

static void
start(struct child *child)
{
	struct queue_role *q = child_state(child);
	struct queue_view view = { .changed = on_command, .arg = q };
	int64_t now_ms = ev_wall_ms();

	q->child = child;
	q->ev = child_ev(child);
	q->stats.started_ms = child_began_ms(child);
	q->paused = q->told_paused = child_paused(child);
	q->intake = queue_intake_new(&q->stats);
	q->jobs = queue_jobs_new(child);
	q->proof = queue_proof_new(q->ev, open_root(),
	    child_conf(child)->proof_keep_s, &q->stats);
	open_spool(q);
	log_opened(q, now_ms);
	q->syncer = syncer_new(q->ev, on_synced, q);
	view.ev = q->ev;
	view.spool = q->spool;
	view.stats = &q->stats;
	view.paused = &q->paused;
	q->answers = queue_answers_new(&view);
	ev_timer_init(&q->sync_timer, on_sync_timer, q);
	ev_timer_init(&q->wake_timer, on_wake_timer, q);
}

static void
reloaded(struct child *child)
{
	struct queue_role *q = child_state(child);
	struct spool_conf conf = settings(q);

	spool_reconfigure(q->spool, &conf, ev_wall_ms());
	queue_proof_keep(q->proof, child_conf(child)->proof_keep_s);
	kick(q);
}

/* Outcomes known by now become durable; jobs under way are sent again after
 * the next start unless their results still come. */
static void
stop(struct child *child)
{
	struct queue_role *q = child_state(child);

	q->stopping = true;
	consider_sync(q);
	finish_if_idle(q);
}

const struct role_ops role_queue_ops = {
	.prepare = prepare,
	.start = start,
	.hear = hear,
	.lost = lost,
	.connected = connected,
	.reloaded = reloaded,
	.stop = stop,
};
