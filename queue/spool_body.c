/* Reading a queued message back: envelope, body, and what is damaged. */

#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/crc.h"
#include "queue/spool_state.h"

int
spool_envelope(struct spool *sp, struct message *m, struct envelope *env)
{
	struct brief_message brief;
	struct journal_rec rec;
	const char *why;

	if (journal_load_text(sp->journal, m->where, &rec) == -1)
		return -1;
	if (rec.type != REC_MESSAGE || rec.id != m->id ||
	    record_message(rec.brief, rec.brief_len, &brief) == -1 ||
	    crc32c(0, rec.text, rec.text_len) != brief.text_crc ||
	    envelope_decode(env, rec.text, rec.text_len, &why) == -1) {
		errno = EBADMSG;
		return -1;
	}
	if (env->rcpt_count == m->count)
		return 0;
	envelope_clear(env);
	errno = EBADMSG;
	return -1;
}

/* Bytes in memory that nobody can change, as a file. */
int
spool_seal_file(const void *bytes, size_t len)
{
	int fd;

	fd = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1)
		return -1;
	if (disk_real.pwrite(NULL, fd, bytes, len, 0) == -1 ||
	    fcntl(fd, F_ADD_SEALS,
		F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) ==
		-1) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

int
spool_open_body(struct spool *sp, struct message *m)
{
	char name[LARGE_NAME_SIZE];
	struct journal_rec rec;

	if ((m->flags & MESSAGE_LARGE) != 0) {
		large_name(m->id, name);
		return openat(sp->dirfd, name,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (m->body != -1)
		return fcntl(m->body, F_DUPFD_CLOEXEC, 0);
	if (journal_load(sp->journal, m->where, &rec) == -1)
		return -1;
	if (rec.type == REC_MESSAGE && rec.id == m->id &&
	    rec.body_len == m->size)
		return spool_seal_file(rec.body, rec.body_len);
	errno = EBADMSG;
	return -1;
}

/* Its record as it stands, for the administrator to look at. */
static bool
keep_aside(struct spool *sp, struct message *m, const char *name)
{
	struct segment *seg;
	char *mem;
	ssize_t n;
	bool kept;
	int fd;

	seg = journal_segment(sp->journal, JOURNAL_SEQ(m->where));
	mem = seg == NULL ? NULL : malloc(m->record_size);
	if (mem == NULL)
		return false;
	n = pread(seg->fd, mem, m->record_size, JOURNAL_OFF(m->where));
	fd = n <= 0 ? -1
		    : sp->disk->openat(sp->disk->arg, sp->dirfd, name,
			  O_WRONLY | O_CREAT | O_TRUNC);
	kept = fd != -1 &&
	    sp->disk->pwrite(sp->disk->arg, fd, mem, (size_t)n, 0) == 0 &&
	    sp->disk->fsync(sp->disk->arg, fd) == 0;
	if (fd != -1)
		(void)close(fd);
	free(mem);
	return kept;
}

/* Its body too, where that is a file. */
static void
keep_body(struct spool *sp, const struct message *m, const char *name)
{
	char large[LARGE_NAME_SIZE], aside[8 + ID_SIZE + 5];

	if ((m->flags & MESSAGE_LARGE) == 0)
		return;
	large_name(m->id, large);
	(void)snprintf(aside, sizeof aside, "%s-body", name);
	if (sp->disk->renameat(sp->disk->arg, sp->dirfd, large, aside) == 0)
		spool_tell(sp, "... and its body in %s", aside);
}

void
spool_damaged(struct spool *sp, struct message *m)
{
	char name[8 + ID_SIZE];
	uint16_t i;

	(void)strlcpy(name, "damaged/", sizeof name);
	id_format(m->id, name + 8);
	spool_tell(sp, "message %s is damaged on disk and given up; %s %s",
	    name + 8,
	    keep_aside(sp, m, name) ? "what is left of it is in"
				    : "it could not be kept in",
	    name);
	keep_body(sp, m, name);
	for (i = 0; i < m->count; i++)
		index_drop(&sp->index, &m->rcpts[i]);
	m->alive = 0;
	if (m->jobs == 0)
		spool_finish(sp, m);
}
