#include "smtpd/cli/cmd_policy.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "smtpd/cli/cli.h"
#include "smtpd/cli/jread.h"
#include "smtpd/cli/print.h"

#define WHEN_SIZE 96
#define MXS_SIZE 1024

/* "2026-11-24T02:38:40Z (3h12m ago)"; "-" without a time. */
static const char *
when(const char *text, time_t now, char out[WHEN_SIZE])
{
	char age[PRINT_SHORT_SIZE];
	time_t then = text != NULL ? print_read_time(text) : -1;

	if (then == -1)
		return text != NULL ? text : "-";
	print_age(age, then > now ? then - now : now - then);
	(void)snprintf(out, WHEN_SIZE, "%s (%s%s%s)", text,
	    then > now ? "in " : "", age, then > now ? "" : " ago");
	return out;
}

static void
write_line(const char *key, const char *value)
{
	(void)printf("%-12s", key);
	print_safe(stdout, value, strlen(value), false);
	(void)putchar('\n');
}

static const char *
or_dash(const char *text)
{
	return text != NULL && text[0] != '\0' ? text : "-";
}

/* The patterns on one line; those that no longer fit are left out. */
static const char *
join_mxs(const struct jread *list, char out[MXS_SIZE])
{
	const struct jread *m = list != NULL ? list->first : NULL;

	out[0] = '\0';
	for (; m != NULL; m = m->next) {
		if (m->kind != JREAD_STRING)
			continue;
		if (out[0] != '\0')
			(void)strlcat(out, " ", MXS_SIZE);
		(void)strlcat(out, m->string, MXS_SIZE);
	}
	return or_dash(out);
}

static void
write_policy(const struct jread *j)
{
	const char *source = jread_text(j, "source");
	const char *error = jread_text(j, "last_error");
	char text[MXS_SIZE];
	time_t now = time(NULL);

	write_line("domain", or_dash(jread_text(j, "domain")));
	if (source != NULL && strcmp(source, "none") == 0) {
		write_line("policy", "none is in force");
		if (error != NULL)
			write_line("last error", error);
		return;
	}
	write_line("mode", or_dash(jread_text(j, "mode")));
	write_line("mx", join_mxs(jread_get(j, "mx"), text));
	write_line("source", or_dash(source));
	write_line("id", or_dash(jread_text(j, "id")));
	print_age(text, jread_int(j, "max_age", 0));
	write_line("max age", text);
	write_line("fetched", when(jread_text(j, "fetched"), now, text));
	write_line("expires", when(jread_text(j, "expires"), now, text));
	write_line("refresh", when(jread_text(j, "refresh"), now, text));
	if (error != NULL)
		write_line("last error", error);
}

static int
policy_line(void *arg, const char *line, size_t len)
{
	const char *why;
	struct jread *j = jread_parse(line, len, &why);

	(void)arg;
	/* `forget` answers with less. */
	if (jread_get(j, "source") != NULL)
		write_policy(j);
	jread_free(j);
	return 0;
}

int
cmd_policy(const struct cli *cli)
{
	struct ctl_request req = { .verb = CTL_POLICY };
	char domain[CTL_DOMAIN_SIZE];
	int status;

	status = cli_domain(cli, cli->operand, domain);
	if (status != EX_OK)
		return status;
	(void)strlcpy(req.what, domain, sizeof req.what);
	if ((cli->given & CLI_FORGET) != 0) {
		if ((cli->given & CLI_REFRESH) != 0)
			return cli_complain(cli, EX_USAGE,
			    "--forget and --refresh exclude each other");
		req.verb = CTL_FORGET;
	}
	if ((cli->given & CLI_REFRESH) != 0)
		req.flags |= CTL_FLAG_REFRESH;
	if ((cli->given & CLI_JSON) != 0)
		return cli_ask(cli, &req, NULL, NULL);
	return cli_ask(cli, &req, policy_line, NULL);
}

static int
policies_line(void *arg, const char *line, size_t len)
{
	struct table *table = arg;
	char text[MXS_SIZE], left[PRINT_SHORT_SIZE];
	const char *why, *expires;
	struct jread *j = jread_parse(line, len, &why);
	time_t then;

	if (j == NULL)
		return 0;
	expires = jread_text(j, "expires");
	then = expires != NULL ? print_read_time(expires) : -1;
	print_age(left, then - time(NULL));
	table_cell(table, jread_text(j, "domain"));
	table_cell(table, jread_text(j, "mode"));
	table_cell(table, then != -1 ? left : expires);
	table_cell(table, join_mxs(jread_get(j, "mx"), text));
	table_row(table, jread_text(j, "last_error"));
	jread_free(j);
	return ferror(stdout) != 0 ? -1 : 0;
}

int
cmd_policies(const struct cli *cli)
{
	static const struct table_column columns[] = { { "DOMAIN", false },
		{ "MODE", false }, { "EXPIRES IN", true }, { "MX", false },
		{ NULL, false } };
	const struct ctl_request req = { .verb = CTL_POLICIES };
	struct table *table;
	int status;

	if ((cli->given & CLI_JSON) != 0)
		return cli_ask(cli, &req, NULL, NULL);
	table = table_new(stdout, columns);
	if (table == NULL)
		return cli_complain(cli, EX_OSERR, "out of memory");
	status = cli_ask(cli, &req, policies_line, table);
	if (status == EX_OK && table_rows(table) == 0)
		(void)printf("no policy is cached\n");
	table_end(table);
	return status;
}
