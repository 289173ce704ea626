/*
 * A route as it comes from the policy process, put together message by
 * message and checked: what makes no sense becomes a deferral.
 */

#ifndef SMTPD_DELIVER_ROUTE_H
#define SMTPD_DELIVER_ROUTE_H

#include "smtpd/lane.h"
#include "smtpd/msg.h"

/* Begin; never NULL. */
struct lane_route *deliver_route_new(const struct msg_route *);
/* The next host; NULL route is allowed (an answer nobody waits for). */
void deliver_route_host(struct lane_route *, const struct msg_route_host *);
/* A TLSA record of a host that came before. */
void deliver_route_tlsa(struct lane_route *, const struct msg_route_tlsa *);
/* It is complete: check that all came. */
void deliver_route_end(struct lane_route *);

#endif
