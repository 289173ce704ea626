/*
 * Values as they are written in a configuration: numbers with units, dates.
 *
 * All return 0, or -1 with *why, a constant sentence.
 */

#ifndef SMTPD_CONF_VALUE_H
#define SMTPD_CONF_VALUE_H

#include <stdint.h>
#include <time.h>

/* Digits alone, from "min" to "max". */
int conf_number(const char *s, unsigned min, unsigned max, unsigned *out,
    const char **why);

/* 30s 5m 4h 5d: seconds, 1 to CONF_PERIOD_MAX. */
int conf_duration(const char *s, unsigned *seconds, const char **why);

/* 65536 64K 25M 1G: bytes, from 1. */
int conf_size(const char *s, uint64_t *bytes, const char **why);

/* 2027-01-31: the first moment after that day, UTC. */
int conf_date_end(const char *s, time_t *end, const char **why);

/* A port, 1 to 65535. */
int conf_port(const char *s, uint16_t *port, const char **why);

#endif
