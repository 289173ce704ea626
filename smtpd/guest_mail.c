/*
 * A guest's message on its way to the queue.
 */

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "smtpd/guest.h"
#include "smtpd/roles.h"

#define WAIT_MS 300000 /* for the queue; RFC 5321 4.5.3.2.6 gives 10 min */

static int
compare(const struct guest *a, const struct guest *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

/* RB_GENERATE_STATIC() of libbsd 0.11 needs an __unused that it lacks. */
/* clang-format off */
RB_GENERATE_INTERNAL(guests_by_id, guest, by_id, compare,
    static __attribute__((unused)))
/* clang-format on */

struct guest *
guest_find(struct door *door, uint64_t id)
{
	struct guest key = { .id = id };

	return RB_FIND(guests_by_id, &door->by_id, &key);
}

static uint64_t
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static struct ipc *
queue_of(const struct guest *g)
{
	return child_peer(g->door->child, ROLE_QUEUE, 0);
}

/* ---- collecting ---- */

static void
begin_mail(struct guest *g)
{
	const struct envelope *env = server_envelope(g->server);
	uint64_t now = now_us();
	char id[ID_SIZE];
	struct header_trace trace = { .helo = server_helo(g->server),
		.client = g->is_local ? NULL : g->literal,
		.uid = (long)g->uid,
		.by = g->hostname,
		.with = server_protocol(g->server),
		.id = id,
		.now = (time_t)(now / 1000000) };

	g->id = id_next(&g->door->ids, now);
	RB_INSERT(guests_by_id, &g->door->by_id, g);
	id_format(g->id, id);
	if (env->rcpt_count == 1)
		trace.rcpt = env->rcpts[0].address;
	submission_begin(&g->sub, g->id, &trace);
}

void
guest_drop_mail(struct guest *g)
{
	struct msg_large_drop m = { .id = g->id };

	if (g->id == 0)
		return;
	RB_REMOVE(guests_by_id, &g->door->by_id, g);
	if (g->has_file && queue_of(g) != NULL)
		MSG_SEND(queue_of(g), large_drop, &m, -1);
	g->has_file = false;
	g->id = 0;
	submission_reset(&g->sub);
}

static void
ask_for_file(struct guest *g)
{
	struct msg_large m = { .id = g->id };

	if (queue_of(g) == NULL) {
		server_refuse_content(g->server, 451, "4.3.0",
		    "the queue is not there, try again");
		return;
	}
	MSG_SEND(queue_of(g), large, &m, -1);
	g->has_file = true;
	g->wait = GUEST_WANTS_FILE;
	g->wait_by = ev_now(g->door->ev) + WAIT_MS;
}

void
guest_content(struct guest *g, const char *bytes, size_t len, bool first)
{
	if (first) {
		guest_drop_mail(g);
		begin_mail(g);
	}
	submission_add(&g->sub, bytes, len);
	if (!g->has_file && submission_wants_file(&g->sub))
		ask_for_file(g);
}

void
guest_file(struct guest *g, int error, int fd)
{
	if (g->wait != GUEST_WANTS_FILE) {
		if (fd != -1)
			close(fd);
		return;
	}
	g->wait = GUEST_TALKS;
	if (fd == -1) {
		log_note(LOG_PRI_WARNING, "no file for a large message: %s",
		    strerror(error));
		g->has_file = false;
		server_refuse_content(g->server, 452, "4.3.1",
		    "no room for the message, try again");
	} else
		submission_take_file(&g->sub, fd);
	guest_run(g);
}

/* ---- handing in ---- */

static void
answer(struct guest *g, int code, const char *dsn, const char *text)
{
	g->wait = GUEST_TALKS;
	server_answer(g->server, code, dsn, text, ev_now(g->door->ev));
	if (code / 100 == 2)
		g->door->stats.submitted++;
	else
		g->door->stats.rejected++;
	g->door->stats_changed = true;
}

static void
refuse(struct guest *g, int code, const char *dsn, const char *text)
{
	struct log_line line;

	log_begin(&line, LOG_PRI_NOTICE, "refused");
	log_str(&line, "client", g->client);
	log_fmt(&line, "from", "<%s>", server_envelope(g->server)->sender);
	log_fmt(&line, "reply", "%d %s %s", code, dsn, text);
	log_end(&line);
	guest_drop_mail(g);
	answer(g, code, dsn, text);
}

/* Does anything in it need SMTPUTF8, whatever the client announced? */
static uint32_t
flags_of(const struct guest *g, const struct envelope *env)
{
	uint32_t flags = env->flags & ENVELOPE_FLAGS_ALL;
	bool utf8 = g->sub.header_8bit;
	const char *p;
	size_t i;

	for (p = env->sender; *p != '\0'; p++)
		utf8 = utf8 || (unsigned char)*p >= 0x80;
	for (i = 0; i < env->rcpt_count; i++) {
		for (p = env->rcpts[i].address; *p != '\0'; p++)
			utf8 = utf8 || (unsigned char)*p >= 0x80;
	}
	if (!utf8)
		flags &= ~ENVELOPE_SMTPUTF8;
	if (g->sub.is_8bit)
		flags |= ENVELOPE_8BIT;
	else
		flags &= ~ENVELOPE_8BITMIME;
	return flags;
}

static void
send_rcpts(struct guest *g, struct ipc *queue, const struct envelope *env)
{
	struct msg_submit_rcpt m;
	size_t i;

	for (i = 0; i < env->rcpt_count; i++) {
		memset(&m, 0, sizeof m);
		m.id = g->id;
		m.notify = env->rcpts[i].notify;
		(void)strlcpy(m.address, env->rcpts[i].address,
		    sizeof m.address);
		(void)strlcpy(m.orcpt, env->rcpts[i].orcpt, sizeof m.orcpt);
		MSG_SEND(queue, submit_rcpt, &m, -1);
	}
}

static void
send_message(struct guest *g, struct ipc *queue)
{
	const struct envelope *env = server_envelope(g->server);
	struct msg_submit m;
	int fd = -1;

	memset(&m, 0, sizeof m);
	m.id = g->id;
	m.size = g->sub.size;
	m.arrived_us = id_time_us(g->id);
	m.uid = g->uid;
	m.flags = flags_of(g, env);
	m.rcpts = (uint32_t)env->rcpt_count;
	(void)strlcpy(m.sender, env->sender, sizeof m.sender);
	(void)strlcpy(m.envid, env->envid, sizeof m.envid);
	(void)strlcpy(m.client, g->client, sizeof m.client);
	(void)strlcpy(m.message_id, g->sub.message_id, sizeof m.message_id);
	send_rcpts(g, queue, env);
	if (!g->sub.is_large) {
		fd = g->sub.fd;
		g->sub.fd = -1;
	}
	MSG_SEND(queue, submit, &m, fd);
	g->has_file = false;
	g->wait = GUEST_WANTS_QUEUE;
	g->wait_by = ev_now(g->door->ev) + WAIT_MS;
}

void
guest_submit(struct guest *g)
{
	struct ipc *queue = queue_of(g);

	if (g->id == 0)
		begin_mail(g); /* not a byte of content came */
	switch (submission_end(&g->sub)) {
	case SUBMISSION_OK:
		break;
	case SUBMISSION_LOOP:
		refuse(g, 554, "5.4.6", "too many Received, a mail loop");
		return;
	case SUBMISSION_NUL:
		refuse(g, 554, "5.6.0", "the message holds a NUL");
		return;
	case SUBMISSION_HEADER:
		refuse(g, 552, "5.3.4", "the header is too large");
		return;
	case SUBMISSION_ERROR:
		log_note(LOG_PRI_ERR, "message not collected: %s",
		    strerror(g->sub.error));
		refuse(g, 452, "4.3.1", "no room for the message, try again");
		return;
	}
	if (queue == NULL)
		refuse(g, 451, "4.3.0", "the queue is not there, try again");
	else
		send_message(g, queue);
}

void
guest_submitted(struct guest *g, uint32_t status)
{
	char id[ID_SIZE], text[64];

	if (g->wait != GUEST_WANTS_QUEUE)
		return;
	id_format(g->id, id);
	guest_drop_mail(g);
	if (status == 0) {
		(void)strlcpy(text, "queued as ", sizeof text);
		(void)strlcat(text, id, sizeof text);
		answer(g, 250, "2.0.0", text);
	} else if (status == 452)
		answer(g, 452, "4.3.1", "no room for the message, try again");
	else
		answer(g, 451, "4.3.0", "not stored, try again");
	guest_run(g);
}

void
guest_queue_lost(struct guest *g)
{
	if (g->id == 0)
		return;
	if (g->wait == GUEST_WANTS_QUEUE) {
		guest_submitted(g, 451);
		return;
	}
	/* Its file is gone with the queue that made it. */
	if (!g->has_file)
		return;
	g->has_file = false;
	server_refuse_content(g->server, 451, "4.3.0",
	    "the queue was lost, try again");
	if (g->wait == GUEST_WANTS_FILE) {
		g->wait = GUEST_TALKS;
		guest_run(g);
	}
}
