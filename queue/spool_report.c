/* Reports: what a sender is told, queued as a message of our own. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/dsn.h"
#include "queue/spool_state.h"

#define CONTENT_MOST 262144 /* bytes of an original that go along */
#define OVERHEAD 2048       /* bytes of a report's record besides its text */
#define TIGHT 65536         /* bytes that a report without content may take */
#define REPORT_MOST 1048576 /* bytes of a report that is written anew */
#define REPORT_CLIENT "report"
#define DSN_NEEDS_8BIT "5.6.3" /* RFC 3463: conversion required */

/* A report that is being written. */
struct draft {
	enum spool_report kind;
	char *text;
	size_t len;
};

void
spool_untried(struct spool_attempt *attempt)
{
	memset(attempt, 0, sizeof *attempt);
	attempt->result.outcome = OUTCOME_BOUNCED;
	attempt->result.reason = "";
	attempt->result.dsn = "5.0.0";
	attempt->result.mx = "";
	attempt->result.reply = "";
	attempt->result.detail = "";
}

static void
conclude(struct spool_result *last, const char *why,
    char detail[SPOOL_DETAIL_SIZE])
{
	if (last->reason[0] == '\0') {
		last->reason = "expired";
		last->detail = why;
		return;
	}
	(void)snprintf(detail, SPOOL_DETAIL_SIZE, "%s; at last %s: %s", why,
	    last->reason, last->detail);
	last->detail = detail;
}

void
spool_give_up(struct spool_result *last, char detail[SPOOL_DETAIL_SIZE])
{
	last->outcome = OUTCOME_BOUNCED;
	conclude(last, "the administrator gave the message up", detail);
}

void
spool_run_out(struct spool_result *last, char detail[SPOOL_DETAIL_SIZE])
{
	last->outcome = OUTCOME_BOUNCED;
	conclude(last, "not delivered in time", detail);
	last->reason = "expired";
	last->dsn = "5.4.7";
}

/* ---- who is told ---- */

void
spool_add_told(struct told_list *list, uint32_t rcpt, enum spool_report kind,
    const struct spool_attempt *attempt)
{
	struct told *told;
	uint32_t at;
	size_t len;

	len = record_attempt_size(attempt);
	told = malloc(sizeof *told + len);
	if (told == NULL)
		return; /* the recipient is done, untold */
	told->rcpt = rcpt;
	told->kind = kind;
	(void)record_attempt_put(attempt, told->text);
	at = 0;
	(void)record_attempt_get(told->text, (uint32_t)len, &at,
	    &told->attempt);
	TAILQ_INSERT_TAIL(list, told, link);
}

void
free_told(struct told_list *list)
{
	struct told *told, *next;

	TAILQ_FOREACH_SAFE(told, list, link, next) {
		free(told);
	}
	TAILQ_INIT(list);
}

/* ---- the original's content ---- */

/* Its first bytes, at most so many, to free(3). */
static char *
read_content(struct spool *sp, struct message *m, size_t most, size_t *len)
{
	struct stat st;
	ssize_t n;
	char *mem;
	int fd;

	*len = 0;
	fd = spool_open_body(sp, m);
	if (fd == -1 || fstat(fd, &st) == -1) {
		if (fd != -1)
			(void)close(fd);
		return NULL;
	}
	*len = (size_t)st.st_size > most ? most : (size_t)st.st_size;
	mem = malloc(*len + 1);
	n = mem == NULL ? -1 : pread(fd, mem, *len, 0);
	(void)close(fd);
	*len = n < 0 ? 0 : (size_t)n;
	return mem;
}

/* ---- the report ---- */

bool
spool_can_tell(const struct spool *sp, const struct envelope *env,
    uint32_t rcpt)
{
	return journal_error(sp->journal) == 0 ||
	    journal_room(sp->journal) >= TIGHT ||
	    !dsn_wanted(REPORT_BOUNCE, env->sender, &env->rcpts[rcpt]);
}

static int
add_to(void *arg, const char *address)
{
	struct recipient to = { .address = address,
		.orcpt = "",
		.notify = NOTIFY_NEVER };
	struct envelope *env = arg;

	if (dsn_has_8bit(address, strlen(address)))
		env->flags |= ENVELOPE_SMTPUTF8;
	return envelope_add(env, &to);
}

/* Whom a report is for: a local name may have an alias. */
static void
address_report(struct spool *sp, struct envelope *env, const char *sender)
{
	if (sp->conf.expand != NULL &&
	    sp->conf.expand(sp->conf.arg, sender, add_to, env) > 0)
		return;
	env->rcpt_count = 0;
	(void)add_to(env, sender);
}

/* Queue the "len" bytes of "text" for the recipients of "env". */
static int
put_report(struct spool *sp, struct envelope *env, const char *text, size_t len)
{
	int body;

	env->arrived_us = (uint64_t)sp->now_ms * 1000;
	env->size = len;
	env->client = REPORT_CLIENT;
	if (dsn_has_8bit(text, len))
		env->flags |= ENVELOPE_8BITMIME | ENVELOPE_8BIT;
	body = spool_seal_file(text, len);
	if (body == -1)
		return -1;
	if (spool_put(sp, env, body, true) == 0)
		return 0;
	(void)close(body);
	return -1;
}

/* Queue what was written to a stream of memory, or tell why not. */
static void
queue_report(struct spool *sp, struct message *m, struct envelope *env,
    const struct draft *draft)
{
	const char *to = env->rcpt_count > 0 ? env->rcpts[0].address : "";

	if (put_report(sp, env, draft->text, draft->len) == -1) {
		spool_tell(sp, "a report to <%s> could not be queued: %s", to,
		    strerror(errno));
		return;
	}
	m->flags |= MESSAGE_TOLD;
	sp->hooks.reported(sp->hooks.arg, draft->kind, m->id, env);
}

/* draft->text is to be freed; NULL: no memory. */
static void
write_draft(struct draft *draft, struct dsn *d)
{
	FILE *to;

	d->eight_bit = dsn_has_8bit(d->content,
	    d->full ? d->content_len
		    : dsn_header_len(d->content, d->content_len));
	free(draft->text);
	draft->text = NULL;
	to = open_memstream(&draft->text, &draft->len);
	if (to == NULL)
		return;
	dsn_write(to, d);
	if (fclose(to) == 0)
		return;
	free(draft->text);
	draft->text = NULL;
}

static void
compose(struct spool *sp, struct message *m, struct dsn *d)
{
	struct draft draft = { .kind = d->kind };
	struct envelope env;
	char *content;

	content = read_content(sp, m, CONTENT_MOST, &d->content_len);
	d->content = content == NULL ? "" : content;
	/* RET applies to failures only (RFC 3461 4.3). */
	d->full = d->kind == REPORT_BOUNCE && d->content_len == m->size &&
	    (d->env->flags & ENVELOPE_RET_HDRS) == 0;
	write_draft(&draft, d);
	/* The room that is left on a full disk is for results. */
	if (draft.text != NULL && d->full &&
	    journal_prepare(sp->journal, (uint32_t)draft.len + OVERHEAD) ==
		-1) {
		d->full = false;
		write_draft(&draft, d);
	}
	envelope_init(&env);
	env.id = d->id;
	if (draft.text != NULL) {
		address_report(sp, &env, d->env->sender);
		queue_report(sp, m, &env, &draft);
	}
	envelope_clear(&env);
	free(draft.text);
	free(content);
}

/* To whom of its recipients could a report with 8-bit content not be given? */
static void
add_refusing(struct envelope *to, const struct envelope *env,
    const struct told_list *list)
{
	const struct told *told;

	if ((env->flags & ENVELOPE_8BIT) == 0 ||
	    strcmp(env->client, REPORT_CLIENT) != 0)
		return;
	TAILQ_FOREACH(told, list, link)
		if (told->kind == REPORT_BOUNCE &&
		    strcmp(told->attempt.result.dsn, DSN_NEEDS_8BIT) == 0)
			(void)add_to(to, env->rcpts[told->rcpt].address);
}

/*
 * A report cannot bounce, and must not be lost because a host lacks 8BITMIME
 * (RFC 6152 3): once more, in seven bits.
 */
static void
report_again(struct spool *sp, struct message *m, const struct envelope *of,
    const struct told_list *list)
{
	struct draft draft = { .kind = REPORT_BOUNCE };
	struct envelope env;
	char *content;
	size_t len;
	FILE *to;

	envelope_init(&env);
	add_refusing(&env, of, list);
	content =
	    env.rcpt_count == 0 ? NULL : read_content(sp, m, REPORT_MOST, &len);
	to = content == NULL ? NULL : open_memstream(&draft.text, &draft.len);
	if (to != NULL) {
		env.id = id_next(&sp->ids, (uint64_t)sp->now_ms * 1000);
		dsn_write_7bit(to, content, len);
		if (fclose(to) == 0 && len == m->size &&
		    !dsn_has_8bit(draft.text, draft.len))
			queue_report(sp, m, &env, &draft);
	}
	envelope_clear(&env);
	free(draft.text);
	free(content);
}

static void
report_kind(struct spool *sp, struct message *m, const struct envelope *env,
    const struct told_list *list, enum spool_report kind)
{
	const struct told *told;
	struct dsn_rcpt *rcpts;
	struct dsn d;
	size_t count;

	count = 0;
	TAILQ_FOREACH(told, list, link)
		count++;
	rcpts = reallocarray(NULL, count, sizeof *rcpts);
	if (rcpts == NULL)
		return;
	memset(&d, 0, sizeof d);
	TAILQ_FOREACH(told, list, link) {
		if (told->kind != kind ||
		    !dsn_wanted(kind, env->sender, &env->rcpts[told->rcpt]))
			continue;
		rcpts[d.rcpt_count].rcpt = &env->rcpts[told->rcpt];
		rcpts[d.rcpt_count++].attempt = &told->attempt;
	}
	d.kind = kind;
	d.hostname = sp->conf.hostname;
	d.env = env;
	d.rcpts = rcpts;
	d.now_ms = sp->now_ms;
	d.expires_ms = retry_expires_ms((int64_t)(env->arrived_us / 1000),
	    sp->conf.expire_ms);
	d.advice = sp->conf.advice;
	d.arg = sp->conf.arg;
	if (d.rcpt_count > 0) {
		d.id = id_next(&sp->ids, (uint64_t)sp->now_ms * 1000);
		compose(sp, m, &d);
	}
	free(rcpts);
}

void
spool_report(struct spool *sp, struct message *m, const struct envelope *env,
    struct told_list *list)
{
	if (TAILQ_EMPTY(list))
		return;
	report_kind(sp, m, env, list, REPORT_BOUNCE);
	report_kind(sp, m, env, list, REPORT_DELAY);
	report_kind(sp, m, env, list, REPORT_RELAYED);
	report_again(sp, m, env, list);
}
