/* Large bodies: files, durable before the records that speak of them. */

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/spool_state.h"

void
large_name(uint64_t id, char name[LARGE_NAME_SIZE])
{
	(void)strlcpy(name, "large/", LARGE_NAME_SIZE);
	id_format(id, name + 6);
}

int
spool_large_open(struct spool *sp, uint64_t id)
{
	char name[LARGE_NAME_SIZE];

	if (index_find(&sp->index, id) != NULL) {
		errno = EEXIST;
		return -1;
	}
	large_name(id, name);
	return sp->disk->openat(sp->disk->arg, sp->dirfd, name,
	    O_RDWR | O_CREAT | O_EXCL);
}

void
spool_large_drop(struct spool *sp, uint64_t id)
{
	char name[LARGE_NAME_SIZE];
	struct large *l;

	if (index_find(&sp->index, id) != NULL)
		return;
	TAILQ_FOREACH(l, &sp->large, link)
		if (l->env.id == id)
			return;
	large_name(id, name);
	(void)sp->disk->unlinkat(sp->disk->arg, sp->dirfd, name);
}

static int
copy_envelope(struct envelope *to, const struct envelope *from)
{
	size_t i;

	envelope_init(to);
	to->id = from->id;
	to->arrived_us = from->arrived_us;
	to->size = from->size;
	to->uid = from->uid;
	to->flags = from->flags;
	to->sender = envelope_text(to, from->sender);
	to->envid = envelope_text(to, from->envid);
	to->client = envelope_text(to, from->client);
	to->message_id = envelope_text(to, from->message_id);
	if (to->sender == NULL || to->envid == NULL || to->client == NULL ||
	    to->message_id == NULL)
		return -1;
	for (i = 0; i < from->rcpt_count; i++)
		if (envelope_add(to, &from->rcpts[i]) == -1)
			return -1;
	return 0;
}

static void
free_large(struct spool *sp, struct large *l)
{
	TAILQ_REMOVE(&sp->large, l, link);
	(void)close(l->fd);
	envelope_clear(&l->env);
	free(l);
}

int
spool_append_large(struct spool *sp, const struct envelope *env, int64_t now_ms)
{
	char name[LARGE_NAME_SIZE];
	struct large *l;
	struct stat st;

	sp->now_ms = now_ms;
	if (index_find(&sp->index, env->id) != NULL || env->rcpt_count == 0) {
		errno = env->rcpt_count == 0 ? EINVAL : EEXIST;
		return -1;
	}
	l = calloc(1, sizeof *l);
	if (l == NULL)
		return -1;
	large_name(env->id, name);
	l->fd = openat(sp->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (l->fd == -1) {
		free(l);
		return -1;
	}
	TAILQ_INSERT_TAIL(&sp->large, l, link);
	if (fstat(l->fd, &st) == -1 || (uint64_t)st.st_size != env->size) {
		free_large(sp, l);
		errno = EINVAL;
		return -1;
	}
	if (copy_envelope(&l->env, env) == -1) {
		free_large(sp, l);
		return -1;
	}
	return 0;
}

/* Its file is durable, or is not: the record comes next, or never. */
void
large_synced(struct spool *sp, struct large *l, int error)
{
	uint64_t id;

	id = l->env.id;
	if (error == 0 && spool_put(sp, &l->env, -1, false) == -1)
		error = errno;
	free_large(sp, l);
	if (error == 0)
		return;
	spool_large_drop(sp, id);
	sp->hooks.settled(sp->hooks.arg, id, error);
}
