#include "smtpd/service.h"

#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "smtpd/folders.h"

#define PID_FILE FOLDERS_RUN "/sealpostd.pid"
#define LOG_SOCKET "/dev/log"

bool
service_is_watched(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	return path != NULL && (path[0] == '/' || path[0] == '@');
}

void
service_notify(const char *state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len;
	int fd;

	if (!service_is_watched())
		return;
	len = strlcpy(sun.sun_path, path, sizeof(sun.sun_path));
	if (len >= sizeof(sun.sun_path))
		return;
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL,
	    (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

void
service_notify_reload(void)
{
	struct timespec now;
	char state[64];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%lld",
	    (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	service_notify(state);
}

int
service_background(void)
{
	char byte;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) == -1)
		return -1;
	switch (fork()) {
	case -1:
		close(ends[0]);
		close(ends[1]);
		return -1;
	case 0:
		close(ends[0]);
		(void)setsid();
		return ends[1];
	default:
		close(ends[1]);
		_exit(read(ends[0], &byte, 1) == 1 ? 0 : 1);
	}
}

void
service_detach(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null != -1) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
	if (write(fd, "", 1) == -1) {
		/* It was killed meanwhile; the daemon goes on. */
	}
	close(fd);
}

static void
tell_holder(int fd, const char *path, char why[SERVICE_WHY_SIZE])
{
	char pid[16] = "";
	ssize_t n;

	n = pread(fd, pid, sizeof(pid) - 1, 0);
	pid[n > 0 ? strspn(pid, "0123456789") : 0] = '\0';
	snprintf(why, SERVICE_WHY_SIZE,
	    "another sealpostd is running: %s is locked%s%s", path,
	    pid[0] != '\0' ? " by pid " : "", pid);
}

int
service_lock(int spool, char why[SERVICE_WHY_SIZE])
{
	char pid[16];
	int fd, len;

	fd = open(PID_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd == -1) {
		snprintf(why, SERVICE_WHY_SIZE, "%s: %s", PID_FILE,
		    strerror(errno));
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		tell_holder(fd, PID_FILE, why);
		close(fd);
		return -1;
	}
	if (flock(spool, LOCK_EX | LOCK_NB) == -1) {
		tell_holder(-1, "the spool", why);
		close(fd);
		return -1;
	}
	len = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) == -1 || pwrite(fd, pid, (size_t)len, 0) != len) {
		snprintf(why, SERVICE_WHY_SIZE, "%s: %s", PID_FILE,
		    strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

int
service_syslog(bool *connected)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX,
		.sun_path = LOG_SOCKET };
	int fd;

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	*connected =
	    fd != -1 && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0;
	return fd;
}
