#include "smtpd/cli/top.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "smtpd/cli/cli.h"
#include "smtpd/cli/describe.h"

#define REFRESH_MS 2000
#define ROWS_DEFAULT 24
#define COLUMNS_DEFAULT 80

/* ECMA-48: nearly every terminal of the last forty years. */
#define SCREEN_OTHER "\033[?1049h"
#define SCREEN_BACK "\033[?1049l"
#define CURSOR_HOME "\033[H"
#define ERASE_LINE "\033[K"
#define ERASE_BELOW "\033[J"

/* Bytes of a line that fit in "columns" places. */
static size_t
fitting(const char *line, size_t len, size_t columns)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (((unsigned char)line[i] & 0xc0) != 0x80 && columns-- == 0)
			break;
	return i;
}

static void
draw(const char *text)
{
	struct winsize ws = { .ws_row = 0 };
	char now[32] = "";
	time_t t = time(NULL);
	struct tm tm;
	size_t rows, columns, len;

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws);
	rows = ws.ws_row > 2 ? ws.ws_row : ROWS_DEFAULT;
	columns = ws.ws_col > 0 ? ws.ws_col : COLUMNS_DEFAULT;
	if (localtime_r(&t, &tm) != NULL)
		(void)strftime(now, sizeof now, "%H:%M:%S", &tm);
	(void)printf(CURSOR_HOME
	    "sealpost queue by destination, %s; q quits" ERASE_LINE "\r\n",
	    now);
	for (rows -= 2; rows > 0 && *text != '\0'; rows--) {
		len = strcspn(text, "\n");
		(void)fwrite(text, 1, fitting(text, len, columns), stdout);
		(void)fputs(ERASE_LINE "\r\n", stdout);
		text += len + (text[len] != '\0');
	}
	(void)fputs(ERASE_BELOW, stdout);
	(void)fflush(stdout);
}

/* Ask once, into memory. NULL: it failed, *status says how. free(3) it. */
static char *
picture(const struct cli *cli, int *status)
{
	const struct ctl_request req = { .verb = CTL_TOP };
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	*status = EX_OSERR;
	if (f == NULL)
		return NULL;
	*status = describe_list(cli, &req, "the queue is empty", f);
	if (fclose(f) == 0 && *status == EX_OK)
		return text;
	free(text);
	return NULL;
}

/* Until q, a signal, or trouble. */
static int
watch(const struct cli *cli, int signals)
{
	struct pollfd pfd[2] = { { signals, POLLIN, 0 },
		{ STDIN_FILENO, POLLIN, 0 } };
	char key = '\0', *text;
	int status, n;

	for (;;) {
		text = picture(cli, &status);
		if (text == NULL)
			return status;
		draw(text);
		free(text);
		n = poll(pfd, 2, REFRESH_MS);
		if (n == -1 || pfd[0].revents != 0)
			return EX_OK;
		if (pfd[1].revents != 0 &&
		    (read(STDIN_FILENO, &key, 1) != 1 || key == 'q'))
			return EX_OK;
	}
}

static int
live(const struct cli *cli)
{
	struct termios before, raw;
	sigset_t set;
	char *text;
	bool is_raw;
	int signals, status;

	/* Trouble at the first question is told on the screen that stays. */
	text = picture(cli, &status);
	if (text == NULL)
		return status;
	free(text);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	is_raw = tcgetattr(STDIN_FILENO, &before) == 0;
	if (is_raw) {
		raw = before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	(void)fputs(SCREEN_OTHER, stdout);
	status = watch(cli, signals);
	(void)fputs(SCREEN_BACK, stdout);
	(void)fflush(stdout);
	if (is_raw)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
	/* A complaint made there went away with the other screen. */
	if (status != EX_OK)
		(void)cli_complain(cli, status, "the daemon stopped answering");
	if (signals != -1)
		close(signals);
	return status;
}

int
cmd_top(const struct cli *cli)
{
	const struct ctl_request req = { .verb = CTL_TOP };

	if (isatty(STDOUT_FILENO) != 0)
		return live(cli);
	return describe_list(cli, &req, "the queue is empty", stdout);
}
