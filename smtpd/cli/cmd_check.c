#include "smtpd/cli/cmd_check.h"

#include <sysexits.h>

#include "smtpd/cli/cli.h"

int
cmd_check(const struct cli *cli)
{
	return cli_complain(cli, EX_UNAVAILABLE, "check: not yet built");
}
