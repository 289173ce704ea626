/*
 * Guests of the listener over a socketpair, with a queue that the test plays.
 */

#include "smtpd/guest.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/envelope.h"
#include "smtpd/base/log.h"
#include "smtpd/conf.h"
#include "smtpd/roles.h"
#include "tests/t.h"

#define SILENT_ROUNDS 6 /* of 3 ms: then nothing more is under way */

static struct {
	struct ev *ev;
	struct conf conf;
	struct door door;
	struct ipc *to_queue; /* the listener's end; NULL: the queue is gone */
	struct ipc *to_parent;
	struct ipc *queue; /* the test's ends */
	struct ipc *parent;
	bool holds_answers;
	uint32_t answer;
	struct msg_submit submit;
	struct msg_submit_rcpt rcpts[8];
	size_t rcpt_count;
	unsigned submits;
	char body[1 << 20];
	size_t body_len;
	int large; /* the file given; -1: none */
	unsigned larges, drops;
	struct msg_ctl_queue ctl;
	int ctl_fd;
	struct msg_offline_done done;
	struct ev_timer tick;
	int fd; /* the client's end */
} d;

/* ---- the frame that a role has ---- */

const struct conf *
child_conf(const struct child *c)
{
	(void)c;
	return &d.conf;
}

struct ipc *
child_peer(struct child *c, int peer, uint32_t instance)
{
	(void)c;
	(void)instance;
	return peer == ROLE_QUEUE ? d.to_queue
	    : peer == ROLE_PARENT ? d.to_parent
				  : NULL;
}

struct ipc *
door_peer_for(struct door *door, enum ctl_answerer who)
{
	return child_peer(door->child,
	    who == CTL_BY_QUEUE ? ROLE_QUEUE : ROLE_POLICY, 0);
}

/* ---- the queue and the parent ---- */

static void
read_body(int fd)
{
	ssize_t n = pread(fd, d.body, sizeof d.body, 0);

	d.body_len = n > 0 ? (size_t)n : 0;
}

static void
take_submit(const struct msg_submit *m, int fd)
{
	struct msg_submitted reply = { .id = m->id, .status = d.answer };

	d.submit = *m;
	d.submits++;
	read_body(fd != -1 ? fd : d.large);
	if (fd != -1)
		close(fd);
	if (!d.holds_answers)
		MSG_SEND(d.queue, submitted, &reply, -1);
}

static void
take_large(const struct msg_large *m)
{
	struct msg_large_file reply = { .id = m->id };

	d.larges++;
	d.large = memfd_create("large", MFD_CLOEXEC);
	MSG_SEND(d.queue, large_file, &reply,
	    fcntl(d.large, F_DUPFD_CLOEXEC, 0));
}

static void
queue_hears(void *arg, struct ipc *ipc, uint32_t type, const void *body, int fd)
{
	(void)arg;
	(void)ipc;
	if (type == MSG_submit_rcpt)
		memcpy(&d.rcpts[d.rcpt_count++ % 8], body, sizeof d.rcpts[0]);
	else if (type == MSG_submit)
		take_submit(body, fd);
	else if (type == MSG_large)
		take_large(body);
	else if (type == MSG_large_drop)
		d.drops++;
	else if (type == MSG_ctl_queue) {
		memcpy(&d.ctl, body, sizeof d.ctl);
		d.ctl_fd = fd;
	}
}

static void
listener_hears(void *arg, struct ipc *ipc, uint32_t type, const void *body,
    int fd)
{
	const struct msg_submitted *submitted = body;
	const struct msg_large_file *file = body;

	(void)arg;
	(void)ipc;
	if (type == MSG_submitted && guest_find(&d.door, submitted->id) != NULL)
		guest_submitted(guest_find(&d.door, submitted->id),
		    submitted->status);
	else if (type == MSG_large_file)
		guest_file(guest_find(&d.door, file->id), (int)file->error, fd);
}

static void
parent_hears(void *arg, struct ipc *ipc, uint32_t type, const void *body,
    int fd)
{
	(void)arg;
	(void)ipc;
	(void)fd;
	if (type == MSG_offline_done)
		memcpy(&d.done, body, sizeof d.done);
}

static void
pair(int peer, struct ipc **ours, struct ipc **theirs, ipc_cb *cb)
{
	struct ipc_make mine = { .table = &msg_table,
		.me = ROLE_LISTEN,
		.peer = peer,
		.cb = listener_hears };
	struct ipc_make other = { .table = &msg_table,
		.me = peer,
		.peer = ROLE_LISTEN,
		.cb = cb };
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
		0, fds) == -1)
		abort();
	*ours = ipc_new(d.ev, fds[0], &mine);
	*theirs = ipc_new(d.ev, fds[1], &other);
}

/* ---- the client ---- */

static void
stop_loop(void *arg)
{
	(void)arg;
	ev_stop(d.ev);
}

/* Let the loop run for a while; longer where all is slow. */
static void
run_for(int ms)
{
	const char *preload = getenv("LD_PRELOAD");

	if (preload != NULL && strstr(preload, "vgpreload") != NULL)
		ms *= 10;
	ev_timer_set(d.ev, &d.tick, ev_now(d.ev) + ms);
	t_int(ev_run(d.ev), 0);
}

static void
begin(const char *conf)
{
	struct conf_errors errors = { 0 };

	memset(&d, 0, sizeof d);
	d.large = d.ctl_fd = -1;
	d.ev = ev_new();
	ev_timer_init(&d.tick, stop_loop, NULL);
	(void)conf_parse(&d.conf, "test", conf, strlen(conf), &errors);
	t_str(errors.text, NULL);
	pair(ROLE_QUEUE, &d.to_queue, &d.queue, queue_hears);
	pair(ROLE_PARENT, &d.to_parent, &d.parent, parent_hears);
	d.door.ev = d.ev;
	d.door.admins = (gid_t)-1;
	TAILQ_INIT(&d.door.guests);
	RB_INIT(&d.door.by_id);
	d.door.aliases = alias_parse("aliases", "root: admin@there.test\n", 23,
	    "relay.test", &errors);
}

static void
end(void)
{
	while (!TAILQ_EMPTY(&d.door.guests)) {
		struct guest *g = TAILQ_FIRST(&d.door.guests);

		if (g->wait == GUEST_WANTS_QUEUE)
			guest_submitted(g, 451);
		else
			guest_dismiss(g);
	}
	run_for(5);
	t_int(d.door.count, 0);
	ipc_free(d.to_queue);
	ipc_free(d.queue);
	ipc_free(d.to_parent);
	ipc_free(d.parent);
	alias_free(d.door.aliases);
	conf_clear(&d.conf);
	close(d.fd);
	if (d.large != -1)
		close(d.large);
	ev_free(d.ev);
}

/* A client comes, from "address" or (NULL) by the Unix socket. */
static void
come(const char *address)
{
	struct sockaddr_storage peer;
	const char *why;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		fds) == -1)
		abort();
	d.fd = fds[1];
	if (address != NULL)
		t_int(netaddr_parse(&peer, address, 4711, &why), 0);
	guest_welcome(&d.door, fds[0],
	    address != NULL ? (const struct sockaddr *)&peer : NULL);
}

/* Say it and return all that was answered until nothing more came. */
static const char *
say(const char *text)
{
	static char reply[1 << 16];
	size_t len = strlen(text), got = 0;
	int silent = 0;
	ssize_t n;

	while (silent < SILENT_ROUNDS || len > 0) {
		n = len > 0 ? write(d.fd, text, len) : 0;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		} else if (len > 0 && errno != EAGAIN)
			len = 0; /* nobody reads it */
		run_for(3);
		n = read(d.fd, reply + got, sizeof reply - 1 - got);
		got += n > 0 ? (size_t)n : 0;
		silent = n > 0 ? 0 : silent + 1;
	}
	reply[got] = '\0';
	return reply;
}

/* Is this answered, sooner or later? */
static bool
hears(const char *text, const char *answer)
{
	bool found = strstr(say(text), answer) != NULL;
	int i;

	for (i = 0; i < 100 && !found; i++)
		found = strstr(say(""), answer) != NULL;
	return found;
}

#define ENVELOPE \
	"HELO c\r\nMAIL FROM:<a@here.test>\r\nRCPT TO:<root>\r\n" \
	"RCPT TO:<b@there.test>\r\nDATA\r\n"
#define ANSWERS \
	"220 relay.test ESMTP Sealpost\r\n250 relay.test\r\n" \
	"250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n" \
	"250 2.1.5 recipient ok\r\n354 end with <CRLF>.<CRLF>\r\n"

static void
accepted(void)
{
	char want[200], id[ID_SIZE];
	const char *got;

	t_case("a message reaches the queue, and 250 comes after its answer");
	begin("hostname relay.test\n");
	come("127.0.0.1");
	d.holds_answers = true;
	t_str(say(ENVELOPE "Subject: x\r\n\r\nHi\r\n.\r\n"), ANSWERS);
	t_int(d.submits, 1);
	t_int(d.submit.rcpts, 2);
	t_str(d.rcpts[0].address, "admin@there.test");
	t_str(d.rcpts[1].address, "b@there.test");
	t_str(d.submit.sender, "a@here.test");
	t_str(d.submit.client, "127.0.0.1");
	t_int(d.submit.uid, -1);
	t_int(d.submit.size, d.body_len);
	t_int(d.submit.flags, 0);
	t_true(d.submit.message_id[0] == '<');
	t_mem(d.body, 17, "Received: from c ", 17);
	t_mem(d.body + d.body_len - 6, 6, "\r\nHi\r\n", 6);
	guest_submitted(guest_find(&d.door, d.submit.id), 0);
	got = say("QUIT\r\n");
	id_format(d.submit.id, id);
	(void)snprintf(want, sizeof want,
	    "250 2.0.0 queued as %s\r\n221 2.0.0 relay.test closing\r\n", id);
	t_str(got, want);
	t_int(d.door.count, 0);
	end();
}

static void
refused(void)
{
	t_case("the queue's 452 and 451 are passed on, the session goes on");
	begin("hostname relay.test\n");
	come(NULL);
	d.answer = 452;
	t_true(hears(ENVELOPE "Hi\r\n.\r\n",
	    "354 end with <CRLF>.<CRLF>\r\n"
	    "452 4.3.1 no room for the message, try again\r\n"));
	t_int(d.submit.uid, getuid());
	t_str(d.submit.client, "local");
	d.answer = 451;
	t_true(hears(ENVELOPE "Hi\r\n.\r\n", "451 4.3.0"));
	t_int(d.submits, 2);
	end();

	t_case("the queue gone: 451 for who waits and for who comes");
	begin("hostname relay.test\n");
	come(NULL);
	d.holds_answers = true;
	t_str(say(ENVELOPE "Hi\r\n.\r\n"), ANSWERS);
	ipc_free(d.to_queue);
	d.to_queue = NULL;
	guest_queue_lost(TAILQ_FIRST(&d.door.guests));
	t_str(say(""), "451 4.3.0 not stored, try again\r\n");
	t_true(hears(ENVELOPE "Hi\r\n.\r\n",
	    "451 4.3.0 the queue is not there, try again\r\n"));
	end();
}

static void
strangers(void)
{
	t_case("who is outside relay from may not relay: 550 5.7.1");
	begin("hostname relay.test\nrelay from 192.0.2.0/24\n");
	come("203.0.113.5");
	t_true(hears(ENVELOPE,
	    "550 5.7.1 relaying is not permitted\r\n"
	    "550 5.7.1 relaying is not permitted\r\n"
	    "554 5.5.1 no valid recipients\r\n"));
	end();
	begin("hostname relay.test\nrelay from 192.0.2.0/24\n");
	come("192.0.2.5");
	t_str(say(ENVELOPE), ANSWERS);
	end();
}

static void
large(void)
{
	static char text[700100];
	size_t len, i;

	t_case("a large message goes into the queue's file");
	begin("hostname relay.test\n");
	come("127.0.0.1");
	len = strlcpy(text, ENVELOPE "Subject: x\r\n\r\n", sizeof text);
	for (i = 0; i < 10000; i++)
		len += strlcpy(text + len,
		    "0123456789012345678901234567890123456789012345678901234\r\n",
		    sizeof text - len);
	(void)strlcpy(text + len, ".\r\n", sizeof text - len);
	t_true(hears(text, "250 2.0.0 queued as "));
	t_int(d.larges, 1);
	t_int(d.submits, 1);
	t_int(d.submit.size, d.body_len);
	t_true(d.body_len > 570000);
	t_mem(d.body + d.body_len - 6, 6, "1234\r\n", 6);
	end();

	t_case("who leaves in the midst of one has its file dropped");
	begin("hostname relay.test\n");
	come("127.0.0.1");
	text[len] = '\0';
	(void)say(text);
	t_int(d.larges, 1);
	(void)shutdown(d.fd, SHUT_WR);
	(void)say("");
	t_int(d.drops, 1);
	t_int(d.door.count, 0);
	end();
}

static void
half_closed(void)
{
	t_case("who has said all and closes its side still gets every answer");
	begin("hostname relay.test\n");
	come(NULL);
	t_int(write(d.fd, ENVELOPE "Hi\r\n.\r\nQUIT\r\n",
		  strlen(ENVELOPE) + 13),
	    (long long)strlen(ENVELOPE) + 13);
	(void)shutdown(d.fd, SHUT_WR);
	t_true(hears("", "221 2.0.0"));
	t_int(d.submits, 1);
	t_int(d.door.count, 0);
	end();
}

static void
unread(void)
{
	static char text[1 << 15];
	struct buf in;
	int i, size = 1;
	ssize_t n = -1, last = 0;

	t_case("... even if it reads none of them before");
	begin("hostname relay.test\n");
	come(NULL);
	(void)setsockopt(io_fd(TAILQ_FIRST(&d.door.guests)->io), SOL_SOCKET,
	    SO_SNDBUF, &size, sizeof size);
	buf_init(&in, sizeof text);
	buf_adds(&in, "HELO c\r\nMAIL FROM:<a@b.example>\r\n");
	for (i = 0; i < 2600; i++)
		buf_adds(&in,
		    i % 190 == 0 ? "RCPT TO:<b@there.test>\r\n" : "HELP\r\n");
	buf_adds(&in, "QUIT\r\n");
	t_int(write(d.fd, buf_bytes(&in), buf_len(&in)),
	    (long long)buf_len(&in));
	(void)shutdown(d.fd, SHUT_WR);
	run_for(20);
	t_int(d.door.count, 1);
	buf_clear(&in);
	for (i = 0; i < 500 && n != 0; i++) {
		run_for(1);
		while ((n = read(d.fd, text, sizeof text)) > 0)
			last = n;
	}
	t_int(d.door.count, 0);
	t_true(last > 30 && memcmp(text + last - 9, "closing\r\n", 9) == 0);
	end();
}

static void
lingering(void)
{
	t_case("who is sent away while sending still reads why: no reset");
	begin("hostname relay.test\n");
	come(NULL);
	t_true(hears(ENVELOPE "a\nb\r\n", "\r\n554 5.6.0 "));
	t_int(d.door.count, 1);
	t_str(say("more\r\n.\r\nNOOP\r\n"), "");
	t_int(d.submits, 0);
	t_int(write(d.fd, "and more", 8), 8);
	(void)say("");
	t_int(d.door.count, 1);
	t_int(read(d.fd, d.body, sizeof d.body), 0);
	(void)shutdown(d.fd, SHUT_WR);
	(void)say("");
	t_int(d.door.count, 0);
	end();
	t_case("nobody lingers who may not relay");
	begin("hostname relay.test\n");
	come("203.0.113.9");
	t_true(hears("a\nb\r\n", "\r\n554 5.6.0 "));
	t_int(d.door.count, 0);
	end();
}

static void
control(void)
{
	t_case("a control request goes to the queue with its socket");
	begin("hostname relay.test\n");
	come(NULL);
	t_str(say("CTL queue\r\n"),
	    "220 relay.test ESMTP Sealpost\r\n250 2.0.0 the answer follows\r\n");
	t_int(d.ctl.verb, CTL_QUEUE);
	t_int(d.ctl.uid, getuid() == 0 ? -1 : (int64_t)getuid());
	t_true(d.ctl_fd != -1);
	t_int(write(d.ctl_fd, "{}\n", 3), 3);
	t_str(say(""), "{}\n");
	close(d.ctl_fd);
	t_int(d.door.count, 0);
	end();

	t_case("one that is none: 501; one for a process that is gone: 451");
	begin("hostname relay.test\n");
	come(NULL);
	t_true(hears("CTL sing\r\n", "501 5.5.4 "));
	t_true(hears("CTL policies\r\n", "451 4.3.0 "));
	end();
}

static void
dismissed(void)
{
	t_case("the service stops: 421");
	begin("hostname relay.test\n");
	come(NULL);
	(void)say("NOOP\r\n");
	guest_dismiss(TAILQ_FIRST(&d.door.guests));
	t_str(say(""), "421 4.3.2 relay.test shutting down\r\n");
	end();
}

/* "answer": the queue's; "status" and "why": what the parent is told. */
static void
transcript(const char *text, uint32_t answer, uint32_t status, const char *why)
{
	int i, fd = memfd_create("offline", MFD_CLOEXEC);

	begin("hostname relay.test\n");
	d.answer = answer;
	t_int(write(fd, text, strlen(text)), (long long)strlen(text));
	(void)lseek(fd, 0, SEEK_SET);
	d.fd = -1;
	guest_read(&d.door, fd, 77, 1234);
	for (i = 0; i < 500 && d.done.number == 0; i++)
		run_for(3);
	t_int(d.done.number, 77);
	t_int(d.done.status, status);
	t_str(d.done.text, why);
	if (status == 250)
		t_int(d.submits, 1);
	if (d.submits > 0)
		t_int(d.submit.uid, 1234);
	t_int(d.door.count, 0);
	end();
}

static void
offline(void)
{
	t_case("a transcript from the offline folder is taken as its owner's");
	transcript("MAIL FROM:<a@here.test>\r\nRCPT TO:<root>\r\nDATA\r\n"
		   "Subject: x\r\n\r\n..\r\n.\r\n",
	    0, 250, "taken");
	t_case("one that is refused says why");
	transcript(
	    "MAIL FROM:<a@here.test>\r\nRCPT TO:<b@c.test> X=1\r\nDATA\r\n", 0,
	    555, "555 5.5.4 a parameter is not known");
	t_case("one that breaks off is never complete: refused, not kept busy");
	transcript("MAIL FROM:<a@here.test>\r\nRCPT TO:<b@c.test>\r\n"
		   "DATA\r\nHi\r\n",
	    0, 554, "554 5.6.0 the message broke off");
	t_case("one taken for some alone is kept aside, for the others' sake");
	transcript("MAIL FROM:<a@here.test>\r\nRCPT TO:<b@c.test>\r\n"
		   "RCPT TO:<d@[192.0.2.1]>\r\nDATA\r\nHi\r\n.\r\n",
	    0, 554,
	    "in part: 550 5.1.2 mail for address literals is not taken");
	t_case("one that the queue defers waits, whoever else is refused");
	transcript("MAIL FROM:<a@here.test>\r\nRCPT TO:<d@[192.0.2.1]>\r\n"
		   "RCPT TO:<b@c.test>\r\nDATA\r\nHi\r\n.\r\n",
	    451, 451, "451 4.3.0 not stored, try again");
	t_case("an empty one is refused");
	transcript("", 0, 554, "no message in it");
}

int
main(void)
{
	log_init("test", open("/dev/null", O_WRONLY | O_CLOEXEC), false, false);
	(void)signal(SIGPIPE, SIG_IGN);
	accepted();
	refused();
	strangers();
	large();
	half_closed();
	unread();
	lingering();
	control();
	dismissed();
	offline();
	return t_done();
}
