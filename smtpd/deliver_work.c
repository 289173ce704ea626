#include "smtpd/deliver_work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/envelope.h"
#include "smtpd/address.h"
#include "smtpd/base/log.h"

struct work *
work_of(struct lane_job *job)
{
	return (struct work *)(void *)job;
}

struct work *
work_new(const struct msg_job *m, int fd)
{
	struct work *w = xcalloc(1, sizeof(*w));

	if (m->rcpts == 0 || m->rcpts > ENVELOPE_RCPTS_MAX)
		log_die("queue: a job of %u recipients", m->rcpts);
	w->job.rcpts = xcalloc(m->rcpts, sizeof(*w->job.rcpts));
	w->rcpt_number = xcalloc(m->rcpts, sizeof(*w->rcpt_number));
	w->rcpt_text = xcalloc(m->rcpts, sizeof(*w->rcpt_text));
	w->number = m->job;
	w->rcpts_due = m->rcpts;
	w->width = m->width;
	(void)strlcpy(w->destination, m->destination, sizeof(w->destination));
	(void)strlcpy(w->sender, m->sender, sizeof(w->sender));
	(void)strlcpy(w->envid, m->envid, sizeof(w->envid));
	w->job.sender = w->sender;
	w->job.envid = w->envid;
	w->job.size = m->size;
	w->job.body = fd;
	w->job.recheck = m->recheck != 0;
	w->job.eightbit = m->flags & ENVELOPE_8BIT;
	w->job.smtputf8 =
	    (m->flags & ENVELOPE_SMTPUTF8) && (m->flags & ENVELOPE_8BIT);
	if (m->flags & ENVELOPE_RET_FULL)
		w->job.ret = CLIENT_RET_FULL;
	else if (m->flags & ENVELOPE_RET_HDRS)
		w->job.ret = CLIENT_RET_HDRS;
	return w;
}

bool
work_add(struct work *w, const struct msg_job_rcpt *m)
{
	struct lane_rcpt *r = &w->job.rcpts[w->job.rcpt_count];
	size_t address = strlen(m->address) + 1, orcpt = strlen(m->orcpt) + 1;
	char *text;

	if (m->job != w->number || w->rcpts_due == 0)
		log_die("queue: a recipient of another job");
	text = xcalloc(1, address + orcpt);
	memcpy(text, m->address, address);
	memcpy(text + address, m->orcpt, orcpt);
	w->rcpt_text[w->job.rcpt_count] = text;
	r->address = text;
	r->orcpt = text + address;
	r->notify = m->notify;
	w->rcpt_number[w->job.rcpt_count++] = m->rcpt;
	return --w->rcpts_due == 0;
}

void
work_free(struct work *w)
{
	size_t i;

	if (w == NULL)
		return;
	for (i = 0; i < w->job.rcpt_count; i++)
		free(w->rcpt_text[i]);
	free(w->rcpt_text);
	close(w->job.body);
	free(w->job.rcpts);
	free(w->rcpt_number);
	free(w);
}

void
work_tell(struct work *w, struct ipc *queue, size_t rcpt,
    struct msg_rcpt_result *result)
{
	w->told++;
	result->job = w->number;
	result->rcpt = w->rcpt_number[rcpt];
	if (queue != NULL)
		MSG_SEND(queue, rcpt_result, result, -1);
}

void
work_tell_all(struct work *w, struct ipc *queue, const char *detail)
{
	struct msg_rcpt_result result = { .outcome = OUTCOME_DEFERRED,
		.scope = SCOPE_DESTINATION,
		.reason = REASON_CONNECT_FAILED,
		.dsn = "4.3.5" /* RFC 3463: incorrectly configured */ };
	size_t i;

	(void)strlcpy(result.detail, detail, sizeof(result.detail));
	for (i = 0; i < w->job.rcpt_count; i++)
		work_tell(w, queue, i, &result);
}

/* ---- the next hop ---- */

static int
rank(enum tls_level level)
{
	switch (level) {
	case LEVEL_OPPORTUNISTIC:
		return 0;
	case LEVEL_REQUIRE:
		return 1;
	case LEVEL_STRICT:
		break;
	}
	return 2;
}

/* True if all recipients are of one domain; *dest gets the strictest level. */
static bool
look_at_rcpts(const struct work *w, const struct conf *conf, time_t now,
    struct conf_dest *dest)
{
	const char *first = envelope_domain(w->job.rcpts[0].address);
	const char *domain;
	struct conf_dest other;
	bool one = true;
	size_t i;

	conf_destination(conf, first, now, dest);
	for (i = 1; i < w->job.rcpt_count; i++) {
		domain = envelope_domain(w->job.rcpts[i].address);
		if (strcmp(domain, first) == 0)
			continue;
		one = false;
		conf_destination(conf, domain, now, &other);
		if (rank(other.level) > rank(dest->level))
			dest->level = other.level;
	}
	return one;
}

int
work_look_up(const struct work *w, const struct conf *conf, time_t now,
    struct work_hop *hop)
{
	bool is_via = strchr(w->destination, ':') != NULL;
	bool one = look_at_rcpts(w, conf, now, &hop->dest);

	(void)strlcpy(hop->domain, envelope_domain(w->job.rcpts[0].address),
	    sizeof(hop->domain));
	/* The queue's key: a domain, or host:port with ";level". */
	(void)strlcpy(hop->destination, w->destination,
	    sizeof(hop->destination));
	hop->destination[strcspn(hop->destination, ";")] = '\0';
	if (!is_via) {
		conf_destination(conf, w->destination, now, &hop->dest);
		(void)strlcpy(hop->domain, w->destination, sizeof(hop->domain));
	}
	/* The configuration has changed since the queue made the key. */
	if (!is_via && hop->dest.via != NULL) {
		(void)snprintf(hop->destination, sizeof(hop->destination),
		    "%s:%u", hop->dest.via, hop->dest.via_port);
	} else if (is_via && hop->dest.via == NULL) {
		if (!one)
			return -1;
		(void)strlcpy(hop->destination, hop->domain,
		    sizeof(hop->destination));
	}
	return 0;
}
