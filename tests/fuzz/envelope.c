/* The envelope as the spool keeps it: what is read can be written and read. */

#include "queue/envelope.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_same(const struct envelope *a, const struct envelope *b)
{
	size_t i;

	if (a->id != b->id || a->arrived_us != b->arrived_us ||
	    a->size != b->size || a->uid != b->uid || a->flags != b->flags ||
	    strcmp(a->sender, b->sender) != 0 ||
	    strcmp(a->envid, b->envid) != 0 ||
	    strcmp(a->client, b->client) != 0 ||
	    strcmp(a->message_id, b->message_id) != 0 ||
	    a->rcpt_count != b->rcpt_count)
		abort();
	for (i = 0; i < a->rcpt_count; i++)
		if (strcmp(a->rcpts[i].address, b->rcpts[i].address) != 0 ||
		    strcmp(a->rcpts[i].orcpt, b->rcpts[i].orcpt) != 0 ||
		    a->rcpts[i].notify != b->rcpts[i].notify)
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct envelope env, again;
	const char *why;
	char *text;
	size_t size;

	why = NULL;
	if (envelope_decode(&env, (const char *)data, len, &why) == -1) {
		if (why == NULL)
			abort();
		return 0;
	}
	if (envelope_encode(&env, &text, &size) == -1 ||
	    envelope_decode(&again, text, size, &why) == -1)
		abort();
	check_same(&env, &again);
	envelope_clear(&again);
	envelope_clear(&env);
	free(text);
	return 0;
}
