#include "smtpd/intake.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "tests/t.h"

static char spool[] = "/tmp/intake.XXXXXX";
static struct intake in;

/* What the last scan gave away. */
static struct {
	size_t count;
	uint64_t number;
	uid_t owner;
	char text[64];
} given;

static void
give(void *arg, uint64_t number, uid_t owner, int fd)
{
	ssize_t n;

	(void)arg;
	given.count++;
	given.number = number;
	given.owner = owner;
	n = read(fd, given.text, sizeof(given.text) - 1);
	given.text[n > 0 ? n : 0] = '\0';
	close(fd);
}

/* Good for two at a time. */
static const char *
path_of(const char *name)
{
	static char paths[2][512];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/offline/%s", spool, name);
	return path;
}

static void
make(const char *name, const char *text, mode_t mode)
{
	int fd =
	    open(path_of(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	t_true(fd != -1);
	t_int(write(fd, text, strlen(text)), strlen(text));
	t_int(fchmod(fd, mode), 0);
	close(fd);
}

static bool
is_there(const char *name)
{
	struct stat st;

	return lstat(path_of(name), &st) == 0;
}

static size_t
scan(void)
{
	memset(&given, 0, sizeof(given));
	intake_scan(&in, give, NULL);
	return given.count;
}

static void
test_taken(void)
{
	t_case("a file goes to the listener once, with its owner's uid");
	make("a", "MAIL", 0600);
	if (geteuid() == 0)
		t_int(chown(path_of("a"), 12345, 12345), 0);
	t_int(scan(), 1);
	t_str(given.text, "MAIL");
	t_int(given.owner, geteuid() == 0 ? 12345 : geteuid());
	t_int(scan(), 0);

	t_case("a file is removed once the queue has the message");
	t_true(is_there("a"));
	intake_done(&in, 1, 250, "ok");
	t_true(!is_there("a"));
	t_int(scan(), 0);

	t_case("a file stays for another try after 4xx");
	make("b", "MAIL", 0600);
	t_int(scan(), 1);
	intake_done(&in, given.number, 451, "later");
	t_true(is_there("b"));
	t_int(scan(), 1);

	t_case("a file is given again when the listener died");
	intake_forget(&in);
	t_int(scan(), 1);

	t_case("a refused file is set aside, and not tried again");
	intake_done(&in, given.number, 554, "no");
	t_true(!is_there("b"));
	t_true(is_there("refused-b"));
	t_int(scan(), 0);
	t_int(unlink(path_of("refused-b")), 0);
}

static void
test_stubborn(void)
{
	char name[256];

	t_case("a refused file that cannot be set aside does not come again");
	t_row("a folder has the name");
	make("c", "MAIL", 0600);
	t_int(mkdir(path_of("refused-c"), 0700), 0);
	t_int(scan(), 1);
	intake_done(&in, given.number, 554, "no");
	t_int(scan(), 0);
	t_true(!is_there("c"));
	t_int(rmdir(path_of("refused-c")), 0);
	t_row("the name would be too long");
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	make(name, "MAIL", 0600);
	t_int(scan(), 1);
	intake_done(&in, given.number, 554, "no");
	t_int(scan(), 0);
	t_true(!is_there(name));
}

static void
test_swapped(void)
{
	t_case("a file that took the name of one given away is not removed");
	make("a", "MAIL", 0600);
	t_int(scan(), 1);
	t_int(rename(path_of("a"), path_of("other")), 0);
	make("a", "ANOTHER", 0600);
	intake_done(&in, given.number, 250, "ok");
	t_true(is_there("a"));
	t_int(unlink(path_of("a")), 0);
	t_int(unlink(path_of("other")), 0);
}

static void
test_untrusted(void)
{
	t_case("only plain files of mode 0600 with one name are taken");
	t_row("symbolic link");
	t_int(symlink("/etc/passwd", path_of("x")), 0);
	t_int(scan(), 0);
	t_int(unlink(path_of("x")), 0);
	t_row("hard link");
	make("x", "MAIL", 0600);
	t_int(link(path_of("x"), "/tmp/intake.other"), 0);
	t_int(scan(), 0);
	t_int(unlink("/tmp/intake.other"), 0);
	t_int(unlink(path_of("x")), 0);
	t_row("pipe, which does not block");
	t_int(mkfifo(path_of("x"), 0600), 0);
	t_int(scan(), 0);
	t_int(unlink(path_of("x")), 0);
	t_row("folder");
	t_int(mkdir(path_of("x"), 0600), 0);
	t_int(scan(), 0);
	t_int(rmdir(path_of("x")), 0);
	t_row("readable by others");
	make("x", "MAIL", 0644);
	t_int(scan(), 0);
	t_int(unlink(path_of("x")), 0);
	t_row("setuid");
	make("x", "MAIL", 04600);
	t_int(scan(), 0);
	t_int(unlink(path_of("x")), 0);
	t_row("empty");
	make("x", "", 0600);
	t_int(scan(), 0);
	t_int(unlink(path_of("x")), 0);
	t_row("still being written");
	make(".x", "MAI", 0600);
	t_int(scan(), 0);
	t_int(unlink(path_of(".x")), 0);
}

static void
test_left(void)
{
	struct timespec old[2] = { { .tv_sec = time(NULL) - 90000 } };

	old[1] = old[0];
	t_case("what a sendmail that died left half written is swept");
	make(".new", "MAI", 0600);
	make(".old", "MAI", 0600);
	make("old", "MAIL", 0600);
	t_int(utimensat(AT_FDCWD, path_of(".old"), old, 0), 0);
	t_int(utimensat(AT_FDCWD, path_of("old"), old, 0), 0);
	t_int(scan(), 1);
	t_true(is_there(".new"));
	t_true(!is_there(".old"));
	intake_done(&in, given.number, 250, "ok");
	t_int(unlink(path_of(".new")), 0);
}

static void
test_bound(void)
{
	char name[16];
	int i;

	t_case("so many at a time; the others when those are done");
	for (i = 0; i < INTAKE_MAX + 5; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		make(name, "MAIL", 0600);
	}
	t_int(scan(), INTAKE_MAX);
	t_int(scan(), 0);
	for (i = 0; i < INTAKE_MAX; i++)
		intake_done(&in, in.files[i].number, 250, "ok");
	t_int(scan(), 5);
	for (i = 0; i < INTAKE_MAX; i++)
		intake_done(&in, in.files[i].number, 250, "ok");
	t_case("an answer about a number that was never given does nothing");
	intake_done(&in, 0, 250, "ok");
	intake_done(&in, 999999, 250, "ok");
	t_int(scan(), 0);
}

static void
test_crowd(void)
{
	char name[32];
	size_t found = 0;
	int i;

	t_case("however many names lead nowhere, the others are found");
	for (i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), i % 2 == 0 ? ".n%d" : "refused-%d",
		    i);
		make(name, "MAIL", 0600);
		snprintf(name, sizeof(name), "m%d", i);
		if (i % 250 == 0)
			make(name, "MAIL", 0600);
	}
	for (i = 0; i < 5; i++)
		found += scan();
	t_int(found, 20);
	for (i = 0; i < INTAKE_MAX; i++)
		intake_done(&in, in.files[i].number, 250, "ok");
	for (i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), i % 2 == 0 ? ".n%d" : "refused-%d",
		    i);
		(void)unlink(path_of(name));
	}
}

int
main(void)
{
	int fd, null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	log_init("test", null, false, false);
	if (mkdtemp(spool) == NULL || mkdir(path_of(""), 0700) == -1)
		return 1;
	fd = open(path_of(""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	intake_init(&in, fd);
	test_taken();
	test_stubborn();
	test_swapped();
	test_untrusted();
	test_left();
	test_bound();
	test_crowd();
	(void)rmdir(path_of(""));
	(void)rmdir(spool);
	return t_done();
}
