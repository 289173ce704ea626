#include "smtpd/cli/cmd_status.h"

#include <ctype.h>
#include <inttypes.h>
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

/* Objects that count the same thing by a label. */
static const struct {
	const char *key;
	const char *label;
} families[] = { { "deferred_by_reason", "reason" },
	{ "bounced_by_reason", "reason" },
	{ "would_defer_by_reason", "reason" }, { "sts_failures", "reason" },
	{ "auth", "method" } };

static const char *
label_of(const char *key)
{
	for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
		if (strcmp(key, families[i].key) == 0)
			return families[i].label;
	return NULL;
}

/* What goes up and down; NULL: every key, or no object. The rest counts. */
static const struct {
	const char *object;
	const char *key;
} gauges[] = { { NULL, "uptime" }, { NULL, "paused" },
	{ NULL, "spool_failing" }, { "queue", NULL }, { "sessions", "open" },
	{ "policies", "cached" }, { "policies", "enforce" },
	{ "policies", "testing" }, { "policies", "none" } };

static bool
is_same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static const char *
type_of(const char *object, const char *key)
{
	for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
		if (is_same(object, gauges[i].object) &&
		    (gauges[i].key == NULL || strcmp(key, gauges[i].key) == 0))
			return "gauge";
	return "counter";
}

static void
write_metric(FILE *out, const char *object, const char *key)
{
	(void)fputs("sealpost_", out);
	if (object != NULL) {
		write_name(out, object);
		(void)fputc('_', out);
	}
	write_name(out, key);
}

static void
write_figure(FILE *out, const char *object, const struct jread *m)
{
	(void)fputs("# TYPE ", out);
	write_metric(out, object, m->key);
	(void)fprintf(out, " %s\n", type_of(object, m->key));
	write_metric(out, object, m->key);
	(void)fprintf(out, " %" PRId64 "\n", m->number);
}

static void
write_family(FILE *out, const struct jread *object, const char *label)
{
	bool typed = false;

	for (const struct jread *m = object->first; m != NULL; m = m->next) {
		if (!is_figure(m))
			continue;
		if (!typed) {
			(void)fputs("# TYPE ", out);
			write_metric(out, NULL, object->key);
			(void)fputs(" counter\n", out);
		}
		typed = true;
		write_metric(out, NULL, object->key);
		(void)fprintf(out, "{%s=\"", label);
		write_label(out, m->key);
		(void)fprintf(out, "\"} %" PRId64 "\n", m->number);
	}
}

static void
write_object(FILE *out, const struct jread *object)
{
	const char *label = label_of(object->key);

	if (label != NULL) {
		write_family(out, object, label);
		return;
	}
	for (const struct jread *m = object->first; m != NULL; m = m->next)
		if (is_figure(m))
			write_figure(out, object->key, m);
}

void
status_prometheus(FILE *out, const struct jread *status)
{
	const struct jread *m = NULL;

	if (status->kind == JREAD_OBJECT)
		m = status->first;
	for (; m != NULL; m = m->next) {
		if (m->kind == JREAD_OBJECT)
			write_object(out, m);
		else if (is_figure(m))
			write_figure(out, NULL, m);
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
