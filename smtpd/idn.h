/*
 * Internationalised domain labels: from U-label to A-label.
 *
 * libidn2 is not among our libraries. What is here is the encoding (RFC 3492)
 * with the lower-casing of Latin, Greek, Cyrillic and Armenian letters, and a
 * refusal of what would need tables to judge: combining marks (the text may
 * not be in NFC), full-width forms, symbols, control and private characters.
 * A refused domain can always be written as A-labels by the user.
 */

#ifndef SMTPD_IDN_H
#define SMTPD_IDN_H

#include <stddef.h>

#define IDN_LABEL_MAX 63 /* octets, RFC 1035 2.3.4 */

/*
 * Turn one label, valid UTF-8 with something beyond ASCII in it, into
 * "xn--...".
 *
 * returns  0, or -1 with *why
 */
int idn_label(char out[IDN_LABEL_MAX + 1], const char *s, size_t len,
    const char **why);

#endif
