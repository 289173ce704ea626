#include "smtpd/cli/cmd_check.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "smtpd/address.h"
#include "smtpd/base/log.h"
#include "smtpd/base/sandbox.h"
#include "smtpd/cli/check.h"
#include "smtpd/cli/cli.h"
#include "smtpd/conf_file.h"
#include "smtpd/roles.h"
#include "smtpd/self.h"

#define PATH_SIZE 4096

/* What a check stands on; all of it is freed at the end. */
struct stand {
	const struct cli *cli;
	struct conf conf;
	struct host_allow allow;
	struct dns *dns;
	struct sts *sts;
	struct router *router;
	struct tls_ctx *tls;
	int cache; /* descriptor of the policy cache; -1: none */
	bool caged;
	struct check check;
};

/* ---- the configuration, as the daemon reads it ---- */

/* The file's text. An absent default file is an empty one. */
static int
read_config(const struct cli *cli, char **text, size_t *len)
{
	const char *why;

	if (conf_read(cli->config, CONF_FILE_MAX, text, len, &why) == 0)
		return EX_OK;
	if (errno == ENOENT && strcmp(cli->config, CLI_CONFIG) == 0) {
		*len = 0;
		*text = xstrdup("");
		return EX_OK;
	}
	return cli_complain(cli, errno == EACCES ? EX_NOPERM : EX_NOINPUT,
	    "%s: %s", cli->config, why);
}

static int
parse_config(const struct cli *cli, struct conf *conf, const char *text,
    size_t len)
{
	struct conf_errors errors = { 0 };
	int status = EX_OK;

	if (conf_parse(conf, cli->config, text, len, &errors) == -1) {
		(void)fputs(errors.text, stderr);
		status = EX_CONFIG;
	}
	conf_errors_clear(&errors);
	return status;
}

/* With the host name and resolvers that were left to the system. */
static int
complete_config(const struct cli *cli, struct conf *conf, const char *text,
    size_t len)
{
	char *all = NULL;
	size_t all_len;
	const char *why = "out of memory";
	FILE *f = open_memstream(&all, &all_len);
	int status;

	if (f == NULL)
		return cli_complain(cli, EX_OSERR, "%s", why);
	(void)fwrite(text, 1, len, f);
	(void)fputc('\n', f);
	status = conf_write_system(conf, f, "", &why);
	if (fclose(f) == EOF || status == -1)
		status =
		    cli_complain(cli, EX_CONFIG, "%s: %s", cli->config, why);
	else {
		conf_clear(conf);
		status = parse_config(cli, conf, all, all_len);
	}
	free(all);
	return status;
}

static int
load_config(struct stand *s)
{
	char *text = NULL;
	size_t len;
	int status;

	status = read_config(s->cli, &text, &len);
	if (status == EX_OK)
		status = parse_config(s->cli, &s->conf, text, len);
	if (status == EX_OK)
		status = complete_config(s->cli, &s->conf, text, len);
	free(text);
	return status;
}

static int
load_trust(struct stand *s)
{
	const char *path = s->conf.trust != NULL ? s->conf.trust : CONF_TRUST;
	const char *why;
	char *pem;
	size_t len;

	if (conf_read(path, CONF_TRUST_MAX, &pem, &len, &why) == -1)
		return cli_complain(s->cli, EX_CONFIG, "%s: %s", path, why);
	s->tls = tls_ctx_client(pem, len, &why);
	free(pem);
	if (s->tls == NULL)
		return cli_complain(s->cli, EX_CONFIG, "%s: %s", path, why);
	return EX_OK;
}

/* ---- what asks and what connects ---- */

static void
cache_path(const struct stand *s, char path[PATH_SIZE])
{
	(void)snprintf(path, PATH_SIZE, "%s/%s", s->conf.queue_directory,
	    roles[ROLE_POLICY].root);
}

/* The daemon's cache of policies, if we may read it. */
static void
open_cache(struct stand *s)
{
	char path[PATH_SIZE];

	cache_path(s, path);
	s->cache = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int
make_resolver(struct stand *s)
{
	struct dns_server servers[DNS_SERVERS_MAX];
	const char *why = "out of memory";
	size_t n = s->conf.resolver_count;

	_Static_assert(CONF_RESOLVER_MAX <= DNS_SERVERS_MAX, "they fit");
	for (size_t i = 0; i < n; i++) {
		servers[i].addr = s->conf.resolver[i].addr;
		servers[i].trusted = s->conf.resolver[i].trusted;
	}
	s->dns = dns_new(s->check.ev, servers, n, &why);
	if (s->dns == NULL)
		return cli_complain(s->cli, EX_OSERR, "DNS: %s", why);
	return EX_OK;
}

static int
make_router(struct stand *s)
{
	struct sockaddr_storage interface[SELF_MAX], own[SELF_MAX];
	struct router_self self = { .hostname = s->conf.hostname, .addr = own };
	struct sts_options sts = { .kind = s->cache != -1 ? CACHE_READ
							  : CACHE_MEMORY,
		.dirfd = s->cache,
		.quiet = true,
		.allow = &s->allow };
	struct router_options router = { .ev = s->check.ev,
		.dns = s->dns,
		.allow = &s->allow };

	s->sts = sts_new(s->check.ev, s->dns, &sts);
	if (s->sts == NULL)
		return cli_complain(s->cli, EX_OSERR,
		    "the HTTPS library cannot be set up");
	sts_trust(s->sts, s->tls);
	router.sts = s->sts;
	s->router = router_new(&router);
	self.addr_count = self_listening(&s->conf, interface,
	    self_interfaces(interface, SELF_MAX), own, SELF_MAX);
	router_set_self(s->router, &self);
	return EX_OK;
}

static int
make_stand(struct stand *s)
{
	int status;

	s->check.ev = ev_new();
	if (s->check.ev == NULL)
		return cli_complain(s->cli, EX_OSERR, "%s", strerror(errno));
	s->allow.net = s->conf.allow_private.net;
	s->allow.count = s->conf.allow_private.count;
	status = load_trust(s);
	if (status != EX_OK)
		return status;
	open_cache(s);
	status = make_resolver(s);
	if (status == EX_OK)
		status = make_router(s);
	s->check.setup.ev = s->check.ev;
	s->check.setup.tls = s->tls;
	s->check.setup.helo = s->conf.hostname;
	s->check.setup.allow = s->allow.net;
	s->check.setup.allow_count = s->allow.count;
	s->check.setup.source4 = s->conf.source4;
	s->check.setup.source6 = s->conf.source6;
	return status;
}

static void
clear_stand(struct stand *s)
{
	check_clear(&s->check);
	router_free(s->router);
	sts_free(s->sts);
	dns_free(s->dns);
	tls_ctx_free(s->tls);
	ev_free(s->check.ev);
	if (s->cache != -1)
		close(s->cache);
	conf_clear(&s->conf);
}

/*
 * Run by root, nothing of the network is read as root: the cage is that of
 * the policy process, and the cache its root. Without a cache there is no
 * folder to be caged in, but still the user.
 */
static int
give_up_root(struct stand *s)
{
	char root[PATH_SIZE];
	struct sandbox box = { .root = root,
		.powers = POWER_TCP | POWER_UDP | POWER_FILES };

	if (geteuid() != 0 ||
	    sandbox_user(roles[ROLE_POLICY].user, &box.uid, &box.gid) == -1)
		return EX_OK;
	if (s->cache != -1) {
		cache_path(s, root);
		(void)sandbox_enter(&box);
		s->caged = true;
		return EX_OK;
	}
	if (setgroups(0, NULL) == -1 ||
	    setresgid(box.gid, box.gid, box.gid) == -1 ||
	    setresuid(box.uid, box.uid, box.uid) == -1)
		return cli_complain(s->cli, EX_OSERR, "%s", strerror(errno));
	return EX_OK;
}

/* ---- the check ---- */

static void
on_route(void *arg, const struct route *route)
{
	struct check *c = arg;

	check_keep_route(c, route);
	ev_stop(c->ev);
}

static int
check(struct stand *s)
{
	struct check *c = &s->check;
	char destination[DESTINATION_SIZE];

	c->now = time(NULL);
	conf_destination(&s->conf, c->domain, c->now, &c->dest);
	if (c->dest.via != NULL)
		(void)snprintf(destination, sizeof destination,
		    strchr(c->dest.via, ':') != NULL ? "[%s]:%u" : "%s:%u",
		    c->dest.via, c->dest.via_port);
	else
		(void)strlcpy(destination, c->domain, sizeof destination);
	router_ask(s->router, destination, ASK_DELIVERY, on_route, c);
	if (ev_run(c->ev) == -1)
		return cli_complain(s->cli, EX_OSERR, "%s", strerror(errno));
	check_probe(c);
	/* A reader that has gone away ends us quietly, as in all commands. */
	(void)signal(SIGPIPE, SIG_DFL);
	if ((s->cli->given & CLI_JSON) != 0)
		check_write_json(c, stdout);
	else
		check_write_text(c, stdout);
	return c->go ? EX_OK : CTL_EX_NOTHING;
}

/* The domain of an address, or the domain itself. */
static int
set_domain(struct stand *s)
{
	const char *text = s->cli->operand, *why;
	struct address a;

	if (strchr(text, '@') == NULL)
		return cli_domain(s->cli, text, s->check.domain);
	if (address_parse(&a, text, strlen(text), ADDRESS_UTF8, &why) == -1)
		return cli_complain(s->cli, EX_USAGE, "%s: %s", text, why);
	if (a.is_literal)
		return cli_complain(s->cli, EX_USAGE,
		    "%s: mail to address literals is not sent", text);
	(void)strlcpy(s->check.domain, a.domain, sizeof s->check.domain);
	return EX_OK;
}

int
cmd_check(const struct cli *cli)
{
	struct stand s = { .cli = cli, .cache = -1 };
	int status;

	log_init("check", STDERR_FILENO, false, false);
	(void)signal(SIGPIPE, SIG_IGN);
	status = set_domain(&s);
	if (status == EX_OK)
		status = load_config(&s);
	if (status == EX_OK)
		status = make_stand(&s);
	if (status == EX_OK)
		status = give_up_root(&s);
	if (status == EX_OK)
		status = check(&s);
	clear_stand(&s);
	/* In a cage there is no more to do at exit; what other libraries, or
	 * a sanitizer, would do there may not be permitted. */
	if (s.caged)
		_exit(fflush(stdout) == EOF ? EX_IOERR : status);
	return status;
}
