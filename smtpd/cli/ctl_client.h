/*
 * The daemon's Unix socket from the other end: connect, and ask.
 *
 * The path is fixed when the programs are built; nothing in the environment
 * changes it.
 */

#ifndef SMTPD_CLI_CTL_CLIENT_H
#define SMTPD_CLI_CTL_CLIENT_H

#include <stddef.h>

#include "smtpd/ctl.h"

#define CTL_SOCKET RUNDIR "/sealpost/sealpost.sock"
#define CTL_WHY_SIZE 65536 /* the errors of a configuration fit */
#define CTL_EX_NOTHING 1   /* asked and answered: there is no such thing */

/*
 * Before anything is opened: if the caller has closed one of the standard
 * descriptors, put one there that fails to read and write, so that no socket
 * or file takes its number. Ends the process where that fails.
 */
void ctl_keep_stdio(void);

/*
 * Connect; while the daemon is busy wait for up to 10 s.
 * Returns a blocking descriptor, or -1 with errno.
 */
int ctl_connect(void);

/* A line of an answer, without its end; NUL-terminated. -1 stops. */
typedef int ctl_line_fn(void *arg, const char *line, size_t len);

/*
 * Ask the daemon, and give each line of the answer to "fn".
 *
 * why      set to words for people when the result is not EX_OK
 * returns  EX_OK; EX_USAGE (the request is malformed), EX_UNAVAILABLE (no
 *          daemon), EX_TEMPFAIL (busy, or the answer broke off), EX_NOPERM,
 *          CTL_EX_NOTHING (a last line told of an error)
 */
int ctl_ask(const struct ctl_request *, ctl_line_fn *fn, void *arg,
    char why[CTL_WHY_SIZE]);

#endif
