#include "mtasts/reason.h"

#include <stddef.h>
#include <string.h>

struct row {
	const char *word;
	const char *dsn;
	const char *advice;
};

static const struct row rows[REASON_COUNT] = { [REASON_NONE] = { "", "", "" },
#define REASON_ROW(name, word, dsn, advice) \
	[REASON_##name] = { word, dsn, advice },
	REASON_LIST(REASON_ROW)
#undef REASON_ROW
};

static const struct row *
find(enum reason reason)
{
	if ((size_t)reason >= REASON_COUNT)
		return &rows[REASON_NONE];
	return &rows[reason];
}

const char *
reason_word(enum reason reason)
{
	return find(reason)->word;
}

enum reason
reason_parse(const char *word)
{
	int i;

	for (i = REASON_NONE + 1; i < REASON_COUNT; i++)
		if (strcmp(rows[i].word, word) == 0)
			return (enum reason)i;
	return REASON_NONE;
}

const char *
reason_dsn(enum reason reason)
{
	return find(reason)->dsn;
}

const char *
reason_advice(enum reason reason)
{
	return find(reason)->advice;
}

bool
reason_is_tls(enum reason reason)
{
	return reason >= REASON_STARTTLS_NOT_SUPPORTED &&
	    reason <= REASON_NO_POLICY;
}
