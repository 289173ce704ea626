/*
 * The configuration: sealpost.conf(5) as values.
 *
 * Parsed from memory, never changed afterwards: a child parses the same text
 * that its parent did, and a reload parses into another struct. Modules are
 * given the values they need, not this struct.
 */

#ifndef SMTPD_CONF_H
#define SMTPD_CONF_H

#include <sys/queue.h>
#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "mtasts/verdict.h"
#include "smtpd/conf_errors.h"
#include "smtpd/netaddr.h"

#define CONF_FILE_MAX 1048576 /* bytes */
#define CONF_LISTEN_MAX 64
#define CONF_RESOLVER_MAX 8
#define CONF_NET_MAX 1024
#define CONF_DESTINATION_MAX 10000
#define CONF_CONNECTIONS_MAX 1000
#define CONF_RECIPIENTS_MAX 100000
#define CONF_PERIOD_MAX 315360000 /* seconds, ten years: any duration */

/* A TLS level, and until when and why it is an exception. */
struct conf_tls {
	enum tls_level level; /* as written, whatever the date */
	time_t until;         /* opportunistic ends here, UTC; else 0 */
	char *because;        /* why; else NULL */
};

struct conf_listen {
	struct sockaddr_storage addr; /* with port */
	unsigned line; /* 0: a default, which this machine may lack */
};

struct conf_resolver {
	struct sockaddr_storage addr; /* with port */
	bool trusted; /* its AD bit counts; loopback ones always are */
};

struct conf_nets {
	struct netaddr_net *net;
	size_t count;
};

/* One `destination` block; what it does not set is found further out. */
struct conf_destination {
	SLIST_ENTRY(conf_destination) entry;
	char *name; /* example.net, .example.net or *; lower-case A-labels */
	unsigned line;
	bool has_tls;
	struct conf_tls tls;
	char *via; /* host name; NULL: the destination's MX */
	uint16_t via_port;
	bool via_implicit_tls;
	char *auth; /* file; only with via */
	unsigned auth_line;
	unsigned connections; /* 0: not set */
	unsigned rate;        /* messages per rate_s; 0: not set */
	unsigned rate_s;      /* seconds */
};
SLIST_HEAD(conf_destinations, conf_destination);

struct conf {
	char *hostname; /* NULL: not given, this machine's own name */
	struct conf_listen listen[CONF_LISTEN_MAX];
	size_t listen_count;
	struct conf_nets relay_from;
	struct conf_resolver resolver[CONF_RESOLVER_MAX];
	size_t resolver_count; /* 0: those of /etc/resolv.conf */
	char *trust;           /* CA bundle; NULL: the system's store */
	unsigned trust_line;
	struct conf_tls tls; /* every destination's unless it says more */
	struct conf_nets allow_private;
	uint64_t message_size; /* bytes */
	unsigned recipients;   /* per message */
	char *queue_directory; /* absolute */
	unsigned queue_expire_s;
	unsigned queue_warn_s;     /* 0: never */
	unsigned queue_warn_tls_s; /* where TLS or policy is the reason */
	unsigned queue_retry_s;    /* first delay, doubling up to... */
	unsigned queue_retry_max_s;
	unsigned proof_keep_s;           /* 0: no proofs of delivery */
	unsigned connections;            /* at once to one destination */
	char *aliases;                   /* file */
	unsigned aliases_line;           /* 0: not named, it need not exist */
	struct sockaddr_storage source4; /* ss_family 0: the system's choice */
	struct sockaddr_storage source6;
	struct conf_destinations destinations;
	size_t destination_count;
};

/*
 * Parse a configuration and check it. All errors are found in one pass.
 *
 * conf     overwritten; conf_clear() it whatever the result
 * name     of the file, for messages
 * text     need not end in a newline or a NUL; not kept
 * errors   added to
 * returns  0, or -1 if anything was added to "errors"
 */
int conf_parse(struct conf *conf, const char *name, const char *text,
    size_t len, struct conf_errors *errors);

/* Free what it holds. A zeroed struct is fine. */
void conf_clear(struct conf *);

/* What holds for one destination; strings are borrowed from the conf. */
struct conf_dest {
	enum tls_level level; /* in force */
	time_t until;         /* of opportunistic, else 0 */
	const char *because;  /* of opportunistic, else NULL */
	const char *via;      /* fixed next hop, else NULL */
	uint16_t via_port;
	bool via_implicit_tls;
	const char *auth;     /* file with user:password, else NULL */
	unsigned connections; /* at once */
	unsigned rate;        /* messages in rate_s seconds; 0: no bound */
	unsigned rate_s;
};

/*
 * What holds for a recipient domain (lower-case A-labels)?
 *
 * Each setting is taken from the most specific block that has it: the block
 * of the very name, the longest .suffix, *, then the global directives. via
 * and auth are one setting: credentials never go to another block's host.
 */
void conf_destination(const struct conf *, const char *domain, time_t now,
    struct conf_dest *out);

/*
 * The exceptions that end within a week or have ended: call "fn" with a
 * sentence for the log about each.
 */
void conf_warnings(const struct conf *, time_t now,
    void (*fn)(void *arg, const char *sentence), void *arg);

/* A row of the directive table, for tests and man-page checks. */
struct conf_directive {
	const char *words;     /* "queue expire" */
	const char *arguments; /* "DURATION" */
	const char *preset;    /* the default's arguments; NULL: none */
	bool in_destination;   /* stands inside a destination block */
};

/* The i-th directive, false behind the last. */
bool conf_directive(size_t i, struct conf_directive *out);

#endif
