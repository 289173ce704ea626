/*
 * The folders of the daemon: made where missing, refused where unsafe.
 */

#ifndef SMTPD_FOLDERS_H
#define SMTPD_FOLDERS_H

#include <stddef.h>

#define FOLDERS_RUN RUNDIR "/sealpost"
#define FOLDERS_SPOOL LOCALSTATEDIR "/spool/sealpost"
#define FOLDERS_WHY_SIZE 512

/*
 * Make what is missing of the run folder, the empty folder in it, and the
 * spool "spool" with its folders; check owner and mode of each and of those
 * above it. A symbolic link in place of one of ours is unsafe.
 *
 * returns  a descriptor of the spool folder, or -1 with "why" naming the path
 */
int folders_make(const char *spool, char why[FOLDERS_WHY_SIZE]);

/*
 * The same for "base" and its folder "offline", where sendmail leaves mail
 * while the daemon is down. sendmail reads no configuration: "base" is
 * FOLDERS_SPOOL, wherever the spool itself may be.
 *
 * returns  a descriptor of the offline folder, or -1 with "why"
 */
int folders_offline(const char *base, char why[FOLDERS_WHY_SIZE]);

#endif
