/*
 * The command line of sendmail(8), and of mailq and newaliases.
 */

#ifndef SMTPD_CLI_SEND_OPTIONS_H
#define SMTPD_CLI_SEND_OPTIONS_H

#include <stdbool.h>

#include "smtpd/client.h"
#include "smtpd/msg.h"

#define SEND_WHY_SIZE 512

enum send_mode {
	SEND_MAIL,    /* -bm, the default: a message on standard input */
	SEND_SMTP,    /* -bs: SMTP on standard input and output */
	SEND_LIST,    /* -bp, mailq: print the queue */
	SEND_ALIASES, /* -bi, newaliases */
	SEND_RETRY    /* -q: try what is queued now */
};

struct send_options {
	enum send_mode mode;
	bool ignore_dots;    /* -i, -oi */
	bool from_header;    /* -t */
	bool verbose;        /* -v */
	const char *sender;  /* -f, -r; NULL: not given. Borrowed from argv */
	const char *name;    /* -F; NULL: not given. Borrowed */
	unsigned notify;     /* -N: NOTIFY_* */
	enum client_ret ret; /* -R */
	char envid[ENVID_SIZE]; /* -V, as xtext; "" if not given */
	const char *retry;      /* -q: what, "all" by default. Borrowed */
	int first;              /* index in argv of the first operand */
};

/*
 * Read the command line; the program's name decides too.
 * Returns EX_OK; else the status to exit with, and "why".
 */
int send_options(struct send_options *, int argc, char **argv,
    char why[SEND_WHY_SIZE]);

/*
 * The options in the order of the manual: letter, and whether it takes an
 * argument (':'). For the check of the manual.
 */
const char *send_options_letters(void);

#endif
