#include "smtpd/cli/print.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/base/utf8.h"

#define ROWS_HELD 500 /* rows that decide how wide the columns are */
#define GAP 2         /* blanks between columns */

/* Controls, and what turns or joins writing unseen. */
static bool
is_unsafe(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad ||
	    (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	    (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || c >= 0xe0000;
}

void
print_safe(FILE *out, const char *text, size_t len, bool lines)
{
	uint32_t c;
	size_t n;

	for (; len > 0; text += n, len -= n) {
		n = utf8_char(text, len, &c);
		if (n == 0) {
			n = 1;
			(void)fprintf(out, "\\x%02x", (unsigned char)*text);
		} else if ((c == '\n' || c == '\t') && lines)
			(void)fputc((int)c, out);
		else if (!is_unsafe(c))
			(void)fwrite(text, 1, n, out);
		else if (c < 0x80)
			(void)fprintf(out, "\\x%02x", c);
		else
			(void)fprintf(out, "\\u{%" PRIx32 "}", c);
	}
}

static bool
is_plain(const char *text)
{
	while (*text >= ' ' && *text <= '~')
		text++;
	return *text == '\0';
}

char *
print_safe_copy(const char *text)
{
	char *copy = NULL;
	size_t len;
	FILE *f;

	/* As most is: a stream for each cell takes half of a table's time. */
	if (is_plain(text))
		return strdup(text);
	f = open_memstream(&copy, &len);
	if (f == NULL)
		return NULL;
	print_safe(f, text, strlen(text), false);
	if (fclose(f) == 0)
		return copy;
	free(copy);
	return NULL;
}

void
print_age(char out[PRINT_SHORT_SIZE], int64_t seconds)
{
	static const struct {
		int64_t from;  /* this many seconds on, ... */
		int64_t unit;  /* ...count in this */
		int64_t minor; /* ...and this, if anything is left */
		char letter;
		char minor_letter;
	} scales[] = { { 86400, 86400, 3600, 'd', 'h' },
		{ 3600, 3600, 60, 'h', 'm' }, { 600, 60, 600, 'm', 'm' },
		{ 60, 60, 1, 'm', 's' }, { INT64_MIN, 1, 1, 's', 's' } };
	int64_t s = seconds > 0 ? seconds : 0, rest;
	size_t i = 0;

	while (s < scales[i].from)
		i++;
	rest = s % scales[i].unit / scales[i].minor;
	if (rest == 0)
		(void)snprintf(out, PRINT_SHORT_SIZE, "%" PRId64 "%c",
		    s / scales[i].unit, scales[i].letter);
	else
		(void)snprintf(out, PRINT_SHORT_SIZE,
		    "%" PRId64 "%c%" PRId64 "%c", s / scales[i].unit,
		    scales[i].letter, rest, scales[i].minor_letter);
}

void
print_size(char out[PRINT_SHORT_SIZE], int64_t bytes)
{
	static const char units[] = "KMGTPE";
	int64_t tenths = bytes * 10;
	size_t unit = 0;

	if (bytes < 1000) {
		(void)snprintf(out, PRINT_SHORT_SIZE, "%" PRId64,
		    bytes < 0 ? 0 : bytes);
		return;
	}
	if (bytes > INT64_MAX / 20)
		tenths = INT64_MAX / 2;
	tenths = (tenths + 512) / 1024;
	for (; tenths >= 9995 && units[unit + 1] != '\0'; unit++)
		tenths = (tenths + 512) / 1024;
	if (tenths < 100)
		(void)snprintf(out, PRINT_SHORT_SIZE,
		    "%" PRId64 ".%" PRId64 "%c", tenths / 10, tenths % 10,
		    units[unit]);
	else
		(void)snprintf(out, PRINT_SHORT_SIZE, "%" PRId64 "%c",
		    (tenths + 5) / 10, units[unit]);
}

time_t
print_read_time(const char *text)
{
	struct tm tm;
	const char *end;

	memset(&tm, 0, sizeof tm);
	end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (end == NULL)
		return -1;
	if (*end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	return strcmp(end, "Z") == 0 ? timegm(&tm) : -1;
}

const char *
print_until(char out[PRINT_SHORT_SIZE], const char *at, time_t now)
{
	time_t then = at != NULL ? print_read_time(at) : -1;

	if (then == -1)
		return NULL;
	if (then <= now)
		return "now";
	print_age(out, then - now);
	return out;
}

/* A row that waits to be written. */
struct row {
	char *cells[TABLE_COLUMNS_MAX];
	char *note;
};

struct table {
	FILE *out;
	const struct table_column *columns;
	size_t column_count;
	size_t widths[TABLE_COLUMNS_MAX];
	struct row rows[ROWS_HELD];
	size_t held;
	size_t cell; /* next of the row under way */
	size_t written;
};

/* Places that safe text takes up. */
static size_t
width_of(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

struct table *
table_new(FILE *out, const struct table_column *columns)
{
	struct table *t = calloc(1, sizeof *t);

	if (t == NULL)
		return NULL;
	t->out = out;
	t->columns = columns;
	for (size_t i = 0; columns[i].title != NULL; i++) {
		t->widths[i] = width_of(columns[i].title);
		t->column_count++;
	}
	return t;
}

void
table_cell(struct table *t, const char *text)
{
	char *safe = print_safe_copy(text != NULL ? text : "-");
	size_t width;

	if (t->cell == t->column_count) {
		free(safe);
		return;
	}
	t->rows[t->held].cells[t->cell] = safe;
	/* Once rows are out the columns stay as they are. */
	width = safe != NULL ? width_of(safe) : 0;
	if (t->written == 0 && width > t->widths[t->cell])
		t->widths[t->cell] = width;
	t->cell++;
}

static void
write_blanks(FILE *out, size_t n)
{
	while (n-- > 0)
		(void)fputc(' ', out);
}

static void
write_cell(const struct table *t, size_t i, const char *text)
{
	size_t width = width_of(text);
	size_t pad = width < t->widths[i] ? t->widths[i] - width : 0;
	bool last = i + 1 == t->column_count;

	if (t->columns[i].right)
		write_blanks(t->out, pad);
	(void)fputs(text, t->out);
	if (last)
		(void)fputc('\n', t->out);
	else
		write_blanks(t->out, (t->columns[i].right ? 0 : pad) + GAP);
}

static void
write_rows(struct table *t)
{
	struct row *r;

	if (t->written == 0 && t->held > 0)
		for (size_t i = 0; i < t->column_count; i++)
			write_cell(t, i, t->columns[i].title);
	for (size_t n = 0; n < t->held; n++) {
		r = &t->rows[n];
		for (size_t i = 0; i < t->column_count; i++) {
			write_cell(t, i,
			    r->cells[i] != NULL ? r->cells[i] : "");
			free(r->cells[i]);
		}
		if (r->note != NULL)
			(void)fprintf(t->out, "    %s\n", r->note);
		free(r->note);
	}
	memset(t->rows, 0, t->held * sizeof t->rows[0]);
	t->written += t->held;
	t->held = 0;
}

void
table_row(struct table *t, const char *note)
{
	t->rows[t->held].note = note != NULL ? print_safe_copy(note) : NULL;
	t->cell = 0;
	if (++t->held == ROWS_HELD)
		write_rows(t);
}

size_t
table_rows(const struct table *t)
{
	return t->written + t->held;
}

void
table_end(struct table *t)
{
	if (t == NULL)
		return;
	write_rows(t);
	free(t);
}
