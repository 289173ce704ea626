/* Policy bodies; what is understood means the same when written again. */

#include "mtasts/policy.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mtasts/match.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
write_and_read(const struct sts_policy *policy)
{
	struct sts_policy again;
	const char *why;
	char *text = NULL;
	size_t len = 0, i;
	FILE *f = open_memstream(&text, &len);

	fprintf(f, "version: STSv1\nmode: %s\nmax_age: %u\n",
	    mode_word(policy->mode), policy->max_age_s);
	for (i = 0; i < policy->mx_count; i++)
		fprintf(f, "mx: %s\n", policy->mx[i]);
	fclose(f);
	if (len <= POLICY_BODY_MAX) {
		if (policy_parse(&again, text, len, &why) == -1 ||
		    !policy_equal(policy, &again))
			abort();
		policy_clear(&again);
	}
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sts_policy policy;
	const char *why = NULL;
	size_t i;

	if (policy_parse(&policy, (const char *)data, len, &why) == -1) {
		if (why == NULL || policy.mx != NULL)
			abort();
		return 0;
	}
	if (policy.max_age_s > POLICY_AGE_MAX)
		abort();
	if (policy.mode != POLICY_NONE && policy.mx_count == 0)
		abort();
	for (i = 0; i < policy.mx_count; i++)
		if (strlen(policy.mx[i]) > HOST_MAX)
			abort();
	write_and_read(&policy);
	policy_clear(&policy);
	return 0;
}
