/*
 * What is queued, as members of JSON objects; the keys are a promise to those
 * who script sealpost(8).
 */

#ifndef SMTPD_QUEUE_DESCRIBE_H
#define SMTPD_QUEUE_DESCRIBE_H

#include <stddef.h>
#include <stdint.h>

#include "mtasts/json.h"
#include "queue/spool.h"

/* A recipient, as `queue` lists it. */
void describe_entry(struct json *, const struct spool_entry *, int64_t now_ms);
/* A destination, as `queue --count` and `top` do. */
void describe_dest(struct json *, const struct spool_dest *, int64_t now_ms);
/* How old what is queued for it is, as `queue --count` tells. */
void describe_ages(struct json *, const struct spool_dest *);

/* A message, its recipients aside, for `show`. */
void describe_message(struct json *, const struct envelope *, int64_t now_ms);
/* A recipient of it, without its history. */
void describe_rcpt(struct json *, const struct spool_entry *);
/* An attempt, as an object in a list. */
void describe_attempt(struct json *, const struct spool_attempt *);

/*
 * The header of the message in "body" (borrowed), with its blank line, cut at
 * 64 KiB. Returns memory to free(3) and its length, or NULL.
 */
char *describe_header(int body, size_t *len);

#endif
