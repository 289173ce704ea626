/*
 * A helper thread that makes files durable, so that the loop never waits for
 * a disk. One group at a time.
 */

#ifndef SMTPD_SYNCER_H
#define SMTPD_SYNCER_H

#include <stddef.h>

#include "smtpd/base/ev.h"

struct syncer;

/*
 * Start the thread; "done" is called in the loop for each group, with 0 or
 * the errno of the first sync that failed. Dies on no memory or no thread.
 */
struct syncer *syncer_new(struct ev *, void (*done)(void *arg, int error),
    void *arg);
/* Wait for the group under way, if any, and end the thread; "done" is not
 * called any more. Returns that group's error, 0 if there was none. */
int syncer_free(struct syncer *);

/*
 * Make the files durable, in this order: contents by fdatasync(2), folders by
 * fsync(2), for whose entries fdatasync does not speak. Not while a group is
 * under way.
 *
 * fds     borrowed, the descriptors too, until "done"
 */
void syncer_start(struct syncer *, const int *fds, size_t count);

#endif
