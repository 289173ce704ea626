#include "smtpd/syncer.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "smtpd/base/log.h"

struct syncer {
	struct ev *ev;
	struct ev_watch watch;
	void (*done)(void *arg, int error);
	void *arg;
	int wake_fd; /* the loop waits on it */
	pthread_t thread;
	pthread_mutex_t mutex; /* of what follows */
	pthread_cond_t changed;
	const int *fds; /* NULL: nothing to do */
	size_t count;
	int error; /* of the last group */
	bool over;
};

static int
sync_one(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return errno;
	if (S_ISDIR(st.st_mode))
		return fsync(fd) == -1 ? errno : 0;
	return fdatasync(fd) == -1 ? errno : 0;
}

static int
sync_all(const int *fds, size_t count)
{
	int error = 0;
	size_t i;

	for (i = 0; i < count && error == 0; i++)
		error = sync_one(fds[i]);
	return error;
}

static void *
run(void *arg)
{
	struct syncer *s = arg;
	uint64_t one = 1;
	int error;

	(void)pthread_mutex_lock(&s->mutex);
	for (;;) {
		while (s->fds == NULL && !s->over)
			(void)pthread_cond_wait(&s->changed, &s->mutex);
		if (s->fds == NULL)
			break;
		(void)pthread_mutex_unlock(&s->mutex);
		error = sync_all(s->fds, s->count);
		(void)pthread_mutex_lock(&s->mutex);
		s->error = error;
		s->fds = NULL;
		(void)pthread_cond_signal(&s->changed);
		if (write(s->wake_fd, &one, sizeof one) != (ssize_t)sizeof one)
			log_bug("syncer: eventfd: %s", strerror(errno));
	}
	(void)pthread_mutex_unlock(&s->mutex);
	return NULL;
}

static void
on_wake(void *arg, unsigned events)
{
	struct syncer *s = arg;
	uint64_t groups;
	int error;

	(void)events;
	if (read(s->wake_fd, &groups, sizeof groups) != (ssize_t)sizeof groups)
		return;
	(void)pthread_mutex_lock(&s->mutex);
	error = s->error;
	(void)pthread_mutex_unlock(&s->mutex);
	s->done(s->arg, error);
}

struct syncer *
syncer_new(struct ev *ev, void (*done)(void *arg, int error), void *arg)
{
	struct syncer *s = xcalloc(1, sizeof *s);

	s->ev = ev;
	s->done = done;
	s->arg = arg;
	ev_watch_init(&s->watch, on_wake, s);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd == -1 ||
	    ev_watch(ev, &s->watch, s->wake_fd, EV_READ) == -1)
		log_die("syncer: %s", strerror(errno));
	if (pthread_mutex_init(&s->mutex, NULL) != 0 ||
	    pthread_cond_init(&s->changed, NULL) != 0 ||
	    pthread_create(&s->thread, NULL, run, s) != 0)
		log_die("syncer: no thread");
	return s;
}

int
syncer_free(struct syncer *s)
{
	int error;

	if (s == NULL)
		return 0;
	(void)pthread_mutex_lock(&s->mutex);
	s->over = true;
	(void)pthread_cond_signal(&s->changed);
	(void)pthread_mutex_unlock(&s->mutex);
	(void)pthread_join(s->thread, NULL);
	error = s->error;
	ev_watch_del(s->ev, &s->watch);
	(void)close(s->wake_fd);
	(void)pthread_cond_destroy(&s->changed);
	(void)pthread_mutex_destroy(&s->mutex);
	free(s);
	return error;
}

void
syncer_start(struct syncer *s, const int *fds, size_t count)
{
	(void)pthread_mutex_lock(&s->mutex);
	if (s->fds != NULL)
		log_bug("syncer: a group is under way");
	s->fds = fds;
	s->count = count;
	(void)pthread_cond_signal(&s->changed);
	(void)pthread_mutex_unlock(&s->mutex);
}
