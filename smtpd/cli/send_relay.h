/*
 * `sendmail -bs`: SMTP on a pair of descriptors, spoken by the daemon.
 */

#ifndef SMTPD_CLI_SEND_RELAY_H
#define SMTPD_CLI_SEND_RELAY_H

/*
 * Carry bytes between "in", "out" and the daemon's socket "fd" until the
 * daemon ends the session. Where the first line ends in LF alone, so may all,
 * and get their CR; until a BDAT command, whose counts depend on every byte.
 * Where it ends in CRLF, a bare LF later on is no line end but smuggling
 * (RFC 5321 2.3.8): it is left to the daemon, who refuses it.
 *
 * Returns 0, or -1 with errno.
 */
int send_relay(int in, int out, int fd);

#endif
