/*
 * One cached policy as a file: lines of text, the last one a checksum.
 *
 *	sealpost policy 1
 *	domain example.net
 *	id 20160831085700Z
 *	fetched 1795507200
 *	max_age 604800
 *	mode enforce
 *	mx mail.example.net
 *	crc32c 1a2b3c4d
 */

#ifndef MTASTS_CACHE_FILE_H
#define MTASTS_CACHE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "mtasts/cache.h"

#define CACHE_FILE_MAX 131072 /* bytes: a policy of 64 KiB, and to spare */

/* Write the entry at the file's start; not synced. 0, or -1 with errno. */
int cache_file_write(int fd, const struct cache_entry *);

/*
 * Read a file into an entry whose "domain" is set; "fetched", "id" and
 * "policy" are filled in.
 *
 * returns  0, or -1 and *why (a constant) where the file is not whole, not
 *          of that domain, not regular, or cannot be read
 */
int cache_file_read(int fd, struct cache_entry *, const char **why);

/* CRC-32C (Castagnoli), RFC 3720 12.1. */
uint32_t cache_crc(const void *bytes, size_t len);

#endif
