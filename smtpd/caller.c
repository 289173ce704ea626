#include "smtpd/caller.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <grp.h>
#include <stddef.h>
#include <string.h>

#include "smtpd/base/log.h"
#include "smtpd/sockets.h"

#define GROUPS_MAX 1024 /* of a caller */

gid_t
caller_admins(void)
{
	const struct group *group = getgrnam("_sealpostq");

	return group != NULL ? group->gr_gid : (gid_t)-1;
}

/* Is the group of administrators among the caller's? */
static bool
in_group(int fd, gid_t primary, gid_t wanted)
{
	gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof groups;
	size_t i;

	if (wanted == (gid_t)-1)
		return false;
	if (primary == wanted)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == -1)
		return false;
	for (i = 0; i < len / sizeof groups[0]; i++) {
		if (groups[i] == wanted)
			return true;
	}
	return false;
}

int
caller_know(struct caller *c, int fd, gid_t admins)
{
	struct ucred cred;
	socklen_t len = sizeof cred;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1)
		return -1;
	c->uid = (int64_t)cred.uid;
	c->is_admin = cred.uid == 0 || in_group(fd, cred.gid, admins);
	return 0;
}

/* Is it a connection to our Unix socket? Not so a channel between the
 * processes, nor the listening socket itself: to the kernel root is at the other
 * end of both, as root made them. */
static bool
came_to_us(int fd)
{
	struct sockaddr_un sun = { .sun_family = AF_UNSPEC };
	socklen_t len = sizeof sun;
	int listens = 1;

	if (getsockname(fd, (struct sockaddr *)&sun, &len) == -1 ||
	    sun.sun_family != AF_UNIX ||
	    strncmp(sun.sun_path, SOCKETS_UNIX, sizeof sun.sun_path) != 0)
		return false;
	len = sizeof listens;
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 &&
	    listens == 0;
}

bool
caller_may(int fd, gid_t admins, int64_t uid)
{
	struct caller c;

	if (came_to_us(fd) && caller_know(&c, fd, admins) == 0 &&
	    (c.is_admin || (uid != -1 && uid == c.uid)))
		return true;
	log_note(LOG_PRI_ERR,
	    "a control request is refused: not from whom it says");
	return false;
}
