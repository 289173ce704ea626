/*
 * Host names and the mx patterns of a policy (RFC 8461 3.2 and 4.1).
 */

#ifndef MTASTS_MATCH_H
#define MTASTS_MATCH_H

#include <stdbool.h>
#include <stddef.h>

#define HOST_MAX 253 /* characters of a name without its final dot */
#define HOST_SIZE (HOST_MAX + 1)

/*
 * Bring a host name to the form that is compared: lower case, no final dot.
 *
 * text     need not end in NUL
 * out      receives the name, ended by NUL; "" on -1
 * returns  0, or -1 where it is no host name: labels of 1 to 63 letters,
 *          digits and hyphens (inside only), 253 in all (RFC 5321 4.1.2;
 *          an IDN is written in A-labels)
 */
int host_normalize(char out[HOST_SIZE], const char *text, size_t len);

/* The same for a pattern, which may open with "*." before a host name. */
int pattern_normalize(char out[HOST_SIZE], const char *text, size_t len);

/*
 * Does the MX host name "host" match "pattern"?
 *
 * pattern  as pattern_normalize() gives it
 * host     the name in the MX record, as DNS gives it: case and one final dot
 *          do not count
 *
 * "*." stands for exactly one leftmost label; it matches neither the bare
 * suffix nor two labels. RFC 8461 4.1, RFC 6125 6.4.3.
 */
bool sts_match(const char *host, const char *pattern);

#endif
