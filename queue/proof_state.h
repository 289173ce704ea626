/*
 * Inside the proof store: shared by proof.c (adding) and proof_search.c
 * (looking up). Nobody else includes this.
 */

#ifndef QUEUE_PROOF_STATE_H
#define QUEUE_PROOF_STATE_H

#include "queue/proof.h"

#define PROOF_SEALS 4096   /* remembered */
#define PROOF_WAYS 4       /* of them with the same place in the table */
#define PROOF_NAME_SIZE 24 /* of a segment: 13 digits and ".log" */
#define PROOF_DAY_MS (24LL * 3600 * 1000)

struct proof_segment {
	int64_t began_ms; /* its name */
	uint64_t size;
};

/* A seal line that stands in a segment. */
struct proof_known {
	uint64_t offset;
	uint32_t hash;
	uint32_t segment; /* 0: nothing is here */
	char text[496];   /* longer ones are not remembered */
};

struct proof_store {
	int dirfd;
	int fd; /* of the last segment; -1: the next line begins a new one */
	int64_t keep_ms;
	uint64_t max_bytes;
	struct proof_segment *segments; /* oldest first */
	size_t count;
	size_t room;
	char *buffer;
	size_t buffered;
	uint32_t segment;          /* counts those begun here, from 1 */
	struct proof_known *seals; /* PROOF_SEALS of them */
	unsigned victim;           /* of its place, the next to be forgotten */
};

void proof_name(int64_t began_ms, char name[PROOF_NAME_SIZE]);

#endif
