/*
 * CRC-32C (Castagnoli), as in RFC 3720 appendix B.4.
 */

#ifndef QUEUE_CRC_H
#define QUEUE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Go on from "crc" (0 to begin) over "len" bytes. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);

/* The same without the processor's help: for tests. */
uint32_t crc32c_table(uint32_t crc, const void *bytes, size_t len);

#endif
