/*
 * The envelope: who sends what to whom, as it was accepted. It never changes
 * afterwards; what became of each recipient is kept beside it (spool.h).
 *
 * On disk it is a text of a version line and lines `KEY value`, see
 * envelope.c. Strings hold no control characters: envelope_add() and
 * envelope_decode() refuse them.
 */

#ifndef QUEUE_ENVELOPE_H
#define QUEUE_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENVELOPE_8BITMIME 1U /* BODY=8BITMIME was given (RFC 6152) */
#define ENVELOPE_SMTPUTF8 2U /* RFC 6531 */
#define ENVELOPE_RET_FULL 4U /* RFC 3461 4.3 */
#define ENVELOPE_RET_HDRS 8U /* neither: not given */
#define ENVELOPE_8BIT 16U    /* the content has octets above 127 */
#define ENVELOPE_FLAGS_ALL 31U

/* RFC 3461 4.1; 0: not given, which means FAILURE and DELAY. */
#define NOTIFY_NEVER 1U
#define NOTIFY_SUCCESS 2U
#define NOTIFY_FAILURE 4U
#define NOTIFY_DELAY 8U
#define NOTIFY_ALL 15U

#define ENVELOPE_RCPTS_MAX 65535U
#define ENVELOPE_TEXT_MAX 65536U /* bytes, one string: a bound, no promise */

struct recipient {
	const char *address; /* as to be written in RCPT TO, no brackets */
	const char *orcpt;   /* `type;address` in xtext, or "" */
	uint32_t notify;     /* NOTIFY_* */
};

struct envelope_chunk;

struct envelope {
	uint64_t id;
	uint64_t arrived_us;    /* since 1970 */
	uint64_t size;          /* of the content, bytes */
	int64_t uid;            /* of the local submitter; -1: not local */
	uint32_t flags;         /* ENVELOPE_* */
	const char *sender;     /* no brackets; "" is the null sender */
	const char *envid;      /* in xtext, or "" */
	const char *client;     /* who handed it in, for people; "" allowed */
	const char *message_id; /* with its brackets, or "" */
	struct recipient *rcpts;
	size_t rcpt_count;

	size_t rcpt_room;              /* private */
	struct envelope_chunk *chunks; /* private: copied strings */
};

/* Empty: strings "", no recipients. Allocates nothing. */
void envelope_init(struct envelope *);
/* Free what envelope_text(), envelope_add() and envelope_decode() made. */
void envelope_clear(struct envelope *);

/*
 * A copy of "text" that lives as long as the envelope: for the string fields.
 * Returns NULL on no memory.
 */
const char *envelope_text(struct envelope *, const char *text);

/*
 * Add a recipient; strings are copied. Returns 0, or -1 with errno: ENOMEM,
 * E2BIG (too many), EINVAL (a control character or no address).
 */
int envelope_add(struct envelope *, const struct recipient *);

/*
 * Write the envelope as text.
 *
 * text     set to memory to free(3)
 * returns  0, or -1 with errno (ENOMEM, EINVAL)
 */
int envelope_encode(const struct envelope *, char **text, size_t *len);

/*
 * Read the text back. Strings are copied. On failure the envelope is empty.
 *
 * returns  0, or -1 and *why says what is wrong
 */
int envelope_decode(struct envelope *, const char *text, size_t len,
    const char **why);

/*
 * The domain of an address, its destination: behind the last @ outside of
 * quotes, "" if there is none. Borrowed from "address". Not lowered.
 */
const char *envelope_domain(const char *address);

#endif
