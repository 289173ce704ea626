#include "smtpd/dns.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/tree.h>

#include "smtpd/base/log.h"
#include "smtpd/dns_server.h"
#include "smtpd/netaddr.h"

#define ATTEMPTS_MIN 2 /* in all, however few resolvers */
#define AVOID_MS 30000 /* a resolver that did not answer, if others do */
#define KEPT_MAX 10000 /* answers */
#define KEPT_SIZE_MAX (16U << 20) /* bytes of them */
#define SENT_MAX 250 /* at once: what a socket's buffer holds of answers */

struct server {
	struct dns_channel channel;
	bool believed;
	int64_t avoid_ms; /* not the first choice before this time */
};

struct waiter {
	STAILQ_ENTRY(waiter) entry;
	dns_cb *cb;
	void *arg;
};

STAILQ_HEAD(waiters, waiter);

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
	bool denied;       /* one of them by a resolver that is believed */
	bool plain;        /* this resolver is asked without EDNS */
	const char *why;   /* of the last refusal; NULL: none */
	struct waiters waiters;
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
	size_t kept_size; /* bytes of kept answers */
	struct ev_task task;
	struct dns_stats stats;
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

static int
open_server(struct dns *d, struct server *s, const struct dns_server *from)
{
	s->believed = from->trusted ||
	    netaddr_is_loopback((const struct sockaddr *)&from->addr);
	return dns_server_open(&s->channel, d->ev, &from->addr);
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
leave_kept(struct dns *d, struct question *q)
{
	TAILQ_REMOVE(&d->use, q, use);
	d->stats.kept--;
	d->kept_size -= q->answer->size;
	q->is_kept = false;
}

static void
unkeep(struct dns *d, struct question *q)
{
	if (q->is_kept)
		leave_kept(d, q);
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
	for (size_t i = 0; i < DNS_SERVERS_MAX; i++)
		dns_server_close(&d->server[i].channel);
	ev_soon_del(d->ev, &d->task);
	while ((q = RB_MIN(question_tree, &d->tree)) != NULL)
		drop(d, q);
	free(d);
}

/* Keep the answer as long as its TTL says; make room if need be. */
static void
keep(struct dns *d, struct question *q)
{
	struct question *oldest, *next;

	q->until_ms = ev_now(d->ev) + (int64_t)q->answer->ttl_s * 1000;
	q->is_kept = true;
	TAILQ_INSERT_TAIL(&d->use, q, use);
	d->stats.kept++;
	d->kept_size += q->answer->size;
	TAILQ_FOREACH_SAFE(oldest, &d->use, use, next) {
		if (oldest == q || oldest->place != PLACE_NONE ||
		    (d->stats.kept <= KEPT_MAX &&
			d->kept_size <= KEPT_SIZE_MAX &&
			oldest->until_ms >= ev_now(d->ev)))
			break;
		drop(d, oldest);
	}
}

static uint32_t
seconds_left(const struct question *q)
{
	int64_t left_ms = q->until_ms - ev_now(q->dns->ev);

	return left_ms > 0 ? (uint32_t)(left_ms / 1000) : 0;
}

/* Tell one question's waiters; a callback may ask again, even the same. */
static void
tell(struct dns *d, struct question *q)
{
	struct dns_answer *answer = q->answer;
	struct waiters waiters = q->waiters;
	struct waiter *w, *next;

	STAILQ_INIT(&q->waiters);
	answer->refs++;
	leave_list(d, q);
	if (q->is_kept)
		answer->ttl_s = seconds_left(q);
	else
		drop(d, q);
	for (w = STAILQ_FIRST(&waiters); w != NULL; w = next) {
		next = STAILQ_NEXT(w, entry);
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

static struct dns_answer *
need(struct dns_answer *answer)
{
	if (answer == NULL)
		log_die("no memory for a DNS answer");
	return answer;
}

/* The question has its answer, which is taken. */
static void
settle(struct question *q, struct dns_answer *answer)
{
	struct dns *d = q->dns;

	answer->refs = 1;
	answer->believed = d->server[q->server].believed;
	answer->secure = answer->secure && answer->believed;
	q->answer = answer;
	if (answer->secure)
		d->stats.secure++;
	if (answer->status == DNS_FAILED || answer->status == DNS_TIMEOUT)
		d->stats.errors++;
	else if (answer->ttl_s > 0)
		keep(d, q);
	make_ready(d, q);
}

static struct dns_answer *
no_answer(const struct question *q, enum dns_status status, const char *why)
{
	return need(dns_answer_empty(q->name, status, why));
}

static unsigned
attempts_max(const struct dns *d)
{
	unsigned all = (unsigned)d->server_count;

	return all > ATTEMPTS_MIN ? all : ATTEMPTS_MIN;
}

/*
 * SERVFAIL may mean that DNSSEC proves the data wrong (RFC 4035 5.5): one that
 * does not validate, or is not believed, has no say in it after that.
 */
static bool
may_ask(const struct question *q, size_t server)
{
	return !q->denied || q->dns->server[server].believed;
}

static unsigned
count_to_ask(const struct question *q)
{
	unsigned count = 0;

	for (size_t i = 0; i < q->dns->server_count; i++)
		count += may_ask(q, i);
	return count;
}

/* No answer, or a refusal: ask the next resolver, or give up. */
static void
try_next(struct question *q, const char *refusal)
{
	struct dns *d = q->dns;
	bool again = q->attempts < attempts_max(d);

	q->plain = false;
	if (refusal != NULL) {
		q->why = refusal;
		if (!q->denied && d->server[q->server].believed) {
			q->denied = true;
			q->refusals = 0;
		}
		again = again && ++q->refusals < count_to_ask(q);
	} else
		d->server[q->server].avoid_ms = ev_now(d->ev) + AVOID_MS;
	if (again) {
		do
			q->server = (q->server + 1) % d->server_count;
		while (!may_ask(q, q->server));
		send_attempt(q);
	} else if (q->why != NULL)
		settle(q, no_answer(q, DNS_FAILED, q->why));
	else
		settle(q, no_answer(q, DNS_TIMEOUT, "no resolver answers"));
}

static void
on_reply(void *arg, enum dns_reply reply, const uint8_t *bytes, size_t len)
{
	struct question *q = arg;
	struct dns_answer *answer;
	const char *why;

	if (reply == DNS_REPLY_CLOSING)
		return;
	if (reply == DNS_REPLY_NONE) {
		try_next(q, NULL);
		return;
	}
	q->dns->server[q->server].avoid_ms = 0;
	answer = need(dns_answer_read(bytes, len, q->name, q->type));
	if (answer->status == DNS_FAILED && answer->no_edns && !q->plain) {
		/* RFC 6891 7: perhaps it is the OPT record. */
		q->plain = true;
		free(answer);
		send_attempt(q);
		return;
	}
	if (answer->status == DNS_FAILED) {
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

	len = dns_query_write(wire, (uint16_t)arc4random(), q->name, q->type,
	    q->plain);
	if (len == 0) {
		settle(q, no_answer(q, DNS_NXDOMAIN, "it is no domain name"));
		return;
	}
	q->attempts++;
	q->dns->stats.queries++;
	dns_server_send(&s->channel, wire, len, on_reply, q);
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
		q->denied = q->plain = false;
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

static struct question *
put_question(struct dns *d, const char *name, enum dns_type type, dns_cb *cb,
    void *arg)
{
	struct question *q = find(d, name, type);
	struct waiter *w = xcalloc(1, sizeof(*w));

	w->cb = cb;
	w->arg = arg;
	if (q == NULL)
		q = new_question(d, name, type);
	STAILQ_INSERT_TAIL(&q->waiters, w, entry);
	return q;
}

static bool
is_under_way(const struct question *q)
{
	return q->place == PLACE_WAITING || q->place == PLACE_SENT;
}

void
dns_retire(struct dns *d)
{
	struct question *q;

	if (d == NULL)
		return;
	RB_FOREACH(q, question_tree, &d->tree)
		if (is_under_way(q))
			settle(q,
			    no_answer(q, DNS_FAILED,
				"its resolver is in use no more"));
	while ((q = TAILQ_FIRST(&d->ready)) != NULL)
		tell(d, q);
	dns_free(d);
}

void
dns_ask_fresh(struct dns *d, const char *name, enum dns_type type, dns_cb *cb,
    void *arg)
{
	struct question *q = put_question(d, name, type, cb, arg);

	if (is_under_way(q))
		return;
	leave_list(d, q);
	unkeep(d, q);
	q->place = PLACE_WAITING;
	TAILQ_INSERT_TAIL(&d->waiting, q, list);
	ev_soon(d->ev, &d->task, on_turn_end, d);
}

static void
touch(struct dns *d, struct question *q)
{
	TAILQ_REMOVE(&d->use, q, use);
	TAILQ_INSERT_TAIL(&d->use, q, use);
}

/* Has it an answer that may serve: kept, or just arrived? */
static bool
is_answered(const struct dns *d, const struct question *q)
{
	return q != NULL && q->answer != NULL &&
	    (!q->is_kept || ev_now(d->ev) < q->until_ms);
}

void
dns_ask(struct dns *d, const char *name, enum dns_type type, dns_cb *cb,
    void *arg)
{
	struct question *q = find(d, name, type);

	if (!is_answered(d, q)) {
		dns_ask_fresh(d, name, type, cb, arg);
		return;
	}
	(void)put_question(d, name, type, cb, arg);
	if (q->is_kept)
		touch(d, q);
	make_ready(d, q);
}

uint32_t
dns_kept_s(struct dns *d, const char *name, enum dns_type type)
{
	const struct question *q = find(d, name, type);

	return q != NULL && q->is_kept ? seconds_left(q) : 0;
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
