#include "mtasts/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mtasts/match.h"

#define AGE_DIGITS 10 /* RFC 8461 3.2: 1*10 DIGIT */
#define MX_STEP 8

/* A piece of the body. */
struct span {
	const char *at;
	size_t len;
};

struct parser {
	struct sts_policy *policy;
	bool has_version, has_mode, has_age;
	const char *why;
};

static bool
span_is(const struct span *s, const char *word)
{
	return s->len == strlen(word) && memcmp(s->at, word, s->len) == 0;
}

static void
span_trim(struct span *s)
{
	while (s->len > 0 && (s->at[0] == ' ' || s->at[0] == '\t')) {
		s->at++;
		s->len--;
	}
	while (s->len > 0 &&
	    (s->at[s->len - 1] == ' ' || s->at[s->len - 1] == '\t'))
		s->len--;
}

static int
fail(struct parser *p, const char *why)
{
	p->why = why;
	return -1;
}

static int
take_version(struct parser *p, const struct span *value)
{
	if (p->has_version)
		return 0;
	p->has_version = true;
	if (!span_is(value, "STSv1"))
		return fail(p, "the version is not STSv1");
	return 0;
}

static int
parse_mode(const struct span *word, enum policy_mode *mode)
{
	static const enum policy_mode modes[] = { POLICY_NONE, POLICY_TESTING,
		POLICY_ENFORCE };
	size_t i;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (span_is(word, mode_word(modes[i]))) {
			*mode = modes[i];
			return 0;
		}
	return -1;
}

static int
take_mode(struct parser *p, const struct span *value)
{
	if (p->has_mode)
		return 0;
	p->has_mode = true;
	if (parse_mode(value, &p->policy->mode) == -1)
		return fail(p, "the mode is not enforce, testing or none");
	return 0;
}

static int
take_age(struct parser *p, const struct span *value)
{
	uint64_t age = 0;
	size_t i;

	if (p->has_age)
		return 0;
	p->has_age = true;
	if (value->len == 0 || value->len > AGE_DIGITS)
		return fail(p, "max_age is not a number of 1 to 10 digits");
	for (i = 0; i < value->len; i++) {
		if (value->at[i] < '0' || value->at[i] > '9')
			return fail(p, "max_age is not a number");
		age = age * 10 + (uint64_t)(value->at[i] - '0');
	}
	p->policy->max_age_capped = age > POLICY_AGE_MAX;
	p->policy->max_age_s =
	    p->policy->max_age_capped ? POLICY_AGE_MAX : (uint32_t)age;
	return 0;
}

/* Takes "pattern"; frees it on -1. */
static int
take_pattern(struct sts_policy *policy, char *pattern)
{
	char **grown;

	if (pattern != NULL && policy->mx_count % MX_STEP == 0) {
		grown = reallocarray(policy->mx, policy->mx_count + MX_STEP,
		    sizeof(*grown));
		if (grown == NULL) {
			free(pattern);
			return -1;
		}
		policy->mx = grown;
	}
	if (pattern == NULL)
		return -1;
	policy->mx[policy->mx_count++] = pattern;
	return 0;
}

static int
take_mx(struct parser *p, const struct span *value)
{
	char pattern[HOST_SIZE];

	if (pattern_normalize(pattern, value->at, value->len) == -1)
		return fail(p, "an mx is neither a host name nor *. and one");
	if (take_pattern(p->policy, strdup(pattern)) == -1)
		return fail(p, strerror(ENOMEM));
	return 0;
}

/* One line without its end. */
static int
take_line(struct parser *p, struct span line)
{
	const char *colon = memchr(line.at, ':', line.len);
	struct span key, value;

	if (colon == NULL)
		return fail(p, "a line without a colon");
	key.at = line.at;
	key.len = (size_t)(colon - line.at);
	value.at = colon + 1;
	value.len = line.len - key.len - 1;
	span_trim(&key);
	span_trim(&value);
	if (span_is(&key, "version"))
		return take_version(p, &value);
	if (span_is(&key, "mode"))
		return take_mode(p, &value);
	if (span_is(&key, "max_age"))
		return take_age(p, &value);
	if (span_is(&key, "mx"))
		return take_mx(p, &value);
	return 0; /* unknown keys are ignored */
}

/* Bytes that stand nowhere in a policy file. */
static int
check_bytes(struct parser *p, const struct span *body)
{
	size_t i;

	if (body->len >= 3 && memcmp(body->at, "\xef\xbb\xbf", 3) == 0)
		return fail(p, "it begins with a byte order mark");
	for (i = 0; i < body->len; i++) {
		unsigned char c = (unsigned char)body->at[i];

		if (c == '\0')
			return fail(p, "it contains a NUL");
		if (c == '\r' &&
		    (i + 1 == body->len || body->at[i + 1] != '\n'))
			return fail(p, "it contains a bare CR");
		if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n') ||
		    c == 0x7f)
			return fail(p, "it contains a control character");
	}
	return 0;
}

/* Empty lines at the end are tolerated, and only there. */
static void
drop_empty_end(struct span *body)
{
	while (body->len > 0 && strchr("\r\n \t", body->at[body->len - 1]))
		body->len--;
}

static int
take_lines(struct parser *p, struct span rest)
{
	while (rest.len > 0) {
		const char *lf = memchr(rest.at, '\n', rest.len);
		struct span line = rest;
		size_t used = rest.len;

		if (lf != NULL) {
			line.len = (size_t)(lf - rest.at);
			used = line.len + 1;
			if (line.len > 0 && line.at[line.len - 1] == '\r')
				line.len--;
		}
		if (take_line(p, line) == -1)
			return -1;
		rest.at += used;
		rest.len -= used;
	}
	return 0;
}

static int
check_whole(struct parser *p)
{
	if (!p->has_version)
		return fail(p, "it has no version");
	if (!p->has_mode)
		return fail(p, "it has no mode");
	if (!p->has_age)
		return fail(p, "it has no max_age");
	if (p->policy->mode != POLICY_NONE && p->policy->mx_count == 0)
		return fail(p, "it has no mx");
	return 0;
}

static int
parse(struct parser *p, struct span body)
{
	if (body.len > POLICY_BODY_MAX)
		return fail(p, "it is longer than 64 KiB");
	if (check_bytes(p, &body) == -1)
		return -1;
	drop_empty_end(&body);
	if (take_lines(p, body) == -1)
		return -1;
	return check_whole(p);
}

int
policy_parse(struct sts_policy *policy, const char *body, size_t len,
    const char **why)
{
	struct parser p = { .policy = policy };
	struct span all = { body, len };

	memset(policy, 0, sizeof(*policy));
	if (parse(&p, all) == 0)
		return 0;
	policy_clear(policy);
	*why = p.why;
	return -1;
}

int
policy_copy(struct sts_policy *to, const struct sts_policy *from)
{
	size_t i;

	*to = *from;
	to->mx = NULL;
	to->mx_count = 0;
	for (i = 0; i < from->mx_count; i++)
		if (take_pattern(to, strdup(from->mx[i])) == -1) {
			policy_clear(to);
			return -1;
		}
	return 0;
}

void
policy_clear(struct sts_policy *policy)
{
	size_t i;

	for (i = 0; i < policy->mx_count; i++)
		free(policy->mx[i]);
	free(policy->mx);
	memset(policy, 0, sizeof(*policy));
}

bool
policy_equal(const struct sts_policy *a, const struct sts_policy *b)
{
	size_t i;

	if (a->mode != b->mode || a->max_age_s != b->max_age_s ||
	    a->mx_count != b->mx_count)
		return false;
	for (i = 0; i < a->mx_count; i++)
		if (strcmp(a->mx[i], b->mx[i]) != 0)
			return false;
	return true;
}

bool
policy_matches(const struct sts_policy *policy, const char *host)
{
	size_t i;

	for (i = 0; i < policy->mx_count; i++)
		if (sts_match(host, policy->mx[i]))
			return true;
	return false;
}
