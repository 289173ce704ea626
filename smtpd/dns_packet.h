/*
 * DNS messages: the query we send, and what an answer to it says. Pure.
 *
 * RFC 1035 4, RFC 6891 (OPT), RFC 4035 3.2 (DO and AD), RFC 2308 (negative
 * answers), RFC 6698 2.1 (TLSA).
 */

#ifndef SMTPD_DNS_PACKET_H
#define SMTPD_DNS_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_SIZE 256 /* text of a name, with NUL */
#define DNS_QUERY_SIZE 512
#define DNS_UDP_SIZE 1232   /* bytes of an answer over UDP we ask for */
#define DNS_RECORDS_MAX 256 /* kept of one answer */
#define DNS_CNAMES_MAX 8    /* links followed */
#define DNS_TTL_MAX_S 86400 /* a day */
#define DNS_NEGATIVE_MAX_S 300

enum dns_type {
	DNS_A = 1,
	DNS_SOA = 6,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_TLSA = 52
};

enum dns_status {
	DNS_OK,       /* there are records */
	DNS_NODATA,   /* the name exists, such records do not */
	DNS_NXDOMAIN, /* the name does not exist */
	DNS_FAILED,   /* SERVFAIL, REFUSED, garbage...: "why" tells */
	DNS_TIMEOUT   /* no resolver answered */
};

/* One record; what "data" holds depends on the type asked for. */
struct dns_record {
	uint16_t preference; /* MX */
	uint16_t len;        /* bytes of data, without a NUL */
	/* MX: the host's name, ended by NUL, "." for the root, "?" for one
	 * that is no text; A and AAAA: 4 or 16 bytes; TXT: the strings,
	 * joined; TLSA: usage, selector, matching, and the data. */
	const uint8_t *data;
};

/* An answer, in one piece of memory: free(3). */
struct dns_answer {
	enum dns_status status;
	bool secure;              /* authenticated data, and believed */
	bool believed;            /* dns.c's: from one whose AD counts */
	uint32_t ttl_s;           /* how long it may be kept yet; 0: not */
	unsigned cnames;          /* links followed */
	char name[DNS_NAME_SIZE]; /* where they led; else the name asked */
	const char *why;          /* of DNS_FAILED; a constant, else "" */
	bool no_edns;             /* DNS_FAILED: perhaps for want of EDNS */
	unsigned refs;            /* dns.c's own */
	size_t size;              /* bytes of the piece of memory */
	size_t count;
	struct dns_record record[]; /* as the answer orders them */
};

/*
 * Write the query for "name" (text without final dot; "" is the root): RD,
 * AD, and, unless "plain", an OPT record with DO.
 *
 * returns  its length, or 0 where the name cannot be put into a query
 */
size_t dns_query_write(uint8_t out[DNS_QUERY_SIZE], uint16_t id,
    const char *name, enum dns_type, bool plain);

/*
 * Read an answer to that query.
 *
 * returns  a new answer ("secure" is the AD bit as it stands); DNS_FAILED
 *          for rcodes other than 0 and 3 and where the message breaks the
 *          rules; NULL on no memory
 */
struct dns_answer *dns_answer_read(const uint8_t *message, size_t len,
    const char *name, enum dns_type);

/* An answer without records. NULL on no memory. */
struct dns_answer *dns_answer_empty(const char *name, enum dns_status,
    const char *why);

#endif
