/*
 * The table of directives, and what sets each. Private to conf.
 */

#ifndef SMTPD_CONF_SET_H
#define SMTPD_CONF_SET_H

#include "smtpd/conf.h"

#define CONF_ROWS_MAX 64

struct conf_parser;

struct conf_row {
	struct conf_directive show;
	int (*set)(struct conf_parser *); /* 0, or -1 after a complaint */
	bool is_once;
};

/* One parse under way. */
struct conf_parser {
	struct conf *conf;
	const char *name; /* of the file */
	struct conf_errors *errors;
	unsigned line;                 /* of the statement; 0: a default */
	const struct conf_row *row;    /* the directive that is being set */
	char *const *word;             /* its next argument; NULL ends them */
	struct conf_destination *dest; /* the open block, or NULL */
	unsigned stray;                /* other blocks that are open */
	unsigned seen[CONF_ROWS_MAX];  /* line of the last such directive */
};

/* The i-th row, NULL behind the last. */
const struct conf_row *conf_row(size_t i);

#endif
