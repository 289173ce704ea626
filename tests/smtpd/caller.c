/*
 * Who may ask what on the Unix socket, and that a listener taken over cannot
 * ask in anyone's name. In a mount namespace of our own.
 */

#include "smtpd/caller.h"

#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "smtpd/base/proc.h"
#include "smtpd/sockets.h"
#include "tests/t.h"

#define SOMEBODY 64321
#define OTHER 64322
#define ADMINS 64323

static struct sockets sockets;
static int door; /* the Unix socket that listens */

static int
call(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(sun.sun_path, SOCKETS_UNIX, sizeof(SOCKETS_UNIX));
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1)
		_exit(1);
	return fd;
}

/* The daemon's end of a connection that a process of "uid" made, of group
 * "gid" besides; it may have gone since. */
static int
connection_of(uid_t uid, gid_t gid)
{
	struct pollfd ready = { .fd = door, .events = POLLIN };
	pid_t pid = fork();
	int fd;

	if (pid == 0) {
		if (setgroups(1, &gid) == -1 ||
		    setresgid(uid, uid, uid) == -1 ||
		    setresuid(uid, uid, uid) == -1)
			_exit(1);
		_exit(call() == -1);
	}
	t_int(waitpid(pid, NULL, 0), pid);
	t_int(poll(&ready, 1, 1000), 1);
	fd = accept4(door, NULL, NULL, SOCK_CLOEXEC);
	t_true(fd != -1);
	return fd;
}

static void
test_who(void)
{
	static const struct {
		const char *name;
		uid_t uid;
		gid_t gid;
		int64_t asks;
		bool may;
	} rows[] = {
		{ "root, for all", 0, 0, -1, true },
		{ "root, for another", 0, 0, OTHER, true },
		{ "a user, for all", SOMEBODY, SOMEBODY, -1, false },
		{ "a user, for itself", SOMEBODY, SOMEBODY, SOMEBODY, true },
		{ "a user, for another", SOMEBODY, SOMEBODY, OTHER, false },
		{ "a user, for root", SOMEBODY, SOMEBODY, 0, false },
		{ "an administrator, for all", SOMEBODY, ADMINS, -1, true },
	};
	size_t i;
	int fd;

	t_case("who may ask for what is the kernel's word");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t_row("%s", rows[i].name);
		fd = connection_of(rows[i].uid, rows[i].gid);
		t_int(caller_may(fd, ADMINS, rows[i].asks), rows[i].may);
		t_row("%s, no group of administrators", rows[i].name);
		t_int(caller_may(fd, (gid_t)-1, rows[i].asks),
		    rows[i].may && rows[i].gid != ADMINS);
		close(fd);
	}
	t_row(NULL);
}

static int
tcp(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int
memory(void)
{
	return memfd_create("t", MFD_CLOEXEC);
}

static int
channel(void)
{
	int ends[2];

	t_int(proc_channel(ends), 0);
	close(ends[1]);
	return ends[0];
}

static int
listening(void)
{
	return fcntl(door, F_DUPFD_CLOEXEC, 0);
}

static int
pipe_end(void)
{
	int ends[2];

	t_int(pipe2(ends, O_CLOEXEC), 0);
	close(ends[1]);
	return ends[0];
}

static void
test_forged(void)
{
	static const struct {
		const char *name;
		int (*make)(void);
	} rows[] = {
		{ "a channel, which root made", channel },
		{ "the listening socket, root's as well", listening },
		{ "the other end of a connection to us", call },
		{ "a TCP socket", tcp },
		{ "an anonymous file", memory },
		{ "a pipe", pipe_end },
	};
	size_t i;
	int fd;

	t_case("nothing but a connection to our socket speaks for anyone");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t_row("%s", rows[i].name);
		fd = rows[i].make();
		t_true(fd != -1);
		t_true(!caller_may(fd, ADMINS, -1));
		t_true(!caller_may(fd, ADMINS, (int64_t)getuid()));
		close(fd);
	}
	t_row(NULL);
}

static int
prepare(void)
{
	struct sockets none = { .count = 0 };
	struct conf conf = { .listen_count = 1 };
	char why[SOCKETS_WHY_SIZE];
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	memcpy(&conf.listen[0].addr, &in, sizeof(in));
	if (unshare(CLONE_NEWNS) == -1 ||
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == -1 ||
	    mount("tmpfs", RUNDIR, "tmpfs", 0, "mode=755") == -1 ||
	    mkdir(FOLDERS_RUN, 0755) == -1)
		return -1;
	if (sockets_open(&sockets, &conf, &none, why) == -1)
		return -1;
	door = sockets.one[1].fd;
	return 0;
}

int
main(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	log_init("test", null, false, false);
	if (geteuid() != 0 || prepare() == -1) {
		t_case("callers of the Unix socket");
		t_skip("not root, or no namespaces");
		return t_done();
	}
	test_who();
	test_forged();
	return t_done();
}
