/*
 * TLSA records of a mail host: what they demand of its TLS.
 *
 * RFC 6698 2.1, RFC 7671 4, RFC 7672 3.1. Pure.
 */

#ifndef SMTPD_DANE_H
#define SMTPD_DANE_H

#include <stddef.h>

#include "mtasts/verdict.h"
#include "smtpd/base/tls.h"
#include "smtpd/dns_packet.h"

#define DANE_RECORDS_MAX 16
#define DANE_DATA_MAX 3072 /* bytes: a whole certificate, where it is meant */

/*
 * Judge the answer to a TLSA query that was asked because the host's
 * addresses are authenticated.
 *
 * out      receives the usable records; their data lies within the answer
 * returns  DANE_FAILED where the look-up failed, or was answered by a resolver
 *          that is not believed: the host is to be skipped (RFC 7672 2.1.2);
 *          DANE_NONE without authenticated records; DANE_UNUSABLE where none
 *          of them is of a kind we can use; else DANE_USABLE
 */
enum dane_state dane_judge(const struct dns_answer *,
    struct tls_tlsa out[DANE_RECORDS_MAX], size_t *count);

#endif
