/*
 * sendmail(8), mailq and newaliases: submission for every user.
 */

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "smtpd/address.h"
#include "smtpd/cli/cmd_queue.h"
#include "smtpd/cli/content.h"
#include "smtpd/cli/ctl_client.h"
#include "smtpd/cli/send_options.h"
#include "smtpd/cli/send_rcpts.h"
#include "smtpd/cli/send_relay.h"
#include "smtpd/cli/submit.h"
#include "smtpd/conf_file.h"

#define CONFIG SYSCONFDIR "/sealpost/sealpost.conf"
#define NAME_SIZE 256

static const char *program = "sendmail";

static int
complain(int status, const char *text)
{
	(void)fprintf(stderr, "%s: %s\n", program, text);
	return status;
}

static void
show_dialogue(void *arg, char direction, const char *line)
{
	(void)arg;
	(void)printf("%s %s\n", direction == '>' ? ">>>" : "<<<", line);
}

/* The host name that the daemon uses, as far as we may know it. */
static void
own_hostname(char out[ADDRESS_DOMAIN_SIZE])
{
	struct conf_errors errors = { 0 };
	struct conf conf = { 0 };
	char *text;
	size_t len;
	const char *why;

	out[0] = '\0';
	if (conf_read(CONFIG, CONF_FILE_MAX, &text, &len, &why) == 0) {
		if (conf_parse(&conf, CONFIG, text, len, &errors) == 0 &&
		    conf.hostname != NULL)
			(void)strlcpy(out, conf.hostname, ADDRESS_DOMAIN_SIZE);
		conf_clear(&conf);
		conf_errors_clear(&errors);
		free(text);
	}
	if (out[0] == '\0' && conf_hostname(out, ADDRESS_DOMAIN_SIZE, "") == -1)
		(void)strlcpy(out, "localhost", ADDRESS_DOMAIN_SIZE);
}

/* The caller's login name, which becomes the sender. */
static void
own_login(struct address *out, const struct passwd *pw)
{
	char number[32];
	const char *why;

	if (pw != NULL &&
	    address_parse(out, pw->pw_name, strlen(pw->pw_name), ADDRESS_BARE,
		&why) == 0)
		return;
	(void)snprintf(number, sizeof number, "uid-%lu",
	    (unsigned long)getuid());
	(void)address_parse(out, number, strlen(number), ADDRESS_BARE, &why);
}

/* The full name of passwd(5): up to a comma, "&" being the login name. */
static void
own_name(char out[NAME_SIZE], const struct passwd *pw)
{
	size_t n = 0;

	out[0] = '\0';
	if (pw == NULL || pw->pw_gecos == NULL)
		return;
	for (const char *p = pw->pw_gecos; *p != '\0' && *p != ','; p++) {
		if (*p == '&')
			n += strlcpy(out + n, pw->pw_name, NAME_SIZE - n);
		else if (n + 1 < NAME_SIZE)
			out[n++] = *p;
		if (n >= NAME_SIZE)
			n = NAME_SIZE - 1;
		out[n] = '\0';
	}
}

/* A message that does not say whom it is from: say it. */
static int
add_from(struct content *content, const struct send_options *o,
    const struct address *sender)
{
	char field[HEADER_LINE_SIZE], name[NAME_SIZE];
	struct address from = *sender;
	const struct passwd *pw = getpwuid(getuid());

	if (from.text[0] == '\0')
		own_login(&from, pw);
	own_name(name, pw);
	if (header_from(field, sizeof field, from.text,
		o->name != NULL ? o->name : name) == -1)
		return -1;
	return content_add_field(content, field);
}

static int
complete_header(struct content *content, const struct send_options *o,
    const struct address *sender)
{
	char hostname[ADDRESS_DOMAIN_SIZE];

	if (!content->scan.has_from && add_from(content, o, sender) == -1)
		return -1;
	own_hostname(hostname);
	return content_qualify(content, hostname);
}

/* -f, or who is calling. */
static int
find_sender(const struct send_options *o, struct address *out, const char **why)
{
	if (o->sender == NULL) {
		own_login(out, getpwuid(getuid()));
		return 0;
	}
	return send_one_address(out, o->sender, why);
}

static int
status_of(const struct submit_rcpt *r)
{
	switch (r->state) {
	case SUBMIT_TAKEN:
		return EX_OK;
	case SUBMIT_WAITING:
	case SUBMIT_DEFERRED:
		return EX_TEMPFAIL;
	case SUBMIT_REFUSED:
		break;
	}
	if (strncmp(r->dsn, "5.1.", 4) == 0)
		return EX_NOUSER;
	if (strncmp(r->dsn, "5.7.", 4) == 0)
		return EX_NOPERM;
	if (strncmp(r->dsn, "5.6.", 4) == 0 || strcmp(r->dsn, "5.3.4") == 0)
		return EX_DATAERR;
	return EX_UNAVAILABLE;
}

/* Name who does not get the message, and why. The worst status of all. */
static int
report(const struct submit_mail *m)
{
	int status = EX_OK, one;

	for (size_t i = 0; i < m->rcpt_count; i++) {
		one = status_of(&m->rcpts[i]);
		if (one == EX_OK)
			continue;
		(void)fprintf(stderr, "%s: %s: %s\n", program,
		    m->rcpts[i].address,
		    m->rcpts[i].reply[0] != '\0' ? m->rcpts[i].reply
						 : "not sent");
		/* What can be cured by trying again is the lesser trouble. */
		if (status == EX_OK || status == EX_TEMPFAIL)
			status = one;
	}
	return status;
}

static bool
someone_waits(const struct submit_mail *m)
{
	for (size_t i = 0; i < m->rcpt_count; i++)
		if (m->rcpts[i].state == SUBMIT_WAITING)
			return true;
	return false;
}

static int
hand_in(struct submit_mail *m, const struct send_options *o)
{
	char why[SUBMIT_WHY_SIZE], folder_why[SUBMIT_WHY_SIZE];

	if (!someone_waits(m) ||
	    submit_daemon(m, o->verbose ? show_dialogue : NULL, why) == 0)
		return report(m);
	if (submit_offline(m, SUBMIT_OFFLINE, folder_why) == -1) {
		(void)fprintf(stderr,
		    "%s: the daemon does not serve (%s), and the message"
		    " cannot be kept for it (%s)\n",
		    program, why, folder_why);
		return EX_TEMPFAIL;
	}
	if (o->verbose)
		(void)printf("the daemon does not serve (%s); the message is"
			     " kept in %s until it does\n",
		    why, SUBMIT_OFFLINE);
	return report(m);
}

/* Collect recipients and content. EX_OK, or the status to exit with. */
static int
compose(struct submit_mail *m, const struct send_options *o, char **operands)
{
	const char *why = "out of memory";

	for (; *operands != NULL; operands++)
		if (send_add_rcpts(m, *operands, strlen(*operands)) == -1)
			return complain(EX_OSERR, why);
	if (m->rcpt_count == 0 && !o->from_header)
		return complain(EX_USAGE,
		    "no recipients: name them, or use -t to take them from the"
		    " header");
	if (content_read(m->content, STDIN_FILENO, !o->ignore_dots, &why) ==
	    -1) {
		(void)fprintf(stderr, "%s: %s%s%s\n", program, why,
		    errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
		return errno == 0                        ? EX_DATAERR
		    : errno == ENOSPC || errno == EDQUOT ? EX_TEMPFAIL
							 : EX_IOERR;
	}
	if (!o->from_header)
		return EX_OK;
	if (send_add_header_rcpts(m, &why) == -1)
		return complain(EX_DATAERR, why);
	if (m->rcpt_count == 0)
		return complain(EX_USAGE,
		    "no recipients in the header: To, Cc and Bcc are missing"
		    " or empty");
	content_strip_bcc(m->content);
	return EX_OK;
}

static int
send_mail(const struct send_options *o, char **operands)
{
	struct content content;
	struct submit_mail m = { .content = &content,
		.envid = o->envid,
		.ret = o->ret,
		.notify = o->notify };
	struct address sender;
	const char *why;
	int status;

	if (find_sender(o, &sender, &why) == -1) {
		(void)fprintf(stderr, "%s: sender %s: %s\n", program, o->sender,
		    why);
		return EX_USAGE;
	}
	m.sender = sender.text;
	m.smtputf8 = sender.needs_utf8;
	content_init(&content);
	status = compose(&m, o, operands);
	if (status == EX_OK && complete_header(&content, o, &sender) == -1)
		status = complain(EX_DATAERR, "the header is too large");
	if (status == EX_OK)
		status = hand_in(&m, o);
	content_clear(&content);
	send_free_rcpts(&m);
	return status;
}

static int
speak_smtp(void)
{
	int fd = ctl_connect();

	if (fd == -1) {
		(void)printf("421 4.3.2 the daemon is not running\r\n");
		(void)fprintf(stderr, "%s: %s: %s\n", program, CTL_SOCKET,
		    strerror(errno));
		return EX_TEMPFAIL;
	}
	if (send_relay(STDIN_FILENO, STDOUT_FILENO, fd) == -1)
		return complain(EX_IOERR, strerror(errno));
	return EX_OK;
}

static int
retry(const char *what)
{
	struct ctl_request req = { .verb = CTL_RETRY };
	char why[CTL_WHY_SIZE];
	int status;

	if (strlcpy(req.what, what, sizeof req.what) >= sizeof req.what)
		return complain(EX_USAGE, "-q: too long");
	status = ctl_ask(&req, NULL, NULL, why);
	if (status == EX_OK || status == CTL_EX_NOTHING)
		return EX_OK;
	(void)complain(status, why);
	if (status == EX_NOPERM)
		(void)complain(status,
		    "the queue is tried without this, each message in its"
		    " time");
	return status;
}

/* The daemon reads the aliases itself; root makes it do so now. */
static int
renew_aliases(void)
{
	struct ctl_request req = { .verb = CTL_RELOAD };
	char why[CTL_WHY_SIZE];

	if (geteuid() == 0)
		(void)ctl_ask(&req, NULL, NULL, why);
	return EX_OK;
}

int
main(int argc, char **argv)
{
	struct send_options o;
	char why[SEND_WHY_SIZE];
	int status;

	ctl_keep_stdio();
	if (argc > 0 && argv[0][0] != '\0')
		program = getprogname();
	/* Writing to a daemon or pipe that went away, or over the limit of a
	 * file's size, is an error like others. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	status = send_options(&o, argc, argv, why);
	if (status != EX_OK)
		return complain(status, why);
	switch (o.mode) {
	case SEND_MAIL:
		return send_mail(&o, argv + o.first);
	case SEND_SMTP:
		return speak_smtp();
	case SEND_LIST:
		return cmd_queue_list(program);
	case SEND_ALIASES:
		return renew_aliases();
	case SEND_RETRY:
		return retry(o.retry);
	}
	return EX_SOFTWARE;
}
