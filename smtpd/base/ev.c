#include "smtpd/base/ev.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "smtpd/base/log.h"

#define EVENTS_A_TURN 128
#define SIGNALS 65   /* Linux numbers them from 1 to 64 */
#define LULL_MS 2000 /* without an event: memory goes back */

/*
 * Who watches a descriptor. The event carries fd and serial, never a
 * pointer: one that was deleted, even if its fd is in use again, is told by
 * the serial.
 */
struct slot {
	struct ev_watch *watch;
	uint32_t serial;
};

struct handler {
	void (*cb)(void *arg, int signo);
	void *arg;
};

RB_HEAD(timers, ev_timer);
TAILQ_HEAD(tasks, ev_task);

struct ev {
	int epoll;
	bool stopping;
	int64_t now_ms;
	int64_t event_ms; /* when the last one came */
	struct ev_timer lull;
	uint64_t serial;
	struct slot *slots;
	size_t slot_count;
	struct timers timers;
	struct tasks tasks;
	struct ev_watch signal_watch;
	int signal_fd;
	sigset_t signals;
	struct handler handlers[SIGNALS];
};

static int
timer_cmp(const struct ev_timer *a, const struct ev_timer *b)
{
	if (a->at_ms != b->at_ms)
		return a->at_ms < b->at_ms ? -1 : 1;
	if (a->serial != b->serial)
		return a->serial < b->serial ? -1 : 1;
	return 0;
}

/* RB_GENERATE_STATIC() of libbsd 0.11 needs an __unused that it lacks. */
RB_GENERATE_INTERNAL(timers, ev_timer, node, timer_cmp,
    __attribute__((__unused__)) static)

static void
read_clock(struct ev *ev)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ev->now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * After work, what it has left free in the heap goes back to the system:
 * malloc(3) keeps all that lies below the last piece in use.
 */
static void
on_lull(void *arg)
{
	struct ev *ev = arg;

	if (ev->now_ms - ev->event_ms < LULL_MS)
		ev_timer_set(ev, &ev->lull, ev->event_ms + LULL_MS);
	else
		malloc_trim(0);
}

struct ev *
ev_new(void)
{
	struct ev *ev = calloc(1, sizeof(*ev));

	if (ev == NULL)
		return NULL;
	ev->signal_fd = -1;
	RB_INIT(&ev->timers);
	TAILQ_INIT(&ev->tasks);
	ev_timer_init(&ev->lull, on_lull, ev);
	sigemptyset(&ev->signals);
	ev->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (ev->epoll == -1) {
		free(ev);
		return NULL;
	}
	/* A peer that is gone shows as EPIPE, also below OpenSSL. */
	signal(SIGPIPE, SIG_IGN);
	read_clock(ev);
	return ev;
}

static void
unqueue(struct ev *ev, struct ev_task *task)
{
	TAILQ_REMOVE(&ev->tasks, task, node);
	task->queued = false;
}

static void
run_tasks(struct ev *ev)
{
	struct ev_task end = { .queued = true }, *task;

	/* What the tasks themselves put off is for the next turn. */
	TAILQ_INSERT_TAIL(&ev->tasks, &end, node);
	while ((task = TAILQ_FIRST(&ev->tasks)) != &end) {
		unqueue(ev, task);
		task->cb(task->arg);
	}
	unqueue(ev, &end);
}

void
ev_free(struct ev *ev)
{
	if (ev == NULL)
		return;
	while (!TAILQ_EMPTY(&ev->tasks))
		run_tasks(ev);
	if (ev->signal_fd != -1) {
		ev_watch_del(ev, &ev->signal_watch);
		close(ev->signal_fd);
		sigprocmask(SIG_UNBLOCK, &ev->signals, NULL);
	}
	close(ev->epoll);
	free(ev->slots);
	free(ev);
}

static void
note_work(struct ev *ev)
{
	if (!ev->lull.armed)
		ev_timer_set(ev, &ev->lull, ev->now_ms + LULL_MS);
}

/* The first that is due and was armed by "last" at the latest. */
static struct ev_timer *
due_timer(struct ev *ev, uint64_t last)
{
	struct ev_timer *timer;

	RB_FOREACH(timer, timers, &ev->timers) {
		if (timer->at_ms > ev->now_ms)
			return NULL;
		if (timer->serial <= last)
			return timer;
	}
	return NULL;
}

static void
run_timers(struct ev *ev)
{
	struct ev_timer *timer;
	uint64_t last = ev->serial;

	/* One armed by these callbacks, for now or the past, waits a turn. */
	while ((timer = due_timer(ev, last)) != NULL) {
		ev_timer_del(ev, timer);
		if (timer != &ev->lull)
			note_work(ev);
		timer->cb(timer->arg);
	}
}

static int
wait_ms(struct ev *ev)
{
	struct ev_timer *first = RB_MIN(timers, &ev->timers);
	int64_t left;

	if (!TAILQ_EMPTY(&ev->tasks))
		return 0;
	if (first == NULL)
		return -1;
	read_clock(ev);
	left = first->at_ms - ev->now_ms;
	return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

static void
run_event(struct ev *ev, const struct epoll_event *event)
{
	uint32_t fd = (uint32_t)(event->data.u64 >> 32);
	uint32_t serial = (uint32_t)event->data.u64;
	struct ev_watch *w = ev->slots[fd].watch;
	unsigned events = 0;

	if (w == NULL || ev->slots[fd].serial != serial)
		return;
	if (event->events & (EPOLLIN | EPOLLRDHUP))
		events |= EV_READ;
	if (event->events & EPOLLOUT)
		events |= EV_WRITE;
	if (event->events & (EPOLLERR | EPOLLHUP))
		events |= EV_HANGUP | w->events;
	w->cb(w->arg, events);
}

int
ev_run(struct ev *ev)
{
	struct epoll_event events[EVENTS_A_TURN];
	int i, n;

	ev->stopping = false;
	log_batch(true);
	while (!ev->stopping) {
		log_flush();
		n = epoll_wait(ev->epoll, events, EVENTS_A_TURN, wait_ms(ev));
		if (n == -1 && errno != EINTR)
			break;
		read_clock(ev);
		if (n > 0) {
			ev->event_ms = ev->now_ms;
			note_work(ev);
		}
		for (i = 0; i < n; i++)
			run_event(ev, &events[i]);
		run_timers(ev);
		run_tasks(ev);
	}
	log_batch(false);
	return ev->stopping ? 0 : -1;
}

void
ev_stop(struct ev *ev)
{
	ev->stopping = true;
}

int64_t
ev_wall_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
ev_now(const struct ev *ev)
{
	return ev->now_ms;
}

static int
make_slot(struct ev *ev, int fd)
{
	size_t count = ev->slot_count == 0 ? 64 : ev->slot_count;
	struct slot *slots;

	while (count <= (size_t)fd)
		count *= 2;
	if (count == ev->slot_count)
		return 0;
	slots = reallocarray(ev->slots, count, sizeof(*slots));
	if (slots == NULL)
		return -1;
	memset(slots + ev->slot_count, 0,
	    (count - ev->slot_count) * sizeof(*slots));
	ev->slots = slots;
	ev->slot_count = count;
	return 0;
}

static int
control(struct ev *ev, int op, const struct ev_watch *w)
{
	struct epoll_event event = { 0 };

	if (w->events & EV_READ)
		event.events |= EPOLLIN | EPOLLRDHUP;
	if (w->events & EV_WRITE)
		event.events |= EPOLLOUT;
	event.data.u64 = (uint64_t)w->fd << 32 | (uint32_t)w->serial;
	return epoll_ctl(ev->epoll, op, w->fd, &event);
}

void
ev_watch_init(struct ev_watch *w, void (*cb)(void *arg, unsigned events),
    void *arg)
{
	w->cb = cb;
	w->arg = arg;
}

int
ev_watch(struct ev *ev, struct ev_watch *w, int fd, unsigned events)
{
	if (w->added)
		log_bug("ev: watcher of descriptor %d added twice", w->fd);
	if (fd < 0) {
		errno = EBADF;
		return -1;
	}
	if (make_slot(ev, fd) == -1)
		return -1;
	w->fd = fd;
	w->events = events;
	w->serial = ++ev->serial;
	if (control(ev, EPOLL_CTL_ADD, w) == -1)
		return -1;
	ev->slots[fd].watch = w;
	ev->slots[fd].serial = (uint32_t)w->serial;
	w->added = true;
	return 0;
}

int
ev_watch_set(struct ev *ev, struct ev_watch *w, unsigned events)
{
	if (!w->added || w->events == events)
		return 0;
	w->events = events;
	return control(ev, EPOLL_CTL_MOD, w);
}

void
ev_watch_del(struct ev *ev, struct ev_watch *w)
{
	if (!w->added)
		return;
	w->added = false;
	epoll_ctl(ev->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	if (ev->slots[w->fd].watch == w)
		ev->slots[w->fd].watch = NULL;
}

void
ev_timer_init(struct ev_timer *timer, void (*cb)(void *arg), void *arg)
{
	timer->cb = cb;
	timer->arg = arg;
	timer->armed = false;
}

void
ev_timer_set(struct ev *ev, struct ev_timer *timer, int64_t at_ms)
{
	ev_timer_del(ev, timer);
	timer->at_ms = at_ms;
	timer->serial = ++ev->serial;
	timer->armed = true;
	RB_INSERT(timers, &ev->timers, timer);
}

void
ev_timer_del(struct ev *ev, struct ev_timer *timer)
{
	if (!timer->armed)
		return;
	timer->armed = false;
	RB_REMOVE(timers, &ev->timers, timer);
}

void
ev_soon(struct ev *ev, struct ev_task *task, void (*cb)(void *arg), void *arg)
{
	if (task->queued)
		return;
	task->cb = cb;
	task->arg = arg;
	task->queued = true;
	TAILQ_INSERT_TAIL(&ev->tasks, task, node);
}

void
ev_soon_del(struct ev *ev, struct ev_task *task)
{
	if (task->queued)
		unqueue(ev, task);
}

static void
on_signals(void *arg, unsigned events)
{
	struct ev *ev = arg;
	struct signalfd_siginfo info;
	const struct handler *h;

	(void)events;
	while (read(ev->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		h = &ev->handlers[info.ssi_signo];
		if (h->cb != NULL)
			h->cb(h->arg, (int)info.ssi_signo);
	}
}

int
ev_signal(struct ev *ev, int signo, void (*cb)(void *arg, int signo), void *arg)
{
	int fd;

	if (signo <= 0 || signo >= SIGNALS) {
		errno = EINVAL;
		return -1;
	}
	sigaddset(&ev->signals, signo);
	if (sigprocmask(SIG_BLOCK, &ev->signals, NULL) == -1)
		return -1;
	fd = signalfd(ev->signal_fd, &ev->signals, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd == -1)
		return -1;
	ev->handlers[signo].cb = cb;
	ev->handlers[signo].arg = arg;
	if (ev->signal_fd != -1)
		return 0;
	ev->signal_fd = fd;
	ev_watch_init(&ev->signal_watch, on_signals, ev);
	return ev_watch(ev, &ev->signal_watch, fd, EV_READ);
}
