/*
 * The policy file that a domain serves over HTTPS (RFC 8461 3.2).
 */

#ifndef MTASTS_POLICY_H
#define MTASTS_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mtasts/verdict.h"

#define POLICY_BODY_MAX 65536 /* bytes of a policy file, RFC 8461 3.3 */
#define POLICY_SHA256_SIZE 32
#define POLICY_AGE_MAX 31557600 /* seconds: a year, RFC 8461 3.2 */

struct sts_policy {
	enum policy_mode mode; /* NONE, TESTING or ENFORCE */
	uint32_t max_age_s;    /* at most POLICY_AGE_MAX */
	bool max_age_capped;   /* the file asked for more */
	char **mx;             /* patterns, normalized; owned */
	size_t mx_count;
	/* SHA-256 of the file it was read from, as whoever fetched that says;
	 * all zero: not known. */
	uint8_t sha256[POLICY_SHA256_SIZE];
};

/* A policy file as it was fetched. */
struct sts_body {
	const char *text; /* need not end in NUL */
	size_t len;
	uint8_t sha256[POLICY_SHA256_SIZE]; /* of the text */
};

/*
 * Read a policy file; the digest is left all zero.
 *
 * body     need not end in NUL; borrowed
 * policy   filled in on 0, then owned by the caller: policy_clear(); all zero
 *          on -1
 * why      set on -1 to a constant sentence that says what is wrong
 * returns  0, or -1: the policy is invalid as a whole (or, with errno ENOMEM,
 *          there was no memory)
 */
int policy_parse(struct sts_policy *policy, const char *body, size_t len,
    const char **why);

/* A copy of its own; 0, or -1 on no memory. */
int policy_copy(struct sts_policy *to, const struct sts_policy *from);

/* Free what it holds and zero it; fine on one that is all zero. */
void policy_clear(struct sts_policy *);

/* Same mode, age and patterns in the same order, whatever the file? */
bool policy_equal(const struct sts_policy *, const struct sts_policy *);

/* Does the MX host name match one of the patterns (RFC 8461 4.1)? */
bool policy_matches(const struct sts_policy *, const char *host);

#endif
