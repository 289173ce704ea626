/*
 * Text for people: what a peer sent never reaches the terminal raw, ages and
 * sizes are short, tables are aligned.
 */

#ifndef SMTPD_CLI_PRINT_H
#define SMTPD_CLI_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define PRINT_SHORT_SIZE 48 /* for ages, sizes and times */

/*
 * Write "text" with everything that a terminal might obey made visible:
 * controls, DEL, C1 controls, bytes that are no UTF-8 (\x1b), and characters
 * that turn the direction of writing (\u{202e}). Tab and newline too, unless
 * "lines" is true.
 */
void print_safe(FILE *, const char *text, size_t len, bool lines);

/* The same as a string to free(3); NULL on no memory. */
char *print_safe_copy(const char *text);

/* Two units at most: "8s", "5m10s", "3h12m", "4d2h". Negative: "0s". */
void print_age(char out[PRINT_SHORT_SIZE], int64_t seconds);
/* Three digits at most: "812", "4.1K", "25M". */
void print_size(char out[PRINT_SHORT_SIZE], int64_t bytes);
/* Read RFC 3339 UTC ("2026-11-24T02:38:40Z"); -1 if it is none. */
time_t print_read_time(const char *text);
/* How long it is from "now" to such a time: an age, "now", or NULL for none. */
const char *print_until(char out[PRINT_SHORT_SIZE], const char *at, time_t now);

struct table;

/* A column; a NULL title ends the list of them. */
struct table_column {
	const char *title;
	bool right; /* aligned right: numbers */
};

#define TABLE_COLUMNS_MAX 16

/* A table that is written to "out" as it grows. NULL: no memory. */
struct table *table_new(FILE *out, const struct table_column *);
/* The next cell of the row; NULL is shown as "-". Copied, made safe. */
void table_cell(struct table *, const char *text);
/* The row is complete; "note" (may be NULL) goes below it, set in. */
void table_row(struct table *, const char *note);
/* How many rows there were. */
size_t table_rows(const struct table *);
/* Write what is left and free the table. */
void table_end(struct table *);

#endif
