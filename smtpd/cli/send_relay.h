/*
 * `sendmail -bs`: SMTP on a pair of descriptors, spoken by the daemon.
 */

#ifndef SMTPD_CLI_SEND_RELAY_H
#define SMTPD_CLI_SEND_RELAY_H

/*
 * Carry bytes between "in", "out" and the daemon's socket "fd" until the
 * daemon ends the session. A line that ends in LF alone gets its CR; once a
 * BDAT command was seen, whose counts depend on every byte, no more.
 *
 * Returns 0, or -1 with errno.
 */
int send_relay(int in, int out, int fd);

#endif
