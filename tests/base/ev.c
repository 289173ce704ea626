#include "smtpd/base/ev.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/t.h"

static struct ev *ev;
static char order[64];
static char mark_a[] = "a", mark_b[] = "b", mark_c[] = "c", mark_d[] = "d",
	    mark_e[] = "e", mark_x[] = "x", mark_never[] = "never",
	    mark_done[] = "done", mark_none[] = "";

static void
note(const char *mark)
{
	strlcat(order, mark, sizeof(order));
}

static void
mark(void *arg)
{
	note(arg);
}

static void
mark_and_stop(void *arg)
{
	note(arg);
	ev_stop(ev);
}

static void
test_timers(void)
{
	struct ev_timer a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 }, e = { 0 };
	int64_t now = ev_now(ev);

	t_case("ev: timers fire by time, equal ones in the order armed");
	order[0] = '\0';
	ev_timer_init(&a, mark, mark_a);
	ev_timer_init(&b, mark, mark_b);
	ev_timer_init(&c, mark, mark_c);
	ev_timer_init(&d, mark, mark_d);
	ev_timer_init(&e, mark_and_stop, mark_e);
	ev_timer_set(ev, &c, now + 15);
	ev_timer_set(ev, &a, now + 10);
	ev_timer_set(ev, &b, now + 10);
	ev_timer_set(ev, &d, now + 5);
	ev_timer_set(ev, &e, now + 500);
	ev_timer_set(ev, &e, now + 20); /* anew */
	ev_timer_del(ev, &d);
	t_int(ev_run(ev), 0);
	t_str(order, "abce");
	t_true(ev_now(ev) - now >= 20 && ev_now(ev) - now < 400);
	t_true(!a.armed && !e.armed);
}

struct rearm {
	struct ev_timer timer, other;
	int fired;
};

static void
rearm(void *arg)
{
	struct rearm *r = arg;

	if (++r->fired < 3) {
		ev_timer_set(ev, &r->timer, 0); /* long past */
		ev_timer_del(ev, &r->other);
	} else
		ev_stop(ev);
}

static void
test_rearm(void)
{
	struct rearm r = { 0 };

	t_case("ev: a timer armed for the past by its callback waits a turn");
	order[0] = '\0';
	ev_timer_init(&r.timer, rearm, &r);
	ev_timer_init(&r.other, mark, mark_never);
	ev_timer_set(ev, &r.timer, 0);
	ev_timer_set(ev, &r.other, 1); /* due too, deleted by the first */
	t_int(ev_run(ev), 0);
	t_int(r.fired, 3);
	t_str(order, "");
}

static void
test_tasks(void)
{
	struct ev_task a = { 0 }, b = { 0 }, c = { 0 };

	t_case("ev: tasks run once each, in order, and may be taken back");
	order[0] = '\0';
	ev_soon(ev, &a, mark, mark_a);
	ev_soon(ev, &b, mark, mark_b);
	ev_soon(ev, &c, mark_and_stop, mark_c);
	ev_soon(ev, &a, mark, mark_x);
	ev_soon_del(ev, &b);
	ev_run(ev);
	t_str(order, "ac");
}

struct pair {
	struct ev_watch watch;
	struct pair *other;
	int fd;
	int calls;
};

/* Whoever is called first ends the other, whose event is already fetched. */
static void
end_other(void *arg, unsigned events)
{
	struct pair *p = arg, *o = p->other;
	int fd;

	(void)events;
	p->calls++;
	ev_watch_del(ev, &p->watch);
	if (o == NULL)
		return;
	fd = o->fd;
	ev_watch_del(ev, &o->watch);
	close(o->fd);
	/* The number is in use again, for a stream with nothing to read. */
	o->fd = fcntl(p->fd, F_DUPFD_CLOEXEC, fd);
	t_int(o->fd, fd);
	o->calls = 0;
	o->other = NULL;
	t_int(ev_watch(ev, &o->watch, o->fd, EV_WRITE), 0);
	ev_watch_set(ev, &o->watch, 0);
}

static void
test_stale(void)
{
	struct pair a = { 0 }, b = { 0 };
	struct ev_timer end = { 0 };
	int sa[2], sb[2];

	t_case("ev: an event fetched for a closed descriptor never reaches "
	       "its number's next owner");
	socketpair(AF_UNIX, SOCK_STREAM, 0, sa);
	socketpair(AF_UNIX, SOCK_STREAM, 0, sb);
	t_int(write(sa[1], "x", 1), 1);
	t_int(write(sb[1], "x", 1), 1);
	a.fd = sa[0];
	b.fd = sb[0];
	a.other = &b;
	b.other = &a;
	ev_watch_init(&a.watch, end_other, &a);
	ev_watch_init(&b.watch, end_other, &b);
	ev_watch(ev, &a.watch, a.fd, EV_READ);
	ev_watch(ev, &b.watch, b.fd, EV_READ);
	ev_timer_init(&end, mark_and_stop, mark_none);
	ev_timer_set(ev, &end, ev_now(ev) + 30);
	ev_run(ev);
	t_int(a.calls + b.calls, 1);
	ev_watch_del(ev, &a.watch);
	ev_watch_del(ev, &b.watch);
	close(a.fd);
	close(b.fd);
	close(sa[1]);
	close(sb[1]);
}

static void
on_io(void *arg, unsigned events)
{
	unsigned *seen = arg;

	*seen = events;
	ev_stop(ev);
}

static void
test_events(void)
{
	struct ev_watch w = { 0 };
	unsigned seen = 0;
	int sv[2];

	t_case("ev: a watcher hears what it asked for, and of a hangup");
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	ev_watch_init(&w, on_io, &seen);
	ev_watch(ev, &w, sv[0], EV_READ | EV_WRITE);
	ev_run(ev);
	t_int(seen, EV_WRITE);
	t_int(write(sv[1], "x", 1), 1);
	ev_watch_set(ev, &w, EV_READ);
	ev_run(ev);
	t_int(seen, EV_READ);
	close(sv[1]);
	ev_run(ev);
	t_true(seen & EV_HANGUP);
	t_true(seen & EV_READ);
	ev_watch_del(ev, &w);
	close(sv[0]);

	t_case("ev: watching what cannot be watched is an error");
	t_int(ev_watch(ev, &w, -1, EV_READ), -1);
	t_int(ev_watch(ev, &w, sv[0], EV_READ), -1);
	t_true(!w.added);
}

static void
on_signal(void *arg, int signo)
{
	*(int *)arg = signo;
	ev_stop(ev);
}

static void
test_signal(void)
{
	int hup = 0, term = 0;

	t_case("ev: signals come through the loop");
	t_int(ev_signal(ev, SIGHUP, on_signal, &hup), 0);
	t_int(ev_signal(ev, SIGTERM, on_signal, &term), 0);
	kill(getpid(), SIGHUP);
	ev_run(ev);
	t_int(hup, SIGHUP);
	t_int(term, 0);
	kill(getpid(), SIGTERM);
	ev_run(ev);
	t_int(term, SIGTERM);
	t_int(ev_signal(ev, 0, on_signal, &hup), -1);
}

static void
test_freed(void)
{
	struct ev_task task = { 0 };

	t_case("ev: what was put off is still done when the loop is freed");
	order[0] = '\0';
	ev_soon(ev, &task, mark, mark_done);
	ev_free(ev);
	t_str(order, "done");
}

int
main(void)
{
	ev = ev_new();
	test_timers();
	test_rearm();
	test_tasks();
	test_stale();
	test_events();
	test_signal();
	test_freed();
	return t_done();
}
