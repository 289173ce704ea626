/*
 * sealpostd(8): the daemon. Reads the configuration, prepares what only root
 * can, then runs as the parent (parent.c); with -x it is one of the children
 * (child.c).
 */

#include <sys/prctl.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "smtpd/base/sandbox.h"
#include "smtpd/child.h"
#include "smtpd/folders.h"
#include "smtpd/parent.h"
#include "smtpd/role_deliver.h"
#include "smtpd/role_listen.h"
#include "smtpd/role_policy.h"
#include "smtpd/role_queue.h"
#include "smtpd/service.h"

#define CONF_FILE SYSCONFDIR "/sealpost/sealpost.conf"
#define PORTS_WAIT_MS 1000 /* for the listener of a daemon that was killed */
#define PORTS_POLL_MS 10

static const struct role_ops *const ops[ROLE_COUNT] = {
	[ROLE_LISTEN] = &role_listen_ops,
	[ROLE_QUEUE] = &role_queue_ops,
	[ROLE_POLICY] = &role_policy_ops,
	[ROLE_DELIVER] = &role_deliver_ops,
};

struct options {
	struct parent_options parent;
	bool check;       /* -n */
	const char *role; /* -x: internal */
	bool role_syslog; /* -s: internal */
};

_Noreturn static void
usage(void)
{
	fprintf(stderr, "usage: sealpostd [-dnv] [-f file]\n");
	exit(64);
}

static void
parse_options(int argc, char **argv, struct options *o)
{
	int ch;

	memset(o, 0, sizeof(*o));
	o->parent.path = CONF_FILE;
	while ((ch = getopt(argc, argv, "df:nsvx:")) != -1) {
		switch (ch) {
		case 'd':
			o->parent.foreground = true;
			break;
		case 'f':
			o->parent.path = optarg;
			break;
		case 'n':
			o->check = true;
			break;
		case 's':
			o->role_syslog = true;
			break;
		case 'v':
			o->parent.verbose = true;
			break;
		case 'x':
			o->role = optarg;
			break;
		default:
			usage();
		}
	}
	if (o->role == NULL && (optind != argc || o->role_syslog))
		usage();
}

static int
check(const char *path)
{
	struct conf_errors errors = { 0 };

	if (setup_check(path, &errors) == 0) {
		printf("configuration OK\n");
		return 0;
	}
	fputs(errors.text == NULL ? "out of memory\n" : errors.text, stdout);
	conf_errors_clear(&errors);
	return 1;
}

_Noreturn static void
refuse(const char *why)
{
	fprintf(stderr, "sealpostd: %s\n", why);
	exit(1);
}

/* The descriptors 0 to 2 are there, so that no other takes their place. */
static void
open_standard(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd == -1)
			_exit(1);
	} while (fd <= STDERR_FILENO);
	close(fd);
}

/* The daemon changes its folder and reads the file again for a reload. */
static const char *
absolute(const char *path)
{
	char *folder, *whole;

	if (path[0] == '/')
		return path;
	folder = getcwd(NULL, 0);
	if (folder == NULL || asprintf(&whole, "%s/%s", folder, path) == -1)
		refuse("the current folder has no name");
	free(folder);
	return whole;
}

static void
load(struct parent *p)
{
	struct conf_errors errors = { 0 };

	if (setup_load(&p->setup, p->options->path, &errors) == -1) {
		fputs(errors.text == NULL ? "out of memory\n" : errors.text,
		    stderr);
		exit(1);
	}
	conf_errors_clear(&errors);
}

/* The lock is ours, yet the children of one that was killed, who are leaving,
 * may still hold its ports. */
static void
open_sockets(struct parent *p)
{
	const struct timespec poll = { 0, PORTS_POLL_MS * 1000000L };
	char why[SOCKETS_WHY_SIZE];
	struct sockets none = { .count = 0 };
	unsigned waited = 0;

	while (sockets_open(&p->sockets, p->setup.conf, &none, why) == -1) {
		if (errno != EADDRINUSE || waited >= PORTS_WAIT_MS)
			refuse(why);
		(void)nanosleep(&poll, NULL);
		waited += PORTS_POLL_MS;
	}
}

/* Folders, lock, sockets: what a second daemon or an unsafe place forbids. */
static void
prepare(struct parent *p)
{
	char why[FOLDERS_WHY_SIZE];
	int spool, offline;

	spool = folders_make(p->setup.conf->queue_directory, why);
	/* Both descriptors stay open as long as the process: they lock. */
	if (spool == -1 || service_lock(spool, why) == -1)
		refuse(why);
	offline = folders_offline(FOLDERS_SPOOL, why);
	if (offline == -1)
		refuse(why);
	open_sockets(p);
	intake_init(&p->intake, offline);
}

static void
open_log(struct parent *p)
{
	bool connected;

	log_init("parent", STDERR_FILENO, false, p->options->verbose);
	if (p->options->foreground)
		return;
	p->log = service_syslog(&connected);
	if (p->log == -1)
		refuse("no socket for the log");
	if (!connected)
		log_note(LOG_PRI_WARNING,
		    "no system log at /dev/log yet; -d logs here");
}

int
main(int argc, char **argv)
{
	struct options o;
	struct parent *p;
	int status;

	parse_options(argc, argv, &o);
	(void)prctl(PR_SET_NAME, "sealpostd", 0, 0, 0);
	if (o.role != NULL) {
		struct child_options shared = { .verbose = o.parent.verbose,
			.syslog = o.role_syslog };

		_exit(child_main(o.role, ops, &shared));
	}
	if (o.check)
		return check(o.parent.path);
	if (geteuid() != 0)
		refuse("must be started by root");
	open_standard();
	(void)umask(022);
	p = xcalloc(1, sizeof(*p));
	o.parent.path = absolute(o.parent.path);
	p->options = &o.parent;
	p->detach = p->log = -1;
	open_log(p);
	load(p);
	if (!o.parent.foreground && !service_is_watched()) {
		p->detach = service_background();
		if (p->detach == -1)
			refuse("cannot go to the background");
	}
	if (chdir("/") == -1)
		refuse("no root folder");
	prepare(p);
	/* They pass through here to the children. */
	(void)sandbox_descriptors();
	status = parent_run(p);
	sockets_clear(&p->sockets);
	(void)unlink(SOCKETS_UNIX);
	return status;
}
