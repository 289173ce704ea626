#include "smtpd/dns_packet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/dane.h"
#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

/*
 * Answers as hexadecimal, blanks apart. Q is the question example.net MX,
 * at offset 12; C00C points to it.
 */
#define HEAD(flags, an, ns) "0001" flags "0001" an ns "0000"
#define Q "076578616d706c65 036e6574 00 000f 0001"
#define MX10 "c00c 000f 0001 0000003c 0009 000a 046d61696c c00c"
#define MX20 "c00c 000f 0001 00000e10 0004 0014 c00c"
#define SOA \
	"c00c 0006 0001 00000258 0018 00 00" \
	"00000001 00000002 00000003 00000004 00000078" \
	"0000"

static const struct {
	const char *sentence;
	const char *hex;
	const char *want;
} rows[] = {
	{ "two MX records, the least TTL (RFC 1035 4.1)",
	    HEAD("8180", "0002", "0000") Q MX10 MX20,
	    "ok 60s: 10 mail.example.net, 20 example.net" },
	{ "AD is told (RFC 4035 3.2.3)", HEAD("81a0", "0001", "0000") Q MX20,
	    "ok secure 3600s: 20 example.net" },
	{ "NODATA without a SOA is not kept (RFC 2308 5)",
	    HEAD("8180", "0000", "0000") Q, "nodata 0s" },
	{ "NODATA lives as long as the SOA's minimum says (RFC 2308 5)",
	    HEAD("8180", "0000", "0001") Q
	    "c00c 0006 0001 00000258 0016 00 00"
	    "00000001 00000002 00000003 00000004 00000078",
	    "nodata 120s" },
	{ "NXDOMAIN, five minutes at most",
	    HEAD("8183", "0000", "0001") Q
	    "c00c 0006 0001 00010000 0016 00 00"
	    "00000001 00000002 00000003 00000004 00010000",
	    "nxdomain 300s" },
	{ "SERVFAIL", HEAD("8182", "0000", "0000") Q, "failed: SERVFAIL" },
	{ "REFUSED", HEAD("8185", "0000", "0000") Q, "failed: REFUSED" },
	{ "an unheard-of code", HEAD("818f", "0000", "0000") Q,
	    "failed: an unknown error code" },
	{ "cut short, though TCP should have been asked",
	    HEAD("8380", "0000", "0000") Q, "failed: it is cut short" },
	{ "a query is no answer", HEAD("0100", "0000", "0000") Q,
	    "failed: it is no answer" },
	{ "nothing", "", "failed: it is no answer" },
	{ "half a header", "0001 8180 00", "failed: it is no answer" },
	{ "another question (spoofing)",
	    HEAD("8180", "0001",
		"0000") "076578616d706c66 036e6574 00 000f 0001" MX20,
	    "failed: it answers another question" },
	{ "another type",
	    HEAD("8180", "0000",
		"0000") "076578616d706c65 036e6574 00 0001 0001",
	    "failed: it answers another question" },
	{ "the question's case does not count (RFC 4343)",
	    HEAD("8180", "0001",
		"0000") "074558414d504c45 036e6574 00 000f 0001" MX20,
	    "ok 3600s: 20 EXAMPLE.net" },
	{ "a record of another name is passed over (poisoning)",
	    HEAD("8180", "0002", "0000") Q
	    "01 78 00 000f 0001 0000003c 0004 0001 c00c" MX20,
	    "ok 3600s: 20 example.net" },
	{ "a record of another class is passed over",
	    HEAD("8180", "0001", "0000") Q
	    "c00c 000f 0003 0000003c 0004 0001 c00c",
	    "nodata 0s" },
	{ "a count that promises more than there is",
	    HEAD("8180", "0003", "0000") Q MX10 MX20,
	    "failed: its records are broken" },
	{ "data longer than the message",
	    HEAD("8180", "0001", "0000") Q
	    "c00c 000f 0001 0000003c 0040 0014 c00c",
	    "failed: its records are broken" },
	{ "an MX without a name",
	    HEAD("8180", "0001", "0000") Q "c00c 000f 0001 0000003c 0002 0014",
	    "failed: its records are broken" },
	{ "a pointer to itself",
	    HEAD("8180", "0001", "0000") Q
	    "c00c 000f 0001 0000003c 0004 000a c02b",
	    "failed: its records are broken" },
	{ "a pointer forwards",
	    HEAD("8180", "0001", "0000") Q
	    "c00c 000f 0001 0000003c 0004 000a c0ff",
	    "failed: its records are broken" },
	{ "a label of a reserved kind (RFC 1035 4.1.4)",
	    HEAD("8180", "0001", "0000") Q
	    "c00c 000f 0001 0000003c 0004 000a 8041",
	    "failed: its records are broken" },
	{ "the root as host: null MX (RFC 7505)",
	    HEAD("8180", "0001", "0000") Q
	    "c00c 000f 0001 0000003c 0003 0000 00",
	    "ok 60s: 0 ." },
	{ "a host name with a dot inside a label is no text",
	    HEAD("8180", "0001", "0000") Q
	    "c00c 000f 0001 0000003c 0007 000a 03612e62 00",
	    "ok 60s: 10 ?" },
	{ "a host name with a NUL is no text",
	    HEAD("8180", "0001", "0000") Q
	    "c00c 000f 0001 0000003c 0007 000a 03610062 00",
	    "ok 60s: 10 ?" },
	{ "a TTL with its first bit set is 0 (RFC 2181 8)",
	    HEAD("8180", "0001", "0000") Q
	    "c00c 000f 0001 ffffffff 0004 0014 c00c",
	    "ok 0s: 20 example.net" },
	{ "a TTL of a week is kept for a day",
	    HEAD("8180", "0001", "0000") Q
	    "c00c 000f 0001 00093a80 0004 0014 c00c",
	    "ok 86400s: 20 example.net" },
	{ "a CNAME is followed (RFC 1034 3.6.2)",
	    HEAD("8180", "0002", "0000") Q
	    "c00c 0005 0001 0000001e 0004 0161 c00c"
	    "0161 c00c 000f 0001 0000003c 0004 0005 c00c",
	    "ok 30s via a.example.net(1): 5 example.net" },
	{ "a CNAME that leads nowhere",
	    HEAD("8183", "0001", "0000") Q
	    "c00c 0005 0001 0000001e 0004 0161 c00c",
	    "nxdomain 0s via a.example.net(1)" },
	{ "a CNAME to itself ends",
	    HEAD("8180", "0001", "0000") Q "c00c 0005 0001 0000001e 0002 c00c",
	    "failed: its chain of CNAMEs is too long" },
};

static size_t
from_hex(const char *hex, uint8_t *out)
{
	unsigned byte;
	size_t n = 0;

	for (; *hex != '\0'; hex++) {
		if (*hex == ' ')
			continue;
		if (sscanf(hex, "%2x", &byte) != 1)
			abort();
		out[n++] = (uint8_t)byte;
		hex++;
	}
	return n;
}

static const char *
show(const struct dns_answer *a)
{
	static const char *const words[] = { "ok", "nodata", "nxdomain",
		"failed", "timeout" };
	static char text[2048];
	size_t i, n;

	n = (size_t)snprintf(text, sizeof(text), "%s", words[a->status]);
	if (a->status == DNS_FAILED) {
		snprintf(text + n, sizeof(text) - n, ": %s", a->why);
		return text;
	}
	n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %us",
	    a->secure ? " secure" : "", a->ttl_s);
	if (a->cnames > 0)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " via %s(%u)",
		    a->name, a->cnames);
	for (i = 0; i < a->count; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %u %s",
		    i == 0 ? ":" : ",", a->record[i].preference,
		    (const char *)a->record[i].data);
	return text;
}

/* Read from memory of exactly its size, so that an overrun is seen. */
static struct dns_answer *
read_exact(const uint8_t *bytes, size_t len, const char *name,
    enum dns_type type)
{
	uint8_t *copy = malloc(len + (len == 0));
	struct dns_answer *a;

	if (copy == NULL)
		abort();
	memcpy(copy, bytes, len);
	a = dns_answer_read(copy, len, name, type);
	free(copy);
	return a;
}

static void
recorded(void)
{
	uint8_t message[2048];
	struct dns_answer *a;
	size_t i, len, cut;

	for (i = 0; i < nitems(rows); i++) {
		t_case(rows[i].sentence);
		len = from_hex(rows[i].hex, message);
		a = read_exact(message, len, "example.net", DNS_MX);
		t_str(show(a), rows[i].want);
		free(a);
	}
	t_case("every answer above, cut at every byte, is survived");
	for (i = 0; i < nitems(rows); i++) {
		len = from_hex(rows[i].hex, message);
		for (cut = 0; cut < len; cut++) {
			a = read_exact(message, cut, "example.net", DNS_MX);
			t_true(a != NULL);
			free(a);
		}
	}
}

/* An answer that holds one record of the type, or several. */
static struct dns_answer *
one(enum dns_type type, const char *flags, const char *records, int count)
{
	char hex[4096], counts[5];
	uint8_t message[2048];
	size_t len;

	snprintf(counts, sizeof(counts), "%04x", count);
	snprintf(hex, sizeof(hex),
	    "0001%s0001%s00000000 076578616d706c65 036e6574 00 %04x 0001 %s",
	    flags, counts, type, records);
	len = from_hex(hex, message);
	return read_exact(message, len, "example.net", type);
}

static void
kinds(void)
{
	struct dns_answer *a;

	t_case("an address");
	a = one(DNS_A, "8180", "c00c 0001 0001 0000003c 0004 c0000201", 1);
	t_mem(a->record[0].data, a->record[0].len, "\xc0\0\2\1", 4);
	free(a);
	t_case("an address of the wrong length");
	a = one(DNS_A, "8180", "c00c 0001 0001 0000003c 0005 c000020100", 1);
	t_int(a->status, DNS_FAILED);
	free(a);
	t_case("an IPv6 address of the wrong length");
	a = one(DNS_AAAA, "8180", "c00c 001c 0001 0000003c 0004 c0000201", 1);
	t_int(a->status, DNS_FAILED);
	free(a);
	t_case("the strings of one TXT record are joined (RFC 8461 3.1)");
	a = one(DNS_TXT, "8180",
	    "c00c 0010 0001 0000003c 000a 03763d53 00 0454537631", 1);
	t_mem(a->record[0].data, a->record[0].len, "v=STSv1", 7);
	free(a);
	t_case("two TXT records are not");
	a = one(DNS_TXT, "8180",
	    "c00c 0010 0001 0000003c 0002 0161"
	    "c00c 0010 0001 0000003c 0002 0162",
	    2);
	t_int(a->count, 2);
	free(a);
	t_case("a TXT string longer than its record");
	a = one(DNS_TXT, "8180", "c00c 0010 0001 0000003c 0002 0561", 1);
	t_int(a->status, DNS_FAILED);
	free(a);
}

#define D32 \
	"0123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef"
#define ED25519 "302a300506032b6570032100" /* and 32 bytes: a key */
#define TLSA(bytes, len) "c00c 0034 0001 0000003c " len bytes

static const struct {
	const char *sentence;
	const char *flags;
	const char *records;
	int count;
	const char *want; /* state, and how many are usable */
} tlsas[] = {
	{ "DANE-EE, key, SHA-256: the usual one (RFC 7672 3.1.1)", "81a0",
	    TLSA("030101" D32, "0023"), 1, "usable 1" },
	{ "DANE-TA, certificate, SHA-512 (RFC 7672 3.1.2)", "81a0",
	    TLSA("020002" D32 D32, "0043"), 1, "usable 1" },
	{ "an exact match of a key (RFC 6698 2.1.3)", "81a0",
	    TLSA("030100" ED25519 D32, "002f"), 1, "usable 1" },
	{ "an exact match with a byte too many", "81a0",
	    TLSA("030100" ED25519 D32 "00", "0030"), 1, "unusable 0" },
	{ "an exact match of what is no certificate (RFC 6698 4.1)", "81a0",
	    TLSA("030000" ED25519 D32, "002f"), 1, "unusable 0" },
	{ "a key that is none beside a digest", "81a0",
	    TLSA("030100"
		 "3082",
		"0005") TLSA("030101" D32, "0023"),
	    2, "usable 1" },
	{ "an exact match of nothing", "81a0", TLSA("030000", "0003"), 1,
	    "unusable 0" },
	{ "PKIX-TA and PKIX-EE are unusable (RFC 7672 3.1.3)", "81a0",
	    TLSA("000101" D32, "0023") TLSA("010101" D32, "0023"), 2,
	    "unusable 0" },
	{ "an unknown selector", "81a0", TLSA("030201" D32, "0023"), 1,
	    "unusable 0" },
	{ "an unknown matching type", "81a0", TLSA("030103" D32, "0023"), 1,
	    "unusable 0" },
	{ "a digest of the wrong length", "81a0", TLSA("030102" D32, "0023"), 1,
	    "unusable 0" },
	{ "a mixed set: the usable ones count (RFC 7671 4)", "81a0",
	    TLSA("010101" D32, "0023") TLSA("030101" D32, "0023"), 2,
	    "usable 1" },
	{ "no AD: none at all (RFC 7672 2.2)", "8180",
	    TLSA("030101" D32, "0023"), 1, "none 0" },
	{ "no record", "81a0", "", 0, "none 0" },
	{ "SERVFAIL: the host is skipped (RFC 7672 2.1.2)", "8182", "", 0,
	    "failed 0" },
	{ "a record too short: a broken answer, the host is skipped", "81a0",
	    TLSA("0301", "0002"), 1, "failed 0" },
};

static void
dane(void)
{
	struct tls_tlsa usable[DANE_RECORDS_MAX];
	struct dns_answer *a;
	enum dane_state state;
	char text[64];
	size_t i, n;

	for (i = 0; i < nitems(tlsas); i++) {
		t_case(tlsas[i].sentence);
		a = one(DNS_TLSA, tlsas[i].flags, tlsas[i].records,
		    tlsas[i].count);
		a->believed = true;
		state = dane_judge(a, usable, &n);
		snprintf(text, sizeof(text), "%s %zu", dane_word(state), n);
		t_str(text, tlsas[i].want);
		free(a);
	}
	t_case("that there are none is believed of a trusted resolver only");
	a = one(DNS_TLSA, "8180", "", 0);
	t_int(dane_judge(a, usable, &n), DANE_FAILED);
	free(a);
	t_case("a time-out skips the host (RFC 7672 2.1.2)");
	a = dns_answer_empty("example.net", DNS_TIMEOUT, "");
	t_int(dane_judge(a, usable, &n), DANE_FAILED);
	free(a);
}

static void
queries(void)
{
	static const char want[] =
	    "12340120000100000000000103777777076578616d706c65036e65740000010001"
	    "00002904d0000080000000";
	uint8_t out[DNS_QUERY_SIZE], bytes[128];
	char name[400];
	size_t len;

	t_case("a query asks for AD, and for DNSSEC by DO (RFC 6840 5.7)");
	len = dns_query_write(out, 0x1234, "www.example.net", DNS_A, false);
	t_mem(out, len, bytes, from_hex(want, bytes));
	t_case("without EDNS there is only AD (RFC 6891 7)");
	t_int(dns_query_write(out, 1, "www.example.net", DNS_A, true),
	    len - 11);
	t_int(out[3], 0x20);
	t_int(out[11], 0);
	t_case("names that do not fit into a query");
	memset(name, 'a', sizeof(name));
	name[64] = '\0';
	t_int(dns_query_write(out, 1, name, DNS_A, false), 0);
	t_int(dns_query_write(out, 1, "a..b", DNS_A, false), 0);
	memset(name, 'a', sizeof(name));
	for (len = 50; len < 300; len += 51)
		name[len] = '.';
	name[300] = '\0';
	t_int(dns_query_write(out, 1, name, DNS_A, false), 0);
	t_case("the root");
	t_int(dns_query_write(out, 1, "", DNS_SOA, false), 12 + 5 + 11);
}

int
main(void)
{
	recorded();
	kinds();
	dane();
	queries();
	return t_done();
}
