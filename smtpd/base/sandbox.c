#include "smtpd/base/sandbox.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "smtpd/base/proc.h"

#define DESCRIPTORS 65536 /* RLIMIT_NOFILE where the system grants it */
#define CAPABILITIES 64   /* more than any kernel has */

int
sandbox_user(const char *name, uid_t *uid, gid_t *gid)
{
	struct passwd *pw;

	pw = getpwnam(name);
	if (pw == NULL || pw->pw_uid == 0 || pw->pw_gid == 0)
		return -1;
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}

static void
check_empty(const char *path)
{
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	if (lstat(path, &st) == -1)
		log_die("%s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != 0 ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		log_die("%s: not a folder that only root can write", path);
	dir = opendir(path);
	if (dir == NULL)
		log_die("%s: %s", path, strerror(errno));
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			log_die("%s: must be empty, has %s", path,
			    entry->d_name);
	closedir(dir);
}

static void
limit(int resource, rlim_t value)
{
	struct rlimit rl = { value, value };

	if (setrlimit((__rlimit_resource_t)resource, &rl) == -1)
		log_die("cannot set limit %d: %s", resource, strerror(errno));
}

unsigned
sandbox_descriptors(void)
{
	struct rlimit rl = { DESCRIPTORS, DESCRIPTORS };

	if (setrlimit(RLIMIT_NOFILE, &rl) == 0)
		return DESCRIPTORS;
	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return 0;
	rl.rlim_cur = rl.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &rl);
	return rl.rlim_max < DESCRIPTORS ? (unsigned)rl.rlim_max : DESCRIPTORS;
}

static void
limit_resources(unsigned powers)
{
	struct stat st;

	limit(RLIMIT_CORE, 0);
	(void)sandbox_descriptors();
	if ((powers & POWER_THREADS) == 0)
		limit(RLIMIT_NPROC, 0);
	/* No file may grow, unless the log is one. */
	if ((powers & (POWER_FILES | POWER_MEMFD | POWER_ACCEPT)) == 0 &&
	    fstat(STDERR_FILENO, &st) == 0 && !S_ISREG(st.st_mode))
		limit(RLIMIT_FSIZE, 0);
}

static void
enter_root(const char *path)
{
	if (chdir(path) == -1 || chroot(".") == -1 || chdir("/") == -1)
		log_die("chroot to %s: %s", path, strerror(errno));
}

static void
drop_user(uid_t uid, gid_t gid)
{
	unsigned long cap;

	for (cap = 0; cap < CAPABILITIES; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (setgroups(0, NULL) == -1 || setresgid(gid, gid, gid) == -1 ||
	    setresuid(uid, uid, uid) == -1)
		log_die("cannot become user %u: %s", (unsigned)uid,
		    strerror(errno));
	if (setuid(0) != -1 || setgid(0) != -1 || getuid() != uid ||
	    geteuid() != uid || getgid() != gid || getegid() != gid)
		log_die("root was not given up");
}

const char *
sandbox_enter(const struct sandbox *box)
{
	int landlock;

	if (box->root_empty)
		check_empty(box->root);
	enter_root(box->root);
	limit_resources(box->powers);
	drop_user(box->uid, box->gid);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		log_die("prctl: %s", strerror(errno));
	landlock = sandbox_landlock(box->powers);
	if (landlock == -1)
		log_die("landlock: %s", strerror(errno));
	if (SANITIZED != 0)
		return "system call filter (sanitizer build)";
	/* The filter would hit the system calls of valgrind itself. */
	if (proc_on_valgrind())
		return "system call filter (valgrind)";
	if (sandbox_filter_load(box->powers, box->filter) == -1)
		log_die("system call filter: %s", strerror(errno));
	return landlock == 0 ? "Landlock (kernel)" : "";
}
