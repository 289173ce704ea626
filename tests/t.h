/*
 * The test harness: cases, rows, got and want.
 *
 * A test program is a list of functions named by what they show:
 *
 *	int
 *	main(void)
 *	{
 *		t_case("mx pattern: a wildcard is one label (RFC 8461 4.1)");
 *		t_str(got, want);
 *		return t_done();
 *	}
 *
 * Every assertion counts as passed or failed for the case that is open; a
 * failure prints the place, the case, got and want, and the program goes on.
 */

#ifndef TESTS_T_H
#define TESTS_T_H

#include <stdbool.h>
#include <stddef.h>

/* Open a case; "sentence" says the behaviour and its source. Borrowed. */
void t_case(const char *sentence);

/* The open case cannot be tried here: it counts as skipped, unless one of its
 * assertions failed. */
void t_skip(const char *why);

/* Text printed with each failure from here on (a row's name); NULL: none. */
void t_row(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Print a summary line; returns the exit status of the program. */
int t_done(void);

#define t_str(got, want) t_str_at(__FILE__, __LINE__, (got), (want))
#define t_int(got, want) \
	t_int_at(__FILE__, __LINE__, (long long)(got), (long long)(want))
#define t_mem(got, gotlen, want, wantlen) \
	t_mem_at(__FILE__, __LINE__, (got), (gotlen), (want), (wantlen))
#define t_true(claim) t_true_at(__FILE__, __LINE__, (claim), #claim)

/* Strings equal; NULL equals only NULL. */
void t_str_at(const char *file, int line, const char *got, const char *want);
void t_int_at(const char *file, int line, long long got, long long want);
/* Bytes equal; shown escaped. */
void t_mem_at(const char *file, int line, const void *got, size_t gotlen,
    const void *want, size_t wantlen);
void t_true_at(const char *file, int line, bool holds, const char *claim);

#endif
