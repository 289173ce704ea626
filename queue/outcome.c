#include "queue/outcome.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define GO(state, action) \
	{ \
		RCPT_##state, ACTION_##action, true \
	}
#define NO \
	{ \
		RCPT_DONE, ACTION_NONE, false \
	}

/*
 * An order that meets a recipient under way is remembered (ACTION_LATER): the
 * remote host may have taken the message already.
 */
/* clang-format off */
static const struct outcome_step table[RCPT_STATES][RCPT_EVENTS] = {
	[RCPT_READY] = {
		[EVENT_PICKED]      = GO(SENDING, NONE),
		[EVENT_DELIVERED]   = NO,
		[EVENT_FAILED_RCPT] = NO,
		[EVENT_FAILED_DEST] = NO,
		[EVENT_BOUNCED]     = GO(DONE, BOUNCE),
		[EVENT_RETURNED]    = NO,
		[EVENT_DUE]         = GO(READY, NONE),
		[EVENT_RETRY]       = GO(READY, NONE),
		[EVENT_HOLD]        = GO(HELD, NONE),
		[EVENT_RELEASE]     = GO(READY, NONE),
		[EVENT_REMOVE]      = GO(DONE, NONE),
		[EVENT_EXPIRED]     = GO(DONE, BOUNCE),
	},
	[RCPT_SENDING] = {
		[EVENT_PICKED]      = NO,
		[EVENT_DELIVERED]   = GO(DONE, RELAYED),
		[EVENT_FAILED_RCPT] = GO(DEFERRED, WAIT_OWN),
		[EVENT_FAILED_DEST] = GO(READY, WAIT_DEST),
		[EVENT_BOUNCED]     = GO(DONE, BOUNCE),
		[EVENT_RETURNED]    = GO(READY, NONE),
		[EVENT_DUE]         = NO,
		[EVENT_RETRY]       = GO(SENDING, NONE),
		[EVENT_HOLD]        = GO(SENDING, LATER),
		[EVENT_RELEASE]     = GO(SENDING, LATER),
		[EVENT_REMOVE]      = GO(SENDING, LATER),
		[EVENT_EXPIRED]     = GO(SENDING, NONE),
	},
	[RCPT_DEFERRED] = {
		[EVENT_PICKED]      = NO,
		[EVENT_DELIVERED]   = NO,
		[EVENT_FAILED_RCPT] = NO,
		[EVENT_FAILED_DEST] = NO,
		[EVENT_BOUNCED]     = GO(DONE, BOUNCE),
		[EVENT_RETURNED]    = NO,
		[EVENT_DUE]         = GO(READY, NONE),
		[EVENT_RETRY]       = GO(READY, NONE),
		[EVENT_HOLD]        = GO(HELD, NONE),
		[EVENT_RELEASE]     = GO(DEFERRED, NONE),
		[EVENT_REMOVE]      = GO(DONE, NONE),
		[EVENT_EXPIRED]     = GO(DONE, BOUNCE),
	},
	[RCPT_HELD] = {
		[EVENT_PICKED]      = NO,
		[EVENT_DELIVERED]   = NO,
		[EVENT_FAILED_RCPT] = NO,
		[EVENT_FAILED_DEST] = NO,
		[EVENT_BOUNCED]     = GO(DONE, BOUNCE),
		[EVENT_RETURNED]    = NO,
		[EVENT_DUE]         = GO(HELD, NONE),
		[EVENT_RETRY]       = GO(HELD, NONE),
		[EVENT_HOLD]        = GO(HELD, NONE),
		[EVENT_RELEASE]     = GO(READY, NONE),
		[EVENT_REMOVE]      = GO(DONE, NONE),
		/* What is held does not run out. */
		[EVENT_EXPIRED]     = GO(HELD, NONE),
	},
	[RCPT_DONE] = {
		[EVENT_PICKED]      = NO,
		[EVENT_DELIVERED]   = NO,
		[EVENT_FAILED_RCPT] = NO,
		[EVENT_FAILED_DEST] = NO,
		[EVENT_BOUNCED]     = NO,
		[EVENT_RETURNED]    = NO,
		[EVENT_DUE]         = NO,
		[EVENT_RETRY]       = NO,
		[EVENT_HOLD]        = NO,
		[EVENT_RELEASE]     = NO,
		[EVENT_REMOVE]      = NO,
		[EVENT_EXPIRED]     = NO,
	},
};

static const enum rcpt_event events[OUTCOME_COUNT][SCOPE_COUNT] = {
	[OUTCOME_DELIVERED] = {
		[SCOPE_RECIPIENT]   = EVENT_DELIVERED,
		[SCOPE_MESSAGE]     = EVENT_DELIVERED,
		[SCOPE_HOST]        = EVENT_DELIVERED,
		[SCOPE_DESTINATION] = EVENT_DELIVERED,
	},
	[OUTCOME_DEFERRED] = {
		[SCOPE_RECIPIENT]   = EVENT_FAILED_RCPT,
		[SCOPE_MESSAGE]     = EVENT_FAILED_RCPT,
		[SCOPE_HOST]        = EVENT_FAILED_DEST,
		[SCOPE_DESTINATION] = EVENT_FAILED_DEST,
	},
	[OUTCOME_BOUNCED] = {
		[SCOPE_RECIPIENT]   = EVENT_BOUNCED,
		[SCOPE_MESSAGE]     = EVENT_BOUNCED,
		[SCOPE_HOST]        = EVENT_BOUNCED,
		[SCOPE_DESTINATION] = EVENT_BOUNCED,
	},
};

static const char *const words[RCPT_STATES] = {
	[RCPT_READY]    = "ready",
	[RCPT_SENDING]  = "sending",
	[RCPT_DEFERRED] = "deferred",
	[RCPT_HELD]     = "held",
	[RCPT_DONE]     = "done",
};
/* clang-format on */

const struct outcome_step *
outcome_step(enum rcpt_state state, enum rcpt_event event)
{
	assert(state < RCPT_STATES && event < RCPT_EVENTS);
	return &table[state][event];
}

enum rcpt_event
outcome_event(enum outcome outcome, enum scope scope)
{
	assert(outcome < OUTCOME_COUNT && scope < SCOPE_COUNT);
	return events[outcome][scope];
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
