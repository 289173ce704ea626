#include "smtpd/alias.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static int
take(void *arg, const char *address)
{
	int *count = arg;

	if (address[0] == '\0' || strpbrk(address, "\r\n") != NULL)
		abort();
	(*count)++;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "a", "root", "\"a b\"",
		"a@localhost", "b@h.example", "c@other.example" };
	struct conf_errors errors = { 0 };
	struct alias_table *t;

	t = alias_parse("f", (const char *)data, size, "h.example", &errors);
	for (size_t i = 0; t != NULL && i < sizeof names / sizeof names[0];
	     i++) {
		const char *why = NULL;
		int count = 0;
		int n = alias_expand(t, names[i], take, &count, &why);

		if (n == -1 ? why == NULL : n != count)
			abort();
	}
	alias_free(t);
	conf_errors_clear(&errors);
	return 0;
}
