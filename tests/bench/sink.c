/*
 * sink: a mail host for measurements; STARTTLS, and everything is taken.
 *
 *	sink -c cert.pem -k key.pem [-a addr] [-p port] [-e expect]
 *	    [-t seconds] [-q] [-w]
 *
 * Counts each message once by its X-Bench header. Ends after "expect"
 * distinct messages, or "seconds" after the start. -q delays ACKs as ordinary
 * receivers do (no TCP_QUICKACK); -w also prints each number and its
 * time T as it arrives.
 * Prints "ready" when it listens, and in the end:
 *
 *	received=N distinct=N connections=N resumed=N clear=N bytes=N
 *	    first=T last=T seconds=S
 *
 * clear: MAIL commands that came without TLS. T: CLOCK_MONOTONIC of the first
 * and of the last message. Exit 0 if all came, each once, none in the clear.
 */

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NUMBERS_MAX 4000000
#define BUFFER_SIZE 65536
#define IDLE_SECONDS 60

static struct {
	SSL_CTX *ctx;
	long expect;
	bool delay_acks;
	bool show;
	atomic_long received;
	atomic_long distinct;
	atomic_long connections;
	atomic_long resumed;
	atomic_long clear;
	atomic_long bytes;
	_Atomic double first;
	_Atomic double last;
	atomic_uchar *seen;
} sink;

struct session {
	int fd;
	SSL *ssl;
	char input[BUFFER_SIZE];
	size_t start;
	size_t end;
	char output[4096];
	size_t out;
};

static double
monotonic(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool
flush(struct session *s)
{
	size_t len = s->out;

	s->out = 0;
	if (len == 0)
		return true;
	if (s->ssl != NULL)
		return SSL_write(s->ssl, s->output, (int)len) == (int)len;
	return send(s->fd, s->output, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Replies to pipelined commands leave together. */
static bool
reply(struct session *s, const char *text)
{
	size_t len = strlen(text);

	if (s->out + len > sizeof s->output && !flush(s))
		return false;
	(void)memcpy(s->output + s->out, text, len);
	s->out += len;
	return true;
}

static bool
fill(struct session *s)
{
	ssize_t n;
	int zero = 0;

	if (!flush(s))
		return false;
	if (s->start > 0) {
		(void)memmove(s->input, s->input + s->start, s->end - s->start);
		s->end -= s->start;
		s->start = 0;
	}
	if (s->end == sizeof s->input)
		return false;
	if (sink.delay_acks)
		(void)setsockopt(s->fd, IPPROTO_TCP, TCP_QUICKACK, &zero,
		    sizeof zero);
	if (s->ssl != NULL)
		n = SSL_read(s->ssl, s->input + s->end,
		    (int)(sizeof s->input - s->end));
	else
		n = recv(s->fd, s->input + s->end, sizeof s->input - s->end, 0);
	if (n <= 0)
		return false;
	s->end += (size_t)n;
	atomic_fetch_add(&sink.bytes, n);
	return true;
}

/* The next line with its CRLF; NULL when the stream ended. */
static char *
line(struct session *s, size_t *len)
{
	for (;;) {
		char *begin = s->input + s->start;
		char *end = memchr(begin, '\n', s->end - s->start);

		if (end != NULL) {
			*len = (size_t)(end + 1 - begin);
			s->start += *len;
			return begin;
		}
		if (!fill(s))
			return NULL;
	}
}

static void
count_message(long number)
{
	double now = monotonic();

	if (atomic_fetch_add(&sink.received, 1) == 0)
		sink.first = now;
	sink.last = now;
	if (number >= 0 && number < NUMBERS_MAX &&
	    atomic_exchange(&sink.seen[number], 1) == 0)
		atomic_fetch_add(&sink.distinct, 1);
	if (sink.show) {
		printf("%ld %.6f\n", number, now);
		(void)fflush(stdout);
	}
}

static bool
take_content(struct session *s)
{
	long number = -1;
	size_t len;
	char *text;

	if (!reply(s, "354 go\r\n"))
		return false;
	while ((text = line(s, &len)) != NULL) {
		if (len == 3 && text[0] == '.')
			break;
		if (number == -1 && len > 9 &&
		    strncasecmp(text, "X-Bench: ", 9) == 0)
			number = strtol(text + 9, NULL, 10);
	}
	if (text == NULL)
		return false;
	count_message(number);
	return reply(s, "250 2.0.0 taken\r\n");
}

static bool
secure(struct session *s)
{
	if (!reply(s, "220 go\r\n") || !flush(s))
		return false;
	s->start = s->end = 0;
	s->ssl = SSL_new(sink.ctx);
	if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1 ||
	    SSL_accept(s->ssl) != 1)
		return false;
	if (SSL_session_reused(s->ssl))
		atomic_fetch_add(&sink.resumed, 1);
	return true;
}

static bool
command(struct session *s, const char *text)
{
	if (strncasecmp(text, "EHLO", 4) == 0)
		return reply(s,
		    s->ssl != NULL ? "250-sink\r\n250-PIPELINING\r\n"
				     "250-8BITMIME\r\n250 SIZE 104857600\r\n"
				   : "250-sink\r\n250-PIPELINING\r\n"
				     "250 STARTTLS\r\n");
	if (strncasecmp(text, "STARTTLS", 8) == 0)
		return s->ssl == NULL && secure(s);
	if (strncasecmp(text, "DATA", 4) == 0)
		return take_content(s);
	if (strncasecmp(text, "QUIT", 4) == 0) {
		(void)(reply(s, "221 bye\r\n") && flush(s));
		return false;
	}
	if (strncasecmp(text, "MAIL", 4) == 0 && s->ssl == NULL)
		atomic_fetch_add(&sink.clear, 1);
	return reply(s, "250 2.0.0 ok\r\n");
}

static void *
serve(void *arg)
{
	struct session *s = arg;
	size_t len;
	char *text;

	if (reply(s, "220 sink ESMTP\r\n"))
		while ((text = line(s, &len)) != NULL)
			if (!command(s, text))
				break;
	if (s->ssl != NULL)
		(void)SSL_shutdown(s->ssl);
	SSL_free(s->ssl);
	(void)close(s->fd);
	free(s);
	return NULL;
}

static void *
accept_all(void *arg)
{
	struct timeval idle = { .tv_sec = IDLE_SECONDS };
	int listener = *(int *)arg, fd, one = 1;
	pthread_attr_t attr;
	pthread_t thread;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, 256 * 1024);
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) != -1) {
		struct session *s = calloc(1, sizeof *s);

		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
		    sizeof one);
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle,
		    sizeof idle);
		atomic_fetch_add(&sink.connections, 1);
		if (s == NULL) {
			(void)close(fd);
			continue;
		}
		s->fd = fd;
		if (pthread_create(&thread, &attr, serve, s) != 0) {
			(void)close(fd);
			free(s);
		}
	}
	return NULL;
}

static int
open_listener(const char *address, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd == -1 || inet_pton(AF_INET, address, &sin.sin_addr) != 1)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&sin, sizeof sin) == -1 ||
	    listen(fd, 1024) == -1)
		return -1;
	return fd;
}

/* The next sink is the same host: it resumes the TLS sessions of this one. */
static bool
load_certificate(const char *cert, const char *key)
{
	static unsigned char ticket_keys[80];

	sink.ctx = SSL_CTX_new(TLS_server_method());
	return sink.ctx != NULL &&
	    SSL_CTX_set_tlsext_ticket_keys(sink.ctx, ticket_keys,
		sizeof ticket_keys) == 1 &&
	    SSL_CTX_use_certificate_chain_file(sink.ctx, cert) == 1 &&
	    SSL_CTX_use_PrivateKey_file(sink.ctx, key, SSL_FILETYPE_PEM) == 1;
}

static int
report(double began)
{
	printf(
	    "received=%ld distinct=%ld connections=%ld resumed=%ld clear=%ld "
	    "bytes=%ld first=%.6f last=%.6f seconds=%.3f\n",
	    sink.received, sink.distinct, sink.connections, sink.resumed,
	    sink.clear, sink.bytes, sink.first, sink.last, monotonic() - began);
	return sink.distinct == sink.expect && sink.received == sink.expect &&
		sink.clear == 0
	    ? 0
	    : 1;
}

int
main(int argc, char **argv)
{
	const char *cert = NULL, *key = NULL, *address = "0.0.0.0";
	long port = 25, seconds = 60;
	double began = monotonic();
	pthread_t thread;
	int ch, listener, result;

	while ((ch = getopt(argc, argv, "a:c:e:k:p:qt:w")) != -1) {
		if (ch == 'a')
			address = optarg;
		else if (ch == 'c')
			cert = optarg;
		else if (ch == 'e')
			sink.expect = atol(optarg);
		else if (ch == 'k')
			key = optarg;
		else if (ch == 'p')
			port = atol(optarg);
		else if (ch == 'q')
			sink.delay_acks = true;
		else if (ch == 't')
			seconds = atol(optarg);
		else if (ch == 'w')
			sink.show = true;
		else
			return 64;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	sink.seen = calloc(NUMBERS_MAX, sizeof *sink.seen);
	if (cert == NULL || key == NULL || sink.seen == NULL ||
	    !load_certificate(cert, key)) {
		(void)fprintf(stderr, "sink: certificate or key unusable\n");
		return 64;
	}
	if ((listener = open_listener(address, (uint16_t)port)) == -1) {
		perror("sink: listen");
		return 69;
	}
	printf("ready\n");
	(void)fflush(stdout);
	if (pthread_create(&thread, NULL, accept_all, &listener) != 0)
		return 71;
	while (sink.distinct < sink.expect &&
	    monotonic() - began < (double)seconds)
		(void)usleep(2000);
	result = report(began);
	(void)fflush(stdout);
	_exit(result); /* sessions still use what exit() would free */
}
