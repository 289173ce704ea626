/*
 * The lines of the proof store: written and read. Fields stand between single
 * blanks; blanks, control characters and % in one are written %XX, an empty
 * one as a minus.
 *
 *	S level auth route policy policy_id policy_sha256 policy_fetched tls
 *	  cipher group cert_sha256 mx addr
 *	D seal id accepted_ms delivered_ms recipient message_id reply
 *
 * "seal" is the offset of an S line in the same segment.
 */

#ifndef QUEUE_PROOF_LINE_H
#define QUEUE_PROOF_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "queue/proof.h"

#define PROOF_LINE_MAX 4096 /* bytes with newline and NUL */
#define PROOF_FIELD_MAX 512 /* bytes of a field as it was, with the NUL */
#define PROOF_FIELDS 13

/* The strings of a line that was read. */
struct proof_text {
	char field[PROOF_FIELDS][PROOF_FIELD_MAX];
	size_t count;
};

/*
 * Write a line, newline and NUL included; fields too long are cut. Return its
 * length without the NUL.
 */
size_t proof_line_seal(const struct proof_seal *, char line[PROOF_LINE_MAX]);
size_t proof_line_delivery(const struct proof *, uint64_t seal,
    char line[PROOF_LINE_MAX]);

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
