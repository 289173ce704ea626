#include "smtpd/guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "smtpd/base/net.h"
#include "smtpd/caller.h"
#include "smtpd/conf.h"
#include "smtpd/roles.h"

#define GUESTS_PER_USER 200 /* at once of one uid */
#define FILE_BLOCK 65536    /* bytes of a transcript at a time */
#define FILE_ROOM 131072    /* bytes held of it */
#define OUTPUT_HIGH 65536   /* bytes that a slow reader may leave waiting */
#define STRANGER_LINES 10   /* in the log, a second */
#define LINGER_MS 10000     /* for a peer to close that was sent away */

static void on_event(void *arg, enum io_event);
static void read_more(void *arg);

/* ---- coming and going ---- */

void
guest_leave(struct guest *g)
{
	struct door *door = g->door;

	guest_drop_mail(g);
	TAILQ_REMOVE(&door->guests, g, entry);
	door->count--;
	door->stats.sessions = door->count;
	door->stats_changed = true;
	server_free(g->server);
	submission_clear(&g->sub);
	ev_soon_del(door->ev, &g->task);
	buf_clear(&g->in);
	if (g->file != -1)
		close(g->file);
	free(g);
}

/*
 * Tell the parent what became of a transcript. If it was taken for some of its
 * recipients only, its sender is no longer there to hear of the others: the
 * file is set aside for the administrator, and not tried again, which would
 * send the message twice to those who have it.
 */
static void
report(struct guest *g)
{
	struct msg_offline_done m = { .number = g->number, .status = 554 };
	bool taken = server_accepted(g->server) > 0;
	const char *text;
	int code = server_refusal(g->server, &text);

	if (code == 0)
		text = taken ? "taken" : "no message in it";
	if (code == 0 && taken)
		m.status = 250;
	else if (code != 0 && !taken)
		m.status = (uint32_t)code;
	(void)snprintf(m.text, sizeof m.text, "%s%s",
	    code != 0 && taken ? "in part: " : "", text);
	MSG_SEND(child_peer(g->door->child, ROLE_PARENT, 0), offline_done, &m,
	    -1);
}

void
door_second(struct door *door)
{
	struct log_line line;

	if (door->unsaid > 0) {
		log_begin(&line, LOG_PRI_NOTICE, "sessions-not-logged");
		log_int(&line, "count", door->unsaid);
		log_end(&line);
	}
	door->lines = door->unsaid = 0;
}

/* Whoever may not relay shall not fill the log. */
static bool
may_fill_log(const struct guest *g)
{
	if (g->may_relay || g->door->lines++ < STRANGER_LINES)
		return true;
	g->door->unsaid++;
	return false;
}

static void
log_session(const struct guest *g, const char *refused)
{
	struct log_line line;

	log_begin(&line, LOG_PRI_NOTICE, "session");
	log_str(&line, "client", g->client);
	log_int(&line, "accepted", server_accepted(g->server));
	log_str(&line, "refused", refused);
	log_end(&line);
}

/*
 * Wait until the peer has read what was said last and closes. If the socket
 * were closed while something of the peer's is unread, the peer would get a
 * reset, and perhaps not the reason. Nobody may keep a place by it for long.
 */
static void
linger(struct guest *g)
{
	struct buf *in = io_input(g->io);

	if (g->wait != GUEST_LINGERS) {
		g->wait = GUEST_LINGERS;
		g->wait_by = ev_now(g->door->ev) + LINGER_MS;
		io_set_deadline(g->io, g->wait_by);
	}
	buf_take(in, buf_len(in));
	if (io_pending(g->io) == 0)
		(void)shutdown(io_fd(g->io), SHUT_WR);
	if (g->closed) {
		io_finish(g->io);
		guest_leave(g);
	} else
		io_resume(g->io);
}

/* The dialogue is over; what was said still goes out. */
static void
finish(struct guest *g)
{
	const char *text;
	int refusal = server_refusal(g->server, &text);

	if (refusal != 0 && may_fill_log(g))
		log_session(g, text);
	if (g->io != NULL && g->may_relay && refusal != 0) {
		guest_drop_mail(g);
		linger(g);
		return;
	}
	if (g->io == NULL)
		report(g);
	else
		io_finish(g->io);
	guest_leave(g);
}

static int
expand(void *arg, const char *address,
    int (*add)(void *add_arg, const char *address), void *add_arg,
    const char **why)
{
	const struct guest *g = arg;

	return alias_expand(g->door->aliases, address, add, add_arg, why);
}

static void
trace(void *arg, char direction, const char *line)
{
	const struct guest *g = arg;

	log_dialogue(g->client, direction, line, strlen(line));
}

/* A guest of whom nothing is known yet. */
static struct guest *
new_guest(struct door *door)
{
	const struct conf *conf = child_conf(door->child);
	struct guest *g = xcalloc(1, sizeof *g);

	g->door = door;
	g->file = -1;
	g->uid = -1;
	submission_init(&g->sub);
	buf_init(&g->in, FILE_ROOM);
	(void)strlcpy(g->hostname,
	    conf->hostname != NULL ? conf->hostname : "localhost",
	    sizeof g->hostname);
	return g;
}

/* It is known who comes: the dialogue begins. */
static void
begin(struct guest *g)
{
	const struct conf *conf = child_conf(g->door->child);
	struct door *door = g->door;
	struct server_params params = { .hostname = g->hostname,
		.size_max = conf->message_size,
		.rcpt_max = conf->recipients,
		.may_relay = g->may_relay,
		.is_local = g->is_local,
		.is_batch = g->io == NULL,
		.expand = expand,
		.expand_arg = g,
		.trace = log_is_verbose() ? trace : NULL,
		.trace_arg = g };

	g->server = server_new(&params, ev_now(door->ev));
	if (g->server == NULL)
		log_die("out of memory");
	TAILQ_INSERT_TAIL(&door->guests, g, entry);
	door->count++;
	door->stats.sessions = door->count;
	door->stats.sessions_total++;
	door->stats_changed = true;
}

/* The kernel tells who is at the other end of the Unix socket. */
static int
know_local(struct guest *g, int fd)
{
	struct caller caller;

	if (caller_know(&caller, fd, g->door->admins) == -1)
		return -1;
	g->is_local = g->may_relay = true;
	g->uid = caller.uid;
	g->is_admin = caller.is_admin;
	(void)strlcpy(g->client, "local", sizeof g->client);
	return 0;
}

static void
know_remote(struct guest *g, const struct sockaddr *peer)
{
	const struct conf *conf = child_conf(g->door->child);

	memcpy(&g->peer, peer, net_address_len(peer));
	g->may_relay =
	    netaddr_in(conf->relay_from.net, conf->relay_from.count, peer);
	(void)netaddr_host_text(peer, g->client);
	(void)netaddr_literal(peer, g->literal);
}

/* One user must not take all places; administrators always get in. */
static bool
is_crowd(const struct guest *g)
{
	const struct guest *other;
	unsigned n = 0;

	TAILQ_FOREACH(other, &g->door->guests, entry) {
		if (other->is_local && other->uid == g->uid)
			n++;
	}
	return n >= GUESTS_PER_USER && !g->is_admin;
}

void
guest_turn_away(struct door *door, int fd, const char *text)
{
	(void)send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	door->stats.refused++;
	door->stats_changed = true;
}

void
guest_welcome(struct door *door, int fd, const struct sockaddr *peer)
{
	struct guest *g = new_guest(door);

	if (peer != NULL)
		know_remote(g, peer);
	else if (know_local(g, fd) == -1 || is_crowd(g)) {
		guest_turn_away(door, fd, "421 4.7.0 too many of yours\r\n");
		free(g);
		return;
	}
	g->io = io_new(door->ev, fd, on_event, g);
	if (g->io == NULL)
		log_die("out of memory");
	begin(g);
	guest_run(g);
}

void
guest_read(struct door *door, int fd, uint64_t number, int64_t uid)
{
	struct guest *g = new_guest(door);

	g->file = fd;
	g->number = number;
	g->uid = uid;
	g->is_local = g->may_relay = true;
	(void)strlcpy(g->client, "offline", sizeof g->client);
	begin(g);
	ev_soon(door->ev, &g->task, read_more, g);
}

/* ---- the dialogue ---- */

static void
send_output(struct guest *g)
{
	size_t len;
	const char *bytes = server_output(g->server, &len);

	/* The engine stops reading while much of its output waits. */
	if (g->io != NULL && io_pending(g->io) >= OUTPUT_HIGH &&
	    server_need(g->server) != SERVER_ENDED)
		return;
	if (len > 0 && g->io != NULL)
		io_write(g->io, bytes, len);
	server_sent(g->server, len, ev_now(g->door->ev));
}

/* Do what the engine needs; false: it waits for more, or for another. */
static bool
serve(struct guest *g)
{
	const char *bytes;
	size_t len;
	bool first;

	if (g->wait != GUEST_TALKS)
		return false;
	switch (server_need(g->server)) {
	case SERVER_NEEDS_PEER:
	case SERVER_ENDED:
		return false;
	case SERVER_HAS_CONTENT:
		bytes = server_content(g->server, &len, &first);
		guest_content(g, bytes, len, first);
		return true;
	case SERVER_NEEDS_VERDICT:
		guest_submit(g);
		return true;
	case SERVER_HAS_CTL:
		guest_ctl(g);
		return true;
	}
	return false;
}

/* Use input as far as it goes. Returns how much was used. */
static size_t
talk(struct guest *g, struct buf *in)
{
	size_t used, all = 0;

	while (serve(g))
		;
	/* What waited may have left meanwhile, and made room. */
	send_output(g);
	while (g->wait == GUEST_TALKS && buf_len(in) > 0) {
		used = server_input(g->server, in->mem + in->start, buf_len(in),
		    ev_now(g->door->ev));
		/* Content stands in the input: it is used before that goes. */
		while (serve(g))
			;
		buf_take(in, used);
		all += used;
		send_output(g);
		if (used == 0)
			break;
	}
	send_output(g);
	return all;
}

static void
set_deadline(struct guest *g)
{
	int64_t by =
	    g->wait != GUEST_TALKS ? g->wait_by : server_deadline(g->server);

	io_set_deadline(g->io, by == SERVER_NO_DEADLINE ? 0 : by);
}

void
guest_run(struct guest *g)
{
	if (g->io == NULL) {
		ev_soon(g->door->ev, &g->task, read_more, g);
		return;
	}
	if (g->wait == GUEST_LINGERS) {
		linger(g);
		return;
	}
	if (talk(g, io_input(g->io)) > 0)
		io_resume(g->io);
	if (g->wait == GUEST_HANDS_OVER && io_pending(g->io) == 0) {
		guest_hand_over(g);
		return;
	}
	/* While much output waits, input does too: do not end before it was
	 * used; we come here again. */
	if (g->closed && g->wait == GUEST_TALKS &&
	    io_pending(g->io) < OUTPUT_HIGH)
		server_eof(g->server);
	if (server_need(g->server) == SERVER_ENDED)
		finish(g);
	else
		set_deadline(g);
}

/* Read the next block of a transcript. Nobody reads the replies. */
static void
read_more(void *arg)
{
	struct guest *g = arg;
	char *room = buf_room(&g->in, FILE_BLOCK);
	ssize_t n;

	if (g->wait == GUEST_TALKS && !g->closed && room != NULL) {
		n = read(g->file, room, FILE_BLOCK);
		if (n > 0)
			buf_grown(&g->in, (size_t)n);
		else if (n == 0)
			g->closed = true;
		else
			server_close(g->server, "4.3.0", strerror(errno));
	}
	(void)talk(g, &g->in);
	if (g->wait != GUEST_TALKS)
		return;
	if (g->closed)
		server_eof(g->server);
	if (server_need(g->server) == SERVER_ENDED)
		finish(g);
	else
		ev_soon(g->door->ev, &g->task, read_more, g);
}

/* Neither the queue nor a file came in time, or the peer does not close. */
static void
wait_over(struct guest *g)
{
	if (g->wait == GUEST_LINGERS) {
		io_free(g->io);
		guest_leave(g);
		return;
	}
	if (g->wait == GUEST_WANTS_QUEUE) {
		guest_submitted(g, 451);
		return;
	}
	if (g->wait == GUEST_WANTS_FILE) {
		guest_file(g, ETIMEDOUT, -1);
		return;
	}
	finish(g);
}

static void
on_event(void *arg, enum io_event event)
{
	struct guest *g = arg;

	switch (event) {
	case IO_INPUT:
	case IO_SENT:
		guest_run(g);
		break;
	case IO_CLOSED:
		g->closed = true;
		guest_run(g);
		break;
	case IO_TIMEOUT:
		if (g->wait != GUEST_TALKS) {
			wait_over(g);
			break;
		}
		server_expire(g->server, ev_now(g->door->ev));
		guest_run(g);
		break;
	case IO_ERROR:
		io_free(g->io);
		guest_leave(g);
		break;
	case IO_CONNECTED:
	case IO_SECURE:
		break;
	}
}

void
guest_dismiss(struct guest *g)
{
	if (g->io == NULL && g->wait != GUEST_WANTS_QUEUE) {
		/* Left where it is: the parent brings it again. */
		guest_leave(g);
		return;
	}
	if (g->wait == GUEST_WANTS_QUEUE)
		return;
	if (g->wait == GUEST_LINGERS) {
		wait_over(g);
		return;
	}
	g->wait = GUEST_TALKS;
	server_close(g->server, "4.3.2", "shutting down");
	guest_run(g);
}
