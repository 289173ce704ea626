#include "smtpd/parent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mtasts/json.h"
#include "smtpd/base/log.h"
#include "smtpd/base/proc.h"
#include "smtpd/caller.h"
#include "smtpd/msg.h"
#include "smtpd/service.h"

/* After 5 s everything has stopped: first the roles that report to the queue,
 * then the queue (roles.h, `stop`). */
#define STOP_OTHERS_MS 3600
#define STOP_ALL_MS 4500
#define INTAKE_MS 60000
#define INTAKE_SOON_MS 100
#define LOG_RETRY_MS 1000
#define DAY_MS 86400000
#define STATUS_SIZE 64

/* ---- the log ---- */

/* For the function that log.c calls without an argument. */
static struct parent *self;

static void
renew_log(void *arg)
{
	struct parent *p = arg;
	struct msg_log_fd m = { .unused = 0 };
	bool connected;
	unsigned i;
	int fd;

	fd = service_syslog(&connected);
	if (!connected) {
		if (fd != -1)
			close(fd);
		ev_timer_set(p->ev, &p->log_timer,
		    ev_now(p->ev) + LOG_RETRY_MS);
		return;
	}
	if (dup3(fd, p->log, O_CLOEXEC) == -1)
		log_die("no descriptor: %s", strerror(errno));
	close(fd);
	log_set_fd(p->log);
	p->log_ms = ev_now(p->ev);
	for (i = 0; i < p->count; i++)
		if (p->children[i].ipc != NULL)
			MSG_SEND(p->children[i].ipc, log_fd, &m,
			    fcntl(p->log, F_DUPFD_CLOEXEC, 0));
}

/* However often a child asks, each gets one descriptor a second at most. */
static void
want_log(struct parent *p)
{
	if (p->log != -1 && !p->log_timer.armed)
		ev_timer_set(p->ev, &p->log_timer, p->log_ms + LOG_RETRY_MS);
}

static void
lost_log(void)
{
	if (self != NULL)
		want_log(self);
}

/* ---- stop ---- */

static void
stop_queue(void *arg)
{
	parent_tell_stop(arg, ROLE_QUEUE);
}

static void
stop_late(void *arg)
{
	struct parent *p = arg;

	log_note(LOG_PRI_WARNING, "%u processes did not stop in time",
	    parent_alive(p));
	parent_kill_all(p);
}

static void
stop(struct parent *p, int status)
{
	if (p->stopping)
		return;
	p->stopping = true;
	p->status = status;
	service_notify("STOPPING=1");
	log_note(LOG_PRI_NOTICE, "stopping");
	parent_tell_stop(p, -1);
	ev_timer_set(p->ev, &p->stop_timer, ev_now(p->ev) + STOP_OTHERS_MS);
	ev_timer_set(p->ev, &p->kill_timer, ev_now(p->ev) + STOP_ALL_MS);
	if (parent_alive(p) == 0)
		ev_stop(p->ev);
}

/* How many live that are not the queue. */
static unsigned
others_alive(const struct parent *p)
{
	unsigned i, count = 0;

	for (i = 0; i < p->count; i++)
		count += p->children[i].pid != 0 &&
		    p->children[i].role != ROLE_QUEUE;
	return count;
}

/* Someone else killed it, so the next one may well start. */
static bool
was_killed(const struct parent_child *c)
{
	return WIFSIGNALED(c->status) && WTERMSIG(c->status) == SIGKILL;
}

void
parent_child_ended(struct parent_child *c)
{
	struct parent *p = c->parent;
	char status[STATUS_SIZE];
	struct log_line line;

	if (c->role == ROLE_LISTEN)
		intake_forget(&p->intake);
	if (p->stopping) {
		if (others_alive(p) == 0)
			stop_queue(p);
		if (parent_alive(p) == 0)
			ev_stop(p->ev);
		return;
	}
	log_begin(&line, LOG_PRI_ERR, "ended");
	log_str(&line, "role", roles[c->role].name);
	log_str(&line, "status",
	    proc_status_text(c->status, status, sizeof(status)));
	log_end(&line);
	if (!p->ready && !was_killed(c)) {
		log_note(LOG_PRI_ERR, "not started: process %s ended%s",
		    roles[c->role].name,
		    p->log != -1 ? ", the system's log says why" : "");
		stop(p, 1);
	}
}

/* ---- ready ---- */

/* parent_start_all() lays out the children in the order of their roles. */
static struct parent_child *
listener(struct parent *p)
{
	return &p->children[0];
}

static void
give_offline(void *arg, uint64_t number, uid_t owner, int fd)
{
	struct msg_offline m = { .number = number, .uid = owner };

	MSG_SEND(listener(arg)->ipc, offline, &m, fd);
}

static void
scan_offline(void *arg)
{
	struct parent *p = arg;

	if (p->stopping)
		return;
	if (listener(p)->ipc != NULL &&
	    listener(p)->generation == p->generation)
		intake_scan(&p->intake, give_offline, p);
	ev_timer_set(p->ev, &p->intake_timer, ev_now(p->ev) + INTAKE_MS);
}

static void
warn(void *arg, const char *sentence)
{
	(void)arg;
	log_note(LOG_PRI_WARNING, "%s", sentence);
}

/* Exceptions that end soon are told of every day. */
static void
warn_daily(void *arg)
{
	struct parent *p = arg;

	conf_warnings(p->setup.conf, time(NULL), warn, NULL);
	ev_timer_set(p->ev, &p->warn_timer, ev_now(p->ev) + DAY_MS);
}

static void
become_ready(struct parent *p)
{
	struct log_line line;

	p->ready = true;
	if (p->log != -1) {
		log_init("parent", p->log, true, p->options->verbose);
		log_on_lost(lost_log);
	}
	log_begin(&line, LOG_PRI_NOTICE, "started");
	log_str(&line, "hostname", p->setup.conf->hostname);
	log_int(&line, "pid", getpid());
	log_end(&line);
	if (p->detach != -1)
		service_detach(p->detach);
	p->detach = -1;
	service_notify("READY=1");
	warn_daily(p);
	scan_offline(p);
}

void
parent_child_ready(struct parent *p)
{
	if (p->stopping || !parent_all_ready(p))
		return;
	if (!p->ready)
		become_ready(p);
	else
		service_notify("READY=1");
}

/* ---- reload ---- */

static void
log_errors(const struct conf_errors *errors)
{
	const char *line = errors->text;

	while (line != NULL && line[0] != '\0') {
		size_t len = strcspn(line, "\n");

		log_note(LOG_PRI_ERR, "%.*s", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

/* Put the new configuration in force, or say in "errors" why not. */
static int
take_setup(struct parent *p, struct setup *fresh, struct conf_errors *errors)
{
	char why[SOCKETS_WHY_SIZE];
	struct sockets sockets;

	if (setup_load(fresh, p->options->path, errors) == -1)
		return -1;
	if (strcmp(fresh->conf->queue_directory,
		p->setup.conf->queue_directory) != 0) {
		conf_error(errors, p->options->path, 0,
		    "queue directory changes only by a restart");
		return -1;
	}
	if (sockets_open(&sockets, fresh->conf, &p->sockets, why) == -1) {
		conf_error(errors, p->options->path, 0, "%s", why);
		return -1;
	}
	sockets_clear(&p->sockets);
	setup_clear(&p->setup);
	p->sockets = sockets;
	p->setup = *fresh;
	return 0;
}

/* Returns 0, or -1 with "errors", logged; the old one stays then. */
static int
reload(struct parent *p, struct conf_errors *errors)
{
	struct setup fresh;

	if (take_setup(p, &fresh, errors) == -1) {
		setup_clear(&fresh);
		log_errors(errors);
		log_note(LOG_PRI_ERR,
		    "reload failed; the former configuration stays");
		return -1;
	}
	p->generation++;
	service_notify_reload();
	parent_hand_out(p);
	warn_daily(p);
	log_note(LOG_PRI_NOTICE, "configuration reloaded");
	return 0;
}

/* ---- what children ask ---- */

/* Answer sealpost(8) on its socket "fd" (taken): errors, or none. */
static void
answer(int fd, const struct conf_errors *errors)
{
	const char *text = ".\n";
	struct json json;

	json_init(&json);
	if (errors->count > 0) {
		json_object(&json, NULL);
		json_bytes(&json, "error", errors->text,
		    errors->len > 0 ? errors->len - 1 : 0);
		json_end(&json);
		text = json_text(&json);
	}
	/* So short that it fits into the empty buffer of the socket. */
	if (text != NULL)
		(void)send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (errors->count > 0)
		(void)send(fd, "\n.\n", 3, MSG_DONTWAIT | MSG_NOSIGNAL);
	json_clear(&json);
	close(fd);
}

static void
control(struct parent *p, uint32_t verb, int fd)
{
	struct conf_errors errors = { 0 };

	if (!caller_may(fd, caller_admins(), -1)) {
		close(fd);
		return;
	}
	if (verb == CTL_RELOAD)
		(void)reload(p, &errors);
	answer(fd, &errors);
	conf_errors_clear(&errors);
	if (verb == CTL_STOP)
		stop(p, 0);
}

static void
offline_done(struct parent *p, const struct msg_offline_done *m)
{
	intake_done(&p->intake, m->number, m->status, m->text);
	/* There may be more than fitted in the last scan. */
	if (m->status / 100 != 4 && !p->stopping)
		ev_timer_set(p->ev, &p->intake_timer,
		    ev_now(p->ev) + INTAKE_SOON_MS);
}

void
parent_hear(struct parent_child *c, uint32_t type, const void *body, int fd)
{
	const struct msg_ctl_parent *ctl = body;

	switch (type) {
	case MSG_log_lost:
		want_log(c->parent);
		break;
	case MSG_offline_done:
		offline_done(c->parent, body);
		break;
	case MSG_paused:
		c->parent->paused = ((const struct msg_paused *)body)->paused;
		break;
	case MSG_ctl_parent:
		control(c->parent, ctl->verb, fd);
		break;
	default:
		log_note(LOG_PRI_ERR, "message %s is not for the parent",
		    msg_table.name(type));
		if (fd != -1)
			close(fd);
	}
}

/* ---- signals and the whole ---- */

static void
on_signal(void *arg, int signo)
{
	struct parent *p = arg;
	struct conf_errors errors = { 0 };

	if (signo == SIGCHLD) {
		parent_reap(p);
	} else if (signo == SIGHUP) {
		(void)reload(p, &errors);
		conf_errors_clear(&errors);
	} else {
		stop(p, 0);
	}
}

static int
catch_signals(struct parent *p)
{
	static const int signals[] = { SIGCHLD, SIGHUP, SIGTERM, SIGINT };
	size_t i;

	(void)signal(SIGPIPE, SIG_IGN);
	/* If we inherited it as ignored, there would be nothing to reap. */
	(void)signal(SIGCHLD, SIG_DFL);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (ev_signal(p->ev, signals[i], on_signal, p) == -1)
			return -1;
	return 0;
}

int
parent_run(struct parent *p)
{
	self = p;
	p->generation = 1;
	p->began_ms = ev_wall_ms();
	p->ev = ev_new();
	if (p->ev == NULL || catch_signals(p) == -1) {
		log_note(LOG_PRI_ERR, "event loop: %s", strerror(errno));
		return 1;
	}
	ev_timer_init(&p->stop_timer, stop_queue, p);
	ev_timer_init(&p->kill_timer, stop_late, p);
	ev_timer_init(&p->intake_timer, scan_offline, p);
	ev_timer_init(&p->log_timer, renew_log, p);
	ev_timer_init(&p->warn_timer, warn_daily, p);
	if (parent_start_all(p) == -1)
		return 1;
	if (ev_run(p->ev) == -1) {
		log_note(LOG_PRI_ERR, "event loop: %s", strerror(errno));
		p->status = 1;
	}
	log_note(LOG_PRI_NOTICE, "stopped");
	return p->status;
}
