#include "smtpd/folders.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/sandbox.h"
#include "smtpd/roles.h"

#define OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define SHARED (S_IWGRP | S_IWOTH)
#define PRIVATE (S_IRWXG | S_IRWXO)

/* A folder of ours; sealpostd(8) lists them. */
struct folder {
	const char *name;
	int owner;     /* the role whose user owns it; ROLE_PARENT: root */
	mode_t mode;   /* when made */
	mode_t unsafe; /* none of these */
	mode_t needed; /* all of these */
};

static const struct folder run_folder = { "sealpost", ROLE_PARENT, 0755, SHARED,
	0 };
static const struct folder empty_folder = { "empty", ROLE_PARENT, 0755, SHARED,
	0 };
static const struct folder spool_folder = { NULL, ROLE_PARENT, 0711, SHARED,
	0 };
static const struct folder spool_folders[] = {
	{ "queue", ROLE_QUEUE, 0700, PRIVATE, 0 },
	{ "policy", ROLE_POLICY, 0700, PRIVATE, 0 },
};
/* Everyone may pass, leave a file, and see no other's. */
static const struct folder passage_folder = { NULL, ROLE_PARENT, 0711, SHARED,
	S_IXOTH };
static const struct folder offline_folder = { "offline", ROLE_PARENT, 01733,
	S_IRGRP | S_IROTH, S_ISVTX };

static int refuse(char why[FOLDERS_WHY_SIZE], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static int
refuse(char why[FOLDERS_WHY_SIZE], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, FOLDERS_WHY_SIZE, fmt, ap);
	va_end(ap);
	return -1;
}

static int
owner_of(const struct folder *f, uid_t *uid, gid_t *gid,
    char why[FOLDERS_WHY_SIZE])
{
	const char *user = roles[f->owner].user;

	*uid = 0;
	*gid = 0;
	if (user != NULL && sandbox_user(user, uid, gid) == -1)
		return refuse(why,
		    "no user %s: make it, e.g. useradd --system %s", user,
		    user);
	return 0;
}

static int
check(const struct folder *f, int fd, uid_t uid, const char *path,
    char why[FOLDERS_WHY_SIZE])
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return refuse(why, "%s: %s", path, strerror(errno));
	if (st.st_uid != uid)
		return refuse(why, "%s: owned by uid %u instead of %u", path,
		    (unsigned)st.st_uid, (unsigned)uid);
	if ((st.st_mode & f->unsafe) != 0 ||
	    (st.st_mode & f->needed) != f->needed)
		return refuse(why, "%s: unsafe mode %04o, should be %04o", path,
		    (unsigned)st.st_mode & 07777U, (unsigned)f->mode);
	return 0;
}

static int
make(int parent, const char *name, const struct folder *f, uid_t uid, gid_t gid)
{
	int fd;

	if (mkdirat(parent, name, 0700) == -1)
		return -1;
	fd = openat(parent, name, OPEN_FLAGS);
	if (fd == -1)
		return -1;
	if (fchown(fd, uid, gid) == -1 || fchmod(fd, f->mode) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Open "name" in "parent", made if missing and checked. "path" is for
 * complaints. Returns a descriptor or -1 with "why". */
static int
open_folder(int parent, const char *name, const struct folder *f,
    const char *path, char why[FOLDERS_WHY_SIZE])
{
	uid_t uid;
	gid_t gid;
	int fd;

	if (owner_of(f, &uid, &gid, why) == -1)
		return -1;
	fd = openat(parent, name, OPEN_FLAGS);
	if (fd == -1 && errno == ENOENT)
		fd = make(parent, name, f, uid, gid);
	if (fd == -1 && (errno == ELOOP || errno == ENOTDIR))
		return refuse(why,
		    "%s: unsafe: not a folder but a link or a file", path);
	if (fd == -1)
		return refuse(why, "%s: %s", path, strerror(errno));
	if (check(f, fd, uid, path, why) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Nobody but root may exchange what lies below "path" (a real path, which is
 * cut to pieces). */
static int
check_ancestors(char *path, char why[FOLDERS_WHY_SIZE])
{
	struct stat st;

	for (;;) {
		if (lstat(path, &st) == -1)
			return refuse(why, "%s: %s", path, strerror(errno));
		if (!S_ISDIR(st.st_mode) || st.st_uid != 0 ||
		    ((st.st_mode & SHARED) != 0 && (st.st_mode & S_ISVTX) == 0))
			return refuse(why,
			    "%s: unsafe: others than root may change it", path);
		if (strcmp(path, "/") == 0)
			return 0;
		path = dirname(path);
	}
}

/* Open the folder at "path", whose last component is ours. */
static int
open_at(const char *path, const struct folder *f, char why[FOLDERS_WHY_SIZE])
{
	char above[PATH_MAX], real[PATH_MAX], last[PATH_MAX];
	const char *name;
	int parent, fd;

	strlcpy(above, path, sizeof(above));
	strlcpy(last, path, sizeof(last));
	name = basename(last);
	if (realpath(dirname(above), real) == NULL)
		return refuse(why, "%s: %s", above, strerror(errno));
	parent = open(real, OPEN_FLAGS);
	if (parent == -1)
		return refuse(why, "%s: %s", real, strerror(errno));
	fd = -1;
	if (check_ancestors(real, why) == 0)
		fd = open_folder(parent, name, f, path, why);
	close(parent);
	return fd;
}

static int
open_below(int parent, const char *above, const struct folder *f,
    char why[FOLDERS_WHY_SIZE])
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", above, f->name);
	return open_folder(parent, f->name, f, path, why);
}

static int
make_below(int parent, const char *above, const struct folder *f,
    char why[FOLDERS_WHY_SIZE])
{
	int fd = open_below(parent, above, f, why);

	if (fd == -1)
		return -1;
	close(fd);
	return 0;
}

int
folders_make(const char *spool, char why[FOLDERS_WHY_SIZE])
{
	size_t i;
	int fd, result;

	fd = open_at(FOLDERS_RUN, &run_folder, why);
	if (fd == -1)
		return -1;
	result = make_below(fd, FOLDERS_RUN, &empty_folder, why);
	close(fd);
	if (result == -1)
		return -1;
	fd = open_at(spool, &spool_folder, why);
	if (fd == -1)
		return -1;
	for (i = 0; i < sizeof(spool_folders) / sizeof(spool_folders[0]); i++)
		if (make_below(fd, spool, &spool_folders[i], why) == -1) {
			close(fd);
			return -1;
		}
	return fd;
}

int
folders_offline(const char *base, char why[FOLDERS_WHY_SIZE])
{
	int parent, fd;

	parent = open_at(base, &passage_folder, why);
	if (parent == -1)
		return -1;
	fd = open_below(parent, base, &offline_folder, why);
	close(parent);
	return fd;
}
