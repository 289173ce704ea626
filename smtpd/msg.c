#include "smtpd/msg.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define R(role) (1U << ROLE_##role)
#define PARENT R(PARENT)
#define CHILDREN (R(LISTEN) | R(QUEUE) | R(POLICY) | R(DELIVER))

/* clang-format off */

/* Every string has its NUL: struct by struct. */
#define U32(f)
#define I64(f)
#define U64(f)
#define BYTES(f, n)
#define STR(f, n) ok = ok && memchr(m->f, '\0', (n)) != NULL;
/* NOLINTBEGIN(bugprone-macro-parentheses): it makes declarations */
#define MSG(name, from, to, fd, fields) \
	static_assert(sizeof(struct msg_##name) <= IPC_BODY_MAX, #name); \
	static bool \
	ends_##name(const void *body) \
	{ \
		const struct msg_##name *m = body; \
		bool ok = true; \
		(void)m; \
		fields \
		return ok; \
	}
#include "smtpd/msg.def"
#undef MSG
/* NOLINTEND(bugprone-macro-parentheses) */

struct row {
	const char *name;
	unsigned from; /* roles that may send it, as a set */
	unsigned to;
	enum msg_fd fd;
	size_t len;
	bool (*strings_end)(const void *body);
};

static const struct row rows[MSG_COUNT] = {
#define MSG(name, from, to, fd, fields) \
	[MSG_##name] = { #name, (from), (to), (fd), \
	    sizeof(struct msg_##name), ends_##name },
#include "smtpd/msg.def"
#undef MSG
};

/* clang-format on */

static const char *
name_of(uint32_t type)
{
	if (type == MSG_NONE || type >= MSG_COUNT)
		return "unknown";
	return rows[type].name;
}

static bool
fd_is_right(enum msg_fd rule, bool has_fd)
{
	switch (rule) {
	case NO_FD:
		return !has_fd;
	case FD:
		return has_fd;
	case MAY_FD:
		return true;
	}
	return false;
}

static bool
is_role(int role)
{
	return role >= 0 && role < ROLE_COUNT;
}

static bool
check(uint32_t type, struct ipc_way way, const void *body, size_t len,
    bool has_fd)
{
	const struct row *row;

	if (type == MSG_NONE || type >= MSG_COUNT || !is_role(way.from) ||
	    !is_role(way.to))
		return false;
	row = &rows[type];
	return (row->from & 1U << way.from) != 0 &&
	    (row->to & 1U << way.to) != 0 && len == row->len &&
	    fd_is_right(row->fd, has_fd) && row->strings_end(body);
}

const struct ipc_table msg_table = { .name = name_of, .check = check };
