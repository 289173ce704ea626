#include "smtpd/cli/ctl_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "smtpd/cli/jread.h"

#define BUSY_WAIT_MS 100
#define BUSY_WAITS 100
#define ANSWER_TIMEOUT_S 120 /* a policy fetch may take 60 */
#define REPLY_MAX 2048

void
ctl_keep_stdio(void)
{
	int fd;

	do
		fd = open("/", O_PATH);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd == -1)
		_exit(EX_OSERR);
	close(fd);
}

static int
connect_once(void)
{
	struct sockaddr_un sun;
	int fd, e;

	memset(&sun, 0, sizeof sun);
	sun.sun_family = AF_UNIX;
	_Static_assert(sizeof CTL_SOCKET <= sizeof sun.sun_path, "RUNDIR");
	memcpy(sun.sun_path, CTL_SOCKET, sizeof CTL_SOCKET);
	/* Not blocking: a full backlog is then an error and not a hang. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0)
		return fd;
	e = errno;
	close(fd);
	errno = e;
	return -1;
}

static int
make_blocking(int fd)
{
	struct timeval tv = { ANSWER_TIMEOUT_S, 0 };
	int flags = fcntl(fd, F_GETFL);

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
	if (flags == -1 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

int
ctl_connect(void)
{
	const struct timespec wait = { 0, BUSY_WAIT_MS * 1000000L };
	int fd;

	for (int i = 0; i < BUSY_WAITS; i++) {
		fd = connect_once();
		if (fd != -1)
			return make_blocking(fd);
		if (errno != EAGAIN && errno != EINTR)
			return -1;
		(void)nanosleep(&wait, NULL);
	}
	return -1;
}

static int
fail(char why[CTL_WHY_SIZE], int status, const char *text)
{
	(void)strlcpy(why, text, CTL_WHY_SIZE);
	return status;
}

/* A reply without continuation lines: its code, or -1. Text into "line". */
static int
read_reply(FILE *f, char *line, size_t size)
{
	size_t len;

	do {
		if (fgets(line, (int)size, f) == NULL)
			return -1;
		len = strcspn(line, "\r\n");
		line[len] = '\0';
	} while (len > 3 && line[3] == '-');
	return len < 3 ? -1 : (int)strtol(line, NULL, 10);
}

/* Our exit status for a refusal. */
static int
refused(int code, const char *line, char why[CTL_WHY_SIZE])
{
	if (code == -1)
		return fail(why, EX_TEMPFAIL, "the daemon hung up");
	(void)snprintf(why, CTL_WHY_SIZE, "the daemon refuses: %s", line);
	if (code == 550 || code == 530 || code == 535)
		return fail(why, EX_NOPERM,
		    "not permitted: this takes root or group _sealpostq");
	if (code == 500 || code == 501 || code == 502 || code == 504)
		return EX_USAGE;
	return EX_TEMPFAIL;
}

/* Is it {"error":"..."}? Then its text goes to "why". */
static bool
tells_error(const char *line, size_t len, char why[CTL_WHY_SIZE])
{
	struct jread *j;
	const char *ignored, *error;

	if (strncmp(line, "{\"error\":", 9) != 0)
		return false;
	j = jread_parse(line, len, &ignored);
	error = jread_text(j, "error");
	(void)strlcpy(why, error != NULL ? error : line, CTL_WHY_SIZE);
	jread_free(j);
	return true;
}

static int
read_answer(FILE *f, ctl_line_fn *fn, void *arg, char why[CTL_WHY_SIZE])
{
	char *line = NULL;
	size_t room = 0, len;
	ssize_t n;
	int status = -1;

	while (status == -1) {
		n = getline(&line, &room, f);
		if (n <= 0) {
			status = fail(why, EX_TEMPFAIL,
			    "the answer broke off; try again");
			break;
		}
		len = strcspn(line, "\r\n");
		line[len] = '\0';
		if (tells_error(line, len, why))
			status = strcmp(why, CTL_BUSY) == 0 ? EX_TEMPFAIL
							    : CTL_EX_NOTHING;
		else if (strcmp(line, ".") == 0 ||
		    (fn != NULL && fn(arg, line, len) == -1))
			status = EX_OK;
	}
	free(line);
	return status;
}

/* Greeting, request, and the first reply. EX_OK: the answer follows. */
static int
request_answer(FILE *in, int fd, const char *request, char why[CTL_WHY_SIZE])
{
	char line[REPLY_MAX + CTL_LINE_MAX];
	int code, len;

	code = read_reply(in, line, sizeof line);
	if (code != 220)
		return refused(code, line, why);
	len = snprintf(line, sizeof line, "CTL %s\r\n", request);
	if (send(fd, line, (size_t)len, MSG_NOSIGNAL) != len)
		return fail(why, EX_TEMPFAIL, "the daemon hung up");
	code = read_reply(in, line, sizeof line);
	if (code < 200 || code > 299)
		return refused(code, line, why);
	return EX_OK;
}

int
ctl_ask(const struct ctl_request *req, ctl_line_fn *fn, void *arg,
    char why[CTL_WHY_SIZE])
{
	char request[CTL_LINE_MAX + 1];
	const char *words;
	FILE *in;
	int fd, status;

	why[0] = '\0';
	if (ctl_format(req, request, sizeof request, &words) == -1)
		return fail(why, EX_USAGE, words);
	fd = ctl_connect();
	if (fd == -1) {
		status = errno == EAGAIN ? EX_TEMPFAIL : EX_UNAVAILABLE;
		(void)snprintf(why, CTL_WHY_SIZE, "the daemon is %s (%s: %s)",
		    status == EX_TEMPFAIL ? "busy" : "not running", CTL_SOCKET,
		    strerror(errno));
		return status;
	}
	in = fdopen(fd, "r");
	if (in == NULL) {
		close(fd);
		return fail(why, EX_OSERR, "out of memory");
	}
	status = request_answer(in, fd, request, why);
	if (status == EX_OK)
		status = read_answer(in, fn, arg, why);
	(void)fclose(in);
	return status;
}
