/*
 * Processes: channels, sealed texts, re-execution, restart back-off.
 */

#ifndef SMTPD_BASE_PROC_H
#define SMTPD_BASE_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_PARENT_FD 3 /* in a child: the channel to the parent */
#define PROC_LOG_FD 4    /* in a child: the syslog socket, if any */

/* A pair of SOCK_SEQPACKET ends, non-blocking. Returns 0, or -1 with errno. */
int proc_channel(int ends[2]);

/*
 * Text as a sealed memfd: nobody can change it any more, its offset is 0.
 *
 * name     shown in /proc; borrowed
 * returns  a descriptor, or -1 with errno
 */
int proc_seal(const char *name, const void *text, size_t len);

/*
 * The text behind "fd" (borrowed), which must be sealed and of at most "max"
 * bytes: read from its start whatever its offset, with a NUL behind.
 *
 * returns  memory to free(3), or NULL with errno
 */
char *proc_sealed_text(int fd, size_t max, size_t *len);

/*
 * Start this very program anew, in a process of its own.
 *
 * argv     NULL-terminated; borrowed
 * channel  becomes PROC_PARENT_FD there; borrowed
 * log      becomes PROC_LOG_FD there, -1: none; borrowed
 * returns  its pid, or -1 with errno
 *
 * Standard input and output are /dev/null there, standard error is ours, the
 * environment is empty but for settings of sanitizers, all signals have
 * their default action and are unblocked.
 */
pid_t proc_spawn(char *const argv[], int channel, int log);

/*
 * Lock the folder "path" for this process alone; one that is about to end may
 * still hold it, so wait up to "wait_ms". Keep the descriptor open.
 * Returns it, or -1 with errno (EWOULDBLOCK: still held).
 */
int proc_hold_folder(const char *path, unsigned wait_ms);

/* Milliseconds to wait before the n-th restart in a row (from 1): 100,
 * doubling up to 5,000. */
int64_t proc_backoff_ms(unsigned restarts);

/* Does valgrind run this process? It shares what the process may do. */
bool proc_on_valgrind(void);

/* "exit 1", "signal 9 (Killed)"... of a waitpid(2) status. Returns "buf". */
const char *proc_status_text(int status, char *buf, size_t size);

/* Processors that this process may use; at least 1. */
unsigned proc_processors(void);

#endif
