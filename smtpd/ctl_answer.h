/*
 * How a process answers a request of sealpost(8) on the client's socket: JSON
 * objects, one a line; "." after the last of a complete answer, or an object
 * with the one member "error".
 */

#ifndef SMTPD_CTL_ANSWER_H
#define SMTPD_CTL_ANSWER_H

#include "mtasts/json.h"
#include "smtpd/base/io.h"

/* One object, which ends here. Dies if there was no memory for it. */
void ctl_say(struct io *, const struct json *);
/* Nothing is missing. */
void ctl_complete(struct io *);
/* Plain words for people, or CTL_BUSY. */
void ctl_fail(struct io *, const char *error);

#endif
