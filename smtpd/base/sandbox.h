/*
 * The cage: what a process gives up before it meets hostile bytes.
 *
 * Another user without groups and capabilities, a chroot, no new privileges,
 * resource limits, no core dumps, no ptrace by siblings, Landlock where the
 * kernel has it, and a list of system calls: any other one ends the process.
 */

#ifndef SMTPD_BASE_SANDBOX_H
#define SMTPD_BASE_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

/* What a role may do beyond computing, waiting, and using the descriptors
 * that it was given. */
#define POWER_ACCEPT 1U   /* accept connections on sockets it was given */
#define POWER_TCP 2U      /* make TCP connections */
#define POWER_UDP 4U      /* exchange datagrams */
#define POWER_FILES 8U    /* make, read, write, remove below its root */
#define POWER_THREADS 16U /* start threads (never processes) */
#define POWER_MEMFD 32U   /* anonymous files */

/* What becomes of a system call that is not on the list. */
enum sandbox_filter {
	SANDBOX_KILL,  /* the process is killed, SIGSYS */
	SANDBOX_REPORT /* the same, once the call was logged: for -v */
};

struct sandbox {
	uid_t uid;
	gid_t gid;
	const char *root; /* absolute path for the chroot */
	bool root_empty;  /* it must be: owned by root and empty */
	unsigned powers;  /* POWER_* */
	enum sandbox_filter filter;
};

/*
 * The ids of user "name". Returns 0, or -1: no such user, or it is root.
 */
int sandbox_user(const char *name, uid_t *uid, gid_t *gid);

/*
 * Enter the cage; log_die() where an essential part fails. What this kernel
 * or build lacks (Landlock; the call list in a sanitizer build or under
 * valgrind) is returned as words for one log line, "" if nothing. Call it
 * with one thread.
 */
const char *sandbox_enter(const struct sandbox *);

/*
 * Raise the limit of descriptors as far as the system lets us, but not beyond
 * what we ever need. Returns how many there may be.
 */
unsigned sandbox_descriptors(void);

/* ---- the parts, for sandbox_enter() ---- */

/*
 * Load the list of system calls for "powers" (libseccomp), for every thread.
 * Returns 0, or -1 with errno.
 */
int sandbox_filter_load(unsigned powers, enum sandbox_filter);

/*
 * Landlock: files only below / and with POWER_FILES, TCP as "powers" say, no
 * signals and abstract sockets out of the cage. Needs no_new_privs.
 * Returns the version in force, 0: the kernel has none, or -1 with errno.
 */
int sandbox_landlock(unsigned powers);

#endif
