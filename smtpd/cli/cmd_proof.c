#include "smtpd/cli/cmd_proof.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "smtpd/cli/cli.h"
#include "smtpd/cli/jread.h"
#include "smtpd/cli/print.h"

static void say(FILE *, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A line "key  text", made safe for a terminal. */
static void
say(FILE *out, const char *key, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	(void)fprintf(out, "  %-14s", key);
	print_safe(out, text, strlen(text), false);
	(void)fputc('\n', out);
}

/* Of a string that may be null: "". */
static const char *
text_of(const struct jread *j, const char *key)
{
	const char *text = jread_text(j, key);

	return text != NULL ? text : "";
}

static bool
is_word(const struct jread *j, const char *key, const char *word)
{
	return strcmp(text_of(j, key), word) == 0;
}

static void
say_host(FILE *out, const struct jread *j)
{
	const char *auth = text_of(j, "auth");

	if (is_word(j, "auth", "dane"))
		say(out, "authenticated",
		    "by DANE: its key matches the TLSA record %s",
		    text_of(j, "tlsa"));
	else if (is_word(j, "auth", "mta-sts"))
		say(out, "authenticated",
		    "by a certificate from a trusted authority for a name"
		    " that the policy lists");
	else if (is_word(j, "auth", "webpki"))
		say(out, "authenticated",
		    "by a certificate from a trusted authority for its name");
	else
		say(out, "authenticated", "not at all (%s)",
		    auth[0] != '\0' ? auth : "none");
	if (is_word(j, "route", "secure"))
		say(out, "route",
		    "secure: DNSSEC, the policy or the configuration"
		    " names this host");
	else
		say(out, "route",
		    "insecure: the host's name came from DNS that could"
		    " be forged");
}

static void
say_policy(FILE *out, const struct jread *j)
{
	char age[PRINT_SHORT_SIZE];
	int64_t age_s = jread_int(j, "policy_age", -1);

	if (age_s < 0) {
		say(out, "policy", "%s", text_of(j, "policy"));
		return;
	}
	print_age(age, age_s);
	say(out, "policy", "%s, id %s, fetched %s before", text_of(j, "policy"),
	    text_of(j, "policy_id"), age);
	say(out, "", "SHA-256 %s", text_of(j, "policy_sha256"));
}

static void
say_tls(FILE *out, const struct jread *j)
{
	if (jread_text(j, "tls") == NULL) {
		say(out, "TLS", "none: sent in the clear");
		return;
	}
	say(out, "TLS", "%s, %s%s%s", text_of(j, "tls"), text_of(j, "cipher"),
	    jread_text(j, "group") != NULL ? ", " : "", text_of(j, "group"));
	say(out, "certificate", "SHA-256 %s", text_of(j, "cert_sha256"));
}

/* One proof, as the daemon tells it, for people. */
static void
write_proof(FILE *out, const struct jread *j)
{
	const char *recipient = text_of(j, "recipient");

	print_safe(out, recipient, strlen(recipient), false);
	(void)fputc('\n', out);
	say(out, "message", "%s %s", text_of(j, "id"),
	    text_of(j, "message_id"));
	say(out, "accepted", "%s", text_of(j, "accepted"));
	say(out, "delivered", "%s", text_of(j, "delivered"));
	say(out, "to", "%s, %s", text_of(j, "mx"), text_of(j, "addr"));
	say(out, "demanded", "tls %s", text_of(j, "level"));
	say_host(out, j);
	say_policy(out, j);
	say_tls(out, j);
	say(out, "reply", "%s", text_of(j, "reply"));
}

static int
proof_line(void *arg, const char *line, size_t len)
{
	unsigned *count = arg;
	const char *why;
	struct jread *j = jread_parse(line, len, &why);

	if (j == NULL)
		return 0;
	if ((*count)++ > 0)
		(void)putchar('\n');
	write_proof(stdout, j);
	jread_free(j);
	return ferror(stdout) != 0 ? -1 : 0;
}

int
cmd_proof(const struct cli *cli)
{
	struct ctl_request req = { .verb = CTL_PROOF };
	unsigned count = 0;

	if (cli->operand[0] == '\0' ||
	    strlcpy(req.what, cli->operand, sizeof req.what) >= sizeof req.what)
		return cli_complain(cli, EX_USAGE,
		    "that is neither an id nor a Message-ID");
	if ((cli->given & CLI_JSON) != 0)
		return cli_ask(cli, &req, NULL, NULL);
	return cli_ask(cli, &req, proof_line, &count);
}
