/*
 * The TXT record at _mta-sts.DOMAIN, which announces a policy (RFC 8461 3.1).
 */

#ifndef MTASTS_RECORD_H
#define MTASTS_RECORD_H

#include <stddef.h>

#define STS_ID_MAX 32 /* letters and digits of an id, RFC 8461 3.1 */
#define STS_ID_SIZE (STS_ID_MAX + 1)

/* One TXT record, its strings joined; not ended by NUL. */
struct sts_txt {
	const char *text;
	size_t len; /* bytes */
};

/*
 * Judge all TXT records found at the name; those that do not begin with
 * "v=STSv1;" are ignored.
 *
 * id       unchanged on -1
 * why      set on -1 to a constant sentence
 * returns  0 and the id where exactly one of them is an MTA-STS record and it
 *          is valid; -1 and *why where no policy is announced
 */
int record_choose(const struct sts_txt *, size_t count, char id[STS_ID_SIZE],
    const char **why);

#endif
