/*
 * Handing a message in: to the daemon over its Unix socket, by the one SMTP
 * client engine; or, while there is no daemon, to the offline folder.
 */

#ifndef SMTPD_CLI_SUBMIT_H
#define SMTPD_CLI_SUBMIT_H

#include <stdbool.h>
#include <stddef.h>

#include "smtpd/cli/content.h"
#include "smtpd/client.h"

#define SUBMIT_OFFLINE LOCALSTATEDIR "/spool/sealpost/offline"
#define SUBMIT_WHY_SIZE 512

enum submit_state {
	SUBMIT_WAITING, /* no answer about it */
	SUBMIT_TAKEN,
	SUBMIT_DEFERRED, /* 4xx: may be tried again */
	SUBMIT_REFUSED   /* 5xx */
};

struct submit_rcpt {
	char *address; /* no angle brackets */
	enum submit_state state;
	char reply[REPLY_SHOW_SIZE]; /* the daemon's, or our own words */
	char dsn[REPLY_DSN_SIZE];    /* RFC 3463; "" if none */
};

/* A message with its envelope. */
struct submit_mail {
	struct content *content;
	const char *sender; /* no angle brackets; "" the null sender */
	const char *envid;  /* xtext, or "" */
	enum client_ret ret;
	unsigned notify; /* NOTIFY_* */
	bool smtputf8;
	struct submit_rcpt *rcpts;
	size_t rcpt_count;
};

/*
 * Hand the message to the daemon. Recipients that are SUBMIT_WAITING are
 * tried; each then has a state and a reply.
 *
 * trace    hears the dialogue; NULL: no one
 * returns  0 if the daemon judged them all; -1 with "why" if some are still
 *          waiting, as it is not there, hung up, or says that it or its
 *          queue is not serving (421, 451): the offline folder is the place
 *          then
 */
int submit_daemon(struct submit_mail *,
    void (*trace)(void *arg, char direction, const char *line),
    char why[SUBMIT_WHY_SIZE]);

/*
 * Leave the message, for its waiting recipients, in "folder": a file of mode
 * 0600 that holds MAIL, RCPT, DATA and the content as they would have gone to
 * the daemon, complete on disk before it has its name. They are SUBMIT_TAKEN
 * then.
 *
 * returns  0, or -1 with "why"
 */
int submit_offline(struct submit_mail *, const char *folder,
    char why[SUBMIT_WHY_SIZE]);

#endif
