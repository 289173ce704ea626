/*
 * The folders of the daemon, in a mount namespace of our own: /run, the
 * spool's place and the list of users are the test's.
 */

#include "smtpd/folders.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/t.h"

#define USERS \
	"root:x:0:0::/:/bin/sh\n" \
	"_sealpost:x:901:901::/:/bin/sh\n" \
	"_sealpostq:x:902:902::/:/bin/sh\n"

static char place[] = "/tmp/folders.XXXXXX";
static char spool[64];

static const char *
path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", spool, name);
	return path;
}

/* 0, or -1 with `why` to be looked at. */
static int
run(char why[FOLDERS_WHY_SIZE])
{
	int fd = folders_make(spool, why);

	if (fd == -1)
		return -1;
	close(fd);
	fd = folders_offline(spool, why);
	if (fd == -1)
		return -1;
	close(fd);
	return 0;
}

static void
t_mode(const char *path, mode_t mode, uid_t uid)
{
	struct stat st;

	t_row("%s", path);
	t_int(lstat(path, &st), 0);
	t_int(st.st_mode & 07777U, mode);
	t_int(st.st_uid, uid);
	t_int(st.st_gid, uid);
	t_row(NULL);
}

static void
t_refused(const char *path)
{
	char why[FOLDERS_WHY_SIZE] = "";

	t_int(run(why), -1);
	if (strncmp(why, path, strlen(path)) != 0 || why[strlen(path)] != ':')
		t_str(why, path);
}

static void
test_made(void)
{
	char why[FOLDERS_WHY_SIZE] = "";

	t_case("what is missing is made");
	t_int(run(why), 0);
	t_str(why, "");
	t_mode(FOLDERS_RUN, 0755, 0);
	t_mode(FOLDERS_RUN "/empty", 0755, 0);
	t_mode(spool, 0711, 0);
	t_mode(path_of("queue"), 0700, 902);
	t_mode(path_of("policy"), 0700, 901);
	t_mode(path_of("offline"), 01733, 0);
	t_case("what is there and safe is left as it is");
	t_int(chmod(spool, 0755), 0);
	t_int(run(why), 0);
	t_mode(spool, 0755, 0);
	t_case("a spool elsewhere may be closed to others; the place of the"
	       " offline folder may not");
	t_int(chmod(spool, 0700), 0);
	t_true(folders_make(spool, why) != -1);
	t_int(folders_offline(spool, why), -1);
	t_int(chmod(spool, 0711), 0);
}

static void
test_modes(void)
{
	static const struct {
		const char *name;
		mode_t unsafe;
		mode_t good;
	} rows[] = {
		{ "queue", 0777, 0700 },
		{ "queue", 0710, 0700 },
		{ "policy", 0705, 0700 },
		{ "offline", 0733, 01733 },
		{ "offline", 01777, 01733 },
		{ "", 0713, 0711 },
		{ "", 0700, 0711 },
		{ "", 0731, 0711 },
	};
	char path[128];
	size_t i;

	t_case("an unsafe mode is refused, naming the path");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(path, sizeof(path), "%s",
		    rows[i].name[0] == '\0' ? spool : path_of(rows[i].name));
		t_row("%s %04o", path, (unsigned)rows[i].unsafe);
		t_int(chmod(path, rows[i].unsafe), 0);
		t_refused(path);
		t_int(chmod(path, rows[i].good), 0);
	}
	t_row("the run folder");
	t_int(chmod(FOLDERS_RUN, 0775), 0);
	t_refused(FOLDERS_RUN);
	t_int(chmod(FOLDERS_RUN, 0755), 0);
	t_row("the empty folder");
	t_int(chmod(FOLDERS_RUN "/empty", 0777), 0);
	t_refused(FOLDERS_RUN "/empty");
	t_int(chmod(FOLDERS_RUN "/empty", 0755), 0);
}

static void
test_owners(void)
{
	static const struct {
		const char *name;
		uid_t right;
	} rows[] = { { "queue", 902 }, { "policy", 901 }, { "offline", 0 } };
	char why[FOLDERS_WHY_SIZE];
	size_t i;

	t_case("a wrong owner is refused, naming the path");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t_row("%s", rows[i].name);
		t_int(chown(path_of(rows[i].name), 1234, 1234), 0);
		t_refused(path_of(rows[i].name));
		t_int(chown(path_of(rows[i].name), rows[i].right,
			  rows[i].right),
		    0);
	}
	t_row("spool");
	t_int(chown(spool, 902, 902), 0);
	t_refused(spool);
	t_int(chown(spool, 0, 0), 0);
	t_int(run(why), 0);
}

static void
test_links(void)
{
	char other[128];

	t_case("a link or a file in place of a folder is refused");
	snprintf(other, sizeof(other), "%s.moved", spool);
	t_row("link to a good folder");
	t_int(rename(path_of("queue"), other), 0);
	t_int(symlink(other, path_of("queue")), 0);
	t_refused(path_of("queue"));
	t_int(unlink(path_of("queue")), 0);
	t_row("file");
	close(open(path_of("queue"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	t_refused(path_of("queue"));
	t_int(unlink(path_of("queue")), 0);
	t_int(rename(other, path_of("queue")), 0);
	t_row("the spool itself");
	t_int(rename(spool, other), 0);
	t_int(symlink(other, spool), 0);
	t_refused(spool);
	t_int(unlink(spool), 0);
	t_int(rename(other, spool), 0);
}

static void
test_above(void)
{
	char why[FOLDERS_WHY_SIZE];

	t_case("a spool below a folder that others may change is refused");
	t_int(chmod(place, 0777), 0);
	t_refused(place);
	t_int(chmod(place, 0755), 0);
	t_int(chown(place, 1234, 0), 0);
	t_refused(place);
	t_int(chown(place, 0, 0), 0);
	t_int(run(why), 0);
}

/* A world of our own. Returns 0, or -1 where that is not possible. */
static int
prepare(void)
{
	char users[64];
	int fd;

	if (unshare(CLONE_NEWNS) == -1 ||
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == -1 ||
	    mount("tmpfs", RUNDIR, "tmpfs", 0, "mode=755") == -1 ||
	    mkdtemp(place) == NULL || chmod(place, 0755) == -1)
		return -1;
	snprintf(spool, sizeof(spool), "%s/spool", place);
	snprintf(users, sizeof(users), "%s/passwd", place);
	fd = open(users, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd == -1 || write(fd, USERS, strlen(USERS)) == -1)
		return -1;
	close(fd);
	return mount(users, "/etc/passwd", "none", MS_BIND, NULL);
}

static void
clean(void)
{
	static const char *const names[] = { "spool/queue", "spool/policy",
		"spool/offline", "spool", "passwd", "" };
	char path[128];
	size_t i;

	(void)umount2("/etc/passwd", MNT_DETACH);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", place, names[i]);
		(void)remove(path);
	}
}

int
main(void)
{
	if (geteuid() != 0 || prepare() == -1) {
		t_case("the daemon's folders");
		t_skip("not root, or no mount namespaces");
		return t_done();
	}
	test_made();
	test_modes();
	test_owners();
	test_links();
	test_above();
	clean();
	return t_done();
}
