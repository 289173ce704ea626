/*
 * The event loop under policy fetches: libcurl's descriptors and its timer,
 * as mtasts/fetch.h asks for them.
 */

#ifndef SMTPD_FETCH_LOOP_H
#define SMTPD_FETCH_LOOP_H

#include <sys/queue.h>

#include "mtasts/fetch.h"
#include "smtpd/base/ev.h"

struct fetch_fd;

/* Embedded; fetch_loop_init() it, then set "fetch" before the first call. */
struct fetch_loop {
	struct ev *ev;       /* borrowed */
	struct fetch *fetch; /* the caller's to free */
	LIST_HEAD(, fetch_fd) fds;
	struct ev_timer timer;
};

void fetch_loop_init(struct fetch_loop *, struct ev *);
/* After fetch_free(), which has given back all descriptors. */
void fetch_loop_clear(struct fetch_loop *);

/* What the hooks of the same name do; see struct fetch_hooks. */
void fetch_loop_watch(struct fetch_loop *, int fd, unsigned events);
void fetch_loop_timer(struct fetch_loop *, long ms);

#endif
