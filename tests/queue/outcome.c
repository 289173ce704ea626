#include "queue/outcome.h"

#include <string.h>

#include "tests/t.h"

/* What must hold of every pair of state and event. */
static void
walk(void)
{
	const struct outcome_step *step;
	int state, event;

	for (state = 0; state < RCPT_STATES; state++)
		for (event = 0; event < RCPT_EVENTS; event++) {
			t_row("state %d, event %d", state, event);
			step = outcome_step((enum rcpt_state)state,
			    (enum rcpt_event)event);
			t_true(!step->legal || state != RCPT_DONE);
			if (!step->legal)
				continue;
			t_true(step->action != ACTION_BOUNCE ||
			    step->next == RCPT_DONE);
			/* What is under way stays so until its result. */
			t_true(state != RCPT_SENDING ||
			    event <= EVENT_RETURNED ||
			    step->next == RCPT_SENDING);
		}
	t_row(NULL);
}

int
main(void)
{
	enum rcpt_state state;
	int i;

	t_case("every pair of state and event has its row");
	walk();

	t_case("only what is sent has results");
	t_true(!outcome_step(RCPT_READY, EVENT_DELIVERED)->legal);
	t_true(!outcome_step(RCPT_HELD, EVENT_FAILED_RCPT)->legal);
	t_int(outcome_step(RCPT_SENDING, EVENT_DELIVERED)->next, RCPT_DONE);

	t_case("what is held neither goes nor runs out");
	t_int(outcome_step(RCPT_HELD, EVENT_EXPIRED)->next, RCPT_HELD);
	t_int(outcome_step(RCPT_HELD, EVENT_DUE)->next, RCPT_HELD);
	t_int(outcome_step(RCPT_HELD, EVENT_RETRY)->next, RCPT_HELD);
	t_int(outcome_step(RCPT_HELD, EVENT_RELEASE)->next, RCPT_READY);

	t_case("removing never tells the sender, bouncing does");
	for (i = RCPT_READY; i <= RCPT_HELD; i++) {
		if (i == RCPT_SENDING)
			continue;
		t_int(outcome_step((enum rcpt_state)i, EVENT_REMOVE)->action,
		    ACTION_NONE);
		t_int(outcome_step((enum rcpt_state)i, EVENT_BOUNCED)->action,
		    ACTION_BOUNCE);
	}

	t_case("a failure's scope says whose back-off grows");
	t_int(outcome_event(OUTCOME_DEFERRED, SCOPE_RECIPIENT),
	    EVENT_FAILED_RCPT);
	t_int(outcome_event(OUTCOME_DEFERRED, SCOPE_MESSAGE),
	    EVENT_FAILED_RCPT);
	t_int(outcome_event(OUTCOME_DEFERRED, SCOPE_HOST), EVENT_FAILED_DEST);
	t_int(outcome_event(OUTCOME_DEFERRED, SCOPE_DESTINATION),
	    EVENT_FAILED_DEST);
	for (i = 0; i < SCOPE_COUNT; i++) {
		t_int(outcome_event(OUTCOME_DELIVERED, (enum scope)i),
		    EVENT_DELIVERED);
		t_int(outcome_event(OUTCOME_BOUNCED, (enum scope)i),
		    EVENT_BOUNCED);
	}

	t_case("states have words, both ways");
	for (i = 0; i < RCPT_STATES; i++) {
		t_int(outcome_state_parse(outcome_state_word(
					      (enum rcpt_state)i),
			  &state),
		    0);
		t_int(state, i);
	}
	t_int(outcome_state_parse("active", &state), -1);
	return t_done();
}
