#include "queue/index.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_SIZE 264
#define RESTING_MAX 10000 /* destinations: a bound on memory */

static int
compare_messages(const struct message *a, const struct message *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

static int
compare_dests(const struct dest *a, const struct dest *b)
{
	return strcmp(a->key, b->key);
}

static int
compare_domains(const struct domain *a, const struct domain *b)
{
	return strcmp(a->name, b->name);
}

/* RB_GENERATE_STATIC() of libbsd 0.11 needs an __unused that it lacks. */
RB_GENERATE_INTERNAL(message_tree, message, node, compare_messages,
    static __attribute__((unused)))
RB_GENERATE_INTERNAL(dest_tree, dest, node, compare_dests,
    static __attribute__((unused)))
RB_GENERATE_INTERNAL(domain_tree, domain, node, compare_domains,
    static __attribute__((unused)))

void
index_init(struct index *ix, const struct index_hooks *hooks, int64_t now_ms)
{
	int i;

	memset(ix, 0, sizeof *ix);
	ix->hooks = *hooks;
	RB_INIT(&ix->messages);
	RB_INIT(&ix->dests);
	RB_INIT(&ix->domains);
	for (i = 0; i < RINGS; i++)
		TAILQ_INIT(&ix->rings[i]);
	wheel_init(&ix->rcpt_wheel, now_ms);
	wheel_init(&ix->message_wheel, now_ms);
	wheel_init(&ix->dest_wheel, now_ms);
	ages_init(ix, now_ms);
}

static void
drop_dest(struct index *ix, struct dest *dest)
{
	wheel_clear(&dest->timer);
	RB_REMOVE(dest_tree, &ix->dests, dest);
	free(dest->fault);
	free(dest);
}

void
index_clear(struct index *ix)
{
	struct dest *dest, *next;
	struct message *m;

	while ((m = RB_MIN(message_tree, &ix->messages)) != NULL)
		index_free(ix, m);
	RB_FOREACH_SAFE(dest, dest_tree, &ix->dests, next)
		drop_dest(ix, dest);
}

/* ---- destinations and domains ---- */

static struct dest *
find_dest(struct index *ix, const char *key)
{
	struct dest *dest;
	int order;

	dest = RB_ROOT(&ix->dests);
	while (dest != NULL && (order = strcmp(key, dest->key)) != 0)
		dest = order < 0 ? RB_LEFT(dest, node) : RB_RIGHT(dest, node);
	return dest;
}

struct dest *
index_dest(struct index *ix, const char *key)
{
	return find_dest(ix, key);
}

struct dest *
index_dest_after(struct index *ix, const char *key)
{
	struct dest *dest, *best;

	best = NULL;
	dest = RB_ROOT(&ix->dests);
	while (dest != NULL)
		if (strcmp(dest->key, key) > 0) {
			best = dest;
			dest = RB_LEFT(dest, node);
		} else
			dest = RB_RIGHT(dest, node);
	while (best != NULL && best->refs == 0)
		best = RB_NEXT(dest_tree, &ix->dests, best);
	return best;
}

static void
wake_dest(struct index *ix, struct dest *dest)
{
	wheel_clear(&dest->timer);
	ix->resting--;
	ix->dest_count++;
}

static struct dest *
intern_dest(struct index *ix, const char *key)
{
	struct limit_conf conf;
	struct dest *dest;
	size_t len;

	dest = find_dest(ix, key);
	if (dest != NULL) {
		if (dest->refs == 0)
			wake_dest(ix, dest);
		return dest;
	}
	len = strlen(key) + 1;
	dest = calloc(1, sizeof *dest + len);
	if (dest == NULL)
		return NULL;
	memcpy(dest->key, key, len);
	TAILQ_INIT(&dest->line);
	ix->hooks.limits(ix->hooks.arg, key, &conf);
	limit_init(&dest->limit, &conf);
	RB_INSERT(dest_tree, &ix->dests, dest);
	ix->dest_count++;
	return dest;
}

static void
leave_ring(struct index *ix, struct dest *dest)
{
	if (dest->ring != RING_NONE)
		TAILQ_REMOVE(&ix->rings[dest->ring], dest, ring_link);
	dest->ring = RING_NONE;
}

void
index_hold_dest(struct dest *dest)
{
	dest->refs++;
}

void
index_let_dest(struct index *ix, struct dest *dest)
{
	int64_t until;

	if (--dest->refs > 0)
		return;
	leave_ring(ix, dest);
	ix->dest_count--;
	until = limit_remembers(&dest->limit);
	if (until == 0 || ix->resting == RESTING_MAX) {
		drop_dest(ix, dest);
		return;
	}
	ix->resting++;
	wheel_set(&ix->dest_wheel, &dest->timer, until);
}

static struct domain *
intern_domain(struct index *ix, const char *name)
{
	char key[KEY_SIZE];
	struct domain *domain;
	size_t len;
	int order;

	domain = RB_ROOT(&ix->domains);
	while (domain != NULL && (order = strcmp(name, domain->name)) != 0)
		domain =
		    order < 0 ? RB_LEFT(domain, node) : RB_RIGHT(domain, node);
	if (domain != NULL)
		return domain;
	len = strlen(name) + 1;
	domain = calloc(1, sizeof *domain + len);
	if (domain == NULL)
		return NULL;
	memcpy(domain->name, name, len);
	ix->hooks.route(ix->hooks.arg, name, key);
	domain->dest = intern_dest(ix, key);
	if (domain->dest == NULL) {
		free(domain);
		return NULL;
	}
	index_hold_dest(domain->dest);
	RB_INSERT(domain_tree, &ix->domains, domain);
	return domain;
}

static void
release_domain(struct index *ix, struct domain *domain)
{
	if (domain == NULL || --domain->refs > 0)
		return;
	RB_REMOVE(domain_tree, &ix->domains, domain);
	index_let_dest(ix, domain->dest);
	free(domain);
}

/* ---- messages ---- */

struct message *
index_message(uint64_t id, uint16_t rcpts)
{
	struct message *m;
	uint16_t i;

	m = calloc(1, sizeof *m + rcpts * sizeof m->rcpts[0]);
	if (m == NULL)
		return NULL;
	m->id = id;
	m->count = rcpts;
	m->alive = rcpts;
	m->body = -1;
	for (i = 0; i < rcpts; i++) {
		m->rcpts[i].number = i;
		m->rcpts[i].state = RCPT_DONE; /* nowhere as yet */
	}
	return m;
}

int
index_set_domain(struct index *ix, struct message *m, uint16_t n,
    const char *domain)
{
	struct domain *d;

	d = n > 0 && strcmp(m->rcpts[n - 1].domain->name, domain) == 0
	    ? m->rcpts[n - 1].domain
	    : intern_domain(ix, domain);
	if (d == NULL)
		return -1;
	d->refs++;
	m->rcpts[n].domain = d;
	return 0;
}

int
index_add(struct index *ix, struct message *m)
{
	if (RB_INSERT(message_tree, &ix->messages, m) != NULL)
		return -1;
	ix->message_count++;
	return 0;
}

void
index_free(struct index *ix, struct message *m)
{
	uint16_t i;

	for (i = 0; i < m->count; i++) {
		index_drop(ix, &m->rcpts[i]);
		release_domain(ix, m->rcpts[i].domain);
	}
	wheel_clear(&m->timer);
	if (m->node.rbe_parent != NULL || RB_ROOT(&ix->messages) == m) {
		RB_REMOVE(message_tree, &ix->messages, m);
		ix->message_count--;
	}
	if (m->body != -1)
		(void)close(m->body);
	free(m);
}

struct message *
index_find(struct index *ix, uint64_t id)
{
	struct message *m;

	m = RB_ROOT(&ix->messages);
	while (m != NULL && m->id != id)
		m = id < m->id ? RB_LEFT(m, node) : RB_RIGHT(m, node);
	return m;
}

struct message *
index_from(struct index *ix, uint64_t id)
{
	struct message *m, *best;

	best = NULL;
	m = RB_ROOT(&ix->messages);
	while (m != NULL)
		if (m->id >= id) {
			best = m;
			m = RB_LEFT(m, node);
		} else
			m = RB_RIGHT(m, node);
	return best;
}

struct message *
index_next(struct message *m)
{
	return RB_NEXT(message_tree, NULL, m);
}

uint64_t
index_newest(struct index *ix)
{
	struct message *m;

	m = RB_MAX(message_tree, &ix->messages);
	return m == NULL ? 0 : m->id;
}

struct message *
index_owner(struct rcpt *r)
{
	char *first;

	first = (char *)(r - r->number);
	return (
	    struct message *)(void *)(first - offsetof(struct message, rcpts));
}

/* ---- recipients ---- */

bool
index_is_down(const struct dest *dest)
{
	return dest->limit.failures > 0;
}

const struct fault *
index_fault(const struct dest *dest)
{
	return index_is_down(dest) ? dest->fault : NULL;
}

void
index_dest_down(struct index *ix, struct dest *dest, bool was_down)
{
	if (was_down == index_is_down(dest))
		return;
	if (was_down)
		ix->blocked -= dest->counts[RCPT_READY];
	else
		ix->blocked += dest->counts[RCPT_READY];
}

static void
count(struct index *ix, struct rcpt *r, bool more)
{
	struct dest *dest;
	uint64_t by;

	dest = r->domain->dest;
	by = more ? 1 : (uint64_t)-1;
	ix->counts[r->state] += by;
	dest->counts[r->state] += by;
	dest->ages[ages_class(ix, index_owner(r)->id)] += by;
	if (r->state == RCPT_READY && index_is_down(dest))
		ix->blocked += by;
}

/* A lower bound; index_oldest() makes it exact if only the line is left. */
static void
note_oldest(struct dest *dest, uint64_t id)
{
	if (dest->oldest == 0 || id < dest->oldest)
		dest->oldest = id;
}

uint64_t
index_oldest(struct dest *dest)
{
	struct rcpt *first;

	first = TAILQ_FIRST(&dest->line);
	if (dest->counts[RCPT_DEFERRED] + dest->counts[RCPT_SENDING] +
		dest->counts[RCPT_HELD] ==
	    0)
		dest->oldest = first == NULL ? 0 : index_owner(first)->id;
	return dest->oldest;
}

/* A destination whose line is empty leaves its ring too. */
static void
leave_line(struct index *ix, struct dest *dest, struct rcpt *r)
{
	TAILQ_REMOVE(&dest->line, r, at.line_link);
	if (TAILQ_EMPTY(&dest->line))
		leave_ring(ix, dest);
}

void
index_drop(struct index *ix, struct rcpt *r)
{
	struct dest *dest;

	if (r->state == RCPT_DONE)
		return;
	dest = r->domain->dest;
	count(ix, r, false);
	if (r->state == RCPT_READY)
		leave_line(ix, dest, r);
	else if (r->state == RCPT_DEFERRED)
		wheel_clear(&r->at.timer);
	r->state = RCPT_DONE;
}

void
index_move(struct index *ix, struct rcpt *r, enum rcpt_state state,
    int64_t due_ms, bool first)
{
	struct dest *dest;

	index_drop(ix, r);
	if (state == RCPT_DONE)
		return;
	dest = r->domain->dest;
	r->state = (uint8_t)state;
	count(ix, r, true);
	note_oldest(dest, index_owner(r)->id);
	memset(&r->at, 0, sizeof r->at);
	if (state == RCPT_DEFERRED)
		wheel_set(&ix->rcpt_wheel, &r->at.timer, due_ms);
	else if (state == RCPT_READY && first)
		TAILQ_INSERT_HEAD(&dest->line, r, at.line_link);
	else if (state == RCPT_READY)
		TAILQ_INSERT_TAIL(&dest->line, r, at.line_link);
}

int64_t
index_due(const struct rcpt *r)
{
	return r->at.timer.at_ms;
}

/* ---- turns ---- */

static enum index_ring
ring_of(const struct dest *dest)
{
	if (index_is_down(dest))
		return RING_DEAD;
	return dest->limit.proven ? RING_PROVEN : RING_FRESH;
}

void
index_settle(struct index *ix, struct dest *dest, int64_t now_ms)
{
	enum index_ring ring;
	int64_t next;

	ring = RING_NONE;
	next = INT64_MAX;
	if (!TAILQ_EMPTY(&dest->line)) {
		next = limit_next(&dest->limit, now_ms);
		if (next == 0)
			ring = ring_of(dest);
	}
	if (ring != dest->ring) {
		leave_ring(ix, dest);
		dest->ring = (uint8_t)ring;
		if (ring != RING_NONE)
			TAILQ_INSERT_TAIL(&ix->rings[ring], dest, ring_link);
	}
	if (next == 0 || next == INT64_MAX)
		wheel_clear(&dest->timer);
	else if (!wheel_is_set(&dest->timer) || dest->timer.at_ms != next)
		wheel_set(&ix->dest_wheel, &dest->timer, next);
}

void
index_dest_due(struct index *ix, struct dest *dest, int64_t now_ms)
{
	if (dest->refs > 0) {
		index_settle(ix, dest, now_ms);
		return;
	}
	ix->resting--;
	drop_dest(ix, dest);
}

struct dest *
index_turn(struct index *ix, enum index_ring ring)
{
	return TAILQ_FIRST(&ix->rings[ring]);
}

void
index_rotate(struct index *ix, struct dest *dest)
{
	if (dest->ring == RING_NONE || TAILQ_NEXT(dest, ring_link) == NULL)
		return;
	TAILQ_REMOVE(&ix->rings[dest->ring], dest, ring_link);
	TAILQ_INSERT_TAIL(&ix->rings[dest->ring], dest, ring_link);
}

void
index_set_back(struct index *ix, int64_t now_ms, int64_t until_ms)
{
	struct message *m;
	struct dest *dest;
	struct rcpt *r;
	uint16_t i;

	RB_FOREACH(m, message_tree, &ix->messages) {
		for (i = 0; i < m->count; i++) {
			r = &m->rcpts[i];
			if (r->state == RCPT_DEFERRED &&
			    index_due(r) > until_ms)
				index_move(ix, r, RCPT_DEFERRED, until_ms,
				    false);
		}
	}
	RB_FOREACH(dest, dest_tree, &ix->dests) {
		limit_set_back(&dest->limit, now_ms, until_ms);
		if (dest->refs > 0)
			index_settle(ix, dest, now_ms);
		else
			wheel_set(&ix->dest_wheel, &dest->timer,
			    limit_remembers(&dest->limit));
	}
}

/* ---- reload ---- */

/* Recipients of domains whose next hop changed go to the new line. */
static void
move_message(struct index *ix, struct message *m, int64_t now_ms)
{
	struct rcpt *r;
	struct domain *old, *new;
	enum rcpt_state state;
	int64_t due;
	uint16_t i;

	for (i = 0; i < m->count; i++) {
		r = &m->rcpts[i];
		old = r->domain;
		new = intern_domain(ix, old->name);
		if (new == NULL || new == old)
			continue;
		state = (enum rcpt_state)r->state;
		due = state == RCPT_DEFERRED ? index_due(r) : 0;
		index_drop(ix, r);
		new->refs++;
		r->domain = new;
		index_move(ix, r, state, due, false);
		index_settle(ix, new->dest, now_ms);
		/* The old one left the tree already: index_reroute(). */
		if (--old->refs == 0) {
			index_let_dest(ix, old->dest);
			free(old);
		}
	}
}

void
index_reroute(struct index *ix, int64_t now_ms)
{
	char key[KEY_SIZE];
	struct limit_conf conf;
	struct domain *domain, *next;
	struct dest *dest;
	struct message *m;
	bool moved;

	RB_FOREACH(dest, dest_tree, &ix->dests) {
		ix->hooks.limits(ix->hooks.arg, dest->key, &conf);
		limit_change(&dest->limit, &conf);
		if (dest->refs > 0)
			index_settle(ix, dest, now_ms);
	}
	moved = false;
	RB_FOREACH_SAFE(domain, domain_tree, &ix->domains, next) {
		ix->hooks.route(ix->hooks.arg, domain->name, key);
		if (strcmp(key, domain->dest->key) == 0)
			continue;
		RB_REMOVE(domain_tree, &ix->domains, domain);
		moved = true;
	}
	if (!moved)
		return;
	RB_FOREACH(m, message_tree, &ix->messages)
		move_message(ix, m, now_ms);
}
