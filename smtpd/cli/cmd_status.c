#include "smtpd/cli/cmd_status.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "smtpd/cli/cli.h"
#include "smtpd/cli/describe.h"
#include "smtpd/cli/jread.h"

/* A key as part of a metric's name: letters, digits, underscores. */
static void
write_name(FILE *out, const char *key)
{
	for (; *key != '\0'; key++)
		(void)fputc(isalnum((unsigned char)*key) ? *key : '_', out);
}

static void
write_label(FILE *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			(void)fputc('\\', out);
		(void)fputc((unsigned char)*text < 0x20 ? '?' : *text, out);
	}
}

static bool
is_figure(const struct jread *j)
{
	return j->kind == JREAD_NUMBER || j->kind == JREAD_BOOL;
}

static void
write_type(FILE *out, const char *key)
{
	(void)fputs("# TYPE sealpost_", out);
	write_name(out, key);
	(void)fputs(" gauge\n", out);
}

static void
write_family(FILE *out, const struct jread *object)
{
	bool typed = false;

	for (const struct jread *m = object->first; m != NULL; m = m->next) {
		if (!is_figure(m))
			continue;
		if (!typed)
			write_type(out, object->key);
		typed = true;
		(void)fputs("sealpost_", out);
		write_name(out, object->key);
		(void)fputs("{kind=\"", out);
		write_label(out, m->key);
		(void)fprintf(out, "\"} %" PRId64 "\n", m->number);
	}
}

void
status_prometheus(FILE *out, const struct jread *status)
{
	const struct jread *m =
	    status->kind == JREAD_OBJECT ? status->first : NULL;

	for (; m != NULL; m = m->next) {
		if (m->kind == JREAD_OBJECT)
			write_family(out, m);
		if (!is_figure(m))
			continue;
		write_type(out, m->key);
		(void)fputs("sealpost_", out);
		write_name(out, m->key);
		(void)fprintf(out, " %" PRId64 "\n", m->number);
	}
}

static int
prometheus_line(void *arg, const char *line, size_t len)
{
	const char *why;
	struct jread *j = jread_parse(line, len, &why);

	(void)arg;
	if (j != NULL)
		status_prometheus(stdout, j);
	jread_free(j);
	return 0;
}

int
cmd_status(const struct cli *cli)
{
	const struct ctl_request req = { .verb = CTL_STATUS };

	if ((cli->given & CLI_PROMETHEUS) != 0)
		return cli_ask(cli, &req, prometheus_line, NULL);
	if ((cli->given & CLI_JSON) != 0)
		return cli_ask(cli, &req, NULL, NULL);
	return describe_object(cli, &req);
}
