#include "smtpd/conf_value.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "smtpd/conf.h"

#define DIGITS_MAX 12 /* of any number: far above every bound */

/* The number that s begins with; NULL if there is none. */
static const char *
digits(const char *s, uint64_t *n)
{
	size_t len = strspn(s, "0123456789");

	*n = 0;
	if (len == 0 || len > DIGITS_MAX)
		return NULL;
	for (size_t i = 0; i < len; i++)
		*n = *n * 10 + (uint64_t)(s[i] - '0');
	return s + len;
}

int
conf_number(const char *s, unsigned min, unsigned max, unsigned *out,
    const char **why)
{
	const char *rest;
	uint64_t n;

	rest = digits(s, &n);
	if (rest == NULL || *rest != '\0') {
		*why = "not a number";
		return -1;
	}
	if (n < min || n > max) {
		*why = n < min ? "the number is too small"
			       : "the number is too large";
		return -1;
	}
	*out = (unsigned)n;
	return 0;
}

int
conf_duration(const char *s, unsigned *seconds, const char **why)
{
	static const char units[] = "smhd";
	static const unsigned lengths[] = { 1, 60, 3600, 86400 };
	const char *rest, *unit;
	uint64_t n;

	rest = digits(s, &n);
	if (rest == NULL || rest[0] == '\0' || rest[1] != '\0' ||
	    (unit = strchr(units, rest[0])) == NULL) {
		*why = "not a duration such as 30s, 5m, 4h or 5d";
		return -1;
	}
	n *= lengths[unit - units];
	if (n < 1 || n > CONF_PERIOD_MAX) {
		*why = n < 1 ? "the duration is too short"
			     : "the duration is too long";
		return -1;
	}
	*seconds = (unsigned)n;
	return 0;
}

int
conf_size(const char *s, uint64_t *bytes, const char **why)
{
	static const char units[] = "KMG";
	const char *rest, *unit;

	rest = digits(s, bytes);
	if (rest == NULL || *bytes == 0) {
		*why = "not a size such as 65536, 64K or 25M";
		return -1;
	}
	if (*rest == '\0')
		return 0;
	unit = strchr(units, *rest);
	if (unit == NULL || rest[1] != '\0') {
		*why = "not a size such as 65536, 64K or 25M";
		return -1;
	}
	*bytes <<= 10 * (unit - units + 1);
	return 0;
}

static bool
is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int
month_days(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30,
		31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

static int
pair(const char *s)
{
	return (s[0] - '0') * 10 + (s[1] - '0');
}

int
conf_date_end(const char *s, time_t *end, const char **why)
{
	struct tm tm = { .tm_hour = 24 };
	int year, month, day;

	*why = "not a date such as 2027-01-31";
	if (strlen(s) != 10 || s[4] != '-' || s[7] != '-')
		return -1;
	for (size_t i = 0; i < 10; i++)
		if (i != 4 && i != 7 && (s[i] < '0' || s[i] > '9'))
			return -1;
	year = pair(s) * 100 + pair(s + 2);
	month = pair(s + 5);
	day = pair(s + 8);
	if (year < 2000 || month < 1 || month > 12 || day < 1 ||
	    day > month_days(year, month))
		return -1;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	*end = timegm(&tm);
	return 0;
}

int
conf_port(const char *s, uint16_t *port, const char **why)
{
	unsigned n;

	if (conf_number(s, 1, UINT16_MAX, &n, why) == -1) {
		*why = "not a port from 1 to 65535";
		return -1;
	}
	*port = (uint16_t)n;
	return 0;
}
