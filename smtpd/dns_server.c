#include "smtpd/dns_server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

/* 1.28 deprecates what 1.18 needs; both are used here and nowhere else. */
#define CARES_NO_DEPRECATED
#include <ares.h>

#include "smtpd/base/log.h"
#include "smtpd/dns_packet.h"
#include "smtpd/netaddr.h"

/*
 * The query is sent again after this time, and given up after twice as much
 * more: until then the answer to either counts, for a resolver may be slow.
 */
#define RESEND_MS 1500
#define SENDINGS 2

/* A descriptor of c-ares. */
struct dns_sock {
	LIST_ENTRY(dns_sock) entry;
	struct ev_watch watch;
	struct dns_channel *channel;
};

/* What a query under way is to come back to. */
struct errand {
	dns_reply_cb *cb;
	void *arg;
};

/* c-ares tells when its next deadline is. */
static void
arm(struct dns_channel *c)
{
	struct timeval tv, *next = ares_timeout(c->ares, NULL, &tv);

	if (next == NULL)
		ev_timer_del(c->ev, &c->timer);
	else
		ev_timer_set(c->ev, &c->timer,
		    ev_now(c->ev) + next->tv_sec * 1000 + next->tv_usec / 1000 +
			1);
}

static void
on_timer(void *arg)
{
	struct dns_channel *c = arg;

	ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm(c);
}

static void
on_ready(void *arg, unsigned events)
{
	struct dns_sock *k = arg;
	struct dns_channel *c = k->channel;
	bool error = (events & EV_HANGUP) != 0;
	int fd = k->watch.fd;

	/* The sock may be gone once c-ares has seen the event. */
	ares_process_fd(c->ares,
	    error || (events & EV_READ) != 0 ? fd : ARES_SOCKET_BAD,
	    error || (events & EV_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
	arm(c);
}

static struct dns_sock *
find_sock(struct dns_channel *c, int fd)
{
	struct dns_sock *k;

	LIST_FOREACH(k, &c->socks, entry)
		if (k->watch.fd == fd)
			return k;
	return NULL;
}

static void
add_sock(struct dns_channel *c, int fd, unsigned events)
{
	struct dns_sock *k = xcalloc(1, sizeof(*k));

	k->channel = c;
	LIST_INSERT_HEAD(&c->socks, k, entry);
	ev_watch_init(&k->watch, on_ready, k);
	if (ev_watch(c->ev, &k->watch, fd, events) == -1)
		log_die("cannot watch a DNS socket");
}

static void
drop_sock(struct dns_channel *c, struct dns_sock *k)
{
	ev_watch_del(c->ev, &k->watch);
	LIST_REMOVE(k, entry);
	free(k);
}

/* c-ares wants a descriptor watched, otherwise, or no more. */
static void
on_sock_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns_channel *c = arg;
	struct dns_sock *k = find_sock(c, fd);
	unsigned events = 0;

	if (readable)
		events |= EV_READ;
	if (writable)
		events |= EV_WRITE;
	if (k == NULL && events != 0)
		add_sock(c, fd, events);
	else if (k != NULL && events != 0)
		(void)ev_watch_set(c->ev, &k->watch, events);
	else if (k != NULL)
		drop_sock(c, k);
}

static int
set_server(struct dns_channel *c, const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
	const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
	struct ares_addr_port_node node = { 0 };

	node.family = ss->ss_family;
	node.udp_port = netaddr_port((const struct sockaddr *)ss);
	node.tcp_port = node.udp_port;
	if (ss->ss_family == AF_INET6)
		memcpy(&node.addr.addr6, &in6->sin6_addr, 16);
	else
		node.addr.addr4 = in->sin_addr;
	return ares_set_servers_ports(c->ares, &node) == ARES_SUCCESS ? 0 : -1;
}

int
dns_server_open(struct dns_channel *c, struct ev *ev,
    const struct sockaddr_storage *addr)
{
	struct ares_options o = { 0 };
	char lookups[] = "b";

	c->ev = ev;
	LIST_INIT(&c->socks);
	ev_timer_init(&c->timer, on_timer, c);
	/* NOCHECKRESP: we look at the code of the reply ourselves, as c-ares
	 * 1.18 reports SERVFAIL as a refused connection. */
	o.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS |
	    ARES_FLAG_NOCHECKRESP;
	o.timeout = RESEND_MS;
	o.tries = SENDINGS;
	o.ednspsz = DNS_UDP_SIZE;
	o.lookups = lookups;
	o.sock_state_cb = on_sock_state;
	o.sock_state_cb_data = c;
	if (ares_init_options(&c->ares, &o,
		ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
		    ARES_OPT_EDNSPSZ | ARES_OPT_LOOKUPS |
		    ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS)
		return -1;
	return set_server(c, addr);
}

void
dns_server_close(struct dns_channel *c)
{
	if (c->ares == NULL)
		return;
	ares_destroy(c->ares);
	c->ares = NULL;
	ev_timer_del(c->ev, &c->timer);
}

static void
on_reply(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
	struct errand e = *(struct errand *)arg;

	(void)timeouts;
	free(arg);
	if (status == ARES_EDESTRUCTION)
		e.cb(e.arg, DNS_REPLY_CLOSING, NULL, 0);
	else if (status == ARES_SUCCESS && bytes != NULL && len >= 0)
		e.cb(e.arg, DNS_REPLY_BYTES, bytes, (size_t)len);
	else
		e.cb(e.arg, DNS_REPLY_NONE, NULL, 0);
}

void
dns_server_send(struct dns_channel *c, const uint8_t *query, size_t len,
    dns_reply_cb *cb, void *arg)
{
	struct errand *e = xcalloc(1, sizeof(*e));

	e->cb = cb;
	e->arg = arg;
	ares_send(c->ares, query, (int)len, on_reply, e);
	arm(c);
}
