/*
 * What the commands of sealpost(8) share: options, complaints, asking.
 */

#ifndef SMTPD_CLI_CLI_H
#define SMTPD_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "smtpd/cli/ctl_client.h"

#define CLI_CONFIG SYSCONFDIR "/sealpost/sealpost.conf"

/* Options of commands, as a set. */
#define CLI_JSON 0x001U
#define CLI_DOMAIN 0x002U
#define CLI_SENDER 0x004U
#define CLI_STATE 0x008U
#define CLI_COUNT 0x010U
#define CLI_BODY 0x020U
#define CLI_YES 0x040U
#define CLI_REFRESH 0x080U
#define CLI_FORGET 0x100U
#define CLI_PROMETHEUS 0x200U

struct cli;

/* A row of the table of commands. */
struct cli_command {
	const char *name;
	const char *synopsis; /* of options and operands */
	const char *does;     /* a clause */
	unsigned options;     /* CLI_* it takes */
	int operands;         /* how many: exactly */
	enum ctl_verb verb;   /* what it asks of the daemon, if one thing */
	int (*run)(const struct cli *);
};

/* A command line, understood. Strings are borrowed from argv. */
struct cli {
	const char *program;
	const char *config; /* -f */
	const struct cli_command *command;
	unsigned given; /* CLI_* */
	const char *domain;
	const char *sender;
	const char *state;
	const char *operand; /* NULL: none */
};

/*
 * Read options and operands behind the command's name, which is argv[0].
 * Returns EX_OK, or EX_USAGE having said why.
 */
int cli_read(struct cli *, int argc, char **argv);

/* `sealpost: TEXT` to standard error; returns "status". */
int cli_complain(const struct cli *, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Ask the daemon, as ctl_ask(), and complain if that fails. With "fn" NULL
 * the lines go to standard output as they are.
 */
int cli_ask(const struct cli *, const struct ctl_request *, ctl_line_fn *fn,
    void *arg);

/*
 * A domain as people write it, perhaps with a final dot, as key: lower-case
 * A-labels.
 * Returns EX_OK; or EX_USAGE, having complained.
 */
int cli_domain(const struct cli *, const char *text, char out[CTL_DOMAIN_SIZE]);

#endif
