#include "smtpd/queue_answer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "queue/id.h"
#include "smtpd/base/io.h"
#include "smtpd/base/log.h"
#include "smtpd/ctl.h"
#include "smtpd/ctl_answer.h"
#include "smtpd/queue_describe.h"

#define ANSWERS_MAX 64    /* at once; a further client is told to wait */
#define ANSWERS_USERS 32  /* beyond these only for administrators */
#define PAGE_BYTES 65536  /* written ahead of the client */
#define TURN_BUDGET 2000  /* recipients looked at in one turn */
#define SHOW_BUDGET 20    /* ... whose attempts are read */
#define BOUNCE_BUDGET 200 /* ... whose senders are told */
#define PATIENCE_MS 60000 /* for a client that does not read */
#define BODY_CHUNK 32768U

/* How far an answer has come. */
enum progress {
	WRITES_OBJECTS,
	WRITES_BODY, /* the content behind a `show` */
	ENDED        /* the dot, or an error, was written */
};

struct answer {
	LIST_ENTRY(answer) entry;
	struct queue_answers *all;
	struct io *io;
	struct ev_task task;
	struct msg_ctl_queue ask;
	struct spool_filter filter;
	struct spool_cursor cursor;
	char after[SPOOL_DEST_SIZE]; /* the last destination written */
	struct json shown; /* of `show`: the object that is being written */
	enum progress progress;
	int body; /* fd; -1: none */
	off_t at;
};

struct queue_answers {
	struct queue_view view;
	LIST_HEAD(, answer) list;
	unsigned count;
	struct json json;
};

static void
end_answer(struct answer *a)
{
	ev_soon_del(a->all->view.ev, &a->task);
	if (a->io != NULL)
		io_free(a->io);
	if (a->body != -1)
		(void)close(a->body);
	json_clear(&a->shown);
	LIST_REMOVE(a, entry);
	a->all->count--;
	free(a);
}

static struct json *
new_object(struct answer *a)
{
	struct json *j = &a->all->json;

	json_reset(j);
	json_object(j, NULL);
	return j;
}

/* The object that new_object() began is complete: send it. */
static void
send_object(struct answer *a)
{
	json_end(&a->all->json);
	ctl_say(a->io, &a->all->json);
}

static void
end_with_error(struct answer *a, const char *text)
{
	ctl_fail(a->io, text);
	a->progress = ENDED;
}

static void
end_well(struct answer *a)
{
	ctl_complete(a->io);
	a->progress = ENDED;
}

/* ---- queue ---- */

static void
list_queue(struct answer *a)
{
	struct spool *spool = a->all->view.spool;
	int64_t now_ms = ev_wall_ms();
	struct spool_entry entry;
	int more;

	a->cursor.budget = TURN_BUDGET;
	while (io_pending(a->io) < PAGE_BYTES) {
		more = spool_list(spool, &a->filter, &a->cursor, &entry);
		if (more != 1) {
			if (more == 0)
				end_well(a);
			return;
		}
		describe_entry(new_object(a), &entry, now_ms);
		send_object(a);
	}
}

/* ---- queue --count, top ---- */

static void
count_queue(struct answer *a)
{
	struct spool *spool = a->all->view.spool;
	int64_t now_ms = ev_wall_ms();
	struct spool_dest dest;
	int budget = TURN_BUDGET;

	if (a->after[0] == '\0' && !spool_grow_older(spool, now_ms))
		return;
	while (io_pending(a->io) < PAGE_BYTES && budget-- > 0) {
		if (!spool_dest_next(spool, a->after, &dest)) {
			end_well(a);
			return;
		}
		(void)strlcpy(a->after, dest.key, sizeof a->after);
		if (a->filter.domain != NULL &&
		    strcmp(a->filter.domain, dest.key) != 0)
			continue;
		describe_dest(new_object(a), &dest, now_ms);
		if (a->ask.verb == CTL_COUNT)
			describe_ages(&a->all->json, &dest);
		send_object(a);
	}
}

/* ---- show ---- */

static void
add_attempt(void *arg, const struct spool_attempt *attempt)
{
	describe_attempt(arg, attempt);
}

/* One recipient of `show`, with its attempts. */
static void
show_rcpt(struct answer *a, const struct spool_entry *entry)
{
	struct json *j = &a->shown;
	uint64_t id = entry->env->id;
	uint32_t rcpt = entry->rcpt;

	json_object(j, NULL);
	describe_rcpt(j, entry);
	json_list(j, "history");
	spool_history(a->all->view.spool, id, rcpt, add_attempt, j);
	json_end(j);
	json_end(j);
}

static void
show_header(struct answer *a)
{
	char *header = NULL;
	size_t len = 0;

	a->body = spool_body(a->all->view.spool, a->filter.id);
	if (a->body != -1)
		header = describe_header(a->body, &len);
	json_bytes(&a->shown, "headers", header != NULL ? header : "",
	    header != NULL ? len : 0);
	free(header);
	a->at = (off_t)len;
}

/* Send what there is of the object. */
static void
put_shown(struct answer *a)
{
	const char *text = json_text(&a->shown);

	if (text == NULL)
		log_die("no memory for an answer");
	/* cppcheck-suppress nullPointerRedundantCheck ; log_die() ends us */
	io_write(a->io, text, strlen(text));
	json_drain(&a->shown);
}

/* All recipients were shown. */
static void
show_rest(struct answer *a)
{
	if (a->shown.depth == 0) {
		end_with_error(a, "no such message in the queue");
		return;
	}
	json_end(&a->shown);
	show_header(a);
	if ((a->ask.flags & CTL_FLAG_BODY) != 0 && a->body != -1) {
		/* The object stays open for the body, written as it is read. */
		put_shown(a);
		io_write(a->io, ",\"body\":\"", 9);
		a->progress = WRITES_BODY;
		return;
	}
	json_end(&a->shown);
	put_shown(a);
	io_write(a->io, "\n", 1);
	end_well(a);
}

static void
show_message(struct answer *a)
{
	struct spool_entry entry;
	int more;

	a->cursor.budget = SHOW_BUDGET;
	while (io_pending(a->io) < PAGE_BYTES) {
		more = spool_list(a->all->view.spool, &a->filter, &a->cursor,
		    &entry);
		if (more == 0)
			show_rest(a);
		if (more != 1)
			return;
		if (a->shown.depth == 0) {
			json_object(&a->shown, NULL);
			describe_message(&a->shown, entry.env, ev_wall_ms());
			json_list(&a->shown, "recipients");
		}
		show_rcpt(a, &entry);
		put_shown(a);
	}
}

/*
 * How much of a chunk to write: up to the end of a line, or, in the midst of a
 * longer one, without its last character of more than one byte, which may go
 * on.
 */
static size_t
whole_chars(const char *chunk, size_t len)
{
	const char *end = memrchr(chunk, '\n', len);
	size_t n = len;

	if (end != NULL)
		return (size_t)(end + 1 - chunk);
	if (len < BODY_CHUNK)
		return len;
	while (n > len - 4 && (chunk[n - 1] & 0xc0) == 0x80)
		n--;
	return (chunk[n - 1] & 0xc0) == 0xc0 ? n - 1 : len;
}

/* The next piece of a JSON string. */
static void
show_body(struct answer *a)
{
	struct json *j = &a->all->json;
	char chunk[BODY_CHUNK];
	const char *text;
	ssize_t n;
	size_t len;

	while (io_pending(a->io) < PAGE_BYTES) {
		n = pread(a->body, chunk, sizeof chunk, a->at);
		if (n <= 0) {
			io_write(a->io, "\"}\n", 3);
			end_well(a);
			return;
		}
		len = whole_chars(chunk, (size_t)n);
		a->at += (off_t)len;
		json_reset(j);
		json_bytes(j, NULL, chunk, len);
		text = json_text(j);
		if (text != NULL)
			io_write(a->io, text + 1, strlen(text) - 2);
	}
}

/* ---- retry, hold, release, remove, bounce ---- */

static enum spool_act
act_of(uint32_t verb)
{
	switch (verb) {
	case CTL_HOLD:
		return ACT_HOLD;
	case CTL_RELEASE:
		return ACT_RELEASE;
	case CTL_REMOVE:
		return ACT_REMOVE;
	case CTL_BOUNCE:
		return ACT_BOUNCE;
	default:
		return ACT_RETRY;
	}
}

static const char *
why_nothing(const struct answer *a)
{
	if (a->cursor.held > 0)
		return "it is held: release it first";
	return a->filter.id != 0 ? "no such message in the queue"
				 : "nothing is queued for that domain";
}

static void
act_on_queue(struct answer *a)
{
	const struct queue_view *view = &a->all->view;
	struct json *j;
	int more;

	a->cursor.budget =
	    a->ask.verb == CTL_BOUNCE ? BOUNCE_BUDGET : TURN_BUDGET;
	more = spool_act(view->spool, act_of(a->ask.verb), &a->filter,
	    &a->cursor, ev_wall_ms());
	view->changed(view->arg);
	if (more == -1)
		return;
	if (a->cursor.done == 0 && strcmp(a->ask.what, "all") != 0) {
		end_with_error(a, why_nothing(a));
		return;
	}
	j = new_object(a);
	json_number(j, "recipients", (int64_t)a->cursor.done);
	send_object(a);
	end_well(a);
}

/* ---- pause, resume, status ---- */

static void
pause_queue(struct answer *a, bool paused)
{
	const struct queue_view *view = &a->all->view;
	struct log_line line;
	struct json *j = new_object(a);

	*view->paused = paused;
	log_begin(&line, LOG_PRI_NOTICE, paused ? "paused" : "resumed");
	log_end(&line);
	view->changed(view->arg);
	json_bool(j, "paused", paused);
	send_object(a);
	end_well(a);
}

static void
tell_status(struct answer *a)
{
	const struct queue_view *view = &a->all->view;
	struct json *j = new_object(a);
	int failing = spool_failing(view->spool);
	struct spool_counts counts;

	spool_count(view->spool, &counts);
	json_bool(j, "paused", *view->paused);
	json_bool(j, "spool_failing", failing != 0);
	json_string(j, "spool_error", failing != 0 ? strerror(failing) : NULL);
	queue_stats_json(j, view->stats, &counts, ev_wall_ms());
	send_object(a);
	end_well(a);
}

/* ---- the way of an answer ---- */

static void
work(struct answer *a)
{
	switch ((enum ctl_verb)a->ask.verb) {
	case CTL_QUEUE:
		list_queue(a);
		break;
	case CTL_COUNT:
	case CTL_TOP:
		count_queue(a);
		break;
	case CTL_SHOW:
		show_message(a);
		break;
	case CTL_RETRY:
	case CTL_HOLD:
	case CTL_RELEASE:
	case CTL_REMOVE:
	case CTL_BOUNCE:
		act_on_queue(a);
		break;
	case CTL_PAUSE:
	case CTL_RESUME:
		pause_queue(a, a->ask.verb == CTL_PAUSE);
		break;
	case CTL_STATUS:
		tell_status(a);
		break;
	case CTL_PROOF: /* smtpd/queue_proof.h */
	case CTL_POLICY:
	case CTL_POLICIES:
	case CTL_FORGET:
	case CTL_RELOAD:
	case CTL_STOP:
	case CTL_VERBS:
		end_with_error(a, "not the queue's to answer");
		break;
	}
}

static void
produce(void *arg)
{
	struct answer *a = arg;
	struct ev *ev = a->all->view.ev;

	if (a->progress == WRITES_OBJECTS)
		work(a);
	else if (a->progress == WRITES_BODY)
		show_body(a);
	if (a->progress == ENDED) {
		io_finish(a->io);
		a->io = NULL;
		end_answer(a);
		return;
	}
	io_set_deadline(a->io, ev_now(ev) + PATIENCE_MS);
	/* With a full page IO_SENT brings us back. */
	if (io_pending(a->io) == 0)
		ev_soon(ev, &a->task, produce, a);
}

static void
on_client(void *arg, enum io_event event)
{
	struct answer *a = arg;

	if (ctl_client_is_gone(a->io, event))
		end_answer(a);
	else if (event == IO_SENT)
		ev_soon(a->all->view.ev, &a->task, produce, a);
}

static const char *
filter_text(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

/* As the index has names: a million are compared. */
static void
lower_case(char *text)
{
	for (; *text != '\0'; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text - 'A' + 'a');
}

/* The request's words as a filter. Returns an error for people, or NULL. */
static const char *
set_filter(struct answer *a)
{
	struct spool_filter *f = &a->filter;
	enum rcpt_state state;

	f->state = -1;
	f->uid = a->ask.uid;
	lower_case(a->ask.domain);
	f->domain = filter_text(a->ask.domain);
	if (strcmp(a->ask.sender, "<>") == 0)
		f->sender = "";
	else
		f->sender = filter_text(a->ask.sender);
	if (a->ask.state[0] != '\0') {
		if (outcome_state_parse(a->ask.state, &state) == -1)
			return "no such state";
		f->state = (int)state;
	}
	if (a->ask.what[0] == '\0' || strcmp(a->ask.what, "all") == 0)
		return NULL;
	if (id_parse(a->ask.what, &f->id) == -1) {
		lower_case(a->ask.what);
		f->domain = a->ask.what;
	} else if (f->id == 0) /* to the filter: any message */
		return "no such message in the queue";
	return NULL;
}

void
queue_answer(struct queue_answers *all, const struct msg_ctl_queue *ask, int fd)
{
	struct answer *a = xcalloc(1, sizeof *a);
	const char *error;

	a->all = all;
	a->ask = *ask;
	a->body = -1;
	a->io = io_new(all->view.ev, fd, on_client, a);
	if (a->io == NULL)
		log_die("no memory");
	LIST_INSERT_HEAD(&all->list, a, entry);
	error = set_filter(a);
	if (++all->count > (ask->uid == -1 ? ANSWERS_MAX : ANSWERS_USERS))
		error = CTL_BUSY;
	if (error != NULL)
		end_with_error(a, error);
	ev_soon(all->view.ev, &a->task, produce, a);
}

struct queue_answers *
queue_answers_new(const struct queue_view *view)
{
	struct queue_answers *all = xcalloc(1, sizeof *all);

	all->view = *view;
	LIST_INIT(&all->list);
	json_init(&all->json);
	return all;
}
