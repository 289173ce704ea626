/*
 * The daemon towards its surroundings: background, one at a time, systemd,
 * syslog.
 */

#ifndef SMTPD_SERVICE_H
#define SMTPD_SERVICE_H

#include <stdbool.h>

#define SERVICE_WHY_SIZE 256

/* Does systemd wait for news of us (sd_notify(3))? */
bool service_is_watched(void);

/* Tell systemd, e.g. "READY=1"; nothing without it. */
void service_notify(const char *state);
/* RELOADING=1 with the time that it wants beside. */
void service_notify_reload(void);

/*
 * Go on in the background. The caller's process waits, and exits 0 once
 * service_detach() is called, or 1 if the new one ends before.
 *
 * returns  in the new process: a descriptor for service_detach(); -1: failed
 */
int service_background(void);
/* Ready: let the waiting process go, standard streams go to /dev/null. */
void service_detach(int fd);

/*
 * One daemon at a time: lock the run folder's pid file and write our pid
 * there, and lock the spool folder "spool" (borrowed, kept open).
 *
 * returns  a descriptor to keep open, or -1 with "why"
 */
int service_lock(int spool, char why[SERVICE_WHY_SIZE]);

/*
 * A socket for the system's log; *connected tells whether its reader is
 * there. Returns a descriptor, or -1 with errno.
 */
int service_syslog(bool *connected);

#endif
