/*
 * The sockets that the daemon listens on; the parent opens and keeps them,
 * the listener accepts.
 */

#ifndef SMTPD_SOCKETS_H
#define SMTPD_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>

#include "smtpd/conf.h"
#include "smtpd/folders.h"

#define SOCKETS_UNIX FOLDERS_RUN "/sealpost.sock"
#define SOCKETS_NAME_SIZE 128
#define SOCKETS_WHY_SIZE 256

struct sockets_one {
	char name[SOCKETS_NAME_SIZE]; /* 127.0.0.1:25, or the path */
	bool is_unix;
	int fd; /* owned */
};

struct sockets {
	struct sockets_one one[CONF_LISTEN_MAX + 1];
	size_t count;
};

/*
 * Open what "conf" names, by default 127.0.0.1 and ::1 port 25 (where a
 * machine without IPv6 gets a warning only), and the Unix socket. Sockets
 * that "before" has already are taken over from it (fd -1 there then).
 *
 * returns  0; or -1 with "why" and errno, all of "before" back in its place
 */
int sockets_open(struct sockets *, const struct conf *conf,
    struct sockets *before, char why[SOCKETS_WHY_SIZE]);

/* Close them. */
void sockets_clear(struct sockets *);

#endif
