/*
 * Each role's very cage, entered by a process that then tries to do harm.
 * Every attempt runs in a process of its own: it must end by SIGSYS or be
 * refused by the kernel. What a role needs is tried in tests/base/sandbox.c.
 */

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "smtpd/base/proc.h"
#include "smtpd/base/sandbox.h"
#include "smtpd/roles.h"
#include "tests/t.h"

#define NOBODY 64321 /* where the users are not installed */
#define DONE 0
#define REFUSED 41
#define ODD 42 /* it failed, but not because it was forbidden */

/* What the attempts aim at; made before the cage. */
static struct {
	char folder[64];  /* the chroot */
	char outside[80]; /* a file beside it, mode 0666 */
	pid_t sibling;    /* same user, waits */
	pid_t stranger;   /* root, waits */
	int tcp;          /* listens on loopback, 0 if impossible */
	in_port_t tcp_port;
	int family; /* of the next socket to try */
	int type;
	int protocol;
} aim;

/* ---- attempts: 0 if they succeed, else -1 with errno ---- */

static int
keep(int fd)
{
	return fd == -1 ? -1 : 0;
}

static int
open_passwd(void)
{
	return keep(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int
open_above(void)
{
	return keep(open("../../../../etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int
open_outside(void)
{
	return keep(open(aim.outside, O_WRONLY | O_CLOEXEC));
}

static int
open_proc(void)
{
	return keep(open("/proc/self/mem", O_RDWR | O_CLOEXEC));
}

static int
write_root(void)
{
	return keep(open("/made", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int
make_device(void)
{
	return mknod("/null", S_IFCHR | 0666, 0x103);
}

static int
make_link(void)
{
	return symlink("/etc/passwd", "/link");
}

static int
leave_root(void)
{
	return chroot(".");
}

static int
run_shell(void)
{
	char *argv[] = { NULL };

	return execve("/bin/sh", argv, argv);
}

static int
run_self(void)
{
	char *argv[] = { NULL };

	return execve("/proc/self/exe", argv, argv);
}

static int
make_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid == -1 ? -1 : 0;
}

static int
trace_sibling(void)
{
	return (int)ptrace(PTRACE_ATTACH, aim.sibling, NULL, NULL);
}

static int
kill_sibling(void)
{
	return kill(aim.sibling, SIGTERM);
}

static int
kill_stranger(void)
{
	return kill(aim.stranger, SIGTERM);
}

static int
kill_parent(void)
{
	return kill(getppid(), SIGTERM);
}

static int
become_root(void)
{
	return setresuid(0, 0, 0);
}

static int
make_executable(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
	    ? -1
	    : 0;
}

static int
turn_executable(void)
{
	void *mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mem == MAP_FAILED ? -1
				 : mprotect(mem, 4096, PROT_READ | PROT_EXEC);
}

static int
become_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static int
raise_limit(void)
{
	struct rlimit rl = { 1000, 1000 };

	return setrlimit(RLIMIT_NPROC, &rl);
}

static int
make_by_clone3(void)
{
	return syscall(SYS_clone3, NULL, 0) == -1 ? -1 : 0;
}

static int
open_socket(void)
{
	return keep(socket(aim.family, aim.type | SOCK_CLOEXEC, aim.protocol));
}

static int
connect_tcp(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = aim.tcp_port,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return -1;
	return connect(fd, (struct sockaddr *)&in, sizeof(in));
}

static int
listen_tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd == -1 ? -1 : listen(fd, 1);
}

static void *
idle(void *arg)
{
	return arg;
}

static int
make_thread(void)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, idle, NULL);

	errno = error;
	return error == 0 ? 0 : -1;
}

static int
accept_tcp(void)
{
	/* Nobody knocks: EAGAIN would say that it was allowed. */
	return keep(accept4(aim.tcp, NULL, NULL, SOCK_CLOEXEC)) == 0 ||
		errno == EAGAIN
	    ? 0
	    : -1;
}

/* ---- the tables ---- */

#define R(role) (1U << ROLE_##role)
#define ALL (R(LISTEN) | R(QUEUE) | R(POLICY) | R(DELIVER))

/* clang-format off */
static const struct attempt {
	const char *name;
	int (*act)(void);
	unsigned who; /* roles to which this row applies */
} forbidden[] = {
	{ "open /etc/passwd", open_passwd, ALL },
	{ "open /etc/passwd by way of ..", open_above, ALL },
	{ "write a file beside the root that all may write", open_outside, ALL },
	{ "open its own memory as a file", open_proc, ALL },
	{ "make a file", write_root, R(LISTEN) | R(DELIVER) },
	{ "make a device", make_device, ALL },
	{ "make a symbolic link", make_link, ALL },
	{ "chroot", leave_root, ALL },
	{ "execute /bin/sh", run_shell, ALL },
	{ "execute itself", run_self, ALL },
	{ "fork", make_process, ALL },
	{ "clone3", make_by_clone3, ALL },
	{ "ptrace a sibling of the same user", trace_sibling, ALL },
	{ "kill a sibling of the same user", kill_sibling, ALL },
	{ "kill a process of root", kill_stranger, ALL },
	{ "kill the parent", kill_parent, ALL },
	{ "become root", become_root, ALL },
	{ "map memory to execute", make_executable, ALL },
	{ "turn memory executable", turn_executable, ALL },
	{ "become dumpable", become_dumpable, ALL },
	{ "raise a limit", raise_limit, ALL },
	{ "connect", connect_tcp, R(LISTEN) | R(QUEUE) },
	{ "listen", listen_tcp, ALL },
	{ "accept", accept_tcp, R(QUEUE) | R(POLICY) | R(DELIVER) },
	{ "start a thread", make_thread, ALL & ~R(QUEUE) },
};

/* Who may make which socket. */
static const struct {
	const char *name;
	int family;
	int type;
	int protocol;
	unsigned who;
} sockets[] = {
	{ "TCP", AF_INET, SOCK_STREAM, 0, R(POLICY) | R(DELIVER) },
	{ "TCP by number", AF_INET, SOCK_STREAM, IPPROTO_TCP,
	    R(POLICY) | R(DELIVER) },
	{ "TCP, IPv6", AF_INET6, SOCK_STREAM, 0, R(POLICY) | R(DELIVER) },
	{ "MPTCP", AF_INET, SOCK_STREAM, IPPROTO_MPTCP, 0 },
	{ "SCTP", AF_INET6, SOCK_STREAM, IPPROTO_SCTP, 0 },
	{ "UDP", AF_INET, SOCK_DGRAM, 0, R(POLICY) },
	{ "UDP by number", AF_INET6, SOCK_DGRAM, IPPROTO_UDP, R(POLICY) },
	{ "UDP, IPv6", AF_INET6, SOCK_DGRAM, 0, R(POLICY) },
	{ "UDP-Lite", AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE, 0 },
	{ "ping", AF_INET, SOCK_DGRAM, IPPROTO_ICMP, 0 },
	{ "raw IP", AF_INET, SOCK_RAW, 0, 0 },
	{ "Unix stream", AF_UNIX, SOCK_STREAM, 0, 0 },
	{ "Unix datagram", AF_UNIX, SOCK_DGRAM, 0, 0 },
	{ "netlink", AF_NETLINK, SOCK_RAW, 0, 0 },
	{ "packet", AF_PACKET, SOCK_RAW, 0, 0 },
	{ "virtual machine", AF_VSOCK, SOCK_STREAM, 0, 0 },
	{ "kernel crypto", AF_ALG, SOCK_SEQPACKET, 0, 0 },
};
/* clang-format on */

/* ---- the frame ---- */

/* As child.c does it, but for the place of the folders. */
static void
enter(int role)
{
	struct sandbox box = { .root = aim.folder,
		.root_empty = roles[role].root[0] == '\0',
		.powers = roles[role].powers };

	if (sandbox_user(roles[role].user, &box.uid, &box.gid) == -1)
		box.uid = box.gid = NOBODY;
	if (!box.root_empty && chown(aim.folder, box.uid, box.gid) == -1)
		_exit(ODD);
	(void)sandbox_enter(&box);
}

static int
wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		continue;
	return status;
}

/* Is it one of the ways in which a kernel says no? */
static int
judge(int error)
{
	static const int refusals[] = { EPERM, EACCES, ENOSYS, EAGAIN };
	size_t i;

	for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if (error == refusals[i])
			return REFUSED;
	/* Where files are granted, there simply is none of that name. */
	return error == ENOENT ? REFUSED : ODD;
}

static int
try(int role, const struct attempt *attempt)
{
	pid_t pid;

	t_int(chown(aim.folder, 0, 0), 0);
	fflush(stdout);
	pid = fork();
	if (pid != 0)
		return wait_for(pid);
	enter(role);
	errno = 0;
	_exit(attempt->act() == 0 ? DONE : judge(errno));
}

static pid_t
start_waiting(uid_t uid)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	if (uid != 0 && setresuid(uid, uid, uid) == -1)
		_exit(1);
	for (;;)
		pause();
}

static void
make_aims(int role)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	uid_t uid = NOBODY;
	gid_t gid;
	int fd;

	snprintf(aim.folder, sizeof(aim.folder), "/tmp/cage.XXXXXX");
	t_true(mkdtemp(aim.folder) != NULL);
	t_int(chmod(aim.folder, 0755), 0);
	snprintf(aim.outside, sizeof(aim.outside), "%s.outside", aim.folder);
	fd = open(aim.outside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	t_true(fd != -1);
	t_int(fchmod(fd, 0666), 0);
	close(fd);
	(void)sandbox_user(roles[role].user, &uid, &gid);
	aim.sibling = start_waiting(uid);
	aim.stranger = start_waiting(0);
	aim.tcp =
	    socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	t_int(bind(aim.tcp, (struct sockaddr *)&in, sizeof(in)), 0);
	t_int(listen(aim.tcp, 16), 0);
	t_int(getsockname(aim.tcp, (struct sockaddr *)&in, &len), 0);
	aim.tcp_port = in.sin_port;
}

static void
drop_aims(void)
{
	(void)kill(aim.sibling, SIGKILL);
	(void)kill(aim.stranger, SIGKILL);
	(void)wait_for(aim.sibling);
	(void)wait_for(aim.stranger);
	close(aim.tcp);
	(void)unlink(aim.outside);
	(void)rmdir(aim.folder);
}

static bool
is_refusal(int status)
{
	return (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) ||
	    (WIFEXITED(status) && WEXITSTATUS(status) == REFUSED);
}

static void
test_sockets(int role)
{
	static const struct attempt opens = { "socket", open_socket, ALL };
	size_t i;
	int status;

	make_aims(role);
	for (i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
		aim.family = sockets[i].family;
		aim.type = sockets[i].type;
		aim.protocol = sockets[i].protocol;
		status = try(role, &opens);
		t_row("%s: %s (status %#x)", roles[role].name, sockets[i].name,
		    (unsigned)status);
		if ((sockets[i].who & 1U << role) != 0)
			t_int(status, 0);
		else
			t_true(is_refusal(status));
	}
	drop_aims();
}

static void
test_forbidden(int role)
{
	size_t i;
	int status;

	make_aims(role);
	for (i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		if ((forbidden[i].who & 1U << role) == 0)
			continue;
		status = try(role, &forbidden[i]);
		t_row("%s: %s (status %#x)", roles[role].name,
		    forbidden[i].name, (unsigned)status);
		t_true(is_refusal(status));
	}
	t_row("%s: siblings live on", roles[role].name);
	t_int(kill(aim.sibling, 0), 0);
	t_int(kill(aim.stranger, 0), 0);
	drop_aims();
}

static void
for_each_role(const char *sentence, void (*test)(int role))
{
	int role;

	t_case(sentence);
	if (geteuid() != 0) {
		t_skip("not root");
		return;
	}
	if (SANITIZED != 0 || proc_on_valgrind()) {
		t_skip("no call filter in this build, or under valgrind");
		return;
	}
	for (role = ROLE_PARENT + 1; role < ROLE_COUNT; role++)
		test(role);
}

int
main(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	log_init("test", null, false, false);
	for_each_role("whatever harm a role tries from its cage is refused",
	    test_forbidden);
	for_each_role("a role makes the sockets it is for and no others",
	    test_sockets);
	return t_done();
}
