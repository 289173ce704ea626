#include "smtpd/cli/cmd_queue.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "queue/id.h"
#include "smtpd/address.h"
#include "smtpd/cli/cli.h"
#include "smtpd/cli/describe.h"
#include "smtpd/cli/jread.h"
#include "smtpd/cli/print.h"

#define NOTE_SIZE 2048

/* A listing under way. */
struct list {
	struct table *table;
	time_t now;
	const char *empty; /* what to say where there is nothing */
};

static const struct table_column columns[] = { { "ID", false }, { "AGE", true },
	{ "SIZE", true }, { "STATE", false }, { "NEXT", true },
	{ "SENDER", false }, { "RECIPIENT", false }, { NULL, false } };

/* What went wrong last, in one line; NULL: nothing yet. */
static const char *
note_of(const struct jread *j, char note[NOTE_SIZE])
{
	const char *reason = jread_text(j, "reason");
	const char *detail = jread_text(j, "detail");
	const char *mx = jread_text(j, "mx");
	bool has_detail = detail != NULL && detail[0] != '\0';

	if (reason == NULL || reason[0] == '\0')
		return NULL;
	/* Most details name the host. */
	if (mx != NULL && has_detail && strstr(detail, mx) != NULL)
		mx = NULL;
	(void)snprintf(note, NOTE_SIZE, "%s%s%s%s%s", reason,
	    mx != NULL && mx[0] != '\0' ? " at " : "", mx != NULL ? mx : "",
	    has_detail ? ": " : "", has_detail ? detail : "");
	return note;
}

/* Senders and recipients: a null sender is seen as such. */
static const char *
shown_address(const char *address)
{
	return address != NULL && address[0] == '\0' ? "<>" : address;
}

static int
list_line(void *arg, const char *line, size_t len)
{
	struct list *l = arg;
	char age[PRINT_SHORT_SIZE], size[PRINT_SHORT_SIZE];
	char next[PRINT_SHORT_SIZE], note[NOTE_SIZE];
	const char *why;
	struct jread *j = jread_parse(line, len, &why);

	if (j == NULL)
		return 0;
	print_age(age, jread_int(j, "age", 0));
	print_size(size, jread_int(j, "size", 0));
	table_cell(l->table, jread_text(j, "id"));
	table_cell(l->table, age);
	table_cell(l->table, size);
	table_cell(l->table, jread_text(j, "state"));
	table_cell(l->table, print_until(next, jread_text(j, "next"), l->now));
	table_cell(l->table, shown_address(jread_text(j, "sender")));
	table_cell(l->table, shown_address(jread_text(j, "recipient")));
	table_row(l->table, note_of(j, note));
	jread_free(j);
	return ferror(stdout) != 0 ? -1 : 0;
}

static const char *
empty_words(const struct cli *cli)
{
	return (cli->given & (CLI_DOMAIN | CLI_SENDER | CLI_STATE)) != 0
	    ? "nothing in the queue matches"
	    : "the queue is empty";
}

static void
end_list(struct list *l, bool complete)
{
	size_t rows = table_rows(l->table);

	table_end(l->table);
	if (complete && rows == 0)
		(void)printf("%s\n", l->empty);
	else if (complete)
		(void)printf("-- %zu recipient%s\n", rows,
		    rows == 1 ? "" : "s");
}

static int
list_queue(const struct cli *cli, const struct ctl_request *req)
{
	struct list l = {
		.now = time(NULL),
		.empty = empty_words(cli),
	};
	int status;

	l.table = table_new(stdout, columns);
	if (l.table == NULL)
		return cli_complain(cli, EX_OSERR, "out of memory");
	status = cli_ask(cli, req, list_line, &l);
	end_list(&l, status == EX_OK);
	return status;
}

static int
set_sender(const struct cli *cli, struct ctl_request *req)
{
	const char *text = cli->sender, *why;
	size_t len = strlen(text);
	struct address a;

	/* As the log writes it, or without the brackets. */
	if (len >= 2 && text[0] == '<' && text[len - 1] == '>') {
		text++;
		len -= 2;
	}
	if (len == 0) {
		(void)strlcpy(req->sender, "<>", sizeof req->sender);
		return EX_OK;
	}
	if (address_parse(&a, text, len, ADDRESS_UTF8 | ADDRESS_BARE, &why) ==
	    -1)
		return cli_complain(cli, EX_USAGE, "%s: %s", cli->sender, why);
	(void)strlcpy(req->sender, a.text, sizeof req->sender);
	return EX_OK;
}

/* A queued destination: a domain, or host:port of a `via` line. */
static int
set_destination(const struct cli *cli, const char *text, char *out, size_t size)
{
	char domain[CTL_DOMAIN_SIZE];
	int status;

	if (strchr(text, ':') != NULL) {
		if (strlcpy(out, text, size) >= size)
			return cli_complain(cli, EX_USAGE, "too long");
		return EX_OK;
	}
	status = cli_domain(cli, text, domain);
	if (status == EX_OK)
		(void)strlcpy(out, domain, size);
	return status;
}

static int
set_filters(const struct cli *cli, struct ctl_request *req)
{
	int status = EX_OK;

	if (cli->domain != NULL)
		status = set_destination(cli, cli->domain, req->domain,
		    sizeof req->domain);
	if (status == EX_OK && cli->sender != NULL)
		status = set_sender(cli, req);
	if (status != EX_OK || cli->state == NULL)
		return status;
	if (!ctl_state_is_known(cli->state))
		return cli_complain(cli, EX_USAGE,
		    "%s: not one of ready, sending, deferred, held",
		    cli->state);
	(void)strlcpy(req->state, cli->state, sizeof req->state);
	return EX_OK;
}

int
cmd_queue(const struct cli *cli)
{
	struct ctl_request req = { .verb = CTL_QUEUE };
	int status;

	if ((cli->given & CLI_COUNT) != 0)
		req.verb = CTL_COUNT;
	if (req.verb == CTL_COUNT &&
	    (cli->given & (CLI_SENDER | CLI_STATE)) != 0)
		return cli_complain(cli, EX_USAGE,
		    "--count is by destination: --sender and --state do not"
		    " go with it");
	status = set_filters(cli, &req);
	if (status != EX_OK)
		return status;
	if ((cli->given & CLI_JSON) != 0)
		return cli_ask(cli, &req, NULL, NULL);
	if (req.verb == CTL_COUNT)
		return describe_list(cli, &req, empty_words(cli), stdout);
	return list_queue(cli, &req);
}

int
cmd_queue_list(const char *program)
{
	static const struct cli_command command = { .name = "queue" };
	const struct cli cli = { .program = program, .command = &command };
	const struct ctl_request req = { .verb = CTL_QUEUE };

	return list_queue(&cli, &req);
}

/* "all", an id or a destination, as typed; destinations as keys. */
static int
set_what(const struct cli *cli, struct ctl_request *req)
{
	const struct ctl_row *row = ctl_row(req->verb);
	uint64_t id;

	if (row->argument == CTL_ARG_NONE)
		return EX_OK;
	if (row->argument == CTL_ARG_ID && id_parse(cli->operand, &id) == -1)
		return cli_complain(cli, EX_USAGE,
		    "%s: not the id of a message", cli->operand);
	if (strcmp(cli->operand, "all") != 0 &&
	    id_parse(cli->operand, &id) == -1)
		return set_destination(cli, cli->operand, req->what,
		    sizeof req->what);
	(void)strlcpy(req->what, cli->operand, sizeof req->what);
	return EX_OK;
}

/* `remove all` destroys mail unseen: ask. */
static int
confirm(const struct cli *cli, const struct ctl_request *req)
{
	char answer[16];

	if (req->verb != CTL_REMOVE || strcmp(req->what, "all") != 0 ||
	    (cli->given & CLI_YES) != 0)
		return EX_OK;
	(void)printf("Remove every queued message, with no bounce? [y/N] ");
	(void)fflush(stdout);
	if (fgets(answer, sizeof answer, stdin) != NULL &&
	    (answer[0] == 'y' || answer[0] == 'Y'))
		return EX_OK;
	return cli_complain(cli, CTL_EX_NOTHING, "nothing was removed");
}

int
cmd_act(const struct cli *cli)
{
	struct ctl_request req = { .verb = cli->command->verb };
	int status;

	status = set_what(cli, &req);
	if (status == EX_OK)
		status = confirm(cli, &req);
	if (status != EX_OK)
		return status;
	if ((cli->given & CLI_JSON) != 0)
		return cli_ask(cli, &req, NULL, NULL);
	return describe_object(cli, &req);
}

int
cmd_show(const struct cli *cli)
{
	struct ctl_request req = { .verb = CTL_SHOW };
	int status;

	if ((cli->given & CLI_BODY) != 0)
		req.flags |= CTL_FLAG_BODY;
	status = set_what(cli, &req);
	if (status != EX_OK)
		return status;
	if ((cli->given & CLI_JSON) != 0)
		return cli_ask(cli, &req, NULL, NULL);
	return describe_object(cli, &req);
}
