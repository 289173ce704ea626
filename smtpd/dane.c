#include "smtpd/dane.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdbool.h>

#define HEAD_SIZE 3 /* usage, selector, matching type */
#define USAGE_TA 2
#define USAGE_EE 3
#define SELECTOR_MAX 1
#define SHA256_SIZE 32
#define SHA512_SIZE 64

/* Digests have their length; anything else is no record to rely on. */
static bool
is_length_right(const struct tls_tlsa *r)
{
	switch (r->matching) {
	case 0:
		return r->len > 0 && r->len <= DANE_DATA_MAX;
	case 1:
		return r->len == SHA256_SIZE;
	case 2:
		return r->len == SHA512_SIZE;
	default:
		return false;
	}
}

/* Is that which is to match in full a certificate, or a public key? */
static bool
is_data_right(const struct tls_tlsa *r)
{
	const unsigned char *at = r->data;
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	bool right;

	if (r->matching != 0)
		return true;
	if (r->selector == 0)
		cert = d2i_X509(NULL, &at, r->len);
	else
		key = d2i_PUBKEY(NULL, &at, r->len);
	right = at == r->data + r->len &&
	    (key != NULL || X509_get0_pubkey(cert) != NULL);
	EVP_PKEY_free(key);
	X509_free(cert);
	ERR_clear_error();
	return right;
}

/* RFC 7672 3.1.3: usages 0 and 1 are of no use between mail hosts. */
static bool
is_usable(const struct tls_tlsa *r)
{
	return (r->usage == USAGE_TA || r->usage == USAGE_EE) &&
	    r->selector <= SELECTOR_MAX && is_length_right(r) &&
	    is_data_right(r);
}

static void
read_record(const struct dns_record *from, struct tls_tlsa *r)
{
	r->usage = from->data[0];
	r->selector = from->data[1];
	r->matching = from->data[2];
	r->len = (uint16_t)(from->len - HEAD_SIZE);
	r->data = from->data + HEAD_SIZE;
}

enum dane_state
dane_judge(const struct dns_answer *answer,
    struct tls_tlsa out[DANE_RECORDS_MAX], size_t *count)
{
	struct tls_tlsa r;
	size_t i;

	*count = 0;
	switch (answer->status) {
	case DNS_FAILED:
	case DNS_TIMEOUT:
		return DANE_FAILED;
	case DNS_NODATA:
	case DNS_NXDOMAIN:
	case DNS_OK:
		break;
	}
	if (!answer->believed)
		return DANE_FAILED;
	if (answer->status != DNS_OK || !answer->secure)
		return DANE_NONE;
	for (i = 0; i < answer->count && *count < DANE_RECORDS_MAX; i++) {
		if (answer->record[i].len < HEAD_SIZE)
			continue;
		read_record(&answer->record[i], &r);
		if (is_usable(&r))
			out[(*count)++] = r;
	}
	return *count > 0 ? DANE_USABLE : DANE_UNUSABLE;
}
