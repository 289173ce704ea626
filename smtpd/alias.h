/*
 * The aliases file: local names rewritten to addresses elsewhere.
 *
 * One entry a line: "name: address, address"; a line that begins with a blank
 * continues the one before; "#" starts a comment at the start of a line or
 * behind a blank. Pipes, files and :include: are refused: nothing is ever
 * delivered on this machine.
 */

#ifndef SMTPD_ALIAS_H
#define SMTPD_ALIAS_H

#include <stddef.h>

#include "smtpd/conf_errors.h"

#define ALIAS_DEPTH_MAX 32      /* names through which one name may lead */
#define ALIAS_EXPANDED_MAX 1000 /* addresses from one name */
#define ALIAS_FILE_MAX 1048576  /* bytes */

struct alias_table;

/*
 * Read the text of an aliases file.
 *
 * name      of the file, for messages
 * hostname  ours: "root@hostname" is as local as "root"; copied
 * errors    what was refused, file:line: message; such an address is left
 *           out, the others hold
 * returns   the table, which alias_free() ends; NULL on no memory alone
 */
struct alias_table *alias_parse(const char *name, const char *text, size_t len,
    const char *hostname, struct conf_errors *errors);

/* NULL does nothing. */
void alias_free(struct alias_table *);

/* How many names lead to someone. */
size_t alias_count(const struct alias_table *);

/* Called with each address; -1 stops with alias_expand() failing. */
typedef int alias_fn(void *arg, const char *address);

/*
 * Rewrite one address, as address_parse() accepts it.
 *
 * Local are a name without a domain, at localhost, and at our host name, in
 * any case. What is local and has an entry is replaced, again and again; what
 * is not is given to "fn" as it is, a bare name with our host name.
 * An address that is reached twice is given once. Without a table (NULL)
 * the address is given as it is.
 *
 * returns   number of addresses given, or -1 with *why: an alias that leads
 *           back to itself, beyond a bound, or to nothing but what was
 *           refused; some may have been given
 */
int alias_expand(const struct alias_table *, const char *address, alias_fn *fn,
    void *arg, const char **why);

#endif
