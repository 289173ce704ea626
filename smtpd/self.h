/*
 * This machine's own addresses: where a route would come back to us.
 */

#ifndef SMTPD_SELF_H
#define SMTPD_SELF_H

#include <stddef.h>
#include <sys/socket.h>

#include "smtpd/conf.h"

#define SELF_MAX 128 /* addresses known of this machine */

/*
 * Addresses of the network interfaces that are up, loopback apart. Asks the
 * kernel through a socket: before the cage. Returns how many there are.
 */
size_t self_interfaces(struct sockaddr_storage *out, size_t max);

/*
 * Addresses whose port 25 is ours by the configuration: those it names, and
 * where it listens on 0.0.0.0 or :: the interfaces' of that family. An address
 * of this machine where another server listens is no loop: a receiving MTA may
 * well be our neighbour.
 *
 * interfaces  what self_interfaces() gave
 * returns     how many were written to "out"
 */
size_t self_listening(const struct conf *,
    const struct sockaddr_storage *interfaces, size_t count,
    struct sockaddr_storage *out, size_t max);

#endif
