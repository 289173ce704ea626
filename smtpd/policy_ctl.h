/*
 * Control requests about policies: the answers, as JSON lines.
 */

#ifndef SMTPD_POLICY_CTL_H
#define SMTPD_POLICY_CTL_H

#include "smtpd/msg.h"
#include "smtpd/sts.h"

/*
 * Answer a request on the client's socket "fd" (taken); the socket is closed
 * when all is written, or after a while in any case.
 */
void policy_ctl(struct ev *, struct sts *, const struct msg_ctl_policy *,
    int fd);

#endif
