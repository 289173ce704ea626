/*
 * What an attempt can come to, and the states and events of a recipient.
 */

#ifndef QUEUE_OUTCOME_H
#define QUEUE_OUTCOME_H

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

/*
 * What happens to a recipient: an attempt, an order of the administrator, the
 * end of its time.
 */
enum rcpt_event {
	EVENT_NONE,
	EVENT_DELIVERED,
	EVENT_FAILED_RCPT, /* deferred for the recipient's or message's sake */
	EVENT_FAILED_DEST, /* deferred for the host's or destination's sake */
	EVENT_BOUNCED,     /* refused for good, or given up by order */
	EVENT_HOLD,
	EVENT_REMOVE,
	EVENT_EXPIRED
};
#define RCPT_EVENTS 8

/* The event that a result amounts to. Both must be in range. */
enum rcpt_event outcome_event(enum outcome, enum scope);

/* The word for people: ready, sending, deferred, held, done. A constant. */
const char *outcome_state_word(enum rcpt_state);
/* 0 and the state, or -1 for any other word. */
int outcome_state_parse(const char *word, enum rcpt_state *);

#endif
