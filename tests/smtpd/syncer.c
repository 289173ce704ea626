#include "smtpd/syncer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "smtpd/base/ev.h"
#include "smtpd/base/log.h"
#include "tests/t.h"

struct run {
	struct ev *ev;
	struct ev_timer timer;
	int calls;
	int error;
};

static void
done(void *arg, int error)
{
	struct run *r = arg;

	r->calls++;
	r->error = error;
	ev_stop(r->ev);
}

static void
give_up(void *arg)
{
	struct run *r = arg;

	r->error = -1;
	ev_stop(r->ev);
}

static void
wait_done(struct run *r)
{
	ev_timer_init(&r->timer, give_up, r);
	ev_timer_set(r->ev, &r->timer, ev_now(r->ev) + 20000);
	(void)ev_run(r->ev);
	ev_timer_del(r->ev, &r->timer);
}

int
main(void)
{
	char path[] = "/tmp/syncer.XXXXXX";
	struct run r = { .ev = ev_new() };
	struct syncer *s;
	int fds[3], pipes[2], i;

	log_init("test", STDERR_FILENO, false, false);
	fds[0] = mkstemp(path);
	fds[1] = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fds[0] == -1 || fds[1] == -1 || pipe(pipes) == -1)
		return 1;
	s = syncer_new(r.ev, done, &r);

	t_case("syncer: files and folders are made durable, group after group");
	for (i = 1; i <= 20; i++) {
		t_int(write(fds[0], "x", 1), 1);
		syncer_start(s, fds, 2);
		wait_done(&r);
		t_int(r.error, 0);
		t_int(r.calls, i);
	}

	t_case("syncer: a sync that fails is told with its errno");
	fds[2] = pipes[0];
	syncer_start(s, fds, 3);
	wait_done(&r);
	t_int(r.error, EINVAL);

	t_case("syncer: an empty group is done at once");
	syncer_start(s, fds, 0);
	wait_done(&r);
	t_int(r.error, 0);

	t_case("syncer: the end waits for the group under way");
	syncer_start(s, fds, 2);
	t_int(syncer_free(s), 0);
	t_int(r.calls, 22);
	(void)unlink(path);
	ev_free(r.ev);
	return t_done();
}
