/*
 * Messages between the processes: SOCK_SEQPACKET, plain structs, one table.
 *
 * A channel is one socketpair end whose other end is one known process. The
 * table (smtpd/msg.def) says who may send what to whom, how long it is and
 * whether a descriptor travels with it; both ends refuse everything else.
 */

#ifndef SMTPD_BASE_IPC_H
#define SMTPD_BASE_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smtpd/base/ev.h"

#define IPC_MESSAGE_MAX 4096 /* bytes, header included */

struct ipc;

/* What the base must know of the table; smtpd/msg.c supplies it. */
struct ipc_table {
	const char *(*name)(uint32_t type);
	/* May a process of role "from" send this to role "to"? Checks type,
	 * exact length, descriptor, and the NUL of every string. */
	bool (*check)(uint32_t type, int from, int to, const void *body,
	    size_t len, bool has_fd);
};

/*
 * A message came: "body" is borrowed and aligned; "fd" is the callee's to
 * close, -1 if none. When the peer is gone: type IPC_GONE, once.
 */
#define IPC_GONE 0U
typedef void ipc_cb(void *arg, struct ipc *, uint32_t type, const void *body,
    int fd);

/*
 * Take over the socket "fd" (closed by ipc_free). me, peer: roles, for the
 * check. NULL: no memory.
 */
struct ipc *ipc_new(struct ev *, int fd, const struct ipc_table *, int me,
    int peer, ipc_cb *cb, void *arg);
void ipc_free(struct ipc *);
int ipc_peer(const struct ipc *);

/*
 * Queue a message; it leaves at the end of the turn, in order, several a
 * system call. "body" is copied. "fd" is -1, or taken: it is closed here
 * once sent (or on failure). A message that the table refuses is a bug().
 */
void ipc_send(struct ipc *, uint32_t type, const void *body, size_t len,
    int fd);
/* Messages queued and not yet sent: callers slow down above their bound. */
size_t ipc_backlog(const struct ipc *);

#endif
