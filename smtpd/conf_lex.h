/*
 * The words of a configuration file.
 *
 * A statement ends at the end of its line, at "{" or at "}". "#" where a word
 * could begin starts a comment. A word in double quotes may hold blanks,
 * braces and "#"; \" and \\ stand for the two characters themselves.
 */

#ifndef SMTPD_CONF_LEX_H
#define SMTPD_CONF_LEX_H

#include <stddef.h>

#define CONF_WORDS_MAX 1100 /* in a statement */

struct conf_lex {
	const char *at;
	const char *end;
	unsigned line; /* of what comes next, from 1 */
	char *mem;     /* the words of the current statement */
	size_t size;
};

enum conf_stop { CONF_STOP_LINE, CONF_STOP_OPEN, CONF_STOP_CLOSE };

struct conf_statement {
	char *word[CONF_WORDS_MAX + 1]; /* the last is NULL */
	size_t count;
	unsigned line;
	enum conf_stop stop; /* what ended it */
};

/* Over text borrowed until conf_lex_clear(); -1 with errno: no memory. */
int conf_lex_init(struct conf_lex *, const char *text, size_t len);
void conf_lex_clear(struct conf_lex *);

/*
 * The next statement; its words hold until the next call. One without words
 * is given only if "{" or "}" ended it.
 *
 * returns  1; 0 at the end; -1 with *why, out->line set, the rest of that
 *          line skipped
 */
int conf_lex_next(struct conf_lex *, struct conf_statement *out,
    const char **why);

#endif
