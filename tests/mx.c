#include "tests/mx.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define THREADS 200
#define HEARD (8 << 20)

struct mx {
	struct mx_conduct conduct;
	struct sockaddr_in addr;
	int fd;
	pthread_t acceptor;
	pthread_t threads[THREADS];
	int thread_count;
	pthread_mutex_t lock;
	char *heard, *copy;
	size_t heard_len;
	int messages;
	int resumed;
	volatile int stopping;
};

/* A connection. */
struct guest {
	struct mx *mx;
	int fd;
	SSL *ssl;
	char line[8192];
	char in[16384];
	size_t at, len;
	int number; /* of the host's connections, from 1 */
	int messages;
	long bdat;
};

static void
hear(struct mx *mx, const char *line)
{
	size_t len = strlen(line);

	pthread_mutex_lock(&mx->lock);
	if (mx->heard_len + len + 2 < HEARD) {
		memcpy(mx->heard + mx->heard_len, line, len);
		mx->heard_len += len;
		mx->heard[mx->heard_len++] = '\n';
		mx->heard[mx->heard_len] = '\0';
	}
	pthread_mutex_unlock(&mx->lock);
}

static int
fill(struct guest *g)
{
	int n;

	n = g->ssl != NULL ? SSL_read(g->ssl, g->in, sizeof(g->in))
			   : (int)recv(g->fd, g->in, sizeof(g->in), 0);
	g->at = 0;
	g->len = n > 0 ? (size_t)n : 0;
	return n > 0 ? 0 : -1;
}

/* The next line without CRLF; -1 at the end. */
static int
next_line(struct guest *g)
{
	size_t len = 0;
	char c;

	do {
		if (g->at == g->len && fill(g) == -1)
			return -1;
		c = g->in[g->at++];
		if (len + 1 < sizeof(g->line))
			g->line[len++] = c;
	} while (c != '\n');
	while (len > 0 && strchr("\r\n", g->line[len - 1]) != NULL)
		len--;
	g->line[len] = '\0';
	hear(g->mx, g->line);
	return 0;
}

static void
say(struct guest *g, const char *text)
{
	int len = (int)strlen(text);

	if (g->ssl != NULL && g->mx->conduct.tickets)
		SSL_new_session_ticket(g->ssl);
	if (g->ssl != NULL)
		SSL_write(g->ssl, text, len);
	else
		send(g->fd, text, (size_t)len, MSG_NOSIGNAL);
}

static void
reset(struct guest *g)
{
	struct linger l = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(g->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

static int
shake(struct guest *g)
{
	const struct mx_conduct *c = &g->mx->conduct;
	char byte[600];

	switch (c->handshake) {
	case MX_SHAKE:
		break;
	case MX_RESET:
		reset(g);
		return -1;
	case MX_GARBAGE:
		recv(g->fd, byte, sizeof(byte), 0);
		say(g, "500 what is that?\r\n");
		return -1;
	case MX_SILENT:
		while (recv(g->fd, byte, sizeof(byte), 0) > 0)
			;
		return -1;
	case MX_HALF:
		recv(g->fd, byte, sizeof(byte), 0);
		send(g->fd, "\x16\x03\x03\x10\x00\x02", 6, MSG_NOSIGNAL);
		return -1;
	}
	g->ssl = SSL_new(c->tls);
	SSL_set_fd(g->ssl, g->fd);
	if (SSL_accept(g->ssl) != 1)
		return -1;
	if (SSL_session_reused(g->ssl)) {
		g->mx->resumed++;
		if (c->resume_fails) {
			reset(g);
			return -1;
		}
	}
	return 0;
}

static int
on_ehlo(struct guest *g)
{
	const struct mx_conduct *c = &g->mx->conduct;

	say(g, "250-mx.test\r\n250-PIPELINING\r\n250-DSN\r\n");
	if (c->ehlo != NULL)
		say(g, c->ehlo);
	if (c->tls != NULL && g->ssl == NULL)
		say(g, "250-STARTTLS\r\n");
	say(g, "250 ENHANCEDSTATUSCODES\r\n");
	return 0;
}

static int
on_starttls(struct guest *g)
{
	const struct mx_conduct *c = &g->mx->conduct;
	char text[512];

	if (c->starttls != NULL) {
		say(g, c->starttls);
		return c->starttls[0] == '\0' ? -1 : 0;
	}
	snprintf(text, sizeof(text), "220 go ahead\r\n%s",
	    c->inject != NULL ? c->inject : "");
	say(g, text);
	return shake(g);
}

static int
taken(struct guest *g)
{
	const struct mx_conduct *c = &g->mx->conduct;

	pthread_mutex_lock(&g->mx->lock);
	g->mx->messages++;
	pthread_mutex_unlock(&g->mx->lock);
	usleep((useconds_t)c->think_ms * 1000);
	if (c->end != NULL && c->end[0] == '\0')
		return -1;
	say(g, c->end != NULL ? c->end : "250 2.0.0 taken\r\n");
	if (++g->messages != c->messages)
		return 0;
	/* Gone without a sign: the next message meets a reset. */
	if (c->gone_silently && fill(g) == 0)
		reset(g);
	return -1;
}

static int
on_data(struct guest *g)
{
	const struct mx_conduct *c = &g->mx->conduct;

	if (c->data != NULL) {
		say(g, c->data);
		return 0;
	}
	say(g, "354 go on\r\n");
	do {
		if (next_line(g) == -1)
			return -1;
	} while (strcmp(g->line, ".") != 0);
	return taken(g);
}

static int
on_bdat(struct guest *g)
{
	long left = strtol(g->line + 5, NULL, 10);

	while (left > 0) {
		if (g->at == g->len && fill(g) == -1)
			return -1;
		g->at++;
		left--;
	}
	return taken(g);
}

static bool
is(const struct guest *g, const char *verb)
{
	return strncasecmp(g->line, verb, strlen(verb)) == 0;
}

/* Do the replies to MAIL and RCPT hold now? */
static bool
applies(const struct guest *g)
{
	return !g->mx->conduct.later || g->messages > 0;
}

static int
answer(struct guest *g)
{
	const struct mx_conduct *c = &g->mx->conduct;

	if (is(g, "EHLO"))
		return on_ehlo(g);
	if (is(g, "STARTTLS"))
		return on_starttls(g);
	if (is(g, "DATA"))
		return on_data(g);
	if (is(g, "BDAT"))
		return on_bdat(g);
	if (is(g, "QUIT")) {
		say(g, "221 bye\r\n");
		return -1;
	}
	if (is(g, "MAIL") && c->mail != NULL && applies(g))
		say(g, c->mail);
	else if (is(g, c->later ? "RCPT" : "RCPT TO:<bad") && c->rcpt != NULL &&
	    applies(g))
		say(g, c->rcpt);
	else if (is(g, "AUTH"))
		say(g, "235 2.7.0 welcome\r\n");
	else
		say(g, "250 2.1.0 ok\r\n");
	return 0;
}

static void *
serve(void *arg)
{
	struct guest *g = arg;
	const struct mx_conduct *c = &g->mx->conduct;

	usleep((useconds_t)c->greet_ms * (c->busy == g->number ? 2000 : 1000));
	if (!c->implicit || shake(g) == 0) {
		say(g,
		    c->busy == g->number      ? "421 4.3.2 busy\r\n"
			: c->greeting != NULL ? c->greeting
					      : "220 mx.test ESMTP\r\n");
		while (next_line(g) == 0 && answer(g) == 0)
			;
	}
	if (g->ssl != NULL && !c->no_close_notify)
		SSL_shutdown(g->ssl);
	SSL_free(g->ssl);
	close(g->fd);
	free(g);
	return NULL;
}

static void *
accept_all(void *arg)
{
	struct mx *mx = arg;
	struct pollfd p = { .fd = mx->fd, .events = POLLIN };
	struct guest *g;
	int fd, on = 1;

	while (!mx->stopping) {
		if (poll(&p, 1, 10) != 1)
			continue;
		fd = accept(mx->fd, NULL, NULL);
		if (fd == -1 || mx->thread_count == THREADS)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		g = calloc(1, sizeof(*g));
		if (g == NULL)
			break;
		g->mx = mx;
		g->fd = fd;
		g->number = mx->thread_count + 1;
		pthread_create(&mx->threads[mx->thread_count++], NULL, serve,
		    g);
	}
	return NULL;
}

struct mx *
mx_start(int host, int port, const struct mx_conduct *conduct)
{
	struct mx *mx = calloc(1, sizeof(*mx));
	socklen_t len = sizeof(mx->addr);
	int on = 1;

	mx->conduct = *conduct;
	mx->heard = calloc(1, HEARD);
	mx->copy = calloc(1, HEARD);
	pthread_mutex_init(&mx->lock, NULL);
	mx->addr.sin_family = AF_INET;
	mx->addr.sin_port = htons((in_port_t)port);
	mx->addr.sin_addr.s_addr = htonl(0x7f000000U | (unsigned)host);
	mx->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(mx->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(mx->fd, (struct sockaddr *)&mx->addr, sizeof(mx->addr)) != 0 ||
	    listen(mx->fd, 100) != 0) {
		perror("mx");
		exit(1);
	}
	getsockname(mx->fd, (struct sockaddr *)&mx->addr, &len);
	pthread_create(&mx->acceptor, NULL, accept_all, mx);
	return mx;
}

void
mx_stop(struct mx *mx)
{
	int i;

	mx->stopping = 1;
	pthread_join(mx->acceptor, NULL);
	for (i = 0; i < mx->thread_count; i++)
		pthread_join(mx->threads[i], NULL);
	close(mx->fd);
	free(mx->heard);
	free(mx->copy);
	free(mx);
}

struct sockaddr_in
mx_address(const struct mx *mx)
{
	return mx->addr;
}

const char *
mx_heard(struct mx *mx)
{
	pthread_mutex_lock(&mx->lock);
	memcpy(mx->copy, mx->heard, mx->heard_len + 1);
	pthread_mutex_unlock(&mx->lock);
	return mx->copy;
}

int
mx_connections(struct mx *mx)
{
	return mx->thread_count;
}

int
mx_messages(struct mx *mx)
{
	int n;

	pthread_mutex_lock(&mx->lock);
	n = mx->messages;
	pthread_mutex_unlock(&mx->lock);
	return n;
}

int
mx_resumed(struct mx *mx)
{
	return mx->resumed;
}
