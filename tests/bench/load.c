/*
 * load: an SMTP client for measurements.
 *
 *	load [-a addr] [-p port] [-s sessions] [-n messages] [-l bytes]
 *	    [-d domains] [-z zone] [-f first] [-r]
 *
 * Sends "messages" of "bytes" each over "sessions" parallel connections, one
 * message after another on each; every message carries its number in the
 * header X-Bench. Recipients are spread over d0.ZONE, d1.ZONE...; the zone is
 * bench.test unless told otherwise.
 * With -r each message has a connection of its own. Prints one line:
 *
 *	accepted=N failed=N seconds=S rate=N/S first=T last=T
 *
 * T: CLOCK_MONOTONIC of the first connection and of the last reply.
 */

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SESSIONS_MAX 512
#define REPLY_SIZE 4096

static struct {
	struct sockaddr_in peer;
	long sessions;
	long messages;
	long size;
	long domains;
	long first;
	bool reconnect;
	char *padding;
	const char *zone;
	atomic_long next;
	atomic_long accepted;
	atomic_long failed;
} load = {
	.sessions = 10,
	.messages = 1000,
	.size = 4096,
	.domains = 1,
	.zone = "bench.test",
};

struct session {
	int fd;
	char reply[REPLY_SIZE];
	size_t have;
};

static double
monotonic(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool
send_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

/* The code of the next complete reply, 0 when the connection is gone. */
static int
read_reply(struct session *s)
{
	for (;;) {
		char *end = memchr(s->reply, '\n', s->have);
		ssize_t n;

		if (end != NULL) {
			size_t line = (size_t)(end + 1 - s->reply);
			bool last = line > 3 && s->reply[3] != '-';
			int code = (int)strtol(s->reply, NULL, 10);

			s->have -= line;
			memmove(s->reply, end + 1, s->have);
			if (last)
				return code;
			continue;
		}
		if (s->have == sizeof s->reply)
			return 0;
		n = recv(s->fd, s->reply + s->have, sizeof s->reply - s->have,
		    0);
		if (n <= 0)
			return 0;
		s->have += (size_t)n;
	}
}

static bool
ask(struct session *s, const char *text, int want)
{
	return send_all(s->fd, text, strlen(text)) && read_reply(s) == want;
}

static bool
open_session(struct session *s)
{
	int one = 1;

	s->have = 0;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd == -1)
		return false;
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return connect(s->fd, (struct sockaddr *)&load.peer,
		   sizeof load.peer) == 0 &&
	    read_reply(s) == 220 && ask(s, "EHLO load.bench.test\r\n", 250);
}

static bool
send_message(struct session *s, long number)
{
	char text[512], head[512];
	bool ok;

	(void)snprintf(text, sizeof text, "RCPT TO:<u%ld@d%ld.%s>\r\n", number,
	    number % load.domains, load.zone);
	(void)snprintf(head, sizeof head,
	    "From: <load@bench.test>\r\nTo: <u%ld@d%ld.%s>\r\n"
	    "Date: Tue, 24 Nov 2026 00:00:00 +0000\r\n"
	    "Message-ID: <%ld@bench.test>\r\n"
	    "Subject: bench\r\nX-Bench: %ld\r\n\r\n",
	    number, number % load.domains, load.zone, number, number);
	ok = ask(s, "MAIL FROM:<load@bench.test>\r\n", 250) &&
	    ask(s, text, 250) && ask(s, "DATA\r\n", 354) &&
	    send_all(s->fd, head, strlen(head)) &&
	    send_all(s->fd, load.padding, strlen(load.padding)) &&
	    read_reply(s) == 250;
	return ok;
}

static void *
run_session(void *arg)
{
	struct session s = { .fd = -1 };
	bool open = false;
	long number;

	(void)arg;
	while ((number = atomic_fetch_add(&load.next, 1)) < load.messages) {
		if (!open)
			open = open_session(&s);
		if (open && send_message(&s, load.first + number)) {
			atomic_fetch_add(&load.accepted, 1);
			if (!load.reconnect)
				continue;
			(void)ask(&s, "QUIT\r\n", 221);
		} else {
			atomic_fetch_add(&load.failed, 1);
		}
		(void)close(s.fd);
		open = false;
	}
	if (open) {
		(void)ask(&s, "QUIT\r\n", 221);
		(void)close(s.fd);
	}
	return NULL;
}

/* Lines of 74 bytes and the final dot. */
static char *
make_padding(long size)
{
	size_t lines = size > 300 ? (size_t)(size - 250) / 76 : 1, i, j;
	char *text = malloc(lines * 76 + 4), *p = text;

	if (text == NULL)
		exit(1);
	for (i = 0; i < lines; i++) {
		for (j = 0; j < 74; j++)
			*p++ = (char)('a' + (i * 7 + j * 3) % 26);
		*p++ = '\r';
		*p++ = '\n';
	}
	(void)memcpy(p, ".\r\n", 4);
	return text;
}

int
main(int argc, char **argv)
{
	static pthread_t threads[SESSIONS_MAX];
	double began, ended;
	int ch;
	long i;

	load.peer.sin_family = AF_INET;
	load.peer.sin_port = htons(25);
	load.peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	while ((ch = getopt(argc, argv, "a:d:f:l:n:p:rs:z:")) != -1) {
		long value = strchr("raz?", ch) != NULL ? 1 : atol(optarg);

		if (value < 0)
			return 64;
		if (ch == 'a' &&
		    inet_pton(AF_INET, optarg, &load.peer.sin_addr) != 1)
			return 64;
		else if (ch == 'd')
			load.domains = value;
		else if (ch == 'f')
			load.first = value;
		else if (ch == 'l')
			load.size = value;
		else if (ch == 'n')
			load.messages = value;
		else if (ch == 'p')
			load.peer.sin_port = htons((uint16_t)value);
		else if (ch == 'r')
			load.reconnect = true;
		else if (ch == 's')
			load.sessions = value;
		else if (ch == 'z')
			load.zone = optarg;
		else if (ch == '?')
			return 64;
	}
	if (load.sessions < 1 || load.sessions > SESSIONS_MAX ||
	    load.domains < 1)
		return 64;
	load.padding = make_padding(load.size);
	began = monotonic();
	for (i = 0; i < load.sessions; i++)
		if (pthread_create(&threads[i], NULL, run_session, NULL) != 0)
			return 71;
	for (i = 0; i < load.sessions; i++)
		(void)pthread_join(threads[i], NULL);
	ended = monotonic();
	printf("accepted=%ld failed=%ld seconds=%.3f rate=%.0f first=%.6f "
	       "last=%.6f\n",
	    atomic_load(&load.accepted), atomic_load(&load.failed),
	    ended - began,
	    (double)atomic_load(&load.accepted) / (ended - began), began,
	    ended);
	return atomic_load(&load.failed) == 0 ? 0 : 1;
}
