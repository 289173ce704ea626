/* DNS answers of any kind; the first byte chooses the type asked for. */

#include "smtpd/dns_packet.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_record(const struct dns_record *r, enum dns_type type)
{
	uint8_t sum = 0;
	size_t i;

	for (i = 0; i < r->len; i++)
		sum = (uint8_t)(sum + r->data[i]);
	if (r->data[r->len] != '\0' || sum == 255)
		return;
	if (type == DNS_A && r->len != 4)
		abort();
	if (type == DNS_AAAA && r->len != 16)
		abort();
	if (type == DNS_MX &&
	    (r->len == 0 || r->len >= DNS_NAME_SIZE ||
		strlen((const char *)r->data) != r->len))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const enum dns_type types[] = { DNS_A, DNS_AAAA, DNS_MX, DNS_TXT,
		DNS_TLSA, DNS_SOA };
	struct dns_answer *a;
	enum dns_type type;
	size_t i;

	if (len == 0)
		return 0;
	type = types[data[0] % 6];
	a = dns_answer_read(data + 1, len - 1, "example.net", type);
	if (a == NULL)
		abort();
	if ((a->status == DNS_OK) != (a->count > 0) ||
	    a->ttl_s > DNS_TTL_MAX_S || a->count > DNS_RECORDS_MAX)
		abort();
	for (i = 0; i < a->count; i++)
		check_record(&a->record[i], type);
	free(a);
	return 0;
}
