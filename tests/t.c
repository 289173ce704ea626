#include "tests/t.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	const char *sentence;
	char row[256];
	bool failed;
	bool skipped;
	int cases_passed;
	int cases_failed;
	int cases_skipped;
	int assertions;
	int in_case;
} t;

static void
close_case(void)
{
	if (t.sentence == NULL)
		return;
	if (t.skipped && !t.failed) {
		t.cases_skipped++;
		return;
	}
	if (t.in_case == 0) {
		printf("%s: asserts nothing\n", t.sentence);
		t.failed = true;
	}
	if (t.failed)
		t.cases_failed++;
	else
		t.cases_passed++;
}

void
t_case(const char *sentence)
{
	close_case();
	t.sentence = sentence;
	t.row[0] = '\0';
	t.failed = false;
	t.skipped = false;
	t.in_case = 0;
}

void
t_skip(const char *why)
{
	t.skipped = true;
	printf("skipped: %s: %s\n", t.sentence, why);
}

void
t_row(const char *fmt, ...)
{
	va_list ap;

	t.row[0] = '\0';
	if (fmt == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(t.row, sizeof t.row, fmt, ap);
	va_end(ap);
}

int
t_done(void)
{
	close_case();
	t.sentence = NULL;
	printf("cases: %d passed, %d failed, %d skipped (%d assertions)\n",
	    t.cases_passed, t.cases_failed, t.cases_skipped, t.assertions);
	return t.cases_failed == 0 && t.cases_passed + t.cases_skipped > 0 ? 0
									   : 1;
}

static bool
count(const char *file, int line, bool holds)
{
	if (t.sentence == NULL) {
		printf("%s:%d: assertion outside a case\n", file, line);
		exit(1);
	}
	t.assertions++;
	t.in_case++;
	if (holds)
		return false;
	t.failed = true;
	printf("%s:%d: %s%s%s\n", file, line, t.sentence,
	    t.row[0] != '\0' ? ": " : "", t.row);
	return true;
}

static void
show(const char *label, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	size_t i;

	if (p == NULL) {
		printf("  %s NULL\n", label);
		return;
	}
	printf("  %s \"", label);
	for (i = 0; i < len && i < 2000; i++) {
		if (p[i] == '\n')
			printf("\\n");
		else if (p[i] == '\r')
			printf("\\r");
		else if (p[i] < 0x20 || p[i] >= 0x7f || p[i] == '"' ||
		    p[i] == '\\')
			printf("\\x%02x", p[i]);
		else
			printf("%c", p[i]);
	}
	printf("\"%s\n", i < len ? "..." : "");
}

void
t_str_at(const char *file, int line, const char *got, const char *want)
{
	bool same = got == want ||
	    (got != NULL && want != NULL && strcmp(got, want) == 0);

	if (!count(file, line, same))
		return;
	show("got ", got, got != NULL ? strlen(got) : 0);
	show("want", want, want != NULL ? strlen(want) : 0);
}

void
t_int_at(const char *file, int line, long long got, long long want)
{
	if (count(file, line, got == want))
		printf("  got  %lld\n  want %lld\n", got, want);
}

void
t_mem_at(const char *file, int line, const void *got, size_t gotlen,
    const void *want, size_t wantlen)
{
	bool same = gotlen == wantlen &&
	    (gotlen == 0 || memcmp(got, want, gotlen) == 0);

	if (!count(file, line, same))
		return;
	show("got ", got, gotlen);
	show("want", want, wantlen);
}

void
t_true_at(const char *file, int line, bool holds, const char *claim)
{
	if (count(file, line, holds))
		printf("  does not hold: %s\n", claim);
}
