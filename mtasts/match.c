#include "mtasts/match.h"

#include <string.h>
#include <strings.h>

#define LABEL_MAX 63 /* RFC 1035 2.3.4 */

static bool
is_ldh(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	    (c >= 'a' && c <= 'z') || c == '-';
}

static char
lower(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c;
}

static bool
is_label(const char *text, size_t len)
{
	size_t i;

	if (len == 0 || len > LABEL_MAX)
		return false;
	for (i = 0; i < len; i++)
		if (!is_ldh(text[i]))
			return false;
	return text[0] != '-' && text[len - 1] != '-';
}

static bool
is_host(const char *text, size_t len)
{
	const char *dot, *end = text + len;

	while ((dot = memchr(text, '.', (size_t)(end - text))) != NULL) {
		if (!is_label(text, (size_t)(dot - text)))
			return false;
		text = dot + 1;
	}
	return is_label(text, (size_t)(end - text));
}

static int
normalize(char out[HOST_SIZE], const char *text, size_t len, size_t prefix)
{
	size_t i;

	out[0] = '\0';
	if (len > 0 && text[len - 1] == '.')
		len--;
	if (len > HOST_MAX || len < prefix ||
	    !is_host(text + prefix, len - prefix))
		return -1;
	for (i = 0; i < len; i++)
		out[i] = lower(text[i]);
	out[len] = '\0';
	return 0;
}

int
host_normalize(char out[HOST_SIZE], const char *text, size_t len)
{
	return normalize(out, text, len, 0);
}

int
pattern_normalize(char out[HOST_SIZE], const char *text, size_t len)
{
	bool wild = len >= 2 && text[0] == '*' && text[1] == '.';

	return normalize(out, text, len, wild ? 2 : 0);
}

bool
sts_match(const char *host, const char *pattern)
{
	size_t len = strlen(host), suffix;
	const char *dot;

	if (len > 0 && host[len - 1] == '.')
		len--;
	if (pattern[0] == '*' && pattern[1] == '.') {
		dot = memchr(host, '.', len);
		if (dot == NULL || dot == host)
			return false;
		len -= (size_t)(dot - host);
		host = dot;
		pattern++;
	}
	suffix = strlen(pattern);
	return len > 0 && len == suffix && strncasecmp(host, pattern, len) == 0;
}
