#include "smtpd/base/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "smtpd/base/proc.h"
#include "tests/t.h"

/* A table of our own: type 1 is a number, 2 a number with a descriptor. */
enum { NUMBER = 1, WITH_FD = 2, LONG = 3 };

struct longest {
	uint64_t number;
	char rest[IPC_BODY_MAX - 8];
};

static const char *
name_of(uint32_t type)
{
	return type == NUMBER ? "number" : type == WITH_FD ? "with_fd" : "?";
}

static bool
check(uint32_t type, struct ipc_way way, const void *body, size_t len,
    bool has_fd)
{
	(void)body;
	if (way.from == way.to)
		return false;
	if (type == LONG)
		return len == sizeof(struct longest) && !has_fd;
	return (type == NUMBER || type == WITH_FD) && len == sizeof(uint64_t) &&
	    has_fd == (type == WITH_FD);
}

static const struct ipc_table table = { .name = name_of, .check = check };

#define HEARD_MAX 100000

/* One end and what it heard. */
struct end {
	struct ev *ev;
	struct ipc *ipc;
	size_t heard;
	size_t stop_after;
	uint64_t sum;
	bool in_order;
	uint64_t last;
	int gone;
	int fds;
	bool free_at_first;
};

static void
hear(void *arg, struct ipc *ipc, uint32_t type, const void *body, int fd)
{
	struct end *e = arg;
	const uint64_t *number = body;

	if (type == IPC_GONE) {
		e->gone++;
		ev_stop(e->ev);
		return;
	}
	if (*number <= e->last)
		e->in_order = false;
	e->last = *number;
	e->heard++;
	e->sum += *number;
	if (fd != -1) {
		struct stat st;

		if (fstat(fd, &st) == 0 && st.st_size == (off_t)*number &&
		    (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0)
			e->fds++;
		close(fd);
	}
	if (e->free_at_first) {
		ipc_free(ipc);
		e->ipc = NULL;
		ev_stop(e->ev);
	}
	if (e->heard == e->stop_after)
		ev_stop(e->ev);
}

static struct ipc *
make_end(struct ev *ev, int fd, int me, struct end *e)
{
	struct ipc_make make = { .table = &table,
		.me = me,
		.peer = 3 - me,
		.cb = hear,
		.arg = e };

	return ipc_new(ev, fd, &make);
}

static void
open_ends(struct ev *ev, struct end *a, struct end *b)
{
	int fds[2];

	memset(a, 0, sizeof(*a));
	memset(b, 0, sizeof(*b));
	t_int(proc_channel(fds), 0);
	a->ev = b->ev = ev;
	a->in_order = b->in_order = true;
	a->ipc = make_end(ev, fds[0], 1, a);
	b->ipc = make_end(ev, fds[1], 2, b);
}

/* One end as a bare socket, to send what ipc.c never would. */
static int
open_bare(struct ev *ev, struct end *b)
{
	int fds[2];

	memset(b, 0, sizeof(*b));
	t_int(proc_channel(fds), 0);
	b->ev = ev;
	b->in_order = true;
	b->ipc = make_end(ev, fds[1], 2, b);
	return fds[0];
}

static int
descriptors(void)
{
	int fd, count = 0;

	for (fd = 0; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) != -1)
			count++;
	return count;
}

static void
close_ends(struct end *a, struct end *b)
{
	ipc_free(a->ipc);
	ipc_free(b->ipc);
}

static void
test_order(struct ev *ev)
{
	struct end a, b;
	uint64_t i, sum = 0;

	t_case("messages arrive all and in order, beyond the socket's room");
	open_ends(ev, &a, &b);
	for (i = 1; i <= 20000; i++) {
		ipc_send(a.ipc, NUMBER, &i, sizeof(i), -1);
		sum += i;
	}
	t_int(ipc_backlog(a.ipc), 20000);
	b.stop_after = 20000;
	t_int(ev_run(ev), 0);
	t_int(b.heard, 20000);
	t_true(b.in_order);
	t_int(b.sum, sum);
	t_int(ipc_backlog(a.ipc), 0);
	close_ends(&a, &b);
}

static void
test_longest(struct ev *ev)
{
	struct end a, b;
	static struct longest m;

	t_case("a message of the greatest length passes");
	open_ends(ev, &a, &b);
	for (m.number = 1; m.number <= 40; m.number++)
		ipc_send(a.ipc, LONG, &m, sizeof(m), -1);
	b.stop_after = 40;
	t_int(ev_run(ev), 0);
	t_int(b.heard, 40);
	t_true(b.in_order);
	close_ends(&a, &b);
}

static void
test_fds(struct ev *ev)
{
	struct end a, b;
	uint64_t i;
	int before = descriptors();

	t_case("each descriptor arrives with its message, close-on-exec");
	open_ends(ev, &a, &b);
	for (i = 1; i <= 40; i++) {
		char text[64] = "";

		ipc_send(a.ipc, WITH_FD, &i, sizeof(i),
		    proc_seal("t", text, (size_t)i));
	}
	b.stop_after = 40;
	t_int(ev_run(ev), 0);
	t_int(b.fds, 40);
	close_ends(&a, &b);
	t_int(descriptors(), before);
}

static void
test_queued_fds(struct ev *ev)
{
	struct end a, b;
	uint64_t one = 1;
	int before = descriptors();

	t_case("descriptors not yet sent are closed with their channel");
	open_ends(ev, &a, &b);
	ipc_send(a.ipc, WITH_FD, &one, sizeof(one), proc_seal("t", "", 1));
	close_ends(&a, &b);
	t_int(descriptors(), before);

	t_case("a message to no channel is dropped, its descriptor closed");
	ipc_send(NULL, WITH_FD, &one, sizeof(one), proc_seal("t", "", 1));
	t_int(ipc_backlog(NULL), 0);
	t_int(descriptors(), before);
}

static void
test_gone(struct ev *ev)
{
	struct end a, b;
	uint64_t i;

	t_case("a peer's last words are heard before it is gone, once");
	open_ends(ev, &a, &b);
	for (i = 1; i <= 50; i++)
		ipc_send(a.ipc, NUMBER, &i, sizeof(i), -1);
	/* Unread messages at the other end make the socket report a reset. */
	ipc_send(b.ipc, NUMBER, &i, sizeof(i), -1);
	ipc_flush(b.ipc);
	ipc_flush(a.ipc);
	ipc_free(a.ipc);
	t_int(ev_run(ev), 0);
	t_int(b.heard, 50);
	t_int(b.gone, 1);
	t_true(!ipc_is_broken(b.ipc));
	ipc_send(b.ipc, NUMBER, &i, sizeof(i), -1);
	t_int(ipc_backlog(b.ipc), 0);
	ipc_free(b.ipc);
}

static void
test_gone_while_sending(struct ev *ev)
{
	struct end a, b;
	uint64_t i;

	t_case("sending to a peer that died loses nothing that it had said");
	open_ends(ev, &a, &b);
	for (i = 1; i <= 50; i++)
		ipc_send(a.ipc, NUMBER, &i, sizeof(i), -1);
	ipc_flush(a.ipc);
	ipc_free(a.ipc);
	ipc_send(b.ipc, NUMBER, &i, sizeof(i), -1);
	ipc_flush(b.ipc);
	t_int(ipc_backlog(b.ipc), 0);
	t_int(ev_run(ev), 0);
	t_int(b.heard, 50);
	t_int(b.gone, 1);
	ipc_free(b.ipc);
}

static void
test_drain(struct ev *ev)
{
	struct end a, b;
	uint64_t i;

	t_case("a drain reads all that a dead peer had sent, without the loop");
	open_ends(ev, &a, &b);
	for (i = 1; i <= 100; i++)
		ipc_send(a.ipc, NUMBER, &i, sizeof(i), -1);
	ipc_flush(a.ipc);
	ipc_free(a.ipc);
	ipc_drain(b.ipc);
	t_int(b.heard, 100);
	t_int(b.gone, 1);
	ipc_free(b.ipc);
}

static void
test_free_in_callback(struct ev *ev)
{
	struct end a, b;
	uint64_t i;
	int before = descriptors();

	t_case("a callback may free its channel; what follows is dropped");
	open_ends(ev, &a, &b);
	for (i = 1; i <= 10; i++)
		ipc_send(a.ipc, WITH_FD, &i, sizeof(i),
		    proc_seal("t", "          ", (size_t)i));
	b.free_at_first = true;
	t_int(ev_run(ev), 0);
	t_int(b.heard, 1);
	ipc_free(a.ipc);
	t_int(descriptors(), before);
}

/* Send "count" descriptors with a message of type "type" and "len" bytes. */
static void
send_bare(int sock, uint32_t type, uint32_t said_len, size_t len, int count)
{
	struct {
		uint32_t type;
		uint32_t len;
		char body[2 * IPC_MESSAGE_MAX];
	} m = { .type = type, .len = said_len };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
	struct iovec iov = { &m, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	int fds[8], i;

	for (i = 0; i < count; i++)
		fds[i] = STDERR_FILENO;
	memset(control, 0, sizeof(control));
	if (count > 0) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, (size_t)count * sizeof(int));
	}
	t_true(sendmsg(sock, &msg, 0) != -1);
}

static void
test_breach(struct ev *ev)
{
	static const struct {
		const char *name;
		uint32_t type;
		uint32_t said;
		size_t len;
		int fds;
	} rows[] = {
		{ "unknown type", 77, 8, 16, 0 },
		{ "type 0, which means gone", 0, 8, 16, 0 },
		{ "a head only", NUMBER, 8, 8, 0 },
		{ "less than a head", NUMBER, 8, 3, 0 },
		{ "too short for its row", NUMBER, 4, 12, 0 },
		{ "too long for its row", NUMBER, 16, 24, 0 },
		{ "length that lies", NUMBER, 16, 16, 0 },
		{ "longer than any message", LONG, IPC_BODY_MAX,
		    IPC_MESSAGE_MAX + 1, 0 },
		{ "a descriptor where none may be", NUMBER, 8, 16, 1 },
		{ "no descriptor where one must be", WITH_FD, 8, 16, 0 },
		{ "two descriptors", WITH_FD, 8, 16, 2 },
		{ "eight descriptors", WITH_FD, 8, 16, 8 },
	};
	struct end b;
	size_t i;

	t_case("a peer that breaks the table is cut off and its "
	       "descriptors are closed");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int before = descriptors(), sock;

		t_row("%s", rows[i].name);
		sock = open_bare(ev, &b);
		send_bare(sock, rows[i].type, rows[i].said, rows[i].len,
		    rows[i].fds);
		send_bare(sock, NUMBER, 8, 16, 0);
		t_int(ev_run(ev), 0);
		t_int(b.heard, 0);
		t_int(b.gone, 1);
		t_true(ipc_is_broken(b.ipc));
		close(sock);
		ipc_free(b.ipc);
		t_int(descriptors(), before);
	}
}

int
main(void)
{
	struct ev *ev;
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	log_init("test", null, false, false);
	ev = ev_new();
	if (ev == NULL)
		return 1;
	test_order(ev);
	test_longest(ev);
	test_fds(ev);
	test_queued_fds(ev);
	test_gone(ev);
	test_gone_while_sending(ev);
	test_drain(ev);
	test_free_in_callback(ev);
	test_breach(ev);
	ev_free(ev);
	return t_done();
}
