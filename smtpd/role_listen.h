/*
 * The listener: accepts connections, and hears parent and queue. Its guests
 * (guest.h) do the rest.
 */

#ifndef SMTPD_ROLE_LISTEN_H
#define SMTPD_ROLE_LISTEN_H

#include "smtpd/roles.h"

extern const struct role_ops role_listen_ops;

#endif
