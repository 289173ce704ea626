#include <sys/stat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/conf_file.h"
#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

static char root[] = "/tmp/sealpost-system-XXXXXX";

/* One of the system's files below our root; NULL: not there. */
static void
put(const char *name, const char *content)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/etc/%s", root, name);
	(void)unlink(path);
	if (content == NULL)
		return;
	f = fopen(path, "we");
	if (f == NULL)
		abort();
	(void)fputs(content, f);
	(void)fclose(f);
}

/* clang-format off */
static const struct {
	const char *hostname, *hosts, *resolv; /* contents of the files */
	const char *want;                      /* NULL: no usable name */
} names[] = {
	{ "relay.Example.org\n", NULL, NULL, "relay.example.org" },
	{ "relay\n", "127.0.0.1 localhost\n127.0.1.1 relay.example.org relay\n",
	  NULL, "relay.example.org" },
	{ "relay\n", "127.0.1.1\tRELAY  relay.example.org # x\n", NULL,
	  "relay.example.org" },
	{ "relay\n", "192.0.2.1 other.example.org other\n",
	  "search example.net example.org\n", "relay.example.net" },
	{ "relay\n", NULL, "domain example.com\nnameserver 127.0.0.1\n",
	  "relay.example.com" },
	{ "relay\n", NULL, "search .\n", "relay" },
	{ "relay\n", "127.0.0.1 relay\n", NULL, "relay" },
	{ "relay\n", "# 127.0.0.1 relay.example.org relay\n", NULL, "relay" },
	{ "relay.example.org.\n", NULL, NULL, "relay.example.org" },
	{ "my_host\n", NULL, NULL, NULL }, { "", NULL, NULL, NULL },
	{ NULL, NULL, NULL, NULL }, { "192.0.2.1\n", NULL, NULL, NULL },
};

static const struct {
	const char *resolv;
	const char *want;
} resolvers[] = {
	{ "nameserver 192.0.2.53\nnameserver 2001:db8::53\n",
	  "resolver 192.0.2.53\nresolver 2001:db8::53\n" },
	{ "nameserver 192.0.2.53\noptions edns0 trust-ad\n",
	  "resolver 192.0.2.53\n" },
	{ "# nameserver 192.0.2.53\n; nameserver 192.0.2.54\n",
	  "resolver 127.0.0.1\n" },
	{ "nameserver\nnameserver x\nnameserver fe80::1%eth0\n",
	  "resolver 127.0.0.1\n" },
	{ NULL, "resolver 127.0.0.1\n" },
	{ "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n"
	  "nameserver 192.0.2.4\nnameserver 192.0.2.5\nnameserver 192.0.2.6\n"
	  "nameserver 192.0.2.7\nnameserver 192.0.2.8\nnameserver 192.0.2.9\n",
	  "resolver 192.0.2.1\nresolver 192.0.2.2\nresolver 192.0.2.3\n"
	  "resolver 192.0.2.4\nresolver 192.0.2.5\nresolver 192.0.2.6\n"
	  "resolver 192.0.2.7\nresolver 192.0.2.8\n" },
};
/* clang-format on */

static void
test_names(void)
{
	char name[256];

	t_case("hostname: from the host name, /etc/hosts, /etc/resolv.conf");
	for (size_t i = 0; i < nitems(names); i++) {
		int r;

		t_row("row %zu", i);
		put("hostname", names[i].hostname);
		put("hosts", names[i].hosts);
		put("resolv.conf", names[i].resolv);
		r = conf_hostname(name, sizeof name, root);
		t_str(r == 0 ? name : NULL, names[i].want);
	}
	t_row(NULL);
}

/* What conf_write_system() writes for a text; parsed again behind it. */
static char *
written(const char *text, struct conf *whole)
{
	struct conf_errors errors = { 0 };
	struct conf conf;
	const char *why = NULL;
	char *out = NULL, both[4096];
	size_t len;
	FILE *f = open_memstream(&out, &len);

	t_int(conf_parse(&conf, "f", text, strlen(text), &errors), 0);
	if (f == NULL)
		abort();
	t_int(conf_write_system(&conf, f, root, &why), 0);
	(void)fclose(f);
	(void)snprintf(both, sizeof both, "%s%s", text, out);
	t_int(conf_parse(whole, "f", both, strlen(both), &errors), 0);
	t_str(errors.text, NULL);
	conf_clear(&conf);
	return out;
}

static void
test_write(void)
{
	struct conf conf;
	char want[1024], *out;

	t_case("system: resolvers of /etc/resolv.conf, as directives");
	put("hostname", "relay.example.org\n");
	for (size_t i = 0; i < nitems(resolvers); i++) {
		t_row("row %zu", i);
		put("resolv.conf", resolvers[i].resolv);
		out = written("# no newline at the end", &conf);
		(void)snprintf(want, sizeof want,
		    "\nhostname relay.example.org\n%s", resolvers[i].want);
		t_str(out, want);
		t_str(conf.hostname, "relay.example.org");
		t_true(conf.resolver_count > 0);
		conf_clear(&conf);
		free(out);
	}
	t_row(NULL);
	t_case("system: what the file says stays");
	out = written("hostname a.example\nresolver 192.0.2.99", &conf);
	t_str(out, "\n");
	t_str(conf.hostname, "a.example");
	t_int(conf.resolver_count, 1);
	conf_clear(&conf);
	free(out);
}

int
main(void)
{
	char path[256];

	if (mkdtemp(root) == NULL)
		return 1;
	(void)snprintf(path, sizeof path, "%s/etc", root);
	(void)mkdir(path, 0700);
	test_names();
	test_write();
	put("hostname", NULL);
	put("hosts", NULL);
	put("resolv.conf", NULL);
	(void)rmdir(path);
	(void)rmdir(root);
	return t_done();
}
