#include "smtpd/sts_log.h"

#include <stdio.h>

#include "smtpd/base/log.h"

#define MX_MOST 20 /* patterns told */

static void
log_policy(struct log_line *line, const struct discover_answer *a)
{
	size_t i;

	log_str(line, "policy", mode_word(a->mode));
	if (a->policy == NULL)
		return;
	log_str(line, "policy_id", a->id);
	log_int(line, "max_age", a->policy->max_age_s);
	if (a->policy->max_age_capped)
		log_str(line, "capped", "yes");
	for (i = 0; i < a->policy->mx_count && i < MX_MOST; i++)
		log_str(line, "mx", a->policy->mx[i]);
}

static enum log_priority
priority_of(const struct discover_action *action)
{
	switch (action->note) {
	case NOTE_NEW:
	case NOTE_REFRESHED:
		return LOG_PRI_INFO;
	case NOTE_CHANGED:
		return LOG_PRI_NOTICE;
	case NOTE_REFUSED:
		/* To end its policy a domain serves one of mode none, and then
		 * takes the policy host away (RFC 8461 8.3): no warning. */
		return action->answer.mode == POLICY_NONE ? LOG_PRI_INFO
							  : LOG_PRI_WARNING;
	case NOTE_EXPIRED:
	case NOTE_DAMAGED:
	case NOTE_CLOCK:
	case NOTE_COUNT:
		break;
	}
	return LOG_PRI_WARNING;
}

void
sts_log(const struct discover_action *action)
{
	struct log_line line;
	char event[32];

	snprintf(event, sizeof(event), "policy-%s", note_word(action->note));
	log_begin(&line, priority_of(action), event);
	log_str(&line, "domain", action->domain);
	log_policy(&line, &action->answer);
	if (action->note == NOTE_REFUSED) {
		log_str(&line, "reason", reason_word(action->answer.trouble));
		log_str(&line, "detail", action->answer.detail);
	}
	log_end(&line);
}
