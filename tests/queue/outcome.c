#include "queue/outcome.h"

#include "tests/t.h"

int
main(void)
{
	enum rcpt_state state;
	int i;

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
