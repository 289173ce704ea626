/*
 * One connection to one address of one host, up to the verdict and on to
 * mail: connect, greeting, EHLO, STARTTLS, handshake, verdict, messages.
 *
 * It knows nothing of queues or of other hosts, and nothing of processes:
 * deliveries (smtpd/lane.h) and `sealpost check` use the same. Whether mail
 * may go is asked of mtasts/verdict.h alone: before the host is contacted,
 * where there is no STARTTLS, and after the handshake; smtpd/client.h cannot
 * send an envelope before.
 */

#ifndef SMTPD_SESSION_H
#define SMTPD_SESSION_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "mtasts/verdict.h"
#include "smtpd/base/ev.h"
#include "smtpd/base/tls.h"
#include "smtpd/client.h"
#include "smtpd/netaddr.h"

struct session;

/* What all sessions of a process share; borrowed while any lives. */
struct session_setup {
	struct ev *ev;
	struct tls_ctx *tls;
	const char *helo;
	const struct netaddr_net *allow; /* `allow private` */
	size_t allow_count;
	const struct sockaddr_storage *own; /* where we listen: mail loops */
	size_t own_count;
	struct sockaddr_storage source4; /* ss_family 0: the system's choice */
	struct sockaddr_storage source6;
};

/* Whom to reach, and what is known of it. Copied; what it points to is borrowed
 * until the session is freed or released. */
struct session_target {
	const char *name; /* MX or `via` host: A-labels, no final dot */
	struct sockaddr_storage addr; /* with port */
	bool via;          /* the administrator named it: may be private */
	bool implicit_tls; /* TLS from the first byte */
	struct verdict_facts facts; /* but for "stage" and "cert" */
	/* What DNS or the policy say of the host, and why there is no
	 * policy: the words of a verdict before contact; or NULL. */
	const char *host_words, *policy_words;
	const struct tls_tlsa *tlsa; /* usable records */
	size_t tlsa_count;
	const char *tlsa_base; /* "base" and "also" of struct tls_target */
	const char *also[TLS_ALSO_MAX];
	const struct client_auth *auth; /* log in first; NULL: do not */
	bool wants_proof; /* as if credentials were to go to it: a dry run */
	const struct tls_session *resume; /* of this very host, address and
					     verdict context; or NULL */
	int connect_ms;                   /* patience for the connection */
	const char *tag;                  /* names it in the log's dialogue */
};

enum session_event {
	SESSION_READY,  /* the verdict is go: a message may be sent, now or
			   later; an idle session may end by itself */
	SESSION_RESULT, /* session_result() has the message's results; the
			   next may be sent */
	SESSION_ENDED   /* session_fault() says why; a message that was under
			   way has its results. Free it */
};

/* The owner may do anything in it, session_free() included. */
typedef void session_cb(void *arg, struct session *, enum session_event);

/* Why it ended. */
struct session_fault {
	struct trouble trouble; /* its outcome is never "bounced" */
	bool is_verdict;        /* TLS or policy forbids */
	bool before_contact;    /* another address will not help */
	char reply[REPLY_SHOW_SIZE];
	char found[600]; /* what was found, a clause for people */
};

/* What is known so far; strings and all are valid until it is freed. */
struct session_report {
	char addr[NETADDR_TEXT_SIZE]; /* 192.0.2.1:25 */
	bool connected;
	bool tls_done;          /* "tls" is filled in */
	struct verdict verdict; /* the last one asked */
	struct tls_facts tls;
	bool offers_dsn; /* of the EHLO reply in force */
};

/* Begin; the first event comes by the loop, never from here. */
struct session *session_new(const struct session_setup *,
    const struct session_target *, session_cb *cb, void *arg);
/* End at once, without a word, whatever is under way. NULL is allowed. */
void session_free(struct session *);
/*
 * An idle session with TLS is to serve another target: the same host, address
 * and records, for which the same handshake is asked for. False: its verdict
 * is not go, so that the session may only be released.
 */
bool session_hand_over(struct session *, const struct session_target *);
/* Take leave with QUIT; no more events come. The session frees itself. */
void session_release(struct session *);

/*
 * Send a message: after SESSION_READY or SESSION_RESULT, one at a time.
 * "message" and "body" are borrowed until its results are there; the content
 * is read by pread(2) from the start of "body".
 */
void session_send(struct session *, const struct client_message *message,
    int body);
/* Of recipient "i"; valid until the next message. */
const struct client_result *session_result(const struct session *, size_t i);
/* Has the host replied to anything of the last message? */
bool session_was_answered(const struct session *);

const struct session_fault *session_fault(const struct session *);
const struct session_report *session_report(const struct session *);
/* A TLS session that may be resumed with the same target, once the verdict
 * was go; NULL if there is none. The caller's to free. */
struct tls_session *session_take_tls(struct session *);

#endif
