/* Answers to TLSA queries, up to what is demanded of TLS. */

#include <stdint.h>
#include <stdlib.h>

#include "smtpd/dane.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct tls_tlsa usable[DANE_RECORDS_MAX];
	volatile uint8_t sum = 0;
	struct dns_answer *a;
	enum dane_state state;
	size_t i, j, n;

	a = dns_answer_read(data, len, "_25._tcp.mx.example", DNS_TLSA);
	if (a == NULL)
		abort();
	a->believed = true;
	state = dane_judge(a, usable, &n);
	if ((state == DANE_USABLE) != (n > 0) || n > DANE_RECORDS_MAX)
		abort();
	if (state == DANE_USABLE && !a->secure)
		abort();
	for (i = 0; i < n; i++) {
		if (usable[i].usage < 2 || usable[i].usage > 3 ||
		    usable[i].selector > 1 || usable[i].matching > 2)
			abort();
		for (j = 0; j < usable[i].len; j++)
			sum = (uint8_t)(sum + usable[i].data[j]);
	}
	free(a);
	return 0;
}
