#include "smtpd/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/pki.h"
#include "tests/t.h"

static struct ev *ev;

/* An owner that keeps a record of what it heard. */
struct owner {
	struct io *io;
	char heard[64]; /* a letter an event */
	char got[1 << 20];
	size_t got_len;
	bool keep;    /* leave the input where it is */
	char stop_at; /* end the loop at this event */
	char free_at; /* free the io at this event */
	char why[320];
	size_t input_max; /* most that was ever held */
};

static void
take_input(struct owner *o)
{
	struct buf *in = io_input(o->io);
	size_t len = buf_len(in);

	if (len > o->input_max)
		o->input_max = len;
	if (o->keep || o->got_len + len > sizeof(o->got))
		return;
	memcpy(o->got + o->got_len, buf_bytes(in), len);
	o->got_len += len;
	buf_take(in, len);
}

static void
on_io(void *arg, enum io_event event)
{
	static const char letters[] = "CsIWXTE";
	struct owner *o = arg;
	char letter[2] = { letters[event], '\0' };

	/* Input comes in as many pieces as it likes. */
	if (event != IO_INPUT || o->heard[0] == '\0' ||
	    o->heard[strlen(o->heard) - 1] != 'I')
		strlcat(o->heard, letter, sizeof(o->heard));
	if (event == IO_INPUT)
		take_input(o);
	if (event == IO_ERROR)
		strlcpy(o->why, io_why(o->io), sizeof(o->why));
	if (o->free_at == letter[0]) {
		io_free(o->io);
		o->io = NULL;
	}
	if (o->stop_at == letter[0])
		ev_stop(ev);
}

static void
give_up(void *arg)
{
	(void)arg;
	t_str("the loop went on", "it ended in time");
	ev_stop(ev);
}

/* Run until the owner's stop, or some seconds. */
static void
run(struct owner *o, char stop_at)
{
	struct ev_timer end = { 0 };

	o->stop_at = stop_at;
	ev_timer_init(&end, give_up, NULL);
	ev_timer_set(ev, &end, ev_now(ev) + 10000);
	ev_run(ev);
	ev_timer_del(ev, &end);
}

static void
pause_ms(struct owner *o, int ms)
{
	io_set_deadline(o->io, ev_now(ev) + ms);
	run(o, 'T');
}

static int
open_pair(struct owner *o)
{
	int sv[2];

	memset(o, 0, sizeof(*o));
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv);
	o->io = io_new(ev, sv[0], on_io, o);
	return sv[1];
}

static void
test_clear(void)
{
	static struct owner o;
	char text[32];
	int peer = open_pair(&o);

	t_case("io: output of one turn leaves as one write");
	io_write(o.io, "MAIL\r\n", 6);
	io_write(o.io, "RCPT\r\n", 6);
	t_int(io_pending(o.io), 12);
	t_int(read(peer, text, sizeof(text)), -1);
	run(&o, 'W');
	t_int(io_pending(o.io), 0);
	t_int(read(peer, text, sizeof(text)), 12);
	t_mem(text, 12, "MAIL\r\nRCPT\r\n", 12);

	t_case("io: what the peer wrote last is read before its end is told");
	t_int(write(peer, "221 bye\r\n", 9), 9);
	close(peer);
	run(&o, 'X');
	t_mem(o.got, o.got_len, "221 bye\r\n", 9);
	t_str(o.heard, "WIX");
	io_free(o.io);
}

static void
test_deadline(void)
{
	static struct owner o;
	int peer = open_pair(&o);
	int64_t begun = ev_now(ev);

	t_case("io: a deadline fires once; one taken back never");
	io_set_deadline(o.io, begun + 30);
	io_set_deadline(o.io, 0);
	io_set_deadline(o.io, begun + 20);
	run(&o, 'T');
	t_true(ev_now(ev) - begun >= 20);
	t_str(o.heard, "T");
	io_free(o.io);
	close(peer);
}

/* Write until neither side moves any more; how much has left. */
static ssize_t
overfill(struct owner *o, int peer, const char *flood, size_t len)
{
	ssize_t sent = 0, n;
	size_t held, before;

	for (int still = 0; still < 10;) {
		before = buf_len(io_input(o->io));
		n = write(peer, flood, len - (size_t)sent);
		sent += n > 0 ? n : 0;
		pause_ms(o, 2);
		held = buf_len(io_input(o->io));
		still = n > 0 || held > before ? 0 : still + 1;
	}
	return sent;
}

static void
test_bound(void)
{
	static struct owner o;
	static char flood[300000];
	int peer = open_pair(&o);
	ssize_t sent;

	t_case("io: input is bounded however much a peer sends");
	memset(flood, 'f', sizeof(flood));
	o.keep = true;
	sent = overfill(&o, peer, flood, sizeof(flood));
	t_int(buf_len(io_input(o.io)), IO_INPUT_MAX);
	t_int(o.input_max, IO_INPUT_MAX);

	t_case("io: reading goes on when the owner made room");
	o.keep = false;
	take_input(&o);
	io_resume(o.io);
	while (o.got_len < (size_t)sent && o.got_len < sizeof(o.got))
		pause_ms(&o, 2);
	t_int(o.got_len, sent);

	t_case("io: a full stream that breaks does not spin the loop");
	o.keep = true;
	o.got_len = 0;
	(void)overfill(&o, peer, flood, sizeof(flood));
	t_int(buf_len(io_input(o.io)), IO_INPUT_MAX);
	close(peer);
	o.heard[0] = '\0';
	pause_ms(&o, 20);
	t_str(o.heard, "T");
	o.keep = false;
	take_input(&o);
	io_resume(o.io);
	run(&o, 'X');
	io_free(o.io);
}

static void
test_output(void)
{
	static struct owner o;
	static char flood[1000000], back[1000000];
	size_t got = 0;
	ssize_t n;
	int peer = open_pair(&o);
	size_t i;

	t_case("io: output larger than the socket's room arrives whole");
	for (i = 0; i < sizeof(flood); i++)
		flood[i] = (char)(i * 7 >> 3);
	io_write(o.io, flood, sizeof(flood));
	while (got < sizeof(back) && strchr(o.heard, 'E') == NULL) {
		pause_ms(&o, 1);
		while ((n = read(peer, back + got, sizeof(back) - got)) > 0)
			got += (size_t)n;
	}
	t_int(got, sizeof(flood));
	t_true(memcmp(flood, back, sizeof(flood)) == 0);
	io_free(o.io);
	close(peer);

	t_case("io: whoever shares the socket cannot make us wait in a write");
	peer = open_pair(&o);
	t_int(fcntl(io_fd(o.io), F_SETFL, 0), 0);
	io_write(o.io, flood, sizeof(flood));
	alarm(10);
	pause_ms(&o, 20);
	alarm(0);
	t_true(io_pending(o.io) > 0);
	io_free(o.io);
	close(peer);

	t_case("io: too much pending output is an error, not memory");
	peer = open_pair(&o);
	for (i = 0; i < 20; i++)
		io_write(o.io, flood, sizeof(flood));
	run(&o, 'E');
	t_str(o.why, "too much output waits");
	io_free(o.io);
	close(peer);
}

static void
test_finish(void)
{
	static struct owner o;
	char text[32];
	int peer = open_pair(&o);
	struct ev_timer end = { 0 };

	t_case("io: a finished stream sends what it has, then closes");
	io_write(o.io, "QUIT\r\n", 6);
	io_finish(o.io);
	ev_timer_init(&end, (void (*)(void *))ev_stop, ev);
	ev_timer_set(ev, &end, ev_now(ev) + 5);
	ev_run(ev);
	t_int(read(peer, text, sizeof(text)), 6);
	t_int(read(peer, text, sizeof(text)), 0);
	t_str(o.heard, "");
	close(peer);

	t_case("io: its owner may free it in any callback");
	peer = open_pair(&o);
	o.free_at = 'I';
	t_int(write(peer, "x", 1), 1);
	close(peer);
	run(&o, 'I');
	t_true(o.io == NULL);
	t_str(o.heard, "I");
}

static int
listen_on(struct sockaddr_in *sa)
{
	socklen_t len = sizeof(*sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(sa, 0, sizeof(*sa));
	sa->sin_family = AF_INET;
	sa->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bind(fd, (struct sockaddr *)sa, sizeof(*sa));
	getsockname(fd, (struct sockaddr *)sa, &len);
	return fd;
}

static void
test_connect(void)
{
	static struct owner o;
	struct sockaddr_in sa, local = { .sin_family = AF_INET }, seen;
	socklen_t len = sizeof(seen);
	int fd = listen_on(&sa), peer;

	t_case("io: a connection refused is told in words");
	o.io = io_connect(ev, (struct sockaddr *)&sa, NULL, on_io, &o);
	run(&o, 'E');
	t_str(o.why, "Connection refused");
	t_int(io_errno(o.io), ECONNREFUSED);
	io_free(o.io);

	t_case("io: a connection from an address of one's choice");
	memset(&o, 0, sizeof(o));
	listen(fd, 5);
	local.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 8);
	o.io = io_connect(ev, (struct sockaddr *)&sa, (struct sockaddr *)&local,
	    on_io, &o);
	io_write(o.io, "early", 5);
	run(&o, 'W');
	t_str(o.heard, "CW");
	peer = accept(fd, (struct sockaddr *)&seen, &len);
	t_int(ntohl(seen.sin_addr.s_addr), INADDR_LOOPBACK + 8);
	io_free(o.io);
	close(peer);
	close(fd);
}

/* ---- TLS ---- */

struct server {
	pthread_t thread;
	SSL_CTX *ctx;
	int fd;
	bool truncate;
};

/* Echo everything, until "." comes. */
static void *
echo(void *arg)
{
	struct server *s = arg;
	SSL *ssl = SSL_new(s->ctx);
	char text[16384];
	int n;

	SSL_set_fd(ssl, s->fd);
	if (SSL_accept(ssl) == 1) {
		while ((n = SSL_read(ssl, text, sizeof(text))) > 0) {
			SSL_write(ssl, text, n);
			if (text[n - 1] == '.')
				break;
		}
		if (!s->truncate)
			SSL_shutdown(ssl);
	}
	SSL_free(ssl);
	close(s->fd);
	return NULL;
}

static void
test_tls(struct pki *pki, bool truncate)
{
	static struct owner o;
	static char flood[150000];
	struct pki_leaf leaf = { .names = "mx.test", .days = 9 };
	struct tls_target target = { .name = "mx.test" };
	struct server s = { .truncate = truncate };
	struct tls_ctx *ctx;
	const char *why;

	memset(flood, 'x', sizeof(flood));
	flood[sizeof(flood) - 1] = '.';
	ctx = tls_ctx_client(pki_root(pki), strlen(pki_root(pki)), &why);
	s.ctx = pki_server(pki, &leaf);
	s.fd = open_pair(&o);
	fcntl(s.fd, F_SETFL, 0);
	pthread_create(&s.thread, NULL, echo, &s);

	t_case("io: TLS begins on an open stream and carries it");
	io_start_tls(o.io, tls_client(ctx, &target, io_fd(o.io)));
	run(&o, 's');
	t_int(io_tls_facts(o.io)->chain, TLS_CHAIN_OK);
	io_write(o.io, flood, sizeof(flood));

	t_case(truncate ? "io: TLS cut off without close_notify is an error"
			: "io: TLS ended by close_notify is an end in order");
	run(&o, truncate ? 'E' : 'X');
	t_int(o.got_len, sizeof(flood));
	t_true(memcmp(o.got, flood, sizeof(flood)) == 0);
	t_str(o.heard, truncate ? "sWIE" : "sWIX");
	io_free(o.io);
	pthread_join(s.thread, NULL);
	SSL_CTX_free(s.ctx);
	tls_ctx_free(ctx);
}

/* A byte of a long record at a time, without end. */
struct trickle {
	struct ev_timer timer;
	int fd;
};

static void
on_trickle(void *arg)
{
	struct trickle *t = arg;

	(void)!write(t->fd, "\x16", 1);
	ev_timer_set(ev, &t->timer, ev_now(ev) + 5);
}

static void
test_trickle(struct tls_ctx *ctx)
{
	static struct owner o;
	struct tls_target target = { .name = "mx.test" };
	struct trickle t;

	t_case("io: a handshake that trickles in meets the deadline");
	t.fd = open_pair(&o);
	io_start_tls(o.io, tls_client(ctx, &target, io_fd(o.io)));
	t_int(write(t.fd, "\x16\x03\x03\x40", 4), 4);
	ev_timer_init(&t.timer, on_trickle, &t);
	on_trickle(&t);
	pause_ms(&o, 60);
	t_str(o.heard, "T");
	ev_timer_del(ev, &t.timer);
	io_free(o.io);
	close(t.fd);
}

static void
test_no_tls(void)
{
	static struct owner o;
	struct tls_target target = { .name = "mx.test" };
	const char *why;
	struct tls_ctx *ctx = tls_ctx_client(NULL, 0, &why);
	int peer = open_pair(&o);

	t_case("io: a handshake that fails says so");
	io_start_tls(o.io, tls_client(ctx, &target, io_fd(o.io)));
	t_int(write(peer, "454 no TLS\r\n", 12), 12);
	run(&o, 'E');
	t_true(strncmp(o.why, "TLS handshake: ", 15) == 0);
	io_free(o.io);
	close(peer);

	t_case("io: a peer silent in the handshake meets the deadline");
	peer = open_pair(&o);
	io_start_tls(o.io, tls_client(ctx, &target, io_fd(o.io)));
	pause_ms(&o, 20);
	t_str(o.heard, "T");
	io_free(o.io);
	close(peer);
	test_trickle(ctx);
	tls_ctx_free(ctx);
}

int
main(void)
{
	struct pki *pki = pki_new();

	ev = ev_new();
	test_clear();
	test_deadline();
	test_bound();
	test_output();
	test_finish();
	test_connect();
	test_tls(pki, false);
	test_tls(pki, true);
	test_no_tls();
	ev_free(ev);
	pki_free(pki);
	return t_done();
}
