#include "tests/fakedns.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUERIES_MAX 20000
#define MESSAGE_MAX 65535

struct query {
	char name[256];
	int type;
};

struct fakedns {
	const struct fakedns_row *rows;
	size_t count;
	int udp, tcp, stop[2];
	uint16_t port;
	pthread_t thread;
	pthread_mutex_t lock;
	struct query *queries;
	size_t asked;
};

/* A message being written. */
struct out {
	uint8_t bytes[MESSAGE_MAX];
	size_t len;
	unsigned answers, authority;
};

static void
put(struct out *o, const void *bytes, size_t len)
{
	memcpy(o->bytes + o->len, bytes, len);
	o->len += len;
}

static void
put16(struct out *o, unsigned v)
{
	uint8_t b[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	put(o, b, 2);
}

static void
put32(struct out *o, uint32_t v)
{
	put16(o, v >> 16);
	put16(o, v & 0xffff);
}

static void
put_name(struct out *o, const char *name)
{
	while (*name != '\0') {
		uint8_t len = (uint8_t)strcspn(name, ".");

		if (len == 0)
			break;
		put(o, &len, 1);
		put(o, name, len);
		name += len;
		name += *name == '.';
	}
	put(o, "", 1);
}

static void
put_hex(struct out *o, const char *hex)
{
	unsigned byte;
	uint8_t b;

	for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
		if (sscanf(hex, "%2x", &byte) != 1)
			abort();
		b = (uint8_t)byte;
		put(o, &b, 1);
	}
}

static void
put_txt(struct out *o, const char *text)
{
	size_t left = strlen(text);

	do {
		uint8_t len = (uint8_t)(left > 255 ? 255 : left);

		put(o, &len, 1);
		put(o, text, len);
		text += len;
		left -= len;
	} while (left > 0);
}

static void
put_data(struct out *o, const struct fakedns_row *row)
{
	uint8_t addr[16];
	char *host;

	switch (row->type) {
	case 1:
		inet_pton(AF_INET, row->data, addr);
		put(o, addr, 4);
		break;
	case 28:
		inet_pton(AF_INET6, row->data, addr);
		put(o, addr, 16);
		break;
	case 15:
		put16(o, (unsigned)strtoul(row->data, &host, 10));
		put_name(o, host + 1);
		break;
	case 16:
		put_txt(o, row->data);
		break;
	case FAKE_CNAME:
		put_name(o, row->data);
		break;
	default:
		put_hex(o, row->data);
	}
}

static void
put_row(struct out *o, const struct fakedns_row *row)
{
	size_t at, len;

	put_name(o, row->name);
	put16(o, (unsigned)row->type);
	put16(o, 1);
	put32(o, row->ttl);
	at = o->len;
	put16(o, 0);
	put_data(o, row);
	len = o->len - at - 2;
	o->bytes[at] = (uint8_t)(len >> 8);
	o->bytes[at + 1] = (uint8_t)len;
	o->answers++;
}

static void
put_soa(struct out *o)
{
	put_name(o, "");
	put16(o, 6);
	put16(o, 1);
	put32(o, 60);
	put16(o, 22);
	put_name(o, "");
	put_name(o, "");
	put32(o, 1);
	put32(o, 1);
	put32(o, 1);
	put32(o, 1);
	put32(o, 60);
	o->authority++;
}

static bool
is_row(const struct fakedns_row *row, const char *name, int type)
{
	return strcasecmp(row->name, name) == 0 &&
	    (type == 0 || row->type == type);
}

/* All rows of a name and type; the flags of those. */
static unsigned
put_rows(struct fakedns *f, struct out *o, const char *name, int type)
{
	unsigned flags = 0;

	for (size_t i = 0; i < f->count; i++) {
		if (!is_row(&f->rows[i], name, type))
			continue;
		flags |= f->rows[i].flags;
		if (f->rows[i].data != NULL)
			put_row(o, &f->rows[i]);
	}
	return flags;
}

static const char *
cname_of(struct fakedns *f, const char *name)
{
	for (size_t i = 0; i < f->count; i++)
		if (is_row(&f->rows[i], name, FAKE_CNAME))
			return f->rows[i].data;
	return NULL;
}

static bool
exists(struct fakedns *f, const char *name)
{
	for (size_t i = 0; i < f->count; i++)
		if (is_row(&f->rows[i], name, 0))
			return true;
	return false;
}

static void
remember(struct fakedns *f, const char *name, int type)
{
	pthread_mutex_lock(&f->lock);
	if (f->asked < QUERIES_MAX) {
		snprintf(f->queries[f->asked].name, 256, "%s", name);
		f->queries[f->asked].type = type;
		f->asked++;
	}
	pthread_mutex_unlock(&f->lock);
}

/* Answer one query; the length, or 0 for silence. */
static size_t
answer(struct fakedns *f, const uint8_t *q, size_t len, struct out *o,
    bool is_udp)
{
	char name[256] = "";
	const char *at, *next;
	size_t i = 12;
	unsigned flags, rcode = 0;
	int type, links = 0;

	while (i < len && q[i] != 0) {
		if (name[0] != '\0')
			strlcat(name, ".", sizeof(name));
		strncat(name, (const char *)q + i + 1, q[i]);
		i += q[i] + 1u;
	}
	type = q[i + 1] << 8 | q[i + 2];
	remember(f, name, type);
	memset(o->bytes, 0, 12);
	o->len = 12;
	o->answers = o->authority = 0;
	put(o, q + 12, i + 5 - 12);
	at = name;
	flags = put_rows(f, o, at, type);
	while ((next = cname_of(f, at)) != NULL && links++ < 20) {
		flags |= put_rows(f, o, at, FAKE_CNAME);
		at = next;
		flags |= put_rows(f, o, at, type);
	}
	if (o->answers == 0 || (links > 0 && flags == 0))
		put_soa(o);
	if (!exists(f, at))
		rcode = 3;
	if (flags & FAKE_SERVFAIL)
		rcode = 2;
	if ((flags & FAKE_NO_EDNS) != 0 && q[11] > 0)
		rcode = 1;
	if (flags & FAKE_SLOW)
		sleep(3);
	if ((flags & FAKE_TC) != 0 && is_udp)
		o->len = i + 5, o->answers = o->authority = 0;
	memcpy(o->bytes, q, 2);
	o->bytes[2] = 0x81 | ((flags & FAKE_TC) != 0 && is_udp ? 2 : 0);
	o->bytes[3] = (uint8_t)(0x80 | (flags & FAKE_AD ? 0x20 : 0) | rcode);
	o->bytes[5] = 1;
	o->bytes[6] = (uint8_t)(o->answers >> 8);
	o->bytes[7] = (uint8_t)o->answers;
	o->bytes[9] = (uint8_t)o->authority;
	return flags & FAKE_SILENT ? 0 : o->len;
}

static void
serve_udp(struct fakedns *f, struct out *o)
{
	uint8_t q[4096];
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	ssize_t n =
	    recvfrom(f->udp, q, sizeof(q), 0, (struct sockaddr *)&from, &size);

	if (n >= 17 && answer(f, q, (size_t)n, o, true) > 0)
		(void)sendto(f->udp, o->bytes, o->len, 0,
		    (struct sockaddr *)&from, size);
}

static void
serve_tcp(struct fakedns *f, struct out *o)
{
	uint8_t q[4096], head[2];
	int fd = accept(f->tcp, NULL, NULL);
	ssize_t n = recv(fd, q, sizeof(q), 0);

	if (n > 19 && answer(f, q + 2, (size_t)n - 2, o, false) > 0) {
		head[0] = (uint8_t)(o->len >> 8);
		head[1] = (uint8_t)o->len;
		(void)send(fd, head, 2, MSG_MORE);
		(void)send(fd, o->bytes, o->len, 0);
	}
	(void)recv(fd, q, sizeof(q), 0);
	close(fd);
}

static void *
serve(void *arg)
{
	struct fakedns *f = arg;
	struct out *o = calloc(1, sizeof(*o));
	struct pollfd p[3] = { { f->stop[0], POLLIN, 0 }, { f->udp, POLLIN, 0 },
		{ f->tcp, POLLIN, 0 } };

	while (poll(p, 3, -1) > 0 && p[0].revents == 0) {
		if (p[1].revents & POLLIN)
			serve_udp(f, o);
		if (p[2].revents & POLLIN)
			serve_tcp(f, o);
	}
	free(o);
	return NULL;
}

/* Two sockets at one port, which others may have of one kind already. */
static bool
bind_both(struct fakedns *f, struct sockaddr_in *in)
{
	socklen_t size = sizeof(*in);

	in->sin_port = 0;
	f->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	f->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(f->tcp, (struct sockaddr *)in, sizeof(*in)) == 0 &&
	    getsockname(f->tcp, (struct sockaddr *)in, &size) == 0 &&
	    bind(f->udp, (struct sockaddr *)in, sizeof(*in)) == 0)
		return true;
	close(f->udp);
	close(f->tcp);
	return false;
}

struct fakedns *
fakedns_start(const struct fakedns_row *rows, size_t count)
{
	struct fakedns *f = calloc(1, sizeof(*f));
	struct sockaddr_in in = { .sin_family = AF_INET };
	int tries = 50;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (f == NULL ||
	    (f->queries = calloc(QUERIES_MAX, sizeof(struct query))) == NULL)
		abort();
	f->rows = rows;
	f->count = count;
	while (!bind_both(f, &in))
		if (--tries == 0)
			abort();
	if (listen(f->tcp, 16) == -1 || pipe(f->stop) == -1)
		abort();
	f->port = ntohs(in.sin_port);
	pthread_mutex_init(&f->lock, NULL);
	if (pthread_create(&f->thread, NULL, serve, f) != 0)
		abort();
	return f;
}

void
fakedns_stop(struct fakedns *f)
{
	(void)!write(f->stop[1], "", 1);
	pthread_join(f->thread, NULL);
	pthread_mutex_destroy(&f->lock);
	close(f->stop[0]);
	close(f->stop[1]);
	close(f->udp);
	close(f->tcp);
	free(f->queries);
	free(f);
}

uint16_t
fakedns_port(const struct fakedns *f)
{
	return f->port;
}

unsigned
fakedns_asked(struct fakedns *f, const char *name, int type)
{
	unsigned n = 0;

	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->asked; i++)
		n += type == 0 ||
		    (f->queries[i].type == type &&
			strcasecmp(f->queries[i].name, name) == 0);
	pthread_mutex_unlock(&f->lock);
	return n;
}
