#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/conf.h"
#include "smtpd/conf_block.h"
#include "smtpd/conf_lex.h"
#include "smtpd/conf_set.h"
#include "smtpd/conf_take.h"

#define NEAR_MAX 2    /* edits that still make a near miss */
#define NEAR_TEXT 32  /* bytes, more than any directive has */
#define WHAT_SIZE 128 /* bytes of a statement that a message shows */

/* Do the words of a statement begin with those of a directive? How many? */
static size_t
words_match(const char *words, char *const *word)
{
	size_t count = 0;

	while (*words != '\0') {
		size_t len = strcspn(words, " ");

		if (*word == NULL || strlen(*word) != len ||
		    memcmp(*word, words, len) != 0)
			return 0;
		words += len + strspn(words + len, " ");
		word++;
		count++;
	}
	return count;
}

/* The directive that a statement begins with, in this scope. */
static const struct conf_row *
find_row(char *const *word, bool in_destination, size_t *index)
{
	const struct conf_row *row;

	for (size_t i = 0; (row = conf_row(i)) != NULL; i++)
		if (row->show.in_destination == in_destination &&
		    words_match(row->show.words, word) > 0) {
			*index = i;
			return row;
		}
	return NULL;
}

/* Levenshtein's distance between two short texts. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[NEAR_TEXT + 1];
	size_t alen = strlen(a), blen = strlen(b);

	if (alen > NEAR_TEXT || blen > NEAR_TEXT)
		return NEAR_TEXT;
	for (size_t j = 0; j <= blen; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= alen; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= blen; j++) {
			unsigned change = corner + (a[i - 1] != b[j - 1]);
			unsigned least =
			    row[j] < row[j - 1] ? row[j] : row[j - 1];

			corner = row[j];
			row[j] = change < least + 1 ? change : least + 1;
		}
	}
	return row[blen];
}

/* The first words of a statement, as many as "like" has. */
static void
first_words(char *out, size_t size, char *const *word, const char *like)
{
	out[0] = '\0';
	for (;;) {
		(void)strlcat(out, *word, size);
		like = strchr(like, ' ');
		if (like == NULL || *++word == NULL)
			return;
		(void)strlcat(out, " ", size);
		like++;
	}
}

/* The only directive whose first word is this one, or NULL. */
static const char *
same_start(const char *word, bool in_destination)
{
	const struct conf_row *row;
	const char *only = NULL;
	size_t len = strlen(word);

	for (size_t i = 0; (row = conf_row(i)) != NULL; i++) {
		if (row->show.in_destination != in_destination ||
		    strncmp(row->show.words, word, len) != 0 ||
		    row->show.words[len] != ' ')
			continue;
		if (only != NULL)
			return NULL;
		only = row->show.words;
	}
	return only;
}

/* The directive that was probably meant, or NULL. */
static const char *
near_miss(char *const *word, bool in_destination)
{
	const struct conf_row *row;
	const char *best = NULL;
	unsigned least = NEAR_MAX + 1;
	char text[WHAT_SIZE];

	for (size_t i = 0; (row = conf_row(i)) != NULL; i++) {
		unsigned d;

		if (row->show.in_destination != in_destination)
			continue;
		first_words(text, sizeof text, word, row->show.words);
		d = distance(text, row->show.words);
		if (d < least && d < strlen(row->show.words) / 2) {
			least = d;
			best = row->show.words;
		}
	}
	return best != NULL ? best : same_start(*word, in_destination);
}

/* No control character of the file may reach the terminal through us. */
static void
complain_unknown(struct conf_parser *p, char *const *word)
{
	bool inside = p->dest != NULL;
	const char *hint = near_miss(word, inside);
	size_t i;

	if (find_row(word, !inside, &i) != NULL)
		conf_complain(p,
		    inside ? "`%s` cannot stand in a destination block"
			   : "`%s` stands only in a destination block",
		    conf_row(i)->show.words);
	else if (hint != NULL)
		conf_complain(p, "unknown directive `%.*s`; is it `%s`?",
		    WHAT_SIZE, *word, hint);
	else
		conf_complain(p, "unknown directive `%.*s`", WHAT_SIZE, *word);
}

static void
parse_words(struct conf_parser *p, char *const *word)
{
	size_t i = 0;

	p->row = find_row(word, p->dest != NULL, &i);
	if (p->row == NULL) {
		complain_unknown(p, word);
		return;
	}
	if (p->row->is_once && p->seen[i] != 0) {
		conf_complain(p, "`%s` is already on line %u",
		    p->row->show.words, p->seen[i]);
		return;
	}
	p->seen[i] = p->line;
	p->word = word + words_match(p->row->show.words, word);
	if (p->row->set(p) == 0 && *p->word != NULL)
		conf_complain(p, "`%.*s` is one word too many; `%s` wants %s",
		    WHAT_SIZE, *p->word, p->row->show.words,
		    p->row->show.arguments);
}

/* What a block has seen is forgotten with it. */
static void
forget_block(struct conf_parser *p)
{
	const struct conf_row *row;

	for (size_t i = 0; (row = conf_row(i)) != NULL; i++)
		if (row->show.in_destination)
			p->seen[i] = 0;
}

/* "{" opens the block of a destination and nothing else. */
static void
parse_open(struct conf_parser *p, const struct conf_statement *st)
{
	bool is_destination =
	    st->count > 0 && strcmp(st->word[0], "destination") == 0;

	if (is_destination && p->dest == NULL) {
		forget_block(p);
		parse_words(p, st->word);
		p->stray += p->dest == NULL;
		return;
	}
	p->stray++;
	if (is_destination)
		conf_complain(p, "a destination block inside another");
	else
		conf_complain(p, "`{` stands only behind `destination NAME`");
}

static void
parse_close(struct conf_parser *p)
{
	if (p->stray > 0)
		p->stray--;
	else if (p->dest != NULL)
		conf_close_block(p);
	else
		conf_complain(p, "`}` closes nothing");
}

static void
parse_statement(struct conf_parser *p, const struct conf_statement *st)
{
	p->line = st->line;
	if (st->stop == CONF_STOP_OPEN)
		parse_open(p, st);
	else if (st->count > 0 && p->dest == NULL &&
	    strcmp(st->word[0], "destination") == 0)
		conf_complain(p, "`destination` wants NAME { ... }");
	else if (st->count > 0)
		parse_words(p, st->word);
	if (st->stop == CONF_STOP_CLOSE)
		parse_close(p);
}

/* All statements of a text; those of a preset stand on no line. */
static void
parse_text(struct conf_parser *p, const char *text, size_t len, bool is_preset)
{
	struct conf_statement *st = malloc(sizeof *st);
	struct conf_lex lex;
	const char *why;
	int r;

	p->line = 0;
	if (st == NULL || conf_lex_init(&lex, text, len) == -1) {
		conf_complain(p, "out of memory");
		free(st);
		return;
	}
	while ((r = conf_lex_next(&lex, st, &why)) != 0) {
		p->line = st->line;
		if (r == -1) {
			conf_complain(p, "%s", why);
			continue;
		}
		if (is_preset)
			st->line = 0;
		parse_statement(p, st);
	}
	conf_lex_clear(&lex);
	free(st);
}

/* What the file does not set is parsed from the table, by the same setters. */
static void
parse_presets(struct conf_parser *p)
{
	const struct conf_row *row;
	char text[WHAT_SIZE];
	int len;

	for (size_t i = 0; (row = conf_row(i)) != NULL; i++) {
		if (p->seen[i] != 0 || row->show.preset == NULL)
			continue;
		len = snprintf(text, sizeof text, "%s %s", row->show.words,
		    row->show.preset);
		parse_text(p, text, (size_t)len, true);
	}
}

int
conf_parse(struct conf *conf, const char *name, const char *text, size_t len,
    struct conf_errors *errors)
{
	struct conf_parser p = {
		.conf = conf,
		.name = name,
		.errors = errors,
	};
	size_t before = errors->count;

	memset(conf, 0, sizeof *conf);
	SLIST_INIT(&conf->destinations);
	parse_text(&p, text, len, false);
	if (p.dest != NULL)
		conf_error(errors, name, p.dest->line,
		    "the block of `destination` is not closed");
	p.dest = NULL;
	parse_presets(&p);
	return errors->count == before ? 0 : -1;
}
