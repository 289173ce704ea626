#include "smtpd/cli/cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "smtpd/address.h"
#include "smtpd/cli/print.h"

static const struct option long_options[] = {
	{ "json", no_argument, NULL, CLI_JSON },
	{ "domain", required_argument, NULL, CLI_DOMAIN },
	{ "sender", required_argument, NULL, CLI_SENDER },
	{ "state", required_argument, NULL, CLI_STATE },
	{ "count", no_argument, NULL, CLI_COUNT },
	{ "body", no_argument, NULL, CLI_BODY },
	{ "yes", no_argument, NULL, CLI_YES },
	{ "refresh", no_argument, NULL, CLI_REFRESH },
	{ "forget", no_argument, NULL, CLI_FORGET },
	{ "prometheus", no_argument, NULL, CLI_PROMETHEUS },
	{ NULL, 0, NULL, 0 },
};

static int
usage(const struct cli *cli)
{
	(void)fprintf(stderr, "usage: %s [-f file] %s%s%s\n", cli->program,
	    cli->command->name, cli->command->synopsis[0] != '\0' ? " " : "",
	    cli->command->synopsis);
	return EX_USAGE;
}

int
cli_complain(const struct cli *cli, int status, const char *fmt, ...)
{
	char text[CTL_WHY_SIZE];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "%s: ", cli->program);
	/* The errors of a configuration are several lines. */
	print_safe(stderr, text, strlen(text), true);
	(void)fputc('\n', stderr);
	return status;
}

static int
take_option(struct cli *cli, int option, const char *arg)
{
	if (option == '?' || option == ':' ||
	    (cli->command->options & (unsigned)option) == 0)
		return -1;
	cli->given |= (unsigned)option;
	if (option == CLI_DOMAIN)
		cli->domain = arg;
	if (option == CLI_SENDER)
		cli->sender = arg;
	if (option == CLI_STATE)
		cli->state = arg;
	return 0;
}

int
cli_read(struct cli *cli, int argc, char **argv)
{
	int option;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (take_option(cli, option, optarg) == -1) {
			(void)cli_complain(cli, 0, "%s: option %s",
			    cli->command->name,
			    option == ':' || option == '?'
				? "unknown or without its argument"
				: "of another command");
			return usage(cli);
		}
	if (argc - optind != cli->command->operands)
		return usage(cli);
	cli->operand = cli->command->operands > 0 ? argv[optind] : NULL;
	return EX_OK;
}

static int
copy_line(void *arg, const char *line, size_t len)
{
	(void)arg;
	/* If nobody reads any more, ask for no more. */
	return fwrite(line, 1, len, stdout) == len && putchar('\n') != EOF ? 0
									   : -1;
}

int
cli_ask(const struct cli *cli, const struct ctl_request *req, ctl_line_fn *fn,
    void *arg)
{
	char why[CTL_WHY_SIZE];
	int status;

	status = ctl_ask(req, fn != NULL ? fn : copy_line, arg, why);
	if (status == EX_OK)
		return EX_OK;
	(void)fflush(stdout);
	return cli_complain(cli, status, "%s", why);
}

int
cli_domain(const struct cli *cli, const char *text, char out[CTL_DOMAIN_SIZE])
{
	size_t len = strlen(text);
	const char *why;

	_Static_assert(CTL_DOMAIN_SIZE == ADDRESS_DOMAIN_SIZE, "a domain fits");
	/* As tools of DNS write it. */
	if (len > 1 && text[len - 1] == '.')
		len--;
	if (address_domain(out, text, len, ADDRESS_UTF8, &why) == 0)
		return EX_OK;
	return cli_complain(cli, EX_USAGE, "%s: %s", text, why);
}
