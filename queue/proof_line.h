/*
 * The lines of the proof store: written and read. Fields stand between single
 * blanks; blanks, control characters and % in one are written %XX, an empty
 * one as a minus. The last field of a delivery keeps its blanks.
 *
 *	S level auth route policy policy_id policy_sha256 policy_fetched tlsa
 *	  tls cipher group cert_sha256 mx addr
 *	D seal id accepted delivered recipient message_id reply
 *
 * "seal" is the offset of an S line in the same segment; "accepted" counts
 * milliseconds from the time in the id, "delivered" from then.
 */

#ifndef QUEUE_PROOF_LINE_H
#define QUEUE_PROOF_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "queue/proof.h"

#define PROOF_LINE_MAX 4096 /* bytes with newline and NUL */
#define PROOF_FIELDS 14     /* of the longer kind */

/* The strings of a line that was read. */
struct proof_text {
	char bytes[PROOF_LINE_MAX];
	const char *field[PROOF_FIELDS]; /* in "bytes" */
};

/*
 * Write a line, newline and NUL included; fields too long are cut. Return its
 * length without the NUL.
 */
size_t proof_line_seal(const struct proof_seal *, char line[PROOF_LINE_MAX]);
size_t proof_line_delivery(const struct proof *, uint64_t seal,
    char line[PROOF_LINE_MAX]);
/* The first "len" bytes of "value" as a field holds them, with a NUL. */
void proof_line_field(const char *value, size_t len,
    char field[PROOF_LINE_MAX]);

/* For a table of lines; collisions only cost a second copy. */
uint32_t proof_line_hash(const char *line, size_t len);

/*
 * Read a line without its newline. The result's strings point into "text".
 * -1: it is not a line of that kind, or damaged.
 */
int proof_parse_seal(const char *line, struct proof_text *text,
    struct proof_seal *);
int proof_parse_delivery(const char *line, struct proof_text *text,
    struct proof *, uint64_t *seal);

#endif
