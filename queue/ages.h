/*
 * How old what is queued is, by destination, in classes like those of
 * Postfix's qshape(1). Nobody looks at a million messages when asked: each
 * class has a hand, an id that all older messages lie behind, and what a hand
 * passes moves to the next class.
 */

#ifndef QUEUE_AGES_H
#define QUEUE_AGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Up to 5 and 30 minutes, 2 and 8 hours, a day; older. */
#define AGES 6

struct index;

/* Where the hands stand at "now"; all is counted anew. Again, for a clock
 * that was set back. */
void ages_init(struct index *, int64_t now_ms);
/* The class of a message by its id, 0 for the youngest. */
int ages_class(const struct index *, uint64_t id);
/*
 * Move the hands on.
 *
 * budget   messages to pass at most
 * returns  whether they show "now"
 */
bool ages_advance(struct index *, int64_t now_ms, size_t budget);

#endif
