/*
 * What may become of a recipient, and what follows from it: one table.
 */

#ifndef QUEUE_OUTCOME_H
#define QUEUE_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

/* What an attempt came to, for one recipient. */
enum outcome { OUTCOME_DELIVERED, OUTCOME_DEFERRED, OUTCOME_BOUNCED };
#define OUTCOME_COUNT 3

/* What a failure concerns: it says whose back-off grows. */
enum scope { SCOPE_RECIPIENT, SCOPE_MESSAGE, SCOPE_HOST, SCOPE_DESTINATION };
#define SCOPE_COUNT 4

/* The states that people see, in this order in counts. */
enum rcpt_state {
	RCPT_READY,    /* waits for its turn */
	RCPT_SENDING,  /* handed to a worker */
	RCPT_DEFERRED, /* waits for its time, or its destination's */
	RCPT_HELD,     /* waits for the administrator */
	RCPT_DONE      /* delivered, bounced, removed: never listed */
};
#define RCPT_STATES 5
#define RCPT_LISTED 4 /* states that are listed and counted */

/* What happens to a recipient: results, time, the administrator. */
enum rcpt_event {
	EVENT_PICKED,
	EVENT_DELIVERED,
	EVENT_FAILED_RCPT, /* deferred for the recipient's or message's sake */
	EVENT_FAILED_DEST, /* deferred for the host's or destination's sake */
	EVENT_BOUNCED,
	EVENT_RETURNED, /* the worker died: no result */
	EVENT_DUE,
	EVENT_RETRY,
	EVENT_HOLD,
	EVENT_RELEASE,
	EVENT_REMOVE,
	EVENT_EXPIRED
};
#define RCPT_EVENTS 12

/* What is to be done beside the change of state. */
enum rcpt_action {
	ACTION_NONE,
	ACTION_WAIT_OWN,  /* set the recipient's own back-off */
	ACTION_WAIT_DEST, /* the destination's back-off rules */
	ACTION_BOUNCE,    /* tell the sender */
	ACTION_RELAYED,   /* tell the sender where NOTIFY=SUCCESS asks */
	ACTION_LATER      /* it is under way: act when its result is in */
};

struct outcome_step {
	enum rcpt_state next;
	enum rcpt_action action;
	bool legal; /* false: this event cannot meet this state */
};

/* The row of the table. Both arguments must be in range. */
const struct outcome_step *outcome_step(enum rcpt_state, enum rcpt_event);

/* The event that a result amounts to. Both must be in range. */
enum rcpt_event outcome_event(enum outcome, enum scope);

/* The word for people: ready, sending, deferred, held, done. A constant. */
const char *outcome_state_word(enum rcpt_state);
/* 0 and the state, or -1 for any other word. */
int outcome_state_parse(const char *word, enum rcpt_state *);

#endif
