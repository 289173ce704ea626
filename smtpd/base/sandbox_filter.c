#include "smtpd/base/sandbox.h"

#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/log.h"

#define ALWAYS 0U
#define SOCKETS (POWER_TCP | POWER_UDP)
#define TYPE_MASK 0xfU /* of the second argument of socket(2) */

/* Calls that need no look at their arguments. */
struct call {
	const char *name;
	unsigned powers; /* one of these, or ALWAYS */
};

/* clang-format off */
static const struct call allowed[] = {
	/* descriptors that are at hand */
	{ "close", ALWAYS },
	{ "dup", ALWAYS },
	{ "dup2", ALWAYS },
	{ "dup3", ALWAYS },
	{ "epoll_create1", ALWAYS },
	{ "epoll_ctl", ALWAYS },
	{ "epoll_pwait", ALWAYS },
	{ "epoll_pwait2", ALWAYS },
	{ "epoll_wait", ALWAYS },
	{ "eventfd2", ALWAYS },
	{ "fstat", ALWAYS },
	{ "lseek", ALWAYS },
	{ "newfstatat", ALWAYS }, /* fstat(3) of glibc; a chroot bounds it */
	{ "pipe2", ALWAYS },
	{ "poll", ALWAYS },
	{ "ppoll", ALWAYS },
	{ "pread64", ALWAYS },
	{ "preadv", ALWAYS },
	{ "preadv2", ALWAYS },
	{ "read", ALWAYS },
	{ "readv", ALWAYS },
	{ "recvfrom", ALWAYS },
	{ "recvmmsg", ALWAYS },
	{ "recvmsg", ALWAYS },
	{ "sendfile", ALWAYS },
	{ "sendmmsg", ALWAYS },
	{ "sendmsg", ALWAYS },
	{ "sendto", ALWAYS },
	{ "shutdown", ALWAYS },
	{ "signalfd4", ALWAYS },
	{ "timerfd_create", ALWAYS },
	{ "timerfd_settime", ALWAYS },
	{ "write", ALWAYS },
	{ "writev", ALWAYS },
	/* memory, time, chance, the end */
	{ "brk", ALWAYS },
	{ "clock_getres", ALWAYS },
	{ "clock_gettime", ALWAYS },
	{ "clock_nanosleep", ALWAYS },
	{ "exit", ALWAYS },
	{ "exit_group", ALWAYS },
	{ "futex", ALWAYS },
	{ "getcpu", ALWAYS },
	{ "getegid", ALWAYS },
	{ "geteuid", ALWAYS },
	{ "getgid", ALWAYS },
	{ "getpid", ALWAYS },
	{ "getppid", ALWAYS },
	{ "getrandom", ALWAYS },
	{ "getrlimit", ALWAYS },
	{ "getrusage", ALWAYS },
	{ "gettid", ALWAYS },
	{ "gettimeofday", ALWAYS },
	{ "getuid", ALWAYS },
	{ "madvise", ALWAYS },
	{ "mremap", ALWAYS },
	{ "munmap", ALWAYS },
	{ "nanosleep", ALWAYS },
	{ "restart_syscall", ALWAYS },
	{ "rt_sigaction", ALWAYS },
	{ "rt_sigprocmask", ALWAYS },
	{ "rt_sigreturn", ALWAYS },
	{ "sched_getaffinity", ALWAYS },
	{ "sched_yield", ALWAYS },
	{ "sigaltstack", ALWAYS },
	{ "sysinfo", ALWAYS }, /* qsort(3) asks for the memory there is */
	{ "time", ALWAYS },
	{ "uname", ALWAYS },
	/* sockets */
	{ "accept4", POWER_ACCEPT },
	{ "getpeername", POWER_ACCEPT | SOCKETS },
	{ "getsockname", ALWAYS },
	{ "getsockopt", ALWAYS },
	{ "setsockopt", ALWAYS },
	{ "bind", SOCKETS },
	{ "connect", SOCKETS },
	/* anonymous files */
	{ "memfd_create", POWER_MEMFD },
	{ "ftruncate", POWER_MEMFD | POWER_FILES },
	{ "fallocate", POWER_MEMFD | POWER_FILES },
	{ "pwrite64", POWER_MEMFD | POWER_FILES | POWER_ACCEPT },
	{ "pwritev", POWER_MEMFD | POWER_FILES },
	{ "pwritev2", POWER_MEMFD | POWER_FILES },
	{ "fsync", POWER_MEMFD | POWER_FILES },
	{ "fdatasync", POWER_MEMFD | POWER_FILES },
	{ "copy_file_range", POWER_FILES },
	{ "splice", POWER_FILES },
	/* files below the root */
	{ "access", POWER_FILES },
	{ "faccessat", POWER_FILES },
	{ "faccessat2", POWER_FILES },
	{ "fadvise64", POWER_FILES },
	{ "flock", POWER_FILES },
	{ "fstatfs", POWER_FILES },
	{ "getcwd", POWER_FILES },
	{ "getdents64", POWER_FILES },
	{ "link", POWER_FILES },
	{ "linkat", POWER_FILES },
	{ "lstat", POWER_FILES },
	{ "mkdir", POWER_FILES },
	{ "mkdirat", POWER_FILES },
	{ "open", POWER_FILES },
	{ "openat", POWER_FILES },
	{ "rename", POWER_FILES },
	{ "renameat", POWER_FILES },
	{ "renameat2", POWER_FILES },
	{ "rmdir", POWER_FILES },
	{ "stat", POWER_FILES },
	{ "statfs", POWER_FILES },
	{ "statx", POWER_FILES },
	{ "sync_file_range", POWER_FILES },
	{ "syncfs", POWER_FILES },
	{ "umask", POWER_FILES },
	{ "unlink", POWER_FILES },
	{ "unlinkat", POWER_FILES },
	/* threads; their making is looked at below */
	{ "membarrier", POWER_THREADS },
	{ "rseq", POWER_THREADS },
	{ "set_robust_list", POWER_THREADS },
};

/*
 * Libraries try these and live without: they are refused, not deadly.
 * A row that is allowed above by the powers at hand does not count.
 */
static const struct refused {
	const char *name;
	int error;
} refused[] = {
	{ "open", EACCES },
	{ "openat", EACCES },
	{ "openat2", EACCES },
	{ "access", EACCES },
	{ "faccessat", EACCES },
	{ "faccessat2", EACCES },
	{ "stat", EACCES },
	{ "lstat", EACCES },
	{ "statx", EACCES },
	{ "readlink", EACCES },
	{ "readlinkat", EACCES },
	{ "ioctl", ENOTTY },
	{ "clone3", ENOSYS }, /* then glibc makes its threads by clone */
	{ "prlimit64", EPERM },
	{ "sched_setaffinity", EPERM },
	{ "setpriority", EPERM },
	{ "socketpair", EACCES },
};
/* clang-format on */

struct filter {
	scmp_filter_ctx ctx;
	unsigned powers;
	bool failed;
};

/* Argument number "arg" equals "value". */
static struct scmp_arg_cmp
equal(unsigned arg, scmp_datum_t value)
{
	return (struct scmp_arg_cmp){ .arg = arg,
		.op = SCMP_CMP_EQ,
		.datum_a = value };
}

/* Its bits in "mask" equal "value". */
static struct scmp_arg_cmp
masked(unsigned arg, scmp_datum_t mask, scmp_datum_t value)
{
	return (struct scmp_arg_cmp){ .arg = arg,
		.op = SCMP_CMP_MASKED_EQ,
		.datum_a = mask,
		.datum_b = value };
}

static bool
is_allowed(const char *name, unsigned powers)
{
	size_t i;

	for (i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (strcmp(allowed[i].name, name) == 0)
			return allowed[i].powers == ALWAYS ||
			    (allowed[i].powers & powers) != 0;
	return false;
}

/* Add a rule with "count" conditions. What this machine or this version of
 * the library does not know cannot be called either. */
static void
add(struct filter *f, uint32_t action, const char *name, unsigned count,
    const struct scmp_arg_cmp *args)
{
	int number = seccomp_syscall_resolve_name(name);

	if (number == __NR_SCMP_ERROR)
		return;
	if (seccomp_rule_add_array(f->ctx, action, number, count, args) < 0)
		f->failed = true;
}

static void
allow(struct filter *f, const char *name, struct scmp_arg_cmp cond)
{
	add(f, SCMP_ACT_ALLOW, name, 1, &cond);
}

static void
allow_fcntl(struct filter *f)
{
	static const unsigned commands[] = { F_GETFD, F_SETFD, F_GETFL, F_SETFL,
		F_DUPFD_CLOEXEC, F_ADD_SEALS, F_GET_SEALS, F_SETLK,
		F_OFD_SETLK };
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		allow(f, "fcntl", equal(1, commands[i]));
}

/* Memory is never made executable. */
static void
allow_memory(struct filter *f)
{
	allow(f, "mmap", masked(2, PROT_EXEC, 0));
	allow(f, "mprotect", masked(2, PROT_EXEC, 0));
}

/* What abort(3) and a crash report need: signals to itself alone. */
static void
allow_self(struct filter *f)
{
	pid_t self = getpid();

	allow(f, "tgkill", equal(0, (unsigned)self));
	allow(f, "prctl", equal(0, PR_SET_NAME));
	allow(f, "prctl", equal(0, PR_SET_VMA));
	if ((f->powers & POWER_THREADS) != 0)
		allow(f, "clone",
		    masked(0, CLONE_THREAD | CLONE_VM,
			CLONE_THREAD | CLONE_VM));
}

/* TCP or UDP of one family: allowed with its power, else refused, since
 * libraries probe for it. */
static void
add_protocol(struct filter *f, unsigned family, unsigned type)
{
	bool is_tcp = type == SOCK_STREAM;
	bool granted = (f->powers & (is_tcp ? POWER_TCP : POWER_UDP)) != 0;
	struct scmp_arg_cmp args[] = {
		equal(0, family),
		masked(1, TYPE_MASK, type),
		equal(2, is_tcp ? IPPROTO_TCP : IPPROTO_UDP),
	};

	/* Others of the same type (SCTP, MPTCP...) have code of their own. */
	add(f, granted ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EACCES), "socket", 3,
	    args);
	args[2] = equal(2, 0);
	add(f, granted ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EACCES), "socket", 3,
	    args);
}

static void
allow_sockets(struct filter *f)
{
	unsigned i;

	if ((f->powers & SOCKETS) == 0)
		return;
	for (i = SOCK_STREAM; i <= SOCK_DGRAM; i++) {
		add_protocol(f, AF_INET, i);
		add_protocol(f, AF_INET6, i);
	}
	for (i = AF_UNSPEC; i < AF_MAX; i++) {
		struct scmp_arg_cmp family = equal(0, i);

		if (i != AF_INET && i != AF_INET6)
			add(f, SCMP_ACT_ERRNO(EACCES), "socket", 1, &family);
	}
}

static void
add_tables(struct filter *f)
{
	size_t i;

	for (i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (is_allowed(allowed[i].name, f->powers))
			add(f, SCMP_ACT_ALLOW, allowed[i].name, 0, NULL);
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (!is_allowed(refused[i].name, f->powers))
			add(f, SCMP_ACT_ERRNO((unsigned)refused[i].error),
			    refused[i].name, 0, NULL);
}

/* Log what was tried, then die of it all the same. */
static void
report(int signo, siginfo_t *info, void *context)
{
	char *name;

	(void)context;
	name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE,
	    info->si_syscall);
	log_note(LOG_PRI_ERR, "the cage forbids system call %s (%d)",
	    name == NULL ? "?" : name, info->si_syscall);
	log_flush();
	(void)signal(signo, SIG_DFL);
	(void)raise(signo);
}

static int
catch_reports(void)
{
	struct sigaction act;

	memset(&act, 0, sizeof(act));
	act.sa_sigaction = report;
	act.sa_flags = SA_SIGINFO | SA_NODEFER;
	return sigaction(SIGSYS, &act, NULL);
}

int
sandbox_filter_load(unsigned powers, enum sandbox_filter mode)
{
	struct filter f = { .powers = powers };
	int error = 0;

	if (mode == SANDBOX_REPORT && catch_reports() == -1)
		return -1;
	f.ctx = seccomp_init(
	    mode == SANDBOX_REPORT ? SCMP_ACT_TRAP : SCMP_ACT_KILL_PROCESS);
	if (f.ctx == NULL) {
		errno = ENOMEM;
		return -1;
	}
	/* A balanced tree of comparisons, and every thread that there is. */
	(void)seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_TSYNC, 1) < 0 ||
	    seccomp_attr_set(f.ctx, SCMP_FLTATR_ACT_BADARCH,
		SCMP_ACT_KILL_PROCESS) < 0)
		f.failed = true;
	add_tables(&f);
	allow_fcntl(&f);
	allow_memory(&f);
	allow_self(&f);
	allow_sockets(&f);
	if (f.failed)
		error = EINVAL;
	else
		error = -seccomp_load(f.ctx);
	seccomp_release(f.ctx);
	errno = error;
	return error == 0 ? 0 : -1;
}
