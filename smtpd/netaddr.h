/*
 * Network addresses: private ranges, networks, text.
 *
 * Everything works on numbers; nothing asks a resolver. A socket address is
 * IPv4 or IPv6; any other family is private, matches no network and reads
 * "unknown".
 */

#ifndef SMTPD_NETADDR_H
#define SMTPD_NETADDR_H

#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETADDR_TEXT_SIZE 64 /* bytes: "[", IPv6, "]:65535", NUL, to spare */

/* A network as written: 10.0.0.0/8, 2001:db8::/32, or one host. */
struct netaddr_net {
	sa_family_t family; /* AF_INET or AF_INET6 */
	uint8_t bytes[16];  /* network order; the bits after "bits" are 0 */
	unsigned bits;      /* prefix length: 0-32 or 0-128 */
};

/*
 * Is this an address that no host of the public Internet can have: of this
 * host, private, shared, link-local, unique local, multicast, reserved or
 * unspecified? An IPv6 address that carries an IPv4 one (IPv4-mapped and
 * -compatible, NAT64, 6to4) is private if that one is.
 *
 * RFC 6890, RFC 4291, RFC 6052 2.1, RFC 8215, RFC 3056.
 */
bool netaddr_is_private(const struct sockaddr *);

/* Of this host: 127.0.0.0/8, ::1, and the former as IPv4-mapped. */
bool netaddr_is_loopback(const struct sockaddr *);

/*
 * May a host that the DNS named be contacted at this address? Yes if it is
 * not private, or if one of the "n" networks of `allow private` holds it; an
 * IPv4 network also holds the IPv4-mapped and NAT64 forms of its addresses.
 */
bool netaddr_may_connect(const struct netaddr_net *allow, size_t n,
    const struct sockaddr *);

/*
 * Read a numeric address, "[...]" around an IPv6 one permitted; no scope.
 *
 * out      filled in with "port" (host order), zeroed elsewhere
 * returns  0, or -1 with *why
 */
int netaddr_parse(struct sockaddr_storage *out, const char *text, uint16_t port,
    const char **why);

/*
 * Read a network: ADDRESS or ADDRESS/BITS. Bits set behind the prefix are an
 * error: who writes 10.1.2.3/8 may mean either. An IPv4-mapped network of 96
 * bits or more becomes the IPv4 one.
 *
 * returns  0, or -1 with *why
 */
int netaddr_net_parse(struct netaddr_net *out, const char *text,
    const char **why);

/* Is the address in the network? IPv4-mapped addresses count as IPv4. */
bool netaddr_net_has(const struct netaddr_net *, const struct sockaddr *);

/* Is it in one of "n" networks? */
bool netaddr_in(const struct netaddr_net *nets, size_t n,
    const struct sockaddr *);

/* Same host, whatever the ports? IPv4-mapped equals IPv4. */
bool netaddr_same_host(const struct sockaddr *, const struct sockaddr *);

/* Host order; 0 for another family. */
uint16_t netaddr_port(const struct sockaddr *);

/* 192.0.2.1:25 or [2001:db8::1]:25; IPv4-mapped as IPv4. Returns "buf". */
const char *netaddr_text(const struct sockaddr *, char buf[NETADDR_TEXT_SIZE]);

/* The same without port and brackets: 192.0.2.1 or 2001:db8::1. */
const char *netaddr_host_text(const struct sockaddr *,
    char buf[NETADDR_TEXT_SIZE]);

/* As an address literal of RFC 5321 4.1.3: [192.0.2.1], [IPv6:2001:db8::1]. */
const char *netaddr_literal(const struct sockaddr *,
    char buf[NETADDR_TEXT_SIZE]);

#endif
