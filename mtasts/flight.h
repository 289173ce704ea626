/*
 * What is under way for each domain in discovery, and what failed there
 * lately: the memory of discover.c, of use to no one else.
 */

#ifndef MTASTS_FLIGHT_H
#define MTASTS_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/tree.h>
#include <time.h>

#include "mtasts/match.h"
#include "mtasts/reason.h"
#include "mtasts/record.h"

#define FLIGHT_MAX 20000 /* domains with something to remember */
#define FLIGHT_DETAIL_SIZE 256
#define FLIGHT_BARS 4 /* name servers out of step announce several ids */

enum flight_state { FLIGHT_IDLE, FLIGHT_TXT, FLIGHT_FETCH };

#define TODO_TXT 1U
#define TODO_FETCH 2U
#define TODO_ANSWER 4U

/* An id whose fetch failed: not again for a while. */
struct flight_bar {
	char id[STS_ID_SIZE];
	time_t at; /* 0: none */
};

struct flight {
	char domain[HOST_SIZE];
	enum flight_state state;
	unsigned todo;  /* TODO_*: actions not yet taken */
	unsigned notes; /* bit per discover_note, not yet taken */
	bool is_awaited;
	bool is_patient;      /* who asked wants to know the end of it */
	bool is_fresh;        /* pass over cached DNS */
	bool is_forced;       /* fetch whatever TXT says */
	bool is_urgent;       /* five minutes or not */
	bool was_damaged;     /* our copy was; the next answer says so */
	bool was_fetched;     /* in this flight */
	char id[STS_ID_SIZE]; /* that the fetch under way is for */
	enum reason trouble;  /* of this flight */
	char detail[FLIGHT_DETAIL_SIZE];
	struct flight_bar bars[FLIGHT_BARS]; /* the latest first */
	time_t fail_at; /* of the last fetch that failed; 0: none, or past */
	enum reason fail;
	char fail_detail[FLIGHT_DETAIL_SIZE];
	time_t prompted; /* last fetch that a failed message prompted */
	bool is_listed;  /* the table's own from here on */
	RB_ENTRY(flight) by_name;
	TAILQ_ENTRY(flight) by_use;
	TAILQ_ENTRY(flight) entry;
};
RB_HEAD(flight_tree, flight);
TAILQ_HEAD(flight_list, flight);

struct flights {
	size_t count;
	struct flight_tree tree;
	struct flight_list use;  /* unused for longest first */
	struct flight_list busy; /* with something to do, in order */
};

void flights_init(struct flights *);
void flights_clear(struct flights *);

/* NULL if nothing is remembered of the domain. */
struct flight *flight_find(struct flights *, const char *domain);
/* Made, idle, if need be; an old idle one may go for it. NULL: no memory. */
struct flight *flight_put(struct flights *, const char *domain);

/* The fetch for the flight's id has failed. */
void flight_bar(struct flight *, time_t now);
/* When it last failed; 0: not that one knows of. */
time_t flight_barred(const struct flight *);

/* Add to what is to be done (TODO_*), or to be noted (a discover_note). */
void flight_todo(struct flights *, struct flight *, unsigned what);
void flight_note(struct flights *, struct flight *, unsigned what);
/* The first with something to do or to note; NULL if there is none. */
struct flight *flight_busy(struct flights *);
/* Everything of it was taken: it is busy no more. */
void flight_rest(struct flights *, struct flight *);

#endif
