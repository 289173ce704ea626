#include "smtpd/conf_file.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

static char dir[] = "/tmp/sealpost-conf-XXXXXX";

/* The path of a file in our folder, with this content and mode. */
static const char *
file(const char *name, const char *content, mode_t mode)
{
	static char path[256];
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	if (content == NULL)
		return path;
	(void)unlink(path);
	f = fopen(path, "we");
	if (f == NULL)
		abort();
	(void)fputs(content, f);
	(void)fclose(f);
	(void)chmod(path, mode);
	return path;
}

static void
test_read(void)
{
	const char *why = NULL;
	char *text;
	size_t len;

	t_case("reading: a regular file, whole, with a NUL behind it");
	t_int(conf_read(file("a", "hello\n", 0644), 6, &text, &len, &why), 0);
	t_int(len, 6);
	t_str(text, "hello\n");
	free(text);
	t_int(conf_read(file("a", "", 0644), 6, &text, &len, &why), 0);
	t_int(len, 0);
	t_str(text, "");
	free(text);
	t_int(conf_read("/dev/null", 6, &text, &len, &why), 0);
	t_int(len, 0);
	free(text);
	t_case("reading: too large, absent, a folder, a FIFO, a device");
	t_int(conf_read(file("a", "hello!\n", 0644), 6, &text, &len, &why), -1);
	t_str(why, "the file is too large");
	t_int(conf_read(file("b", NULL, 0), 6, &text, &len, &why), -1);
	t_int(errno, ENOENT);
	t_str(why, "No such file or directory");
	t_int(conf_read(dir, 6, &text, &len, &why), -1);
	t_str(why, "not a regular file");
	t_int(mkfifo(file("fifo", NULL, 0), 0600), 0);
	t_int(conf_read(file("fifo", NULL, 0), 6, &text, &len, &why), -1);
	t_str(why, "not a regular file");
	t_int(conf_read("/dev/zero", 6, &text, &len, &why), -1);
	t_str(why, "not a regular file");
	(void)unlink(file("fifo", NULL, 0));
}

static void
test_auth(void)
{
	/* clang-format off */
	static const struct {
		const char *content;
		mode_t mode;
		const char *user, *password; /* NULL: refused */
	} rows[] = {
		{ "user:pass\n", 0600, "user", "pass" },
		{ "user:pass", 0400, "user", "pass" },
		{ "u@example.org:p:a s\"s\n", 0600, "u@example.org", "p:a s\"s" },
		{ "user:p\xc3\xbc\n", 0600, "user", "p\xc3\xbc" },
		{ "user:pass\n", 0640, NULL, NULL },
		{ "user:pass\n", 0604, NULL, NULL },
		{ "user:pass\n", 0610, NULL, NULL },
		{ "", 0600, NULL, NULL }, { "\n", 0600, NULL, NULL },
		{ "user", 0600, NULL, NULL }, { "user:", 0600, NULL, NULL },
		{ ":pass", 0600, NULL, NULL },
		{ "user:pass\r\n", 0600, NULL, NULL },
		{ "user:pass\nother:pass\n", 0600, NULL, NULL },
		{ "\nuser:pass\n", 0600, NULL, NULL },
		{ "us\ter:pass\n", 0600, NULL, NULL },
	};
	/* clang-format on */
	char big[CONF_SECRET_MAX + 8];

	t_case("credentials: one line user:password, mode 0600");
	for (size_t i = 0; i < nitems(rows); i++) {
		const char *path = file("auth", rows[i].content, rows[i].mode);
		char *user = NULL, *password = NULL;
		const char *why = NULL;
		int r;

		t_row("row %zu", i);
		r = conf_read_auth(path, &user, &password, &why);
		t_int(r, rows[i].user != NULL ? 0 : -1);
		t_true((r == -1) == (why != NULL));
		t_str(user, rows[i].user);
		t_str(password, rows[i].password);
		free(user);
	}
	t_row("a kilobyte");
	memset(big, 'x', sizeof big);
	big[1] = ':';
	big[sizeof big - 1] = '\0';
	t_int(conf_read_auth(file("auth", big, 0600), &(char *){ NULL },
		  &(char *){ NULL }, &(const char *){ NULL }),
	    -1);
	t_row(NULL);
}

/* Parse a configuration with every %s being our folder. */
static void
check(const char *fmt, struct conf *conf, struct conf_errors *errors)
{
	char text[1024] = "";

	for (const char *s = fmt; *s != '\0'; s++) {
		size_t len = strlen(text);

		if (*s == '%')
			(void)strlcat(text, dir, sizeof text);
		else {
			text[len] = *s;
			text[len + 1] = '\0';
		}
	}
	t_int(conf_parse(conf, "f", text, strlen(text), errors), 0);
	t_str(errors->text, NULL);
}

static void
test_check(void)
{
	struct conf_errors errors = { 0 };
	struct conf conf;
	char want[1024];

	(void)file("ca", "-----BEGIN CERTIFICATE-----\n", 0644);
	(void)file("none", "nothing\n", 0644);
	(void)file("good", "a:b\n", 0600);
	(void)file("open", "a:b\n", 0644);
	(void)file("aliases", "root: a@b.c\nx: |y\n", 0644);
	t_case("files: those that are fit are not complained of");
	check("trust %/ca\naliases %/aliases\n"
	      "destination a { via b\n auth %/good\n}",
	    &conf, &errors);
	t_int(conf_check_files(&conf, "f", &errors), 0);
	t_str(errors.text, NULL);
	conf_errors_clear(&errors);
	conf_clear(&conf);
	t_case("files: what is missing or unfit, with its line");
	check("trust %/none\naliases %/absent\n"
	      "destination a { via b\n auth %/open\n}",
	    &conf, &errors);
	t_int(conf_check_files(&conf, "f", &errors), -1);
	(void)snprintf(want, sizeof want,
	    "f:1: `%s/none`: no certificate in PEM form in it\n"
	    "f:2: `%s/absent`: No such file or directory\n"
	    "f:4: `%s/open`: others than its owner may access it: chmod 600\n",
	    dir, dir, dir);
	t_str(errors.text, want);
	conf_errors_clear(&errors);
	conf_clear(&conf);
}

int
main(void)
{
	if (mkdtemp(dir) == NULL)
		return 1;
	test_read();
	test_auth();
	test_check();
	for (size_t i = 0; i < 8; i++) {
		static const char *const names[] = { "a", "auth", "ca", "none",
			"good", "open", "aliases", "fifo" };

		(void)unlink(file(names[i], NULL, 0));
	}
	(void)rmdir(dir);
	return t_done();
}
