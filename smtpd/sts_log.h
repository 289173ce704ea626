/*
 * What discovery has to say, as lines of the log: event=policy-new,
 * policy-changed, policy-refused...
 */

#ifndef SMTPD_STS_LOG_H
#define SMTPD_STS_LOG_H

#include "mtasts/discover.h"

/* Log a DISCOVER_NOTE. */
void sts_log(const struct discover_action *);

#endif
