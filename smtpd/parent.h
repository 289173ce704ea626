/*
 * The parent: root, no network, no mail. It hands its children what they
 * need, keeps them alive, reloads and stops.
 *
 * parent.c runs the whole; parent_child.c keeps the processes.
 */

#ifndef SMTPD_PARENT_H
#define SMTPD_PARENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "smtpd/base/ev.h"
#include "smtpd/base/ipc.h"
#include "smtpd/intake.h"
#include "smtpd/roles.h"
#include "smtpd/setup.h"
#include "smtpd/sockets.h"

/* One child per role but deliver, which has several. */
#define PARENT_CHILDREN (ROLE_COUNT - 2 + WORKERS_MAX)

struct parent_options {
	const char *path; /* of the configuration */
	bool foreground;
	bool verbose;
};

struct parent;

/* A child, or the place of one that is about to be restarted. */
struct parent_child {
	struct parent *parent;
	int role;
	uint32_t instance;
	pid_t pid;             /* 0: none */
	struct ipc *ipc;       /* NULL: none */
	uint32_t generation;   /* of the configuration it told ready for */
	unsigned restarts;     /* in a row */
	int64_t started_ms;    /* of ev_now() */
	struct ev_timer timer; /* restart */
	int status;            /* of the last end, waitpid(2) */
	bool told_to_stop;
};

struct parent {
	const struct parent_options *options;
	struct ev *ev;
	struct setup setup;
	struct sockets sockets;
	struct intake intake;
	struct parent_child children[PARENT_CHILDREN];
	unsigned count;
	uint32_t generation;
	int64_t began_ms; /* of ev_wall_ms() */
	int detach;       /* the waiting process of the shell; -1 */
	int log;          /* the syslog socket; -1: standard error */
	int64_t log_ms;   /* when it was connected anew */
	bool ready;       /* once, every child was */
	bool paused;      /* by `sealpost pause` */
	bool stopping;
	int status; /* exit status to be */
	struct ev_timer stop_timer;
	struct ev_timer kill_timer;
	struct ev_timer intake_timer;
	struct ev_timer log_timer;
	struct ev_timer warn_timer;
};

/*
 * Run until told to stop. setup and sockets are at hand, folders made.
 * Returns the exit status.
 */
int parent_run(struct parent *);

/* ---- parent_child.c ---- */

/* Lay out the children and start them all. 0, or -1 (logged). */
int parent_start_all(struct parent *);
/* A child ended: SIGCHLD. */
void parent_reap(struct parent *);
/* Hand everyone the configuration in force (a new generation). */
void parent_hand_out(struct parent *);
/* Send `stop` to a role's children, or to all but the queue (role -1). */
void parent_tell_stop(struct parent *, int role);
void parent_kill_all(struct parent *);
/* Children that live. */
unsigned parent_alive(const struct parent *);
/* Do all children work with the configuration in force? */
bool parent_all_ready(const struct parent *);

/* ---- parent.c, called by parent_child.c ---- */

/* A message from a child that is not about its life. */
void parent_hear(struct parent_child *, uint32_t type, const void *body,
    int fd);
/* A child told ready. */
void parent_child_ready(struct parent *);
/* A child ended; it is not restarted when stopping. */
void parent_child_ended(struct parent_child *);

#endif
