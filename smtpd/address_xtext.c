#include <stdbool.h>

#include "smtpd/address.h"

int
address_xtext_encode(char *out, size_t size, const char *s, size_t len)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		bool plain = c > 0x20 && c < 0x7f && c != '+' && c != '=';

		if (used + (plain ? 1 : 3) >= size)
			return -1;
		if (plain) {
			out[used++] = (char)c;
			continue;
		}
		out[used++] = '+';
		out[used++] = hex[c >> 4];
		out[used++] = hex[c & 15];
	}
	if (used >= size)
		return -1;
	out[used] = '\0';
	return (int)used;
}

/* RFC 3461 4: upper-case hexadecimal digits only. */
static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int
address_xtext_decode(char *out, size_t size, const char *s, size_t len)
{
	size_t used = 0;
	int c, high, low;

	for (size_t i = 0; i < len; i++) {
		c = (unsigned char)s[i];
		if (c <= 0x20 || c >= 0x7f || c == '=')
			return -1;
		if (c == '+') {
			if (len - i < 3)
				return -1;
			high = hex_value(s[i + 1]);
			low = hex_value(s[i + 2]);
			if (high == -1 || low == -1)
				return -1;
			c = high * 16 + low;
			i += 2;
		}
		if (c < 0x20 || c == 0x7f || used + 1 >= size)
			return -1;
		out[used++] = (char)c;
	}
	if (used >= size)
		return -1;
	out[used] = '\0';
	return (int)used;
}
