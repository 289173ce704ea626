#include "queue/record.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static_assert(sizeof(struct brief_message) == 40, "no padding");
static_assert(sizeof(struct brief_rcpt) == 24, "no padding");

uint32_t
record_hash(const char *text)
{
	const unsigned char *at;
	uint32_t hash;

	hash = 2166136261U; /* FNV-1a */
	for (at = (const unsigned char *)text; *at != '\0'; at++)
		hash = (hash ^ (uint32_t)tolower(*at)) * 16777619U;
	return hash;
}

static char *
put_domain(char *to, const char *address, const char *before)
{
	const char *domain;
	size_t len, i;

	domain = envelope_domain(address);
	if (before != NULL && strcasecmp(domain, before) == 0) {
		*to = 0;
		return to + 1;
	}
	len = strlen(domain);
	if (len > 254)
		len = 254; /* longer ones are none (RFC 1035 2.3.4) */
	*to++ = (char)(unsigned char)(len + 1 > 255 ? 255 : len + 1);
	for (i = 0; i < len; i++)
		*to++ = (char)tolower((unsigned char)domain[i]);
	return to;
}

void *
record_brief(const struct envelope *env, uint32_t flags, uint32_t text_crc,
    uint32_t *len)
{
	struct brief_message brief;
	const char *before;
	size_t room, i;
	char *mem, *at;

	room = sizeof brief;
	for (i = 0; i < env->rcpt_count; i++)
		room += 2 + strlen(envelope_domain(env->rcpts[i].address));
	mem = malloc(room);
	if (mem == NULL)
		return NULL;
	memset(&brief, 0, sizeof brief);
	brief.size = env->size;
	brief.arrived_us = env->arrived_us;
	brief.uid = env->uid;
	brief.flags = flags;
	brief.text_crc = text_crc;
	brief.sender_hash = record_hash(env->sender);
	brief.rcpts = (uint32_t)env->rcpt_count;
	memcpy(mem, &brief, sizeof brief);
	at = mem + sizeof brief;
	before = NULL;
	for (i = 0; i < env->rcpt_count; i++) {
		at = put_domain(at, env->rcpts[i].address, before);
		before = envelope_domain(env->rcpts[i].address);
	}
	*len = (uint32_t)(at - mem);
	return mem;
}

int
record_message(const void *brief, uint32_t len, struct brief_message *message)
{
	if (len < sizeof *message)
		return -1;
	memcpy(message, brief, sizeof *message);
	return message->rcpts > 0 && message->rcpts <= ENVELOPE_RCPTS_MAX ? 0
									  : -1;
}

int
record_domain(const void *brief, uint32_t len, uint32_t *at, char domain[256])
{
	const unsigned char *from;
	uint32_t count;

	from = brief;
	if (*at >= len)
		return -1;
	count = from[(*at)++];
	if (count == 0)
		return 0;
	count--;
	if (count > len - *at)
		return -1;
	memcpy(domain, from + *at, count);
	domain[count] = '\0';
	*at += count;
	return 0;
}

int
record_rcpt(const void *brief, uint32_t len, struct brief_rcpt *rcpt)
{
	if (len != sizeof *rcpt)
		return -1;
	memcpy(rcpt, brief, sizeof *rcpt);
	return rcpt->state < RCPT_STATES ? 0 : -1;
}

int
record_done(const void *brief, uint32_t len, struct brief_done *done)
{
	if (len != sizeof *done)
		return -1;
	memcpy(done, brief, sizeof *done);
	return 0;
}

/* ---- attempts ---- */

#define ATTEMPT_TEXTS 5
#define ATTEMPT_HEAD 10 /* time, outcome and scope, flags */
#define ATTEMPT_TEXT_MAX 2048U

static void
list_texts(const struct spool_result *result, const char *texts[ATTEMPT_TEXTS])
{
	texts[0] = result->reason;
	texts[1] = result->dsn;
	texts[2] = result->mx;
	texts[3] = result->reply;
	texts[4] = result->detail;
}

size_t
record_attempt_size(const struct spool_attempt *attempt)
{
	const char *texts[ATTEMPT_TEXTS];
	size_t size, i;

	list_texts(&attempt->result, texts);
	size = ATTEMPT_HEAD;
	for (i = 0; i < ATTEMPT_TEXTS; i++)
		size += strnlen(texts[i], ATTEMPT_TEXT_MAX) + 1;
	return size;
}

size_t
record_attempt_put(const struct spool_attempt *attempt, char *to)
{
	const struct spool_result *r;
	const char *texts[ATTEMPT_TEXTS];
	size_t len, i;
	char *at;

	r = &attempt->result;
	memcpy(to, &attempt->at_ms, 8);
	to[8] = (char)((unsigned)r->outcome | (unsigned)r->scope << 4);
	to[9] = (char)((r->tls ? 1 : 0) | (r->enforce ? 2 : 0) |
	    (r->relayed ? 4 : 0));
	at = to + ATTEMPT_HEAD;
	list_texts(r, texts);
	for (i = 0; i < ATTEMPT_TEXTS; i++) {
		len = strnlen(texts[i], ATTEMPT_TEXT_MAX);
		memcpy(at, texts[i], len);
		at[len] = '\0';
		at += len + 1;
	}
	return (size_t)(at - to);
}

int
record_attempt_get(const char *text, uint32_t len, uint32_t *at,
    struct spool_attempt *attempt)
{
	struct spool_result *r;
	const char *texts[ATTEMPT_TEXTS], *end;
	unsigned kinds, flags;
	size_t i;

	if (*at == len)
		return 0;
	if (len - *at < ATTEMPT_HEAD)
		return -1;
	r = &attempt->result;
	memcpy(&attempt->at_ms, text + *at, 8);
	kinds = (unsigned char)text[*at + 8];
	flags = (unsigned char)text[*at + 9];
	if ((kinds & 15) >= OUTCOME_COUNT || kinds >> 4 >= SCOPE_COUNT)
		return -1;
	r->outcome = (enum outcome)(kinds & 15);
	r->scope = (enum scope)(kinds >> 4);
	r->tls = (flags & 1) != 0;
	r->enforce = (flags & 2) != 0;
	r->relayed = (flags & 4) != 0;
	*at += ATTEMPT_HEAD;
	for (i = 0; i < ATTEMPT_TEXTS; i++) {
		end = memchr(text + *at, '\0', len - *at);
		if (end == NULL)
			return -1;
		texts[i] = text + *at;
		*at = (uint32_t)(end - text) + 1;
	}
	r->reason = texts[0];
	r->dsn = texts[1];
	r->mx = texts[2];
	r->reply = texts[3];
	r->detail = texts[4];
	return 1;
}
