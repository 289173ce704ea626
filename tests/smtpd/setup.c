#include "smtpd/setup.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/proc.h"
#include "tests/t.h"

/* Nobody looks closer before the certificates are used. */
#define BUNDLE "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"

static char folder[] = "/tmp/setup.XXXXXX";

static const char *
path_of(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

/* Write a file; "%s" in "text" is the folder. */
static void
put(const char *name, const char *text, mode_t mode)
{
	char whole[1024];
	const char *at = text;
	size_t len = 0;
	int fd;

	whole[0] = '\0';
	while (*at != '\0') {
		if (strncmp(at, "%s", 2) == 0) {
			len = strlcat(whole, folder, sizeof(whole));
			at += 2;
			continue;
		}
		whole[len++] = *at++;
		whole[len] = '\0';
	}
	(void)unlink(path_of(name));
	fd = open(path_of(name), O_WRONLY | O_CREAT | O_CLOEXEC, mode);
	t_int(write(fd, whole, len), len);
	close(fd);
}

static char *
text_of(int fd)
{
	size_t len;

	return proc_sealed_text(fd, 1 << 20, &len);
}

static void
test_load(void)
{
	struct conf_errors errors = { 0 };
	struct conf copy = { 0 };
	struct setup s;
	char *text;

	t_case("the children get the files that the configuration names");
	put("trust", BUNDLE, 0644);
	put("aliases", "root: admin@example.org\n", 0644);
	put("auth", "user:secret word\n", 0600);
	put("conf",
	    "hostname relay.example.org\nresolver 127.0.0.1\n"
	    "trust %s/trust\naliases %s/aliases\n"
	    "destination example.net {\n\tvia mx.example.net\n"
	    "\tauth %s/auth\n}",
	    0644);
	t_int(setup_load(&s, path_of("conf"), &errors), 0);
	t_str(errors.text, NULL);
	text = text_of(s.trust);
	t_str(text, BUNDLE);
	free(text);
	text = text_of(s.aliases);
	t_str(text, "root: admin@example.org\n");
	free(text);
	t_int(s.secret_count, 1);
	t_str(s.secrets[0].pattern, "example.net");
	text = text_of(s.secrets[0].fd);
	t_str(text, "user:secret word");
	free(text);

	t_case("their text parses to what the parent has");
	text = text_of(s.text);
	t_int(conf_parse(&copy, "copy", text, strlen(text), &errors), 0);
	t_str(copy.hostname, "relay.example.org");
	free(text);
	conf_clear(&copy);
	setup_clear(&s);
	setup_clear(&s);
}

static void
test_defaults(void)
{
	struct conf_errors errors = { 0 };
	struct setup s;
	char *text;

	t_case("what the system tells is added to the text, line by line");
	put("conf", "message size 1M # no newline", 0644);
	if (setup_load(&s, path_of("conf"), &errors) == -1) {
		/* A machine may have no name and no resolver. */
		t_skip(errors.text);
	} else {
		t_true(s.conf->hostname != NULL);
		t_int(s.conf->message_size, 1 << 20);
		t_true(s.conf->resolver_count > 0);
		text = text_of(s.text);
		t_true(strstr(text, "\nhostname ") != NULL);
		free(text);
	}
	conf_errors_clear(&errors);
	setup_clear(&s);
}

static void
test_errors(void)
{
	struct conf_errors missing = { 0 };
	static const struct {
		const char *name;
		const char *text;
		const char *why;
	} rows[] = {
		{ "unknown directive", "bogus\n", "conf:1: " },
		{ "two errors", "bogus\nhostname a b c\n", "conf:2: " },
		{ "missing trust", "trust %s/none\n", "none" },
		{ "missing aliases that were named", "aliases %s/none\n",
		    "none" },
		{ "auth that others can read",
		    "destination a.example {\nvia b.example\n"
		    "auth %s/open\n}\n",
		    "open" },
	};
	struct setup s;
	size_t i;

	t_case("what is wrong is told as file:line: message, by -n too");
	put("open", "user:secret\n", 0644);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conf_errors errors = { 0 }, checked = { 0 };

		t_row("%s", rows[i].name);
		put("conf", rows[i].text, 0644);
		t_int(setup_load(&s, path_of("conf"), &errors), -1);
		setup_clear(&s);
		t_true(errors.text != NULL &&
		    strstr(errors.text, rows[i].why) != NULL);
		t_int(setup_check(path_of("conf"), &checked), -1);
		t_str(checked.text, errors.text);
		conf_errors_clear(&errors);
		conf_errors_clear(&checked);
	}
	t_row("no file");
	t_int(setup_check("/nonexistent", &missing), -1);
	conf_errors_clear(&missing);
}

static void
clean(void)
{
	static const char *const names[] = { "trust", "aliases", "auth", "open",
		"conf" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)unlink(path_of(names[i]));
	(void)rmdir(folder);
}

int
main(void)
{
	if (mkdtemp(folder) == NULL)
		return 1;
	test_load();
	test_defaults();
	test_errors();
	clean();
	return t_done();
}
