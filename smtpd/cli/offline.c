#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "queue/envelope.h"
#include "smtpd/cli/submit.h"

#define CHUNK_SIZE 65536
#define NAME_SIZE 64

/* The commands that would have been sent, and the content. */
struct transcript {
	FILE *f;
	bool line_start; /* of the content */
};

static void
write_notify(FILE *f, unsigned notify)
{
	static const struct {
		unsigned bit;
		const char *word;
	} words[] = { { NOTIFY_NEVER, "NEVER" }, { NOTIFY_SUCCESS, "SUCCESS" },
		{ NOTIFY_FAILURE, "FAILURE" }, { NOTIFY_DELAY, "DELAY" } };
	const char *separator = " NOTIFY=";

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if ((notify & words[i].bit) != 0) {
			(void)fprintf(f, "%s%s", separator, words[i].word);
			separator = ",";
		}
}

static void
write_envelope(FILE *f, const struct submit_mail *m)
{
	const struct header_scan *scan = &m->content->scan;

	(void)fprintf(f, "MAIL FROM:<%s>", m->sender);
	if (scan->header_8bit || scan->body_8bit)
		(void)fputs(" BODY=8BITMIME", f);
	if (m->smtputf8)
		(void)fputs(" SMTPUTF8", f);
	if (m->ret != CLIENT_RET_NONE)
		(void)fprintf(f, " RET=%s",
		    m->ret == CLIENT_RET_FULL ? "FULL" : "HDRS");
	if (m->envid[0] != '\0')
		(void)fprintf(f, " ENVID=%s", m->envid);
	(void)fputs("\r\n", f);
	for (size_t i = 0; i < m->rcpt_count; i++) {
		if (m->rcpts[i].state != SUBMIT_WAITING)
			continue;
		(void)fprintf(f, "RCPT TO:<%s>", m->rcpts[i].address);
		write_notify(f, m->notify);
		(void)fputs("\r\n", f);
	}
	(void)fputs("DATA\r\n", f);
}

/* Content, its lines' first dots doubled (RFC 5321 4.5.2). */
static void
write_content(struct transcript *t, const char *bytes, size_t len)
{
	const char *lf;
	size_t line;

	while (len > 0) {
		if (t->line_start && bytes[0] == '.')
			(void)fputc('.', t->f);
		lf = memchr(bytes, '\n', len);
		line = lf != NULL ? (size_t)(lf - bytes) + 1 : len;
		(void)fwrite(bytes, 1, line, t->f);
		t->line_start = lf != NULL;
		bytes += line;
		len -= line;
	}
}

/* 0, or -1 with errno. */
static int
write_transcript(FILE *f, const struct submit_mail *m)
{
	struct transcript t = { f, true };
	char bytes[CHUNK_SIZE];
	uint64_t offset = 0;
	long n;

	write_envelope(f, m);
	while ((n = content_at(m->content, offset, bytes, sizeof bytes)) > 0) {
		write_content(&t, bytes, (size_t)n);
		offset += (uint64_t)n;
	}
	if (n == -1)
		return -1;
	(void)fputs(".\r\n", f);
	errno = 0;
	if (fflush(f) == EOF || ferror(f) != 0) {
		if (errno == 0)
			errno = EIO;
		return -1;
	}
	return fsync(fileno(f));
}

/* Write the transcript to the new file "fd" (closed here). */
static int
fill_file(int fd, const struct submit_mail *m)
{
	FILE *f;
	int result, e;

	/* Whatever the umask says. */
	f = fchmod(fd, 0600) == 0 ? fdopen(fd, "w") : NULL;
	if (f == NULL) {
		e = errno;
		close(fd);
		errno = e;
		return -1;
	}
	result = write_transcript(f, m);
	e = errno;
	if (fclose(f) == EOF && result == 0)
		return -1;
	errno = e;
	return result;
}

/*
 * Make the new name durable. The folder may be closed to readers (mode 1733),
 * and then cannot be synced by itself; so its whole file system is.
 */
static int
sync_folder(int folder, const char *name)
{
	int fd, result;

	fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd != -1)
		result = fsync(fd);
	else {
		fd = openat(folder, name,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd == -1)
			/* The daemon came up and took it in already. */
			return errno == ENOENT ? 0 : -1;
		result = syncfs(fd);
	}
	close(fd);
	return result;
}

/* Names that no one else has: time, process, chance. */
static void
make_name(char hidden[NAME_SIZE])
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	(void)snprintf(hidden, NAME_SIZE, ".%012llx.%lx.%08x",
	    (unsigned long long)ts.tv_sec * 1000000 +
		(unsigned long long)ts.tv_nsec / 1000,
	    (unsigned long)getpid(), arc4random());
}

static int
write_file(int folder, const struct submit_mail *m)
{
	char hidden[NAME_SIZE];
	int fd, e;

	make_name(hidden);
	fd = openat(folder, hidden,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return -1;
	/* The name without the dot is what the daemon looks for. */
	if (fill_file(fd, m) == 0 &&
	    renameat(folder, hidden, folder, hidden + 1) == 0)
		return sync_folder(folder, hidden + 1);
	e = errno;
	(void)unlinkat(folder, hidden, 0);
	errno = e;
	return -1;
}

int
submit_offline(struct submit_mail *m, const char *folder,
    char why[SUBMIT_WHY_SIZE])
{
	int fd, result;

	fd = open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1) {
		(void)snprintf(why, SUBMIT_WHY_SIZE, "%s: %s", folder,
		    strerror(errno));
		return -1;
	}
	result = write_file(fd, m);
	if (result == -1)
		(void)snprintf(why, SUBMIT_WHY_SIZE, "%s: %s", folder,
		    strerror(errno));
	close(fd);
	for (size_t i = 0; result == 0 && i < m->rcpt_count; i++)
		if (m->rcpts[i].state == SUBMIT_WAITING)
			m->rcpts[i].state = SUBMIT_TAKEN;
	return result;
}
