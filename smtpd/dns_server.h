/*
 * One resolver: a c-ares channel of its own, so that we know who answered.
 * For dns.c, which with this file is all that knows c-ares.
 */

#ifndef SMTPD_DNS_SERVER_H
#define SMTPD_DNS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "smtpd/base/ev.h"

struct ares_channeldata;
struct dns_sock;

enum dns_reply {
	DNS_REPLY_BYTES,  /* a message, whatever its code */
	DNS_REPLY_NONE,   /* nobody answered */
	DNS_REPLY_CLOSING /* dns_server_close() */
};

typedef void dns_reply_cb(void *arg, enum dns_reply, const uint8_t *bytes,
    size_t len);

/* Embedded in its owner; zero before dns_server_open(). */
struct dns_channel {
	struct ev *ev;
	struct ares_channeldata *ares;
	LIST_HEAD(, dns_sock) socks;
	struct ev_timer timer;
};

/* addr: with port. 0, or -1: c-ares cannot be set up; close it all the
 * same. */
int dns_server_open(struct dns_channel *, struct ev *,
    const struct sockaddr_storage *addr);
/* Queries under way end with DNS_REPLY_CLOSING. */
void dns_server_close(struct dns_channel *);

/* Send a query; over TCP where UDP does not do. "cb" is called once, maybe
 * before this returns. */
void dns_server_send(struct dns_channel *, const uint8_t *query, size_t len,
    dns_reply_cb *cb, void *arg);

#endif
