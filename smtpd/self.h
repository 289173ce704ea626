/*
 * This machine's own addresses: where a route would come back to us.
 */

#ifndef SMTPD_SELF_H
#define SMTPD_SELF_H

#include <stddef.h>
#include <sys/socket.h>

#include "smtpd/conf.h"

#define SELF_MAX 64 /* addresses known of this machine */

/*
 * Addresses of the network interfaces that are up, loopback apart. Asks the
 * kernel through a socket: before the cage. Returns how many there are.
 */
size_t self_interfaces(struct sockaddr_storage *out, size_t max);

/* Addresses that the configuration listens on at port 25, if they are said
 * one by one: loopback among them, 0.0.0.0 and :: not. */
size_t self_listening(const struct conf *, struct sockaddr_storage *out,
    size_t max);

#endif
