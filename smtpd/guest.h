/*
 * A guest of the listener: one connection, or one transcript that was left in
 * the offline folder, with its SMTP engine and the message it hands in.
 */

#ifndef SMTPD_GUEST_H
#define SMTPD_GUEST_H

#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/tree.h>
#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "queue/id.h"
#include "smtpd/alias.h"
#include "smtpd/base/ev.h"
#include "smtpd/base/io.h"
#include "smtpd/ctl.h"
#include "smtpd/msg.h"
#include "smtpd/netaddr.h"
#include "smtpd/server.h"
#include "smtpd/submission.h"

struct child;

/* What a guest waits for; nothing is read of it meanwhile. */
enum guest_wait {
	GUEST_TALKS,
	GUEST_WANTS_FILE,  /* for a large body */
	GUEST_WANTS_QUEUE, /* for the message to be durable */
	GUEST_HANDS_OVER,  /* for its last output, then the socket goes away */
	GUEST_LINGERS      /* for the peer to close; what comes is dropped */
};

struct guest {
	TAILQ_ENTRY(guest) entry;
	RB_ENTRY(guest) by_id; /* while id != 0 */
	struct door *door;
	enum guest_wait wait;
	struct server *server;
	struct submission sub;
	uint64_t id;   /* of the message; 0: none under way */
	bool has_file; /* the queue was asked for one */

	struct io *io;                /* NULL: a transcript */
	bool closed;                  /* the peer has said all */
	struct sockaddr_storage peer; /* of TCP */
	int64_t uid;                  /* of a local guest, else -1 */
	bool is_local;
	bool is_admin;
	bool may_relay;
	char client[NETADDR_TEXT_SIZE];  /* for logs: address, or "local" */
	char literal[NETADDR_TEXT_SIZE]; /* for Received; "" if local */
	char hostname[256];
	int64_t wait_by;            /* of ev_now(), while it waits */
	struct ctl_request request; /* to hand over */

	/* of a transcript */
	int file;
	uint64_t number;
	struct buf in;
	struct ev_task task;
};

RB_HEAD(guests_by_id, guest);
TAILQ_HEAD(guests, guest);

/* What all guests share: the state of the listener. */
struct door {
	struct child *child;
	struct ev *ev;
	struct guests guests;
	unsigned count;
	struct guests_by_id by_id;
	struct id_source ids;
	struct alias_table *aliases;
	gid_t admins; /* caller_admins() */
	bool is_stopping;
	struct msg_listen_stats stats;
	bool stats_changed;
	/* Lines about sessions of strangers since the last call of
	 * door_second(), and those that there were too many of. */
	unsigned lines, unsaid;
};

/* Call it once a second. */
void door_second(struct door *);

/* A connection: "fd" is taken. peer: NULL for the Unix socket. */
void guest_welcome(struct door *, int fd, const struct sockaddr *peer);
/* No place: one line, "text" with its CRLF, and the connection is closed. */
void guest_turn_away(struct door *, int fd, const char *text);
/* A transcript: "fd" is taken. "uid" left it. */
void guest_read(struct door *, int fd, uint64_t number, int64_t uid);

/* The queue's answers. "fd" is taken, -1: none. */
void guest_file(struct guest *, int error, int fd);
void guest_submitted(struct guest *, uint32_t status);
/* The queue died: whoever waits for it is told to come again. */
void guest_queue_lost(struct guest *);
/* The service stops: 421, unless a message is about to be durable. */
void guest_dismiss(struct guest *);

/* The channel to who answers control requests, or NULL. */
struct ipc *door_peer_for(struct door *, enum ctl_answerer);

/* The guest whose message has this id, or NULL. */
struct guest *guest_find(struct door *, uint64_t id);

/* ---- between guest.c, guest_mail.c and guest_ctl.c ---- */

/* Go on with the dialogue as far as it goes; may free the guest. */
void guest_run(struct guest *);
/* Forget the guest and free it; its stream is gone already. */
void guest_leave(struct guest *);
/* A part of the content. */
void guest_content(struct guest *, const char *bytes, size_t len, bool first);
/* The message is complete: to the queue with it, or refuse it. */
void guest_submit(struct guest *);
/* Forget the message, wherever it stands. */
void guest_drop_mail(struct guest *);
/* Decide on a control request; then it is refused, or to be handed over. */
void guest_ctl(struct guest *);
/* Pass the socket to whom the request is for. Frees the guest. */
void guest_hand_over(struct guest *);

#endif
