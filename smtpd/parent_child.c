#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "smtpd/base/proc.h"
#include "smtpd/msg.h"
#include "smtpd/parent.h"

#define STEADY_MS 30000 /* a life this long is no failure to start */
#define STATUS_SIZE 64

static int
copy_fd(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy == -1)
		log_die("no descriptor: %s", strerror(errno));
	return copy;
}

/* ---- what each is handed ---- */

static void
send_config(struct parent_child *c)
{
	struct parent *p = c->parent;
	struct msg_config m = { .generation = p->generation };

	MSG_SEND(c->ipc, config, &m, copy_fd(p->setup.text));
}

static void
send_listeners(struct parent_child *c)
{
	struct parent *p = c->parent;
	size_t i;

	for (i = 0; i < p->sockets.count; i++) {
		struct msg_listener m = { .first = i == 0,
			.is_unix = p->sockets.one[i].is_unix };

		strlcpy(m.name, p->sockets.one[i].name, sizeof(m.name));
		MSG_SEND(c->ipc, listener, &m, copy_fd(p->sockets.one[i].fd));
	}
}

static void
send_secrets(struct parent_child *c)
{
	struct parent *p = c->parent;
	size_t i;

	for (i = 0; i < p->setup.secret_count; i++) {
		struct msg_secret m = { .generation = p->generation };

		strlcpy(m.pattern, p->setup.secrets[i].pattern,
		    sizeof(m.pattern));
		MSG_SEND(c->ipc, secret, &m, copy_fd(p->setup.secrets[i].fd));
	}
}

/* What belongs to a configuration, each role its part. */
static void
send_parts(struct parent_child *c)
{
	struct parent *p = c->parent;
	struct msg_trust trust = { .unused = 0 };
	struct msg_aliases aliases = { .unused = 0 };

	if (c->role == ROLE_POLICY || c->role == ROLE_DELIVER)
		MSG_SEND(c->ipc, trust, &trust, copy_fd(p->setup.trust));
	if (c->role == ROLE_DELIVER)
		send_secrets(c);
	if (c->role == ROLE_LISTEN || c->role == ROLE_QUEUE)
		MSG_SEND(c->ipc, aliases, &aliases, copy_fd(p->setup.aliases));
	if (c->role == ROLE_LISTEN)
		send_listeners(c);
}

static void
send_start(struct parent_child *c)
{
	struct msg_start m = { .began_ms = c->parent->began_ms,
		.paused = c->parent->paused };
	unsigned i;

	for (i = 0; i < c->parent->count; i++)
		m.workers += c->parent->children[i].role == ROLE_DELIVER;
	MSG_SEND(c->ipc, start, &m, -1);
}

void
parent_hand_out(struct parent *p)
{
	unsigned i;

	for (i = 0; i < p->count; i++) {
		if (p->children[i].ipc == NULL)
			continue;
		send_config(&p->children[i]);
		send_parts(&p->children[i]);
	}
}

/* ---- start ---- */

static void
send_peer(struct parent_child *to, const struct parent_child *peer, int fd)
{
	struct msg_peer m = { .role = (uint32_t)peer->role,
		.instance = peer->instance };

	MSG_SEND(to->ipc, peer, &m, fd);
}

/* Give two children that live and are peers a channel. */
static void
connect_pair(struct parent_child *a, struct parent_child *b)
{
	int ends[2];

	if (a->ipc == NULL || b->ipc == NULL ||
	    (roles[a->role].peers & 1U << b->role) == 0)
		return;
	if (proc_channel(ends) == -1)
		log_die("no channel: %s", strerror(errno));
	send_peer(a, b, ends[0]);
	send_peer(b, a, ends[1]);
}

/* Messages that it sent before this may be heard after its end. */
static void
end_child(const struct parent_child *c)
{
	if (c->pid > 0)
		(void)kill(c->pid, SIGKILL);
}

static void
lose_channel(struct parent_child *c)
{
	ipc_free(c->ipc);
	c->ipc = NULL;
	/* If the child still lives, it is of no use without a channel. */
	end_child(c);
}

/*
 * "accuser" says that a sibling broke the table of messages. One of the two
 * did, and their channel is closed: restart the accused. But if that is the
 * queue, restart the accuser: a process that meets the network and was taken
 * over could otherwise end the queue at will. A role to which the accuser has
 * no channel cannot be accused.
 */
static void
end_broken(struct parent_child *accuser, const struct msg_broken *m)
{
	struct parent *p = accuser->parent;
	unsigned i;

	if (m->role >= ROLE_COUNT ||
	    (roles[accuser->role].peers & 1U << m->role) == 0)
		return;
	if (m->role == ROLE_QUEUE) {
		end_child(accuser);
		return;
	}
	for (i = 0; i < p->count; i++) {
		struct parent_child *c = &p->children[i];

		if (c->role == (int)m->role && c->instance == m->instance)
			end_child(c);
	}
}

static void
hear(void *arg, struct ipc *ipc, uint32_t type, const void *body, int fd)
{
	struct parent_child *c = arg;
	const struct msg_ready *ready = body;

	(void)ipc;
	switch (type) {
	case IPC_GONE:
		lose_channel(c);
		break;
	case MSG_ready:
		c->generation = ready->generation;
		parent_child_ready(c->parent);
		break;
	case MSG_broken:
		end_broken(c, body);
		break;
	default:
		parent_hear(c, type, body, fd);
	}
}

/* Start the process alone. */
static int
spawn(struct parent_child *c)
{
	static char program[] = "sealpostd", execute[] = "-x", verbose[] = "-v",
		    to_syslog[] = "-s";
	struct parent *p = c->parent;
	struct ipc_make make = { .table = &msg_table,
		.me = ROLE_PARENT,
		.peer = c->role,
		.cb = hear,
		.arg = c };
	char role[16], number[16];
	char *argv[8] = { program, execute, role };
	int ends[2], argc = 3;

	snprintf(role, sizeof(role), "%s", roles[c->role].name);
	if (p->options->verbose)
		argv[argc++] = verbose;
	if (p->log != -1)
		argv[argc++] = to_syslog;
	/* Shown by ps(1); the child does not read it. */
	snprintf(number, sizeof(number), "%u", c->instance);
	if (c->role == ROLE_DELIVER)
		argv[argc++] = number;
	if (proc_channel(ends) == -1)
		return -1;
	c->pid = proc_spawn(argv, ends[1], p->log);
	close(ends[1]);
	if (c->pid == -1) {
		c->pid = 0;
		close(ends[0]);
		return -1;
	}
	c->generation = 0;
	c->told_to_stop = false;
	c->started_ms = ev_now(p->ev);
	c->ipc = ipc_new(p->ev, ends[0], &make);
	if (c->ipc == NULL)
		log_die("channel to %s: %s", role, strerror(errno));
	send_config(c);
	return 0;
}

static void
log_restart(const struct parent_child *c)
{
	char status[STATUS_SIZE];
	struct log_line line;

	log_begin(&line, LOG_PRI_WARNING, "restarted");
	log_str(&line, "role", roles[c->role].name);
	if (c->role == ROLE_DELIVER)
		log_int(&line, "instance", c->instance);
	log_int(&line, "pid", c->pid);
	log_str(&line, "status",
	    proc_status_text(c->status, status, sizeof(status)));
	log_end(&line);
}

static void restart_later(struct parent_child *);

static void
restart(void *arg)
{
	struct parent_child *c = arg;
	struct parent *p = c->parent;
	unsigned i;

	if (p->stopping)
		return;
	if (spawn(c) == -1) {
		log_note(LOG_PRI_ERR, "cannot start %s: %s",
		    roles[c->role].name, strerror(errno));
		restart_later(c);
		return;
	}
	for (i = 0; i < p->count; i++)
		if (&p->children[i] != c)
			connect_pair(c, &p->children[i]);
	send_start(c);
	send_parts(c);
	log_restart(c);
}

static void
restart_later(struct parent_child *c)
{
	struct parent *p = c->parent;

	if (ev_now(p->ev) - c->started_ms > STEADY_MS)
		c->restarts = 0;
	c->restarts++;
	ev_timer_set(p->ev, &c->timer,
	    ev_now(p->ev) + proc_backoff_ms(c->restarts));
}

static void
lay_out(struct parent *p, int role, uint32_t instance)
{
	struct parent_child *c = &p->children[p->count++];

	memset(c, 0, sizeof(*c));
	c->parent = p;
	c->role = role;
	c->instance = instance;
	ev_timer_init(&c->timer, restart, c);
}

int
parent_start_all(struct parent *p)
{
	unsigned i, j, workers = proc_processors();

	if (workers > WORKERS_MAX)
		workers = WORKERS_MAX;
	lay_out(p, ROLE_LISTEN, 0);
	lay_out(p, ROLE_QUEUE, 0);
	lay_out(p, ROLE_POLICY, 0);
	for (i = 0; i < workers; i++)
		lay_out(p, ROLE_DELIVER, i);
	for (i = 0; i < p->count; i++)
		if (spawn(&p->children[i]) == -1) {
			log_note(LOG_PRI_ERR, "cannot start processes: %s",
			    strerror(errno));
			return -1;
		}
	for (i = 0; i < p->count; i++)
		for (j = i + 1; j < p->count; j++)
			connect_pair(&p->children[i], &p->children[j]);
	for (i = 0; i < p->count; i++) {
		send_start(&p->children[i]);
		send_parts(&p->children[i]);
	}
	return 0;
}

/* ---- the end ---- */

static void
ended(struct parent_child *c, int status)
{
	c->pid = 0;
	c->status = status;
	/* Hear what it had still sent, e.g. that a message was taken. */
	if (c->ipc != NULL)
		ipc_drain(c->ipc);
	if (c->ipc != NULL)
		lose_channel(c);
	c->generation = 0;
	parent_child_ended(c);
	if (!c->parent->stopping)
		restart_later(c);
}

void
parent_reap(struct parent *p)
{
	int status;
	unsigned i;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (i = 0; i < p->count; i++)
			if (p->children[i].pid == pid)
				ended(&p->children[i], status);
}

void
parent_tell_stop(struct parent *p, int role)
{
	struct msg_stop m = { .unused = 0 };
	unsigned i;

	for (i = 0; i < p->count; i++) {
		struct parent_child *c = &p->children[i];

		if (c->ipc == NULL || c->told_to_stop ||
		    (role == -1 ? c->role == ROLE_QUEUE : c->role != role))
			continue;
		c->told_to_stop = true;
		MSG_SEND(c->ipc, stop, &m, -1);
	}
}

void
parent_kill_all(struct parent *p)
{
	unsigned i;

	for (i = 0; i < p->count; i++)
		end_child(&p->children[i]);
}

unsigned
parent_alive(const struct parent *p)
{
	unsigned i, count = 0;

	for (i = 0; i < p->count; i++)
		count += p->children[i].pid != 0;
	return count;
}

bool
parent_all_ready(const struct parent *p)
{
	unsigned i;

	for (i = 0; i < p->count; i++)
		if (p->children[i].pid == 0 ||
		    p->children[i].generation != p->generation)
			return false;
	return true;
}
