/*
 * `sealpost proof`: a look-up that reads a bounded piece a turn.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "mtasts/json.h"
#include "queue/id.h"
#include "smtpd/base/io.h"
#include "smtpd/base/log.h"
#include "smtpd/ctl.h"
#include "smtpd/ctl_answer.h"
#include "smtpd/queue_proof.h"

#define ANSWERS_MAX 16    /* at once */
#define PATIENCE_MS 60000 /* for a client that does not read */

struct answer {
	LIST_ENTRY(answer) entry;
	struct queue_proof_asked *all;
	struct ev *ev;
	struct io *io;
	struct ev_task task;
	struct proof_search *search;
	unsigned found;
	bool unreadable; /* a piece of the store was */
};

struct queue_proof_asked {
	LIST_HEAD(, answer) list;
	unsigned count;
	struct json json;
};

static void
end_answer(struct answer *a)
{
	ev_soon_del(a->ev, &a->task);
	if (a->io != NULL)
		io_free(a->io);
	proof_search_free(a->search);
	LIST_REMOVE(a, entry);
	a->all->count--;
	free(a);
}

/* Text, or null where there is none. */
static void
put_text(struct json *j, const char *key, const char *text)
{
	json_string(j, key, text[0] != '\0' ? text : NULL);
}

static void
put_policy(struct json *j, const struct proof *p)
{
	const struct proof_seal *s = &p->seal;
	int64_t age_s = p->delivered_ms / 1000 - s->policy_fetched;

	put_text(j, "policy", s->policy);
	put_text(j, "policy_id", s->policy_id);
	if (s->policy_fetched == 0)
		json_null(j, "policy_age");
	else
		json_number(j, "policy_age", age_s > 0 ? age_s : 0);
	put_text(j, "policy_sha256", s->policy_sha256);
}

static void
describe(struct json *j, const struct proof *p)
{
	const struct proof_seal *s = &p->seal;
	char id[ID_SIZE];

	id_format(p->id, id);
	json_object(j, NULL);
	json_string(j, "id", id);
	put_text(j, "message_id", p->message_id);
	json_string(j, "recipient", p->recipient);
	put_text(j, "level", s->level);
	put_text(j, "auth", s->auth);
	put_text(j, "route", s->route);
	put_policy(j, p);
	put_text(j, "tlsa", s->tlsa);
	put_text(j, "tls", s->tls);
	put_text(j, "cipher", s->cipher);
	put_text(j, "group", s->group);
	put_text(j, "cert_sha256", s->cert_sha256);
	put_text(j, "mx", s->mx);
	put_text(j, "addr", s->addr);
	json_time(j, "accepted", (time_t)(p->accepted_ms / 1000));
	json_time(j, "delivered", (time_t)(p->delivered_ms / 1000));
	put_text(j, "reply", p->reply);
	json_end(j);
}

static void
on_proof(void *arg, const struct proof *p)
{
	struct answer *a = arg;

	a->found++;
	json_reset(&a->all->json);
	describe(&a->all->json, p);
	ctl_say(a->io, &a->all->json);
}

/* Say the last word; the answer is gone. */
static void
finish(struct answer *a, const char *error)
{
	if (error != NULL)
		ctl_fail(a->io, error);
	else
		ctl_complete(a->io);
	io_finish(a->io);
	a->io = NULL;
	end_answer(a);
}

static void
produce(void *arg)
{
	struct answer *a = arg;

	switch (proof_search_step(a->search, on_proof, a)) {
	case 0:
		if (a->unreadable)
			finish(a, "not all proofs could be read");
		else
			finish(a, a->found > 0 ? NULL : "no proof of that");
		return;
	case -1:
		a->unreadable = true;
		break;
	default:
		break;
	}
	io_set_deadline(a->io, ev_now(a->ev) + PATIENCE_MS);
	/* With something to send IO_SENT brings us back. */
	if (io_pending(a->io) == 0)
		ev_soon(a->ev, &a->task, produce, a);
}

static void
on_client(void *arg, enum io_event event)
{
	struct answer *a = arg;

	if (ctl_client_is_gone(a->io, event))
		end_answer(a);
	else if (event == IO_SENT)
		ev_soon(a->ev, &a->task, produce, a);
}

/* Begin; an error for people, or NULL. */
static const char *
begin(struct answer *a, struct queue_proof *q, const char *what)
{
	struct proof_query query = { .message_id = NULL };
	struct proof_store *store;
	const char *why;

	if (a->all->count > ANSWERS_MAX)
		return CTL_BUSY;
	store = queue_proof_store(q, &why);
	if (store == NULL)
		return why;
	if (id_parse(what, &query.id) == -1)
		query.message_id = what;
	queue_proof_flush(q); /* what waits is to be found as well */
	a->search = proof_search_new(store, &query);
	return a->search != NULL ? NULL : "no memory; try again";
}

void
queue_proof_answer(struct queue_proof *q, const struct msg_ctl_queue *ask,
    int fd)
{
	struct answer *a = xcalloc(1, sizeof *a);
	const char *error;

	a->all = queue_proof_asked(q);
	a->ev = queue_proof_ev(q);
	a->io = io_new(a->ev, fd, on_client, a);
	if (a->io == NULL)
		log_die("no memory");
	LIST_INSERT_HEAD(&a->all->list, a, entry);
	a->all->count++;
	error = begin(a, q, ask->what);
	if (error != NULL)
		finish(a, error);
	else
		ev_soon(a->ev, &a->task, produce, a);
}

struct queue_proof_asked *
queue_proof_asked_new(void)
{
	struct queue_proof_asked *all = xcalloc(1, sizeof *all);

	LIST_INIT(&all->list);
	json_init(&all->json);
	return all;
}

void
queue_proof_asked_free(struct queue_proof_asked *all)
{
	struct answer *a, *next;

	LIST_FOREACH_SAFE(a, &all->list, entry, next)
		end_answer(a);
	json_clear(&all->json);
	free(all);
}
