/*
 * Discovery: which policy is in force for a domain, and what must be asked
 * of DNS and HTTPS to know (RFC 8461 3.1, 3.3, 5.1, 10.2).
 *
 * A state machine without input or output. The caller reports events
 * (a question, a TXT answer, a fetch's end, time passing), then takes actions
 * with discover_next() until there are none, and carries them out. One
 * look-up and one fetch are under way for a domain at any time, however many
 * ask. "now" is wall-clock time throughout.
 */

#ifndef MTASTS_DISCOVER_H
#define MTASTS_DISCOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "mtasts/cache.h"
#include "mtasts/reason.h"
#include "mtasts/verdict.h"

#define DISCOVER_RETRY_S 300 /* after a failed fetch, RFC 8461 3.3 */

struct discover;

/* Why the question is asked. */
enum discover_why {
	ASK_DELIVERY, /* a message is to be delivered */
	ASK_FAILED, /* one under enforce failed, or is about to bounce (5.1) */
	ASK_REFRESH /* the administrator wants it fetched, now */
};

enum discover_txt {
	TXT_FOUND,  /* exactly one valid record */
	TXT_NONE,   /* none announced */
	TXT_TROUBLE /* DNS failed: nothing is known */
};

enum discover_source { SOURCE_NONE, SOURCE_CACHE, SOURCE_FETCHED };

/* What is in force. Pointers are valid until the next call. */
struct discover_answer {
	enum policy_mode mode;
	enum discover_source source;
	const struct sts_policy *policy;  /* NULL: absent or unknown */
	const char *id;                   /* never NULL */
	time_t fetched, expires, refresh; /* 0 without a policy */
	enum reason trouble; /* why there is none, or the copy is not
				renewed; REASON_NONE: all is well */
	const char *detail;  /* of that trouble; "" */
};

enum discover_kind {
	DISCOVER_TXT,    /* ask for TXT at _mta-sts.DOMAIN: discover_txt() */
	DISCOVER_FETCH,  /* fetch the policy: discover_fetched() or _failed() */
	DISCOVER_ANSWER, /* tell everyone who asked for the domain */
	DISCOVER_NOTE    /* something for the log */
};

enum discover_note {
	NOTE_NEW,       /* a policy where there was none */
	NOTE_CHANGED,   /* another policy replaces the one held */
	NOTE_REFRESHED, /* fetched again, unchanged */
	NOTE_REFUSED,   /* a fetch failed: answer.trouble, answer.detail */
	NOTE_EXPIRED,   /* the policy held has run out */
	NOTE_DAMAGED,   /* our copy was damaged; deferred once */
	NOTE_CLOCK,     /* the clock stands before the time of the fetch */
	NOTE_COUNT
};

struct discover_action {
	enum discover_kind kind;
	char domain[HOST_SIZE];
	bool fresh; /* TXT: pass over cached DNS answers */
	enum discover_note note;
	struct discover_answer answer; /* for ANSWER and NOTE */
};

/*
 * cache   borrowed until discover_free(); changed ("stored") here, flushed
 *         by the caller
 * seed    of the jitter of refreshes
 * returns NULL on no memory
 */
struct discover *discover_new(struct cache *cache, uint32_t seed);
void discover_free(struct discover *);

/*
 * Which policy is in force for "domain" (normalized)? DISCOVER_ANSWER tells,
 * after as many look-ups as it takes. 0, or -1 on no memory.
 */
int discover_ask(struct discover *, const char *domain, enum discover_why,
    time_t now);

/* The TXT look-up has ended. text: the id, for TXT_FOUND; what is wrong, for
 * TXT_TROUBLE. */
void discover_txt(struct discover *, const char *domain, enum discover_txt,
    const char *text, time_t now);

/*
 * TXT or the fetch takes long: who waits is answered with the policy held, if
 * one lives, and the look-up goes on. One asked for after a failure (5.1) or
 * by the administrator is waited for.
 */
void discover_slow(struct discover *, const char *domain, time_t now);

/* The fetch has ended, with a body; it is yet to be judged. */
void discover_fetched(struct discover *, const char *domain,
    const struct sts_body *, time_t now);
/* The fetch has failed. */
void discover_failed(struct discover *, const char *domain, enum reason,
    const char *detail, time_t now);

/*
 * Time has passed: begins refreshes that are due and notes expiries.
 * Returns when it wants to be called next.
 */
time_t discover_tick(struct discover *, time_t now);

/* Take the next action; false if there is none. */
bool discover_next(struct discover *, struct discover_action *, time_t now);

/* What is known without asking anyone. */
void discover_peek(struct discover *, const char *domain,
    struct discover_answer *, time_t now);

/* Forget the policy of "domain". False if there was none. */
bool discover_forget(struct discover *, const char *domain);

/* Words: "none" "cache" "fetched"; "new" "changed"... Constants. */
const char *source_word(enum discover_source);
const char *note_word(enum discover_note);

#endif
