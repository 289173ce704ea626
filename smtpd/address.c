#include "smtpd/address.h"

#include <arpa/inet.h>

#include <string.h>

#include "smtpd/base/utf8.h"
#include "smtpd/idn.h"

#define LABEL_MAX 63        /* octets, RFC 1035 2.3.4 */
#define DOMAIN_TEXT_MAX 253 /* octets that leave 255 on the wire, ditto */

static int
refuse(const char **why, const char *sentence)
{
	*why = sentence;
	return -1;
}

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z');
}

static bool
is_8bit(char c)
{
	return ((unsigned char)c & 0x80) != 0;
}

static bool
has_8bit(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (is_8bit(s[i]))
			return true;
	return false;
}

/* RFC 5322 3.2.3; beyond ASCII as RFC 6531 3.3 has it. */
static bool
is_atext(char c, unsigned accept)
{
	if (is_8bit(c))
		return (accept & ADDRESS_UTF8) != 0;
	return is_alnum(c) ||
	    (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/*
 * No control character, and UTF-8 only where it is asked for. C1 controls
 * (U+0080 to U+009F) are as unfit for a log or a terminal as C0 ones.
 */
static int
check_bytes(const char *s, size_t len, unsigned accept, const char **why)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return refuse(why, "a control character");
		if (is_8bit(s[i]) && (accept & ADDRESS_UTF8) == 0)
			return refuse(why, "not ASCII, and no SMTPUTF8");
		if ((unsigned char)s[i] == 0xc2 && i + 1 < len &&
		    (unsigned char)s[i + 1] < 0xa0)
			return refuse(why, "a control character");
	}
	if (!utf8_is_valid(s, len))
		return refuse(why, "not valid UTF-8");
	return 0;
}

static size_t
quoted_length(const char *s, size_t len)
{
	for (size_t i = 1; i < len; i++) {
		if (s[i] == '"')
			return i + 1;
		if (s[i] == '\\')
			i++;
	}
	return 0;
}

static size_t
dot_string_length(const char *s, size_t len, unsigned accept)
{
	size_t i = 0;

	while (i < len && (is_atext(s[i], accept) || s[i] == '.'))
		i++;
	return i;
}

/*
 * Length of the local part at the start of s: a quoted string or atoms with
 * single dots between. -1 with *why.
 */
static int
local_length(const char *s, size_t len, unsigned accept, const char **why)
{
	size_t n;

	if (len > 0 && s[0] == '"') {
		n = quoted_length(s, len);
		if (n == 0)
			return refuse(why, "a quote is not closed");
	} else {
		n = dot_string_length(s, len, accept);
		if (n == 0)
			return refuse(why, "no local part");
		if (s[0] == '.' || s[n - 1] == '.' ||
		    memmem(s, n, "..", 2) != NULL)
			return refuse(why, "a misplaced dot in the local part");
	}
	if (n > ADDRESS_LOCAL_MAX)
		return refuse(why, "the local part is longer than 64 octets");
	return (int)n;
}

/* Why something is no label, where it holds the right characters. */
static const char *
label_fault(const char *s, size_t len)
{
	if (len == 0)
		return "an empty label in the domain";
	if (s[0] == '-' || s[len - 1] == '-')
		return "a label begins or ends with a hyphen";
	return NULL;
}

/* Of ASCII, whatever the locale. */
static char
lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c);
}

static int
add_lower(char *out, size_t *used, const char *s, size_t len, const char **why)
{
	if (len > LABEL_MAX)
		return refuse(why, "a label of the domain is too long");
	if (*used + len > DOMAIN_TEXT_MAX)
		return refuse(why, "the domain is too long");
	for (size_t i = 0; i < len; i++)
		out[(*used)++] = lower(s[i]);
	return 0;
}

/* One label, already known to hold only letters, digits, hyphens and UTF-8. */
static int
put_label(char *out, size_t *used, const char *s, size_t len, const char **why)
{
	char label[IDN_LABEL_MAX + 1];

	*why = label_fault(s, len);
	if (*why != NULL)
		return -1;
	if (has_8bit(s, len)) {
		if (idn_label(label, s, len, why) == -1)
			return -1;
		s = label;
		len = strlen(label);
	}
	return add_lower(out, used, s, len, why);
}

/* A name whose last label is a number is an IPv4 address, or means to be. */
static bool
ends_in_number(const char *domain)
{
	const char *dot = strrchr(domain, '.');
	const char *last = dot != NULL ? dot + 1 : domain;

	return last[strspn(last, "0123456789")] == '\0';
}

int
address_domain(char out[ADDRESS_DOMAIN_SIZE], const char *s, size_t len,
    unsigned accept, const char **why)
{
	size_t used = 0, start = 0;

	if (len == 0)
		return refuse(why, "no domain");
	if (len > 4 * (size_t)DOMAIN_TEXT_MAX)
		return refuse(why, "the domain is too long");
	if (check_bytes(s, len, accept, why) == -1)
		return -1;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && s[i] != '.') {
			if (!is_alnum(s[i]) && s[i] != '-' && !is_8bit(s[i]))
				return refuse(why,
				    "a wrong character in the domain");
			continue;
		}
		if (put_label(out, &used, s + start, i - start, why) == -1)
			return -1;
		start = i + 1;
		if (i < len)
			out[used++] = '.';
	}
	out[used] = '\0';
	if (ends_in_number(out))
		return refuse(why, "an IP address belongs in brackets");
	return 0;
}

/* RFC 5321 4.1.3: [192.0.2.1] or [IPv6:2001:db8::1]; no other tag is known. */
static int
put_literal(struct address *out, const char *s, size_t len, const char **why)
{
	unsigned char bytes[16];
	char text[INET6_ADDRSTRLEN];
	int family = AF_INET;
	size_t i = 1;

	if (len > 6 && strncasecmp(s, "[IPv6:", 6) == 0) {
		family = AF_INET6;
		i = 6;
	}
	if (len < i + 2 || s[len - 1] != ']' || len - i > sizeof text)
		return refuse(why, "not an address literal");
	memcpy(text, s + i, len - 1 - i);
	text[len - 1 - i] = '\0';
	if (strlen(text) != len - 1 - i || inet_pton(family, text, bytes) != 1)
		return refuse(why, "not an address literal");
	(void)inet_ntop(family, bytes, text, sizeof text);
	(void)strlcpy(out->domain,
	    family == AF_INET ? "[" : "[IPv6:", sizeof out->domain);
	(void)strlcat(out->domain, text, sizeof out->domain);
	(void)strlcat(out->domain, "]", sizeof out->domain);
	out->is_literal = true;
	return 0;
}

/* Put text together from local part and domain. */
static int
put_text(struct address *out, const char **why)
{
	size_t local = strlen(out->local), domain = strlen(out->domain);

	if (local + 1 + domain > ADDRESS_MAX)
		return refuse(why, "the address is longer than 254 octets");
	memcpy(out->text, out->local, local + 1);
	if (domain > 0) {
		out->text[local] = '@';
		memcpy(out->text + local + 1, out->domain, domain + 1);
	}
	return 0;
}

static int
put_domain(struct address *out, const char *s, size_t len, unsigned accept,
    const char **why)
{
	if (len > 0 && s[0] == '[')
		return put_literal(out, s, len, why);
	return address_domain(out->domain, s, len, accept, why);
}

int
address_parse(struct address *out, const char *s, size_t len, unsigned accept,
    const char **why)
{
	int local;

	memset(out, 0, sizeof *out);
	if (len == 0) {
		if ((accept & ADDRESS_NULL) != 0)
			return 0;
		return refuse(why, "an empty address");
	}
	if (len > 4 * (size_t)ADDRESS_MAX)
		return refuse(why, "the address is longer than 254 octets");
	if (check_bytes(s, len, accept, why) == -1)
		return -1;
	local = local_length(s, len, accept, why);
	if (local == -1)
		return -1;
	memcpy(out->local, s, (size_t)local);
	out->needs_utf8 = has_8bit(s, (size_t)local);
	s += local;
	len -= (size_t)local;
	if (len == 0) {
		if ((accept & ADDRESS_BARE) == 0)
			return refuse(why, "no domain");
	} else if (s[0] != '@')
		return refuse(why, "a wrong character in the local part");
	else if (put_domain(out, s + 1, len - 1, accept, why) == -1)
		return -1;
	return put_text(out, why);
}

/*
 * Length of a source route "@a,@b:" at the start of s, 0 if there is none.
 * RFC 5321 4.1.2, A-d-l; it is of no use and only its form is checked.
 */
static int
route_length(const char *s, size_t len, unsigned accept, const char **why)
{
	char domain[ADDRESS_DOMAIN_SIZE];
	size_t i = 0;

	if (len == 0 || s[0] != '@')
		return 0;
	for (;;) {
		size_t n = 0;

		if (i == len || s[i++] != '@')
			return refuse(why, "a malformed source route");
		while (i + n < len && s[i + n] != ',' && s[i + n] != ':')
			n++;
		if (i + n == len)
			return refuse(why, "a malformed source route");
		if (address_domain(domain, s + i, n, accept, why) == -1)
			return -1;
		i += n + 1;
		if (s[i - 1] == ':')
			return (int)i;
	}
}

/* Offset of the ">" that ends a path; 0 if there is none. */
static size_t
path_end(const char *s, size_t len)
{
	bool quoted = false;

	for (size_t i = 1; i < len; i++) {
		if (s[i] == '"')
			quoted = !quoted;
		else if (s[i] == '\\' && quoted)
			i++;
		else if (s[i] == '>' && !quoted)
			return i;
	}
	return 0;
}

int
address_parse_path(struct address *out, const char *s, size_t len,
    unsigned accept, const char **why)
{
	size_t end;
	int route;

	memset(out, 0, sizeof *out);
	if (len == 0 || s[0] != '<')
		return refuse(why, "no < before the address");
	/* A path with all its UTF-8 and its route: bounded before any work. */
	if (len > 4096)
		len = 4096;
	end = path_end(s, len);
	if (end == 0)
		return refuse(why, "no > behind the address");
	if (end == 1)
		route = 0;
	else
		route = route_length(s + 1, end - 1, accept, why);
	if (route == -1)
		return -1;
	if (route > 0)
		accept &= ~(unsigned)(ADDRESS_NULL | ADDRESS_BARE);
	if (address_parse(out, s + 1 + route, end - 1 - (size_t)route, accept,
		why) == -1)
		return -1;
	return (int)end + 1;
}

int
address_qualify(struct address *a, const char *domain, const char **why)
{
	char checked[ADDRESS_DOMAIN_SIZE];

	if (a->domain[0] != '\0' || a->local[0] == '\0')
		return 0;
	if (address_domain(checked, domain, strlen(domain), 0, why) == -1)
		return -1;
	memcpy(a->domain, checked, sizeof a->domain);
	if (put_text(a, why) == -1) {
		a->domain[0] = '\0';
		return -1;
	}
	return 0;
}
