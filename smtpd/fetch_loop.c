#include "smtpd/fetch_loop.h"

#include <stdlib.h>

#include "smtpd/base/log.h"

/* A descriptor of libcurl. */
struct fetch_fd {
	LIST_ENTRY(fetch_fd) entry;
	struct ev_watch watch;
	struct fetch_loop *loop;
};

static void
on_event(void *arg, unsigned events)
{
	struct fetch_fd *w = arg;
	unsigned what = 0;

	if (events & EV_READ)
		what |= FETCH_READ;
	if (events & EV_WRITE)
		what |= FETCH_WRITE;
	/* Of an error alone libcurl learns by reading. */
	if (what == 0)
		what = FETCH_READ | FETCH_WRITE;
	fetch_event(w->loop->fetch, w->watch.fd, what);
}

static void
on_timer(void *arg)
{
	struct fetch_loop *loop = arg;

	fetch_timeout(loop->fetch);
}

void
fetch_loop_init(struct fetch_loop *loop, struct ev *ev)
{
	loop->ev = ev;
	LIST_INIT(&loop->fds);
	ev_timer_init(&loop->timer, on_timer, loop);
}

void
fetch_loop_clear(struct fetch_loop *loop)
{
	ev_timer_del(loop->ev, &loop->timer);
}

static struct fetch_fd *
find_fd(struct fetch_loop *loop, int fd)
{
	struct fetch_fd *w;

	LIST_FOREACH(w, &loop->fds, entry)
		if (w->watch.fd == fd)
			return w;
	return NULL;
}

static void
add_fd(struct fetch_loop *loop, int fd, unsigned want)
{
	struct fetch_fd *w = xcalloc(1, sizeof(*w));

	w->loop = loop;
	LIST_INSERT_HEAD(&loop->fds, w, entry);
	ev_watch_init(&w->watch, on_event, w);
	if (ev_watch(loop->ev, &w->watch, fd, want) == -1)
		log_die("cannot watch a socket of a policy fetch");
}

void
fetch_loop_watch(struct fetch_loop *loop, int fd, unsigned events)
{
	struct fetch_fd *w = find_fd(loop, fd);
	unsigned want = 0;

	if (events & FETCH_READ)
		want |= EV_READ;
	if (events & FETCH_WRITE)
		want |= EV_WRITE;
	if (w == NULL && want != 0) {
		add_fd(loop, fd, want);
	} else if (w != NULL && want != 0) {
		(void)ev_watch_set(loop->ev, &w->watch, want);
	} else if (w != NULL) {
		ev_watch_del(loop->ev, &w->watch);
		LIST_REMOVE(w, entry);
		free(w);
	}
}

void
fetch_loop_timer(struct fetch_loop *loop, long ms)
{
	if (ms < 0)
		ev_timer_del(loop->ev, &loop->timer);
	else
		ev_timer_set(loop->ev, &loop->timer, ev_now(loop->ev) + ms);
}
