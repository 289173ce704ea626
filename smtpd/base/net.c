#include "smtpd/base/net.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

socklen_t
net_address_len(const struct sockaddr *sa)
{
	return sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					 : sizeof(struct sockaddr_in);
}

void
net_set_nodelay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int
begin_connect(int fd, const struct sockaddr *peer, const struct sockaddr *local)
{
	int on = 1;

	net_set_nodelay(fd);
	if (local != NULL) {
		/* The port is chosen at connect: more connections fit. */
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
		    sizeof(on));
		if (bind(fd, local, net_address_len(local)) == -1)
			return -1;
	}
	if (connect(fd, peer, net_address_len(peer)) == -1 &&
	    errno != EINPROGRESS)
		return -1;
	return 0;
}

int
net_connect(const struct sockaddr *peer, const struct sockaddr *local)
{
	int fd, saved;

	fd = socket(peer->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	if (fd == -1)
		return -1;
	if (begin_connect(fd, peer, local) == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}
