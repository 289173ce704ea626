/* The spool's start and end: what the journal holds becomes the queue. */

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/recover.h"
#include "queue/spool_state.h"

/* ---- records ---- */

/* The segment in which the message was found holds an older copy of it. */
static void
make_stale(struct spool *sp, const struct message *m)
{
	struct segment *seg;

	seg = journal_segment(sp->journal, JOURNAL_SEQ(m->where));
	if (seg != NULL)
		seg->stale = true;
}

static void
recover_message(struct spool *sp, const struct seg_entry *entry,
    const void *brief, uint64_t pos)
{
	struct message *m;
	char id[ID_SIZE];
	uint16_t i;

	m = index_find(&sp->index, entry->id);
	if (m != NULL) {
		/* Compaction was cut short: this copy is the newer one. */
		make_stale(sp, m);
		spool_account(sp, m, -1);
		m->where = pos;
		m->record_size = entry->len;
		spool_account(sp, m, 1);
		return;
	}
	m = spool_message(sp, entry->id, brief, entry->brief_len);
	if (m == NULL) {
		id_format(entry->id, id);
		spool_tell(sp, "message %s cannot be recovered", id);
		return;
	}
	m->where = pos;
	m->record_size = entry->len;
	(void)index_add(&sp->index, m);
	spool_account(sp, m, 1);
	for (i = 0; i < m->count; i++)
		index_move(&sp->index, &m->rcpts[i], RCPT_READY, 0, false);
}

static void
recover_rcpt(struct spool *sp, const struct seg_entry *entry, const void *brief,
    uint64_t pos)
{
	struct brief_rcpt b;
	struct message *m;
	struct rcpt *r;

	m = index_find(&sp->index, entry->id);
	if (m == NULL || record_rcpt(brief, entry->brief_len, &b) == -1 ||
	    b.rcpt >= m->count || b.state == RCPT_SENDING)
		return;
	r = &m->rcpts[b.rcpt];
	r->attempts = b.attempts;
	r->flags = b.flags & (RCPT_TLS | RCPT_ENFORCE | RCPT_FINAL);
	r->order = (b.flags & STATE_BOUNCE) != 0 ? EVENT_BOUNCED : EVENT_NONE;
	if (entry->type == REC_OUTCOME)
		r->last = pos;
	if (r->state != RCPT_DONE && b.state == RCPT_DONE)
		m->alive--;
	if (r->state == RCPT_DONE && b.state != RCPT_DONE)
		m->alive++;
	if (b.next_ms > spool_latest(sp))
		b.next_ms = spool_latest(sp);
	index_move(&sp->index, r, (enum rcpt_state)b.state, b.next_ms, false);
}

static void
recover_done(struct spool *sp, const struct seg_entry *entry, const void *brief)
{
	struct brief_done done;
	struct message *m;

	m = index_find(&sp->index, entry->id);
	if (m == NULL)
		return;
	/* The copy that it speaks of is in no index: it was done in time. */
	if (record_done(brief, entry->brief_len, &done) == 0 &&
	    done.seq != JOURNAL_SEQ(m->where))
		make_stale(sp, m);
	spool_account(sp, m, -1);
	index_free(&sp->index, m);
}

static void
recover_record(void *arg, const struct seg_entry *entry, const void *brief,
    uint64_t pos)
{
	struct message *m;
	struct spool *sp;

	sp = arg;
	switch (entry->type) {
	case REC_MESSAGE:
		recover_message(sp, entry, brief, pos);
		break;
	case REC_OUTCOME:
	case REC_STATE:
		recover_rcpt(sp, entry, brief, pos);
		break;
	case REC_WARNED:
		m = index_find(&sp->index, entry->id);
		if (m != NULL)
			m->flags |= MESSAGE_WARNED;
		break;
	case REC_DONE:
		recover_done(sp, entry, brief);
		break;
	default: /* of a later version */
		break;
	}
}

/* A recipient that bounced is done only if the report is there. */
static bool
recover_trust(void *arg, uint32_t type, const void *brief, uint32_t len)
{
	struct brief_done done;
	struct brief_rcpt rcpt;

	(void)arg;
	if (type == REC_DONE)
		return record_done(brief, len, &done) == 0 &&
		    (done.flags & DONE_TOLD) == 0;
	if (type == REC_OUTCOME || type == REC_STATE)
		return record_rcpt(brief, len, &rcpt) == 0 &&
		    (rcpt.flags & STATE_TOLD) == 0;
	return true;
}

static void
recover_trouble(void *arg, const char *text)
{
	struct spool *sp;

	sp = arg;
	sp->troubled = true;
	spool_tell(sp, "%s", text);
}

/* ---- after the records ---- */

static bool
has_large(struct spool *sp, const struct message *m)
{
	char name[LARGE_NAME_SIZE];
	struct stat st;

	large_name(m->id, name);
	return fstatat(sp->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode) && (uint64_t)st.st_size == m->size;
}

static void
check_messages(struct spool *sp)
{
	struct message *m, *next;
	char id[ID_SIZE];

	for (m = index_from(&sp->index, 0); m != NULL; m = next) {
		next = index_next(m);
		if (m->alive == 0) {
			spool_finish(sp, m);
			continue;
		}
		if ((m->flags & MESSAGE_LARGE) != 0 && !has_large(sp, m)) {
			id_format(m->id, id);
			spool_tell(sp, "message %s has lost its body large/%s",
			    id, id);
			spool_damaged(sp, m);
			continue;
		}
		spool_arm(sp, m);
		spool_catch_up(sp, m);
	}
}

static void
settle_all(struct spool *sp)
{
	struct dest *dest;

	for (dest = index_dest_after(&sp->index, ""); dest != NULL;
	     dest = index_dest_after(&sp->index, dest->key))
		index_settle(&sp->index, dest, sp->now_ms);
	dest = index_dest(&sp->index, "");
	if (dest != NULL)
		index_settle(&sp->index, dest, sp->now_ms);
}

/* A file that no message refers to: not submitted, or done; or its record is
 * lost, and it is all that is left of the message. */
static void
remove_large(struct spool *sp, uint64_t id)
{
	char name[LARGE_NAME_SIZE], aside[8 + ID_SIZE];

	large_name(id, name);
	(void)strlcpy(aside, "damaged/", sizeof aside);
	id_format(id, aside + 8);
	if (sp->troubled)
		(void)sp->disk->renameat(sp->disk->arg, sp->dirfd, name, aside);
	else
		(void)sp->disk->unlinkat(sp->disk->arg, sp->dirfd, name);
}

/* Could every segment be read? */
static bool
knows_all(const struct spool *sp)
{
	size_t i;

	for (i = 0; i < journal_segments(sp->journal); i++)
		if (journal_segment_at(sp->journal, i)->kept)
			return false;
	return true;
}

static void
clean_large(struct spool *sp)
{
	struct dirent *entry;
	uint64_t id;
	DIR *dir;
	int fd;

	fd = openat(sp->dirfd, "large", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd == -1 ? NULL : fdopendir(fd);
	if (dir == NULL) {
		if (fd != -1)
			(void)close(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (id_parse(entry->d_name, &id) == -1 ||
		    index_find(&sp->index, id) != NULL)
			continue;
		remove_large(sp, id);
	}
	(void)closedir(dir);
}

static int
make_folder(struct spool *sp, const char *name)
{
	if (sp->disk->mkdirat(sp->disk->arg, sp->dirfd, name) == 0)
		return sp->disk->fsync(sp->disk->arg, sp->dirfd);
	return errno == EEXIST ? 0 : -1;
}

static int
open_folders(struct spool *sp)
{
	if (make_folder(sp, "large") == -1 || make_folder(sp, "damaged") == -1)
		return -1;
	sp->large_fd =
	    openat(sp->dirfd, "large", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return sp->large_fd == -1 ? -1 : 0;
}

/* A hook of the journal: a result that was lost with its group, or had no room,
 * was written after all. */
static void
record_moved(void *arg, const struct seg_entry *entry, const void *brief,
    uint64_t from, uint64_t to)
{
	struct brief_rcpt b;
	struct spool *sp;
	struct message *m;

	sp = arg;
	m = index_find(&sp->index, entry->id);
	if (m != NULL && entry->type == REC_OUTCOME &&
	    record_rcpt(brief, entry->brief_len, &b) == 0 &&
	    b.rcpt < m->count && (from == 0 || m->rcpts[b.rcpt].last == from))
		m->rcpts[b.rcpt].last = to;
}

static void
find_route(void *arg, const char *domain, char *key)
{
	struct spool *sp;

	sp = arg;
	key[0] = '\0';
	sp->conf.route(sp->conf.arg, domain, key);
}

static void
find_limits(void *arg, const char *key, struct limit_conf *conf)
{
	struct spool *sp;

	sp = arg;
	memset(conf, 0, sizeof *conf);
	sp->conf.limits(sp->conf.arg, key, conf);
}

static void
set_up(struct spool *sp, int dirfd, const struct disk *disk,
    const struct spool_conf *conf, const struct spool_hooks *hooks)
{
	sp->dirfd = dirfd;
	sp->large_fd = -1;
	sp->disk = disk != NULL ? disk : &disk_real;
	sp->conf = *conf;
	sp->hooks = *hooks;
	sp->ids.allocator = ID_QUEUE;
	envelope_init(&sp->view);
	TAILQ_INIT(&sp->pending);
	TAILQ_INIT(&sp->large);
	TAILQ_INIT(&sp->doomed);
}

struct spool *
spool_open(int dirfd, const struct disk *disk, const struct spool_conf *conf,
    const struct spool_hooks *hooks, int64_t now_ms)
{
	struct journal_hooks jh;
	struct index_hooks ih;
	struct recover_hooks rh;
	struct spool *sp;
	int error;

	sp = calloc(1, sizeof *sp);
	if (sp == NULL)
		return NULL;
	set_up(sp, dirfd, disk, conf, hooks);
	sp->now_ms = now_ms;
	ih.arg = jh.arg = rh.arg = sp;
	ih.route = find_route;
	ih.limits = find_limits;
	jh.keep = spool_keep;
	jh.moved = record_moved;
	jh.failed = spool_group_failed;
	rh.each = recover_record;
	rh.trust = recover_trust;
	rh.trouble = recover_trouble;
	index_init(&sp->index, &ih, now_ms);
	sp->journal = journal_new(dirfd, sp->disk,
	    conf->segment != 0 ? conf->segment : JOURNAL_SEGMENT, REC_MESSAGE,
	    &jh);
	if (sp->journal == NULL || open_folders(sp) == -1 ||
	    recover_journal(sp->journal, &rh) == -1) {
		error = errno;
		sp->dirfd = -1; /* the caller's still */
		spool_close(sp);
		errno = error;
		return NULL;
	}
	check_messages(sp);
	settle_all(sp);
	if (knows_all(sp))
		clean_large(sp);
	return sp;
}

static void
free_large(struct large *l)
{
	(void)close(l->fd);
	envelope_clear(&l->env);
	free(l);
}

static void
free_lists(struct spool *sp)
{
	struct pending *p, *next_p;
	struct doomed *d, *next_d;
	struct large *l, *next_l;

	TAILQ_FOREACH_SAFE(p, &sp->pending, link, next_p) {
		free(p->text);
		free(p->brief);
		free(p);
	}
	TAILQ_FOREACH_SAFE(d, &sp->doomed, link, next_d) {
		free(d);
	}
	TAILQ_FOREACH_SAFE(l, &sp->large, link, next_l) {
		free_large(l);
	}
}

void
spool_close(struct spool *sp)
{
	if (sp == NULL)
		return;
	jobs_free(sp);
	index_clear(&sp->index);
	journal_free(sp->journal);
	free_lists(sp);
	envelope_clear(&sp->view);
	free(sp->view_text);
	free(sp->compact.copies);
	if (sp->large_fd != -1)
		(void)close(sp->large_fd);
	if (sp->dirfd != -1)
		(void)close(sp->dirfd);
	free(sp);
}

void
spool_reconfigure(struct spool *sp, const struct spool_conf *conf,
    int64_t now_ms)
{
	struct message *m;

	sp->now_ms = now_ms;
	sp->conf = *conf;
	index_reroute(&sp->index, now_ms);
	for (m = index_from(&sp->index, 0); m != NULL; m = index_next(m))
		if ((m->flags & MESSAGE_PENDING) == 0)
			spool_arm(sp, m);
}
