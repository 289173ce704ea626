/*
 * Who is at the other end of the daemon's Unix socket, by the kernel's word.
 */

#ifndef SMTPD_CALLER_H
#define SMTPD_CALLER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct caller {
	int64_t uid;
	bool is_admin; /* root, or of the group of administrators */
};

/* The group of administrators; -1: there is none. Reads a file: ask before
 * the cage. */
gid_t caller_admins(void);

/* Of a connection that was just accepted. Returns 0, or -1. */
int caller_know(struct caller *, int fd, gid_t admins);

/*
 * Of a connection that the listener hands over: may its other end ask for
 * what is uid's, or (-1) for what is the administrator's? The listener meets
 * the network and may have been taken over: it must not be able to ask in
 * anyone's name, so false, with a log line, unless "fd" came to our socket.
 */
bool caller_may(int fd, gid_t admins, int64_t uid);

#endif
