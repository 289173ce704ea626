#include "smtpd/cli/submit.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "smtpd/cli/ctl_client.h"

#define CHUNK_SIZE 65536
#define RCPT_MOST 10000 /* of one message; the daemon says how many it takes */

/* A dialogue with the daemon. */
struct session {
	struct submit_mail *mail;
	struct client *client;
	struct client_pass *pass;
	int fd;
	struct client_message message; /* under way */
	struct client_rcpt *rcpts;     /* of it */
	size_t *which;                 /* their numbers in mail->rcpts */
	bool sent;                     /* a message was given to the engine */
	uint64_t offset;               /* of the content, fed so far */
};

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Move the results of the message under way to its recipients. */
static void
collect(struct session *s)
{
	const struct client_result *r;
	struct submit_rcpt *rcpt;

	for (size_t i = 0; s->sent && i < s->message.rcpt_count; i++) {
		r = client_result(s->pass, i);
		if (!r->tried)
			continue;
		rcpt = &s->mail->rcpts[s->which[i]];
		switch (r->trouble.outcome) {
		case OUTCOME_DELIVERED:
			rcpt->state = SUBMIT_TAKEN;
			break;
		case OUTCOME_DEFERRED:
			rcpt->state = SUBMIT_DEFERRED;
			break;
		case OUTCOME_BOUNCED:
			rcpt->state = SUBMIT_REFUSED;
			break;
		}
		(void)strlcpy(rcpt->reply,
		    r->reply[0] != '\0' ? r->reply : r->trouble.detail,
		    sizeof rcpt->reply);
		(void)strlcpy(rcpt->dsn, r->trouble.dsn, sizeof rcpt->dsn);
	}
	s->sent = false;
}

/* Give the engine the message for all who wait. False: no one does. */
static bool
send_next(struct session *s)
{
	struct submit_mail *m = s->mail;
	struct client_message *msg = &s->message;
	size_t n = 0;

	for (size_t i = 0; i < m->rcpt_count; i++) {
		if (m->rcpts[i].state != SUBMIT_WAITING)
			continue;
		s->rcpts[n].address = m->rcpts[i].address;
		s->rcpts[n].notify = m->notify;
		s->which[n++] = i;
	}
	if (n == 0)
		return false;
	memset(msg, 0, sizeof *msg);
	msg->sender = m->sender;
	msg->envid = m->envid;
	msg->ret = m->ret;
	msg->eightbit =
	    m->content->scan.header_8bit || m->content->scan.body_8bit;
	msg->smtputf8 = m->smtputf8;
	msg->size = content_size(m->content);
	msg->rcpts = s->rcpts;
	msg->rcpt_count = n;
	s->offset = 0;
	s->sent = true;
	client_send_message(s->pass, msg, now_ms());
	return true;
}

static void
read_some(struct session *s)
{
	char bytes[8192];
	ssize_t n;

	n = recv(s->fd, bytes, sizeof bytes, MSG_DONTWAIT);
	if (n > 0)
		client_input(s->client, bytes, (size_t)n, now_ms());
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		client_eof(s->client, now_ms());
}

static void
write_some(struct session *s)
{
	size_t len;
	const char *bytes = client_output(s->client, &len);
	ssize_t n;

	n = send(s->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		client_sent(s->client, (size_t)n, now_ms());
	else if (n == -1 && errno != EINTR && errno != EAGAIN)
		client_eof(s->client, now_ms());
}

/* Wait until bytes can move, or the deadline, and move them. */
static void
exchange(struct session *s)
{
	struct pollfd pfd = { s->fd, POLLIN, 0 };
	int64_t wait = client_deadline(s->client) - now_ms();
	size_t len;

	(void)client_output(s->client, &len);
	if (len > 0)
		pfd.events |= POLLOUT;
	if (wait < 0)
		wait = 0;
	if (wait > INT_MAX)
		wait = INT_MAX;
	if (poll(&pfd, 1, (int)wait) == 0)
		client_expire(s->client, now_ms());
	/* Input first: a refusal explains why output is no longer taken. */
	if ((pfd.revents & (POLLIN | POLLHUP | POLLERR)) != 0)
		read_some(s);
	else if ((pfd.revents & POLLOUT) != 0)
		write_some(s);
}

static void
feed(struct session *s)
{
	char bytes[CHUNK_SIZE];
	long n;

	if (!client_wants_body(s->client)) {
		exchange(s);
		return;
	}
	n = content_at(s->mail->content, s->offset, bytes, sizeof bytes);
	if (n <= 0) {
		client_abort(s->client, "the message cannot be read back",
		    now_ms());
		return;
	}
	s->offset += (uint64_t)n;
	client_feed(s->client, bytes, (size_t)n, now_ms());
}

static void
run(struct session *s)
{
	enum client_need need;

	while ((need = client_need(s->client)) != CLIENT_ENDED) {
		switch (need) {
		case CLIENT_NEEDS_PEER:
			exchange(s);
			break;
		case CLIENT_NEEDS_TLS:
			client_abort(s->client, "TLS on a local socket",
			    now_ms());
			break;
		case CLIENT_NEEDS_VERDICT:
			s->pass = client_proceed_in_clear(s->client, now_ms());
			break;
		case CLIENT_NEEDS_BODY:
			feed(s);
			break;
		case CLIENT_NEEDS_MESSAGE:
			collect(s);
			if (!send_next(s))
				client_quit(s->client, now_ms());
			break;
		case CLIENT_ENDED:
			break;
		}
	}
	collect(s);
}

/*
 * The reply is not one about the message or a recipient: the session broke
 * off, the daemon takes no more, or its queue is not there (451 4.3.0).
 */
static bool
says_nothing(const struct submit_rcpt *r)
{
	return r->state == SUBMIT_DEFERRED &&
	    (r->reply[0] < '0' || r->reply[0] > '9' ||
		strncmp(r->reply, "421", 3) == 0 ||
		strncmp(r->reply, "451 4.3.0", 9) == 0);
}

/* The session is over. Was every recipient judged? */
static int
conclude(struct session *s, char why[SUBMIT_WHY_SIZE])
{
	const struct client_result *end = client_trouble(s->client);
	struct submit_rcpt *r = s->mail->rcpts;
	int result = 0;

	for (size_t i = 0; i < s->mail->rcpt_count; i++) {
		if (says_nothing(&r[i]))
			r[i].state = SUBMIT_WAITING;
		if (r[i].state == SUBMIT_WAITING)
			result = -1;
	}
	(void)strlcpy(why,
	    end->reply[0] != '\0' ? end->reply : end->trouble.detail,
	    SUBMIT_WHY_SIZE);
	return result;
}

int
submit_daemon(struct submit_mail *mail,
    void (*trace)(void *arg, char direction, const char *line),
    char why[SUBMIT_WHY_SIZE])
{
	struct client_params params = { .helo = "localhost",
		.tls = CLIENT_TLS_CLEAR,
		.rcpt_most = RCPT_MOST,
		.trace = trace };
	struct session s = { .mail = mail };
	int result = -1;

	s.fd = ctl_connect();
	if (s.fd == -1) {
		(void)snprintf(why, SUBMIT_WHY_SIZE, "%s: %s", CTL_SOCKET,
		    strerror(errno));
		return -1;
	}
	s.client = client_new(&params, now_ms());
	s.rcpts = calloc(mail->rcpt_count, sizeof *s.rcpts);
	s.which = calloc(mail->rcpt_count, sizeof *s.which);
	if (s.client == NULL || s.rcpts == NULL || s.which == NULL)
		(void)strlcpy(why, "out of memory", SUBMIT_WHY_SIZE);
	else {
		run(&s);
		result = conclude(&s, why);
	}
	client_free(s.client);
	free(s.rcpts);
	free(s.which);
	close(s.fd);
	return result;
}
