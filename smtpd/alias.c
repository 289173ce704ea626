#include "smtpd/alias.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/address.h"
#include "smtpd/alias_table.h"

/* One parse under way. */
struct parser {
	struct alias_table *table;
	struct conf_errors *errors;
	const char *name; /* of the file */
	unsigned line;    /* where the entry began */
	struct alias_entry
	    *entry; /* the one at hand, NULL: skip what continues it */
	bool no_memory;
};

static int
by_name(const void *a, const void *b)
{
	const struct alias_entry *ea = a, *eb = b;
	int order = strcmp(ea->name, eb->name);

	if (order != 0)
		return order;
	return ea->line < eb->line ? -1 : ea->line > eb->line;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void
trim(const char **s, size_t *len)
{
	while (*len > 0 && is_blank((*s)[0])) {
		(*s)++;
		(*len)--;
	}
	while (*len > 0 && is_blank((*s)[*len - 1]))
		(*len)--;
}

/* Length of s up to "c" outside quotes, or all of it. */
static size_t
span_to(const char *s, size_t len, char c)
{
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\\' && quoted)
			i++;
		else if (s[i] == '"')
			quoted = !quoted;
		else if (s[i] == c && !quoted)
			return i;
	}
	return len;
}

/* Without the comment that begins at the start or behind a blank. */
static size_t
without_comment(const char *s, size_t len)
{
	size_t at = 0;

	for (;;) {
		at += span_to(s + at, len - at, '#');
		if (at == len || at == 0 || is_blank(s[at - 1]))
			return at;
		at++;
	}
}

/* Why a value is no address, where that is not a matter of syntax. */
static const char *
refused_kind(const char *s, size_t len)
{
	size_t quote = len > 0 && s[0] == '"' ? 1 : 0;

	if (len == quote)
		return NULL;
	if (s[quote] == '|')
		return "pipes are not supported: nothing is delivered here";
	if (s[quote] == '/')
		return "files are not supported: nothing is delivered here";
	if (len - quote >= 9 && strncasecmp(s + quote, ":include:", 9) == 0)
		return ":include: is not supported";
	if (s[quote] == '\\')
		return "a backslash means local delivery: there is none";
	return NULL;
}

static void
complain(struct parser *p, unsigned line, const char *s, size_t len,
    const char *why)
{
	char shown[128];
	size_t n = 0;

	/* The file may be anyone's: nothing of it upsets a terminal. */
	for (size_t i = 0; i < len && n + 1 < sizeof shown; i++)
		shown[n++] = (char)(s[i] >= 0x20 && s[i] < 0x7f ? s[i] : '?');
	shown[n] = '\0';
	conf_error(p->errors, p->name, line, "`%s`: %s", shown, why);
}

static void
add_value(struct parser *p, const struct address *a)
{
	struct alias_entry *e = p->entry;
	size_t add = strlen(a->text) + 1;
	char *grown = realloc(e->values, e->values_len + add);

	if (grown == NULL) {
		p->no_memory = true;
		return;
	}
	memcpy(grown + e->values_len, a->text, add);
	e->values = grown;
	e->values_len += add;
}

static void
parse_value(struct parser *p, unsigned line, const char *s, size_t len)
{
	const char *why;
	struct address a;

	trim(&s, &len);
	if (len == 0)
		return;
	why = refused_kind(s, len);
	if (why == NULL && len > 2 && s[0] == '<' && s[len - 1] == '>') {
		s++;
		len -= 2;
	}
	if (why != NULL ||
	    address_parse(&a, s, len, ADDRESS_BARE | ADDRESS_UTF8, &why) == -1)
		complain(p, line, s, len, why);
	else if (p->entry != NULL)
		add_value(p, &a);
}

static void
parse_values(struct parser *p, unsigned line, const char *s, size_t len)
{
	size_t n;

	for (;; s += n + 1, len -= n + 1) {
		n = span_to(s, len, ',');
		parse_value(p, line, s, n);
		if (n == len)
			return;
	}
}

static struct alias_entry *
new_entry(struct parser *p, const struct address *a)
{
	struct alias_table *t = p->table;
	struct alias_entry *e;
	size_t room;

	if (t->count == t->room) {
		room = t->room == 0 ? 32 : 2 * t->room;
		e = reallocarray(t->entries, room, sizeof *e);
		if (e == NULL)
			return NULL;
		t->entries = e;
		t->room = room;
	}
	e = &t->entries[t->count];
	memset(e, 0, sizeof *e);
	e->name = strdup(a->local);
	if (e->name == NULL)
		return NULL;
	for (char *s = e->name; *s != '\0'; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s + 'a' - 'A');
	e->line = p->line;
	t->count++;
	return e;
}

/* "name: value, value" */
static void
parse_entry(struct parser *p, const char *s, size_t len)
{
	size_t colon = span_to(s, len, ':'), name_len = colon;
	const char *name = s, *why;
	struct address a;

	p->entry = NULL;
	trim(&name, &name_len);
	if (colon == len) {
		complain(p, p->line, name, name_len, "no colon behind a name");
		return;
	}
	if (address_parse(&a, name, name_len, ADDRESS_BARE | ADDRESS_UTF8,
		&why) == -1)
		complain(p, p->line, name, name_len, why);
	else if (a.domain[0] != '\0')
		complain(p, p->line, name, name_len,
		    "a name here has no domain");
	else {
		p->entry = new_entry(p, &a);
		p->no_memory = p->no_memory || p->entry == NULL;
	}
	parse_values(p, p->line, s + colon + 1, len - colon - 1);
}

static void
parse_lines(struct parser *p, const char *text, size_t len)
{
	const char *newline;
	size_t n, used;

	for (unsigned line = 1; len > 0; line++, text += n, len -= n) {
		newline = memchr(text, '\n', len);
		used = newline != NULL ? (size_t)(newline - text) : len;
		n = newline != NULL ? used + 1 : used;
		used = without_comment(text, used);
		while (used > 0 && is_blank(text[used - 1]))
			used--;
		if (used > 0 && is_blank(text[0]) && p->line > 0) {
			parse_values(p, line, text, used);
		} else if (used > 0) {
			p->line = line;
			parse_entry(p, text, used);
		}
	}
}

static void
free_entry(struct alias_entry *e)
{
	free(e->name);
	free(e->values);
}

/* Of two entries of one name the first that leads to anyone holds. */
static void
settle(struct parser *p)
{
	struct alias_table *t = p->table;
	struct alias_entry *last = NULL;
	size_t kept = 0;

	if (t->count > 0)
		qsort(t->entries, t->count, sizeof *t->entries, by_name);
	for (size_t i = 0; i < t->count; i++) {
		struct alias_entry *e = &t->entries[i];
		bool again = last != NULL && strcmp(last->name, e->name) == 0;

		if (again && last->values != NULL) {
			conf_error(p->errors, p->name, e->line,
			    "`%s` is already on line %u", e->name, last->line);
			free_entry(e);
			continue;
		}
		if (e->values == NULL)
			conf_error(p->errors, p->name, e->line,
			    "`%s` leads to no address", e->name);
		if (again)
			free_entry(last);
		else
			last = &t->entries[kept++];
		*last = *e;
	}
	t->count = kept;
}

struct alias_table *
alias_parse(const char *name, const char *text, size_t len,
    const char *hostname, struct conf_errors *errors)
{
	struct parser p = { .errors = errors, .name = name };

	p.table = calloc(1, sizeof *p.table);
	if (p.table == NULL)
		return NULL;
	(void)strlcpy(p.table->hostname, hostname, sizeof p.table->hostname);
	parse_lines(&p, text, len);
	settle(&p);
	if (p.no_memory) {
		alias_free(p.table);
		return NULL;
	}
	return p.table;
}

void
alias_free(struct alias_table *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->count; i++)
		free_entry(&t->entries[i]);
	free(t->entries);
	free(t);
}

size_t
alias_count(const struct alias_table *t)
{
	size_t n = 0;

	for (size_t i = 0; t != NULL && i < t->count; i++)
		n += t->entries[i].values != NULL;
	return n;
}
