/*
 * Why a destination cannot be reached: what the last attempt found.
 */

#ifndef QUEUE_FAULT_H
#define QUEUE_FAULT_H

#include <stdbool.h>

struct fault {
	bool tls; /* TLS or policy is the reason */
	char reason[32];
	char dsn[16];
	char detail[];
};

/* With copies of the strings, to free(3). NULL: no memory. */
struct fault *fault_new(const char *reason, const char *dsn,
    const char *detail);

#endif
