/*
 * A small JSON writer (RFC 8259): one growing text, a sticky error.
 *
 * "key" is the member's name inside an object, NULL inside a list or at the
 * top. Keys are the program's own words and are not escaped. Nesting goes 15
 * deep. On no memory, or nesting too deep, the writer fails for good and
 * json_text() returns NULL.
 */

#ifndef MTASTS_JSON_H
#define MTASTS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct json {
	char *text;       /* owned; use json_text() */
	size_t len, size; /* bytes */
	unsigned depth;
	uint32_t lists; /* bit per depth: a list, not an object */
	bool filled;    /* the open object or list has a member */
	bool failed;
};

void json_init(struct json *);
void json_clear(struct json *); /* free; all zero is fine */
void json_reset(struct json *); /* empty again, the memory kept */
void json_drain(struct json *); /* the text was taken; what is open stays so */

void json_object(struct json *, const char *key);
void json_list(struct json *, const char *key);
void json_end(struct json *); /* closes the innermost of the two */

/*
 * A string, or null for NULL. Control characters are escaped, and bytes that
 * are not UTF-8 become U+FFFD, so that the text is always valid JSON.
 */
void json_string(struct json *, const char *key, const char *value);
void json_bytes(struct json *, const char *key, const char *value, size_t len);

void json_number(struct json *, const char *key, int64_t value);
void json_bool(struct json *, const char *key, bool value);
void json_null(struct json *, const char *key);

/* RFC 3339 UTC, such as "2026-11-24T08:00:00Z"; null for 0. */
void json_time(struct json *, const char *key, time_t when);

/* What was written so far, ended by NUL; the writer's; NULL after failure. */
const char *json_text(const struct json *);

#endif
