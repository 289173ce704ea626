#include "smtpd/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

/* Everything of a request as one string, to compare whole. */
static const char *
summary(const struct ctl_request *r)
{
	static char text[2048];

	(void)snprintf(text, sizeof text, "%s[%s]%s%s d=%s s=%s st=%s",
	    ctl_row(r->verb)->word, r->what,
	    (r->flags & CTL_FLAG_BODY) != 0 ? " body" : "",
	    (r->flags & CTL_FLAG_REFRESH) != 0 ? " refresh" : "", r->domain,
	    r->sender, r->state);
	return text;
}

static const struct {
	const char *text;
	const char *want;
} good[] = {
	{ "queue", "queue[] d= s= st=" },
	{ "queue domain=example.net", "queue[] d=example.net s= st=" },
	{ "queue state=held sender=a@b.example domain=x",
	    "queue[] d=x s=a@b.example st=held" },
	{ "count domain=x.example", "count[] d=x.example s= st=" },
	{ "show 01hv2c3x4y5z6 body=1", "show[01hv2c3x4y5z6] body d= s= st=" },
	{ "proof 01hv2c3x4y5z6", "proof[01hv2c3x4y5z6] d= s= st=" },
	{ "proof <a+2Bb+20+3D@c.example>",
	    "proof[<a+b =@c.example>] d= s= st=" },
	{ "retry all", "retry[all] d= s= st=" },
	{ "retry smtp.example.net:587",
	    "retry[smtp.example.net:587] d= s= st=" },
	{ "policy example.net refresh=1",
	    "policy[example.net] refresh d= s= st=" },
	{ "queue sender=a+2Bb+3D+20c@d", "queue[] d= s=a+b= c@d st=" },
	{ "queue sender=+C3+A4@example.net",
	    "queue[] d= s=\xc3\xa4@example.net st=" },
	{ "queue sender=<>", "queue[] d= s=<> st=" },
	{ "stop", "stop[] d= s= st=" },
};

static const struct {
	const char *text;
	const char *why;
} bad[] = {
	{ "", "malformed control request" },
	{ " queue", "malformed control request" },
	{ "quue", "unknown control request" },
	{ "QUEUE", "unknown control request" },
	{ "queue ", "malformed control request" },
	{ "stop ", "malformed control request" },
	{ "queue  domain=x", "malformed control request" },
	{ "queue x", "too many words in control request" },
	{ "proof", "control request lacks its argument" },
	{ "proof a b", "too many words in control request" },
	{ "stop now", "too many words in control request" },
	{ "retry", "control request lacks its argument" },
	{ "retry ", "malformed control request" },
	{ "show a b", "too many words in control request" },
	{ "show body=1", "unescaped character in control request" },
	{ "show x body=2", "flag of control request must be 1" },
	{ "show x body=", "flag of control request must be 1" },
	{ "show x body=1 body=1", "key given twice in control request" },
	{ "count sender=a@b", "unknown key in control request" },
	{ "queue body=1", "unknown key in control request" },
	{ "queue colour=red", "unknown key in control request" },
	{ "queue =x", "unknown key in control request" },
	{ "queue domain=", "empty value in control request" },
	{ "queue state=lost", "unknown state in control request" },
	{ "queue state=deferred-and-longer-than-that",
	    "word of control request is too long" },
	{ "queue sender=a=b", "unescaped character in control request" },
	{ "queue sender=a\tb", "unescaped character in control request" },
	{ "queue sender=\xc3\xa4", "unescaped character in control request" },
	{ "queue sender=a+0Db", "control character in control request" },
	{ "queue sender=a+00b", "control character in control request" },
	{ "queue sender=a+7F", "control character in control request" },
	{ "queue sender=a+2", "malformed escape in control request" },
	{ "queue sender=a+", "malformed escape in control request" },
	{ "queue sender=a+2b", "malformed escape in control request" },
};

static void
requests_are_parsed(void)
{
	struct ctl_request req;
	const char *why;
	size_t i;

	t_case("ctl: a request is a verb, an argument and keys");
	for (i = 0; i < nitems(good); i++) {
		t_row("%s", good[i].text);
		why = "";
		t_int(ctl_parse(good[i].text, strlen(good[i].text), &req, &why),
		    0);
		t_str(summary(&req), good[i].want);
	}
	t_case("ctl: anything else is refused, and the reason is said");
	for (i = 0; i < nitems(bad); i++) {
		t_row("%s", bad[i].text);
		why = "";
		t_int(ctl_parse(bad[i].text, strlen(bad[i].text), &req, &why),
		    -1);
		t_str(why, bad[i].why);
	}
}

static void
length_is_bounded(void)
{
	char text[CTL_LINE_MAX + 2];
	struct ctl_request req;
	const char *why = "";

	t_case("ctl: a NUL inside a request is refused");
	t_int(ctl_parse("retry a\0b", 9, &req, &why), -1);
	t_str(why, "unescaped character in control request");

	t_case("ctl: an argument has room for what fits its message");
	memset(text, 'a', sizeof text);
	memcpy(text, "retry ", 6);
	t_int(ctl_parse(text, 6 + CTL_WHAT_SIZE - 1, &req, &why), 0);
	t_int(strlen(req.what), CTL_WHAT_SIZE - 1);
	t_int(ctl_parse(text, 6 + CTL_WHAT_SIZE, &req, &why), -1);
	memcpy(text, "policy ", 7);
	t_int(ctl_parse(text, 7 + CTL_DOMAIN_SIZE - 1, &req, &why), 0);
	t_int(ctl_parse(text, 7 + CTL_DOMAIN_SIZE, &req, &why), -1);
	t_str(why, "domain in control request is too long");

	t_case("ctl: a line over the limit is refused before it is read");
	t_int(ctl_parse(text, CTL_LINE_MAX + 1, &req, &why), -1);
	t_str(why, "control request is too long");
}

static void
requests_are_written(void)
{
	char text[CTL_LINE_MAX + 1];
	struct ctl_request req, back;
	const char *why;
	size_t i;
	int len;

	t_case("ctl: what is written is read back the same");
	for (i = 0; i < nitems(good); i++) {
		t_row("%s", good[i].text);
		(void)ctl_parse(good[i].text, strlen(good[i].text), &req, &why);
		len = ctl_format(&req, text, sizeof text, &why);
		t_int(len, strlen(text));
		t_int(ctl_parse(text, strlen(text), &back, &why), 0);
		t_true(memcmp(&req, &back, sizeof req) == 0);
	}
	t_case("ctl: the longest request of all fits CTL_LINE_MAX");
	t_row(NULL);
	memset(&req, 0, sizeof req);
	req.verb = CTL_QUEUE;
	memset(req.sender, ' ', sizeof req.sender - 1);
	memset(req.domain, '+', sizeof req.domain - 1);
	memcpy(req.state, "deferred", 9);
	t_true(ctl_format(&req, text, sizeof text, &why) > 0);
	t_int(ctl_parse(text, strlen(text), &back, &why), 0);
	t_true(memcmp(&req, &back, sizeof req) == 0);

	t_case("ctl: a request that would be refused is not written");
	t_int(ctl_format(&req, text, 20, &why), -1);
	t_str(why, "control request is too long");
	memset(&req, 0, sizeof req);
	req.verb = CTL_SHOW;
	t_int(ctl_format(&req, text, sizeof text, &why), -1);
	t_str(why, "control request lacks its argument");
	(void)snprintf(req.what, sizeof req.what, "a\r\nMAIL");
	t_int(ctl_format(&req, text, sizeof text, &why), -1);
	t_str(why, "control character in control request");
	req.verb = CTL_VERBS;
	t_int(ctl_format(&req, text, sizeof text, &why), -1);
}

static void
verbs_have_rows(void)
{
	int verb;

	t_case("ctl: every verb is named, and the right process answers it");
	for (verb = 0; verb < CTL_VERBS; verb++) {
		t_row("verb %d", verb);
		t_true(ctl_row((enum ctl_verb)verb)->word != NULL);
	}
	t_true(ctl_row(CTL_VERBS) == NULL);
	t_int(ctl_row(CTL_STATUS)->answerer, CTL_BY_QUEUE);
	t_int(ctl_row(CTL_POLICIES)->answerer, CTL_BY_POLICY);
	t_int(ctl_row(CTL_FORGET)->answerer, CTL_BY_POLICY);
	t_int(ctl_row(CTL_RELOAD)->answerer, CTL_BY_PARENT);

	t_case("ctl: users see the queue of their own, and no more");
	for (verb = 0; verb < CTL_VERBS; verb++) {
		t_row("%s", ctl_row((enum ctl_verb)verb)->word);
		t_int(ctl_row((enum ctl_verb)verb)->own, verb == CTL_QUEUE);
	}
}

static void
messages_are_filled(void)
{
	struct ctl_request req;
	struct msg_ctl_queue queue;
	struct msg_ctl_policy policy;
	struct msg_ctl_parent parent;
	const char *text = "queue sender=a@b domain=c state=held", *why;

	t_case("ctl: a request fills in the message of who answers");
	t_int(ctl_parse(text, strlen(text), &req, &why), 0);
	memset(&queue, 'x', sizeof queue);
	ctl_to_queue(&req, 1000, &queue);
	t_int(queue.verb, CTL_QUEUE);
	t_int(queue.uid, 1000);
	t_str(queue.what, "");
	t_str(queue.sender, "a@b");
	t_str(queue.domain, "c");
	t_str(queue.state, "held");
	text = "policy example.net refresh=1";
	t_int(ctl_parse(text, strlen(text), &req, &why), 0);
	ctl_to_policy(&req, &policy);
	t_int(policy.verb, CTL_POLICY);
	t_int(policy.flags, CTL_FLAG_REFRESH);
	t_str(policy.domain, "example.net");
	t_int(ctl_parse("stop", 4, &req, &why), 0);
	ctl_to_parent(&req, &parent);
	t_int(parent.verb, CTL_STOP);
}

int
main(void)
{
	requests_are_parsed();
	length_is_bounded();
	requests_are_written();
	verbs_have_rows();
	messages_are_filled();
	return t_done();
}
