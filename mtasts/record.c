#include "mtasts/record.h"

#include <stdbool.h>
#include <string.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	    (c >= 'a' && c <= 'z');
}

static void
trim(const char **start, const char **end)
{
	while (*start < *end && is_blank(**start))
		(*start)++;
	while (*end > *start && is_blank((*end)[-1]))
		(*end)--;
}

static int
copy_id(const char *start, const char *end, char id[STS_ID_SIZE],
    const char **why)
{
	size_t i, len = (size_t)(end - start);

	if (len == 0 || len > STS_ID_MAX) {
		*why = "the id must have 1 to 32 characters";
		return -1;
	}
	for (i = 0; i < len; i++)
		if (!is_alnum(start[i])) {
			*why = "the id may hold only letters and digits";
			return -1;
		}
	memcpy(id, start, len);
	id[len] = '\0';
	return 0;
}

/*
 * Is it an MTA-STS record at all: does it begin with "v=STSv1" and, after
 * blanks that the ABNF permits, ";"?
 */
static bool
is_sts(const struct sts_txt *txt)
{
	static const char version[] = "v=STSv1";
	size_t i = sizeof(version) - 1;

	if (txt->len < i || memcmp(txt->text, version, i) != 0)
		return false;
	while (i < txt->len && is_blank(txt->text[i]))
		i++;
	return i < txt->len && txt->text[i] == ';';
}

/* The id of a record that is_sts(). */
static int
find_id(const struct sts_txt *txt, char id[STS_ID_SIZE], const char **why)
{
	const char *all_end = txt->text + txt->len, *end, *field;

	field = memchr(txt->text, ';', txt->len);
	while (field != NULL) {
		const char *next;

		field++;
		next = memchr(field, ';', (size_t)(all_end - field));
		end = next != NULL ? next : all_end;
		trim(&field, &end);
		/* The first of several counts; other names are ignored. */
		if (end - field >= 3 && memcmp(field, "id=", 3) == 0)
			return copy_id(field + 3, end, id, why);
		field = next;
	}
	*why = "it has no id";
	return -1;
}

int
record_choose(const struct sts_txt *txts, size_t count, char id[STS_ID_SIZE],
    const char **why)
{
	const struct sts_txt *only = NULL;
	size_t i;

	for (i = 0; i < count; i++) {
		if (!is_sts(&txts[i]))
			continue;
		if (only != NULL) {
			*why = "several v=STSv1 records";
			return -1;
		}
		only = &txts[i];
	}
	if (only == NULL) {
		*why = "no v=STSv1 record";
		return -1;
	}
	return find_id(only, id, why);
}
