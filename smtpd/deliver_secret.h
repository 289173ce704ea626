/*
 * Credentials of `destination PATTERN { auth FILE }` in a delivery process.
 */

#ifndef SMTPD_DELIVER_SECRET_H
#define SMTPD_DELIVER_SECRET_H

#include "smtpd/client.h"
#include "smtpd/conf.h"
#include "smtpd/msg.h"

struct deliver_secrets;

/* Never NULL. */
struct deliver_secrets *deliver_secrets_new(void);
/*
 * Take what the parent sends: user:password in "fd", which is closed. The
 * first of a new generation drops those of the former one.
 */
void deliver_secrets_take(struct deliver_secrets *, const struct msg_secret *,
    int fd);
/*
 * What to log in with where conf_destination() gave "file" as auth. NULL: the
 * parent sent none. Borrowed until the next take.
 */
const struct client_auth *deliver_secrets_find(const struct deliver_secrets *,
    const struct conf *, const char *file);

#endif
