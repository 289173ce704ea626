/*
 * The processes: who runs as whom, in which cage, and hears whom.
 */

#ifndef SMTPD_ROLES_H
#define SMTPD_ROLES_H

#include <stdbool.h>
#include <stdint.h>

#include "smtpd/base/ev.h"
#include "smtpd/base/ipc.h"

enum role {
	ROLE_PARENT,
	ROLE_LISTEN,
	ROLE_QUEUE,
	ROLE_POLICY,
	ROLE_DELIVER,
	ROLE_COUNT
};

#define WORKERS_MAX 16 /* deliver processes */

struct conf;
struct child;

/* A message of the table, as a role hears it; child.c keeps its own ones. */
struct heard {
	int peer; /* the role that sent it */
	uint32_t instance, type;
	const void
	    *body; /* borrowed for the call; aligned; a struct msg_NAME */
	int fd;    /* the role's to close; -1: none */
};

/*
 * What a role supplies; the frame (smtpd/child.c) does the rest: receives
 * what the parent hands over, enters the cage, runs the loop, answers ready,
 * reloads and stops. The order of calls: prepare, (the cage), start; then
 * `hear` of what the parent hands over (trust, aliases, listeners...) and of
 * siblings. Any of them but `hear` may be NULL.
 */
struct role_ops {
	/* Before the cage, as root, still with the configuration only: open
	 * what needs a path. No threads yet: the cage must hold them too. */
	void (*prepare)(struct child *);
	/* In the cage, with channels to all peers that live: begin to serve,
	 * start threads (only with POWER_THREADS). */
	void (*start)(struct child *);
	void (*hear)(struct child *, const struct heard *);
	/* The channel to a peer is gone (the peer died), all that it sent was
	 * heard; a new one follows by `connected`. */
	void (*lost)(struct child *, int peer, uint32_t instance);
	/* A peer that was restarted, after `start`. */
	void (*connected)(struct child *, int peer, uint32_t instance);
	/* A new configuration is in force: what was kept of the former one
	 * is about to be freed. New trust, aliases, listeners... follow. */
	void (*reloaded)(struct child *);
	/* Finish, and call child_exit() when done, within 3.5 s: after that
	 * the queue is stopped, and what others would still tell it is lost.
	 * The queue itself has 0.9 s. Messages queued for peers are sent
	 * afterwards. NULL: there is nothing to finish. */
	void (*stop)(struct child *);
};

/* The row of the table of roles. */
struct role_row {
	const char *name; /* as in `sealpostd -x NAME`, ps and the log */
	const char *user; /* NULL: root */
	const char *root; /* the folder of the spool that is its whole file
			   * system, /; "": the empty folder; NULL: no cage */
	unsigned peers;   /* roles it has a channel to, as a set */
	unsigned powers;  /* POWER_*, for the system call filter */
};

extern const struct role_row roles[ROLE_COUNT];

/* ---- what a role may ask of its frame ---- */

struct ev *child_ev(struct child *);
/* Const until `reloaded`. */
const struct conf *child_conf(const struct child *);
/* The channel to "peer" number "instance" (0 but for deliver); NULL while
 * the peer is being restarted. */
struct ipc *child_peer(struct child *, int peer, uint32_t instance);
/* How many deliver processes there are. */
uint32_t child_workers(const struct child *);
/* When the daemon was started, in ms since 1970. */
int64_t child_began_ms(const struct child *);
/* Were deliveries stopped when the last queue process ended? */
bool child_paused(const struct child *);
/* The role's own state, set in prepare or start. */
void child_set_state(struct child *, void *state);
void *child_state(const struct child *);
/* Leave with the end of this turn of the loop: after `stop`, or with a status
 * at any time (the parent starts the role anew unless it is stopping). */
void child_exit(struct child *, int status);

#endif
