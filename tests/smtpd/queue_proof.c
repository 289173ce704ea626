#include "smtpd/queue_proof.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/id.h"
#include "smtpd/base/log.h"
#include "tests/t.h"

#define MONTH_S (30U * 86400)
#define ANSWER_SIZE 8388608

static char folder[] = "/tmp/queue_proof.XXXXXX";
static char said[65536]; /* the log */
static int log_read;
static struct ev *ev;
static struct queue_stats stats;
static struct envelope env;
static struct msg_rcpt_result result;
static struct recipient rcpts[2000];

static struct queue_proof *
open_proofs(unsigned keep_s)
{
	(void)memset(&stats, 0, sizeof stats);
	return queue_proof_new(ev,
	    open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), keep_s, &stats);
}

/* How often the log named "event" since the last look. */
static int
count_logged(const char *event)
{
	ssize_t n;
	char *p = said;
	int count = 0;

	log_flush();
	n = read(log_read, said, sizeof said - 1);
	said[n > 0 ? n : 0] = '\0';
	while ((p = strstr(p, event)) != NULL) {
		p++;
		count++;
	}
	return count;
}

/* Files in proof/; -1: there is no such folder. */
static int
count_files(void)
{
	struct dirent *entry;
	char path[64];
	DIR *dir;
	int count = 0;

	(void)snprintf(path, sizeof path, "%s/proof", folder);
	if ((dir = opendir(path)) == NULL)
		return -1;
	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.';
	(void)closedir(dir);
	return count;
}

static void
remove_proofs(void)
{
	queue_proof_free(open_proofs(0));
	t_int(count_files(), -1);
}

static void
make_message(void)
{
	size_t i;

	envelope_init(&env);
	env.arrived_us = (uint64_t)ev_wall_ms() * 1000;
	env.id = env.arrived_us * 4;
	env.message_id = "<one@example.org>";
	env.rcpts = rcpts;
	env.rcpt_count = sizeof rcpts / sizeof rcpts[0];
	for (i = 0; i < env.rcpt_count; i++)
		rcpts[i].address = "someone@example.net";
	rcpts[0].address = "first@example.net";
	result.level = LEVEL_STRICT;
	result.auth = AUTH_DANE;
	result.policy = POLICY_ENFORCE;
	result.route_secure = 1;
	result.policy_fetched = ev_wall_ms() / 1000 - 100;
	(void)memset(result.policy_sha256, 0xab, 32);
	(void)memset(result.cert_sha256, 0xcd, 32);
	(void)strlcpy(result.policy_id, "42", sizeof result.policy_id);
	(void)strlcpy(result.tlsa, "3 1 1", sizeof result.tlsa);
	(void)strlcpy(result.tls, "TLSv1.3", sizeof result.tls);
	(void)strlcpy(result.mx, "mx.example.net", sizeof result.mx);
	(void)strlcpy(result.reply, "250 ok", sizeof result.reply);
}

static void
add(struct queue_proof *q, uint32_t rcpt)
{
	struct spool_change change = { .event = EVENT_DELIVERED,
		.env = &env,
		.rcpt = rcpt };

	queue_proof_add(q, &change, &result);
}

static void
on_stop(void *arg)
{
	(void)arg;
	ev_stop(ev);
}

static void
run_ms(int ms)
{
	struct ev_timer timer = { 0 };

	ev_timer_init(&timer, on_stop, NULL);
	ev_timer_set(ev, &timer, ev_now(ev) + ms);
	(void)ev_run(ev);
	ev_timer_del(ev, &timer);
}

/* Ask, and read the whole answer. */
static const char *
ask(struct queue_proof *q, const char *what)
{
	static char *text;
	struct msg_ctl_queue m = { .verb = CTL_PROOF };
	size_t len = 0;
	ssize_t n = 1;
	int fds[2], turns;

	if (text == NULL)
		text = malloc(ANSWER_SIZE);
	(void)strlcpy(m.what, what, sizeof m.what);
	if (text == NULL ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == -1)
		return "";
	queue_proof_answer(q, &m, fds[0]);
	for (turns = 0; turns < 2000 && n != 0; turns++) {
		run_ms(1);
		while (
		    (n = read(fds[1], text + len, ANSWER_SIZE - 1 - len)) > 0)
			len += (size_t)n;
	}
	(void)close(fds[1]);
	text[len] = '\0';
	return text;
}

static void
test_whole(void)
{
	struct queue_proof *q = open_proofs(MONTH_S);
	char id[ID_SIZE], want[2048];
	struct stat st;
	char path[64];

	t_case("proofs: written by themselves within 100 ms, for the queue's"
	       " eyes");
	(void)snprintf(path, sizeof path, "%s/proof", folder);
	t_int(stat(path, &st), 0);
	t_int(st.st_mode & 07777, 0700);
	add(q, 0);
	t_int(count_files(), 0);
	run_ms(250);
	t_int(count_files(), 1);
	t_int(stats.proofs_added, 1);

	t_case("proofs: an object for the recipient, all that is known in it");
	id_format(env.id, id);
	(void)snprintf(want, sizeof want,
	    "{\"id\":\"%s\",\"message_id\":\"<one@example.org>\","
	    "\"recipient\":\"first@example.net\",\"level\":\"strict\","
	    "\"auth\":\"dane\",\"route\":\"secure\",\"policy\":\"enforce\","
	    "\"policy_id\":\"42\",\"policy_age\":10",
	    id);
	t_true(strncmp(ask(q, id), want, strlen(want)) == 0);
	t_true(strstr(ask(q, id),
		   "\"tlsa\":\"3 1 1\",\"tls\":\"TLSv1.3\",\"cipher\":null,"
		   "\"group\":null,\"cert_sha256\":\"cdcdcd") != NULL);
	t_true(strstr(ask(q, id), "\"policy_sha256\":\"ababab") != NULL);
	t_true(strstr(ask(q, id), "\"reply\":\"250 ok\"}\n.\n") != NULL);

	t_case("proofs: what is not yet written is found as well");
	add(q, 1);
	t_true(strstr(ask(q, "one@example.org"), "someone@") != NULL);

	t_case("proofs: a message with thousands of recipients");
	for (uint32_t i = 2; i < env.rcpt_count; i++)
		add(q, i);
	{
		const char *p = ask(q, "<one@example.org>");
		size_t lines = 0;

		for (; *p != '\0'; p++)
			lines += *p == '\n';
		t_int(lines, env.rcpt_count + 1);
	}

	t_case("proofs: what there is not is an error line");
	t_str(ask(q, "0000000000001"), "{\"error\":\"no proof of that\"}\n");
	t_str(ask(q, "two@example.org"), "{\"error\":\"no proof of that\"}\n");

	t_case("proofs: a client that goes away costs nothing");
	for (int i = 0; i < 40; i++) {
		struct msg_ctl_queue m = { .verb = CTL_PROOF };
		int fds[2];

		(void)strlcpy(m.what, "one@example.org", sizeof m.what);
		t_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
		    0);
		queue_proof_answer(q, &m, fds[0]);
		(void)close(fds[1]);
	}
	run_ms(50);
	t_true(strstr(ask(q, id), "}\n.\n") != NULL);
	queue_proof_free(q);
}

static void
test_clear(void)
{
	struct queue_proof *q = open_proofs(MONTH_S);
	char id[ID_SIZE];

	t_case("proofs: in the clear, without a policy: null");
	env.id += 4;
	env.message_id = "";
	(void)memset(&result, 0, sizeof result);
	result.level = LEVEL_OPPORTUNISTIC;
	(void)strlcpy(result.tls, "none", sizeof result.tls);
	add(q, 0);
	id_format(env.id, id);
	t_true(strstr(ask(q, id),
		   "\"auth\":\"none\",\"route\":\"insecure\","
		   "\"policy\":\"absent\",\"policy_id\":null,"
		   "\"policy_age\":null,\"policy_sha256\":null,\"tlsa\":null,"
		   "\"tls\":null,\"cipher\":null,\"group\":null,"
		   "\"cert_sha256\":null") != NULL);
	queue_proof_free(q);
}

static void
test_never(void)
{
	struct queue_proof *q = open_proofs(MONTH_S);
	char id[ID_SIZE];

	t_case("proofs: kept over a restart, until `proof keep never`");
	id_format(env.id, id);
	t_true(strstr(ask(q, id), "}\n.\n") != NULL);
	queue_proof_keep(q, 0);
	t_int(count_files(), -1);
	add(q, 0);
	t_str(ask(q, id), "{\"error\":\"no proof of that: none are kept\"}\n");
	t_int(stats.proofs_added + stats.proofs_lost, 0);
	queue_proof_keep(q, 60);
	add(q, 0);
	t_true(strstr(ask(q, id), "}\n.\n") != NULL);
	t_int(stats.proofs_added, 1);
	queue_proof_free(q);
	t_int(count_logged("proofs-failing"), 0);
}

static void
test_trouble(void)
{
	struct rlimit limit = { 0, RLIM_INFINITY }, before;
	struct queue_proof *q;
	char path[64], id[ID_SIZE];
	int i, fd;

	remove_proofs();
	(void)getrlimit(RLIMIT_FSIZE, &before);
	limit.rlim_max = before.rlim_max;
	q = open_proofs(MONTH_S);
	t_case("proofs: a full disk is logged once, and what no longer fits is"
	       " counted");
	(void)setrlimit(RLIMIT_FSIZE, &limit);
	for (i = 0; i < 50000; i++) {
		add(q, 0);
		if (i % 1000 == 0)
			queue_proof_flush(q);
	}
	t_true(stats.proofs_lost > 0);
	t_int(stats.proofs_added + stats.proofs_lost, 50000);
	(void)setrlimit(RLIMIT_FSIZE, &before);
	t_int(count_logged("proofs-failing"), 1);

	t_case("proofs: a disk with room again is used by itself");
	run_ms(1500);
	t_int(count_logged("proofs-recovered"), 1);
	env.id += 4;
	add(q, 1);
	id_format(env.id, id);
	t_true(strstr(ask(q, id), "someone@") != NULL);
	queue_proof_free(q);
	remove_proofs();

	t_case("proofs: a folder that cannot be used stops nothing");
	(void)snprintf(path, sizeof path, "%s/proof", folder);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	(void)close(fd);
	q = open_proofs(MONTH_S);
	add(q, 0);
	add(q, 1);
	t_int(stats.proofs_lost, 2);
	t_int(count_logged("proofs-failing"), 1);
	t_str(ask(q, id),
	    "{\"error\":\"no proof of that: the store cannot be used\"}\n");
	queue_proof_free(q);
	(void)unlink(path);
}

int
main(void)
{
	int fds[2];

	(void)signal(SIGXFSZ, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	if (mkdtemp(folder) == NULL || pipe2(fds, O_NONBLOCK | O_CLOEXEC) == -1)
		return 1;
	log_read = fds[0];
	log_init("test", fds[1], false, false);
	ev = ev_new();
	make_message();
	test_whole();
	test_clear();
	test_never();
	test_trouble();
	ev_free(ev);
	(void)rmdir(folder);
	return t_done();
}
