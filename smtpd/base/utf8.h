/*
 * UTF-8, strictly as RFC 3629 4 has it: shortest forms, no surrogates, nothing
 * beyond U+10FFFF. Pure.
 */

#ifndef SMTPD_BASE_UTF8_H
#define SMTPD_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The character at the start of s[0..len), of at least one byte.
 *
 * c        set to its code point, unless 0 is returned
 * returns  its length in bytes; 0 if it is no UTF-8 or is cut short
 */
size_t utf8_char(const char *s, size_t len, uint32_t *c);

/* Is all of s[0..len) UTF-8? */
bool utf8_is_valid(const char *s, size_t len);

#endif
