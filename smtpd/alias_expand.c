#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/envelope.h"
#include "smtpd/address.h"
#include "smtpd/alias.h"
#include "smtpd/alias_table.h"

/* What an expansion has done with an entry. */
enum mark { NEW, OPEN, DONE };

/* One expansion; a stack instead of recursion. */
struct walk {
	const struct alias_table *table;
	alias_fn *fn;
	void *arg;
	const char **why;
	uint8_t *marks; /* an enum mark for each entry */
	struct {
		size_t entry;
		size_t at; /* offset of its next value */
	} stack[ALIAS_DEPTH_MAX];
	size_t depth;
	char *given[ALIAS_EXPANDED_MAX];
	size_t count;
};

static int
refuse(struct walk *w, const char *sentence)
{
	*w->why = sentence;
	return -1;
}

/* Give an address away, once. */
static int
give(struct walk *w, const char *address)
{
	for (size_t i = 0; i < w->count; i++)
		if (strcmp(w->given[i], address) == 0)
			return 0;
	if (w->count == ALIAS_EXPANDED_MAX)
		return refuse(w, "an alias leads to too many addresses");
	w->given[w->count] = strdup(address);
	if (w->given[w->count] == NULL)
		return refuse(w, "out of memory");
	w->count++;
	return w->fn(w->arg, address);
}

static int
give_bare(struct walk *w, const char *name)
{
	char text[2 * ADDRESS_SIZE];

	(void)strlcpy(text, name, sizeof text);
	(void)strlcat(text, "@", sizeof text);
	if (strlcat(text, w->table->hostname, sizeof text) > ADDRESS_MAX)
		return refuse(w, "an address is too long");
	return give(w, text);
}

/* The entry that replaces an address, -1: none. */
static ssize_t
find(const struct alias_table *t, const char *address)
{
	const char *domain = envelope_domain(address);
	size_t len = strlen(address), low = 0, high = t->count;
	char name[ADDRESS_LOCAL_MAX + 1];

	if (domain[0] != '\0') {
		if (strcasecmp(domain, t->hostname) != 0 &&
		    strcasecmp(domain, "localhost") != 0)
			return -1;
		len -= strlen(domain) + 1;
	}
	if (len >= sizeof name)
		return -1;
	for (size_t i = 0; i < len; i++)
		name[i] = (char)(address[i] >= 'A' && address[i] <= 'Z'
			? address[i] + 'a' - 'A'
			: address[i]);
	name[len] = '\0';
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, t->entries[middle].name);

		if (order == 0)
			return (ssize_t)middle;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return -1;
}

/* Go into the entry of an address, or give the address away. */
static int
enter(struct walk *w, const char *address)
{
	ssize_t i = find(w->table, address);

	if (i == -1)
		return envelope_domain(address)[0] == '\0'
		    ? give_bare(w, address)
		    : give(w, address);
	switch ((enum mark)w->marks[i]) {
	case DONE:
		return 0; /* all it leads to has been given */
	case OPEN:
		return refuse(w, "an alias leads back to itself");
	case NEW:
		break;
	}
	if (w->depth == ALIAS_DEPTH_MAX)
		return refuse(w, "an alias leads through too many others");
	w->marks[i] = OPEN;
	w->stack[w->depth].entry = (size_t)i;
	w->stack[w->depth].at = 0;
	w->depth++;
	return 0;
}

static int
walk(struct walk *w, const char *address)
{
	if (enter(w, address) == -1)
		return -1;
	while (w->depth > 0) {
		size_t entry = w->stack[w->depth - 1].entry;
		size_t at = w->stack[w->depth - 1].at;
		const struct alias_entry *e = &w->table->entries[entry];

		if (at == e->values_len) {
			w->marks[entry] = DONE;
			w->depth--;
			continue;
		}
		w->stack[w->depth - 1].at += strlen(e->values + at) + 1;
		if (enter(w, e->values + at) == -1)
			return -1;
	}
	return (int)w->count;
}

int
alias_expand(const struct alias_table *table, const char *address, alias_fn *fn,
    void *arg, const char **why)
{
	struct walk *w;
	int r = -1;

	if (table == NULL)
		return fn(arg, address) == -1 ? -1 : 1;
	*why = "out of memory";
	w = calloc(1, sizeof *w);
	if (w == NULL)
		return -1;
	w->table = table;
	w->fn = fn;
	w->arg = arg;
	w->why = why;
	w->marks = calloc(table->count + 1, sizeof *w->marks);
	if (w->marks != NULL)
		r = walk(w, address);
	if (r == 0)
		r = refuse(w, "its entry was refused, as the log says");
	for (size_t i = 0; i < w->count; i++)
		free(w->given[i]);
	free(w->marks);
	free(w);
	return r;
}
