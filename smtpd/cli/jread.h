/*
 * JSON read into a tree (RFC 8259): what the daemon answers, one object a
 * line. Bounded in depth; numbers are 64-bit integers, a fraction is dropped.
 */

#ifndef SMTPD_CLI_JREAD_H
#define SMTPD_CLI_JREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JREAD_DEPTH_MAX 16

enum jread_kind {
	JREAD_NULL,
	JREAD_BOOL,
	JREAD_NUMBER,
	JREAD_STRING,
	JREAD_LIST,
	JREAD_OBJECT
};

/* One value; of a list or object, its members hang below. */
struct jread {
	enum jread_kind kind;
	int64_t number;      /* of a bool: 0 or 1 */
	char *string;        /* NUL-terminated; a NUL inside is refused */
	char *key;           /* as a member of an object; else NULL */
	struct jread *first; /* member */
	struct jread *next;  /* of the same parent */
};

/*
 * Parse one value that takes up all of text[0..len), blanks aside.
 * Returns the tree, which jread_free() ends; NULL and *why if it is none.
 */
struct jread *jread_parse(const char *text, size_t len, const char **why);
/* NULL does nothing. */
void jread_free(struct jread *);

/* Member "key" of an object; NULL: none, or no object. NULL is allowed. */
const struct jread *jread_get(const struct jread *, const char *key);
/* Its string; NULL if there is none or it is no string. Borrowed. */
const char *jread_text(const struct jread *, const char *key);
/* Its number or bool; "otherwise" if there is none. */
int64_t jread_int(const struct jread *, const char *key, int64_t otherwise);

#endif
