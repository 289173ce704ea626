#include "smtpd/base/io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/net.h"

#define CHUNK_FIRST 4096U /* bytes read at once; grows while they fill */
#define CHUNK_LAST 65536U

enum stream_state {
	STREAM_CONNECTING,
	STREAM_OPEN, /* in clear or secured */
	STREAM_HANDSHAKE,
	STREAM_ENDED, /* closed by the peer: output only */
	STREAM_BROKEN
};

struct io {
	struct ev *ev;
	struct ev_watch watch;
	struct ev_timer deadline;
	struct ev_task flush; /* writes at the end of the turn, or frees */
	struct ev_task more;  /* reads what TLS holds, or a full buffer hid */
	int fd;
	enum stream_state state;
	bool finishing;
	bool freed;
	bool blocked; /* the last write found no room */
	bool hung;    /* reported while nobody read */
	bool secure;
	int error;
	size_t chunk;
	io_cb *cb;
	void *arg;
	struct tls *tls;
	struct buf in, out;
	char why[320];
};

static void on_watch(void *arg, unsigned events);
static void write_out(void *arg);

static void
destroy(void *arg)
{
	struct io *io = arg;

	buf_clear(&io->in);
	buf_clear(&io->out);
	free(io);
}

void
io_free(struct io *io)
{
	if (io == NULL || io->freed)
		return;
	io->freed = true;
	ev_timer_del(io->ev, &io->deadline);
	ev_soon_del(io->ev, &io->more);
	ev_soon_del(io->ev, &io->flush);
	ev_watch_del(io->ev, &io->watch);
	tls_free(io->tls);
	io->tls = NULL;
	close(io->fd);
	/* The callback that called us may still use it. */
	ev_soon(io->ev, &io->flush, destroy, io);
}

static void
tell(struct io *io, enum io_event event)
{
	if (io->finishing)
		io_free(io);
	else if (!io->freed)
		io->cb(io->arg, event);
}

/* What the loop is to report, from the state of things. */
static void
set_events(struct io *io)
{
	unsigned events = 0;

	if (io->freed)
		return;
	switch (io->state) {
	case STREAM_CONNECTING:
		events = EV_WRITE;
		break;
	case STREAM_HANDSHAKE:
		events = tls_wants_write(io->tls) ? EV_WRITE : EV_READ;
		break;
	case STREAM_OPEN:
		if (!io->finishing && buf_len(&io->in) < IO_INPUT_MAX)
			events = EV_READ;
		if (io->blocked)
			events |= EV_WRITE;
		break;
	case STREAM_ENDED:
		events = io->blocked ? EV_WRITE : 0;
		break;
	case STREAM_BROKEN:
		break;
	}
	/* epoll reports a hangup even if nothing is asked for, again and
	 * again. */
	if (events == 0 && (io->hung || io->state >= STREAM_ENDED))
		ev_watch_del(io->ev, &io->watch);
	else if (io->watch.added)
		ev_watch_set(io->ev, &io->watch, events);
	else
		ev_watch(io->ev, &io->watch, io->fd, events);
}

static void
break_off(struct io *io, int error, const char *why)
{
	if (io->state == STREAM_BROKEN)
		return;
	io->state = STREAM_BROKEN;
	io->error = error;
	snprintf(io->why, sizeof(io->why), "%s", why);
	ev_soon_del(io->ev, &io->more);
	set_events(io);
	tell(io, IO_ERROR);
}

static void
on_deadline(void *arg)
{
	tell(arg, IO_TIMEOUT);
}

static struct io *
new_io(struct ev *ev, int fd, io_cb *cb, void *arg)
{
	struct io *io = calloc(1, sizeof(*io));

	if (io == NULL)
		return NULL;
	io->ev = ev;
	io->fd = fd;
	io->cb = cb;
	io->arg = arg;
	io->chunk = CHUNK_FIRST;
	buf_init(&io->in, IO_INPUT_MAX);
	buf_init(&io->out, IO_OUTPUT_MAX);
	ev_timer_init(&io->deadline, on_deadline, io);
	ev_watch_init(&io->watch, on_watch, io);
	return io;
}

struct io *
io_new(struct ev *ev, int fd, io_cb *cb, void *arg)
{
	struct io *io = new_io(ev, fd, cb, arg);

	if (io == NULL)
		return NULL;
	net_set_nodelay(fd);
	io->state = STREAM_OPEN;
	set_events(io);
	if (!io->watch.added) {
		free(io);
		return NULL;
	}
	return io;
}

struct io *
io_connect(struct ev *ev, const struct sockaddr *peer,
    const struct sockaddr *local, io_cb *cb, void *arg)
{
	struct io *io;
	int fd, saved;

	fd = net_connect(peer, local);
	if (fd == -1)
		return NULL;
	io = new_io(ev, fd, cb, arg);
	if (io == NULL) {
		saved = errno;
		close(fd);
		errno = saved;
		return NULL;
	}
	io->state = STREAM_CONNECTING;
	set_events(io);
	if (!io->watch.added) {
		saved = errno;
		close(fd);
		free(io);
		errno = saved;
		return NULL;
	}
	return io;
}

void
io_set_deadline(struct io *io, int64_t at_ms)
{
	if (io->freed)
		return;
	if (at_ms == 0)
		ev_timer_del(io->ev, &io->deadline);
	else if (!io->deadline.armed || io->deadline.at_ms != at_ms)
		ev_timer_set(io->ev, &io->deadline, at_ms);
}

struct buf *
io_input(struct io *io)
{
	return &io->in;
}

/* ---- reading ---- */

/* What one read came to. */
enum got { GOT_BYTES, GOT_NOTHING, GOT_END, GOT_ERROR };

/* MSG_DONTWAIT: another process may share the socket, and its flags. */
static enum got
read_clear(struct io *io, char *room, size_t want)
{
	ssize_t n = recv(io->fd, room, want, MSG_DONTWAIT);

	if (n == 0)
		return GOT_END;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? GOT_NOTHING
							 : GOT_ERROR;
	buf_grown(&io->in, (size_t)n);
	if ((size_t)n == want && io->chunk < CHUNK_LAST)
		io->chunk *= 2;
	return GOT_BYTES;
}

static enum got
read_tls(struct io *io, char *room, size_t want)
{
	size_t got;

	errno = 0;
	switch (tls_read(io->tls, room, want, &got)) {
	case TLS_STEP_DONE:
		buf_grown(&io->in, got);
		return GOT_BYTES;
	case TLS_STEP_WANT:
		io->blocked = io->blocked || tls_wants_write(io->tls);
		return GOT_NOTHING;
	case TLS_STEP_CLOSED:
		return GOT_END;
	case TLS_STEP_FAILED:
		break;
	}
	return GOT_ERROR;
}

static bool
may_read(const struct io *io)
{
	return !io->freed && io->state == STREAM_OPEN && !io->finishing &&
	    buf_len(&io->in) < IO_INPUT_MAX;
}

/* In the clear one read is enough, as the loop reports what is left. It cannot
 * know of what TLS has already taken from the socket: read all of that. */
static enum got
read_all(struct io *io)
{
	enum got got;
	size_t want;
	char *room;

	do {
		want = IO_INPUT_MAX - buf_len(&io->in);
		if (want > io->chunk)
			want = io->chunk;
		room = buf_room(&io->in, want);
		if (room == NULL) {
			errno = ENOMEM;
			return GOT_ERROR;
		}
		got = io->secure ? read_tls(io, room, want)
				 : read_clear(io, room, want);
	} while (got == GOT_BYTES && io->secure && may_read(io) &&
	    tls_has_more(io->tls));
	return got;
}

static void read_more(void *arg);

/* Come back for bytes that TLS holds and that were not read yet. */
static void
read_later(struct io *io)
{
	if (may_read(io) && io->secure && tls_has_more(io->tls))
		ev_soon(io->ev, &io->more, read_more, io);
}

static void
read_in(struct io *io)
{
	size_t had = buf_len(&io->in);
	enum got got = read_all(io);
	int error = errno;

	if (buf_len(&io->in) > had)
		tell(io, IO_INPUT);
	if (io->freed)
		return;
	if (got == GOT_END) {
		io->state = STREAM_ENDED;
		set_events(io);
		tell(io, IO_CLOSED);
	} else if (got == GOT_ERROR) {
		break_off(io, error,
		    io->secure ? tls_why(io->tls) : strerror(error));
	} else {
		read_later(io);
		set_events(io);
	}
}

static void
read_more(void *arg)
{
	struct io *io = arg;

	if (may_read(io))
		read_in(io);
}

void
io_resume(struct io *io)
{
	if (io->freed)
		return;
	read_later(io);
	set_events(io);
}

/* ---- writing ---- */

static int
write_clear(struct io *io)
{
	ssize_t n;

	n = send(io->fd, buf_bytes(&io->out), buf_len(&io->out),
	    MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n >= 0) {
		buf_take(&io->out, (size_t)n);
		return 0;
	}
	if (errno == EAGAIN) {
		io->blocked = true;
		return 0;
	}
	if (errno == EINTR)
		return 0;
	break_off(io, errno, strerror(errno));
	return -1;
}

static int
write_tls(struct io *io)
{
	size_t taken;

	switch (tls_write(io->tls, buf_bytes(&io->out), buf_len(&io->out),
	    &taken)) {
	case TLS_STEP_DONE:
		buf_take(&io->out, taken);
		return 0;
	case TLS_STEP_WANT:
		/* If TLS waits for input, read_in() comes back here. */
		io->blocked = tls_wants_write(io->tls);
		return io->blocked ? 0 : -1;
	case TLS_STEP_CLOSED:
	case TLS_STEP_FAILED:
		break;
	}
	break_off(io, 0, tls_why(io->tls));
	return -1;
}

static void
write_out(void *arg)
{
	struct io *io = arg;

	if (io->freed || io->blocked ||
	    (io->state != STREAM_OPEN && io->state != STREAM_ENDED))
		return;
	if (io->out.failed) {
		break_off(io, ENOBUFS, "too much output waits");
		return;
	}
	while (buf_len(&io->out) > 0 && !io->blocked)
		if ((io->secure ? write_tls(io) : write_clear(io)) == -1)
			return;
	set_events(io);
	if (buf_len(&io->out) > 0)
		return;
	if (!io->finishing) {
		tell(io, IO_SENT);
		return;
	}
	if (io->secure)
		tls_shutdown(io->tls);
	io_free(io);
}

void
io_write(struct io *io, const void *bytes, size_t len)
{
	if (io->freed || io->state == STREAM_BROKEN || len == 0)
		return;
	buf_add(&io->out, bytes, len);
	ev_soon(io->ev, &io->flush, write_out, io);
}

size_t
io_pending(const struct io *io)
{
	return buf_len(&io->out);
}

void
io_finish(struct io *io)
{
	if (io == NULL || io->freed)
		return;
	if (io->state != STREAM_OPEN && io->state != STREAM_ENDED) {
		io_free(io);
		return;
	}
	io->finishing = true;
	io_set_deadline(io, ev_now(io->ev) + IO_FINISH_MS);
	set_events(io);
	ev_soon(io->ev, &io->flush, write_out, io);
}

/* ---- events ---- */

static void
connected(struct io *io)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		error = errno;
	if (error != 0) {
		break_off(io, error, strerror(error));
		return;
	}
	io->state = STREAM_OPEN;
	set_events(io);
	tell(io, IO_CONNECTED);
	if (!io->freed && buf_len(&io->out) > 0)
		ev_soon(io->ev, &io->flush, write_out, io);
}

static void
shake_hands(struct io *io)
{
	switch (tls_handshake(io->tls)) {
	case TLS_STEP_WANT:
		break;
	case TLS_STEP_CLOSED:
	case TLS_STEP_FAILED:
		break_off(io, 0, tls_why(io->tls));
		return;
	case TLS_STEP_DONE:
		io->state = STREAM_OPEN;
		io->secure = true;
		tell(io, IO_SECURE);
		/* Input may have come along with the last record. */
		read_later(io);
		if (!io->freed && buf_len(&io->out) > 0)
			ev_soon(io->ev, &io->flush, write_out, io);
		break;
	}
	set_events(io);
}

static void
begin_handshake(void *arg)
{
	struct io *io = arg;

	if (!io->freed && io->state == STREAM_HANDSHAKE)
		shake_hands(io);
}

static void
on_watch(void *arg, unsigned events)
{
	struct io *io = arg;

	switch (io->state) {
	case STREAM_CONNECTING:
		connected(io);
		return;
	case STREAM_HANDSHAKE:
		shake_hands(io);
		return;
	case STREAM_OPEN:
	case STREAM_ENDED:
		break;
	case STREAM_BROKEN:
		return;
	}
	if (events & EV_WRITE) {
		io->blocked = false;
		write_out(io);
	}
	if (events & (EV_READ | EV_HANGUP) && may_read(io)) {
		read_in(io);
		return;
	}
	if (events & EV_HANGUP)
		io->hung = true;
	set_events(io);
}

void
io_start_tls(struct io *io, struct tls *tls)
{
	if (io->freed || io->state != STREAM_OPEN || io->tls != NULL) {
		tls_free(tls);
		return;
	}
	ev_soon_del(io->ev, &io->flush);
	ev_soon_del(io->ev, &io->more);
	io->tls = tls;
	io->state = STREAM_HANDSHAKE;
	ev_soon(io->ev, &io->more, begin_handshake, io);
}

const struct tls_facts *
io_tls_facts(const struct io *io)
{
	return tls_facts(io->tls);
}

struct tls *
io_tls(struct io *io)
{
	return io->tls;
}

const char *
io_why(const struct io *io)
{
	return io->why;
}

int
io_errno(const struct io *io)
{
	return io->error;
}

int
io_fd(const struct io *io)
{
	return io->fd;
}
