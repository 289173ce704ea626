/*
 * A delivery process: the wire face of lanes. It takes jobs from the queue,
 * asks the policy process how their destinations are reached, and tells the
 * queue what became of each recipient.
 */

#ifndef SMTPD_ROLE_DELIVER_H
#define SMTPD_ROLE_DELIVER_H

#include "smtpd/roles.h"

extern const struct role_ops role_deliver_ops;

#endif
