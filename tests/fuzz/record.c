/* The TXT record at _mta-sts.DOMAIN; lines are records of one answer. */

#include "mtasts/record.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data, *end = text + len, *lf, *why;
	struct sts_txt txts[RECORDS_MAX];
	char id[STS_ID_SIZE];
	size_t n = 0, i;

	while (n < RECORDS_MAX) {
		lf = memchr(text, '\n', (size_t)(end - text));
		txts[n].text = text;
		txts[n++].len = (size_t)((lf != NULL ? lf : end) - text);
		if (lf == NULL)
			break;
		text = lf + 1;
	}
	why = NULL;
	if (record_choose(txts, n, id, &why) == -1) {
		if (why == NULL)
			abort();
		return 0;
	}
	if (id[0] == '\0' || strlen(id) > STS_ID_MAX)
		abort();
	for (i = 0; id[i] != '\0'; i++)
		if (!isalnum((unsigned char)id[i]))
			abort();
	return 0;
}
