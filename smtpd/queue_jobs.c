#include "smtpd/queue_jobs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/tree.h>
#include <time.h>
#include <unistd.h>

#include "mtasts/reason.h"
#include "mtasts/verdict.h"
#include "smtpd/base/log.h"

#define WORKER_JOBS 512   /* that one worker may hold */
#define BACKLOG_MAX 4096  /* messages not yet sent to a worker */
#define HOME_LEAD 32      /* jobs a destination's home may be ahead */
#define UNREADABLE_MAX 64 /* messages passed over in one turn */

/* A job that a worker has. */
struct flight {
	RB_ENTRY(flight) node;
	LIST_ENTRY(flight) entry; /* of its worker */
	uint64_t job;
	uint32_t instance;
};

RB_HEAD(flight_tree, flight);

struct worker {
	LIST_HEAD(, flight) flights;
	unsigned count;
};

struct queue_jobs {
	struct child *child;
	struct flight_tree tree;
	struct worker workers[WORKERS_MAX];
};

static int
by_job(const struct flight *a, const struct flight *b)
{
	return (a->job > b->job) - (a->job < b->job);
}

/* RB_GENERATE_STATIC() of libbsd 0.11 needs an __unused that it lacks. */
RB_GENERATE_INTERNAL(flight_tree, flight, node, by_job,
    static __attribute__((unused)))

struct queue_jobs *
queue_jobs_new(struct child *child)
{
	struct queue_jobs *jobs = xcalloc(1, sizeof *jobs);
	uint32_t i;

	jobs->child = child;
	RB_INIT(&jobs->tree);
	for (i = 0; i < WORKERS_MAX; i++)
		LIST_INIT(&jobs->workers[i].flights);
	return jobs;
}

/* ---- which worker ---- */

static bool
has_room(struct queue_jobs *jobs, uint32_t instance)
{
	struct ipc *ipc = child_peer(jobs->child, ROLE_DELIVER, instance);

	return ipc != NULL && jobs->workers[instance].count < WORKER_JOBS &&
	    ipc_backlog(ipc) < BACKLOG_MAX;
}

static uint32_t
hash(const char *key)
{
	uint32_t h = 2166136261U; /* FNV-1a */

	for (; *key != '\0'; key++)
		h = (h ^ (unsigned char)*key) * 16777619U;
	return h;
}

/* -1: no worker has room. */
static int
idlest(struct queue_jobs *jobs)
{
	uint32_t i, workers = child_workers(jobs->child);
	int best = -1;

	for (i = 0; i < workers; i++)
		if (has_room(jobs, i) &&
		    (best == -1 ||
			jobs->workers[i].count < jobs->workers[best].count))
			best = (int)i;
	return best;
}

unsigned
queue_jobs_width(unsigned width, unsigned most, unsigned workers, bool home)
{
	unsigned slice = most / (2 * workers);
	unsigned share = home ? most - slice * (workers - 1) : slice;

	return width < share ? width : share;
}

static uint32_t
home_of(const struct queue_jobs *jobs, const char *destination)
{
	return hash(destination) % child_workers(jobs->child);
}

static unsigned
width_at(const struct queue_jobs *jobs, const struct spool_job *job,
    uint32_t instance)
{
	return queue_jobs_width(job->width, job->most,
	    child_workers(jobs->child),
	    instance == home_of(jobs, job->destination));
}

static int
choose_worker(struct queue_jobs *jobs, const struct spool_job *job)
{
	uint32_t home = home_of(jobs, job->destination);
	int other = idlest(jobs);

	if (other == -1 || !has_room(jobs, home))
		return other;
	if (jobs->workers[home].count >
		jobs->workers[other].count + HOME_LEAD &&
	    width_at(jobs, job, (uint32_t)other) > 0)
		return other;
	return (int)home;
}

/* ---- out ---- */

/* Strings of the spool came from messages of the same sizes. */
static void
copy(char *to, size_t size, const char *from)
{
	if (strlcpy(to, from, size) >= size)
		log_bug("queue: a string outgrew its message");
}

static void
send_rcpts(struct ipc *ipc, const struct spool_job *job)
{
	struct msg_job_rcpt m = { .job = job->job };
	size_t i;

	for (i = 0; i < job->rcpt_count; i++) {
		const struct recipient *r = &job->env->rcpts[job->rcpts[i]];

		m.rcpt = job->rcpts[i];
		m.notify = r->notify;
		copy(m.address, sizeof m.address, r->address);
		copy(m.orcpt, sizeof m.orcpt, r->orcpt);
		MSG_SEND(ipc, job_rcpt, &m, -1);
	}
}

static void
send_job(struct ipc *ipc, const struct spool_job *job, unsigned width)
{
	const struct envelope *env = job->env;
	struct msg_job m = {
		.job = job->job,
		.size = env->size,
		.flags = env->flags,
		.rcpts = (uint32_t)job->rcpt_count,
		.width = width,
		.recheck = job->recheck,
	};

	copy(m.destination, sizeof m.destination, job->destination);
	copy(m.sender, sizeof m.sender, env->sender);
	copy(m.envid, sizeof m.envid, env->envid);
	MSG_SEND(ipc, job, &m, job->body);
	send_rcpts(ipc, job);
}

static void
launch(struct queue_jobs *jobs, const struct spool_job *job, uint32_t instance)
{
	struct flight *f = xcalloc(1, sizeof *f);

	f->job = job->job;
	f->instance = instance;
	if (RB_INSERT(flight_tree, &jobs->tree, f) != NULL)
		log_bug("queue: job %llu twice", (unsigned long long)f->job);
	LIST_INSERT_HEAD(&jobs->workers[instance].flights, f, entry);
	jobs->workers[instance].count++;
	send_job(child_peer(jobs->child, ROLE_DELIVER, instance), job,
	    width_at(jobs, job, instance));
}

void
queue_jobs_dispatch(struct queue_jobs *jobs, struct spool *spool,
    int64_t now_ms)
{
	size_t room = (size_t)child_workers(jobs->child) * WORKER_JOBS;
	struct spool_job job;
	int r, worker, unreadable = 0;

	while (idlest(jobs) != -1 && unreadable < UNREADABLE_MAX) {
		/* Those that may be dead get half of the room at most. */
		bool proven = spool_jobs_unproven(spool) >= room / 2;

		r = spool_next(spool, now_ms, proven, &job);
		if (r == 0)
			break;
		if (r == -1) {
			log_note(LOG_PRI_ERR,
			    "spool: a message cannot be read:"
			    " %s",
			    strerror(errno));
			unreadable++;
			continue;
		}
		worker = choose_worker(jobs, &job);
		launch(jobs, &job, (uint32_t)worker);
	}
}

void
queue_jobs_foretell(struct queue_jobs *jobs, struct spool *spool,
    const struct envelope *env, int64_t now_ms)
{
	const char *destination = spool_foretell(spool, env->id, now_ms);
	struct msg_foretold m = { 0 };
	uint32_t home;

	if (destination == NULL)
		return;
	home = home_of(jobs, destination);
	if (!has_room(jobs, home))
		return;
	copy(m.destination, sizeof m.destination, destination);
	copy(m.address, sizeof m.address, env->rcpts[0].address);
	MSG_SEND(child_peer(jobs->child, ROLE_DELIVER, home), foretold, &m, -1);
}

void
queue_jobs_renew(struct queue_jobs *jobs)
{
	struct msg_renew m = { 0 };
	struct ipc *ipc;
	uint32_t i;

	for (i = 0; i < child_workers(jobs->child); i++) {
		ipc = child_peer(jobs->child, ROLE_DELIVER, i);
		if (ipc != NULL)
			MSG_SEND(ipc, renew, &m, -1);
	}
}

/* ---- back ---- */

static struct flight *
find_flight(struct queue_jobs *jobs, uint32_t instance, uint64_t job)
{
	struct flight key = { .job = job }, *f;

	f = RB_FIND(flight_tree, &jobs->tree, &key);
	return f != NULL && f->instance == instance ? f : NULL;
}

static bool
is_in_range(const struct msg_rcpt_result *m)
{
	return m->outcome < OUTCOME_COUNT && m->scope < SCOPE_COUNT &&
	    m->reason < REASON_COUNT && m->would_defer < REASON_COUNT &&
	    m->sts_failure < REASON_COUNT && m->auth <= AUTH_DANE &&
	    m->policy <= POLICY_UNKNOWN && m->level <= LEVEL_OPPORTUNISTIC;
}

void
queue_jobs_result(struct queue_jobs *jobs, struct spool *spool,
    uint32_t instance, const struct msg_rcpt_result *m, int64_t now_ms)
{
	struct spool_result result = {
		.outcome = (enum outcome)m->outcome,
		.scope = (enum scope)m->scope,
		.enforce = m->policy == POLICY_ENFORCE,
		.relayed = m->dsn_relayed == 0,
		.dsn = m->dsn,
		.mx = m->mx,
		.reply = m->reply,
		.detail = m->detail,
	};

	if (!is_in_range(m) || find_flight(jobs, instance, m->job) == NULL) {
		log_note(LOG_PRI_ERR, "a worker's result makes no sense");
		return;
	}
	result.tls = reason_is_tls((enum reason)m->reason);
	result.reason = reason_word((enum reason)m->reason);
	if (spool_result(spool, m->job, m->rcpt, &result, now_ms) == -1)
		log_note(LOG_PRI_ERR, "a worker's result names no recipient");
}

static void
land(struct queue_jobs *jobs, struct spool *spool, struct flight *f,
    int64_t now_ms)
{
	uint64_t job = f->job;

	RB_REMOVE(flight_tree, &jobs->tree, f);
	LIST_REMOVE(f, entry);
	jobs->workers[f->instance].count--;
	free(f);
	(void)spool_job_end(spool, job, now_ms);
}

void
queue_jobs_done(struct queue_jobs *jobs, struct spool *spool, uint32_t instance,
    uint64_t job, int64_t now_ms)
{
	struct flight *f = find_flight(jobs, instance, job);

	if (f != NULL)
		land(jobs, spool, f, now_ms);
}

void
queue_jobs_lost(struct queue_jobs *jobs, struct spool *spool, uint32_t instance,
    int64_t now_ms)
{
	struct flight *f;

	while ((f = LIST_FIRST(&jobs->workers[instance].flights)) != NULL)
		land(jobs, spool, f, now_ms);
}

/* ---- the configuration's words on next hops ---- */

void
queue_jobs_next_hop(const struct conf *conf, const char *domain,
    char key[SPOOL_DEST_SIZE])
{
	struct conf_dest dest;

	conf_destination(conf, domain, time(NULL), &dest);
	if (dest.via == NULL)
		(void)strlcpy(key, domain, SPOOL_DEST_SIZE);
	else if (dest.level == LEVEL_REQUIRE)
		(void)snprintf(key, SPOOL_DEST_SIZE, "%s:%u", dest.via,
		    dest.via_port);
	else
		(void)snprintf(key, SPOOL_DEST_SIZE, "%s:%u;%s", dest.via,
		    dest.via_port, level_word(dest.level));
}

/* Does the block name the next hop "key"? */
static bool
names_hop(const struct conf_destination *d, const char *key)
{
	char hop[SPOOL_DEST_SIZE];
	size_t len;

	if (d->via == NULL || strncmp(key, d->via, strlen(d->via)) != 0)
		return false;
	(void)snprintf(hop, sizeof hop, "%s:%u", d->via, d->via_port);
	len = strlen(hop);
	return strncmp(key, hop, len) == 0 &&
	    (key[len] == '\0' || key[len] == ';');
}

/* The stricter of both. */
static void
narrow(struct limit_conf *limits, const struct conf_dest *dest)
{
	int64_t rate_ms = (int64_t)dest->rate_s * 1000;

	if (dest->connections < limits->connections)
		limits->connections = dest->connections;
	if (dest->rate == 0 ||
	    (limits->rate != 0 &&
		dest->rate * limits->rate_ms >= limits->rate * rate_ms))
		return;
	limits->rate = dest->rate;
	limits->rate_ms = rate_ms;
}

/* Blocks that name one `via` next hop share it: all their limits hold. */
void
queue_jobs_limits(const struct conf *conf, const char *key,
    struct limit_conf *limits)
{
	const struct conf_destination *d;
	struct conf_dest dest;

	*limits = (struct limit_conf){ .connections = UINT_MAX };
	SLIST_FOREACH(d, &conf->destinations, entry) {
		if (!names_hop(d, key))
			continue;
		conf_destination(conf, d->name, time(NULL), &dest);
		if (d->connections > 0)
			dest.connections = d->connections;
		if (d->rate > 0) {
			dest.rate = d->rate;
			dest.rate_s = d->rate_s;
		}
		narrow(limits, &dest);
	}
	if (limits->connections != UINT_MAX)
		return;
	conf_destination(conf, key, time(NULL), &dest);
	narrow(limits, &dest);
}
