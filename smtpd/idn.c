#include "smtpd/idn.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "smtpd/base/utf8.h"

/* RFC 3492 5: the parameters of Punycode. */
enum {
	BASE = 36,
	TMIN = 1,
	TMAX = 26,
	SKEW = 38,
	DAMP = 700,
	INITIAL_BIAS = 72,
	INITIAL_N = 0x80
};

#define LABEL_POINTS_MAX 63 /* code points; a longer label cannot fit */

struct span {
	uint32_t first;
	uint32_t last;
};

/*
 * What cannot be judged without tables, or is never in a domain name; in
 * order. RFC 5892 2: symbols, punctuation, spaces, marks that NFC may join,
 * compatibility forms.
 */
/* clang-format off */
static const struct span refused[] = {
	{ 0x80, 0xb6 }, { 0xb8, 0xbf },	/* controls, Latin-1 signs */
	{ 0xd7, 0xd7 }, { 0xf7, 0xf7 },
	{ 0x130, 0x130 },		/* lower case is two characters */
	{ 0x132, 0x133 }, { 0x13f, 0x140 }, { 0x149, 0x149 },
	{ 0x17f, 0x19f }, { 0x1a2, 0x1ae }, { 0x1b1, 0x1cc },
	{ 0x1f0, 0x1f7 }, { 0x220, 0x24f },
	{ 0x2b0, 0x36f },		/* modifiers, combining marks */
	{ 0x370, 0x385 }, { 0x387, 0x387 }, { 0x3d0, 0x3ff },
	{ 0x482, 0x489 }, { 0x4c0, 0x4c0 }, { 0x587, 0x587 },
	{ 0x640, 0x640 }, { 0x958, 0x95f },
	{ 0x10a0, 0x10cf }, { 0x1100, 0x11ff }, { 0x13a0, 0x13ff },
	{ 0x1c80, 0x1dff }, { 0x1e96, 0x1e9f }, { 0x1f00, 0x1fff },
	{ 0x2000, 0x2fff },		/* punctuation, symbols, forms */
	{ 0x3000, 0x3004 }, { 0x3008, 0x303b }, { 0x303d, 0x3040 },
	{ 0x3099, 0x309c }, { 0x30a0, 0x30a0 }, { 0x3130, 0x318f },
	{ 0x3200, 0x33ff }, { 0xa640, 0xa7ff }, { 0xab30, 0xabbf },
	{ 0xd7b0, 0xf8ff },		/* jamo, surrogates, private use */
	{ 0xf900, 0xffff },		/* compatibility and full-width forms */
	{ 0x10400, 0x104ff }, { 0x10c80, 0x10cff }, { 0x118a0, 0x118df },
	{ 0x16e40, 0x16e9f },
	{ 0x1d000, 0x1ffff },		/* symbols, emoji */
	{ 0x2f800, 0x2fa1f }, { 0xe0000, 0x10ffff },
};
/* clang-format on */

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

static bool
is_refused(uint32_t c)
{
	for (size_t i = 0; i < nitems(refused); i++)
		if (c >= refused[i].first && c <= refused[i].last)
			return true;
	return false;
}

static bool
in(uint32_t c, uint32_t first, uint32_t last)
{
	return c >= first && c <= last;
}

/* Alphabets whose two cases lie side by side, upper case first. */
static uint32_t
lower_pair(uint32_t c)
{
	bool odd_upper = in(c, 0x139, 0x148) || in(c, 0x179, 0x17e) ||
	    in(c, 0x1af, 0x1b0) || in(c, 0x1cd, 0x1dc) || in(c, 0x4c1, 0x4ce);
	bool even_upper = in(c, 0x100, 0x12f) || in(c, 0x132, 0x137) ||
	    in(c, 0x14a, 0x177) || in(c, 0x1a0, 0x1a1) || in(c, 0x1de, 0x1ef) ||
	    in(c, 0x1f8, 0x21f) || in(c, 0x460, 0x481) || in(c, 0x48a, 0x4bf) ||
	    in(c, 0x4d0, 0x52f) || in(c, 0x1e00, 0x1e95) ||
	    in(c, 0x1ea0, 0x1eff);

	if ((odd_upper && c % 2 == 1) || (even_upper && c % 2 == 0))
		return c + 1;
	return c;
}

static uint32_t
lower(uint32_t c)
{
	if (in(c, 'A', 'Z') || in(c, 0xc0, 0xde))
		return c + 0x20;
	if (c == 0x178)
		return 0xff;
	if (in(c, 0x391, 0x3ab))
		return c + 0x20;
	if (c == 0x386)
		return 0x3ac;
	if (in(c, 0x388, 0x38a))
		return c + 0x25;
	if (c == 0x38c)
		return 0x3cc;
	if (in(c, 0x38e, 0x38f))
		return c + 0x3f;
	if (in(c, 0x400, 0x40f))
		return c + 0x50;
	if (in(c, 0x410, 0x42f))
		return c + 0x20;
	if (in(c, 0x531, 0x556))
		return c + 0x30;
	return lower_pair(c);
}

static int
label_points(uint32_t *points, size_t *count, const char *s, size_t len,
    const char **why)
{
	uint32_t c;
	size_t n;

	*count = 0;
	for (size_t i = 0; i < len; i += n) {
		n = utf8_char(s + i, len - i, &c);
		if (n == 0) {
			*why = "not valid UTF-8";
			return -1;
		}
		c = lower(c);
		if (c >= 0x80 && is_refused(c)) {
			*why = "a character of the domain is not understood;"
			       " write it as A-labels (xn--...)";
			return -1;
		}
		if (*count == LABEL_POINTS_MAX) {
			*why = "a label of the domain is too long";
			return -1;
		}
		points[(*count)++] = c;
	}
	return 0;
}

/* RFC 3492 6.1 */
static uint32_t
adapt(uint32_t delta, uint32_t points, bool first)
{
	uint32_t k = 0;

	delta = first ? delta / DAMP : delta / 2;
	delta += delta / points;
	for (; delta > (BASE - TMIN) * TMAX / 2; k += BASE)
		delta /= BASE - TMIN;
	return k + (BASE - TMIN + 1) * delta / (delta + SKEW);
}

struct writer {
	char *out;
	size_t len; /* counts on beyond the room */
	size_t room;
};

static void
put(struct writer *w, char c)
{
	if (w->len < w->room)
		w->out[w->len] = c;
	w->len++;
}

/* A number of variable length, RFC 3492 3.3. */
static void
put_number(struct writer *w, uint32_t q, uint32_t bias)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";

	for (uint32_t k = BASE;; k += BASE) {
		uint32_t t = k <= bias ? TMIN
		    : k >= bias + TMAX ? TMAX
				       : k - bias;

		if (q < t)
			break;
		put(w, digits[t + (q - t) % (BASE - t)]);
		q = (q - t) / (BASE - t);
	}
	put(w, digits[q]);
}

static uint32_t
next_point(const uint32_t *points, size_t count, uint32_t n)
{
	uint32_t least = UINT32_MAX;

	for (size_t i = 0; i < count; i++)
		if (points[i] >= n && points[i] < least)
			least = points[i];
	return least;
}

/*
 * RFC 3492 6.3. With at most 63 code points below 0x110000 no sum comes near
 * 2^32, so that the overflow checks there are not needed here.
 */
static void
encode(struct writer *w, const uint32_t *points, size_t count)
{
	uint32_t n = INITIAL_N, bias = INITIAL_BIAS, delta = 0, next;
	uint32_t basic = 0, done;

	for (size_t i = 0; i < count; i++)
		if (points[i] < 0x80) {
			put(w, (char)points[i]);
			basic++;
		}
	if (basic > 0)
		put(w, '-');
	for (done = basic; done < count; delta++, n++) {
		next = next_point(points, count, n);
		delta += (next - n) * (done + 1);
		n = next;
		for (size_t i = 0; i < count; i++) {
			if (points[i] < n)
				delta++;
			if (points[i] != n)
				continue;
			put_number(w, delta, bias);
			bias = adapt(delta, done + 1, done == basic);
			delta = 0;
			done++;
		}
	}
}

int
idn_label(char out[IDN_LABEL_MAX + 1], const char *s, size_t len,
    const char **why)
{
	struct writer w = { .out = out, .room = IDN_LABEL_MAX };
	uint32_t points[LABEL_POINTS_MAX];
	size_t count;

	if (len > 4 && memcmp(s + 2, "--", 2) == 0) {
		*why = "a label of the domain has \"--\" in its third place";
		return -1;
	}
	if (label_points(points, &count, s, len, why) == -1)
		return -1;
	put(&w, 'x');
	put(&w, 'n');
	put(&w, '-');
	put(&w, '-');
	encode(&w, points, count);
	if (w.len > w.room) {
		*why = "a label of the domain is too long";
		return -1;
	}
	out[w.len] = '\0';
	return 0;
}
