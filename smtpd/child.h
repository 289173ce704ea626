/*
 * The frame that every role runs in: `sealpostd -x ROLE`.
 *
 * It hears the parent, enters the cage, keeps the channels to the siblings,
 * and calls the role (struct role_ops in smtpd/roles.h).
 */

#ifndef SMTPD_CHILD_H
#define SMTPD_CHILD_H

#include <stdbool.h>

#include "smtpd/roles.h"

#define CHILD_EMPTY RUNDIR "/sealpost/empty" /* the folder with nothing */

/* The parent's options that a child shares. */
struct child_options {
	bool verbose;
	bool syslog; /* PROC_LOG_FD is the socket; else standard error */
};

/*
 * Be the role named "name" until the parent or the role ends it; the channel
 * to the parent is PROC_PARENT_FD. Returns the exit status.
 *
 * ops  what each role supplies, by enum role
 */
int child_main(const char *name, const struct role_ops *const ops[ROLE_COUNT],
    const struct child_options *);

#endif
