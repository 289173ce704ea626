/*
 * A mail host on loopback for tests, in threads, that behaves as told and
 * keeps a record of every line it was sent, in clear or through TLS.
 */

#ifndef TESTS_MX_H
#define TESTS_MX_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

enum mx_handshake {
	MX_SHAKE,   /* as one does */
	MX_RESET,   /* reset the connection */
	MX_GARBAGE, /* send text */
	MX_SILENT,  /* say nothing, until the client leaves */
	MX_HALF     /* begin, then close */
};

/* What it does; NULL and zero: what a good host does. */
struct mx_conduct {
	SSL_CTX *tls; /* certificate; NULL: no STARTTLS offered */
	const char *greeting;
	const char *ehlo;     /* further lines, "250-SIZE 100\r\n" */
	const char *starttls; /* reply to STARTTLS instead of 220; "": close */
	const char *inject;   /* sent right behind that 220 */
	enum mx_handshake handshake;
	const char *mail;
	const char *rcpt; /* reply to RCPT TO:<bad...> */
	const char *data;
	const char *end; /* reply after the content; "": just close */
	int busy;        /* the n-th connection, from 1, gets 421, late */
	int greet_ms;    /* let pass before the greeting */
	int think_ms;    /* and before the reply to the content */
	bool later;      /* "mail" and "rcpt" hold only, but for all, once the
			       connection has served a message */
	int messages;    /* close after so many, without a word */
	bool gone_silently; /* then: reset it when the next one comes */
	bool implicit;      /* TLS from the first byte */
	bool no_close_notify;
	bool resume_fails; /* a handshake that resumes is reset */
	bool tickets;      /* another one before each reply */
};

struct mx;

/* On an address of 127.0.0.0/8: "host" is its last byte; port 0: any. */
struct mx *mx_start(int host, int port, const struct mx_conduct *);
/* Stop, wait for its threads. */
void mx_stop(struct mx *);
struct sockaddr_in mx_address(const struct mx *);

/* All lines received so far, each with "\n"; content included. Valid until
 * the next call. */
const char *mx_heard(struct mx *);
int mx_connections(struct mx *);
int mx_messages(struct mx *);
int mx_resumed(struct mx *);

#endif
