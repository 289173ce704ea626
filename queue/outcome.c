#include "queue/outcome.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/* clang-format off */
static const char *const words[RCPT_STATES] = {
	[RCPT_READY]    = "ready",
	[RCPT_SENDING]  = "sending",
	[RCPT_DEFERRED] = "deferred",
	[RCPT_HELD]     = "held",
	[RCPT_DONE]     = "done",
};
/* clang-format on */

enum rcpt_event
outcome_event(enum outcome outcome, enum scope scope)
{
	assert(outcome < OUTCOME_COUNT && scope < SCOPE_COUNT);
	if (outcome == OUTCOME_DELIVERED)
		return EVENT_DELIVERED;
	if (outcome == OUTCOME_BOUNCED)
		return EVENT_BOUNCED;
	return scope == SCOPE_RECIPIENT || scope == SCOPE_MESSAGE
	    ? EVENT_FAILED_RCPT
	    : EVENT_FAILED_DEST;
}

const char *
outcome_state_word(enum rcpt_state state)
{
	assert(state < RCPT_STATES);
	return words[state];
}

int
outcome_state_parse(const char *word, enum rcpt_state *state)
{
	size_t i;

	for (i = 0; i < RCPT_STATES; i++)
		if (strcmp(word, words[i]) == 0) {
			*state = (enum rcpt_state)i;
			return 0;
		}
	return -1;
}
