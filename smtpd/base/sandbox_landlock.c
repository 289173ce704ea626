#include "smtpd/base/sandbox.h"

#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

/*
 * Landlock as of its version 6 (Linux 6.12). The kernel's headers of the
 * build may be older than the kernel, so what is needed of them stands here;
 * names and values are those of Documentation/userspace-api/landlock.rst.
 */
#define CREATE_RULESET_VERSION 1U
#define RULE_PATH_BENEATH 1
#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_REMOVE_DIR (1ULL << 4)
#define FS_REMOVE_FILE (1ULL << 5)
#define FS_MAKE_DIR (1ULL << 7)
#define FS_MAKE_REG (1ULL << 8)
#define FS_REFER (1ULL << 13) /* rename from one folder to another */
#define FS_TRUNCATE (1ULL << 14)
#define NET_BIND_TCP (1ULL << 0)
#define NET_CONNECT_TCP (1ULL << 1)
#define SCOPE_ABSTRACT_UNIX (1ULL << 0)
#define SCOPE_SIGNAL (1ULL << 1)

#define FILE_RIGHTS \
	(FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR | FS_REMOVE_DIR | \
	    FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_REFER | \
	    FS_TRUNCATE)

#define VERSION_NET 4
#define VERSION_SCOPE 6

struct ruleset {
	uint64_t fs;
	uint64_t net;    /* since VERSION_NET */
	uint64_t scoped; /* since VERSION_SCOPE */
};

struct path_rule {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

/* Every right on files that this version knows: what no rule grants is
 * refused. */
static uint64_t
rights_of(long version)
{
	static const unsigned count[] = { 0, 13, 14, 15, 15, 16 };

	if (version > 5)
		version = 5;
	return (1ULL << count[version]) - 1;
}

static int
restrict_self(int ruleset, uint64_t allowed)
{
	struct path_rule rule = { .allowed = allowed };
	long result = 0;

	if (allowed != 0) {
		rule.fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (rule.fd == -1)
			return -1;
		result = syscall(SYS_landlock_add_rule, ruleset,
		    RULE_PATH_BENEATH, &rule, 0);
		close(rule.fd);
	}
	if (result == 0)
		result = syscall(SYS_landlock_restrict_self, ruleset, 0);
	return result == 0 ? 0 : -1;
}

int
sandbox_landlock(unsigned powers)
{
	struct ruleset rules = { 0, 0, 0 };
	size_t size = sizeof(rules.fs);
	uint64_t allowed = 0;
	long version;
	int fd, result, saved;

	version = syscall(SYS_landlock_create_ruleset, NULL, 0,
	    CREATE_RULESET_VERSION);
	if (version < 1)
		return 0;
	rules.fs = rights_of(version);
	if ((powers & POWER_FILES) != 0)
		allowed = FILE_RIGHTS & rules.fs;
	if (version >= VERSION_NET) {
		size = sizeof(rules.fs) + sizeof(rules.net);
		if ((powers & POWER_TCP) == 0)
			rules.net = NET_BIND_TCP | NET_CONNECT_TCP;
	}
	if (version >= VERSION_SCOPE) {
		size = sizeof(rules);
		rules.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	if (fd == -1)
		return -1;
	result = restrict_self(fd, allowed);
	saved = errno;
	close(fd);
	errno = saved;
	return result == 0 ? (int)version : -1;
}
