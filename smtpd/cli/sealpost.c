/*
 * sealpost(8): the table of its commands.
 */

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "mtasts/reason.h"
#include "smtpd/cli/cli.h"
#include "smtpd/cli/cmd_check.h"
#include "smtpd/cli/cmd_policy.h"
#include "smtpd/cli/cmd_proof.h"
#include "smtpd/cli/cmd_queue.h"
#include "smtpd/cli/cmd_status.h"
#include "smtpd/cli/send_options.h"
#include "smtpd/cli/top.h"
#include "smtpd/conf.h"

#define WHAT "ID|DOMAIN|all"

/* clang-format off */
static const struct cli_command commands[] = {
	{ "queue", "[--json] [--count] [--domain D] [--sender A] [--state S]",
	    "list queued recipients",
	    CLI_JSON | CLI_COUNT | CLI_DOMAIN | CLI_SENDER | CLI_STATE, 0,
	    CTL_QUEUE, cmd_queue },
	{ "show", "ID [--body] [--json]", "show one message",
	    CLI_BODY | CLI_JSON, 1, CTL_SHOW, cmd_show },
	{ "retry", WHAT, "try again now", CLI_JSON, 1, CTL_RETRY, cmd_act },
	{ "hold", WHAT, "stop attempts", CLI_JSON, 1, CTL_HOLD, cmd_act },
	{ "release", WHAT, "resume attempts", CLI_JSON, 1, CTL_RELEASE,
	    cmd_act },
	{ "remove", WHAT " [--yes]", "delete, without a bounce",
	    CLI_JSON | CLI_YES, 1, CTL_REMOVE, cmd_act },
	{ "bounce", WHAT, "give up now, with a bounce", CLI_JSON, 1,
	    CTL_BOUNCE, cmd_act },
	{ "proof", "ID|MESSAGE-ID [--json]",
	    "what authenticated the host that took a message", CLI_JSON, 1,
	    CTL_PROOF, cmd_proof },
	{ "policy", "DOMAIN [--json] [--refresh | --forget]",
	    "show the MTA-STS policy in force",
	    CLI_JSON | CLI_REFRESH | CLI_FORGET, 1, CTL_POLICY, cmd_policy },
	{ "policies", "[--json]", "list cached policies", CLI_JSON, 0,
	    CTL_POLICIES, cmd_policies },
	{ "check", "ADDRESS|DOMAIN [--json]", "would mail be delivered now?",
	    CLI_JSON, 1, CTL_VERBS, cmd_check },
	{ "status", "[--json | --prometheus]", "figures of the daemon",
	    CLI_JSON | CLI_PROMETHEUS, 0, CTL_STATUS, cmd_status },
	{ "top", "", "the queue by destination, live", 0, 0, CTL_TOP, cmd_top },
	{ "reload", "", "read the configuration anew", 0, 0, CTL_RELOAD,
	    cmd_act },
	{ "stop", "", "stop the daemon", 0, 0, CTL_STOP, cmd_act },
	{ "pause", "", "start no deliveries", 0, 0, CTL_PAUSE, cmd_act },
	{ "resume", "", "start deliveries again", 0, 0, CTL_RESUME, cmd_act },
};
/* clang-format on */

#define COMMANDS (sizeof commands / sizeof commands[0])

static void
write_usage(FILE *out)
{
	(void)fputs("usage: sealpost [-f file] command [argument ...]\n", out);
	for (size_t i = 0; i < COMMANDS; i++)
		(void)fprintf(out, "  %-9s %s\n", commands[i].name,
		    commands[i].does);
}

static int
usage(void)
{
	write_usage(stderr);
	return EX_USAGE;
}

/* The tables of the programs, for the check of the manuals. */
static void
list_commands(void)
{
	for (size_t i = 0; i < COMMANDS; i++)
		(void)printf("%s %s\n", commands[i].name, commands[i].synopsis);
}

static void
list_directives(void)
{
	struct conf_directive d;

	for (size_t i = 0; conf_directive(i, &d); i++)
		(void)printf("%s\n", d.words);
}

static void
list_reasons(void)
{
	for (int r = REASON_NONE + 1; r < REASON_COUNT; r++)
		(void)printf("%s\n", reason_word((enum reason)r));
}

static int
help(int argc, char **argv)
{
	const char *which = argc > 1 ? argv[1] : "";

	if (strcmp(which, "--commands") == 0)
		list_commands();
	else if (strcmp(which, "--directives") == 0)
		list_directives();
	else if (strcmp(which, "--reasons") == 0)
		list_reasons();
	else if (strcmp(which, "--sendmail") == 0)
		(void)printf("%s\n", send_options_letters());
	else if (argc == 1)
		write_usage(stdout);
	else
		return usage();
	return EX_OK;
}

static int
finish(int status)
{
	/* A full disk must not pass for success; a reader that has gone away
	 * ends us by SIGPIPE, quietly. */
	if (fflush(stdout) == EOF || ferror(stdout) != 0) {
		perror("sealpost: standard output");
		return status == EX_OK ? EX_IOERR : status;
	}
	return status;
}

int
main(int argc, char **argv)
{
	struct cli cli = { .program = "sealpost", .config = CLI_CONFIG };
	int option, status;

	ctl_keep_stdio();
	while ((option = getopt(argc, argv, "+f:")) != -1) {
		if (option != 'f')
			return usage();
		cli.config = optarg;
	}
	argc -= optind;
	argv += optind;
	if (argc == 0)
		return usage();
	if (strcmp(argv[0], "help") == 0)
		return finish(help(argc, argv));
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[0], commands[i].name) != 0)
			continue;
		cli.command = &commands[i];
		status = cli_read(&cli, argc, argv);
		return status != EX_OK ? status : finish(commands[i].run(&cli));
	}
	(void)fprintf(stderr, "sealpost: no such command\n");
	return usage();
}
