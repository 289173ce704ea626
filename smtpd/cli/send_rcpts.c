#include "smtpd/cli/send_rcpts.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/header.h"

#define MALFORMED "5.1.3" /* RFC 3463: bad destination address syntax */

static bool
is_there(const struct submit_mail *m, const char *address)
{
	for (size_t i = 0; i < m->rcpt_count; i++)
		if (strcmp(m->rcpts[i].address, address) == 0)
			return true;
	return false;
}

/* Room doubles: capacity is the next power of two. */
static struct submit_rcpt *
new_rcpt(struct submit_mail *m)
{
	size_t n = m->rcpt_count;
	struct submit_rcpt *rcpts;

	if ((n & (n - 1)) == 0) {
		rcpts =
		    reallocarray(m->rcpts, n == 0 ? 1 : 2 * n, sizeof *rcpts);
		if (rcpts == NULL)
			return NULL;
		m->rcpts = rcpts;
	}
	memset(&m->rcpts[n], 0, sizeof m->rcpts[n]);
	return &m->rcpts[n];
}

/* Text of someone else's, made fit to be shown. */
static char *
printable_copy(const char *text, size_t len)
{
	char *copy = malloc(len + 1);

	if (copy == NULL)
		return NULL;
	for (size_t i = 0; i < len; i++)
		if (text[i] >= 0x20 && text[i] < 0x7f)
			copy[i] = text[i];
		else
			copy[i] = '?';
	copy[len] = '\0';
	return copy;
}

static int
add_rcpt(void *arg, const char *text, size_t len)
{
	struct submit_mail *m = arg;
	struct submit_rcpt *r;
	struct address address;
	const char *why;
	bool good;

	good = address_parse(&address, text, len, ADDRESS_UTF8 | ADDRESS_BARE,
		   &why) == 0;
	if (good && is_there(m, address.text))
		return 0;
	r = new_rcpt(m);
	if (r == NULL)
		return -1;
	if (good) {
		r->address = strdup(address.text);
		m->smtputf8 |= address.needs_utf8;
	} else {
		r->address = printable_copy(text, len);
		r->state = SUBMIT_REFUSED;
		(void)strlcpy(r->reply, why, sizeof r->reply);
		(void)strlcpy(r->dsn, MALFORMED, sizeof r->dsn);
	}
	if (r->address == NULL)
		return -1;
	m->rcpt_count++;
	return 0;
}

/* A list that cannot be taken apart is one malformed recipient. */
static int
add_malformed(struct submit_mail *m, const char *list, size_t len,
    const char *why)
{
	struct submit_rcpt *r = new_rcpt(m);

	if (r == NULL || (r->address = printable_copy(list, len)) == NULL)
		return -1;
	r->state = SUBMIT_REFUSED;
	(void)strlcpy(r->reply, why, sizeof r->reply);
	(void)strlcpy(r->dsn, MALFORMED, sizeof r->dsn);
	m->rcpt_count++;
	return 0;
}

int
send_add_rcpts(struct submit_mail *m, const char *list, size_t len)
{
	const char *why = NULL;
	size_t before = m->rcpt_count;

	switch (header_list(list, len, add_rcpt, m, &why)) {
	case -1:
		return why == NULL ? -1 : add_malformed(m, list, len, why);
	case 0:
		return m->rcpt_count > before
		    ? 0
		    : add_malformed(m, list, len, "no address");
	default:
		return 0;
	}
}

int
send_add_header_rcpts(struct submit_mail *m, const char **why)
{
	const struct buf *head = &m->content->head;

	*why = "out of memory";
	return header_rcpts(buf_bytes(head), buf_len(head), add_rcpt, m, why) ==
		-1
	    ? -1
	    : 0;
}

void
send_free_rcpts(struct submit_mail *m)
{
	for (size_t i = 0; i < m->rcpt_count; i++)
		free(m->rcpts[i].address);
	free(m->rcpts);
	m->rcpts = NULL;
	m->rcpt_count = 0;
}

/* What a list of one gave. */
struct one {
	struct address *out;
	unsigned count;
	const char *why;
};

static int
take_one(void *arg, const char *text, size_t len)
{
	struct one *one = arg;

	if (one->count++ > 0)
		return 0;
	return address_parse(one->out, text, len, ADDRESS_UTF8 | ADDRESS_BARE,
	    &one->why);
}

int
send_one_address(struct address *out, const char *text, const char **why)
{
	struct one one = { out, 0, NULL };

	memset(out, 0, sizeof *out);
	if (text[0] == '\0' || strcmp(text, "<>") == 0)
		return 0;
	*why = "malformed address";
	if (header_list(text, strlen(text), take_one, &one, why) == -1) {
		if (one.why != NULL)
			*why = one.why;
		return -1;
	}
	if (one.count == 1)
		return 0;
	*why = one.count == 0 ? "no address" : "more than one address";
	return -1;
}
