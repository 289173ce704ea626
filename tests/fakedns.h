/*
 * A resolver on loopback for tests, in a thread: answers from a table, over
 * UDP and TCP, and counts what it was asked.
 */

#ifndef TESTS_FAKEDNS_H
#define TESTS_FAKEDNS_H

#include <stddef.h>
#include <stdint.h>

#define FAKE_AD 1U       /* the answer is authenticated */
#define FAKE_SERVFAIL 2U /* instead of an answer */
#define FAKE_SILENT 4U   /* no answer at all */
#define FAKE_TC 8U       /* over UDP only the bit that says so */
#define FAKE_NO_EDNS 16U /* FORMERR to a query with an OPT record */
#define FAKE_SLOW 32U    /* the answer comes after three seconds */
#define FAKE_CNAME 5     /* type: data is the target */

/*
 * One record. data: "10 mx.example" for MX, an address for A and AAAA, text
 * for TXT, hexadecimal for TLSA; NULL: the name exists, no such record.
 * Names of no row do not exist. Negative answers have a SOA of 60 seconds.
 */
struct fakedns_row {
	const char *name;
	int type;
	const char *data;
	unsigned flags;
	uint32_t ttl;
};

struct fakedns;

/* rows: borrowed. Ends the program on failure. */
struct fakedns *fakedns_start(const struct fakedns_row *rows, size_t count);
void fakedns_stop(struct fakedns *);
uint16_t fakedns_port(const struct fakedns *);
/* Queries for the name and type so far; type 0: all queries. */
unsigned fakedns_asked(struct fakedns *, const char *name, int type);

#endif
