/*
 * How a process answers a request of sealpost(8) on the client's socket: JSON
 * objects, one a line; "." after the last of a complete answer, or an object
 * with the one member "error".
 */

#ifndef SMTPD_CTL_ANSWER_H
#define SMTPD_CTL_ANSWER_H

#include <stdbool.h>

#include "mtasts/json.h"
#include "smtpd/base/io.h"

/* One object, which ends here. Dies if there was no memory for it. */
void ctl_say(struct io *, const struct json *);
/* Nothing is missing. */
void ctl_complete(struct io *);
/* Plain words for people, or CTL_BUSY. */
void ctl_fail(struct io *, const char *error);

/*
 * What an event of the client's socket means for an answer: has the client
 * left, or does it not read? Input is dropped: after its request a client has
 * nothing more to say.
 */
bool ctl_client_is_gone(struct io *, enum io_event);

#endif
