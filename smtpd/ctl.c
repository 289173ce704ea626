#include "smtpd/ctl.h"

#include <assert.h>
#include <string.h>

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

#define CTL_KEY_BODY 1U
#define CTL_KEY_REFRESH 2U
#define CTL_KEY_DOMAIN 4U
#define CTL_KEY_SENDER 8U
#define CTL_KEY_STATE 16U
#define CTL_KEYS_FILTER (CTL_KEY_DOMAIN | CTL_KEY_SENDER | CTL_KEY_STATE)

/* clang-format off */
static const struct ctl_row rows[] = {
	[CTL_QUEUE]    = { "queue",    CTL_BY_QUEUE,  CTL_ARG_NONE,
	    CTL_KEYS_FILTER, true },
	[CTL_COUNT]    = { "count",    CTL_BY_QUEUE,  CTL_ARG_NONE,
	    CTL_KEY_DOMAIN, false },
	[CTL_SHOW]     = { "show",     CTL_BY_QUEUE,  CTL_ARG_ID,
	    CTL_KEY_BODY, false },
	[CTL_PROOF]    = { "proof",    CTL_BY_QUEUE,  CTL_ARG_MESSAGE,
	    0, false },
	[CTL_RETRY]    = { "retry",    CTL_BY_QUEUE,  CTL_ARG_WHAT, 0, false },
	[CTL_HOLD]     = { "hold",     CTL_BY_QUEUE,  CTL_ARG_WHAT, 0, false },
	[CTL_RELEASE]  = { "release",  CTL_BY_QUEUE,  CTL_ARG_WHAT, 0, false },
	[CTL_REMOVE]   = { "remove",   CTL_BY_QUEUE,  CTL_ARG_WHAT, 0, false },
	[CTL_BOUNCE]   = { "bounce",   CTL_BY_QUEUE,  CTL_ARG_WHAT, 0, false },
	[CTL_STATUS]   = { "status",   CTL_BY_QUEUE,  CTL_ARG_NONE, 0, false },
	[CTL_TOP]      = { "top",      CTL_BY_QUEUE,  CTL_ARG_NONE, 0, false },
	[CTL_PAUSE]    = { "pause",    CTL_BY_QUEUE,  CTL_ARG_NONE, 0, false },
	[CTL_RESUME]   = { "resume",   CTL_BY_QUEUE,  CTL_ARG_NONE, 0, false },
	[CTL_POLICY]   = { "policy",   CTL_BY_POLICY, CTL_ARG_DOMAIN,
	    CTL_KEY_REFRESH, false },
	[CTL_POLICIES] = { "policies", CTL_BY_POLICY, CTL_ARG_NONE, 0, false },
	[CTL_FORGET]   = { "forget",   CTL_BY_POLICY, CTL_ARG_DOMAIN, 0, false },
	[CTL_RELOAD]   = { "reload",   CTL_BY_PARENT, CTL_ARG_NONE, 0, false },
	[CTL_STOP]     = { "stop",     CTL_BY_PARENT, CTL_ARG_NONE, 0, false },
};
/* clang-format on */
static_assert(nitems(rows) == CTL_VERBS, "every verb has a row");

static const char *const states[] = { "ready", "sending", "deferred", "held" };

/* A key: a flag that is set by "1", or a string of the request. */
struct key_row {
	const char *word;
	unsigned key;
	uint32_t flag;
	size_t offset;
	size_t size;
};

/* clang-format off */
static const struct key_row keys[] = {
	{ "body",    CTL_KEY_BODY,    CTL_FLAG_BODY,    0, 0 },
	{ "refresh", CTL_KEY_REFRESH, CTL_FLAG_REFRESH, 0, 0 },
	{ "domain",  CTL_KEY_DOMAIN,  0,
	    offsetof(struct ctl_request, domain), CTL_DOMAIN_SIZE },
	{ "sender",  CTL_KEY_SENDER,  0,
	    offsetof(struct ctl_request, sender), ADDRESS_SIZE },
	{ "state",   CTL_KEY_STATE,   0,
	    offsetof(struct ctl_request, state), CTL_STATE_SIZE },
};
/* clang-format on */

const struct ctl_row *
ctl_row(enum ctl_verb verb)
{
	return (unsigned)verb < nitems(rows) ? &rows[verb] : NULL;
}

bool
ctl_state_is_known(const char *state)
{
	for (size_t i = 0; i < nitems(states); i++)
		if (strcmp(state, states[i]) == 0)
			return true;
	return false;
}

/* A word of the request: bytes between blanks. */
struct word {
	const char *text;
	size_t len;
};

/* Take the next word. 1, 0 at the end, -1 where the form is wrong. */
static int
next_word(struct word *rest, struct word *word)
{
	const char *blank;

	if (rest->len == 0)
		return 0;
	blank = memchr(rest->text, ' ', rest->len);
	word->text = rest->text;
	word->len = blank != NULL ? (size_t)(blank - rest->text) : rest->len;
	rest->text += word->len;
	rest->len -= word->len;
	if (blank != NULL) {
		rest->text++;
		/* A blank is followed by a word. */
		if (--rest->len == 0)
			return -1;
	}
	return word->len > 0 ? 1 : -1;
}

static bool
word_is(const struct word *w, const char *text)
{
	return strlen(text) == w->len && memcmp(w->text, text, w->len) == 0;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool
is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

static bool
stands_for_itself(unsigned char c)
{
	return c > 0x20 && c < 0x7f && c != '+' && c != '=';
}

/* The byte that the escape at text[0..len) stands for; -1: malformed. */
static int
unescape(const char *text, size_t len)
{
	int high, low;

	if (len < 3)
		return -1;
	high = hex_value(text[1]);
	low = hex_value(text[2]);
	return high == -1 || low == -1 ? -1 : high << 4 | low;
}

/* Undo the escapes of "w" into "out" of "size" bytes, with a NUL. */
static int
decode(const struct word *w, char *out, size_t size, const char **why)
{
	size_t i, n = 0;
	int byte;

	for (i = 0; i < w->len; i++) {
		byte = (unsigned char)w->text[i];
		*why = "unescaped character in control request";
		if (byte == '+') {
			byte = unescape(w->text + i, w->len - i);
			*why = "malformed escape in control request";
			i += 2;
		} else if (!stands_for_itself((unsigned char)byte))
			byte = -1;
		if (byte == -1)
			return -1;
		*why = "control character in control request";
		if (is_control((unsigned char)byte))
			return -1;
		*why = "word of control request is too long";
		if (n + 1 >= size)
			return -1;
		out[n++] = (char)byte;
	}
	out[n] = '\0';
	return 0;
}

static int
parse_verb(const struct word *w, enum ctl_verb *verb)
{
	for (size_t i = 0; i < nitems(rows); i++)
		if (word_is(w, rows[i].word)) {
			*verb = (enum ctl_verb)i;
			return 0;
		}
	return -1;
}

static int
set_key(struct ctl_request *req, const struct key_row *row,
    const struct word *value, const char **why)
{
	char *string = (char *)req + row->offset;

	if (row->flag != 0) {
		if (!word_is(value, "1")) {
			*why = "flag of control request must be 1";
			return -1;
		}
		req->flags |= row->flag;
		return 0;
	}
	if (decode(value, string, row->size, why) == -1)
		return -1;
	/* The null sender is asked for as <>, so nothing means a mistake. */
	if (string[0] == '\0') {
		*why = "empty value in control request";
		return -1;
	}
	if (row->key == CTL_KEY_STATE && !ctl_state_is_known(string)) {
		*why = "unknown state in control request";
		return -1;
	}
	return 0;
}

static int
parse_key(struct ctl_request *req, const struct word *w, unsigned *seen,
    const char **why)
{
	const char *equals = memchr(w->text, '=', w->len);
	struct word name, value;

	if (equals == NULL) {
		*why = "too many words in control request";
		return -1;
	}
	name.text = w->text;
	name.len = (size_t)(equals - w->text);
	value.text = equals + 1;
	value.len = w->len - name.len - 1;
	for (size_t i = 0; i < nitems(keys); i++) {
		if (!word_is(&name, keys[i].word))
			continue;
		if ((rows[req->verb].keys & keys[i].key) == 0)
			break;
		if ((*seen & keys[i].key) != 0) {
			*why = "key given twice in control request";
			return -1;
		}
		*seen |= keys[i].key;
		return set_key(req, &keys[i], &value, why);
	}
	*why = "unknown key in control request";
	return -1;
}

static int
parse_words(struct ctl_request *req, struct word rest, const char **why)
{
	struct word w;
	unsigned seen = 0;
	int more;

	*why = "malformed control request";
	if (next_word(&rest, &w) != 1)
		return -1;
	if (parse_verb(&w, &req->verb) == -1) {
		*why = "unknown control request";
		return -1;
	}
	if (rows[req->verb].argument != CTL_ARG_NONE) {
		if (next_word(&rest, &w) != 1) {
			*why = "control request lacks its argument";
			return -1;
		}
		if (decode(&w, req->what, sizeof req->what, why) == -1)
			return -1;
		if (rows[req->verb].argument == CTL_ARG_DOMAIN &&
		    strlen(req->what) >= CTL_DOMAIN_SIZE) {
			*why = "domain in control request is too long";
			return -1;
		}
	}
	while ((more = next_word(&rest, &w)) == 1)
		if (parse_key(req, &w, &seen, why) == -1)
			return -1;
	return more;
}

int
ctl_parse(const char *text, size_t len, struct ctl_request *req,
    const char **why)
{
	struct word rest = { text, len };

	memset(req, 0, sizeof *req);
	if (len > CTL_LINE_MAX) {
		*why = "control request is too long";
		return -1;
	}
	return parse_words(req, rest, why);
}

/* Text being written; "failed" is sticky. */
struct out {
	char *text;
	size_t len;
	size_t size;
	bool failed;
};

static void
put(struct out *o, char c)
{
	if (o->len + 1 >= o->size) {
		o->failed = true;
		return;
	}
	o->text[o->len++] = c;
	o->text[o->len] = '\0';
}

static void
put_text(struct out *o, const char *text)
{
	for (; *text != '\0'; text++)
		put(o, *text);
}

static void
put_escaped(struct out *o, const char *text)
{
	static const char digits[] = "0123456789ABCDEF";
	unsigned char c;

	for (; *text != '\0'; text++) {
		c = (unsigned char)*text;
		if (stands_for_itself(c)) {
			put(o, *text);
			continue;
		}
		put(o, '+');
		put(o, digits[c >> 4]);
		put(o, digits[c & 15]);
	}
}

static void
put_key(struct out *o, const struct ctl_request *req, const struct key_row *row)
{
	const char *string = (const char *)req + row->offset;

	if (row->flag != 0 ? (req->flags & row->flag) == 0 : string[0] == '\0')
		return;
	put(o, ' ');
	put_text(o, row->word);
	put(o, '=');
	put_escaped(o, row->flag != 0 ? "1" : string);
}

int
ctl_format(const struct ctl_request *req, char *out, size_t size,
    const char **why)
{
	struct out o = { out, 0, size, size == 0 };
	struct ctl_request back;

	if ((unsigned)req->verb >= nitems(rows)) {
		*why = "unknown control request";
		return -1;
	}
	put_text(&o, rows[req->verb].word);
	if (req->what[0] != '\0') {
		put(&o, ' ');
		put_escaped(&o, req->what);
	}
	for (size_t i = 0; i < nitems(keys); i++)
		put_key(&o, req, &keys[i]);
	if (o.failed) {
		*why = "control request is too long";
		return -1;
	}
	/* What the daemon would refuse is refused here, in its words. */
	return ctl_parse(out, o.len, &back, why) == 0 ? (int)o.len : -1;
}

void
ctl_to_queue(const struct ctl_request *req, int64_t uid,
    struct msg_ctl_queue *msg)
{
	static_assert(sizeof msg->what == sizeof req->what &&
		sizeof msg->domain == sizeof req->domain &&
		sizeof msg->sender == sizeof req->sender &&
		sizeof msg->state == sizeof req->state,
	    "a request fits its message");

	memset(msg, 0, sizeof *msg);
	msg->verb = req->verb;
	msg->flags = req->flags;
	msg->uid = uid;
	memcpy(msg->what, req->what, sizeof msg->what);
	memcpy(msg->domain, req->domain, sizeof msg->domain);
	memcpy(msg->sender, req->sender, sizeof msg->sender);
	memcpy(msg->state, req->state, sizeof msg->state);
}

void
ctl_to_policy(const struct ctl_request *req, struct msg_ctl_policy *msg)
{
	memset(msg, 0, sizeof *msg);
	msg->verb = req->verb;
	msg->flags = req->flags;
	memcpy(msg->domain, req->what, sizeof msg->domain - 1);
}

void
ctl_to_parent(const struct ctl_request *req, struct msg_ctl_parent *msg)
{
	memset(msg, 0, sizeof *msg);
	msg->verb = req->verb;
}
