#include "smtpd/sockets.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "smtpd/base/net.h"
#include "smtpd/netaddr.h"

#define BACKLOG 1024
#define TYPE (SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)

static int
open_tcp(const struct sockaddr *addr)
{
	const int on = 1;
	int fd;

	fd = socket(addr->sa_family, TYPE, 0);
	if (fd == -1)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (addr->sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on,
		    sizeof(on));
	if (bind(fd, addr, net_address_len(addr)) == -1 ||
	    listen(fd, BACKLOG) == -1) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* The lock of service.c says that no other daemon uses the path. */
static int
open_unix(void)
{
	struct sockaddr_un sun;
	mode_t mask;
	int fd, result;

	static_assert(sizeof(SOCKETS_UNIX) <= sizeof(sun.sun_path), "RUNDIR");
	memset(&sun, 0, sizeof(sun));
	sun.sun_family = AF_UNIX;
	memcpy(sun.sun_path, SOCKETS_UNIX, sizeof(SOCKETS_UNIX));
	fd = socket(AF_UNIX, TYPE, 0);
	if (fd == -1)
		return -1;
	(void)unlink(SOCKETS_UNIX);
	mask = umask(0111);
	result = bind(fd, (struct sockaddr *)&sun, sizeof(sun));
	(void)umask(mask);
	if (result == -1 || listen(fd, BACKLOG) == -1) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* The descriptor of the socket "name" of "before", which loses it; or -1. */
static int
take_over(struct sockets *before, const char *name)
{
	size_t i;
	int fd;

	for (i = 0; i < before->count; i++) {
		if (strcmp(before->one[i].name, name) != 0)
			continue;
		fd = before->one[i].fd;
		before->one[i].fd = -1;
		return fd;
	}
	return -1;
}

static void
give_back(struct sockets *now, struct sockets *before)
{
	size_t i, j;

	for (i = 0; i < before->count; i++)
		for (j = 0; j < now->count && before->one[i].fd == -1; j++)
			if (strcmp(before->one[i].name, now->one[j].name) ==
			    0) {
				before->one[i].fd = now->one[j].fd;
				now->one[j].fd = -1;
			}
	sockets_clear(now);
}

/* Add one; addr NULL: the Unix socket. */
static int
add(struct sockets *s, const struct sockaddr *addr, struct sockets *before)
{
	struct sockets_one *one = &s->one[s->count];
	char text[NETADDR_TEXT_SIZE];

	one->is_unix = addr == NULL;
	snprintf(one->name, sizeof(one->name), "%s",
	    addr == NULL ? SOCKETS_UNIX : netaddr_text(addr, text));
	one->fd = take_over(before, one->name);
	if (one->fd == -1)
		one->fd = addr == NULL ? open_unix() : open_tcp(addr);
	if (one->fd == -1)
		return -1;
	s->count++;
	return 0;
}

/* Of the defaults, ::1 is not there on every machine. */
static int
add_listener(struct sockets *s, const struct conf_listen *l,
    struct sockets *before)
{
	if (add(s, (const struct sockaddr *)&l->addr, before) == 0)
		return 0;
	if (l->line != 0 || l->addr.ss_family != AF_INET6 ||
	    (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
		return -1;
	log_note(LOG_PRI_WARNING, "no IPv6 here: not listening on %s",
	    s->one[s->count].name);
	return 0;
}

/* The address is in use; perhaps by us, who cannot hold both at a time. */
static const char *
advice(const struct sockets *before)
{
	return before->count == 0
	    ? " (does another mail server run?)"
	    : " (does another mail server run? To go from one address of a"
	      " port to all, or back, takes a restart)";
}

int
sockets_open(struct sockets *s, const struct conf *conf, struct sockets *before,
    char why[SOCKETS_WHY_SIZE])
{
	int result = 0, error;
	size_t i;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < conf->listen_count && result == 0; i++)
		result = add_listener(s, &conf->listen[i], before);
	if (result == 0)
		result = add(s, NULL, before);
	if (result == 0)
		return 0;
	error = errno;
	snprintf(why, SOCKETS_WHY_SIZE, "cannot listen on %s: %s%s",
	    s->one[s->count].name, strerror(error),
	    error == EADDRINUSE ? advice(before) : "");
	give_back(s, before);
	errno = error;
	return -1;
}

void
sockets_clear(struct sockets *s)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		if (s->one[i].fd != -1)
			close(s->one[i].fd);
	memset(s, 0, sizeof(*s));
}
