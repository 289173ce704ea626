/*
 * The event loop of a role: descriptors (epoll), timers, signals.
 *
 * One thread, one loop a process. Watchers and timers are embedded in the
 * structs that own them; the loop never allocates for one and never frees
 * one. A callback may add, change and delete any watcher or timer, its own
 * included; memory may go as soon as the watcher is deleted.
 */

#ifndef SMTPD_BASE_EV_H
#define SMTPD_BASE_EV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/tree.h>

struct ev;

#define EV_READ 1U
#define EV_WRITE 2U
#define EV_HANGUP 4U /* reported only: error or both directions closed */

/* What a descriptor's owner wants to hear of. Zero before ev_watch_init(). */
struct ev_watch {
	int fd;
	unsigned events; /* asked for */
	void (*cb)(void *arg, unsigned events);
	void *arg;
	uint64_t serial; /* the loop's: tells a stale event from this one */
	bool added;
};

/* A timer. Zero before ev_timer_init(). */
struct ev_timer {
	RB_ENTRY(ev_timer) node;
	int64_t at_ms;
	uint64_t serial; /* order among equals */
	void (*cb)(void *arg);
	void *arg;
	bool armed;
};

/* Work put off to the end of this turn of the loop. Zero before ev_soon(). */
struct ev_task {
	TAILQ_ENTRY(ev_task) node;
	void (*cb)(void *arg);
	void *arg;
	bool queued;
};

/* NULL on no memory or no descriptor. */
struct ev *ev_new(void);
void ev_free(struct ev *);

/* Run until ev_stop(). Returns 0, or -1 with errno when epoll fails. */
int ev_run(struct ev *);
void ev_stop(struct ev *);

/* Monotonic milliseconds, read once a turn. */
int64_t ev_now(const struct ev *);
/* Wall-clock milliseconds since 1970, for what outlives the process. */
int64_t ev_wall_ms(void);

void ev_watch_init(struct ev_watch *, void (*cb)(void *arg, unsigned events),
    void *arg);
/*
 * Watch "fd" (borrowed; delete the watcher before closing it) for "events".
 * Level-triggered. Returns 0, or -1 with errno.
 */
int ev_watch(struct ev *, struct ev_watch *, int fd, unsigned events);
/* Ask for other events; costs a system call only if they differ. */
int ev_watch_set(struct ev *, struct ev_watch *, unsigned events);
void ev_watch_del(struct ev *, struct ev_watch *);

void ev_timer_init(struct ev_timer *, void (*cb)(void *arg), void *arg);
/* Arm, or arm anew, for the absolute time "at_ms" of ev_now(). */
void ev_timer_set(struct ev *, struct ev_timer *, int64_t at_ms);
void ev_timer_del(struct ev *, struct ev_timer *);

/*
 * Run "task" once, after the callbacks of this turn and before the loop
 * sleeps: the place for freeing what a callback still stands on, and for
 * batching. A second call while queued changes nothing.
 */
void ev_soon(struct ev *, struct ev_task *, void (*cb)(void *arg), void *arg);
void ev_soon_del(struct ev *, struct ev_task *);

/*
 * Take "signo" through the loop (signalfd); it is blocked otherwise.
 * Returns 0, or -1 with errno.
 */
int ev_signal(struct ev *, int signo, void (*cb)(void *arg, int signo),
    void *arg);

#endif
