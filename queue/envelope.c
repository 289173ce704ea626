/*
 * The text: a line `1` (the version), then one line a field, its first
 * character saying which. Fields that are empty are left out; a reader skips
 * fields it does not know, so that fields may be added without a new version.
 *
 *	i id  a arrived_us  s size  u uid  f flags   numbers, decimal
 *	F sender  E envid  C client  M message-id    strings
 *	R recipient: one hexadecimal digit of NOTIFY_*, then the address
 *	O orcpt of the recipient before
 */

#include "queue/envelope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_MIN 1024 /* bytes of strings allocated at once */

struct envelope_chunk {
	struct envelope_chunk *next;
	size_t used;
	size_t room;
	char text[];
};

void
envelope_init(struct envelope *env)
{
	memset(env, 0, sizeof *env);
	env->uid = -1;
	env->sender = "";
	env->envid = "";
	env->client = "";
	env->message_id = "";
}

void
envelope_clear(struct envelope *env)
{
	struct envelope_chunk *chunk;

	while ((chunk = env->chunks) != NULL) {
		env->chunks = chunk->next;
		free(chunk);
	}
	free(env->rcpts);
	envelope_init(env);
}

/* Room for "len" bytes that stay where they are. */
static char *
take_room(struct envelope *env, size_t len)
{
	struct envelope_chunk *chunk;
	size_t room;

	chunk = env->chunks;
	if (chunk == NULL || chunk->room - chunk->used < len) {
		room = len > CHUNK_MIN ? len : CHUNK_MIN;
		chunk = malloc(sizeof *chunk + room);
		if (chunk == NULL)
			return NULL;
		chunk->used = 0;
		chunk->room = room;
		chunk->next = env->chunks;
		env->chunks = chunk;
	}
	chunk->used += len;
	return chunk->text + chunk->used - len;
}

const char *
envelope_text(struct envelope *env, const char *text)
{
	size_t len;
	char *copy;

	if (*text == '\0')
		return "";
	len = strlen(text) + 1;
	copy = take_room(env, len);
	if (copy != NULL)
		memcpy(copy, text, len);
	return copy;
}

static bool
is_clean(const char *text)
{
	const unsigned char *at;

	for (at = (const unsigned char *)text; *at != '\0'; at++)
		if (*at < 0x20 || *at == 0x7f)
			return false;
	return (size_t)(at - (const unsigned char *)text) < ENVELOPE_TEXT_MAX;
}

/* One more recipient, its strings borrowed. NULL with errno. */
static struct recipient *
push_recipient(struct envelope *env)
{
	struct recipient *grown;
	size_t room;

	if (env->rcpt_count >= ENVELOPE_RCPTS_MAX) {
		errno = E2BIG;
		return NULL;
	}
	if (env->rcpt_count == env->rcpt_room) {
		room = env->rcpt_room == 0 ? 1 : env->rcpt_room * 4;
		grown = reallocarray(env->rcpts, room, sizeof *grown);
		if (grown == NULL)
			return NULL;
		env->rcpts = grown;
		env->rcpt_room = room;
	}
	grown = &env->rcpts[env->rcpt_count++];
	grown->address = "";
	grown->orcpt = "";
	grown->notify = 0;
	return grown;
}

int
envelope_add(struct envelope *env, const struct recipient *rcpt)
{
	struct recipient *added;
	const char *address, *orcpt;

	if (*rcpt->address == '\0' || !is_clean(rcpt->address) ||
	    !is_clean(rcpt->orcpt) || (rcpt->notify & ~NOTIFY_ALL) != 0) {
		errno = EINVAL;
		return -1;
	}
	address = envelope_text(env, rcpt->address);
	orcpt = envelope_text(env, rcpt->orcpt);
	if (address == NULL || orcpt == NULL)
		return -1;
	added = push_recipient(env);
	if (added == NULL)
		return -1;
	added->address = address;
	added->orcpt = orcpt;
	added->notify = rcpt->notify;
	return 0;
}

static char *
put_text(char *at, char key, const char *text)
{
	size_t len;

	len = strlen(text);
	if (len == 0)
		return at;
	*at++ = key;
	memcpy(at, text, len);
	at[len] = '\n';
	return at + len + 1;
}

static char *
put_recipient(char *at, const struct recipient *rcpt)
{
	size_t len;

	len = strlen(rcpt->address);
	*at++ = 'R';
	*at++ = "0123456789abcdef"[rcpt->notify & NOTIFY_ALL];
	memcpy(at, rcpt->address, len);
	at[len] = '\n';
	return put_text(at + len + 1, 'O', rcpt->orcpt);
}

int
envelope_encode(const struct envelope *env, char **text, size_t *len)
{
	size_t need, i;
	char *at;

	if (!is_clean(env->sender) || !is_clean(env->envid) ||
	    !is_clean(env->client) || !is_clean(env->message_id)) {
		errno = EINVAL;
		return -1;
	}
	need = 128 + strlen(env->sender) + strlen(env->envid) +
	    strlen(env->client) + strlen(env->message_id) + 8;
	for (i = 0; i < env->rcpt_count; i++)
		need += strlen(env->rcpts[i].address) +
		    strlen(env->rcpts[i].orcpt) + 5;
	*text = malloc(need);
	if (*text == NULL)
		return -1;
	at = *text;
	at += snprintf(at, need, "1\ni%llu\na%llu\ns%llu\nu%lld\nf%u\n",
	    (unsigned long long)env->id, (unsigned long long)env->arrived_us,
	    (unsigned long long)env->size, (long long)env->uid, env->flags);
	at = put_text(at, 'F', env->sender);
	at = put_text(at, 'E', env->envid);
	at = put_text(at, 'C', env->client);
	at = put_text(at, 'M', env->message_id);
	for (i = 0; i < env->rcpt_count; i++)
		at = put_recipient(at, &env->rcpts[i]);
	*len = (size_t)(at - *text);
	return 0;
}

/* A decimal number and nothing else. */
static int
get_number(const char *text, uint64_t *value)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -1;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return *end == '\0' && errno == 0 ? 0 : -1;
}

static int
get_uid(const char *text, int64_t *uid)
{
	uint64_t value;

	*uid = -1;
	if (strcmp(text, "-1") == 0)
		return 0;
	if (get_number(text, &value) == -1 || value > UINT32_MAX)
		return -1;
	*uid = (int64_t)value;
	return 0;
}

static int
get_flags(const char *text, uint32_t *flags)
{
	uint64_t value;

	if (get_number(text, &value) == -1 || value > ENVELOPE_FLAGS_ALL)
		return -1;
	*flags = (uint32_t)value;
	return 0;
}

static int
get_recipient(struct envelope *env, const char *text)
{
	struct recipient *rcpt;
	unsigned notify;

	if (*text >= '0' && *text <= '9')
		notify = (unsigned)(*text - '0');
	else if (*text >= 'a' && *text <= 'f')
		notify = (unsigned)(*text - 'a') + 10;
	else
		return -1;
	if (text[1] == '\0' || (rcpt = push_recipient(env)) == NULL)
		return -1;
	rcpt->notify = notify;
	rcpt->address = text + 1;
	return 0;
}

static int
get_orcpt(struct envelope *env, const char *text)
{
	if (env->rcpt_count == 0)
		return -1;
	env->rcpts[env->rcpt_count - 1].orcpt = text;
	return 0;
}

/* One field; "line" stays where it is as long as the envelope. */
static int
get_field(struct envelope *env, const char *line)
{
	const char *value;

	value = line + 1;
	switch (line[0]) {
	case 'i':
		return get_number(value, &env->id);
	case 'a':
		return get_number(value, &env->arrived_us);
	case 's':
		return get_number(value, &env->size);
	case 'u':
		return get_uid(value, &env->uid);
	case 'f':
		return get_flags(value, &env->flags);
	case 'F':
		env->sender = value;
		return 0;
	case 'E':
		env->envid = value;
		return 0;
	case 'C':
		env->client = value;
		return 0;
	case 'M':
		env->message_id = value;
		return 0;
	case 'R':
		return get_recipient(env, value);
	case 'O':
		return get_orcpt(env, value);
	default:
		return line[0] == '\0' ? -1 : 0;
	}
}

static int
decode_lines(struct envelope *env, char *at, const char **why)
{
	char *end;
	bool first;

	for (first = true; *at != '\0'; at = end + 1) {
		end = strchr(at, '\n');
		if (end == NULL) {
			*why = "the last line is cut off";
			return -1;
		}
		*end = '\0';
		if (!is_clean(at)) {
			*why = "a control character";
			return -1;
		}
		if (first && strcmp(at, "1") != 0) {
			*why = "an unknown version";
			return -1;
		}
		if (!first && get_field(env, at) == -1) {
			*why = "a malformed field";
			return -1;
		}
		first = false;
	}
	if (env->rcpt_count == 0) {
		*why = "no recipient";
		return -1;
	}
	return 0;
}

int
envelope_decode(struct envelope *env, const char *text, size_t len,
    const char **why)
{
	char *copy;

	envelope_init(env);
	if (memchr(text, '\0', len) != NULL) {
		*why = "a NUL";
		return -1;
	}
	copy = take_room(env, len + 1);
	if (copy == NULL) {
		*why = "no memory";
		return -1;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (decode_lines(env, copy, why) == -1) {
		envelope_clear(env);
		return -1;
	}
	return 0;
}

const char *
envelope_domain(const char *address)
{
	const char *at = strrchr(address, '@');

	/* "a@b" alone is a bare quoted local part. */
	return at == NULL || strchr(at, '"') != NULL ? "" : at + 1;
}
