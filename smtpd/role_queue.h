/*
 * The queue process: the wire face of queue/. It takes messages from the
 * listener, makes them durable, hands jobs to the deliver processes, writes
 * down what came of them, and answers sealpost(8).
 */

#ifndef SMTPD_ROLE_QUEUE_H
#define SMTPD_ROLE_QUEUE_H

#include "smtpd/roles.h"

extern const struct role_ops role_queue_ops;

#endif
