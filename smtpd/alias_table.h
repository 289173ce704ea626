/*
 * Inside the aliases: the table in memory, shared by alias.c and
 * alias_expand.c. Nobody else but a test includes this.
 */

#ifndef SMTPD_ALIAS_TABLE_H
#define SMTPD_ALIAS_TABLE_H

#include <stddef.h>

#include "smtpd/address.h"

struct alias_entry {
	char *name;        /* lower-case local part */
	char *values;      /* addresses, each ended by a NUL; NULL: none */
	size_t values_len; /* their NULs included */
	unsigned line;
};

struct alias_table {
	struct alias_entry *entries; /* ordered by name, each name once */
	size_t count;
	size_t room;
	char hostname[ADDRESS_DOMAIN_SIZE];
};

#endif
