/*
 * Mail addresses of the envelope, RFC 5321 4.1.2 with SMTPUTF8 (RFC 6531).
 *
 * Parsers are pure and take bytes with a length. What they accept holds no
 * control character, no NUL, no CR or LF, and is valid UTF-8 (plain ASCII
 * without ADDRESS_UTF8): it may be put into a command, a header or a file.
 */

#ifndef SMTPD_ADDRESS_H
#define SMTPD_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#define ADDRESS_LOCAL_MAX 64 /* octets, RFC 5321 4.5.3.1.1 */
#define ADDRESS_MAX 254      /* octets, RFC 5321 4.5.3.1.3 without <> */
#define ADDRESS_SIZE 256     /* for ADDRESS_MAX and a NUL */
#define ADDRESS_DOMAIN_SIZE 256

/* What else is accepted; or them together. */
enum address_accept {
	ADDRESS_UTF8 = 1, /* SMTPUTF8: UTF-8 in local part and domain */
	ADDRESS_NULL = 2, /* <>, the null reverse-path */
	ADDRESS_BARE = 4  /* a local part alone: root, postmaster */
};

struct address {
	char text[ADDRESS_SIZE];           /* as it goes into a command between
					     < and >; "" for <> */
	char local[ADDRESS_LOCAL_MAX + 1]; /* as written, quotes kept */
	char domain[ADDRESS_DOMAIN_SIZE];  /* lower-case A-labels, or a literal
					     [192.0.2.1]; "" if none */
	bool is_literal; /* the domain is an address literal: mail for it is
			    not taken, as no policy can ever bind there */
	bool needs_utf8; /* local part beyond ASCII: needs SMTPUTF8 */
};

/*
 * Read a mailbox without angle brackets; all of s[0..len) must be used.
 *
 * The domain is lower-cased, and U-labels become A-labels (see idn.h), so
 * that only local parts ever need SMTPUTF8. The local part is kept.
 *
 * accept   ADDRESS_* flags
 * returns  0, or -1 with *why
 */
int address_parse(struct address *out, const char *s, size_t len,
    unsigned accept, const char **why);

/*
 * Read a path, "<" to ">", from the start of s; a source route before the
 * mailbox is checked and dropped (RFC 5321 4.1.1.3, appendix C).
 *
 * returns  number of bytes up to and including ">", or -1 with *why
 */
int address_parse_path(struct address *out, const char *s, size_t len,
    unsigned accept, const char **why);

/* Give an address without a domain this one; -1 with *why if too long. */
int address_qualify(struct address *, const char *domain, const char **why);

/*
 * Check a domain and bring it to the form used as key everywhere: lower-case
 * A-labels, no final dot. A lone IPv4 address is refused.
 *
 * returns  0, or -1 with *why
 */
int address_domain(char out[ADDRESS_DOMAIN_SIZE], const char *s, size_t len,
    unsigned accept, const char **why);

/*
 * xtext of RFC 3461 4: "+", "=" and all but printable ASCII as +XX.
 *
 * out      "size" bytes, NUL-terminated on success
 * returns  length written, or -1 if it does not fit (encode) or is no xtext,
 *          or decodes to a NUL or control character (decode)
 */
int address_xtext_encode(char *out, size_t size, const char *s, size_t len);
int address_xtext_decode(char *out, size_t size, const char *s, size_t len);

#endif
