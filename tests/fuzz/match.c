/* Host names and patterns: a pattern, LF, a host. */

#include "mtasts/match.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static size_t
labels(const char *name)
{
	size_t n = 1;

	for (; *name != '\0'; name++)
		n += *name == '.';
	return n;
}

static void
check(const char *host, const char *pattern)
{
	bool wild = pattern[0] == '*';

	if (!wild && sts_match(host, pattern) != (strcmp(host, pattern) == 0))
		abort();
	if (!sts_match(host, pattern))
		return;
	if (labels(host) != labels(pattern))
		abort();
	if (wild && strcmp(strchr(host, '.'), pattern + 1) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data, *lf = memchr(text, '\n', len);
	char host[HOST_SIZE], pattern[HOST_SIZE], again[HOST_SIZE];
	char raw[512];
	size_t rest;

	if (lf == NULL)
		return 0;
	rest = len - (size_t)(lf + 1 - text);
	if (pattern_normalize(pattern, text, (size_t)(lf - text)) == -1)
		return 0;
	if (pattern_normalize(again, pattern, strlen(pattern)) == -1 ||
	    strcmp(again, pattern) != 0)
		abort();
	/* DNS may give a name that is no host name at all. */
	if (rest < sizeof(raw)) {
		memcpy(raw, lf + 1, rest);
		raw[rest] = '\0';
		(void)sts_match(raw, pattern);
	}
	if (host_normalize(host, lf + 1, rest) == 0)
		check(host, pattern);
	return 0;
}
