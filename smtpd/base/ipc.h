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

#define IPC_MESSAGE_MAX 4096 /* bytes, with the header of 8 */
#define IPC_BODY_MAX (IPC_MESSAGE_MAX - 8)

struct ipc;

/* From one role to another, by their numbers in smtpd/roles.h. */
struct ipc_way {
	int from;
	int to;
};

/* What the base must know of the table; smtpd/msg.c supplies it. */
struct ipc_table {
	const char *(*name)(uint32_t type);
	/* May this pass along "way"? Checks type, roles, exact length,
	 * descriptor, and the NUL of every string. */
	bool (*check)(uint32_t type, struct ipc_way way, const void *body,
	    size_t len, bool has_fd);
};

/*
 * A message came: "body" is borrowed and aligned; "fd" is the callee's to
 * close, -1 if none. When the peer is gone: type IPC_GONE, once, after all
 * that it had sent. A peer that breaks the table is logged, cut off and
 * gone in the same way; ipc_is_broken() tells the two apart.
 *
 * The callee may free the channel.
 */
#define IPC_GONE 0U
typedef void ipc_cb(void *arg, struct ipc *, uint32_t type, const void *body,
    int fd);

/* What a channel is made with. */
struct ipc_make {
	const struct ipc_table *table;
	int me;   /* our role */
	int peer; /* the role at the other end */
	ipc_cb *cb;
	void *arg;
};

/*
 * Take over the socket "fd" (closed by ipc_free). NULL with errno: no memory
 * or no room in the loop; the socket is the caller's then.
 */
struct ipc *ipc_new(struct ev *, int fd, const struct ipc_make *);
void ipc_free(struct ipc *);

/*
 * Queue a message; it leaves at the end of the turn, in order, several a
 * system call. "body" is copied. "fd" is -1, or taken: it is closed here
 * once sent (or on failure). A message that the table refuses is a bug().
 * To a peer that is gone, or a channel of NULL, it is dropped.
 */
void ipc_send(struct ipc *, uint32_t type, const void *body, size_t len,
    int fd);
/* Send what is queued now, as far as the socket takes it: before exit(3). */
void ipc_flush(struct ipc *);
/* Read what the peer had sent, up to its end: before a new channel replaces
 * this one. The callback may free the channel: do not use it afterwards. */
void ipc_drain(struct ipc *);
/* Did the peer break the table of messages? */
bool ipc_is_broken(const struct ipc *);
/* Messages queued and not yet sent: callers slow down above their bound.
 * NULL has none. */
size_t ipc_backlog(const struct ipc *);

#endif
