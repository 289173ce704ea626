/*
 * The dry run of `sealpost check`: route and sessions as deliveries use them,
 * in a process of its own.
 */

#ifndef SMTPD_CLI_CHECK_H
#define SMTPD_CLI_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "smtpd/conf.h"
#include "smtpd/route.h"
#include "smtpd/session.h"

#define CHECK_DETAIL_SIZE 1024

struct check;

/* One host, and what came of it. */
struct check_host {
	struct route_host host; /* a copy */
	bool go;                /* a message would be delivered to it */
	enum reason reason;     /* why not */
	bool is_verdict;        /* TLS or policy forbids it */
	char detail[CHECK_DETAIL_SIZE];
	struct session_report report; /* of the last address tried */

	/* private */
	struct check *check;
	struct session *session;
	struct ev_timer patience;
	struct session_target target;
	size_t tried; /* addresses */
};

struct check {
	char domain[DNS_NAME_SIZE]; /* asked for */
	time_t now;
	struct conf_dest dest;    /* what the configuration says of it */
	struct route route;       /* a copy; its hosts are those below */
	struct check_host *hosts; /* route.host_count of them */

	/* the sum */
	bool go;
	bool bounce; /* there never will be a host */
	enum reason reason;
	char detail[CHECK_DETAIL_SIZE];

	/* private */
	struct ev *ev;
	struct session_setup setup;
	size_t running;
};

/*
 * Try every host of c->route, all at the same time: connect, TLS, verdict;
 * no mail. Returns when each has its result, c->go and the rest of the sum
 * being set.
 *
 * c->ev must run, c->setup be filled in.
 */
void check_probe(struct check *c);

/* Take a copy of "route" that outlives the call it is borrowed for. */
void check_keep_route(struct check *c, const struct route *route);
void check_clear(struct check *c);

/* "would deliver", "would defer: REASON", "would bounce: REASON". */
void check_verdict(const struct check *c, char *out, size_t size);

void check_write_json(const struct check *c, FILE *out);
void check_write_text(const struct check *c, FILE *out);

#endif
