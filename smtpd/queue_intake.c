#include "smtpd/queue_intake.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/tree.h>
#include <unistd.h>

#include "queue/id.h"
#include "smtpd/base/ev.h"
#include "smtpd/base/log.h"

/* SMTP codes for the listener (RFC 5321 4.2.3). */
#define CODE_LOCAL_ERROR 451
#define CODE_NO_SPACE 452

/* A message that is not yet answered. */
struct incoming {
	RB_ENTRY(incoming) node;
	uint64_t id;
	struct envelope env;
	bool has_large; /* a file was handed out */
	bool appended;
	bool broken; /* a recipient could not be kept */
};

RB_HEAD(incoming_tree, incoming);

struct queue_intake {
	struct incoming_tree tree;
	struct queue_stats *stats;
};

static int
by_id(const struct incoming *a, const struct incoming *b)
{
	return (a->id > b->id) - (a->id < b->id);
}

/* RB_GENERATE_STATIC() of libbsd 0.11 needs an __unused that it lacks. */
RB_GENERATE_INTERNAL(incoming_tree, incoming, node, by_id,
    static __attribute__((unused)))

struct queue_intake *
queue_intake_new(struct queue_stats *stats)
{
	struct queue_intake *in = xcalloc(1, sizeof *in);

	RB_INIT(&in->tree);
	in->stats = stats;
	return in;
}

static void
forget(struct queue_intake *in, struct incoming *m)
{
	RB_REMOVE(incoming_tree, &in->tree, m);
	envelope_clear(&m->env);
	free(m);
}

static struct incoming *
find(struct queue_intake *in, uint64_t id)
{
	struct incoming key = { .id = id };

	return RB_FIND(incoming_tree, &in->tree, &key);
}

static struct incoming *
find_or_make(struct queue_intake *in, uint64_t id)
{
	struct incoming *m = find(in, id);

	if (m != NULL)
		return m;
	m = xcalloc(1, sizeof *m);
	m->id = id;
	envelope_init(&m->env);
	(void)RB_INSERT(incoming_tree, &in->tree, m);
	return m;
}

void
queue_intake_rcpt(struct queue_intake *in, const struct msg_submit_rcpt *msg)
{
	struct incoming *m = find_or_make(in, msg->id);
	struct recipient rcpt = { .address = msg->address,
		.orcpt = msg->orcpt,
		.notify = msg->notify & NOTIFY_ALL };

	if (m->appended || envelope_add(&m->env, &rcpt) == -1)
		m->broken = true;
}

static void
answer(struct ipc *listen, uint64_t id, uint32_t status)
{
	struct msg_submitted m = { .id = id, .status = status };

	if (listen != NULL)
		MSG_SEND(listen, submitted, &m, -1);
}

static void
log_refused(uint64_t id, int error)
{
	char text[ID_SIZE];
	struct log_line line;

	id_format(id, text);
	log_begin(&line, LOG_PRI_ERR, "refused");
	log_str(&line, "id", text);
	log_str(&line, "error", strerror(error));
	log_end(&line);
}

/* Nothing was promised; the client is told to try again. */
static void
refuse(struct queue_intake *in, struct incoming *m, int error,
    struct ipc *listen)
{
	bool is_full = error == ENOSPC || error == EDQUOT || error == EIO ||
	    error == EROFS;

	log_refused(m->id, error);
	answer(listen, m->id, is_full ? CODE_NO_SPACE : CODE_LOCAL_ERROR);
	forget(in, m);
}

/* The envelope's own fields. false: no memory. */
static bool
fill_envelope(struct envelope *env, const struct msg_submit *msg)
{
	env->id = msg->id;
	env->arrived_us = msg->arrived_us;
	env->size = msg->size;
	env->uid = msg->uid;
	env->flags = msg->flags & ENVELOPE_FLAGS_ALL;
	env->sender = envelope_text(env, msg->sender);
	env->envid = envelope_text(env, msg->envid);
	env->client = envelope_text(env, msg->client);
	env->message_id = envelope_text(env, msg->message_id);
	return env->sender != NULL && env->envid != NULL &&
	    env->client != NULL && env->message_id != NULL;
}

const struct envelope *
queue_intake_submit(struct queue_intake *in, struct spool *spool,
    const struct msg_submit *msg, int body, struct ipc *listen)
{
	struct incoming *m = find_or_make(in, msg->id);
	int error = 0, result;

	if (m->appended)
		error = EEXIST;
	else if (m->broken || m->env.rcpt_count != msg->rcpts ||
	    m->env.rcpt_count == 0 || (body == -1 && !m->has_large))
		error = EINVAL;
	else if (!fill_envelope(&m->env, msg))
		error = ENOMEM;
	if (error == 0) {
		result = body != -1
		    ? spool_append(spool, &m->env, body, ev_wall_ms())
		    : spool_append_large(spool, &m->env, ev_wall_ms());
		if (result == 0) {
			m->appended = true;
			return &m->env;
		}
		error = errno;
	}
	if (body != -1)
		(void)close(body);
	if (m->has_large && !m->appended)
		spool_large_drop(spool, m->id);
	refuse(in, m, error, listen);
	return NULL;
}

void
queue_intake_settled(struct queue_intake *in, uint64_t id, int error,
    struct ipc *listen)
{
	struct incoming *m = find(in, id);

	if (m == NULL)
		return;
	if (error != 0) {
		refuse(in, m, error, listen);
		return;
	}
	queue_log_accepted(in->stats, &m->env);
	answer(listen, id, 0);
	forget(in, m);
}

void
queue_intake_large(struct queue_intake *in, struct spool *spool, uint64_t id,
    struct ipc *listen)
{
	struct msg_large_file reply = { .id = id };
	int fd = spool_large_open(spool, id);

	if (fd == -1)
		reply.error = (uint32_t)errno;
	else
		find_or_make(in, id)->has_large = true;
	if (listen != NULL)
		MSG_SEND(listen, large_file, &reply, fd);
	else if (fd != -1)
		(void)close(fd);
}

void
queue_intake_large_drop(struct queue_intake *in, struct spool *spool,
    uint64_t id)
{
	struct incoming *m = find(in, id);

	if (m == NULL || !m->has_large || m->appended)
		return;
	spool_large_drop(spool, id);
	forget(in, m);
}

void
queue_intake_abandon(struct queue_intake *in, struct spool *spool)
{
	struct incoming *m, *next;

	RB_FOREACH_SAFE(m, incoming_tree, &in->tree, next) {
		if (m->appended)
			continue; /* it is in the journal: settled() follows */
		if (m->has_large)
			spool_large_drop(spool, m->id);
		forget(in, m);
	}
}
