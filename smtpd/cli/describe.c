#include "smtpd/cli/describe.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "smtpd/cli/print.h"

#define INDENT 4
#define KEY_WIDTH_MAX 20
#define TITLE_SIZE 32

/* How the numbers of a key are meant. */
enum unit { UNIT_NONE, UNIT_SECONDS, UNIT_BYTES };

static enum unit
unit_of(const char *key)
{
	static const struct {
		const char *key;
		enum unit unit;
	} units[] = { { "age", UNIT_SECONDS }, { "oldest", UNIT_SECONDS },
		{ "uptime", UNIT_SECONDS }, { "max_age", UNIT_SECONDS },
		{ "delay", UNIT_SECONDS }, { "size", UNIT_BYTES },
		{ "bytes", UNIT_BYTES } };

	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (strcmp(key, units[i].key) == 0)
			return units[i].unit;
	return UNIT_NONE;
}

/* A scalar as text: a number in "out", else the string itself. */
static const char *
scalar_text(const struct jread *j, char out[PRINT_SHORT_SIZE])
{
	enum unit unit = j->key != NULL ? unit_of(j->key) : UNIT_NONE;

	switch (j->kind) {
	case JREAD_NULL:
		return "-";
	case JREAD_BOOL:
		return j->number != 0 ? "yes" : "no";
	case JREAD_STRING:
		if (j->string[0] == '\0' && j->key != NULL &&
		    strcmp(j->key, "sender") == 0)
			return "<>";
		return j->string[0] != '\0' ? j->string : "-";
	case JREAD_NUMBER:
		if (unit == UNIT_SECONDS)
			print_age(out, j->number);
		else if (unit == UNIT_BYTES)
			print_size(out, j->number);
		else
			(void)snprintf(out, PRINT_SHORT_SIZE, "%" PRId64,
			    j->number);
		return out;
	case JREAD_LIST:
	case JREAD_OBJECT:
		break;
	}
	return "";
}

static bool
is_scalar(const struct jread *j)
{
	return j->kind != JREAD_LIST && j->kind != JREAD_OBJECT;
}

/* There is nothing to be said. */
static bool
is_nothing(const struct jread *j)
{
	return j->kind == JREAD_NULL || (!is_scalar(j) && j->first == NULL);
}

static bool
is_text(const struct jread *j)
{
	return j->kind == JREAD_STRING && strchr(j->string, '\n') != NULL;
}

/* A list of scalars fits on its key's line. */
static bool
is_plain_list(const struct jread *j)
{
	if (j->kind != JREAD_LIST)
		return false;
	for (j = j->first; j != NULL; j = j->next)
		if (!is_scalar(j))
			return false;
	return true;
}

static void
write_plain_list(FILE *out, const struct jread *j)
{
	char text[PRINT_SHORT_SIZE];
	const char *scalar;

	for (j = j->first; j != NULL; j = j->next) {
		scalar = scalar_text(j, text);
		print_safe(out, scalar, strlen(scalar), false);
		if (j->next != NULL)
			(void)fputc(' ', out);
	}
}

static void
write_key(FILE *out, const char *key, int indent, int width)
{
	int len = (int)strlen(key);

	(void)fprintf(out, "%*s", indent, "");
	for (; *key != '\0'; key++)
		(void)fputc(*key == '_'                ? ' '
			: isprint((unsigned char)*key) ? *key
						       : '?',
		    out);
	(void)fputc(':', out);
	if (width > 0)
		(void)fprintf(out, "%*s ", len < width ? width - len : 0, "");
}

/* Of the keys whose value stands on their line. */
static int
key_width(const struct jread *object)
{
	int width = 0, len;

	for (const struct jread *m = object->first; m != NULL; m = m->next) {
		len = m->key != NULL ? (int)strlen(m->key) : 0;
		if (len > width && len <= KEY_WIDTH_MAX && !is_nothing(m) &&
		    !is_text(m) && (is_scalar(m) || is_plain_list(m)))
			width = len;
	}
	return width;
}

/* The depth is the parser's. NOLINTBEGIN(misc-no-recursion) */

/* One member of an object, unless it is text of several lines. */
static void
write_member(FILE *out, const struct jread *j, int indent, int width)
{
	char text[PRINT_SHORT_SIZE];
	const char *scalar;
	const struct jread *item;

	write_key(out, j->key, indent,
	    is_scalar(j) || is_plain_list(j) ? width : 0);
	if (is_scalar(j)) {
		scalar = scalar_text(j, text);
		print_safe(out, scalar, strlen(scalar), false);
	} else if (is_plain_list(j))
		write_plain_list(out, j);
	(void)fputc('\n', out);
	if (j->kind == JREAD_OBJECT)
		describe_write(out, j, indent + INDENT);
	if (j->kind != JREAD_LIST || is_plain_list(j))
		return;
	for (item = j->first; item != NULL; item = item->next) {
		describe_write(out, item, indent + INDENT);
		if (item->next != NULL)
			(void)fputc('\n', out);
	}
}

void
describe_write(FILE *out, const struct jread *j, int indent)
{
	const struct jread *m;
	bool text = false;
	int width = key_width(j);

	if (j->kind != JREAD_OBJECT)
		return;
	for (m = j->first; m != NULL; m = m->next)
		if (!is_text(m) && !is_nothing(m))
			write_member(out, m, indent, width);
	for (m = j->first; m != NULL; m = m->next) {
		if (!is_text(m))
			continue;
		/* The header ends in an empty line before the body. */
		if (!text)
			(void)fputc('\n', out);
		text = true;
		print_safe(out, m->string, strlen(m->string), true);
	}
}

/* NOLINTEND(misc-no-recursion) */

/* Headers and bodies hold CRLF; the CR is no news. */
static void
drop_crs(struct jread *j)
{
	char *to;

	for (j = j->first; j != NULL; j = j->next) {
		if (j->kind != JREAD_STRING)
			continue;
		to = j->string;
		for (const char *p = j->string; *p != '\0'; p++)
			if (p[0] != '\r' || p[1] != '\n')
				*to++ = *p;
		*to = '\0';
	}
}

static int
object_line(void *arg, const char *line, size_t len)
{
	const char *why;
	struct jread *j = jread_parse(line, len, &why);

	(void)arg;
	if (j != NULL) {
		drop_crs(j);
		describe_write(stdout, j, 0);
	}
	jread_free(j);
	return ferror(stdout) != 0 ? -1 : 0;
}

int
describe_object(const struct cli *cli, const struct ctl_request *req)
{
	return cli_ask(cli, req, object_line, NULL);
}

/* A table whose columns are the keys of its first object. */
struct list {
	struct jread **objects;
	size_t object_count;
	struct table *table;
	struct table_column columns[TABLE_COLUMNS_MAX + 1];
	char titles[TABLE_COLUMNS_MAX][TITLE_SIZE];
	size_t count;
};

static void
set_title(char title[TITLE_SIZE], const char *key)
{
	(void)strlcpy(title, key, TITLE_SIZE);
	for (; *title != '\0'; title++) {
		if (*title == '_')
			*title = '-';
		else if (*title >= 'a' && *title <= 'z')
			*title = (char)(*title - 'a' + 'A');
	}
}

static void
begin_table(struct list *l, FILE *out)
{
	const struct jread *m = l->objects[0]->first;

	for (; m != NULL && l->count < TABLE_COLUMNS_MAX; m = m->next) {
		set_title(l->titles[l->count], m->key);
		l->columns[l->count].title = l->titles[l->count];
		l->columns[l->count++].right = m->kind == JREAD_NUMBER;
	}
	l->table = table_new(out, l->columns);
}

static void
add_cell(struct list *l, const struct jread *m)
{
	char text[PRINT_SHORT_SIZE], *joined = NULL;
	size_t len;
	FILE *f;

	if (m != NULL && m->kind == JREAD_STRING &&
	    strcmp(m->key, "next") == 0) {
		table_cell(l->table, print_until(text, m->string, time(NULL)));
		return;
	}
	if (m == NULL || is_scalar(m)) {
		table_cell(l->table, m != NULL ? scalar_text(m, text) : NULL);
		return;
	}
	f = open_memstream(&joined, &len);
	if (f != NULL && is_plain_list(m))
		write_plain_list(f, m);
	if (f != NULL && fclose(f) == 0)
		table_cell(l->table, joined);
	else
		table_cell(l->table, NULL);
	free(joined);
}

/* Room doubles: capacity is the next power of two. */
static int
list_line(void *arg, const char *line, size_t len)
{
	struct list *l = arg;
	struct jread **objects;
	const char *why;
	size_t n = l->object_count;

	if ((n & (n - 1)) == 0) {
		objects = reallocarray(l->objects, n == 0 ? 1 : 2 * n,
		    sizeof(struct jread *));
		if (objects == NULL)
			return -1;
		l->objects = objects;
	}
	l->objects[n] = jread_parse(line, len, &why);
	if (l->objects[n] != NULL && l->objects[n]->kind == JREAD_OBJECT)
		l->object_count++;
	else
		jread_free(l->objects[n]);
	return 0;
}

static int
by_total(const void *a, const void *b)
{
	int64_t x = jread_int(*(struct jread *const *)a, "total", 0);
	int64_t y = jread_int(*(struct jread *const *)b, "total", 0);

	return x < y ? 1 : x > y ? -1 : 0;
}

static void
write_rows(struct list *l)
{
	const struct jread *first = l->objects[0]->first, *m, *at;

	for (size_t i = 0; i < l->object_count; i++) {
		size_t left = l->count;

		at = l->objects[i]->first;
		for (m = first; m != NULL && left > 0; m = m->next, left--) {
			/* Keys mostly come in the same order. */
			if (at == NULL || strcmp(at->key, m->key) != 0)
				at = jread_get(l->objects[i], m->key);
			add_cell(l, at);
			at = at != NULL ? at->next : NULL;
		}
		table_row(l->table, NULL);
	}
}

int
describe_list(const struct cli *cli, const struct ctl_request *req,
    const char *empty, FILE *out)
{
	struct list l = { 0 };
	int status = cli_ask(cli, req, list_line, &l);

	if (l.object_count == 0) {
		if (status == EX_OK)
			(void)fprintf(out, "%s\n", empty);
	} else {
		qsort(l.objects, l.object_count, sizeof(struct jread *),
		    by_total);
		begin_table(&l, out);
		if (l.table != NULL)
			write_rows(&l);
		table_end(l.table);
	}
	for (size_t i = 0; i < l.object_count; i++)
		jread_free(l.objects[i]);
	free(l.objects);
	return status;
}
