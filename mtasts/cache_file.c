#include "mtasts/cache_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "sealpost policy 1\n"
#define CRC_KEY "crc32c "
#define CRC_LINE (sizeof(CRC_KEY) - 1 + 8 + 1) /* with its LF */
#define CRC_POLY 0x82f63b78u                   /* reflected Castagnoli */

uint32_t
cache_crc(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint32_t crc = 0xffffffffu;
	int bit;

	while (len-- > 0) {
		crc ^= *p++;
		for (bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? CRC_POLY : 0);
	}
	return ~crc;
}

static int
write_all(int fd, const char *bytes, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, bytes, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Left out where it is not known. */
static void
write_digest(FILE *f, const uint8_t sha256[POLICY_SHA256_SIZE])
{
	static const uint8_t unknown[POLICY_SHA256_SIZE];
	size_t i;

	if (memcmp(sha256, unknown, sizeof(unknown)) == 0)
		return;
	fputs("sha256 ", f);
	for (i = 0; i < sizeof(unknown); i++)
		fprintf(f, "%02x", sha256[i]);
	fputc('\n', f);
}

static int
read_digest(const char *hex, uint8_t sha256[POLICY_SHA256_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	const char *high, *low;
	size_t i;

	if (strlen(hex) / 2 != POLICY_SHA256_SIZE || strlen(hex) % 2 != 0)
		return -1;
	for (i = 0; i < POLICY_SHA256_SIZE; i++) {
		high = strchr(digits, hex[2 * i]);
		low = strchr(digits, hex[2 * i + 1]);
		if (high == NULL || low == NULL)
			return -1;
		sha256[i] = (uint8_t)((high - digits) << 4 | (low - digits));
	}
	return 0;
}

/* The text without its checksum; NULL on no memory. The caller frees. */
static char *
encode(const struct cache_entry *e, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);
	size_t i;

	if (f == NULL)
		return NULL;
	fprintf(f, MAGIC "domain %s\nid %s\nfetched %" PRId64 "\n", e->domain,
	    e->id, (int64_t)e->fetched);
	write_digest(f, e->policy.sha256);
	fprintf(f, "max_age %" PRIu32 "\nmode %s\n", e->policy.max_age_s,
	    mode_word(e->policy.mode));
	for (i = 0; i < e->policy.mx_count; i++)
		fprintf(f, "mx %s\n", e->policy.mx[i]);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

int
cache_file_write(int fd, const struct cache_entry *e)
{
	char crc[CRC_LINE + 1];
	size_t len = 0;
	char *text = encode(e, &len);
	int result;

	if (text == NULL) {
		errno = ENOMEM;
		return -1;
	}
	snprintf(crc, sizeof(crc), CRC_KEY "%08" PRIx32 "\n",
	    cache_crc(text, len));
	result = write_all(fd, text, len);
	if (result == 0)
		result = write_all(fd, crc, CRC_LINE);
	free(text);
	return result;
}

/* "text" ends in NUL. */
static bool
crc_is_right(const char *text, size_t len)
{
	char crc[CRC_LINE + 1];

	if (len < CRC_LINE)
		return false;
	snprintf(crc, sizeof(crc), CRC_KEY "%08" PRIx32 "\n",
	    cache_crc(text, len - CRC_LINE));
	return memcmp(text + len - CRC_LINE, crc, CRC_LINE) == 0;
}

/*
 * The rest of the line if it is "key value", the cursor then behind it.
 * Cuts the line by writing a NUL.
 */
static char *
take(char **cursor, const char *key)
{
	size_t len = strlen(key);
	char *value, *lf;

	if (strncmp(*cursor, key, len) != 0 || (*cursor)[len] != ' ')
		return NULL;
	value = *cursor + len + 1;
	lf = strchr(value, '\n');
	if (lf == NULL)
		return NULL;
	*lf = '\0';
	*cursor = lf + 1;
	return value;
}

/* Rebuild the policy's own text, so that one parser judges both. */
static int
take_policy(char **cursor, struct sts_policy *policy)
{
	char *age = take(cursor, "max_age"), *mode = take(cursor, "mode"), *mx;
	const char *why;
	char *text = NULL;
	size_t len = 0;
	FILE *f;
	int result;

	if (age == NULL || mode == NULL)
		return -1;
	f = open_memstream(&text, &len);
	if (f == NULL)
		return -1;
	fprintf(f, "version:STSv1\nmode:%s\nmax_age:%s\n", mode, age);
	while ((mx = take(cursor, "mx")) != NULL)
		fprintf(f, "mx:%s\n", mx);
	result = fclose(f) == 0 ? policy_parse(policy, text, len, &why) : -1;
	free(text);
	return result;
}

static int
parse_lines(char *text, struct cache_entry *e)
{
	char *domain, *id, *fetched, *sha256;
	const char *why = NULL;

	if (strncmp(text, MAGIC, sizeof(MAGIC) - 1) != 0)
		return -1;
	text += sizeof(MAGIC) - 1;
	domain = take(&text, "domain");
	id = take(&text, "id");
	fetched = take(&text, "fetched");
	if (domain == NULL || id == NULL || fetched == NULL)
		return -1;
	if (strcmp(domain, e->domain) != 0)
		return -1;
	if (strlcpy(e->id, id, sizeof(e->id)) >= sizeof(e->id))
		return -1;
	e->fetched = (time_t)strtonum(fetched, 1, INT64_MAX / 2, &why);
	sha256 = take(&text, "sha256");
	if (why != NULL || take_policy(&text, &e->policy) == -1)
		return -1;
	if (*text == '\0' &&
	    (sha256 == NULL || read_digest(sha256, e->policy.sha256) == 0))
		return 0;
	policy_clear(&e->policy);
	return -1;
}

static int
parse_text(const char *text, size_t len, struct cache_entry *e,
    const char **why)
{
	char *copy;
	int result;

	copy = malloc(len + 1);
	if (copy == NULL) {
		*why = "no memory";
		return -1;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (!crc_is_right(copy, len)) {
		*why = "the checksum is wrong";
		result = -1;
	} else {
		copy[len - CRC_LINE] = '\0';
		*why = "the text is not a policy of this domain";
		result = parse_lines(copy, e);
	}
	free(copy);
	return result;
}

int
cache_file_read(int fd, struct cache_entry *e, const char **why)
{
	struct stat st;
	ssize_t n;
	char *text;
	int result;

	*why = "it is not a regular file of a sensible size";
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) ||
	    st.st_size > CACHE_FILE_MAX)
		return -1;
	*why = "no memory";
	text = malloc(CACHE_FILE_MAX);
	if (text == NULL)
		return -1;
	n = pread(fd, text, CACHE_FILE_MAX, 0);
	*why = "it cannot be read";
	result = n < 0 ? -1 : parse_text(text, (size_t)n, e, why);
	free(text);
	return result;
}
