#include "smtpd/idn.h"

#include <stdio.h>
#include <string.h>

#include "tests/t.h"

/* clang-format off */
static const struct {
	const char *in;
	const char *out; /* NULL: refused */
} labels[] = {
	/* RFC 3492 7.1 and names of the IDN test top-level domains */
	{ "tạisaohọkhôngthểchỉnóitiếngviệt",
	    "xn--tisaohkhngthchnitingvit-kjcr8268qyxafd2f1b9g" },
	{ "pročprostěnemluvíčesky", "xn--proprostnemluvesky-uyb24dma41a" },
	{ "испытание", "xn--80akhbyknj4f" },
	{ "テスト", "xn--zckzah" }, { "测试", "xn--0zwm56d" },
	{ "例え", "xn--r8jz45g" }, { "중앙", "xn--2e5b11e" },
	{ "उदाहरण", "xn--p1b6ci4b4b3a" },
	{ "ليهمابتكلموشعربي", "xn--mgbcah9ar9a4efegftvvn" },
	/* IDNA2008: sharp s and final sigma stay what they are */
	{ "faß", "xn--fa-hia" }, { "ελλάς", "xn--hxarsa0b" },
	{ "a·b", "xn--ab-0ea" },
	/* lower-casing */
	{ "münchen", "xn--mnchen-3ya" }, { "MÜNCHEN", "xn--mnchen-3ya" },
	{ "пример", "xn--e1afmkfd" }, { "ПРИМЕР", "xn--e1afmkfd" },
	{ "παράδειγμα", "xn--hxajbheg2az3al" },
	{ "ΠΑΡΆΔΕΙΓΜΑ", "xn--hxajbheg2az3al" },
	{ "țară", "xn--ar-kla13i" }, { "ȚARĂ", "xn--ar-kla13i" },
	{ "żółć", "xn--kda4b0koi" }, { "ŻÓŁĆ", "xn--kda4b0koi" },
	{ "TẠISAO", "xn--tisao-j11b" }, { "ğüş", "xn--tda3e7i" },
	/* what only tables could judge */
	{ "mu\xcc\x88nchen", NULL },		/* u and U+0308: not NFC */
	{ "ＡＢ", NULL }, { "☃", NULL }, { "😀", NULL },
	{ "a\xc2\xad" "b", NULL },		/* soft hyphen */
	{ "a\xe2\x80\x8d" "b", NULL },		/* zero width joiner */
	{ "a\xe3\x80\x82" "b", NULL },		/* ideographic full stop */
	{ "\xc4\xb0stanbul", NULL },		/* U+0130 */
	{ "\xc2\xa0", NULL }, { "\xe2\x80\xae" "a", NULL },
	{ "\xee\x80\x80", NULL },		/* private use */
	{ "ab--ü", NULL }, { "xn--ü", NULL },
};
/* clang-format on */

static void
test_bounds(void)
{
	char in[600], out[IDN_LABEL_MAX + 1];
	const char *why = NULL;

	t_case("idn: a label that would pass 63 octets is refused");
	memset(in, 'a', sizeof in);
	memcpy(in + 58, "\xc3\xbc", 2);
	/* "xn--", 58 letters, "-" and at least one digit: 64 */
	t_int(idn_label(out, in, 60, &why), -1);
	t_true(why != NULL);
	memcpy(in + 50, "\xc3\xbc", 2);
	memset(in + 52, 'a', sizeof in - 52);
	t_int(idn_label(out, in, 52, &why), 0);
	t_true(strlen(out) <= IDN_LABEL_MAX);
	why = NULL;
	t_int(idn_label(out, in, sizeof in, &why), -1);
	t_true(why != NULL);
	for (size_t i = 0; i < 300; i++)
		memcpy(in + 2 * i, "\xc3\xbc", 2);
	t_int(idn_label(out, in, sizeof in, &why), -1);
	t_case("idn: two letters for each length up to the bound stay in it");
	for (size_t len = 2; len <= 600; len += 2) {
		memset(out, 'x', sizeof out);
		if (idn_label(out, in, len, &why) == 0)
			t_true(memchr(out, '\0', sizeof out) != NULL);
		else
			t_true(len > 40);
	}
}

int
main(void)
{
	char out[IDN_LABEL_MAX + 1];

	t_case("idn: U-labels become A-labels (RFC 3492), or are refused");
	for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
		const char *in = labels[i].in, *why = NULL;
		int r;

		t_row("%s", in);
		r = idn_label(out, in, strlen(in), &why);
		t_str(r == 0 ? out : NULL, labels[i].out);
		t_true((r == -1) == (why != NULL));
	}
	t_row(NULL);
	test_bounds();
	return t_done();
}
