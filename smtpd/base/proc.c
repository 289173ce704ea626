#include "smtpd/base/proc.h"

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SELF "/proc/self/exe"
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 5000
#define HOLD_POLL_MS 10
#define ENV_MAX 16 /* variables handed on */
#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK)

int
proc_channel(int ends[2])
{
	return socketpair(AF_UNIX,
	    SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
}

static int
write_all(int fd, const char *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, bytes + done, len - done);
		if (n == -1 && errno != EINTR)
			return -1;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

int
proc_seal(const char *name, const void *text, size_t len)
{
	int fd;

	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1)
		return -1;
	if (write_all(fd, text, len) == -1 || lseek(fd, 0, SEEK_SET) == -1 ||
	    fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) == -1) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static int
read_all(int fd, char *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, bytes + done, len - done, (off_t)done);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return -1;
		done += (size_t)n;
	}
	return 0;
}

char *
proc_sealed_text(int fd, size_t max, size_t *len)
{
	struct stat st;
	char *text;
	int seals;

	seals = fcntl(fd, F_GET_SEALS);
	if (seals == -1 || fstat(fd, &st) == -1)
		return NULL;
	if ((seals & SEALS) != SEALS || st.st_size < 0 ||
	    (size_t)st.st_size > max) {
		errno = EINVAL;
		return NULL;
	}
	*len = (size_t)st.st_size;
	text = malloc(*len + 1);
	if (text == NULL)
		return NULL;
	if (read_all(fd, text, *len) == -1) {
		free(text);
		return NULL;
	}
	text[*len] = '\0';
	return text;
}

/* What of the environment a child may see: nothing that steers a library. */
static void
pick_environment(char *env[ENV_MAX + 1])
{
	static const char *const names[] = { "ASAN_OPTIONS=", "UBSAN_OPTIONS=",
		"LSAN_OPTIONS=" };
	size_t count = 0, i, j;

	for (i = 0; environ[i] != NULL && count < ENV_MAX; i++)
		for (j = 0; j < sizeof(names) / sizeof(names[0]); j++)
			if (strncmp(environ[i], names[j], strlen(names[j])) ==
				0 &&
			    count < ENV_MAX)
				env[count++] = environ[i];
	env[count] = NULL;
}

/*
 * In the new process: put "from" at "to", open across the execution. The
 * sources were moved out of the way of both places before.
 */
static void
place(int from, int to)
{
	if (from == -1)
		close(to);
	else if (dup2(from, to) == -1)
		_exit(127);
}

static int
move_away(int fd)
{
	int moved;

	if (fd == -1)
		return -1;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, PROC_LOG_FD + 1);
	if (moved == -1)
		_exit(127);
	return moved;
}

bool
proc_on_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

/* This program: as it was started, whatever stands at its path by now. Only
 * valgrind needs the path, being itself what runs. */
static const char *
own_program(char path[PATH_MAX])
{
	ssize_t n;

	if (!proc_on_valgrind())
		return SELF;
	n = readlink(SELF, path, PATH_MAX - 1);
	path[n > 0 ? n : 0] = '\0';
	return path;
}

_Noreturn static void
become(char *const argv[], int channel, int log)
{
	char *env[ENV_MAX + 1], path[PATH_MAX];
	struct sigaction plain;
	sigset_t none;
	int null, signo;

	channel = move_away(channel);
	log = move_away(log);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	place(null, STDIN_FILENO);
	place(null, STDOUT_FILENO);
	place(channel, PROC_PARENT_FD);
	place(log, PROC_LOG_FD);
	/* What was not marked close-on-exec by a careless library. */
	(void)close_range(PROC_LOG_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	memset(&plain, 0, sizeof(plain));
	plain.sa_handler = SIG_DFL;
	for (signo = 1; signo < NSIG; signo++)
		(void)sigaction(signo, &plain, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	pick_environment(env);
	execve(own_program(path), argv, env);
	_exit(127);
}

pid_t
proc_spawn(char *const argv[], int channel, int log)
{
	pid_t pid;

	pid = fork();
	if (pid == 0)
		become(argv, channel, log);
	return pid;
}

int
proc_hold_folder(const char *path, unsigned wait_ms)
{
	const struct timespec poll = { 0, HOLD_POLL_MS * 1000000L };
	unsigned waited = 0;
	int fd;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	while (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		if ((errno != EWOULDBLOCK && errno != EINTR) ||
		    waited >= wait_ms) {
			int saved = errno;

			close(fd);
			errno = saved;
			return -1;
		}
		(void)nanosleep(&poll, NULL);
		waited += HOLD_POLL_MS;
	}
	return fd;
}

int64_t
proc_backoff_ms(unsigned restarts)
{
	int64_t ms = BACKOFF_FIRST_MS;

	while (restarts-- > 1 && ms < BACKOFF_MAX_MS)
		ms *= 2;
	return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

const char *
proc_status_text(int status, char *buf, size_t size)
{
	if (WIFEXITED(status))
		snprintf(buf, size, "exit %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		snprintf(buf, size, "signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else
		snprintf(buf, size, "status %d", status);
	return buf;
}

unsigned
proc_processors(void)
{
	cpu_set_t set;
	int count;

	if (sched_getaffinity(0, sizeof(set), &set) == -1)
		return 1;
	count = CPU_COUNT(&set);
	return count > 0 ? (unsigned)count : 1;
}
