/*
 * The start: which segments there are, and every record of them in order.
 */

#ifndef QUEUE_RECOVER_H
#define QUEUE_RECOVER_H

#include <stdint.h>

#include "queue/journal.h"

struct recover_hooks {
	void *arg;
	/* A record, as in journal_replay(). */
	void (*each)(void *arg, const struct seg_entry *, const void *brief,
	    uint64_t pos);
	/* What an administrator must know. */
	void (*trouble)(void *arg, const char *text);
};

/*
 * Find the segments in the journal's folder, adopt them, and call "each" for
 * their records, oldest first. A segment that was not sealed is cut behind
 * its last good record and sealed. A record with a bad checksum between good
 * ones costs itself only: it is told, and its bytes are kept in damaged/.
 *
 * returns  0, or -1 with errno if the folder cannot be read
 */
int recover_journal(struct journal *, const struct recover_hooks *);

#endif
