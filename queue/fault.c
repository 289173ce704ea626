#include "queue/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fault *
fault_new(const char *reason, const char *dsn, const char *detail)
{
	struct fault *fault;
	size_t len;

	len = strlen(detail) + 1;
	fault = calloc(1, sizeof *fault + len);
	if (fault == NULL)
		return NULL;
	(void)snprintf(fault->reason, sizeof fault->reason, "%s", reason);
	(void)snprintf(fault->dsn, sizeof fault->dsn, "%s", dsn);
	memcpy(fault->detail, detail, len);
	return fault;
}
