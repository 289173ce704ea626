/*
 * The messages between the processes, made from smtpd/msg.def.
 */

#ifndef SMTPD_MSG_H
#define SMTPD_MSG_H

#include <stdint.h>

#include "smtpd/address.h" /* ADDRESS_SIZE */
#include "smtpd/base/ipc.h"
#include "smtpd/roles.h"

/* Sizes with the NUL. */
#define ORCPT_SIZE 501       /* RFC 3461 4.2, and the type */
#define ENVID_SIZE 101       /* RFC 3461 4.4 */
#define DESTINATION_SIZE 264 /* a domain, or `via` host:port */
#define ROUTE_ADDRS_MAX 16   /* addresses tried of one host */
#define DETAIL_SIZE 1024     /* what went wrong, for people */

enum msg_fd { NO_FD, FD, MAY_FD };

/* Status of a route answer. */
enum route_status {
	ROUTE_OK,
	ROUTE_DEFER, /* no host at present: reason, detail */
	ROUTE_BOUNCE /* there never will be one: null MX, no such domain */
};

/* Verbs of control requests (smtpd/ctl.h has their words). */
enum ctl_verb {
	CTL_QUEUE,
	CTL_COUNT,
	CTL_SHOW,
	CTL_PROOF,
	CTL_RETRY,
	CTL_HOLD,
	CTL_RELEASE,
	CTL_REMOVE,
	CTL_BOUNCE,
	CTL_STATUS,
	CTL_TOP,
	CTL_PAUSE,
	CTL_RESUME,
	CTL_POLICY,
	CTL_POLICIES,
	CTL_FORGET,
	CTL_RELOAD,
	CTL_STOP,
	CTL_VERBS
};

#define CTL_FLAG_BODY 1U    /* show --body */
#define CTL_FLAG_REFRESH 2U /* policy --refresh */

/* clang-format off */
#define MSG(name, from, to, fd, fields) MSG_##name,
enum msg_type {
	MSG_NONE, /* IPC_GONE */
#include "smtpd/msg.def"
	MSG_COUNT
};
#undef MSG

#define U32(f) uint32_t f;
#define I64(f) int64_t f;
#define U64(f) uint64_t f;
#define STR(f, n) char f[n];
#define BYTES(f, n) uint8_t f[n];
#define MSG(name, from, to, fd, fields) struct msg_##name { fields };
#include "smtpd/msg.def"
#undef MSG
#undef U32
#undef I64
#undef U64
#undef STR
#undef BYTES
/* clang-format on */

/* The table as the channel needs it. */
extern const struct ipc_table msg_table;

/*
 * Queue the struct "m" of message "name" on channel "ipc" with "fd" (taken;
 * -1: none):  MSG_SEND(ipc, submitted, &m, -1);
 */
#define MSG_SEND(ipc, name, m, fd) \
	ipc_send((ipc), MSG_##name, (const struct msg_##name *)(m), \
	    sizeof(struct msg_##name), (fd))

#endif
