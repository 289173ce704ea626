/*
 * Delivery proofs: what authenticated the host that took each recipient.
 *
 * An append-only store of text lines, in segments named by the time at which
 * they began; the oldest go first when they are too old or the whole grows
 * too large. What many deliveries share (host, certificate, policy, TLS) is
 * written once a segment and named by a hash. Nothing here is synced: a proof
 * follows its delivery to disk within seconds, and a torn last line is cut.
 *
 * Pure: time comes in as "now", wall-clock milliseconds since 1970.
 */

#ifndef QUEUE_PROOF_H
#define QUEUE_PROOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct proof_store;

/* What deliveries over one connection share. Strings may be "". */
struct proof_seal {
	const char *level;     /* demanded: require, strict, opportunistic */
	const char *auth;      /* dane, mta-sts, webpki, none */
	const char *route;     /* secure, insecure */
	const char *policy;    /* mode: enforce, testing, none, absent */
	const char *policy_id; /* of the policy in force */
	const char *policy_sha256; /* of its text, hexadecimal */
	int64_t policy_fetched;    /* seconds since 1970; 0: no policy */
	const char *tlsa;          /* the record that matched: "3 1 1" */
	const char *tls;           /* version */
	const char *cipher;
	const char *group;
	const char *cert_sha256; /* of the host's certificate, hexadecimal */
	const char *mx;
	const char *addr; /* address and port */
};

/* One recipient that a host took over. */
struct proof {
	uint64_t id;
	int64_t accepted_ms;
	int64_t delivered_ms;
	const char *message_id; /* with its brackets, or "" */
	const char *recipient;
	const char *reply; /* the host's final one */
	struct proof_seal seal;
};

/*
 * Open the store in the folder "dirfd" (taken; closed by proof_close).
 *
 * keep_ms    proofs are kept for that long, and gone a thirtieth of it (from
 *            a minute to a day) later
 * max_bytes  of all segments; the oldest go first
 * returns    NULL with errno
 */
struct proof_store *proof_open(int dirfd, int64_t keep_ms, uint64_t max_bytes,
    int64_t now_ms);
void proof_close(struct proof_store *);
/* Another age from now on. */
void proof_keep(struct proof_store *, int64_t keep_ms);
/* Remove all that is kept. */
void proof_erase(struct proof_store *);

/*
 * Add a proof to the buffer. Returns 0, or -1 with errno: it is lost (no
 * memory, or the buffer is full because the disk takes nothing).
 */
int proof_add(struct proof_store *, const struct proof *);
/*
 * Write the buffer out, and drop old segments. Returns 0, or -1 with errno:
 * what is buffered stays and is tried again by the next call.
 */
int proof_flush(struct proof_store *, int64_t now_ms);

/* What is asked for: an id, or a Message-ID (with or without brackets). */
struct proof_query {
	uint64_t id; /* 0: by message_id */
	const char *message_id;
};

/* A look-up under way; NULL on no memory. Segments that begin later are not
 * in it. */
struct proof_search;
struct proof_search *proof_search_new(const struct proof_store *,
    const struct proof_query *);
void proof_search_free(struct proof_search *);

/*
 * Read on, a bounded piece of at most 256 KiB.
 *
 * each     hears every proof found, oldest first; borrowed for the call
 * returns  1: call again; 0: all was read; -1 with errno: a segment could not
 *          be read (it is passed over; call again)
 */
int proof_search_step(struct proof_search *,
    void (*each)(void *arg, const struct proof *), void *arg);

#endif
