#include "smtpd/base/log.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/t.h"

static int out[2];

/* What was logged since the last call, without process= and what follows. */
static const char *
logged(void)
{
	static char text[2 * LOG_LINE_MAX];
	ssize_t n = read(out[0], text, sizeof(text) - 1);
	char *end;

	text[n < 0 ? 0 : n] = '\0';
	end = strstr(text, " process=test");
	if (end != NULL)
		*end = '\0';
	return text;
}

static void
test_values(void)
{
	static const struct {
		const char *name;
		const char *value;
		size_t len;
		const char *want;
	} rows[] = {
		{ "plain", "<a@example.net>", 15, "v=<a@example.net>" },
		{ "blank", "250 ok", 6, "v=\"250 ok\"" },
		{ "empty", "", 0, "v=\"\"" },
		{ "quote", "a\"b", 3, "v=\"a\\\"b\"" },
		{ "backslash", "a\\b", 3, "v=\"a\\\\b\"" },
		{ "line end", "a\r\nevent=b", 10, "v=\"a\\x0d\\x0aevent=b\"" },
		{ "NUL", "a\0b", 3, "v=\"a\\x00b\"" },
		{ "escape", "\033[2J", 4, "v=\"\\x1b[2J\"" },
		{ "UTF-8", "\xc3\xa9", 2, "v=\"\\xc3\\xa9\"" },
		{ "DEL", "\x7f", 1, "v=\"\\x7f\"" },
	};
	char want[100];
	struct log_line l;
	size_t i;

	t_case("log: a value is quoted and escaped as it needs");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t_row("%s", rows[i].name);
		log_begin(&l, LOG_PRI_INFO, "x");
		log_strn(&l, "v", rows[i].value, rows[i].len);
		log_end(&l);
		snprintf(want, sizeof(want), "event=x %s", rows[i].want);
		t_str(logged(), want);
	}
	t_row(NULL);
	log_begin(&l, LOG_PRI_INFO, "delivered");
	log_int(&l, "size", -12);
	log_fmt(&l, "delay", "%d.%03d", 1, 2);
	log_end(&l);
	t_str(logged(), "event=delivered size=-12 delay=1.002");
}

static void
test_cut(void)
{
	static char big[3 * LOG_LINE_MAX];
	struct log_line l;
	char text[2 * LOG_LINE_MAX];
	ssize_t n;
	int quoted;

	t_case("log: a line is bounded, and says that it was cut");
	for (quoted = 0; quoted < 2; quoted++) {
		memset(big, quoted ? ' ' : 'a', sizeof(big) - 1);
		log_begin(&l, LOG_PRI_INFO, "x");
		log_str(&l, "v", big);
		log_str(&l, "w", "more");
		log_end(&l);
		n = read(out[0], text, sizeof(text) - 1);
		t_true(n > LOG_LINE_MAX - 100 && n <= LOG_LINE_MAX);
		text[n < 0 ? 0 : n] = '\0';
		t_true(strstr(text,
			   quoted ? "\"... process=test time="
				  : "a... process=test time=") != NULL);
		t_true(strstr(text, "more") == NULL);
		t_true(strchr(text, '\n') == text + n - 1);
	}
}

static void
test_quiet(void)
{
	t_case("log: debug lines and dialogue are written only with -v");
	log_note(LOG_PRI_DEBUG, "quiet");
	log_dialogue("1", '>', "EHLO a", 6);
	t_str(logged(), "");
	log_init("test", out[1], false, true);
	log_note(LOG_PRI_DEBUG, "loud");
	t_str(logged(), "event=message text=loud");
	log_dialogue("1", '>', "EHLO a", 6);
	t_str(logged(), "event=dialogue session=1 dir=> text=\"EHLO a\"");
}

static void
test_batch(void)
{
	t_case("log: lines held for the turn come out at its end, in order");
	log_batch(true);
	log_note(LOG_PRI_INFO, "one");
	t_str(logged(), "");
	log_note(LOG_PRI_WARNING, "two");
	t_str(logged(), "event=message text=one");
	log_note(LOG_PRI_INFO, "three");
	log_flush();
	t_str(logged(), "event=message text=three");
	log_batch(false);
}

static void
test_end_of_process(void)
{
	int how, status;
	pid_t pid;

	t_case("log: lines held back are not lost at exit, die or bug");
	for (how = 0; how < 3; how++) {
		t_row("%d", how);
		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			log_batch(true);
			log_note(LOG_PRI_INFO, "held");
			if (how == 0)
				exit(0);
			if (how == 1)
				log_die("no %s", "way");
			log_bug("broken");
		}
		waitpid(pid, &status, 0);
		t_str(logged(), "event=message text=held");
		t_true(how == 0 ? status == 0
			: how == 1
			? WIFEXITED(status) && WEXITSTATUS(status) == 1
			: WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
	t_row(NULL);
}

static int lost_calls;

static void
on_lost(void)
{
	lost_calls++;
}

static void
test_syslog(void)
{
	char text[LOG_LINE_MAX + 100];
	int sv[2], other[2], i, n;

	t_case(
	    "log: a syslog line is one datagram of facility mail (RFC 3164)");
	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, sv);
	log_init("test", sv[0], true, false);
	log_on_lost(on_lost);
	log_note(LOG_PRI_INFO, "a b");
	n = (int)recv(sv[1], text, sizeof(text) - 1, 0);
	text[n < 0 ? 0 : n] = '\0';
	t_true(strncmp(text, "<22>", 4) == 0);
	t_true(strstr(text, " sealpost[") != NULL);
	t_true(
	    strstr(text, "]: event=message text=\"a b\" process=test") != NULL);
	t_true(strchr(text, '\n') == NULL);

	t_case("log: a full syslog socket never blocks; lines wait");
	for (i = 0; i < 100; i++)
		log_note(LOG_PRI_INFO, "line %d", i);
	for (i = 0, n = 1; n > 0; i++) {
		n = (int)recv(sv[1], text, sizeof(text) - 1, 0);
		log_flush();
	}
	t_int(i - 1, 100);

	t_case("log: when syslog is gone lines wait for the new socket");
	close(sv[1]);
	log_note(LOG_PRI_INFO, "kept");
	log_note(LOG_PRI_INFO, "kept too");
	t_int(lost_calls, 1);
	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, other);
	log_set_fd(other[0]);
	n = (int)recv(other[1], text, sizeof(text) - 1, 0);
	text[n < 0 ? 0 : n] = '\0';
	t_true(strstr(text, "text=kept ") != NULL);
	n = (int)recv(other[1], text, sizeof(text) - 1, 0);
	text[n < 0 ? 0 : n] = '\0';
	t_true(strstr(text, "text=\"kept too\"") != NULL);
	close(sv[0]);

	t_case("log: what no longer fits is counted, never waited for");
	for (i = 0; i < 20000; i++)
		log_note(LOG_PRI_INFO, "flood %d", i);
	do {
		n = (int)recv(other[1], text, sizeof(text) - 1, 0);
		if (n == -1) {
			log_flush();
			n = (int)recv(other[1], text, sizeof(text) - 1, 0);
		}
		text[n < 0 ? 0 : n] = '\0';
	} while (n > 0 && strstr(text, "event=log-lines-lost") == NULL);
	t_true(n > 0);
}

int
main(void)
{
	if (pipe2(out, O_NONBLOCK | O_CLOEXEC) == -1)
		return 1;
	log_init("test", out[1], false, false);
	test_values();
	test_cut();
	test_quiet();
	test_batch();
	test_end_of_process();
	test_syslog();
	return t_done();
}
