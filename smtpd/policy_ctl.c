#include "smtpd/policy_ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mtasts/flight.h"
#include "smtpd/base/io.h"
#include "smtpd/base/log.h"
#include "smtpd/ctl_answer.h"

#define PATIENCE_MS 120000 /* for a look-up and a client that reads slowly */
#define PAGE 64            /* policies written before the client read them */

/* A client being answered. */
struct session {
	struct sts *sts;
	struct io *io;          /* NULL: the client has gone */
	bool is_waiting;        /* a callback will come */
	char domain[HOST_SIZE]; /* asked for; of a list: the last written */
	bool is_list;
};

/* The last line tells that nothing is missing. */
static void
finish(struct session *s)
{
	if (s->io != NULL) {
		ctl_complete(s->io);
		io_finish(s->io);
	}
	free(s);
}

static void
give_up(struct session *s, const char *error)
{
	if (s->io != NULL)
		ctl_fail(s->io, error);
	finish(s);
}

/* The object of `policy` and `policies`; keys as in sealpost(8). */
static void
write_policy(struct json *j, const char *domain,
    const struct discover_answer *a)
{
	char error[FLIGHT_DETAIL_SIZE + 64];
	size_t i;

	json_object(j, NULL);
	json_string(j, "domain", domain);
	json_string(j, "source", source_word(a->source));
	json_string(j, "mode", a->policy == NULL ? NULL : mode_word(a->mode));
	json_list(j, "mx");
	for (i = 0; a->policy != NULL && i < a->policy->mx_count; i++)
		json_string(j, NULL, a->policy->mx[i]);
	json_end(j);
	json_string(j, "id", a->policy == NULL ? NULL : a->id);
	if (a->policy == NULL)
		json_null(j, "max_age");
	else
		json_number(j, "max_age", a->policy->max_age_s);
	json_time(j, "fetched", a->fetched);
	json_time(j, "expires", a->expires);
	json_time(j, "refresh", a->refresh);
	if (a->trouble == REASON_NONE) {
		json_null(j, "last_error");
	} else {
		snprintf(error, sizeof(error), "%s: %s",
		    reason_word(a->trouble), a->detail);
		json_string(j, "last_error", error);
	}
	json_end(j);
}

static void
on_answer(void *arg, const struct discover_answer *answer)
{
	struct session *s = arg;
	struct json j;

	s->is_waiting = false;
	if (s->io != NULL) {
		json_init(&j);
		write_policy(&j, s->domain, answer);
		ctl_say(s->io, &j);
		json_clear(&j);
	}
	finish(s);
}

/* The first policy behind the last one written. */
static struct cache_entry *
next_entry(struct session *s)
{
	struct cache_entry *e = cache_first(sts_cache(s->sts));

	while (e != NULL && strcmp(e->domain, s->domain) <= 0)
		e = cache_next(e);
	return e;
}

static void
write_page(struct session *s)
{
	struct cache_entry *e = next_entry(s);
	struct discover_answer answer;
	struct json j;
	int n;

	json_init(&j);
	for (n = 0; n < PAGE && e != NULL; e = cache_next(e)) {
		strlcpy(s->domain, e->domain, sizeof(s->domain));
		sts_peek(s->sts, e->domain, &answer);
		if (answer.policy == NULL)
			continue;
		json_reset(&j);
		write_policy(&j, e->domain, &answer);
		ctl_say(s->io, &j);
		n++;
	}
	json_clear(&j);
	if (e == NULL)
		finish(s);
}

static void
on_io(void *arg, enum io_event event)
{
	struct session *s = arg;

	if (ctl_client_is_gone(s->io, event)) {
		io_free(s->io);
		s->io = NULL;
		if (!s->is_waiting)
			free(s);
	} else if (event == IO_SENT && s->is_list)
		write_page(s);
}

static void
forget(struct session *s)
{
	struct json j;
	bool found = sts_forget(s->sts, s->domain);

	if (!found) {
		give_up(s, "there is no cached policy of this domain");
		return;
	}
	json_init(&j);
	json_object(&j, NULL);
	json_string(&j, "domain", s->domain);
	json_bool(&j, "forgotten", true);
	json_end(&j);
	ctl_say(s->io, &j);
	json_clear(&j);
	finish(s);
}

static void
serve(struct session *s, const struct msg_ctl_policy *m)
{
	if (m->verb == CTL_POLICIES) {
		s->is_list = true;
		write_page(s);
		return;
	}
	if (host_normalize(s->domain, m->domain, strlen(m->domain)) == -1) {
		give_up(s, "this is not a domain name");
		return;
	}
	if (m->verb == CTL_FORGET) {
		forget(s);
		return;
	}
	s->is_waiting = true;
	sts_ask(s->sts, s->domain,
	    (m->flags & CTL_FLAG_REFRESH) != 0 ? ASK_REFRESH : ASK_DELIVERY,
	    on_answer, s);
}

void
policy_ctl(struct ev *ev, struct sts *sts, const struct msg_ctl_policy *m,
    int fd)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->sts = sts;
	s->io = io_new(ev, fd, on_io, s);
	if (s->io == NULL) {
		close(fd);
		free(s);
		return;
	}
	io_set_deadline(s->io, ev_now(ev) + PATIENCE_MS);
	serve(s, m);
}
