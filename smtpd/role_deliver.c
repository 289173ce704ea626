#include "smtpd/role_deliver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/tree.h>
#include <time.h>

#include "smtpd/base/log.h"
#include "smtpd/base/tls.h"
#include "smtpd/conf.h"
#include "smtpd/deliver_route.h"
#include "smtpd/deliver_secret.h"
#include "smtpd/deliver_work.h"
#include "smtpd/lane.h"
#include "smtpd/msg.h"
#include "smtpd/setup.h"

#define SESSIONS_MAX 1000 /* in this process */
#define SPARE_MS 100      /* a session without work may serve another domain */
#define KEY_SIZE (DESTINATION_SIZE + 64)
#define STOP_MS 3500 /* for messages under way */

/* A lane and its name: next hop, level, credentials. */
struct road {
	RB_ENTRY(road) by_key;
	RB_ENTRY(road) by_ask;
	char key[KEY_SIZE];
	char destination[DESTINATION_SIZE];
	struct lane *lane;
	uint64_t ask;             /* number of the question; 0: none */
	struct lane_route *route; /* the answer under way */
};

RB_HEAD(road_keys, road);
RB_HEAD(road_asks, road);

struct deliver {
	struct child *child;
	struct session_setup setup;
	struct sockaddr_storage own[CONF_LISTEN_MAX];
	struct lane_pool *pool;
	struct deliver_secrets *secrets;
	struct road_keys keys;
	struct road_asks asks;
	uint64_t ask;
	unsigned generation; /* of configuration and secrets */
	struct work *coming; /* its recipients are coming */
	size_t jobs;
	bool stopping;
	struct ev_timer stop;
};

static int
key_cmp(const struct road *a, const struct road *b)
{
	return strcmp(a->key, b->key);
}

static int
ask_cmp(const struct road *a, const struct road *b)
{
	return (a->ask > b->ask) - (a->ask < b->ask);
}

/* RB_GENERATE_STATIC() of libbsd 0.11 needs an __unused that it lacks. */
RB_GENERATE_INTERNAL(road_keys, road, by_key, key_cmp,
    static __attribute__((unused)))
RB_GENERATE_INTERNAL(road_asks, road, by_ask, ask_cmp,
    static __attribute__((unused)))

/* ---- routes ---- */

static void
forget_ask(struct deliver *d, struct road *road)
{
	if (road->ask != 0)
		RB_REMOVE(road_asks, &d->asks, road);
	road->ask = 0;
	lane_route_free(road->route);
	road->route = NULL;
}

static void
on_ask(void *arg, struct lane *lane, bool refresh)
{
	struct deliver *d = arg;
	struct road *road = lane_owner(lane);
	struct ipc *policy = child_peer(d->child, ROLE_POLICY, 0);
	struct msg_route_ask m = { .refresh = refresh };

	forget_ask(d, road);
	road->ask = m.ask = ++d->ask;
	RB_INSERT(road_asks, &d->asks, road);
	(void)strlcpy(m.destination, road->destination, sizeof(m.destination));
	/* If it is being restarted, connected() asks again. */
	if (policy != NULL)
		MSG_SEND(policy, route_ask, &m, -1);
}

/* NULL: nobody waits for it any more. */
static struct road *
find_ask(struct deliver *d, uint64_t ask)
{
	struct road key = { .ask = ask };

	return RB_FIND(road_asks, &d->asks, &key);
}

static void
hear_head(struct deliver *d, const struct msg_route *m)
{
	struct road *road = find_ask(d, m->ask);

	if (road == NULL)
		return;
	lane_route_free(road->route);
	road->route = deliver_route_new(m);
}

static void
hear_end(struct deliver *d, uint64_t ask)
{
	struct road *road = find_ask(d, ask);
	struct lane_route *route;

	if (road == NULL || road->route == NULL)
		return;
	route = road->route;
	road->route = NULL;
	forget_ask(d, road);
	deliver_route_end(route);
	lane_answer(road->lane, route);
}

/* The keys that begin with a domain stand together. */
static void
hear_changed(struct deliver *d, const struct msg_policy_changed *m)
{
	size_t len = strlen(m->domain);
	struct road key, *road;

	(void)strlcpy(key.key, m->domain, sizeof(key.key));
	for (road = RB_NFIND(road_keys, &d->keys, &key);
	     road != NULL && strncmp(road->key, m->domain, len) == 0;
	     road = RB_NEXT(road_keys, &d->keys, road))
		if (road->key[len] == ';' || road->key[len] == ':')
			lane_expire(road->lane);
}

static void
hear_policy(struct deliver *d, uint32_t type, const void *body)
{
	const struct msg_route_host *host = body;
	const struct msg_route_tlsa *tlsa = body;
	const struct msg_route_end *end = body;
	struct road *road;

	if (type == MSG_route) {
		hear_head(d, body);
	} else if (type == MSG_route_host) {
		road = find_ask(d, host->ask);
		deliver_route_host(road == NULL ? NULL : road->route, host);
	} else if (type == MSG_route_tlsa) {
		road = find_ask(d, tlsa->ask);
		deliver_route_tlsa(road == NULL ? NULL : road->route, tlsa);
	} else if (type == MSG_route_end) {
		hear_end(d, end->ask);
	} else if (type == MSG_policy_changed) {
		hear_changed(d, body);
	} else
		log_bug("message %u from policy", type);
}

/* ---- results ---- */

static struct ipc *
queue_of(const struct deliver *d)
{
	return child_peer(d->child, ROLE_QUEUE, 0);
}

static void
on_result(void *arg, struct lane_job *job, size_t rcpt,
    struct msg_rcpt_result *result)
{
	work_tell(work_of(job), queue_of(arg), rcpt, result);
}

static void
on_done(void *arg, struct lane_job *job)
{
	struct deliver *d = arg;
	struct work *w = work_of(job);
	struct ipc *queue = queue_of(d);
	struct msg_job_done m = { .job = w->number };

	/* One without results is the queue's again when this process ends. */
	if (queue != NULL && w->told == w->job.rcpt_count)
		MSG_SEND(queue, job_done, &m, -1);
	work_free(w);
	if (--d->jobs == 0 && d->stopping)
		child_exit(d->child, 0);
}

/* ---- lanes ---- */

static void
close_road(struct deliver *d, struct road *road)
{
	RB_REMOVE(road_keys, &d->keys, road);
	forget_ask(d, road);
	lane_free(road->lane);
	free(road);
}

static void
on_idle(void *arg, struct lane *lane)
{
	close_road(arg, lane_owner(lane));
}

static const struct lane_ops ops = { on_ask, on_result, on_done, on_idle };

static struct road *
find_road(struct deliver *d, const struct lane_options *options)
{
	struct road *road = xcalloc(1, sizeof(*road)), *found;
	struct lane_options o = *options;

	(void)snprintf(road->key, sizeof(road->key), "%s;%s;%d;%d;%u",
	    o.destination, level_word(o.level), o.implicit_tls, o.auth != NULL,
	    d->generation);
	found = RB_INSERT(road_keys, &d->keys, road);
	if (found != NULL) {
		free(road);
		return found;
	}
	(void)strlcpy(road->destination, o.destination,
	    sizeof(road->destination));
	o.owner = road;
	road->lane = lane_new(d->pool, &o);
	return road;
}

/* Defer what cannot go to a lane. */
static void
refuse(struct deliver *d, struct work *w, const char *detail)
{
	work_tell_all(w, queue_of(d), detail);
	on_done(d, &w->job);
}

/* The lane for it; NULL: there is none, *why says why. */
static struct lane *
find_lane(struct deliver *d, const struct work *w, const char **why)
{
	const struct conf *conf = child_conf(d->child);
	struct lane_options o = { 0 };
	struct work_hop hop;

	*why = "its next hop is no longer configured";
	if (work_look_up(w, conf, time(NULL), &hop) == -1)
		return NULL;
	o.destination = hop.destination;
	o.domain = hop.domain;
	o.level = hop.dest.level;
	if (hop.dest.via != NULL) {
		o.implicit_tls = hop.dest.via_implicit_tls;
		if (hop.dest.auth != NULL)
			o.auth = deliver_secrets_find(d->secrets, conf,
			    hop.dest.auth);
		*why = "there is no user and password for its next hop";
		if (hop.dest.auth != NULL && o.auth == NULL)
			return NULL;
	}
	return find_road(d, &o)->lane;
}

static void
begin(struct deliver *d, struct work *w)
{
	const char *why;
	struct lane *lane = find_lane(d, w, &why);

	if (lane != NULL)
		lane_add(lane, &w->job, w->width);
	else
		refuse(d, w, why);
}

/* Its message is being made durable: connect meanwhile. */
static void
hear_foretold(struct deliver *d, const struct msg_foretold *m)
{
	struct lane_rcpt first = { .address = m->address };
	struct work w = { .job = { .rcpts = &first, .rcpt_count = 1 } };
	struct lane *lane;
	const char *why;

	(void)strlcpy(w.destination, m->destination, sizeof(w.destination));
	lane = d->stopping ? NULL : find_lane(d, &w, &why);
	if (lane != NULL)
		lane_expect(lane);
}

static void
hear_job(struct deliver *d, const struct msg_job *m, int fd)
{
	if (d->coming != NULL)
		log_die("queue: a job before the former one's recipients");
	d->coming = work_new(m, fd);
}

static void
hear_rcpt(struct deliver *d, const struct msg_job_rcpt *m)
{
	struct work *w = d->coming;

	if (w == NULL)
		log_die("queue: a recipient of no job");
	if (!work_add(w, m))
		return;
	d->coming = NULL;
	d->jobs++;
	if (d->stopping)
		on_done(d, &w->job);
	else
		begin(d, w);
}

/* ---- configuration and trust ---- */

static void
take_conf(struct deliver *d)
{
	const struct conf *conf = child_conf(d->child);
	size_t i;

	d->setup.helo = conf->hostname != NULL ? conf->hostname : "localhost";
	d->setup.allow = conf->allow_private.net;
	d->setup.allow_count = conf->allow_private.count;
	for (i = 0; i < conf->listen_count; i++)
		d->own[i] = conf->listen[i].addr;
	d->setup.own = d->own;
	d->setup.own_count = conf->listen_count;
	d->setup.source4 = conf->source4;
	d->setup.source6 = conf->source6;
}

static void
renew_all(struct deliver *d)
{
	struct road *road;

	RB_FOREACH(road, road_keys, &d->keys) {
		forget_ask(d, road);
		lane_renew(road->lane);
		lane_ask_again(road->lane);
	}
}

/* The CA bundle's text; closes "fd". Without one nobody is trusted. */
static void
take_trust(struct deliver *d, int fd)
{
	struct tls_ctx *tls = setup_take_trust(fd);

	if (tls == NULL)
		return;
	tls_ctx_free(d->setup.tls);
	d->setup.tls = tls;
	renew_all(d);
}

/* ---- the role ---- */

static time_t
wall_clock(void)
{
	return time(NULL);
}

static void
prepare(struct child *child)
{
	struct deliver *d = xcalloc(1, sizeof(*d));
	struct lane_pool_options pool = { .setup = &d->setup,
		.ops = &ops,
		.arg = d,
		.sessions_max = SESSIONS_MAX,
		.spare_ms = SPARE_MS,
		.now = wall_clock };
	const char *why;

	child_set_state(child, d);
	d->child = child;
	RB_INIT(&d->keys);
	RB_INIT(&d->asks);
	d->setup.ev = child_ev(child);
	/* OpenSSL sets itself up before the cage closes. */
	d->setup.tls = tls_ctx_client(NULL, 0, &why);
	if (d->setup.tls == NULL)
		log_die("TLS: %s", why);
	d->secrets = deliver_secrets_new();
	d->pool = lane_pool_new(&pool);
	take_conf(d);
}

static void
hear_parent(struct deliver *d, uint32_t type, const void *body, int fd)
{
	if (type == MSG_trust) {
		take_trust(d, fd);
	} else if (type == MSG_secret) {
		d->generation++;
		deliver_secrets_take(d->secrets, body, fd);
	} else
		log_bug("message %u from the parent", type);
}

static void
hear_queue(struct deliver *d, uint32_t type, const void *body, int fd)
{
	if (type == MSG_job)
		hear_job(d, body, fd);
	else if (type == MSG_job_rcpt)
		hear_rcpt(d, body);
	else if (type == MSG_foretold)
		hear_foretold(d, body);
	else if (type == MSG_renew)
		renew_all(d);
	else
		log_bug("message %u from queue", type);
}

static void
hear(struct child *child, const struct heard *h)
{
	struct deliver *d = child_state(child);

	if (h->peer == ROLE_PARENT)
		hear_parent(d, h->type, h->body, h->fd);
	else if (h->peer == ROLE_QUEUE)
		hear_queue(d, h->type, h->body, h->fd);
	else
		hear_policy(d, h->type, h->body);
}

/* The next queue process sends all again: what is not sent yet is dropped. */
static void
lost(struct child *child, int peer, uint32_t instance)
{
	struct deliver *d = child_state(child);
	struct road *road;

	(void)instance;
	if (peer != ROLE_QUEUE)
		return;
	work_free(d->coming);
	d->coming = NULL;
	while ((road = RB_MIN(road_keys, &d->keys)) != NULL)
		close_road(d, road);
}

static void
connected(struct child *child, int peer, uint32_t instance)
{
	struct deliver *d = child_state(child);
	struct road *road;

	(void)instance;
	if (peer != ROLE_POLICY)
		return;
	RB_FOREACH(road, road_keys, &d->keys)
		lane_ask_again(road->lane);
}

static void
reloaded(struct child *child)
{
	struct deliver *d = child_state(child);

	/* What comes from now on uses lanes of its own, and no connection
	 * that was opened by the former configuration. */
	d->generation++;
	take_conf(d);
	renew_all(d);
}

static void
on_stop(void *arg)
{
	struct deliver *d = arg;

	child_exit(d->child, 0);
}

/* Finish what a host has begun to take; the queue keeps the rest. */
static void
stop(struct child *child)
{
	struct deliver *d = child_state(child);
	struct road *road;

	d->stopping = true;
	ev_timer_init(&d->stop, on_stop, d);
	ev_timer_set(d->setup.ev, &d->stop, ev_now(d->setup.ev) + STOP_MS);
	RB_FOREACH(road, road_keys, &d->keys)
		lane_drain(road->lane);
	if (d->jobs == 0)
		child_exit(child, 0);
}

const struct role_ops role_deliver_ops = {
	.prepare = prepare,
	.hear = hear,
	.lost = lost,
	.connected = connected,
	.reloaded = reloaded,
	.stop = stop,
};
