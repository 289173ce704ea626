/*
 * Words for people about a host that cannot be used: what was found, and
 * which configuration lines would make an exception. Pure.
 */

#ifndef SMTPD_EXPLAIN_H
#define SMTPD_EXPLAIN_H

#include <stddef.h>
#include <time.h>

#include "mtasts/verdict.h"
#include "smtpd/base/tls.h"

struct explain_found_args {
	enum reason reason;
	const char *host;
	const struct tls_facts *tls; /* NULL: no handshake completed */
	/* What a library, the peer or DNS said (for sts-mx-mismatch: the
	 * patterns of the policy); "": nothing. */
	const char *words;
};

/* What was found, a clause: "its certificate expired on 2026-01-02". */
void explain_found(char *text, size_t size, const struct explain_found_args *);

struct explain_exception_args {
	enum reason reason;
	const char *destination; /* the recipient's domain */
	const char *addr; /* without port, for private-address; "": none */
	enum tls_level level;
	enum policy_mode mode;
	enum dane_state dane;
	time_t now;
};

/*
 * The lines that would make an exception, ready to be pasted, in a sentence;
 * "" where none would help or none is needed.
 */
void explain_exception(char *text, size_t size,
    const struct explain_exception_args *);

#endif
