#include "smtpd/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))
#define SA(ss) ((const struct sockaddr *)&(ss))

#define DAY 86400

/* Every directive and argument. */
static const char full[] =
    "# comment\n"
    "hostname relay.Example.org          # HELO name\n"
    "listen on 127.0.0.1 port 25\n"
    "listen on ::1\n"
    "listen on [2001:db8::1] port 2525\n"
    "relay from 127.0.0.0/8 ::1          # loopback\n"
    "relay from 192.0.2.0/24\n"
    "resolver 127.0.0.1 port 53\n"
    "resolver 192.0.2.53 trusted\n"
    "resolver 192.0.2.54 port 5353\n"
    "trust /etc/ssl/certs/ca-certificates.crt\n"
    "tls require\n"
    "allow private 10.0.0.0/8 fc00::/7\n"
    "allow private 192.168.7.0/24\n"
    "\n"
    "\tmessage size 25M\n"
    "recipients 500\n"
    "queue directory \"/var/spool/a b\"\n"
    "queue expire 3d\n"
    "queue warn 2h tls 30m\n"
    "queue retry 30s up to 1h\n"
    "proof keep 90d\n"
    "connections 7\n"
    "aliases /etc/mail/aliases\n"
    "source 192.0.2.10\n"
    "source 2001:db8::10\n"
    "destination example.net {\n"
    "    tls strict\n"
    "    via smtp.Example.net port 587\n"
    "    auth /etc/sealpost/example.net.auth  # user:password\n"
    "    connections 5\n"
    "    rate 100 per 1m\n"
    "}\n"
    "destination .example.net { via b.example implicit-tls }\n"
    "destination broken.example {\n"
    "    tls opportunistic until 2027-01-31 because \"expired, \\\"4711\\\"\"\n"
    "}\n"
    "destination * { rate 5 per 10s }";

static int
parse(struct conf *conf, const char *text, struct conf_errors *errors)
{
	return conf_parse(conf, "f", text, strlen(text), errors);
}

static void
test_full(void)
{
	struct conf_errors errors = { 0 };
	struct conf c;
	char buf[NETADDR_TEXT_SIZE];

	t_case("conf: every directive of the interface is understood");
	t_int(parse(&c, full, &errors), 0);
	t_str(errors.text, NULL);
	t_str(c.hostname, "relay.example.org");
	t_int(c.listen_count, 3);
	t_str(netaddr_text(SA(c.listen[0].addr), buf), "127.0.0.1:25");
	t_str(netaddr_text(SA(c.listen[1].addr), buf), "[::1]:25");
	t_str(netaddr_text(SA(c.listen[2].addr), buf), "[2001:db8::1]:2525");
	t_int(c.listen[2].line, 5);
	t_int(c.relay_from.count, 3);
	t_true(netaddr_net_has(&c.relay_from.net[2], SA(c.source4)));
	t_int(c.relay_from.net[2].bits, 24);
	t_int(c.resolver_count, 3);
	t_true(c.resolver[0].trusted);
	t_true(c.resolver[1].trusted);
	t_true(!c.resolver[2].trusted);
	t_str(netaddr_text(SA(c.resolver[2].addr), buf), "192.0.2.54:5353");
	t_str(c.trust, "/etc/ssl/certs/ca-certificates.crt");
	t_int(c.tls.level, LEVEL_REQUIRE);
	t_int(c.allow_private.count, 3);
	t_int(c.message_size, 25 * 1024 * 1024);
	t_int(c.recipients, 500);
	t_str(c.queue_directory, "/var/spool/a b");
	t_int(c.queue_expire_s, 3 * DAY);
	t_int(c.queue_warn_s, 7200);
	t_int(c.queue_warn_tls_s, 1800);
	t_int(c.proof_keep_s, 90 * 86400);
	t_int(c.queue_retry_s, 30);
	t_int(c.queue_retry_max_s, 3600);
	t_int(c.connections, 7);
	t_str(c.aliases, "/etc/mail/aliases");
	t_int(c.aliases_line, 24);
	t_str(netaddr_host_text(SA(c.source4), buf), "192.0.2.10");
	t_str(netaddr_host_text(SA(c.source6), buf), "2001:db8::10");
	t_int(c.destination_count, 4);
	conf_clear(&c);
	conf_clear(&c);
}

static void
test_empty(void)
{
	/* clang-format off */
	static const char *const texts[] = {
		"", "\n", "# nothing", "\n\n  \t\n# x\n\t# y", "#",
	};
	/* clang-format on */
	struct conf_errors errors = { 0 };
	struct conf c;
	char buf[NETADDR_TEXT_SIZE];

	t_case("conf: an empty file is a working relay");
	for (size_t i = 0; i < nitems(texts); i++) {
		t_row("%s", texts[i]);
		t_int(parse(&c, texts[i], &errors), 0);
		t_str(errors.text, NULL);
		t_str(c.hostname, NULL);
		t_int(c.listen_count, 2);
		t_str(netaddr_text(SA(c.listen[0].addr), buf), "127.0.0.1:25");
		t_str(netaddr_text(SA(c.listen[1].addr), buf), "[::1]:25");
		t_int(c.listen[0].line, 0);
		t_int(c.relay_from.count, 2);
		for (size_t n = 0; n < 2; n++)
			t_true(netaddr_net_has(&c.relay_from.net[n],
			    SA(c.listen[n].addr)));
		t_int(c.relay_from.net[0].bits, 8);
		t_int(c.relay_from.net[1].bits, 128);
		t_int(c.resolver_count, 0);
		t_str(c.trust, NULL);
		t_int(c.tls.level, LEVEL_REQUIRE);
		t_int(c.allow_private.count, 0);
		t_int(c.message_size, 50 * 1024 * 1024);
		t_int(c.recipients, 1000);
		t_str(c.queue_directory, "/var/spool/sealpost");
		t_int(c.queue_expire_s, 5 * DAY);
		t_int(c.queue_warn_s, 4 * 3600);
		t_int(c.queue_warn_tls_s, 3600);
		t_int(c.proof_keep_s, 30 * 86400);
		t_int(c.queue_retry_s, 300);
		t_int(c.queue_retry_max_s, 4 * 3600);
		t_int(c.connections, 20);
		t_str(c.aliases, "/etc/aliases");
		t_int(c.aliases_line, 0);
		t_int(c.source4.ss_family, 0);
		t_int(c.destination_count, 0);
		conf_clear(&c);
	}
	t_row(NULL);
}

/* clang-format off */
static const struct {
	const char *text;
	const char *errors; /* all of them; NULL: none */
} rows[] = {
	/* the lexer */
	{ "hostname \"a.b\"", NULL },
	{ "hostname a.b#c", "f:1: `a.b#c`: a wrong character in the domain\n" },
	{ "hostname a.b\r\n",
	  "f:1: a carriage return: lines end in a newline alone\n" },
	{ "hostname \"a.b", "f:1: a quoted string is not closed on its line\n" },
	{ "hostname \"a.b\nrecipients x",
	  "f:1: a quoted string is not closed on its line\n"
	  "f:2: `x`: not a number; 1 to 100000\n" },
	{ "hostname a\"b\"", "f:1: a quote inside a word\n" },
	{ "hostname \"a\"b", "f:1: no blank behind a quoted string\n" },
	{ "hostname a\001b", "f:1: a control character\n" },
	{ "hostname \"a\177b\"", "f:1: a control character\n" },
	{ "hostname \"a\xff\"", "f:1: not valid UTF-8\n" },
	{ "\n\n\nfoo", "f:4: unknown directive `foo`\n" },
	/* unknown and misplaced words */
	{ "hostnam a.b", "f:1: unknown directive `hostnam`; is it `hostname`?\n" },
	{ "listn on ::1",
	  "f:1: unknown directive `listn`; is it `listen on`?\n" },
	{ "listen ::1", "f:1: unknown directive `listen`; is it `listen on`?\n" },
	{ "queue expires 5d",
	  "f:1: unknown directive `queue`; is it `queue expire`?\n" },
	{ "queue", "f:1: unknown directive `queue`\n" },
	{ "relay form ::1",
	  "f:1: unknown directive `relay`; is it `relay from`?\n" },
	{ "Hostname a.b",
	  "f:1: unknown directive `Hostname`; is it `hostname`?\n" },
	{ "via a.b", "f:1: `via` stands only in a destination block\n" },
	{ "destination a { hostname b }",
	  "f:1: `hostname` cannot stand in a destination block\n" },
	{ "hostname", "f:1: `hostname` wants NAME\n" },
	{ "hostname a b",
	  "f:1: `b` is one word too many; `hostname` wants NAME\n" },
	{ "hostname a\nhostname b", "f:2: `hostname` is already on line 1\n" },
	{ "queue expire 1d\n\nqueue expire 1d",
	  "f:3: `queue expire` is already on line 1\n" },
	/* names and addresses */
	{ "hostname -a.b",
	  "f:1: `-a.b`: a label begins or ends with a hyphen\n" },
	{ "listen on localhost", "f:1: `localhost`: not an IP address\n" },
	{ "listen on ::1 port 0", "f:1: `0`: not a port from 1 to 65535\n" },
	{ "listen on ::1 port 65536",
	  "f:1: `65536`: not a port from 1 to 65535\n" },
	{ "listen on ::1 port 65535", NULL },
	{ "listen on ::1 port x", "f:1: `x`: not a port from 1 to 65535\n" },
	{ "listen on ::1 port", "f:1: `listen on` wants ADDRESS [port PORT]"
	  " [tls cert FILE key FILE] [auth FILE]\n" },
	{ "listen on ::1 25", "f:1: `25` is one word too many; `listen on` wants"
	  " ADDRESS [port PORT] [tls cert FILE key FILE] [auth FILE]\n" },
	{ "listen on ::1\nlisten on [::1] port 25",
	  "f:2: the same address and port as on line 1\n" },
	{ "source 192.0.2.1\nsource ::1\nsource 192.0.2.2",
	  "f:3: a second source address of the same family\n" },
	{ "source 192.0.2.1 port 5",
	  "f:1: `port` is one word too many; `source` wants ADDRESS\n" },
	/* open relays */
	{ "relay from 0.0.0.0/0", "f:1: `0.0.0.0/0`: so wide a network would"
	  " make an open relay\n" },
	{ "relay from ::/0",
	  "f:1: `::/0`: so wide a network would make an open relay\n" },
	{ "relay from 10.0.0.0/8 0.0.0.0/1 128.0.0.0/1",
	  "f:1: `0.0.0.0/1`: so wide a network would make an open relay\n"
	  "f:1: `128.0.0.0/1`: so wide a network would make an open relay\n" },
	{ "relay from ::ffff:0:0/96", "f:1: `::ffff:0:0/96`: so wide a network"
	  " would make an open relay\n" },
	{ "relay from 2000::/3",
	  "f:1: `2000::/3`: so wide a network would make an open relay\n" },
	{ "relay from 2002::/16",
	  "f:1: `2002::/16`: so wide a network would make an open relay\n" },
	{ "relay from 10.0.0.0/8 fc00::/7 fe80::/10 2001:db8::/32", NULL },
	{ "relay from fc00::/6", "f:1: `fc00::/6`: so wide a network would make"
	  " an open relay\n" },
	{ "relay from fe80::/9", "f:1: `fe80::/9`: so wide a network would make"
	  " an open relay\n" },
	{ "relay from 10.0.0.1/8",
	  "f:1: `10.0.0.1/8`: bits are set behind the prefix\n" },
	{ "relay from", "f:1: `relay from` wants NETWORK ...\n" },
	{ "relay from any", "f:1: `any`: not an IP address\n" },
	{ "allow private 0.0.0.0/0 ::/0", NULL },
	/* TLS levels */
	{ "tls strict", NULL },
	{ "tls may", "f:1: `may` is no TLS level: require, strict or"
	  " opportunistic\n" },
	{ "tls", "f:1: `tls` wants LEVEL [until DATE because TEXT]\n" },
	{ "tls opportunistic",
	  "f:1: `tls opportunistic` wants until DATE because TEXT\n" },
	{ "tls opportunistic until 2027-01-31",
	  "f:1: `tls opportunistic` wants until DATE because TEXT\n" },
	{ "tls opportunistic because x",
	  "f:1: `tls opportunistic` wants until DATE because TEXT\n" },
	{ "tls opportunistic because x until 2027-01-31", NULL },
	{ "tls opportunistic until 2027-01-31 because \"\"",
	  "f:1: `tls` wants LEVEL [until DATE because TEXT]\n" },
	{ "tls opportunistic until 2027-01-31 because they said so",
	  "f:1: `said` is one word too many; `tls` wants LEVEL [until DATE"
	  " because TEXT]\n" },
	{ "tls require until 2027-01-31 because x",
	  "f:1: until and because belong to `tls opportunistic` alone\n" },
	{ "tls opportunistic until 2027-02-29 because x",
	  "f:1: `2027-02-29`: not a date such as 2027-01-31\n" },
	{ "tls opportunistic until 2028-02-29 because x", NULL },
	{ "tls opportunistic until 2027-13-01 because x",
	  "f:1: `2027-13-01`: not a date such as 2027-01-31\n" },
	{ "tls opportunistic until 31.1.2027 because x",
	  "f:1: `31.1.2027`: not a date such as 2027-01-31\n" },
	{ "tls opportunistic until 2027-1-31 because x",
	  "f:1: `2027-1-31`: not a date such as 2027-01-31\n" },
	/* numbers */
	{ "message size 64K", NULL }, { "message size 1G", NULL },
	{ "message size 65536", NULL },
	{ "message size 65535", "f:1: `65535` is not between 64K and 1G\n" },
	{ "message size 2G", "f:1: `2G` is not between 64K and 1G\n" },
	{ "message size 999999999999G",
	  "f:1: `999999999999G` is not between 64K and 1G\n" },
	{ "message size 25m",
	  "f:1: `25m`: not a size such as 65536, 64K or 25M\n" },
	{ "message size 25MB",
	  "f:1: `25MB`: not a size such as 65536, 64K or 25M\n" },
	{ "message size -1",
	  "f:1: `-1`: not a size such as 65536, 64K or 25M\n" },
	{ "recipients 0", "f:1: `0`: the number is too small; 1 to 100000\n" },
	{ "recipients 100001",
	  "f:1: `100001`: the number is too large; 1 to 100000\n" },
	{ "recipients 1e3", "f:1: `1e3`: not a number; 1 to 100000\n" },
	{ "recipients 99999999999999999999",
	  "f:1: `99999999999999999999`: not a number; 1 to 100000\n" },
	{ "queue expire 5",
	  "f:1: `5`: not a duration such as 30s, 5m, 4h or 5d\n" },
	{ "queue expire 5w",
	  "f:1: `5w`: not a duration such as 30s, 5m, 4h or 5d\n" },
	{ "queue expire 1h30m",
	  "f:1: `1h30m`: not a duration such as 30s, 5m, 4h or 5d\n" },
	{ "queue expire 0s", "f:1: `0s`: the duration is too short\n" },
	{ "queue expire 4000d", "f:1: `4000d`: the duration is too long\n" },
	{ "queue expire 999999999999d",
	  "f:1: `999999999999d`: the duration is too long\n" },
	{ "queue warn never", NULL },
	{ "proof keep never", NULL },
	{ "proof keep", "f:1: `proof keep` wants DURATION | never\n" },
	{ "proof keep 1d never", "f:1: `never` is one word too many;"
	  " `proof keep` wants DURATION | never\n" },
	{ "queue warn never tls 1h", "f:1: `tls` is one word too many;"
	  " `queue warn` wants DURATION [tls DURATION] | never\n" },
	{ "queue warn 1h tls 2h", "f:1: the notice about TLS would come later"
	  " than the general one\n" },
	{ "queue retry 5m", "f:1: `queue retry` wants DURATION up to"
	  " DURATION\n" },
	{ "queue retry 5m up to 1m",
	  "f:1: the last delay is shorter than the first\n" },
	{ "connections 1001",
	  "f:1: `1001`: the number is too large; 1 to 1000\n" },
	/* paths */
	{ "aliases aliases", "f:1: `aliases` is no absolute path\n" },
	{ "trust x.pem", "f:1: `x.pem` is no absolute path\n" },
	{ "queue directory \"\"", "f:1: `` is no absolute path\n" },
	/* blocks */
	{ "destination a {}", NULL }, { "destination a{}", NULL },
	{ "destination a { tls strict }\ndestination b { tls strict }", NULL },
	{ "destination a\n{\n}",
	  "f:1: `destination` wants NAME { ... }\n"
	  "f:2: `{` stands only behind `destination NAME`\n" },
	{ "destination {\n}", "f:1: `destination` wants NAME { ... }\n" },
	{ "destination a b {\n}", "f:1: `b` is one word too many; `destination`"
	  " wants NAME { ... }\n" },
	{ "destination a {\ntls strict\n",
	  "f:1: the block of `destination` is not closed\n" },
	{ "}", "f:1: `}` closes nothing\n" },
	{ "hostname a.b {\n}",
	  "f:1: `{` stands only behind `destination NAME`\n" },
	{ "destination a {\ndestination b {\n}\n}",
	  "f:2: a destination block inside another\n" },
	{ "destination a {\n}\ndestination A {\n}",
	  "f:3: `destination a` is already on line 1\n" },
	{ "destination a {\ntls strict\ntls strict\n}",
	  "f:3: `tls` is already on line 2\n" },
	{ "destination a {\ntls strict\n}\ntls strict", NULL },
	{ "destination **{}", "f:1: `**`: a wrong character in the domain\n" },
	{ "destination *.a {}", "f:1: `*.a`: a wrong character in the domain\n" },
	{ "destination . {}", "f:1: `.`: no domain\n" },
	{ "destination m\xc3\xbcnchen.example {}", NULL },
	{ "destination a { auth /x }", "f:1: `auth` wants a `via` in the same"
	  " block: credentials belong to one host\n" },
	{ "destination a {\nauth /x\nvia b.c\n}", NULL },
	{ "destination a { via b.c }\ndestination d { via b.c }", NULL },
	{ "destination a { via b.c }\ndestination d {\nvia b.c\nauth /x\n}",
	  "f:2: `via b.c port 25` stands on line 1 as well, with other"
	  " credentials or another `implicit-tls`\n" },
	{ "destination a { via 192.0.2.1 }", "f:1: `via` wants a host name, for"
	  " which the certificate is checked, not an address\n" },
	{ "destination a { via b implicit-tls port 4650 }", NULL },
	{ "destination a { via b port 1 port 2 }", "f:1: `port` is one word too"
	  " many; `via` wants HOST [port PORT] [implicit-tls]\n" },
	{ "destination a { rate 100 }",
	  "f:1: `rate` wants NUMBER per DURATION\n" },
	{ "destination a { rate 0 per 1m }",
	  "f:1: `0`: the number is too small; 1 to 1000000\n" },
	/* what later versions will have */
	{ "listen on 192.0.2.10 port 587 tls cert /c key /k auth /p",
	  "f:1: `listen ... tls` is not yet supported\n" },
	{ "listen on 192.0.2.10 auth /p",
	  "f:1: `listen ... auth` is not yet supported\n" },
	{ "listen on 192.0.2.10 tls cert c key /k",
	  "f:1: `c` is no absolute path\n" },
	{ "dkim example.org selector s1 key /etc/sealpost/s1.pem",
	  "f:1: `dkim` is not yet supported\n" },
	{ "dkim example.org selector s1", "f:1: `dkim` wants DOMAIN selector"
	  " NAME key FILE\n" },
	{ "report tls from tls-reports@example.org",
	  "f:1: `report tls` is not yet supported\n" },
	{ "report tls from x", "f:1: `x`: no domain\n" },
	{ "metrics on 127.0.0.1 port 9725",
	  "f:1: `metrics` is not yet supported\n" },
	/* several in one pass */
	{ "hostname\n\nfoo\nrecipients 0\ndestination a {\nbar\n}\n",
	  "f:1: `hostname` wants NAME\n"
	  "f:3: unknown directive `foo`\n"
	  "f:4: `0`: the number is too small; 1 to 100000\n"
	  "f:6: unknown directive `bar`\n" },
};
/* clang-format on */

static void
test_rows(void)
{
	t_case("conf: what is refused, with its line and all in one pass");
	for (size_t i = 0; i < nitems(rows); i++) {
		struct conf_errors errors = { 0 };
		struct conf c;

		t_row("%s", rows[i].text);
		t_int(parse(&c, rows[i].text, &errors),
		    rows[i].errors != NULL ? -1 : 0);
		t_str(errors.text, rows[i].errors);
		conf_errors_clear(&errors);
		conf_clear(&c);
	}
	t_row(NULL);
}

static void
test_warn(void)
{
	/* clang-format off */
	static const struct { const char *text; unsigned warn, tls; } warns[] = {
		{ "queue warn 2h", 7200, 3600 }, { "queue warn 30m", 1800, 1800 },
		{ "queue warn 2h tls 2h", 7200, 7200 },
		{ "queue warn never", 0, 0 },
	};
	/* clang-format on */
	struct conf_errors errors = { 0 };
	struct conf c;

	t_case("queue warn: sooner where TLS is the reason, or never");
	for (size_t i = 0; i < nitems(warns); i++) {
		t_row("%s", warns[i].text);
		t_int(parse(&c, warns[i].text, &errors), 0);
		t_int(c.queue_warn_s, warns[i].warn);
		t_int(c.queue_warn_tls_s, warns[i].tls);
		conf_clear(&c);
	}
	t_row(NULL);
}

static void
test_hostile(void)
{
	/* Under valgrind it would take over a minute. */
	size_t size = getenv("VALGRIND") != NULL ? 1 << 17 : 1 << 20;
	char *big = malloc(size);
	char line[] = "hostname aXb.example\n";
	struct conf_errors errors = { 0 };
	struct conf c;

	t_case("hostile: every byte value, alone and in a name");
	for (int b = 0; b < 256; b++) {
		char one = (char)b;

		t_row("byte %d", b);
		(void)conf_parse(&c, "f", &one, 1, &errors);
		conf_clear(&c);
		line[10] = (char)b;
		if (conf_parse(&c, "f", line, strlen(line), &errors) == 0)
			t_true(b == 0 || (b >= 'A' && b <= 'Z') ||
			    strchr(c.hostname, b) != NULL);
		else
			t_true(strchr("abcxyzABCXYZ0189.-", b) == NULL);
		conf_clear(&c);
		conf_errors_clear(&errors);
	}
	t_case(
	    "hostile: a megabyte of one thing ends, with bounded complaints");
	for (int b = 1; b < 128; b++) {
		memset(big, b, size);
		t_row("byte %d", b);
		(void)conf_parse(&c, "f", big, size, &errors);
		conf_clear(&c);
		t_true(errors.len < 64 * 1024);
		conf_errors_clear(&errors);
	}
	for (size_t i = 0; i + 2 <= size; i += 2)
		memcpy(big + i, "a\n", 2);
	t_int(conf_parse(&c, "f", big, size, &errors), -1);
	t_int(errors.count, size / 2);
	t_true(errors.len < 16384);
	conf_clear(&c);
	conf_errors_clear(&errors);
	t_row(NULL);
	free(big);
}

static void
test_table(void)
{
	struct conf_directive d, e;
	size_t n;

	t_case("directives: each has its words and arguments, once a scope");
	for (n = 0; conf_directive(n, &d); n++) {
		t_row("%zu", n);
		t_true(d.words[0] != '\0' && d.arguments[0] != '\0');
		for (size_t i = 0; i < n; i++)
			if (conf_directive(i, &e))
				t_true(strcmp(d.words, e.words) != 0 ||
				    d.in_destination != e.in_destination);
	}
	t_true(n > 20);
	t_row(NULL);
}

/* A file of the tree; tests run at its top. */
static char *
tree_file(const char *path)
{
	char *text = calloc(1, 1 << 17);
	FILE *f = fopen(path, "re");

	t_row("%s", path);
	t_true(f != NULL);
	if (f != NULL) {
		t_true(fread(text, 1, (1 << 17) - 1, f) > 0);
		(void)fclose(f);
	}
	t_row(NULL);
	return text;
}

static void
test_documents(void)
{
	struct conf_directive d;
	char *text, *next, *line, want[64];

	t_case("manual: every directive has its item");
	text = tree_file("man/sealpost.conf.5");
	for (size_t i = 0; conf_directive(i, &d); i++) {
		(void)snprintf(want, sizeof want, "\n.It Cm %s ", d.words);
		t_row("%s", d.words);
		t_true(strstr(text, want) != NULL);
	}
	t_row(NULL);
	free(text);
	t_case("example: every line is a comment, so that it equals nothing");
	text = next = tree_file("etc/sealpost.conf");
	while ((line = strsep(&next, "\n")) != NULL) {
		t_row("%s", line);
		t_true(line[0] == '#' || line[0] == '\0');
	}
	t_row(NULL);
	free(text);
}

int
main(void)
{
	test_full();
	test_empty();
	test_rows();
	test_warn();
	test_hostile();
	test_table();
	test_documents();
	return t_done();
}
