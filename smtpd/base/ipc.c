#include "smtpd/base/ipc.h"

#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/log.h"

#define BATCH 16          /* messages a system call */
#define TURN_BATCHES 4    /* read in one turn of the loop, then others' turn */
#define RETRY_MS 10       /* when the kernel is short of memory or fd slots */
#define SEND_ROOM 1048576 /* bytes of SO_SNDBUF asked for */

/* Before each body; IPC_BODY_MAX leaves its room. */
struct head {
	uint32_t type;
	uint32_t len; /* of the body */
};

/* A message to be sent. */
struct out {
	STAILQ_ENTRY(out) entry;
	int fd;
	struct head head;
	char body[];
};

/* Room for one descriptor, aligned as the kernel wants it. */
struct control {
	_Alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(int))];
};

/* What a batch is read into; only the bytes used cost memory. */
struct slots {
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	struct control control[BATCH];
	_Alignas(8) char bytes[BATCH][IPC_MESSAGE_MAX];
};

struct ipc {
	struct ev *ev;
	int fd;
	struct ipc_make make;
	struct ev_watch watch;
	struct ev_task flush;
	struct ev_timer retry;
	STAILQ_HEAD(ipc_queue, out) queue;
	size_t queued;
	bool broken;  /* the peer broke the table */
	bool gone;    /* IPC_GONE was reported */
	bool deaf;    /* the peer takes no more; its last words may follow */
	bool reset;   /* ECONNRESET was seen: what follows it is still read */
	bool reading; /* a callback may be running */
	bool doomed;  /* freed within it */
	struct slots *slots;
};

static void on_event(void *, unsigned);
static void send_queued(void *);

struct ipc *
ipc_new(struct ev *ev, int fd, const struct ipc_make *make)
{
	struct ipc *ipc;
	int room = SEND_ROOM;

	ipc = calloc(1, sizeof(*ipc));
	if (ipc == NULL)
		return NULL;
	ipc->slots = calloc(1, sizeof(*ipc->slots));
	if (ipc->slots == NULL) {
		free(ipc);
		return NULL;
	}
	ipc->ev = ev;
	ipc->fd = fd;
	ipc->make = *make;
	STAILQ_INIT(&ipc->queue);
	ev_timer_init(&ipc->retry, send_queued, ipc);
	ev_watch_init(&ipc->watch, on_event, ipc);
	/* Only root may pass the system's bound; less will do. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) ==
	    -1)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room,
		    sizeof(room));
	if (ev_watch(ev, &ipc->watch, fd, EV_READ) == -1) {
		free(ipc->slots);
		free(ipc);
		return NULL;
	}
	return ipc;
}

static void
drop_first(struct ipc *ipc)
{
	struct out *out = STAILQ_FIRST(&ipc->queue);

	STAILQ_REMOVE_HEAD(&ipc->queue, entry);
	ipc->queued--;
	if (out->fd != -1)
		close(out->fd);
	free(out);
}

static void
drop_queue(struct ipc *ipc)
{
	while (!STAILQ_EMPTY(&ipc->queue))
		drop_first(ipc);
}

void
ipc_free(struct ipc *ipc)
{
	if (ipc == NULL)
		return;
	if (ipc->fd != -1) {
		ev_watch_del(ipc->ev, &ipc->watch);
		ev_soon_del(ipc->ev, &ipc->flush);
		ev_timer_del(ipc->ev, &ipc->retry);
		close(ipc->fd);
		ipc->fd = -1;
	}
	drop_queue(ipc);
	if (ipc->reading) {
		ipc->doomed = true;
		return;
	}
	free(ipc->slots);
	free(ipc);
}

bool
ipc_is_broken(const struct ipc *ipc)
{
	return ipc->broken;
}

size_t
ipc_backlog(const struct ipc *ipc)
{
	return ipc == NULL ? 0 : ipc->queued;
}

void
ipc_send(struct ipc *ipc, uint32_t type, const void *body, size_t len, int fd)
{
	struct ipc_way way;
	struct out *out;

	if (ipc == NULL) {
		if (fd != -1)
			close(fd);
		return;
	}
	way = (struct ipc_way){ ipc->make.me, ipc->make.peer };
	if (len > IPC_BODY_MAX ||
	    !ipc->make.table->check(type, way, body, len, fd != -1))
		log_bug("message %s does not fit the table",
		    ipc->make.table->name(type));
	if (ipc->deaf || ipc->gone || ipc->fd == -1) {
		if (fd != -1)
			close(fd);
		return;
	}
	out = xcalloc(1, sizeof(*out) + len);
	out->fd = fd;
	out->head.type = type;
	out->head.len = (uint32_t)len;
	memcpy(out->body, body, len);
	STAILQ_INSERT_TAIL(&ipc->queue, out, entry);
	if (ipc->queued++ == 0)
		ev_soon(ipc->ev, &ipc->flush, send_queued, ipc);
}

static void
fill_message(struct out *out, struct msghdr *msg, struct iovec iov[2],
    struct control *control)
{
	struct cmsghdr *cmsg;

	iov[0].iov_base = &out->head;
	iov[0].iov_len = sizeof(out->head);
	iov[1].iov_base = out->body;
	iov[1].iov_len = out->head.len;
	memset(msg, 0, sizeof(*msg));
	msg->msg_iov = iov;
	msg->msg_iovlen = 2;
	if (out->fd == -1)
		return;
	memset(control, 0, sizeof(*control));
	msg->msg_control = control->bytes;
	msg->msg_controllen = CMSG_LEN(sizeof(int));
	cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &out->fd, sizeof(int));
}

/* Messages that one system call took; -1 with errno. */
static int
send_batch(struct ipc *ipc)
{
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH][2];
	struct control control[BATCH];
	struct out *out;
	unsigned n = 0;
	int sent, i;

	STAILQ_FOREACH(out, &ipc->queue, entry) {
		if (n == BATCH)
			break;
		/* cppcheck-suppress uninitvar ; ipc_send() filled it */
		fill_message(out, &msgs[n].msg_hdr, iov[n], &control[n]);
		n++;
	}
	sent = sendmmsg(ipc->fd, msgs, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	for (i = 0; i < sent; i++)
		drop_first(ipc);
	return sent;
}

static void
send_queued(void *arg)
{
	struct ipc *ipc = arg;
	unsigned events = EV_READ;

	while (!STAILQ_EMPTY(&ipc->queue)) {
		if (send_batch(ipc) != -1 || errno == EINTR)
			continue;
		if (errno == EAGAIN) {
			events |= EV_WRITE;
		} else if (errno == ENOBUFS || errno == ENOMEM ||
		    errno == ETOOMANYREFS) {
			/* The kernel is short of something, though the socket
			 * counts as writable: try again by a timer. */
			ev_timer_set(ipc->ev, &ipc->retry,
			    ev_now(ipc->ev) + RETRY_MS);
		} else {
			/* The peer is gone: reading will tell so, after what it
			 * had still sent. */
			ipc->deaf = true;
			drop_queue(ipc);
		}
		break;
	}
	if (ipc->watch.added)
		(void)ev_watch_set(ipc->ev, &ipc->watch, events);
}

void
ipc_flush(struct ipc *ipc)
{
	if (ipc->fd != -1)
		send_queued(ipc);
}

/* The peer is gone, or as good as gone. */
static void
report_gone(struct ipc *ipc)
{
	if (ipc->gone)
		return;
	ipc->gone = true;
	ev_watch_del(ipc->ev, &ipc->watch);
	ev_soon_del(ipc->ev, &ipc->flush);
	ev_timer_del(ipc->ev, &ipc->retry);
	drop_queue(ipc);
	(void)shutdown(ipc->fd, SHUT_RDWR);
	ipc->make.cb(ipc->make.arg, ipc, IPC_GONE, NULL, -1);
}

/* Take the descriptors of one control message: the first goes to *fd unless
 * it has one, extra ones are closed and *extra is set. */
static void
take_rights(struct cmsghdr *cmsg, int *fd, bool *extra)
{
	size_t i, count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int one;

	for (i = 0; i < count; i++) {
		memcpy(&one, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
		if (*fd == -1) {
			*fd = one;
			continue;
		}
		close(one);
		*extra = true;
	}
}

/* The descriptor that came along, or -1. */
static int
received_fd(struct msghdr *msg, bool *extra)
{
	struct cmsghdr *cmsg;
	int fd = -1;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg))
		if (cmsg->cmsg_level == SOL_SOCKET &&
		    cmsg->cmsg_type == SCM_RIGHTS)
			take_rights(cmsg, &fd, extra);
	return fd;
}

static void
break_off(struct ipc *ipc, const char *what, uint32_t type)
{
	struct log_line line;

	ipc->broken = true;
	log_begin(&line, LOG_PRI_ERR, "ipc-breach");
	log_int(&line, "peer", ipc->make.peer);
	log_str(&line, "message", ipc->make.table->name(type));
	log_str(&line, "text", what);
	log_end(&line);
	report_gone(ipc);
}

static void
take_message(struct ipc *ipc, struct mmsghdr *m)
{
	const char *bytes = m->msg_hdr.msg_iov->iov_base;
	struct ipc_way way = { ipc->make.peer, ipc->make.me };
	struct head head = { 0, 0 };
	const char *what = NULL;
	bool extra = false;
	int fd;

	fd = received_fd(&m->msg_hdr, &extra);
	if (m->msg_len >= sizeof(head))
		memcpy(&head, bytes, sizeof(head));
	if ((m->msg_hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || extra)
		what = "truncated, or too many descriptors";
	else if (m->msg_len < sizeof(head) ||
	    m->msg_len - sizeof(head) != head.len)
		what = "wrong length";
	else if (!ipc->make.table->check(head.type, way, bytes + sizeof(head),
		     head.len, fd != -1))
		what = "refused by the table";
	if (what == NULL) {
		ipc->make.cb(ipc->make.arg, ipc, head.type,
		    bytes + sizeof(head), fd);
		return;
	}
	if (fd != -1)
		close(fd);
	break_off(ipc, what, head.type);
}

static void
prepare_slots(struct slots *slots)
{
	unsigned i;

	memset(slots->msgs, 0, sizeof(slots->msgs));
	for (i = 0; i < BATCH; i++) {
		struct msghdr *msg = &slots->msgs[i].msg_hdr;

		slots->iov[i].iov_base = slots->bytes[i];
		slots->iov[i].iov_len = sizeof(slots->bytes[i]);
		msg->msg_iov = &slots->iov[i];
		msg->msg_iovlen = 1;
		msg->msg_control = slots->control[i].bytes;
		msg->msg_controllen = sizeof(slots->control[i].bytes);
	}
}

/* Close the descriptors of messages that nobody will look at. */
static void
discard(struct ipc *ipc, unsigned from, unsigned count)
{
	bool extra = false;

	for (; from < count; from++) {
		int fd = received_fd(&ipc->slots->msgs[from].msg_hdr, &extra);
		if (fd != -1)
			close(fd);
	}
}

/* Read a batch. False: nothing more for now, or no channel any more. */
static bool
read_batch(struct ipc *ipc)
{
	unsigned i, count;
	int n;

	prepare_slots(ipc->slots);
	n = recvmmsg(ipc->fd, ipc->slots->msgs, BATCH,
	    MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	if (n == -1) {
		if (errno == EINTR)
			return true;
		if (errno == ECONNRESET && !ipc->reset) {
			ipc->reset = true;
			return true;
		}
		if (errno != EAGAIN)
			report_gone(ipc);
		return false;
	}
	count = (unsigned)n;
	for (i = 0; i < count; i++) {
		if (ipc->slots->msgs[i].msg_len == 0)
			report_gone(ipc);
		else
			take_message(ipc, &ipc->slots->msgs[i]);
		if (ipc->doomed || ipc->gone) {
			discard(ipc, i + 1, count);
			return false;
		}
	}
	return count == BATCH;
}

static void
read_some(struct ipc *ipc, unsigned batches)
{
	ipc->reading = true;
	while (batches > 0 && read_batch(ipc))
		batches--;
	ipc->reading = false;
	if (ipc->doomed)
		ipc_free(ipc);
}

void
ipc_drain(struct ipc *ipc)
{
	/* The other end is closed: no more than the socket's buffer holds can
	 * come. */
	if (!ipc->gone && !ipc->reading)
		read_some(ipc, SEND_ROOM / BATCH);
}

static void
on_event(void *arg, unsigned events)
{
	struct ipc *ipc = arg;

	if ((events & EV_WRITE) != 0)
		send_queued(ipc);
	if ((events & (EV_READ | EV_HANGUP)) != 0)
		read_some(ipc, TURN_BATCHES);
}
