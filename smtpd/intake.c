#include "smtpd/intake.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "smtpd/base/log.h"

#define REFUSED "refused-"
#define LEFT_S 86400     /* none is written for so long: sendmail died */
#define ENTRIES_MAX 2000 /* looked at in one scan: anyone may make them */

void
intake_init(struct intake *in, int folder)
{
	memset(in, 0, sizeof(*in));
	in->folder = folder;
}

static struct intake_file *
find(struct intake *in, uint64_t number)
{
	size_t i;

	for (i = 0; i < INTAKE_MAX; i++)
		if (in->files[i].number == number)
			return &in->files[i];
	return NULL;
}

static bool
is_given(const struct intake *in, const char *name)
{
	size_t i;

	for (i = 0; i < INTAKE_MAX; i++)
		if (in->files[i].number != 0 &&
		    strcmp(in->files[i].name, name) == 0)
			return true;
	return false;
}

static void
complain(const char *name, const char *what)
{
	struct log_line line;

	log_begin(&line, LOG_PRI_WARNING, "offline-skipped");
	log_str(&line, "file", name);
	log_str(&line, "text", what);
	log_end(&line);
}

/* Nothing of the name is trusted, only what the open file says of itself. */
static const char *
why_not(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "not a regular file";
	if (st->st_nlink != 1)
		return "has other names (hard links)";
	if ((st->st_mode & 07177) != 0)
		return "mode is not 0600";
	if (st->st_size == 0)
		return "empty";
	return NULL;
}

static void
give_file(struct intake *in, const char *name, intake_fn *give, void *arg)
{
	struct intake_file *file = find(in, 0);
	const char *what;
	struct stat st;
	int fd;

	fd = openat(in->folder, name,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd == -1) {
		if (errno != ENOENT)
			complain(name, strerror(errno));
		return;
	}
	what = fstat(fd, &st) == -1 ? strerror(errno) : why_not(&st);
	if (what != NULL) {
		complain(name, what);
		close(fd);
		return;
	}
	snprintf(file->name, sizeof(file->name), "%s", name);
	file->number = ++in->last;
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	give(arg, file->number, st.st_uid, fd);
}

/* A file still being written, or left so by a sendmail that died. */
static void
sweep(const struct intake *in, const char *name)
{
	struct stat st;

	if (fstatat(in->folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode) && st.st_mtime < time(NULL) - LEFT_S &&
	    unlinkat(in->folder, name, 0) == 0)
		complain(name, "removed: never completed");
}

static DIR *
open_dir(int folder)
{
	/* A description of its own: the offset is not shared. */
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);

	if (dir == NULL && fd != -1)
		close(fd);
	return dir;
}

static void
look_at(struct intake *in, const char *name, intake_fn *give, void *arg)
{
	if (name[0] == '.')
		sweep(in, name);
	else if (strncmp(name, REFUSED, strlen(REFUSED)) != 0 &&
	    !is_given(in, name))
		give_file(in, name, give, arg);
}

void
intake_scan(struct intake *in, intake_fn *give, void *arg)
{
	bool from_start = in->dir == NULL;
	struct dirent *entry;
	int looked = 0;

	while (find(in, 0) != NULL && looked++ < ENTRIES_MAX) {
		if (in->dir == NULL && (in->dir = open_dir(in->folder)) == NULL)
			return;
		entry = readdir(in->dir);
		if (entry != NULL) {
			look_at(in, entry->d_name, give, arg);
			continue;
		}
		closedir(in->dir);
		in->dir = NULL;
		/* The scan began in the midst of the folder: go on from its
		 * start, once. */
		if (from_start)
			return;
		from_start = true;
	}
}

/* Is the name still that of the file that was given away? */
static bool
is_same(const struct intake *in, const struct intake_file *file)
{
	struct stat st;

	return fstatat(in->folder, file->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_dev == file->dev && st.st_ino == file->ino;
}

static int
take_away(const struct intake *in, const struct intake_file *file)
{
	if (unlinkat(in->folder, file->name, 0) == 0)
		return 0;
	complain(file->name, strerror(errno));
	return -1;
}

static int
set_aside(const struct intake *in, const struct intake_file *file)
{
	char name[INTAKE_NAME_SIZE + sizeof(REFUSED)];
	int error;

	snprintf(name, sizeof(name), "%s%s", REFUSED, file->name);
	if (renameat(in->folder, file->name, in->folder, name) == 0)
		return 0;
	error = errno;
	complain(file->name, strerror(error));
	/* A name that its owner chose so: sendmail makes no such. */
	if (error == ENAMETOOLONG || error == EISDIR)
		return take_away(in, file);
	return -1;
}

/* 0: the name is gone, or is to be tried again. */
static int
settle(const struct intake *in, const struct intake_file *file, uint32_t status)
{
	if (!is_same(in, file) || status / 100 == 4)
		return 0;
	return status < 300 ? take_away(in, file) : set_aside(in, file);
}

void
intake_done(struct intake *in, uint64_t number, uint32_t status,
    const char *text)
{
	struct intake_file *file = number == 0 ? NULL : find(in, number);
	struct log_line line;

	if (file == NULL)
		return;
	log_begin(&line, status < 400 ? LOG_PRI_INFO : LOG_PRI_WARNING,
	    "offline");
	log_str(&line, "file", file->name);
	log_int(&line, "status", status);
	log_str(&line, "text", text);
	log_end(&line);
	/* One that will not go keeps its place: given again, its mail would
	 * be sent again, and so on without end. */
	if (settle(in, file, status) == 0)
		file->number = 0;
}

void
intake_forget(struct intake *in)
{
	size_t i;

	for (i = 0; i < INTAKE_MAX; i++)
		in->files[i].number = 0;
}
