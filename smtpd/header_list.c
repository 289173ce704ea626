/*
 * Address lists, RFC 5322 3.4 with the obsolete forms of 4.4.
 */

#include <string.h>

#include "smtpd/header.h"

#define ITEM_SIZE 1024 /* bytes; four times what an address may have */

struct list {
	const char *at;
	const char *end;
	struct header_taker *taker;
	const char *behind; /* the last byte of "item", in the list */
	int count;
	bool in_group;

	/* the item so far, blanks and comments taken off */
	char item[ITEM_SIZE];
	size_t len;
	bool is_long;   /* it did not fit; it may still be a display name */
	bool had_blank; /* behind the last byte of "item" */
	bool is_phrase; /* two words: no address by itself */
	bool is_angle;  /* "item" is from < and >, and the address is over */
};

static int
refuse(struct list *l, const char *sentence)
{
	*l->taker->why = sentence;
	return -1;
}

static void
begin_item(struct list *l)
{
	l->len = 0;
	l->is_long = l->had_blank = l->is_phrase = l->is_angle = false;
}

static void
add(struct list *l, char c)
{
	if (l->len + 1 < sizeof l->item)
		l->item[l->len++] = c;
	else
		l->is_long = true;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind the comment at l->at; nesting is counted, not recursed into. */
static int
skip_comment(struct list *l)
{
	size_t depth = 0;

	for (; l->at < l->end; l->at++) {
		if (*l->at == '\\' && l->at + 1 < l->end)
			l->at++;
		else if (*l->at == '(')
			depth++;
		else if (*l->at == ')' && --depth == 0) {
			l->at++;
			return 0;
		}
	}
	return refuse(l, "a comment is not closed");
}

/* Copy up to "close": a quoted string, or a domain literal. */
static int
add_enclosed(struct list *l, char close)
{
	add(l, *l->at);
	for (l->at++; l->at < l->end; l->at++) {
		/* Folding is no part of the text, RFC 5322 3.2.4. */
		if (*l->at == '\r' || *l->at == '\n')
			continue;
		add(l, *l->at);
		if (*l->at == '\\' && l->at + 1 < l->end)
			add(l, *++l->at);
		else if (*l->at == close) {
			l->at++;
			return 0;
		}
	}
	return refuse(l,
	    close == '"' ? "a quote is not closed" : "a [ is not closed");
}

/* A comment, a blank, an enclosed text or a plain byte, in an address. */
static int
add_piece(struct list *l)
{
	char c = *l->at;

	if (c == '(') {
		l->had_blank = true;
		return skip_comment(l);
	}
	if (is_blank(c)) {
		l->had_blank = true;
		l->at++;
		return 0;
	}
	if (l->had_blank && l->len > 0 && c != '.' && c != '@' &&
	    l->item[l->len - 1] != '.' && l->item[l->len - 1] != '@')
		l->is_phrase = true;
	l->had_blank = false;
	if (c == '"' || c == '[') {
		if (add_enclosed(l, c == '"' ? '"' : ']') == -1)
			return -1;
	} else {
		add(l, c);
		l->at++;
	}
	l->behind = l->at;
	return 0;
}

/* Drop a source route "@a,@b:" from the front; it is obsolete. */
static void
drop_route(struct list *l)
{
	char *colon;

	if (l->len == 0 || l->item[0] != '@')
		return;
	colon = memchr(l->item, ':', l->len);
	if (colon == NULL)
		return;
	l->len -= (size_t)(colon + 1 - l->item);
	memmove(l->item, colon + 1, l->len);
}

/* <address>; what stood before it was the display name. */
static int
take_angle(struct list *l)
{
	if (l->is_angle)
		return refuse(l, "a second < in one address");
	begin_item(l);
	for (l->at++; l->at < l->end && *l->at != '>';) {
		if (*l->at == '<')
			return refuse(l, "a second < in one address");
		if (add_piece(l) == -1)
			return -1;
	}
	if (l->at == l->end)
		return refuse(l, "no > behind an address");
	l->at++;
	if (l->is_phrase)
		return refuse(l, "a blank inside an address");
	drop_route(l);
	l->is_angle = true;
	return 0;
}

static int
end_item(struct list *l)
{
	int r = 0;

	if (l->is_phrase)
		r = refuse(l, "two words where one address belongs");
	else if (l->is_long)
		r = refuse(l, "an address is too long");
	else if (l->len > 0) {
		l->item[l->len] = '\0';
		l->count++;
		l->taker->behind = l->behind;
		r = l->taker->fn(l->taker->arg, l->item, l->len);
	}
	begin_item(l);
	return r;
}

static int
take_special(struct list *l)
{
	char c = *l->at;

	if (c == '<')
		return take_angle(l);
	l->at++;
	if (c == ':') {
		if (l->in_group || l->is_angle)
			return refuse(l, "a misplaced colon");
		l->in_group = true;
		begin_item(l);
		return 0;
	}
	/* Outside a group, ";" is what some programs write for ",". */
	if (c == ';')
		l->in_group = false;
	return end_item(l);
}

int
header_list_take(const char *list, size_t len, struct header_taker *taker)
{
	struct list l = {
		.at = list,
		.end = list + len,
		.taker = taker,
	};

	begin_item(&l);
	while (l.at < l.end) {
		char c = *l.at;
		int r;

		if (c == ',' || c == ';' || c == ':' || c == '<')
			r = take_special(&l);
		else if (l.is_angle && !is_blank(c) && c != '(')
			r = refuse(&l, "text behind an address in < and >");
		else
			r = add_piece(&l);
		if (r == -1)
			return -1;
	}
	return end_item(&l) == -1 ? -1 : l.count;
}

int
header_list(const char *list, size_t len, header_rcpt_fn *fn, void *arg,
    const char **why)
{
	struct header_taker taker = { .fn = fn, .arg = arg, .why = why };

	return header_list_take(list, len, &taker);
}
