#include "smtpd/conf_lex.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/base/utf8.h"

int
conf_lex_init(struct conf_lex *lex, const char *text, size_t len)
{
	memset(lex, 0, sizeof *lex);
	/* Every word is followed by a byte of the text, or by its end. */
	lex->mem = malloc(len + 1);
	if (lex->mem == NULL)
		return -1;
	lex->size = len + 1;
	lex->at = text;
	lex->end = text + len;
	lex->line = 1;
	return 0;
}

void
conf_lex_clear(struct conf_lex *lex)
{
	free(lex->mem);
	memset(lex, 0, sizeof *lex);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
ends_word(char c)
{
	return is_blank(c) || c == '\n' || c == '{' || c == '}';
}

/* Control characters, and what is not UTF-8, have no place anywhere. */
static const char *
fault(const char *word)
{
	for (const char *s = word; *s != '\0'; s++) {
		if (*s == '\r')
			return "a carriage return: lines end in a newline"
			       " alone";
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return "a control character";
	}
	if (!utf8_is_valid(word, strlen(word)))
		return "not valid UTF-8";
	return NULL;
}

/* The word in quotes at lex->at, to lex->mem + used. */
static const char *
quoted_word(struct conf_lex *lex, size_t *used)
{
	for (lex->at++; lex->at < lex->end && *lex->at != '\n'; lex->at++) {
		if (*lex->at == '"') {
			lex->at++;
			if (lex->at < lex->end && !ends_word(*lex->at))
				return "no blank behind a quoted string";
			return NULL;
		}
		if (*lex->at == '\0')
			return "a control character";
		if (*lex->at == '\\' && lex->at + 1 < lex->end &&
		    (lex->at[1] == '"' || lex->at[1] == '\\'))
			lex->at++;
		lex->mem[(*used)++] = *lex->at;
	}
	return "a quoted string is not closed on its line";
}

static const char *
plain_word(struct conf_lex *lex, size_t *used)
{
	for (; lex->at < lex->end && !ends_word(*lex->at); lex->at++) {
		if (*lex->at == '"')
			return "a quote inside a word";
		if (*lex->at == '\0')
			return "a control character";
		lex->mem[(*used)++] = *lex->at;
	}
	return NULL;
}

static const char *
add_word(struct conf_lex *lex, struct conf_statement *out, size_t *used)
{
	char *word = lex->mem + *used;
	const char *why;

	if (out->count == CONF_WORDS_MAX)
		return "too many words on a line";
	if (*lex->at == '"')
		why = quoted_word(lex, used);
	else
		why = plain_word(lex, used);
	if (why != NULL)
		return why;
	lex->mem[(*used)++] = '\0';
	out->word[out->count++] = word;
	return fault(word);
}

static void
skip_line(struct conf_lex *lex)
{
	const char *newline =
	    memchr(lex->at, '\n', (size_t)(lex->end - lex->at));

	lex->at = newline != NULL ? newline : lex->end;
}

/* Is the statement over at lex->at? Moves behind what ended it. */
static bool
take_stop(struct conf_lex *lex, struct conf_statement *out)
{
	switch (*lex->at) {
	case '\n':
		lex->line++;
		out->stop = CONF_STOP_LINE;
		break;
	case '{':
		out->stop = CONF_STOP_OPEN;
		break;
	case '}':
		out->stop = CONF_STOP_CLOSE;
		break;
	default:
		return false;
	}
	lex->at++;
	return true;
}

int
conf_lex_next(struct conf_lex *lex, struct conf_statement *out,
    const char **why)
{
	size_t used = 0;

	out->count = 0;
	out->line = lex->line;
	out->stop = CONF_STOP_LINE;
	while (lex->at < lex->end) {
		if (is_blank(*lex->at)) {
			lex->at++;
			continue;
		}
		if (*lex->at == '#') {
			skip_line(lex);
			continue;
		}
		if (!take_stop(lex, out)) {
			*why = add_word(lex, out, &used);
			if (*why == NULL)
				continue;
			skip_line(lex);
			return -1;
		}
		if (out->count > 0 || out->stop != CONF_STOP_LINE)
			break;
		out->line = lex->line;
	}
	out->word[out->count] = NULL;
	return out->count > 0 || out->stop != CONF_STOP_LINE;
}
