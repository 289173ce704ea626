#include "smtpd/dns.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/time.h>
#include <sys/tree.h>

/* 1.28 deprecates what 1.18 needs; both are used here and nowhere else. */
#define CARES_NO_DEPRECATED
#include <ares.h>

#include "smtpd/base/log.h"
#include "smtpd/netaddr.h"

#define ATTEMPT_MS 2500 /* for one resolver, before the next is asked */
#define ATTEMPTS_MIN 4  /* in all, however few resolvers */
#define AVOID_MS 30000  /* a resolver that did not answer, if others do */
#define KEPT_MAX 10000  /* answers */
#define SENT_MAX 250    /* at once: what a socket's buffer holds of answers */

/* A descriptor of c-ares. */
struct sock {
	LIST_ENTRY(sock) entry;
	struct ev_watch watch;
	struct server *server;
};

/* One resolver, with a channel of its own: so we know who answered. */
struct server {
	struct dns *dns;
	ares_channel channel;
	LIST_HEAD(, sock) socks;
	struct ev_timer timer;
	bool believed;
	int64_t avoid_ms; /* not the first choice before this time */
};

struct waiter {
	STAILQ_ENTRY(waiter) entry;
	dns_cb *cb;
	void *arg;
};

/*
 * Where a question stands: FRESH until it is sent, KEPT with an answer that
 * may serve others. READY ones are told at the end of the turn.
 */
enum place { PLACE_NONE, PLACE_WAITING, PLACE_SENT, PLACE_READY };

struct question {
	RB_ENTRY(question) node;
	TAILQ_ENTRY(question) list; /* waiting or ready, by "place" */
	TAILQ_ENTRY(question) use;  /* kept ones; unused for longest first */
	struct dns *dns;
	char name[DNS_NAME_SIZE];
	enum dns_type type;
	enum place place;
	bool is_kept;
	size_t server;     /* that is being asked */
	unsigned attempts; /* made */
	unsigned refusals; /* SERVFAIL and the like, among them */
	const char *why;   /* of the last refusal; NULL: none */
	STAILQ_HEAD(, waiter) waiters;
	struct dns_answer *answer; /* a reference; NULL: none (yet) */
	int64_t until_ms;          /* kept so long */
};
RB_HEAD(question_tree, question);
TAILQ_HEAD(question_list, question);

struct dns {
	struct ev *ev;
	struct server server[DNS_SERVERS_MAX];
	size_t server_count;
	struct question_tree tree;
	struct question_list use, waiting, ready;
	size_t sent;
	struct ev_task task;
	struct dns_stats stats;
	bool closing;
};

static void send_attempt(struct question *);
static void send_more(struct dns *);

static int
compare(const struct question *a, const struct question *b)
{
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	return strcasecmp(a->name, b->name);
}

/* RB_GENERATE_STATIC() of libbsd 0.11 needs an __unused that it lacks. */
RB_GENERATE_INTERNAL(question_tree, question, node, compare,
    static __attribute__((unused)))

/* c-ares tells when its next deadline is. */
static void
arm(struct server *s)
{
	struct timeval tv, *next = ares_timeout(s->channel, NULL, &tv);

	if (next == NULL)
		ev_timer_del(s->dns->ev, &s->timer);
	else
		ev_timer_set(s->dns->ev, &s->timer,
		    ev_now(s->dns->ev) + next->tv_sec * 1000 +
			next->tv_usec / 1000 + 1);
}

static void
on_timer(void *arg)
{
	struct server *s = arg;

	ares_process_fd(s->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm(s);
}

static void
on_ready_fd(void *arg, unsigned events)
{
	struct sock *k = arg;
	struct server *s = k->server;
	int fd = k->watch.fd;
	bool error = (events & EV_HANGUP) != 0;

	/* The sock may be gone once c-ares has seen the event. */
	ares_process_fd(s->channel,
	    error || (events & EV_READ) != 0 ? fd : ARES_SOCKET_BAD,
	    error || (events & EV_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
	arm(s);
}

static struct sock *
find_sock(struct server *s, int fd)
{
	struct sock *k;

	LIST_FOREACH(k, &s->socks, entry)
	if (k->watch.fd == fd)
		return k;
	return NULL;
}

/* c-ares wants a descriptor watched, otherwise, or no more. */
static void
on_sock_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct server *s = arg;
	struct sock *k = find_sock(s, fd);
	unsigned events = 0;

	if (readable)
		events |= EV_READ;
	if (writable)
		events |= EV_WRITE;
	if (k == NULL && events != 0) {
		k = xcalloc(1, sizeof(*k));
		k->server = s;
		LIST_INSERT_HEAD(&s->socks, k, entry);
		if (ev_watch(s->dns->ev, &k->watch, fd, events, on_ready_fd,
			k) == -1)
			log_die("cannot watch a DNS socket");
	} else if (k != NULL && events != 0) {
		(void)ev_watch_set(s->dns->ev, &k->watch, events);
	} else if (k != NULL) {
		ev_watch_del(s->dns->ev, &k->watch);
		LIST_REMOVE(k, entry);
		free(k);
	}
}

static int
open_server(struct dns *d, struct server *s, const struct dns_server *from)
{
	struct ares_addr_port_node node = { 0 };
	const struct sockaddr *addr = (const struct sockaddr *)&from->addr;
	struct ares_options o = { 0 };
	char lookups[] = "b";

	s->dns = d;
	s->believed = from->trusted || netaddr_is_loopback(addr);
	LIST_INIT(&s->socks);
	ev_timer_init(&s->timer, on_timer, s);
	/* 1.18 would report SERVFAIL as a refused connection: we look. */
	o.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS |
	    ARES_FLAG_NOCHECKRESP;
	o.timeout = ATTEMPT_MS;
	o.tries = 1;
	o.ednspsz = DNS_UDP_SIZE;
	o.lookups = lookups;
	o.sock_state_cb = on_sock_state;
	o.sock_state_cb_data = s;
	if (ares_init_options(&s->channel, &o,
		ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
		    ARES_OPT_EDNSPSZ | ARES_OPT_LOOKUPS |
		    ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS)
		return -1;
	node.family = addr->sa_family;
	node.udp_port = node.tcp_port = netaddr_port(addr);
	if (addr->sa_family == AF_INET6)
		memcpy(&node.addr.addr6,
		    &((const struct sockaddr_in6 *)&from->addr)->sin6_addr,
		    sizeof(node.addr.addr6));
	else
		node.addr.addr4 =
		    ((const struct sockaddr_in *)&from->addr)->sin_addr;
	return ares_set_servers_ports(s->channel, &node) == ARES_SUCCESS ? 0
									 : -1;
}

struct dns *
dns_new(struct ev *ev, const struct dns_server *servers, size_t count,
    const char **why)
{
	struct dns *d = xcalloc(1, sizeof(*d));

	d->ev = ev;
	RB_INIT(&d->tree);
	TAILQ_INIT(&d->use);
	TAILQ_INIT(&d->waiting);
	TAILQ_INIT(&d->ready);
	*why = "c-ares cannot be set up";
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		free(d);
		return NULL;
	}
	for (size_t i = 0; i < count && i < DNS_SERVERS_MAX; i++) {
		if (open_server(d, &d->server[i], &servers[i]) == -1) {
			dns_free(d);
			return NULL;
		}
		d->server_count++;
	}
	if (d->server_count == 0) {
		*why = "there is no resolver";
		dns_free(d);
		return NULL;
	}
	return d;
}

static void
release(struct dns_answer *answer)
{
	if (answer != NULL && --answer->refs == 0)
		free(answer);
}

static void
leave_list(struct dns *d, struct question *q)
{
	if (q->place == PLACE_WAITING)
		TAILQ_REMOVE(&d->waiting, q, list);
	else if (q->place == PLACE_READY)
		TAILQ_REMOVE(&d->ready, q, list);
	else if (q->place == PLACE_SENT)
		d->sent--;
	q->place = PLACE_NONE;
}

static void
unkeep(struct dns *d, struct question *q)
{
	if (q->is_kept) {
		TAILQ_REMOVE(&d->use, q, use);
		d->stats.kept--;
		q->is_kept = false;
	}
	release(q->answer);
	q->answer = NULL;
}

static void
drop(struct dns *d, struct question *q)
{
	struct waiter *w;

	while ((w = STAILQ_FIRST(&q->waiters)) != NULL) {
		STAILQ_REMOVE_HEAD(&q->waiters, entry);
		free(w);
	}
	RB_REMOVE(question_tree, &d->tree, q);
	leave_list(d, q);
	unkeep(d, q);
	free(q);
}

void
dns_free(struct dns *d)
{
	struct question *q;

	if (d == NULL)
		return;
	d->closing = true;
	for (size_t i = 0; i < DNS_SERVERS_MAX; i++) {
		if (d->server[i].channel == NULL)
			continue;
		ares_destroy(d->server[i].channel);
		ev_timer_del(d->ev, &d->server[i].timer);
	}
	ev_soon_del(d->ev, &d->task);
	while ((q = RB_MIN(question_tree, &d->tree)) != NULL)
		drop(d, q);
	ares_library_cleanup();
	free(d);
}

/* Keep the answer as long as its TTL says; make room if need be. */
static void
keep(struct dns *d, struct question *q)
{
	struct question *oldest = TAILQ_FIRST(&d->use);

	q->until_ms = ev_now(d->ev) + (int64_t)q->answer->ttl_s * 1000;
	q->is_kept = true;
	TAILQ_INSERT_TAIL(&d->use, q, use);
	d->stats.kept++;
	if (oldest != NULL && oldest->place == PLACE_NONE &&
	    (d->stats.kept > KEPT_MAX || oldest->until_ms < ev_now(d->ev)))
		drop(d, oldest);
}

/* Tell one question's waiters; a callback may ask again, even the same. */
static void
tell(struct dns *d, struct question *q)
{
	STAILQ_HEAD(, waiter) waiters = STAILQ_HEAD_INITIALIZER(waiters);
	struct dns_answer *answer = q->answer;
	struct waiter *w;

	STAILQ_CONCAT(&waiters, &q->waiters);
	answer->refs++;
	leave_list(d, q);
	if (!q->is_kept)
		drop(d, q);
	while ((w = STAILQ_FIRST(&waiters)) != NULL) {
		STAILQ_REMOVE_HEAD(&waiters, entry);
		w->cb(w->arg, answer);
		free(w);
	}
	release(answer);
}

static void
on_turn_end(void *arg)
{
	struct dns *d = arg;
	struct question *q;

	while ((q = TAILQ_FIRST(&d->ready)) != NULL)
		tell(d, q);
	send_more(d);
}

static void
make_ready(struct dns *d, struct question *q)
{
	leave_list(d, q);
	q->place = PLACE_READY;
	TAILQ_INSERT_TAIL(&d->ready, q, list);
	ev_soon(d->ev, &d->task, on_turn_end, d);
}

/* The question has its answer, which is taken. */
static void
settle(struct question *q, struct dns_answer *answer)
{
	struct dns *d = q->dns;

	if (answer == NULL)
		log_die("no memory for a DNS answer");
	answer->refs = 1;
	answer->secure = answer->secure && d->server[q->server].believed;
	q->answer = answer;
	if (answer->secure)
		d->stats.secure++;
	if (answer->status == DNS_FAILED || answer->status == DNS_TIMEOUT)
		d->stats.errors++;
	else if (answer->ttl_s > 0)
		keep(d, q);
	make_ready(d, q);
}

static unsigned
attempts_max(const struct dns *d)
{
	unsigned all = (unsigned)d->server_count * 2;

	return all > ATTEMPTS_MIN ? all : ATTEMPTS_MIN;
}

/* No answer, or a refusal: ask the next resolver, or give up. */
static void
try_next(struct question *q, const char *refusal)
{
	struct dns *d = q->dns;
	bool again = q->attempts < attempts_max(d);

	if (refusal != NULL) {
		q->why = refusal;
		again = again && ++q->refusals < d->server_count;
	} else
		d->server[q->server].avoid_ms = ev_now(d->ev) + AVOID_MS;
	if (again) {
		q->server = (q->server + 1) % d->server_count;
		send_attempt(q);
	} else if (q->why != NULL)
		settle(q, dns_answer_empty(q->name, DNS_FAILED, q->why));
	else
		settle(q,
		    dns_answer_empty(q->name, DNS_TIMEOUT,
			"no resolver answers"));
}

static const char *
refusal_of(int status)
{
	switch (status) {
	case ARES_ESERVFAIL:
		return "SERVFAIL";
	case ARES_EREFUSED:
		return "REFUSED";
	case ARES_ENOTIMP:
		return "NOTIMP";
	case ARES_EFORMERR:
	case ARES_EBADRESP:
		return "a broken answer";
	default:
		return NULL;
	}
}

static void
on_answer(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
	struct question *q = arg;
	struct dns_answer *answer;
	const char *why;

	(void)timeouts;
	if (status == ARES_EDESTRUCTION || q->dns->closing)
		return;
	if (status != ARES_SUCCESS || bytes == NULL || len < 0) {
		try_next(q, refusal_of(status));
		return;
	}
	q->dns->server[q->server].avoid_ms = 0;
	answer = dns_answer_read(bytes, (size_t)len, q->name, q->type);
	if (answer != NULL && answer->status == DNS_FAILED) {
		why = answer->why;
		free(answer);
		try_next(q, why);
		return;
	}
	settle(q, answer);
}

static void
send_attempt(struct question *q)
{
	struct server *s = &q->dns->server[q->server];
	uint8_t wire[DNS_QUERY_SIZE];
	size_t len;

	len = dns_query_write(wire, (uint16_t)arc4random(), q->name, q->type);
	if (len == 0) {
		settle(q,
		    dns_answer_empty(q->name, DNS_NXDOMAIN,
			"it is no domain name"));
		return;
	}
	q->attempts++;
	q->dns->stats.queries++;
	ares_send(s->channel, wire, (int)len, on_answer, q);
	arm(s);
}

static size_t
first_choice(const struct dns *d)
{
	for (size_t i = 0; i < d->server_count; i++)
		if (d->server[i].avoid_ms <= ev_now(d->ev))
			return i;
	return 0;
}

static void
send_more(struct dns *d)
{
	struct question *q;

	while (d->sent < SENT_MAX && (q = TAILQ_FIRST(&d->waiting)) != NULL) {
		leave_list(d, q);
		q->place = PLACE_SENT;
		d->sent++;
		q->attempts = 0;
		q->refusals = 0;
		q->why = NULL;
		q->server = first_choice(d);
		send_attempt(q);
	}
}

static struct question *
find(struct dns *d, const char *name, enum dns_type type)
{
	struct question key;

	key.type = type;
	strlcpy(key.name, name, sizeof(key.name));
	return RB_FIND(question_tree, &d->tree, &key);
}

static struct question *
new_question(struct dns *d, const char *name, enum dns_type type)
{
	struct question *q = xcalloc(1, sizeof(*q));

	q->dns = d;
	q->type = type;
	strlcpy(q->name, name, sizeof(q->name));
	STAILQ_INIT(&q->waiters);
	RB_INSERT(question_tree, &d->tree, q);
	return q;
}

void
dns_ask(struct dns *d, const char *name, enum dns_type type, bool fresh,
    dns_cb *cb, void *arg)
{
	struct question *q = find(d, name, type);
	struct waiter *w = xcalloc(1, sizeof(*w));

	w->cb = cb;
	w->arg = arg;
	if (q == NULL)
		q = new_question(d, name, type);
	STAILQ_INSERT_TAIL(&q->waiters, w, entry);
	if (q->place == PLACE_WAITING || q->place == PLACE_SENT)
		return;
	/* Kept or just answered, unless it must not serve any more. */
	if (q->answer != NULL && !fresh &&
	    (!q->is_kept || ev_now(d->ev) < q->until_ms)) {
		if (q->is_kept) {
			TAILQ_REMOVE(&d->use, q, use);
			TAILQ_INSERT_TAIL(&d->use, q, use);
		}
		make_ready(d, q);
		return;
	}
	leave_list(d, q);
	unkeep(d, q);
	q->place = PLACE_WAITING;
	TAILQ_INSERT_TAIL(&d->waiting, q, list);
	ev_soon(d->ev, &d->task, on_turn_end, d);
}

void
dns_stats(const struct dns *d, struct dns_stats *out)
{
	*out = d->stats;
}

bool
dns_believes(const struct dns *d)
{
	for (size_t i = 0; i < d->server_count; i++)
		if (d->server[i].believed)
			return true;
	return false;
}
