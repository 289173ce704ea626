#include "smtpd/role_listen.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/alias_take.h"
#include "smtpd/base/log.h"
#include "smtpd/base/sandbox.h"
#include "smtpd/caller.h"
#include "smtpd/conf.h"
#include "smtpd/guest.h"
#include "smtpd/roles.h"

#define LISTENERS_MAX (CONF_LISTEN_MAX + 1) /* and the Unix socket */
#define GUESTS_MAX 1000                     /* at once */
#define LOCALS_KEPT(n) ((n) / 10)           /* of n: for the Unix socket */
#define STRANGERS_MAX(n) ((n) / 2)          /* of n: who may not relay */
#define GUESTS_PER_STRANGER 50              /* at once from one address */
#define GUESTS_PER_CLIENT(n) ((n) / 2)      /* of n: of who may relay */
#define DESCRIPTORS_KEPT 64                 /* for all but guests */
#define DESCRIPTORS_EACH 2                  /* of a guest: socket and body */
#define ACCEPTS_MAX 32                      /* in one turn */
#define PAUSE_MS 1000                       /* when descriptors run out */
#define SECOND_MS 1000
#define STOP_TICK_MS 50
#define STOP_MS 3000 /* for messages about to be durable */

struct listener {
	struct ev_watch watch;
	int fd; /* -1: none */
	bool is_unix;
};

static struct listen {
	struct door door;
	struct listener listeners[LISTENERS_MAX];
	size_t count;
	struct ev_timer pause;
	struct ev_timer second;
	struct ev_timer stop;
	int64_t stop_by;
	size_t most; /* guests at once */
} role;

/* ---- accepting ---- */

/*
 * Too many from one host, or too many strangers in all? Half of the places are
 * for clients that may relay, and one of these cannot take them all.
 */
static bool
is_crowd(const struct sockaddr *peer)
{
	const struct conf *conf = child_conf(role.door.child);
	bool may_relay =
	    netaddr_in(conf->relay_from.net, conf->relay_from.count, peer);
	const struct guest *g;
	unsigned same = 0, all = 0;

	if (may_relay && role.door.count < GUESTS_PER_CLIENT(role.most))
		return false;
	TAILQ_FOREACH(g, &role.door.guests, entry) {
		if (g->is_local || g->may_relay != may_relay)
			continue;
		all++;
		if (netaddr_same_host((const struct sockaddr *)&g->peer, peer))
			same++;
	}
	if (may_relay)
		return same >= GUESTS_PER_CLIENT(role.most);
	return same >= GUESTS_PER_STRANGER || all >= STRANGERS_MAX(role.most);
}

static void
receive(const struct listener *l, int fd, const struct sockaddr *peer)
{
	if (role.door.is_stopping)
		guest_turn_away(&role.door, fd, "421 4.3.2 shutting down\r\n");
	else if (role.door.count >=
	    role.most - (l->is_unix ? 0 : LOCALS_KEPT(role.most)))
		guest_turn_away(&role.door, fd,
		    "421 4.7.0 too many sessions, try again\r\n");
	else if (l->is_unix)
		guest_welcome(&role.door, fd, NULL);
	else if (is_crowd(peer))
		guest_turn_away(&role.door, fd,
		    "421 4.7.0 too many sessions of yours\r\n");
	else
		guest_welcome(&role.door, fd, peer);
}

static void
set_watches(unsigned events)
{
	size_t i;

	for (i = 0; i < role.count; i++)
		(void)ev_watch_set(role.door.ev, &role.listeners[i].watch,
		    events);
}

static void
pause_over(void *arg)
{
	(void)arg;
	set_watches(EV_READ);
}

static void
on_accept(void *arg, unsigned events)
{
	const struct listener *l = arg;
	struct sockaddr_storage peer;
	socklen_t len;
	int i, fd;

	(void)events;
	for (i = 0; i < ACCEPTS_MAX; i++) {
		len = sizeof peer;
		memset(&peer, 0, sizeof peer);
		fd = accept4(l->fd, (struct sockaddr *)&peer, &len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd == -1)
			break;
		receive(l, fd, (const struct sockaddr *)&peer);
	}
	/* The connection stays in the backlog, and the loop would report it
	 * again and again: pause. */
	if (i == ACCEPTS_MAX ||
	    (errno != EMFILE && errno != ENFILE && errno != ENOBUFS &&
		errno != ENOMEM))
		return;
	log_note(LOG_PRI_ERR, "cannot accept connections: %s", strerror(errno));
	set_watches(0);
	ev_timer_set(role.door.ev, &role.pause,
	    ev_now(role.door.ev) + PAUSE_MS);
}

static void
close_listeners(void)
{
	size_t i;

	for (i = 0; i < role.count; i++) {
		ev_watch_del(role.door.ev, &role.listeners[i].watch);
		close(role.listeners[i].fd);
	}
	role.count = 0;
}

static void
add_listener(const struct msg_listener *m, int fd)
{
	struct listener *l;

	if (m->first)
		close_listeners();
	if (role.count == LISTENERS_MAX)
		log_die("too many listening sockets");
	l = &role.listeners[role.count++];
	memset(l, 0, sizeof *l);
	l->fd = fd;
	l->is_unix = m->is_unix != 0;
	ev_watch_init(&l->watch, on_accept, l);
	if (ev_watch(role.door.ev, &l->watch, fd, EV_READ) == -1)
		log_die("cannot watch %s: %s", m->name, strerror(errno));
}

/* ---- hearing ---- */

struct ipc *
door_peer_for(struct door *door, enum ctl_answerer who)
{
	switch (who) {
	case CTL_BY_QUEUE:
		return child_peer(door->child, ROLE_QUEUE, 0);
	case CTL_BY_POLICY:
		return child_peer(door->child, ROLE_POLICY, 0);
	case CTL_BY_PARENT:
		return child_peer(door->child, ROLE_PARENT, 0);
	}
	return NULL;
}

static void
hear_parent(uint32_t type, const void *body, int fd)
{
	const struct msg_offline *offline = body;

	switch (type) {
	case MSG_listener:
		add_listener(body, fd);
		break;
	case MSG_aliases:
		alias_free(role.door.aliases);
		role.door.aliases =
		    alias_take(fd, child_conf(role.door.child), true);
		break;
	case MSG_offline:
		guest_read(&role.door, fd, offline->number,
		    (int64_t)offline->uid);
		break;
	}
}

static void
hear_queue(uint32_t type, const void *body, int fd)
{
	const struct msg_large_file *file = body;
	const struct msg_submitted *submitted = body;
	struct guest *g;

	switch (type) {
	case MSG_large_file:
		g = guest_find(&role.door, file->id);
		if (g != NULL)
			guest_file(g, (int)file->error, fd);
		else if (fd != -1)
			close(fd);
		break;
	case MSG_submitted:
		g = guest_find(&role.door, submitted->id);
		if (g != NULL)
			guest_submitted(g, submitted->status);
		break;
	}
}

static void
hear(struct child *c, const struct heard *h)
{
	(void)c;
	if (h->peer == ROLE_PARENT)
		hear_parent(h->type, h->body, h->fd);
	else if (h->peer == ROLE_QUEUE)
		hear_queue(h->type, h->body, h->fd);
}

static void
lost(struct child *c, int peer, uint32_t instance)
{
	struct guest *g, *next;

	(void)c;
	(void)instance;
	if (peer != ROLE_QUEUE)
		return;
	TAILQ_FOREACH_SAFE(g, &role.door.guests, entry, next)
		guest_queue_lost(g);
}

/* ---- figures ---- */

static void
each_second(void *arg)
{
	struct ipc *queue = child_peer(role.door.child, ROLE_QUEUE, 0);

	(void)arg;
	door_second(&role.door);
	if (role.door.stats_changed && queue != NULL) {
		MSG_SEND(queue, listen_stats, &role.door.stats, -1);
		role.door.stats_changed = false;
	}
	ev_timer_set(role.door.ev, &role.second,
	    ev_now(role.door.ev) + SECOND_MS);
}

/* ---- the life of the role ---- */

static void
stop_tick(void *arg)
{
	struct guest *g, *next;
	int64_t now = ev_now(role.door.ev);

	(void)arg;
	TAILQ_FOREACH_SAFE(g, &role.door.guests, entry, next)
		guest_dismiss(g);
	if (TAILQ_EMPTY(&role.door.guests) || now >= role.stop_by)
		child_exit(role.door.child, 0);
	else
		ev_timer_set(role.door.ev, &role.stop, now + STOP_TICK_MS);
}

static void
stop(struct child *c)
{
	(void)c;
	role.door.is_stopping = true;
	close_listeners();
	role.stop_by = ev_now(role.door.ev) + STOP_MS;
	/* The first tick says 421 to all; a later one finds that they left. */
	ev_timer_set(role.door.ev, &role.stop,
	    ev_now(role.door.ev) + STOP_TICK_MS);
}

static void
prepare(struct child *c)
{
	unsigned most;

	(void)c;
	role.door.admins = caller_admins();
	most = sandbox_descriptors();
	most = most > DESCRIPTORS_KEPT
	    ? (most - DESCRIPTORS_KEPT) / DESCRIPTORS_EACH
	    : 1;
	role.most = most < GUESTS_MAX ? most : GUESTS_MAX;
}

static void
start(struct child *c)
{
	struct door *door = &role.door;

	door->child = c;
	door->ev = child_ev(c);
	TAILQ_INIT(&door->guests);
	RB_INIT(&door->by_id);
	door->ids.allocator = ID_LISTEN;
	ev_timer_init(&role.pause, pause_over, NULL);
	ev_timer_init(&role.second, each_second, NULL);
	ev_timer_init(&role.stop, stop_tick, NULL);
	each_second(NULL);
}

const struct role_ops role_listen_ops = {
	.prepare = prepare,
	.start = start,
	.hear = hear,
	.lost = lost,
	.stop = stop,
};
