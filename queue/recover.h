/*
 * The start: which segments there are, and every record of them in order.
 */

#ifndef QUEUE_RECOVER_H
#define QUEUE_RECOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/journal.h"

struct recover_hooks {
	void *arg;
	/* A record, as in journal_replay(). */
	void (*each)(void *arg, const struct seg_entry *, const void *brief,
	    uint64_t pos);
	/* May this record be believed although bytes written before it are
	 * lost? If not, it is left out, now and at every later start. */
	bool (
	    *trust)(void *arg, uint32_t type, const void *brief, uint32_t len);
	/* What an administrator must know. */
	void (*trouble)(void *arg, const char *text);
};

/*
 * Find the segments in the journal's folder, adopt them, and call "each" for
 * their records, oldest first. A segment that was not sealed is cut behind
 * its last good record and sealed. A record with a bad checksum between good
 * ones costs itself only: it is told, and its bytes are kept in damaged/. What
 * cannot be read is left alone until the next start.
 *
 * returns  0, or -1 with errno if the folder cannot be read
 */
int recover_journal(struct journal *, const struct recover_hooks *);

#endif
