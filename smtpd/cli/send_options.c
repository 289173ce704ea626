#include "smtpd/cli/send_options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>

#include "queue/envelope.h"
#include "smtpd/address.h"

/*
 * Options of sendmail 8 and of what is compatible with it. Those that have no
 * case below are read and change nothing.
 */
static const char letters[] =
    "A:B:b:C:D:d::e:F:f:Gh:IiL:M:mN:nO:o:p:q::R:r:stUV:vX:x:";

const char *
send_options_letters(void)
{
	return letters;
}

static int refuse(char why[SEND_WHY_SIZE], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static int
refuse(char why[SEND_WHY_SIZE], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, SEND_WHY_SIZE, fmt, ap);
	va_end(ap);
	return EX_USAGE;
}

static int
set_mode(struct send_options *o, const char *arg, char why[SEND_WHY_SIZE])
{
	switch (arg[0]) {
	case 'm':
		o->mode = SEND_MAIL;
		return EX_OK;
	case 's':
		o->mode = SEND_SMTP;
		return EX_OK;
	case 'p':
		o->mode = SEND_LIST;
		return EX_OK;
	case 'i':
		o->mode = SEND_ALIASES;
		return EX_OK;
	case 'd':
	case 'D':
		return refuse(why,
		    "-b%c: the daemon is a program of its own: start"
		    " sealpostd(8), as by `systemctl start sealpostd`",
		    arg[0]);
	case 'v':
	case 't':
		return refuse(why,
		    "-b%c is not supported; `sealpost check ADDRESS` tells"
		    " what would become of a message",
		    arg[0]);
	default:
		return refuse(why, "-b%s is not supported", arg);
	}
}

static int
add_notify(struct send_options *o, const char *word, size_t len)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = { { "success", NOTIFY_SUCCESS },
		{ "failure", NOTIFY_FAILURE }, { "delay", NOTIFY_DELAY } };

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strlen(words[i].word) == len &&
		    strncasecmp(word, words[i].word, len) == 0) {
			o->notify |= words[i].bit;
			return 0;
		}
	return -1;
}

/* RFC 3461 4.1: never alone, or a list of the others. */
static int
set_notify(struct send_options *o, const char *arg, char why[SEND_WHY_SIZE])
{
	const char *word = arg;
	size_t len;

	o->notify = 0;
	if (strcasecmp(arg, "never") == 0) {
		o->notify = NOTIFY_NEVER;
		return EX_OK;
	}
	for (;;) {
		len = strcspn(word, ",");
		if (add_notify(o, word, len) == -1)
			return refuse(why,
			    "-N %s: not never, or a list of success, failure"
			    " and delay",
			    arg);
		if (word[len] == '\0')
			return EX_OK;
		word += len + 1;
	}
}

static int
set_ret(struct send_options *o, const char *arg, char why[SEND_WHY_SIZE])
{
	if (strcasecmp(arg, "full") == 0)
		o->ret = CLIENT_RET_FULL;
	else if (strcasecmp(arg, "hdrs") == 0)
		o->ret = CLIENT_RET_HDRS;
	else
		return refuse(why, "-R %s: neither full nor hdrs", arg);
	return EX_OK;
}

static int
set_envid(struct send_options *o, const char *arg, char why[SEND_WHY_SIZE])
{
	int len;

	for (const char *p = arg; *p != '\0'; p++)
		if (*p < 0x20 || *p > 0x7e)
			return refuse(why, "-V: printable ASCII only");
	len = address_xtext_encode(o->envid, sizeof o->envid, arg, strlen(arg));
	if (len <= 0)
		return refuse(why, "-V: empty or too long");
	return EX_OK;
}

static int
set_body(const char *arg, char why[SEND_WHY_SIZE])
{
	/* Only checked: the content itself shows what it is. */
	if (strcasecmp(arg, "7bit") == 0 || strcasecmp(arg, "8bitmime") == 0)
		return EX_OK;
	return refuse(why, "-B %s: neither 7BIT nor 8BITMIME", arg);
}

/* -q, -qf: all; -qIid, -qRdomain: these. An interval would be a daemon. */
static int
set_retry(struct send_options *o, const char *arg, char why[SEND_WHY_SIZE])
{
	o->mode = SEND_RETRY;
	o->retry = "all";
	if (arg == NULL || strcmp(arg, "f") == 0 || arg[0] == '\0')
		return EX_OK;
	if ((arg[0] == 'I' || arg[0] == 'R') && arg[1] != '\0') {
		o->retry = arg + 1 + (arg[0] == 'R' && arg[1] == '@');
		return EX_OK;
	}
	return refuse(why,
	    "-q%s is not supported; sealpostd(8) retries by itself, and"
	    " `sealpost retry` sooner",
	    arg);
}

static int
set_option(struct send_options *o, int letter, const char *arg,
    char why[SEND_WHY_SIZE])
{
	switch (letter) {
	case 'B':
		return set_body(arg, why);
	case 'b':
		return set_mode(o, arg, why);
	case 'F':
		o->name = arg;
		return EX_OK;
	case 'f':
	case 'r':
		o->sender = arg;
		return EX_OK;
	case 'I':
		o->mode = SEND_ALIASES;
		return EX_OK;
	case 'i':
		o->ignore_dots = true;
		return EX_OK;
	case 'N':
		return set_notify(o, arg, why);
	case 'o':
		if (strcmp(arg, "i") == 0)
			o->ignore_dots = true;
		return EX_OK;
	case 'q':
		return set_retry(o, arg, why);
	case 'R':
		return set_ret(o, arg, why);
	case 't':
		o->from_header = true;
		return EX_OK;
	case 'V':
		return set_envid(o, arg, why);
	case 'v':
		o->verbose = true;
		return EX_OK;
	default:
		return EX_OK;
	}
}

static enum send_mode
mode_by_name(const char *program)
{
	const char *slash = strrchr(program, '/');

	if (slash != NULL)
		program = slash + 1;
	if (strcmp(program, "mailq") == 0)
		return SEND_LIST;
	return strcmp(program, "newaliases") == 0 ? SEND_ALIASES : SEND_MAIL;
}

int
send_options(struct send_options *o, int argc, char **argv,
    char why[SEND_WHY_SIZE])
{
	char accepted[sizeof letters + 2];
	int letter, status;

	memset(o, 0, sizeof *o);
	o->mode = mode_by_name(argc > 0 ? argv[0] : "sendmail");
	/* "+": operands end the options, as an address that begins with "-"
	 * must never be taken for one. ":": tell what lacks its argument. */
	(void)snprintf(accepted, sizeof accepted, "+:%s", letters);
	optind = 0;
	opterr = 0;
	while ((letter = getopt(argc, argv, accepted)) != -1) {
		if (letter == '?')
			return refuse(why, "unknown option -%c", optopt);
		if (letter == ':')
			return refuse(why, "-%c lacks its argument", optopt);
		status = set_option(o, letter, optarg, why);
		if (status != EX_OK)
			return status;
	}
	o->first = optind;
	return EX_OK;
}
