#include "smtpd/dns_packet.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEADER_SIZE 12
#define OPT_SIZE 11
#define WIRE_NAME_MAX 255 /* RFC 1035 2.3.4 */
#define LABEL_MAX 63
#define POINTERS_MAX 64
#define CLASS_IN 1
#define TYPE_CNAME 5
#define TYPE_OPT 41
#define FLAG_QR 0x80 /* third byte */
#define FLAG_TC 0x02
#define FLAG_RD 0x01
#define FLAG_AD 0x20 /* fourth byte */
#define RCODE_MASK 0x0f
#define RCODE_FORMERR 1
#define RCODE_NXDOMAIN 3
#define RCODE_NOTIMP 4
#define CHAIN_RECORDS_MAX 4096 /* records looked at in one section */

/* A message under the eye of a reader. */
struct reader {
	const uint8_t *message;
	size_t len;
	size_t at;
	bool broken;
};

/* The fixed part of a record, and where its data stands. */
struct rr {
	char name[DNS_NAME_SIZE];
	uint16_t type, class;
	uint32_t ttl;
	size_t data; /* offset */
	uint16_t len;
};

/* Where an answer is put together: one growing piece of memory. */
struct builder {
	struct dns_answer *answer;
	size_t used, room; /* bytes of "bytes" */
	uint8_t *bytes;
	size_t offset[DNS_RECORDS_MAX]; /* of each record's data in "bytes" */
	bool failed;
};

static uint8_t
get8(struct reader *r)
{
	if (r->at >= r->len) {
		r->broken = true;
		return 0;
	}
	return r->message[r->at++];
}

static uint16_t
get16(struct reader *r)
{
	unsigned high = get8(r);

	return (uint16_t)(high << 8 | get8(r));
}

static uint32_t
get32(struct reader *r)
{
	uint32_t high = get16(r);

	return high << 16 | get16(r);
}

/* A byte that text can show in a name; "\." and the like become no text. */
static bool
is_plain(uint8_t c)
{
	return c > 0x20 && c < 0x7f && c != '.' && c != '\\';
}

/* Add a label to the text; false where the name has outgrown it. */
static bool
add_label(char out[DNS_NAME_SIZE], size_t *used, const uint8_t *label,
    size_t len, bool *plain)
{
	size_t i;

	if (*used + len + 1 >= WIRE_NAME_MAX)
		return false;
	if (*used > 0)
		out[(*used)++] = '.';
	for (i = 0; i < len; i++) {
		*plain = *plain && is_plain(label[i]);
		out[(*used)++] = (char)label[i];
	}
	return true;
}

/*
 * A name, decompressed (RFC 1035 4.1.4): "" for the root, "?" where it is no
 * text. Pointers lead backwards only, so that it ends.
 */
static void
get_name(struct reader *r, char out[DNS_NAME_SIZE])
{
	size_t used = 0, after = 0, limit = r->at;
	bool plain = true;
	int pointers = 0;

	while (!r->broken) {
		uint8_t len = get8(r);

		if (len == 0)
			break;
		if ((len & 0xc0) == 0xc0) {
			size_t to = (size_t)(len & 0x3f) << 8 | get8(r);

			if (pointers++ == 0)
				after = r->at;
			if (to >= limit || pointers > POINTERS_MAX)
				r->broken = true;
			limit = to;
			r->at = to;
			continue;
		}
		if (len > LABEL_MAX || r->len - r->at < len ||
		    !add_label(out, &used, r->message + r->at, len, &plain)) {
			r->broken = true;
			break;
		}
		r->at += len;
	}
	if (pointers > 0)
		r->at = after;
	out[used] = '\0';
	if (!plain)
		strlcpy(out, "?", DNS_NAME_SIZE);
}

static void
get_rr(struct reader *r, struct rr *rr)
{
	get_name(r, rr->name);
	rr->type = get16(r);
	rr->class = get16(r);
	rr->ttl = get32(r);
	if (rr->ttl > INT32_MAX)
		rr->ttl = 0; /* RFC 2181 8 */
	rr->len = get16(r);
	rr->data = r->at;
	if (r->broken || r->len - r->at < rr->len) {
		r->broken = true;
		return;
	}
	r->at += rr->len;
}

/* A reader of a record's data; it may follow pointers out of it. */
static struct reader
inside(const struct reader *r, const struct rr *rr)
{
	struct reader in = { r->message, rr->data + rr->len, rr->data, false };

	return in;
}

static void
shorten(struct dns_answer *a, uint32_t ttl)
{
	if (ttl < a->ttl_s)
		a->ttl_s = ttl;
}

/* Put bytes behind those kept, and a NUL behind them. */
static void
keep(struct builder *b, const void *bytes, size_t len, uint16_t preference)
{
	size_t n = b->answer->count, room = b->room;
	uint8_t *grown;

	if (n == DNS_RECORDS_MAX || b->failed)
		return;
	while (room - b->used < len + 1)
		room = room == 0 ? 512 : room * 2;
	if (room != b->room) {
		grown = realloc(b->bytes, room);
		if (grown == NULL) {
			b->failed = true;
			return;
		}
		b->bytes = grown;
		b->room = room;
	}
	b->offset[n] = b->used;
	b->answer->record[n].len = (uint16_t)len;
	b->answer->record[n].preference = preference;
	memcpy(b->bytes + b->used, bytes, len);
	b->bytes[b->used + len] = '\0';
	b->used += len + 1;
	b->answer->count++;
}

static void
keep_mx(struct builder *b, struct reader *r)
{
	char name[DNS_NAME_SIZE];
	uint16_t preference = get16(r);

	get_name(r, name);
	if (r->broken)
		return;
	if (name[0] == '\0')
		strlcpy(name, ".", sizeof(name));
	keep(b, name, strlen(name), preference);
}

/* The strings of one TXT record, joined (RFC 8461 3.1, RFC 7208 3.3). */
static void
keep_txt(struct builder *b, struct reader *r)
{
	uint8_t text[UINT16_MAX];
	size_t used = 0;

	while (r->at < r->len) {
		uint8_t len = get8(r);

		if (r->len - r->at < len) {
			r->broken = true;
			return;
		}
		memcpy(text + used, r->message + r->at, len);
		used += len;
		r->at += len;
	}
	keep(b, text, used, 0);
}

static void
keep_exact(struct builder *b, struct reader *r, size_t least, size_t most)
{
	size_t len = r->len - r->at;

	if (len < least || len > most) {
		r->broken = true;
		return;
	}
	keep(b, r->message + r->at, len, 0);
}

/* Keep the record's data in our form; true if it followed the rules. */
static bool
keep_rr(struct builder *b, const struct reader *r, const struct rr *rr)
{
	struct reader in = inside(r, rr);

	switch (rr->type) {
	case DNS_MX:
		keep_mx(b, &in);
		break;
	case DNS_TXT:
		keep_txt(b, &in);
		break;
	case DNS_A:
		keep_exact(b, &in, 4, 4);
		break;
	case DNS_AAAA:
		keep_exact(b, &in, 16, 16);
		break;
	case DNS_TLSA:
		keep_exact(b, &in, 3, UINT16_MAX);
		break;
	default:
		keep_exact(b, &in, 0, UINT16_MAX);
		break;
	}
	return !in.broken;
}

/* Follow one link of the chain, if there is one; true if there was. */
static bool
follow(struct dns_answer *a, struct reader r, unsigned records)
{
	char target[DNS_NAME_SIZE];
	struct reader in;
	struct rr rr;

	while (records-- > 0) {
		get_rr(&r, &rr);
		if (r.broken)
			return false;
		if (rr.type != TYPE_CNAME || rr.class != CLASS_IN ||
		    strcasecmp(rr.name, a->name) != 0)
			continue;
		in = inside(&r, &rr);
		get_name(&in, target);
		if (in.broken)
			return false;
		strlcpy(a->name, target, sizeof(a->name));
		a->cnames++;
		shorten(a, rr.ttl);
		return true;
	}
	return false;
}

/* Keep the records asked for at the end of the chain; false: broken. */
static bool
collect(struct builder *b, struct reader *r, unsigned records,
    enum dns_type type)
{
	struct rr rr;

	while (records-- > 0) {
		get_rr(r, &rr);
		if (r->broken)
			return false;
		if (rr.type != type || rr.class != CLASS_IN ||
		    strcasecmp(rr.name, b->answer->name) != 0)
			continue;
		if (!keep_rr(b, r, &rr))
			return false;
		shorten(b->answer, rr.ttl);
	}
	return true;
}

/*
 * The life of a negative answer: the SOA's own TTL or its minimum, whichever
 * is less (RFC 2308 5); without a SOA none.
 */
static void
negative_ttl(struct dns_answer *a, struct reader *r, unsigned records)
{
	char name[DNS_NAME_SIZE];
	uint32_t ttl = 0, minimum;
	struct reader in;
	struct rr rr;

	while (records-- > 0) {
		get_rr(r, &rr);
		if (r->broken)
			break;
		if (rr.type != DNS_SOA || rr.class != CLASS_IN)
			continue;
		in = inside(r, &rr);
		get_name(&in, name);
		get_name(&in, name);
		in.at += 16; /* serial, refresh, retry, expire */
		minimum = get32(&in);
		if (!in.broken)
			ttl = minimum < rr.ttl ? minimum : rr.ttl;
		break;
	}
	shorten(a, ttl < DNS_NEGATIVE_MAX_S ? ttl : DNS_NEGATIVE_MAX_S);
}

/* The header and the question, which must be ours. NULL: fine. */
static const char *
read_head(struct reader *r, const char *name, enum dns_type type,
    uint16_t counts[3])
{
	char asked[DNS_NAME_SIZE];
	uint8_t flags;
	uint16_t questions;

	r->at = 2;
	flags = get8(r);
	(void)get8(r);
	questions = get16(r);
	counts[0] = get16(r);
	counts[1] = get16(r);
	counts[2] = get16(r);
	if (r->broken || (flags & FLAG_QR) == 0 || questions != 1)
		return "it is no answer";
	if (flags & FLAG_TC)
		return "it is cut short";
	get_name(r, asked);
	if (get16(r) != type || get16(r) != CLASS_IN || r->broken ||
	    strcasecmp(asked, name) != 0)
		return "it answers another question";
	return NULL;
}

static const char *
rcode_why(unsigned rcode)
{
	static const char *const words[] = { [1] = "FORMERR",
		[2] = "SERVFAIL",
		[4] = "NOTIMP",
		[5] = "REFUSED" };

	if (rcode < sizeof(words) / sizeof(words[0]) && words[rcode] != NULL)
		return words[rcode];
	return "an unknown error code";
}

static const char *
read_records(struct builder *b, struct reader *r, enum dns_type type,
    const uint16_t counts[3])
{
	struct dns_answer *a = b->answer;

	if (counts[0] > CHAIN_RECORDS_MAX || counts[1] > CHAIN_RECORDS_MAX)
		return "it has too many records";
	while (follow(a, *r, counts[0]))
		if (a->cnames > DNS_CNAMES_MAX)
			return "its chain of CNAMEs is too long";
	if (!collect(b, r, counts[0], type) || b->failed)
		return "its records are broken";
	if (a->count == 0)
		negative_ttl(a, r, counts[1]);
	return NULL;
}

/* One piece of memory out of the builder's two; takes both. */
static struct dns_answer *
join(struct builder *b)
{
	size_t i,
	    head = sizeof(*b->answer) +
	    b->answer->count * sizeof(b->answer->record[0]);
	struct dns_answer *a;
	uint8_t *bytes;

	a = realloc(b->answer, head + b->used);
	if (a == NULL) {
		free(b->answer);
		free(b->bytes);
		return NULL;
	}
	a->size = head + b->used;
	bytes = (uint8_t *)a + head;
	if (b->used > 0)
		memcpy(bytes, b->bytes, b->used);
	for (i = 0; i < a->count; i++)
		a->record[i].data = bytes + b->offset[i];
	free(b->bytes);
	return a;
}

static struct dns_answer *
new_answer(const char *name, size_t records)
{
	struct dns_answer *a;

	a = calloc(1, sizeof(*a) + records * sizeof(a->record[0]));
	if (a == NULL)
		return NULL;
	strlcpy(a->name, name, sizeof(a->name));
	a->why = "";
	return a;
}

struct dns_answer *
dns_answer_read(const uint8_t *message, size_t len, const char *name,
    enum dns_type type)
{
	struct reader r = { message, len, 0, false };
	struct builder *b;
	struct dns_answer *a;
	uint16_t counts[3];
	const char *why;
	unsigned rcode;

	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return NULL;
	b->answer = new_answer(name, DNS_RECORDS_MAX);
	if (b->answer == NULL) {
		free(b);
		return NULL;
	}
	a = b->answer;
	a->ttl_s = DNS_TTL_MAX_S;
	why = read_head(&r, name, type, counts);
	rcode = len >= HEADER_SIZE ? message[3] & RCODE_MASK : 0;
	if (why == NULL && rcode != 0 && rcode != RCODE_NXDOMAIN) {
		why = rcode_why(rcode);
		/* It would have sent an OPT record, too (RFC 6891 7). */
		a->no_edns =
		    (rcode == RCODE_FORMERR || rcode == RCODE_NOTIMP) &&
		    message[10] == 0 && message[11] == 0;
	}
	if (why == NULL)
		why = read_records(b, &r, type, counts);
	if (why != NULL) {
		a->status = DNS_FAILED;
		a->why = why;
		a->ttl_s = 0;
		a->count = 0;
		b->used = 0;
	} else {
		a->secure = (message[3] & FLAG_AD) != 0;
		a->status = a->count > 0      ? DNS_OK
		    : rcode == RCODE_NXDOMAIN ? DNS_NXDOMAIN
					      : DNS_NODATA;
	}
	a = join(b);
	free(b);
	return a;
}

struct dns_answer *
dns_answer_empty(const char *name, enum dns_status status, const char *why)
{
	struct dns_answer *a = new_answer(name, 0);

	if (a == NULL)
		return NULL;
	a->status = status;
	a->why = why;
	return a;
}

static void
put16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

/* The name in wire form; its length, or 0. */
static size_t
put_name(uint8_t *out, const char *name)
{
	size_t used = 0, len;

	while (*name != '\0') {
		len = strcspn(name, ".");
		if (len == 0 || len > LABEL_MAX ||
		    used + len + 2 > WIRE_NAME_MAX)
			return 0;
		out[used++] = (uint8_t)len;
		memcpy(out + used, name, len);
		used += len;
		name += len;
		if (*name == '.')
			name++;
	}
	out[used++] = 0;
	return used;
}

size_t
dns_query_write(uint8_t out[DNS_QUERY_SIZE], uint16_t id, const char *name,
    enum dns_type type, bool plain)
{
	static const uint8_t opt[OPT_SIZE] = { 0, 0, TYPE_OPT,
		DNS_UDP_SIZE >> 8, DNS_UDP_SIZE & 0xff, 0, 0, 0x80, 0, 0, 0 };
	size_t len, at = HEADER_SIZE;

	memset(out, 0, HEADER_SIZE);
	put16(out, id);
	out[2] = FLAG_RD;
	out[3] = FLAG_AD; /* RFC 6840 5.7: tell us */
	put16(out + 4, 1);
	put16(out + 10, plain ? 0 : 1);
	len = put_name(out + at, name);
	if (len == 0)
		return 0;
	at += len;
	put16(out + at, (unsigned)type);
	put16(out + at + 2, CLASS_IN);
	at += 4;
	if (plain)
		return at;
	memcpy(out + at, opt, OPT_SIZE);
	return at + OPT_SIZE;
}
