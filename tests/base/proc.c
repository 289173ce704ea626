#include "smtpd/base/proc.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/t.h"

static void
test_sealed(void)
{
	char *text;
	size_t len;
	int fd;

	t_case("a sealed text is read back whole and can't be changed");
	fd = proc_seal("t", "some\0text", 9);
	t_true(fd != -1);
	t_int(write(fd, "x", 1), -1);
	t_int(ftruncate(fd, 0), -1);
	t_int(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	t_int(lseek(fd, 3, SEEK_SET), 3);
	text = proc_sealed_text(fd, 9, &len);
	t_true(text != NULL);
	t_mem(text, len + 1, "some\0text", 10);
	free(text);
	t_true(proc_sealed_text(fd, 8, &len) == NULL);
	close(fd);
	fd = proc_seal("t", NULL, 0);
	text = proc_sealed_text(fd, 8, &len);
	t_str(text, "");
	t_int(len, 0);
	free(text);
	close(fd);
}

static void
test_not_sealed(void)
{
	int fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t len;

	t_case("what a sender could still change is not read");
	t_true(proc_sealed_text(fd, 8, &len) == NULL);
	t_int(errno, EINVAL);
	t_int(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	t_true(proc_sealed_text(fd, 8, &len) == NULL);
	close(fd);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	t_true(proc_sealed_text(fd, 8, &len) == NULL);
	close(fd);
}

static void
test_backoff(void)
{
	static const struct {
		unsigned restarts;
		int64_t ms;
	} rows[] = { { 1, 100 }, { 2, 200 }, { 3, 400 }, { 6, 3200 },
		{ 7, 5000 }, { 8, 5000 }, { 4000000000, 5000 } };
	size_t i;

	t_case("restarts wait 0.1 s, doubling up to 5 s");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t_row("restart %u", rows[i].restarts);
		t_int(proc_backoff_ms(rows[i].restarts), rows[i].ms);
	}
}

static void
test_status(void)
{
	char text[64];

	t_case("how a process ended is told in words");
	t_str(proc_status_text(W_EXITCODE(3, 0), text, sizeof(text)), "exit 3");
	t_str(proc_status_text(W_EXITCODE(0, 9), text, sizeof(text)),
	    "signal 9 (Killed)");
}

static void
test_hold(void)
{
	char path[] = "/tmp/hold.XXXXXX";
	char byte;
	int first, second, ends[2];
	pid_t pid;

	t_case("a folder is held by one process at a time, until it ends");
	t_true(mkdtemp(path) != NULL);
	t_int(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		first = proc_hold_folder(path, 0);
		(void)!write(ends[1], "", 1);
		usleep(100000);
		_exit(first == -1);
	}
	t_int(read(ends[0], &byte, 1), 1);
	t_int(proc_hold_folder(path, 0), -1);
	t_int(errno, EWOULDBLOCK);
	second = proc_hold_folder(path, 5000);
	t_true(second != -1);
	t_int(waitpid(pid, NULL, 0), pid);
	close(second);
	close(ends[0]);
	close(ends[1]);
	(void)rmdir(path);
	t_int(proc_hold_folder(path, 0), -1);
	t_int(errno, ENOENT);
}

/* What the re-executed program finds: see main(). */
static int
look_around(char **argv)
{
	char path[64], name[64];
	ssize_t n;
	int fd, ok;

	ok = strcmp(argv[1], "-look") == 0 && argv[2] == NULL;
	ok = ok && getenv("PATH") == NULL && getenv("LD_LIBRARY_PATH") == NULL;
	for (fd = 0; fd < 3 && ok; fd++) {
		if (fd == STDERR_FILENO)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, name, sizeof(name) - 1);
		name[n > 0 ? n : 0] = '\0';
		ok = strcmp(name, "/dev/null") == 0;
	}
	for (fd = PROC_LOG_FD; fd < 256 && ok; fd++)
		ok = fcntl(fd, F_GETFD) == -1;
	(void)!write(PROC_PARENT_FD, ok ? "y" : "n", 1);
	return 0;
}

static void
test_spawn(void)
{
	char program[] = "test", look[] = "-look";
	char *argv[] = { program, look, NULL };
	char byte = '?';
	int ends[2], stray, status = -1;
	pid_t pid;

	t_case("a child is this program anew, with its channel and no more");
	t_int(proc_channel(ends), 0);
	stray = open("/dev/null", O_RDONLY);
	t_int(setenv("LD_LIBRARY_PATH", "/tmp", 1), 0);
	pid = proc_spawn(argv, ends[1], -1);
	t_true(pid > 0);
	t_int(waitpid(pid, &status, 0), pid);
	t_int(status, 0);
	t_int(read(ends[0], &byte, 1), 1);
	t_int(byte, 'y');
	close(stray);
	close(ends[0]);
	close(ends[1]);
}

int
main(int argc, char **argv)
{
	if (argc > 1)
		return look_around(argv);
	test_sealed();
	test_not_sealed();
	test_backoff();
	test_status();
	test_hold();
	test_spawn();
	t_case("there is at least one processor");
	t_true(proc_processors() >= 1);
	return t_done();
}
