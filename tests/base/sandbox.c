/*
 * What each power of the cage permits, and that nothing else does. What harm
 * is refused whatever the powers is tried in tests/smtpd/cage.c.
 */

#include "smtpd/base/sandbox.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "smtpd/base/ev.h"
#include "smtpd/base/log.h"
#include "smtpd/base/proc.h"
#include "smtpd/base/tls.h"
#include "tests/t.h"

#define SOMEBODY 64321
#define DONE 0
#define FAILED 42
#define MANY (64UL << 20) /* bytes */

static char root[64];
static int listener;
static struct sockaddr_in address;

/* ---- uses: 0 if it works ---- */

static int
use_memory(void)
{
	char *mem = malloc(MANY);

	if (mem == NULL)
		return -1;
	memset(mem, 1, MANY);
	mem = realloc(mem, 2 * MANY);
	free(mem);
	return mem == NULL ? -1 : 0;
}

static int
use_log(void)
{
	log_note(LOG_PRI_INFO, "from the cage");
	return 0;
}

static int
use_time(void)
{
	const struct timespec little = { 0, 1000 };
	struct tm tm;
	time_t now = time(NULL);

	return localtime_r(&now, &tm) == NULL || nanosleep(&little, NULL) != 0;
}

static void
stop_loop(void *arg)
{
	ev_stop(arg);
}

static int
use_loop(void)
{
	struct ev *ev = ev_new();
	struct ev_timer timer;

	if (ev == NULL)
		return -1;
	ev_timer_init(&timer, stop_loop, ev);
	ev_timer_set(ev, &timer, ev_now(ev) + 1);
	return ev_run(ev);
}

static int
use_chance(void)
{
	char bytes[16];

	arc4random_buf(bytes, sizeof(bytes));
	return 0;
}

static int
use_memfd(void)
{
	int fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char byte;

	if (fd == -1 || pwrite(fd, "x", 1, 0) != 1 || ftruncate(fd, 1) == -1 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == -1)
		return -1;
	return pread(fd, &byte, 1, 0) == 1 ? 0 : -1;
}

static int
use_files(void)
{
	struct stat st;
	int fd;

	if (mkdir("/dir", 0700) == -1)
		return -1;
	fd = open("/dir/a", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1 || write(fd, "x", 1) != 1 || fdatasync(fd) == -1 ||
	    posix_fallocate(fd, 0, 4096) != 0 || ftruncate(fd, 1) == -1)
		return -1;
	close(fd);
	if (rename("/dir/a", "/b") == -1 || stat("/b", &st) == -1 ||
	    unlink("/b") == -1 || rmdir("/dir") == -1)
		return -1;
	fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd == -1 ? -1 : fsync(fd);
}

/* As far as the first flight: all that OpenSSL sets up is set up. */
static int
use_tls(void)
{
	struct tls_target target = { .name = "mx.example.org" };
	struct tls_ctx *ctx;
	struct tls *tls = NULL;
	const char *why;
	int fd;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) == -1 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) == -1)
		return -1;
	ctx = tls_ctx_client(NULL, 0, &why);
	if (ctx != NULL)
		tls = tls_client(ctx, &target, fd);
	return tls != NULL && tls_handshake(tls) == TLS_STEP_WANT ? 0 : -1;
}

static void *
idle(void *arg)
{
	return arg;
}

static int
use_threads(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, idle, NULL) != 0 ||
	    pthread_join(thread, NULL) != 0;
}

static int
use_tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd == -1
	    ? -1
	    : connect(fd, (struct sockaddr *)&address, sizeof(address));
}

static int
use_udp(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd == -1
	    ? -1
	    : connect(fd, (struct sockaddr *)&address, sizeof(address));
}

static int
use_accept(void)
{
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	int fd;

	fd = accept4(listener, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
	return fd == -1 && errno != EAGAIN ? -1 : 0;
}

/* clang-format off */
static const struct use {
	const char *name;
	int (*act)(void);
	unsigned power; /* that it takes; 0: none */
} uses[] = {
	{ "memory", use_memory, 0 },
	{ "the log", use_log, 0 },
	{ "the time", use_time, 0 },
	{ "an event loop", use_loop, 0 },
	{ "chance", use_chance, 0 },
	{ "TLS", use_tls, POWER_TCP },
	{ "anonymous files", use_memfd, POWER_MEMFD },
	{ "files below its root", use_files, POWER_FILES },
	{ "threads", use_threads, POWER_THREADS },
	{ "TCP out", use_tcp, POWER_TCP },
	{ "datagrams", use_udp, POWER_UDP },
	{ "accept", use_accept, POWER_ACCEPT },
};
/* clang-format on */

/* ---- the frame ---- */

static int
wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		continue;
	return status;
}

static void
enter(unsigned powers, bool empty)
{
	struct sandbox box = { .uid = SOMEBODY,
		.gid = SOMEBODY,
		.root = root,
		.root_empty = empty,
		.powers = powers };

	if (!empty && chown(root, SOMEBODY, SOMEBODY) == -1)
		_exit(FAILED);
	(void)sandbox_enter(&box);
}

static int
try(unsigned powers, int (*act)(void))
{
	bool empty = (powers & POWER_FILES) == 0;
	pid_t pid;

	t_int(chown(root, 0, 0), 0);
	fflush(stdout);
	pid = fork();
	if (pid != 0)
		return wait_for(pid);
	enter(powers, empty);
	_exit(act() == 0 ? DONE : FAILED);
}

static bool
was_signal(int status, int signo)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == signo;
}

/* False, the case skipped, where a cage cannot be had. */
static bool
can_try(bool filter)
{
	if (geteuid() != 0)
		t_skip("not root");
	else if (filter && SANITIZED != 0)
		t_skip("a sanitizer build has no call filter");
	else if (filter && proc_on_valgrind())
		t_skip("no call filter under valgrind");
	else
		return true;
	return false;
}

/* ---- cases ---- */

static void
test_powers(void)
{
	size_t i;

	t_case("each power permits what it is named for");
	if (!can_try(true))
		return;
	for (i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
		t_row("%s", uses[i].name);
		t_int(try(uses[i].power, uses[i].act), DONE);
	}
	t_case("without its power nothing is permitted, with all others");
	if (!can_try(true))
		return;
	for (i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
		unsigned others =
		    (POWER_ACCEPT | POWER_TCP | POWER_UDP | POWER_FILES |
			POWER_THREADS | POWER_MEMFD) &
		    ~uses[i].power;

		t_row("%s", uses[i].name);
		if (uses[i].power != 0)
			t_true(try(others, uses[i].act) != DONE);
	}
}

static int
call_abort(void)
{
	abort();
}

static int
ask_prctl(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
}

static void
test_visible(void)
{
	t_case("a crash looks like one, a forbidden call like one");
	if (!can_try(true))
		return;
	t_true(was_signal(try(0, call_abort), SIGABRT));
	/* A call that harms nobody and is not on the list. */
	t_true(was_signal(try(0, ask_prctl), SIGSYS));
}

/* What the process says when a call is reported: with -v. */
static void
test_report(void)
{
	struct sandbox box = { .uid = SOMEBODY,
		.gid = SOMEBODY,
		.root = root,
		.root_empty = true,
		.filter = SANDBOX_REPORT };
	char text[1024] = "";
	int ends[2];
	pid_t pid;

	t_case("asked to report, it names the forbidden call and dies of it");
	if (!can_try(true))
		return;
	t_int(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		log_init("test", ends[1], false, true);
		(void)sandbox_enter(&box);
		_exit(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	}
	close(ends[1]);
	t_true(was_signal(wait_for(pid), SIGSYS));
	t_true(read(ends[0], text, sizeof(text) - 1) > 0);
	t_true(strstr(text, "system call prctl") != NULL);
	close(ends[0]);
}

static int
is_nobody(void)
{
	return getuid() != SOMEBODY || geteuid() != SOMEBODY ||
	    getgid() != SOMEBODY || getegid() != SOMEBODY;
}

static void
test_user(void)
{
	t_case("the user is another, and there is no way back to root");
	if (!can_try(false))
		return;
	t_int(try(0, is_nobody), DONE);
	t_true(try(0, use_files) != DONE);
}

static void
test_root(void)
{
	char path[80];
	int fd;

	t_case("a root that is not root's alone and empty is not entered");
	if (!can_try(false))
		return;
	t_row("empty");
	t_int(try(0, use_memory), DONE);
	t_row("not empty");
	snprintf(path, sizeof(path), "%s/file", root);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	t_true(fd != -1);
	close(fd);
	t_true(try(0, use_memory) != DONE);
	t_int(unlink(path), 0);
	t_row("others may write there");
	t_int(chmod(root, 0777), 0);
	t_true(try(0, use_memory) != DONE);
	t_int(chmod(root, 0755), 0);
}

static void
test_user_names(void)
{
	uid_t uid;
	gid_t gid;

	t_case("root and users that do not exist cannot be asked for");
	t_int(sandbox_user("root", &uid, &gid), -1);
	t_int(sandbox_user("_no_such_user", &uid, &gid), -1);
	t_int(sandbox_user("daemon", &uid, &gid), 0);
	t_true(uid != 0 && gid != 0);
}

static void
prepare(void)
{
	socklen_t len = sizeof(address);

	snprintf(root, sizeof(root), "/tmp/sandbox.XXXXXX");
	if (mkdtemp(root) == NULL || chmod(root, 0755) == -1)
		exit(1);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener =
	    socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(listener, (struct sockaddr *)&address, len) == -1 ||
	    listen(listener, 16) == -1 ||
	    getsockname(listener, (struct sockaddr *)&address, &len) == -1)
		exit(1);
}

int
main(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	log_init("test", null, false, false);
	prepare();
	test_powers();
	test_visible();
	test_report();
	test_user();
	test_root();
	test_user_names();
	(void)rmdir(root);
	return t_done();
}
