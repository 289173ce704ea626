/*
 * The parent and the frame of its children, with roles that only tell what
 * they hear: this very program is re-executed as each of them. It runs in
 * mount and network namespaces of its own.
 */

#include "smtpd/parent.h"

#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "smtpd/child.h"
#include "smtpd/folders.h"
#include "smtpd/msg.h"
#include "tests/t.h"

#define USERS \
	"root:x:0:0::/:/bin/sh\n" \
	"_sealpost:x:901:901::/:/bin/sh\n" \
	"_sealpostq:x:902:902::/:/bin/sh\n"
#define CONF "listen on 127.0.0.1 port 2525\nresolver 127.0.0.1\n"
#define WAIT_MS 10000
#define TEXT_MAX 262144

static char place[] = "/tmp/parent.XXXXXX";
static pid_t parent;
static const char *played; /* that this process plays */
static const char *worker; /* its number, if it plays deliver */
static bool shown;         /* the log, for a failure */

/* ---- the roles ---- */

static void
tell_prepare(struct child *c)
{
	(void)c;
	log_note(LOG_PRI_INFO, "prepare uid=%u", (unsigned)getuid());
}

static void
tell_start(struct child *c)
{
	log_note(LOG_PRI_INFO, "start uid=%u queue=%d", (unsigned)getuid(),
	    child_peer(c, ROLE_QUEUE, 0) != NULL);
}

static void
tell_hear(struct child *c, const struct heard *h)
{
	(void)c;
	log_note(LOG_PRI_INFO, "hear %s from %s", msg_table.name(h->type),
	    roles[h->peer].name);
	if (h->fd != -1)
		close(h->fd);
}

static void
tell_lost(struct child *c, int peer, uint32_t instance)
{
	(void)c;
	log_note(LOG_PRI_INFO, "lost %s %u", roles[peer].name, instance);
}

static void
tell_connected(struct child *c, int peer, uint32_t instance)
{
	log_note(LOG_PRI_INFO, "connected %s %u %d", roles[peer].name, instance,
	    child_peer(c, peer, instance) != NULL);
}

/* A byte to every sibling: no message of the table. */
static void
break_table(void)
{
	int fd, type;
	socklen_t len;

	for (fd = 4; fd < 64; fd++) {
		len = sizeof(type);
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
		    type == SOCK_SEQPACKET)
			(void)send(fd, "x", 1, MSG_NOSIGNAL);
	}
}

/* Of the listener, to whom it has no channel, and of none at all. */
static void
accuse(struct child *c)
{
	static const struct msg_broken m[] = { { .role = ROLE_LISTEN },
		{ .role = ROLE_PARENT }, { .role = 0x80000001U } };
	size_t i;

	for (i = 0; i < sizeof(m) / sizeof(m[0]); i++)
		MSG_SEND(child_peer(c, ROLE_PARENT, 0), broken, &m[i], -1);
}

static void
tell_reloaded(struct child *c)
{
	const char *name = child_conf(c)->hostname;

	log_note(LOG_PRI_INFO, "reloaded %s", name);
	if (strcmp(played, "deliver") != 0 || strcmp(worker, "0") != 0)
		return;
	if (strcmp(name, "accuse.example") == 0)
		accuse(c);
	if (strcmp(name, "breach.example") == 0)
		break_table();
}

static void
tell_stop(struct child *c)
{
	log_note(LOG_PRI_INFO, "stop");
	child_exit(c, 0);
}

static const struct role_ops tell = {
	.prepare = tell_prepare,
	.start = tell_start,
	.hear = tell_hear,
	.lost = tell_lost,
	.connected = tell_connected,
	.reloaded = tell_reloaded,
	.stop = tell_stop,
};

static const struct role_ops *const ops[ROLE_COUNT] = { NULL, &tell, &tell,
	&tell, &tell };

/* ---- the parent ---- */

static const char *
path_of(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", place, name);
	return path;
}

static void
put(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "we");

	if (f == NULL || fputs(text, f) == EOF || fclose(f) == EOF)
		abort();
}

static void
configure(const char *hostname)
{
	char text[512];

	snprintf(text, sizeof(text),
	    CONF "hostname %s\nqueue directory %s/spool\n", hostname, place);
	put("conf", text);
}

_Noreturn static void
be_parent(void)
{
	struct parent_options options = { .path = xstrdup(path_of("conf")),
		.foreground = true };
	struct parent *p = xcalloc(1, sizeof(*p));
	struct conf_errors errors = { 0 };
	struct sockets none = { .count = 0 };
	char why[FOLDERS_WHY_SIZE];
	int fd;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = open(path_of("log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
	    0600);
	(void)dup2(fd, STDERR_FILENO);
	log_init("parent", STDERR_FILENO, false, false);
	p->options = &options;
	p->detach = p->log = p->intake.folder = -1;
	if (setup_load(&p->setup, options.path, &errors) == -1)
		log_die("%s", errors.text);
	if (folders_make(p->setup.conf->queue_directory, why) == -1 ||
	    sockets_open(&p->sockets, p->setup.conf, &none, why) == -1)
		log_die("%s", why);
	_exit(parent_run(p));
}

/* ---- what they told ---- */

static char *
read_log(void)
{
	static char text[TEXT_MAX];
	int fd = open(path_of("log"), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd == -1 ? 0 : read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	if (fd != -1)
		close(fd);
	return text;
}

/* How many lines hold "words" and end for "process" (NULL: any). */
static int
count(const char *words, const char *process)
{
	char *line, *rest = read_log(), who[32];
	int found = 0;

	snprintf(who, sizeof(who), " process=%s ", process);
	while ((line = strsep(&rest, "\n")) != NULL)
		found += strstr(line, words) != NULL &&
		    (process == NULL || strstr(line, who) != NULL);
	return found;
}

static bool
comes(const char *words, const char *process, int times)
{
	const struct timespec little = { 0, 10000000 };
	int waited;

	for (waited = 0; waited < WAIT_MS; waited += 10) {
		if (count(words, process) >= times)
			return true;
		(void)nanosleep(&little, NULL);
	}
	/* Once is enough. */
	if (!shown)
		printf("%s", read_log());
	shown = true;
	return false;
}

/* Where "words" of "process" stand in the log; beyond all if nowhere. */
static int
line_of(const char *words, const char *process)
{
	char *line, *rest = read_log(), who[32];
	int number = 0;

	snprintf(who, sizeof(who), " process=%s ", process);
	while ((line = strsep(&rest, "\n")) != NULL) {
		number++;
		if (strstr(line, words) != NULL && strstr(line, who) != NULL)
			return number;
	}
	return 1 << 30;
}

/* ---- cases ---- */

static void
test_start(void)
{
	static const struct {
		const char *role;
		const char *uid;
		const char *hears;
	} rows[] = {
		{ "listen", "start uid=901", "hear listener from parent" },
		{ "policy", "start uid=901", "hear trust from parent" },
		{ "deliver", "start uid=901", "hear trust from parent" },
	};
	size_t i;

	t_case("each child prepares as root, starts in its cage with its "
	       "peers, then hears what it is handed");
	parent = fork();
	if (parent == 0)
		be_parent();
	t_true(comes("event=started", "parent", 1));
	t_true(comes("start uid=902", "queue", 1));
	t_int(count("start uid=902", "queue"), 1);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t_row("%s", rows[i].role);
		t_true(comes(rows[i].hears, rows[i].role, 1));
		t_true(line_of("prepare uid=0", rows[i].role) <
		    line_of(rows[i].uid, rows[i].role));
		t_true(line_of(rows[i].uid, rows[i].role) <
		    line_of(rows[i].hears, rows[i].role));
		t_int(count("queue=0", rows[i].role), 0);
	}
	t_row(NULL);
	t_int(count("connected", NULL), 0);
}

static void
test_reload(void)
{
	int trust = count("hear trust", "deliver");

	t_case("a reload reaches every child, with new hand-outs");
	configure("other.example");
	t_int(kill(parent, SIGHUP), 0);
	t_true(comes("reloaded other.example", "listen", 1));
	t_true(comes("reloaded other.example", "queue", 1));
	t_true(comes("reloaded other.example", "policy", 1));
	t_true(comes("reloaded other.example", "deliver", 1));
	t_true(comes("hear trust", "deliver", 2 * trust));
	t_true(comes("hear listener", "listen", 4));
}

/* The pid in the last line of the log that says that "role" restarted. */
static pid_t
pid_of(const char *role)
{
	char words[64], *at;
	pid_t pid = 0;
	char *text = read_log();

	snprintf(words, sizeof(words), "event=restarted role=%s", role);
	while ((text = strstr(text, words)) != NULL) {
		at = strstr(text, " pid=");
		pid = (pid_t)strtol(at + 5, NULL, 10);
		text = at;
	}
	return pid;
}

static void
test_breach(void)
{
	t_case("a child that breaks the table of messages is ended and "
	       "restarted; the queue is not");
	configure("breach.example");
	t_int(kill(parent, SIGHUP), 0);
	t_true(comes("event=ipc-breach", "queue", 1));
	t_true(comes("event=restarted role=deliver", NULL, 1));
	t_true(comes("lost deliver 0", "queue", 1));
	t_true(comes("connected deliver 0 1", "queue", 1));
	t_true(comes("connected deliver 0 1", "policy", 1));
	t_int(count("event=ended role=queue", NULL), 0);
	t_int(count("event=ended role=listen", NULL), 0);
}

static void
test_accuse(void)
{
	t_case("a child accuses its peers alone");
	configure("accuse.example");
	t_int(kill(parent, SIGHUP), 0);
	t_true(comes("reloaded accuse.example", "deliver", 1));
	/* A second reload is heard by those who lived through the first. */
	configure("later.example");
	t_int(kill(parent, SIGHUP), 0);
	t_true(comes("reloaded later.example", "listen", 1));
	t_int(count("event=ended", NULL), 0);
}

static void
test_restart(void)
{
	t_case("a restarted child gets its peers, they get it");
	configure("third.example");
	t_int(kill(parent, SIGHUP), 0);
	t_true(comes("reloaded third.example", "queue", 1));
	t_int(kill(pid_of("deliver"), SIGKILL), 0);
	t_true(comes("event=restarted role=deliver", NULL, 2));
	t_true(comes("connected deliver 0 1", "queue", 2));
	t_int(count("queue=0", "deliver"), 0);
}

static void
test_stop(void)
{
	int status = -1;

	t_case("at the end the queue is stopped last");
	t_int(kill(parent, SIGTERM), 0);
	t_int(waitpid(parent, &status, 0), parent);
	t_int(status, 0);
	t_int(count("text=stop ", "queue"), 1);
	t_true(
	    line_of("text=stop ", "listen") < line_of("text=stop ", "queue"));
	t_true(
	    line_of("text=stop ", "deliver") < line_of("text=stop ", "queue"));
}

/* ---- the frame ---- */

/* A world of our own. Returns 0, or -1 where that is not possible. */
static int
prepare(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd, result;

	if (unshare(CLONE_NEWNS | CLONE_NEWNET) == -1 ||
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == -1 ||
	    mount("tmpfs", RUNDIR, "tmpfs", 0, "mode=755") == -1 ||
	    mkdtemp(place) == NULL || chmod(place, 0755) == -1)
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	result = ioctl(fd, SIOCSIFFLAGS, &ifr);
	close(fd);
	if (result == -1)
		return -1;
	put("passwd", USERS);
	configure("first.example");
	return mount(path_of("passwd"), "/etc/passwd", "none", MS_BIND, NULL);
}

static void
clean(void)
{
	static const char *const names[] = { "conf", "log", "passwd",
		"spool/queue", "spool/policy", "spool/offline", "spool", "" };
	size_t i;

	(void)umount2("/etc/passwd", MNT_DETACH);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)remove(path_of(names[i]));
}

int
main(int argc, char **argv)
{
	struct child_options options = { .verbose = false };

	if (argc > 2) {
		played = argv[2];
		worker = argv[argc - 1];
		_exit(child_main(played, ops, &options));
	}
	if (geteuid() != 0 || prepare() == -1) {
		t_case("the parent and its children");
		t_skip("not root, or no namespaces");
		return t_done();
	}
	test_start();
	test_reload();
	test_accuse();
	test_breach();
	test_restart();
	test_stop();
	clean();
	return t_done();
}
