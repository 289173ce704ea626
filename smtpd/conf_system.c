/*
 * What a configuration leaves to the system. Nothing asks a name server.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/address.h"
#include "smtpd/conf_file.h"

#define PATH_SIZE 4096
#define SYSTEM_FILE_MAX 1048576 /* bytes */

/* Called with each line's words, the first at word[0]; true ends it. */
typedef bool word_fn(void *arg, char **word, size_t count);

#define WORDS_MAX 64 /* on one line; more are not looked at */

static size_t
split(char *line, char **word)
{
	static const char blanks[] = " \t\r";
	size_t count = 0;

	line[strcspn(line, "#;")] = '\0';
	for (;;) {
		line += strspn(line, blanks);
		if (*line == '\0' || count == WORDS_MAX)
			return count;
		word[count++] = line;
		line += strcspn(line, blanks);
		if (*line != '\0')
			*line++ = '\0';
	}
}

/* All lines of a file below "root"; one that is not there has none. */
static void
each_line(const char *root, const char *path, word_fn *fn, void *arg)
{
	char full[PATH_SIZE], *text, *next, *line, *word[WORDS_MAX];
	const char *why;
	size_t len, count;

	if (snprintf(full, sizeof full, "%s%s", root, path) >= PATH_SIZE ||
	    conf_read(full, SYSTEM_FILE_MAX, &text, &len, &why) == -1)
		return;
	next = text;
	while ((line = strsep(&next, "\n")) != NULL) {
		count = split(line, word);
		if (count > 0 && fn(arg, word, count))
			break;
	}
	free(text);
}

struct search {
	const char *short_name;
	char found[ADDRESS_DOMAIN_SIZE]; /* "" until found */
};

/* /etc/hosts: ADDRESS NAME ALIAS...; hosts(5) */
static bool
on_hosts_line(void *arg, char **word, size_t count)
{
	struct search *s = arg;
	const char *full = NULL;
	bool is_ours = false;

	for (size_t i = 1; i < count; i++) {
		if (strcasecmp(word[i], s->short_name) == 0)
			is_ours = true;
		else if (full == NULL && strchr(word[i], '.') != NULL)
			full = word[i];
	}
	if (!is_ours || full == NULL)
		return false;
	(void)strlcpy(s->found, full, sizeof s->found);
	return true;
}

/* "domain NAME" or "search NAME ..."; resolv.conf(5): the last one counts. */
static bool
on_domain_line(void *arg, char **word, size_t count)
{
	struct search *s = arg;

	if (count >= 2 &&
	    (strcmp(word[0], "domain") == 0 || strcmp(word[0], "search") == 0))
		(void)strlcpy(s->found, word[1], sizeof s->found);
	return false;
}

static bool
on_name_line(void *arg, char **word, size_t count)
{
	struct search *s = arg;

	(void)count;
	(void)strlcpy(s->found, word[0], sizeof s->found);
	return true;
}

/* The host name itself, with or without a domain. */
static void
machine_name(struct search *s, const char *root)
{
	if (root[0] != '\0')
		each_line(root, "/etc/hostname", on_name_line, s);
	else if (gethostname(s->found, sizeof s->found) == -1)
		s->found[0] = '\0';
	s->found[sizeof s->found - 1] = '\0';
}

int
conf_hostname(char *out, size_t size, const char *root)
{
	char name[2 * ADDRESS_DOMAIN_SIZE], checked[ADDRESS_DOMAIN_SIZE];
	struct search own = { 0 }, s = { 0 };
	const char *why;
	size_t len;

	machine_name(&own, root);
	(void)strlcpy(name, own.found, sizeof name);
	s.short_name = own.found;
	if (strchr(name, '.') == NULL) {
		each_line(root, "/etc/hosts", on_hosts_line, &s);
		if (s.found[0] != '\0')
			(void)strlcpy(name, s.found, sizeof name);
	}
	if (strchr(name, '.') == NULL) {
		each_line(root, "/etc/resolv.conf", on_domain_line, &s);
		/* "search ." is how some write that there is none. */
		if (s.found[0] != '\0' && strcmp(s.found, ".") != 0) {
			(void)strlcat(name, ".", sizeof name);
			(void)strlcat(name, s.found, sizeof name);
		}
	}
	len = strlen(name);
	if (len > 0 && name[len - 1] == '.')
		name[--len] = '\0';
	if (address_domain(checked, name, len, 0, &why) == -1 ||
	    strlcpy(out, checked, size) >= size)
		return -1;
	return 0;
}

struct servers {
	FILE *out;
	char address[CONF_RESOLVER_MAX][NETADDR_TEXT_SIZE];
	size_t count;
};

/*
 * "nameserver ADDRESS"; resolv.conf(5). Its "options trust-ad" is not heeded:
 * the file may come from a DHCP server, and only the administrator's word
 * makes a resolver trusted.
 */
static bool
on_server_line(void *arg, char **word, size_t count)
{
	struct servers *s = arg;
	struct sockaddr_storage ss;
	const char *why;

	if (strcmp(word[0], "nameserver") != 0 || count < 2 ||
	    s->count == CONF_RESOLVER_MAX)
		return false;
	/* A link-local server with a scope cannot be reached from here. */
	if (netaddr_parse(&ss, word[1], 0, &why) == 0)
		(void)netaddr_host_text((const struct sockaddr *)&ss,
		    s->address[s->count++]);
	return false;
}

static void
write_resolvers(FILE *out, const char *root)
{
	struct servers s = { .out = out };

	each_line(root, "/etc/resolv.conf", on_server_line, &s);
	/* resolv.conf(5): without any, the one on this machine. */
	if (s.count == 0)
		(void)strlcpy(s.address[s.count++], "127.0.0.1",
		    sizeof s.address[0]);
	for (size_t i = 0; i < s.count; i++)
		(void)fprintf(out, "resolver %s\n", s.address[i]);
}

int
conf_write_system(const struct conf *conf, FILE *out, const char *root,
    const char **why)
{
	char name[ADDRESS_DOMAIN_SIZE];

	(void)fputc('\n', out);
	if (conf->hostname == NULL) {
		if (conf_hostname(name, sizeof name, root) == -1) {
			*why = "this machine has no usable name: write a"
			       " `hostname` line";
			return -1;
		}
		(void)fprintf(out, "hostname %s\n", name);
	}
	if (conf->resolver_count == 0)
		write_resolvers(out, root);
	if (fflush(out) == EOF || ferror(out)) {
		*why = "cannot write";
		return -1;
	}
	return 0;
}
