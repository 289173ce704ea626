/*
 * Sockets of TCP streams.
 */

#ifndef SMTPD_BASE_NET_H
#define SMTPD_BASE_NET_H

#include <sys/socket.h>

/* Of an AF_INET or AF_INET6 address. */
socklen_t net_address_len(const struct sockaddr *);

/* Send what is written at once, never wait for an ACK (Nagle). */
void net_set_nodelay(int fd);

/*
 * A non-blocking socket on its way to "peer": writable once it has arrived
 * or failed (SO_ERROR). "local" may be NULL: any source address. The caller
 * closes it. Returns -1 with errno when it fails at once.
 */
int net_connect(const struct sockaddr *peer, const struct sockaddr *local);

#endif
