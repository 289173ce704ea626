/*
 * The policy process: the wire face of routes, policies and DNS. It holds
 * c-ares, libcurl and the cache, and answers deliver, queue and sealpost(8).
 */

#ifndef SMTPD_ROLE_POLICY_H
#define SMTPD_ROLE_POLICY_H

#include "smtpd/roles.h"

extern const struct role_ops role_policy_ops;

#endif
