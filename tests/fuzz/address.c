#include "smtpd/address.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/envelope.h"
#include "smtpd/base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
want(bool holds)
{
	if (!holds)
		abort();
}

/* What every accepted address promises. */
static void
check(const struct address *a, unsigned accept)
{
	struct address again;
	size_t len = strlen(a->text);
	const char *why;

	want(len <= ADDRESS_MAX);
	want(strlen(a->local) <= ADDRESS_LOCAL_MAX);
	want(utf8_is_valid(a->text, len));
	for (size_t i = 0; i < len; i++)
		want((unsigned char)a->text[i] >= 0x20 && a->text[i] != 0x7f);
	for (const char *s = a->domain; *s != '\0'; s++)
		want((unsigned char)*s < 0x80 &&
		    (*s < 'A' || *s > 'Z' || a->is_literal));
	want(strcmp(envelope_domain(a->text), a->domain) == 0);
	want(address_parse(&again, a->text, len, accept, &why) == 0);
	want(strcmp(a->text, again.text) == 0);
	want(a->needs_utf8 == again.needs_utf8);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	char coded[1024], plain[1024];
	struct address a;
	const char *why;
	int n;

	for (unsigned accept = 0; accept < 8; accept++) {
		if (address_parse(&a, s, size, accept, &why) == 0)
			check(&a, accept);
		n = address_parse_path(&a, s, size, accept, &why);
		if (n != -1) {
			want((size_t)n <= size && s[n - 1] == '>');
			check(&a, accept);
		}
	}
	n = address_xtext_decode(plain, sizeof plain, s, size);
	if (n != -1) {
		want(address_xtext_encode(coded, sizeof coded, plain,
			 (size_t)n) != -1 ||
		    3 * (size_t)n >= sizeof coded);
	}
	return 0;
}
