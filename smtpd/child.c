#include "smtpd/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "smtpd/base/proc.h"
#include "smtpd/base/sandbox.h"
#include "smtpd/conf.h"
#include "smtpd/msg.h"
#include "smtpd/roles.h"

#define STOP_MS 4000  /* then the frame leaves, whatever the role does */
#define HOLD_MS 10000 /* a dead predecessor's last write is waited for */

/* A channel to one sibling. */
struct link {
	struct child *child;
	int role;
	uint32_t instance;
	int fd; /* handed over before `start`; else -1 */
	struct ipc *ipc;
};

struct child {
	struct ev *ev;
	int role;
	const struct role_row *row;
	const struct role_ops *ops;
	struct child_options options;
	struct ipc *parent;
	struct link links[ROLE_COUNT][WORKERS_MAX];
	struct ev_timer stop_timer;
	struct conf *conf; /* NULL until the cage is entered */
	uint32_t generation;
	uint32_t workers;
	int64_t began_ms;
	bool paused;
	bool started;
	bool stopping;
	int status;
	void *state;
};

struct ev *
child_ev(struct child *c)
{
	return c->ev;
}

const struct conf *
child_conf(const struct child *c)
{
	return c->conf;
}

struct ipc *
child_peer(struct child *c, int peer, uint32_t instance)
{
	if (peer < 0 || peer >= ROLE_COUNT || instance >= WORKERS_MAX)
		return NULL;
	return peer == ROLE_PARENT ? c->parent : c->links[peer][instance].ipc;
}

uint32_t
child_workers(const struct child *c)
{
	return c->workers;
}

int64_t
child_began_ms(const struct child *c)
{
	return c->began_ms;
}

bool
child_paused(const struct child *c)
{
	return c->paused;
}

void
child_set_state(struct child *c, void *state)
{
	c->state = state;
}

void *
child_state(const struct child *c)
{
	return c->state;
}

void
child_exit(struct child *c, int status)
{
	c->status = status;
	ev_stop(c->ev);
}

/* ---- siblings ---- */

static void
report_broken(const struct link *link)
{
	struct msg_broken m = { .role = (uint32_t)link->role,
		.instance = link->instance };

	MSG_SEND(link->child->parent, broken, &m, -1);
}

static void
lose_link(struct link *link)
{
	struct child *c = link->child;

	if (ipc_is_broken(link->ipc))
		report_broken(link);
	ipc_free(link->ipc);
	link->ipc = NULL;
	if (c->ops->lost != NULL)
		c->ops->lost(c, link->role, link->instance);
}

static void
hear_sibling(void *arg, struct ipc *ipc, uint32_t type, const void *body,
    int fd)
{
	struct link *link = arg;
	struct heard heard = { .peer = link->role,
		.instance = link->instance,
		.type = type,
		.body = body,
		.fd = fd };

	(void)ipc;
	if (type == IPC_GONE)
		lose_link(link);
	else
		link->child->ops->hear(link->child, &heard);
}

static void
open_link(struct link *link, int fd)
{
	struct child *c = link->child;
	struct ipc_make make = { .table = &msg_table,
		.me = c->role,
		.peer = link->role,
		.cb = hear_sibling,
		.arg = link };

	link->ipc = ipc_new(c->ev, fd, &make);
	if (link->ipc == NULL)
		log_die("channel to %s: %s", roles[link->role].name,
		    strerror(errno));
}

static void
take_peer(struct child *c, const struct msg_peer *m, int fd)
{
	struct link *link;

	if (m->role >= ROLE_COUNT || m->instance >= WORKERS_MAX ||
	    (c->row->peers & 1U << m->role) == 0)
		log_die("peer %u %u is not mine", m->role, m->instance);
	link = &c->links[m->role][m->instance];
	if (!c->started) {
		if (link->fd != -1)
			close(link->fd);
		link->fd = fd;
		return;
	}
	/* First hear what the dead peer had sent before it died. */
	if (link->ipc != NULL)
		ipc_drain(link->ipc);
	if (link->ipc != NULL)
		lose_link(link);
	open_link(link, fd);
	if (c->ops->connected != NULL)
		c->ops->connected(c, link->role, link->instance);
}

/* ---- the parent ---- */

static void
enter_cage(struct child *c)
{
	char root[PATH_MAX];
	struct sandbox box = { .powers = c->row->powers };
	const char *lacking;

	box.root = CHILD_EMPTY;
	box.root_empty = c->row->root[0] == '\0';
	if (!box.root_empty) {
		snprintf(root, sizeof(root), "%s/%s", c->conf->queue_directory,
		    c->row->root);
		box.root = root;
		/* A predecessor may not have ended yet; two must never write
		 * there. */
		if (proc_hold_folder(root, HOLD_MS) == -1)
			log_die("%s: %s", root, strerror(errno));
	}
	box.filter = c->options.verbose ? SANDBOX_REPORT : SANDBOX_KILL;
	if (sandbox_user(c->row->user, &box.uid, &box.gid) == -1)
		log_die("no such user: %s", c->row->user);
	/* Whoever started the daemon may read its standard error to the end. */
	if (c->options.syslog)
		(void)dup2(STDOUT_FILENO, STDERR_FILENO);
	lacking = sandbox_enter(&box);
	if (lacking[0] != '\0' && c->role == ROLE_LISTEN)
		log_note(LOG_PRI_WARNING, "the cages lack: %s", lacking);
}

static struct conf *
read_conf(int fd)
{
	struct conf_errors errors = { 0 };
	struct conf *conf = xcalloc(1, sizeof(*conf));
	size_t len;
	char *text;

	/* Longer than a file may be: the parent adds what it found out. */
	text = proc_sealed_text(fd, (size_t)2 * CONF_FILE_MAX, &len);
	close(fd);
	if (text == NULL)
		log_die("configuration: %s", strerror(errno));
	if (conf_parse(conf, "configuration", text, len, &errors) == -1)
		log_die("configuration: %s",
		    errors.text == NULL ? "no memory" : errors.text);
	conf_errors_clear(&errors);
	free(text);
	return conf;
}

static void
tell_ready(struct child *c)
{
	struct msg_ready m = { .generation = c->generation };

	MSG_SEND(c->parent, ready, &m, -1);
}

static void
take_config(struct child *c, const struct msg_config *m, int fd)
{
	struct conf *former = c->conf;

	c->conf = read_conf(fd);
	c->generation = m->generation;
	if (former == NULL) {
		if (c->ops->prepare != NULL)
			c->ops->prepare(c);
		enter_cage(c);
		return;
	}
	if (c->ops->reloaded != NULL)
		c->ops->reloaded(c);
	conf_clear(former);
	free(former);
	tell_ready(c);
}

/* What the parent says to the role. */
static void
hand_on(struct child *c, uint32_t type, const void *body, int fd)
{
	struct heard heard = { .peer = ROLE_PARENT,
		.type = type,
		.body = body,
		.fd = fd };

	if (!c->started)
		log_die("message %u before start", type);
	c->ops->hear(c, &heard);
}

static void
take_start(struct child *c, const struct msg_start *m)
{
	int role, i;

	if (c->conf == NULL || c->started || m->workers > WORKERS_MAX)
		log_die("start out of turn");
	c->started = true;
	c->workers = m->workers;
	c->began_ms = m->began_ms;
	c->paused = m->paused != 0;
	for (role = 0; role < ROLE_COUNT; role++) {
		for (i = 0; i < WORKERS_MAX; i++) {
			struct link *link = &c->links[role][i];

			if (link->fd != -1)
				open_link(link, link->fd);
			link->fd = -1;
		}
	}
	if (c->ops->start != NULL)
		c->ops->start(c);
	tell_ready(c);
}

static void
leave_late(void *arg)
{
	struct child *c = arg;

	log_note(LOG_PRI_WARNING, "not done in time, leaving");
	child_exit(c, 1);
}

static void
take_stop(struct child *c)
{
	if (c->stopping)
		return;
	c->stopping = true;
	ev_timer_set(c->ev, &c->stop_timer, ev_now(c->ev) + STOP_MS);
	if (c->started && c->ops->stop != NULL)
		c->ops->stop(c);
	else
		child_exit(c, 0);
}

static void
hear_parent(void *arg, struct ipc *ipc, uint32_t type, const void *body, int fd)
{
	struct child *c = arg;

	(void)ipc;
	switch (type) {
	case IPC_GONE:
		/* Nobody would restart us; all that was promised is on disk. */
		log_note(LOG_PRI_ERR, "the parent is gone, leaving");
		child_exit(c, 1);
		break;
	case MSG_config:
		take_config(c, body, fd);
		break;
	case MSG_peer:
		take_peer(c, body, fd);
		break;
	case MSG_start:
		take_start(c, body);
		break;
	case MSG_stop:
		take_stop(c);
		break;
	case MSG_log_fd:
		if (dup3(fd, PROC_LOG_FD, O_CLOEXEC) != -1)
			log_set_fd(PROC_LOG_FD);
		close(fd);
		break;
	default:
		hand_on(c, type, body, fd);
	}
}

/* ---- the whole ---- */

/* For ask_for_log(), which log.c calls without an argument. */
static struct child *self;

static void
ask_for_log(void)
{
	struct msg_log_lost m = { .unused = 0 };

	if (self != NULL)
		MSG_SEND(self->parent, log_lost, &m, -1);
}

/* The role of that name; ROLE_PARENT if no child has it. */
static int
find_role(const char *name)
{
	int role;

	for (role = ROLE_PARENT + 1; role < ROLE_COUNT; role++)
		if (strcmp(roles[role].name, name) == 0)
			return role;
	return ROLE_PARENT;
}

/* Signals are for the parent, which tells its children what to do. */
static void
ignore_signals(void)
{
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
}

static struct child *
new_child(int role, const struct child_options *options)
{
	struct child *c = xcalloc(1, sizeof(*c));
	struct ipc_make make = { .table = &msg_table,
		.me = role,
		.peer = ROLE_PARENT,
		.cb = hear_parent };
	int i, j;

	c->role = role;
	c->row = &roles[role];
	c->options = *options;
	for (i = 0; i < ROLE_COUNT; i++)
		for (j = 0; j < WORKERS_MAX; j++)
			c->links[i][j] = (struct link){ .child = c,
				.role = i,
				.instance = (uint32_t)j,
				.fd = -1 };
	c->ev = ev_new();
	if (c->ev == NULL)
		log_die("event loop: %s", strerror(errno));
	ev_timer_init(&c->stop_timer, leave_late, c);
	make.arg = c;
	c->parent = ipc_new(c->ev, PROC_PARENT_FD, &make);
	if (c->parent == NULL)
		log_die("channel to the parent: %s", strerror(errno));
	return c;
}

static void
flush_peers(struct child *c)
{
	int i, j;

	for (i = 0; i < ROLE_COUNT; i++)
		for (j = 0; j < WORKERS_MAX; j++)
			if (c->links[i][j].ipc != NULL)
				ipc_flush(c->links[i][j].ipc);
	ipc_flush(c->parent);
	log_flush();
}

int
child_main(const char *name, const struct role_ops *const ops[ROLE_COUNT],
    const struct child_options *options)
{
	int role = find_role(name);
	struct child *c;

	log_init(name, options->syslog ? PROC_LOG_FD : STDERR_FILENO,
	    options->syslog, options->verbose);
	if (role == ROLE_PARENT)
		log_die("no such role: %s", name);
	ignore_signals();
	c = self = new_child(role, options);
	c->ops = ops[role];
	log_on_lost(ask_for_log);
	if (ev_run(c->ev) == -1)
		log_die("event loop: %s", strerror(errno));
	flush_peers(c);
	return c->status;
}
