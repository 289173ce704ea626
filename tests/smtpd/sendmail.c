/*
 * The parts of sendmail(8): command line, content, recipients, the offline
 * folder, and SMTP carried over.
 */

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "queue/envelope.h"
#include "smtpd/cli/content.h"
#include "smtpd/cli/send_options.h"
#include "smtpd/cli/send_rcpts.h"
#include "smtpd/cli/send_relay.h"
#include "smtpd/cli/submit.h"
#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))
#define ARGS_MAX 8

/* A descriptor from which "text" is read. */
static int
input(const char *text, size_t len)
{
	int fd = memfd_create("input", MFD_CLOEXEC);

	if (fd == -1 || write(fd, text, len) != (ssize_t)len ||
	    lseek(fd, 0, SEEK_SET) == -1) {
		perror("memfd");
		exit(1);
	}
	return fd;
}

/* All of the content, with a NUL, to free(3). */
static char *
whole(struct content *c)
{
	size_t size = (size_t)content_size(c), at = 0;
	char *text = calloc(1, size + 1);
	long n;

	if (text == NULL)
		exit(1);
	while ((n = content_at(c, at, text + at,
		    size - at < 7 ? size - at : 7)) > 0)
		at += (size_t)n;
	t_int(at, size);
	return text;
}

static const struct {
	const char *claim;
	const char *in;
	const char *want;
	bool dot_ends;
} contents[] = {
	{ "LF becomes CRLF", "A: b\n\nx\ny\n", "A: b\r\n\r\nx\r\ny\r\n", true },
	{ "CRLF is kept", "A: b\r\n\r\nx\r\n", "A: b\r\n\r\nx\r\n", true },
	{ "mixed, and lone CRs", "A: b\rC: d\r\n\nx\ry\nz\r\r\n",
	    "A: b\r\nC: d\r\n\r\nx\r\ny\r\nz\r\n", true },
	{ "CRs at the end", "A: b\n\nx\r\r", "A: b\r\n\r\nx\r\n\r\n", true },
	{ "a last line without an end", "A: b\n\nx", "A: b\r\n\r\nx\r\n",
	    true },
	{ "a dot ends the message", "A: b\n\nx\n.\ny\n", "A: b\r\n\r\nx\r\n",
	    true },
	{ "also before CRLF", "A: b\r\n\r\nx\r\n.\r\ny\r\n",
	    "A: b\r\n\r\nx\r\n", true },
	{ "with -i it does not", "A: b\n\nx\n.\ny\n",
	    "A: b\r\n\r\nx\r\n.\r\ny\r\n", false },
	{ "other dots do not", "A: b\n\n..\n.x\n. \n",
	    "A: b\r\n\r\n..\r\n.x\r\n. \r\n", true },
	{ "a dot at the very end", "A: b\n\nx\n.", "A: b\r\n\r\nx\r\n.\r\n",
	    true },
	{ "a dot in the header ends it", "A: b\n.\nC: d\n", "A: b\r\n\r\n",
	    true },
	{ "no body", "A: b\n", "A: b\r\n\r\n", true },
	{ "no body and no line end", "A: b", "A: b\r\n\r\n", true },
	{ "nothing at all", "", "\r\n", true },
	{ "no header", "just text\nmore\n", "\r\njust text\r\nmore\r\n", true },
	{ "no blank line", "A: b\njust text\n", "A: b\r\n\r\njust text\r\n",
	    true },
	{ "a mbox separator goes", "From x Mon Jan 1\nA: b\n\nx\n",
	    "A: b\r\n\r\nx\r\n", true },
	{ "but not within", "A: b\n\nFrom x\n", "A: b\r\n\r\nFrom x\r\n",
	    true },
	{ "From: is no separator", "From: x\n\ny\n", "From: x\r\n\r\ny\r\n",
	    true },
	{ "folded lines stay", "A: b\n c\n\nx\n", "A: b\r\n c\r\n\r\nx\r\n",
	    true },
};

static void
content_is_made_right(void)
{
	struct content c;
	const char *why;
	char *text;
	int fd;

	t_case("sendmail: LF, CRLF and mixed line ends all work; a lone dot"
	       " ends the input unless -i");
	for (size_t i = 0; i < nitems(contents); i++) {
		t_row("%s", contents[i].claim);
		fd = input(contents[i].in, strlen(contents[i].in));
		content_init(&c);
		t_int(content_read(&c, fd, contents[i].dot_ends, &why), 0);
		text = whole(&c);
		t_str(text, contents[i].want);
		free(text);
		content_clear(&c);
		close(fd);
	}
}

static void *
write_slowly(void *arg)
{
	const int *fd = arg;
	const char *text = contents[2].in;

	for (; *text != '\0'; text++) {
		if (write(*fd, text, 1) != 1)
			break;
		(void)usleep(200);
	}
	close(*fd);
	return NULL;
}

static void
pieces_make_no_difference(void)
{
	struct content c;
	pthread_t writer;
	const char *why;
	int fds[2];
	char *text;

	t_case("sendmail: input byte by byte gives the same");
	if (pipe(fds) == -1)
		exit(1);
	if (pthread_create(&writer, NULL, write_slowly, &fds[1]) != 0)
		exit(1);
	content_init(&c);
	t_int(content_read(&c, fds[0], true, &why), 0);
	(void)pthread_join(writer, NULL);
	text = whole(&c);
	t_str(text, contents[2].want);
	free(text);
	content_clear(&c);
	close(fds[0]);
}

static void
large_bodies_go_to_a_file(void)
{
	const size_t lines = 400000;
	struct content c;
	const char *why;
	char *text, *p;
	int fd;

	t_case("sendmail: a large body is held in a file, and is all there");
	text = malloc(5 + lines * 10);
	if (text == NULL)
		exit(1);
	p = text;
	memcpy(p, "A: b\n\n", 6);
	p += 6;
	for (size_t i = 0; i < lines - 1; i++, p += 10)
		memcpy(p, ".12345678\n", 10);
	fd = input(text, (size_t)(p - text));
	free(text);
	content_init(&c);
	t_int(content_read(&c, fd, true, &why), 0);
	t_int(content_size(&c), 8 + (lines - 1) * 11);
	t_true(c.fd != -1);
	t_true(buf_len(&c.body) < CONTENT_MEMORY_MAX);
	text = malloc(1 << 20);
	if (text == NULL)
		exit(1);
	t_int(content_at(&c, 8 + 11 * 1000, text, 22), 22);
	t_mem(text, 22, ".12345678\r\n.12345678\r\n", 22);
	t_int(content_at(&c, content_size(&c) - 11, text, 22), 11);
	t_mem(text, 11, ".12345678\r\n", 11);
	t_int(content_at(&c, content_size(&c), text, 22), 0);
	free(text);
	content_clear(&c);
	close(fd);
}

static void
headers_are_bounded(void)
{
	struct content c;
	const char *why = "";
	size_t len = CONTENT_HEAD_MAX + 10;
	char *text = malloc(len);
	int fd;

	t_case("sendmail: a header without end is refused");
	if (text == NULL)
		exit(1);
	memset(text, 'a', len);
	fd = input(text, len);
	content_init(&c);
	t_int(content_read(&c, fd, true, &why), -1);
	t_str(why, "the header is too large");
	content_clear(&c);
	close(fd);
	for (size_t i = 0; i + 4 < len; i += 4)
		memcpy(text + i, "A:b\n", 4);
	fd = input(text, len - len % 4);
	content_init(&c);
	t_int(content_read(&c, fd, true, &why), -1);
	t_str(why, "the header is too large");
	content_clear(&c);
	close(fd);
	free(text);

	t_case("sendmail: fields are put before the header");
	fd = input("A: b\n\nx\n", 8);
	content_init(&c);
	t_int(content_read(&c, fd, true, &why), 0);
	t_int(content_add_field(&c, "From: x\r\n"), 0);
	text = whole(&c);
	t_str(text, "From: x\r\nA: b\r\n\r\nx\r\n");
	free(text);
	content_clear(&c);
	close(fd);
}

static const struct {
	const char *args[ARGS_MAX];
	enum send_mode mode;
	const char *want; /* of show_options() */
} good_options[] = {
	{ { "sendmail", "a@b" }, SEND_MAIL, "- - n0 r0 - at 1" },
	{ { "sendmail", "-t", "-i" }, SEND_MAIL, "it - - n0 r0 - at 3" },
	{ { "sendmail", "-ti" }, SEND_MAIL, "it - - n0 r0 - at 2" },
	{ { "/usr/sbin/sendmail", "-oi", "-oem", "-odb", "x" }, SEND_MAIL,
	    "i - - n0 r0 - at 4" },
	{ { "sendmail", "-f", "a@b", "-F", "N N", "-v" }, SEND_MAIL,
	    "v a@b N N n0 r0 - at 6" },
	{ { "sendmail", "-fa@b", "-ra@c" }, SEND_MAIL, "a@c - n0 r0 - at 3" },
	{ { "sendmail", "-N", "success,delay", "-R", "HDRS", "-Vx y" },
	    SEND_MAIL, "- - n10 r2 x+20y at 6" },
	{ { "sendmail", "-N", "never", "-Rfull" }, SEND_MAIL,
	    "- - n1 r1 - at 4" },
	{ { "sendmail", "-bm", "-B8BITMIME", "-B", "7bit" }, SEND_MAIL,
	    "- - n0 r0 - at 5" },
	{ { "sendmail", "--", "-x@y" }, SEND_MAIL, "- - n0 r0 - at 2" },
	{ { "sendmail", "a@b", "-t" }, SEND_MAIL, "- - n0 r0 - at 1" },
	{ { "sendmail", "-Am", "-C", "/x", "-d0.1", "-Gh", "9", "-Ltag" },
	    SEND_MAIL, "- - n0 r0 - at 8" },
	{ { "sendmail", "-n", "-U", "-O", "a=b", "-pX", "-X", "/f" }, SEND_MAIL,
	    "- - n0 r0 - at 8" },
	{ { "sendmail", "-x", "flags", "a@b" }, SEND_MAIL, "- - n0 r0 - at 3" },
	{ { "sendmail", "-bs" }, SEND_SMTP, "- - n0 r0 - at 2" },
	{ { "sendmail", "-bp" }, SEND_LIST, "- - n0 r0 - at 2" },
	{ { "sendmail", "-bi" }, SEND_ALIASES, "- - n0 r0 - at 2" },
	{ { "sendmail", "-I" }, SEND_ALIASES, "- - n0 r0 - at 2" },
	{ { "mailq" }, SEND_LIST, "- - n0 r0 - at 1" },
	{ { "/usr/bin/newaliases" }, SEND_ALIASES, "- - n0 r0 - at 1" },
	{ { "sendmail", "-q" }, SEND_RETRY, "- - n0 r0 - all at 2" },
	{ { "sendmail", "-qf" }, SEND_RETRY, "- - n0 r0 - all at 2" },
	{ { "sendmail", "-qI01hv" }, SEND_RETRY, "- - n0 r0 - 01hv at 2" },
	{ { "sendmail", "-qR@b.c" }, SEND_RETRY, "- - n0 r0 - b.c at 2" },
};

static const struct {
	const char *args[ARGS_MAX];
	const char *why; /* its beginning */
} bad_options[] = {
	{ { "sendmail", "-bd" }, "-bd: the daemon is a program of its own" },
	{ { "sendmail", "-bD" }, "-bD: the daemon is a program of its own" },
	{ { "sendmail", "-bv" }, "-bv is not supported" },
	{ { "sendmail", "-bz" }, "-bz is not supported" },
	{ { "sendmail", "-q30m" }, "-q30m is not supported" },
	{ { "sendmail", "-Z" }, "unknown option -Z" },
	{ { "sendmail", "-f" }, "-f lacks its argument" },
	{ { "sendmail", "-Nsometimes" }, "-N sometimes: not never" },
	{ { "sendmail", "-N", "never,delay" }, "-N never,delay: not never" },
	{ { "sendmail", "-N", "" }, "-N : not never" },
	{ { "sendmail", "-Rall" }, "-R all: neither full nor hdrs" },
	{ { "sendmail", "-V", "a\nb" }, "-V: printable ASCII only" },
	{ { "sendmail", "-V", "" }, "-V: empty or too long" },
	{ { "sendmail", "-B", "9BIT" }, "-B 9BIT: neither 7BIT nor 8BITMIME" },
};

static const char *
show_options(const struct send_options *o)
{
	static char text[512];

	(void)snprintf(text, sizeof text, "%s%s%s%s%s %s n%u r%d %s%s%s at %d",
	    o->ignore_dots ? "i" : "", o->from_header ? "t" : "",
	    o->verbose ? "v" : "",
	    o->ignore_dots || o->from_header || o->verbose ? " " : "",
	    o->sender != NULL ? o->sender : "-",
	    o->name != NULL ? o->name : "-", o->notify, (int)o->ret,
	    o->envid[0] != '\0' ? o->envid : "-", o->retry != NULL ? " " : "",
	    o->retry != NULL ? o->retry : "", o->first);
	return text;
}

static int
read_options(const char *const args[ARGS_MAX], struct send_options *o,
    char why[SEND_WHY_SIZE])
{
	/* What the options point to lives until the next call. */
	static char *argv[ARGS_MAX + 1], *words[ARGS_MAX];
	int argc = 0;

	why[0] = '\0';
	for (int i = 0; i < ARGS_MAX; i++) {
		free(words[i]);
		words[i] = NULL;
	}
	for (; argc < ARGS_MAX && args[argc] != NULL; argc++)
		argv[argc] = words[argc] = strdup(args[argc]);
	argv[argc] = NULL;
	return send_options(o, argc, argv, why);
}

static void
options_are_read(void)
{
	struct send_options o;
	char why[SEND_WHY_SIZE];

	t_case("sendmail: options as sendmail-compatible programs take them");
	for (size_t i = 0; i < nitems(good_options); i++) {
		t_row("%s %s", good_options[i].args[0],
		    good_options[i].args[1] != NULL ? good_options[i].args[1]
						    : "");
		t_int(read_options(good_options[i].args, &o, why), EX_OK);
		t_int(o.mode, good_options[i].mode);
		t_str(show_options(&o), good_options[i].want);
	}
	t_case("sendmail: what cannot be done is refused with a hint");
	for (size_t i = 0; i < nitems(bad_options); i++) {
		t_row("%s", bad_options[i].args[1]);
		t_int(read_options(bad_options[i].args, &o, why), EX_USAGE);
		t_true(strncmp(why, bad_options[i].why,
			   strlen(bad_options[i].why)) == 0);
	}
}

/* Addresses of "m", refused ones in brackets. */
static const char *
show_rcpts(const struct submit_mail *m)
{
	static char text[1024];

	text[0] = '\0';
	for (size_t i = 0; i < m->rcpt_count; i++) {
		if (i > 0)
			(void)strlcat(text, " ", sizeof text);
		if (m->rcpts[i].state == SUBMIT_REFUSED)
			(void)strlcat(text, "!", sizeof text);
		(void)strlcat(text, m->rcpts[i].address, sizeof text);
	}
	return text;
}

static const struct {
	const char *list;
	const char *want;
	bool smtputf8;
} lists[] = {
	{ "a@b.example", "a@b.example", false },
	{ "root", "root", false },
	{ "a@b.example, c@d.example,root", "a@b.example c@d.example root",
	    false },
	{ "Me <a@b.example>, (x) c@d.example (y)", "a@b.example c@d.example",
	    false },
	{ "team: a@b.example, c@d.example;", "a@b.example c@d.example", false },
	{ "a@b.example,a@b.example", "a@b.example", false },
	{ "a@b.example, b@-x-", "a@b.example !b@-x-", false },
	{ "j\xc3\xb6@b.example", "j\xc3\xb6@b.example", true },
	{ "", "!", false },
};

static void
recipients_are_collected(void)
{
	struct submit_mail m;

	t_case("sendmail: addresses from the command line: lists, groups,"
	       " comments; malformed ones are named");
	for (size_t i = 0; i < nitems(lists); i++) {
		t_row("%s", lists[i].list);
		memset(&m, 0, sizeof m);
		t_int(send_add_rcpts(&m, lists[i].list, strlen(lists[i].list)),
		    0);
		t_str(show_rcpts(&m), lists[i].want);
		t_int(m.smtputf8, lists[i].smtputf8);
		send_free_rcpts(&m);
	}
}

static const struct {
	const char *header;
	const char *rcpts;
	const char *left; /* of the header */
} headers[] = {
	{ "To: a@b.example\n\n", "a@b.example", "To: a@b.example\r\n\r\n" },
	{ "To: a@b.example,\n c@d.example\nCc: e@f.example\nBcc: g@h.example,\n"
	  "\tmore@h.example\nX: y\n\n",
	    "a@b.example c@d.example e@f.example g@h.example more@h.example",
	    "To: a@b.example,\r\n c@d.example\r\nCc: e@f.example\r\nX: y\r\n"
	    "\r\n" },
	{ "Bcc: a@b.example\n\n", "a@b.example", "\r\n" },
	{ "To: a@b.example\nResent-To: c@d.example\n\n", "c@d.example",
	    "To: a@b.example\r\nResent-To: c@d.example\r\n\r\n" },
	{ "Subject: x\n\n", "", "Subject: x\r\n\r\n" },
};

static void
header_names_recipients(void)
{
	struct content c;
	struct submit_mail m;
	const char *why;
	char *text;
	int fd;

	t_case("sendmail -t: recipients from To, Cc, Bcc; Bcc is removed");
	for (size_t i = 0; i < nitems(headers); i++) {
		t_row("%zu", i);
		fd = input(headers[i].header, strlen(headers[i].header));
		memset(&m, 0, sizeof m);
		content_init(&c);
		m.content = &c;
		t_int(content_read(&c, fd, true, &why), 0);
		t_int(send_add_header_rcpts(&m, &why), 0);
		/* The folded Bcc is one malformed list; see the next case. */
		t_true(strncmp(show_rcpts(&m), headers[i].rcpts,
			   strlen(headers[i].rcpts)) == 0);
		content_strip_bcc(&c);
		text = whole(&c);
		t_str(text, headers[i].left);
		free(text);
		send_free_rcpts(&m);
		content_clear(&c);
		close(fd);
	}
}

static const struct {
	const char *text;
	const char *want; /* NULL: refused */
} senders[] = {
	{ "a@b.example", "a@b.example" },
	{ "<a@b.example>", "a@b.example" },
	{ "Me <a@b.example>", "a@b.example" },
	{ "root", "root" },
	{ "", "" },
	{ "<>", "" },
	{ "a@b.example,c@d.example", NULL },
	{ "a b", NULL },
	{ "a@b\r\nDATA", NULL },
};

static void
senders_are_read(void)
{
	struct address a;
	const char *why;

	t_case("sendmail -f: one address, or the null sender");
	for (size_t i = 0; i < nitems(senders); i++) {
		t_row("%s", senders[i].text);
		t_int(send_one_address(&a, senders[i].text, &why),
		    senders[i].want != NULL ? 0 : -1);
		if (senders[i].want != NULL)
			t_str(a.text, senders[i].want);
	}
}

/* Path of the only file in "folder"; false if there is not one, visible. */
static bool
only_file(const char *folder, char *path, size_t size)
{
	DIR *d = opendir(folder);
	const struct dirent *e;
	int n = 0;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		n++;
		(void)snprintf(path, size, "%s/%s", folder, e->d_name);
		if (e->d_name[0] == '.')
			n = 99;
	}
	if (d != NULL)
		closedir(d);
	return n == 1;
}

static const char offline_want[] =
    "MAIL FROM:<me@x.example> BODY=8BITMIME RET=HDRS ENVID=id+2B1\r\n"
    "RCPT TO:<a@b.example> NOTIFY=SUCCESS,DELAY\r\n"
    "RCPT TO:<root> NOTIFY=SUCCESS,DELAY\r\n"
    "DATA\r\n"
    "A: b\r\n\r\n..x\r\n...\r\n\xc3\xa4\r\n"
    ".\r\n";

static void
offline_folder_is_used(void)
{
	char folder[] = "/tmp/sealpost-test-XXXXXX", path[300], text[1024];
	char why[SUBMIT_WHY_SIZE];
	struct content c;
	struct submit_mail m = { .content = &c,
		.sender = "me@x.example",
		.envid = "id+2B1",
		.ret = CLIENT_RET_HDRS,
		.notify = NOTIFY_SUCCESS | NOTIFY_DELAY };
	struct stat st;
	const char *words;
	ssize_t n;
	int fd;

	t_case("sendmail: while the daemon is down the message is left, whole"
	       " and private, as it would have been sent");
	if (mkdtemp(folder) == NULL)
		exit(1);
	(void)umask(0);
	content_init(&c);
	fd = input("A: b\n\n.x\n..\n\xc3\xa4\n", 15);
	t_int(content_read(&c, fd, true, &words), 0);
	close(fd);
	t_int(send_add_rcpts(&m, "a@b.example, b@-, root", 22), 0);
	t_int(submit_offline(&m, folder, why), 0);
	t_int(m.rcpts[0].state, SUBMIT_TAKEN);
	t_int(m.rcpts[1].state, SUBMIT_REFUSED);
	t_true(only_file(folder, path, sizeof path));
	t_int(stat(path, &st), 0);
	t_int(st.st_mode, S_IFREG | 0600);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof text);
	t_mem(text, n > 0 ? (size_t)n : 0, offline_want,
	    sizeof offline_want - 1);
	close(fd);
	(void)unlink(path);

	t_case("sendmail: without a folder, that is said");
	(void)rmdir(folder);
	t_int(submit_offline(&m, folder, why), -1);
	t_true(strstr(why, "No such file or directory") != NULL);
	send_free_rcpts(&m);
	content_clear(&c);
}

/* A daemon that reads to the end, and then takes its leave. */
struct daemon {
	int fd;
	char got[512];
	size_t len;
};

static void *
be_daemon(void *arg)
{
	struct daemon *d = arg;
	ssize_t n;

	while (d->len < sizeof d->got - 1 &&
	    (n = read(d->fd, d->got + d->len, sizeof d->got - 1 - d->len)) > 0)
		d->len += (size_t)n;
	if (write(d->fd, "221 bye\r\n", 9) != 9)
		d->len = 0;
	close(d->fd);
	return NULL;
}

static const struct {
	const char *in;
	const char *want;
} relays[] = {
	{ "EHLO x\nQUIT\r\n", "EHLO x\r\nQUIT\r\n" },
	{ "A\nB\r\r\nC\n\n", "A\r\nB\r\r\nC\r\n\r\n" },
	{ "DATA\nx\n.\n", "DATA\r\nx\r\n.\r\n" },
	{ "A\nbdat 4 LAST\r\na\nb\n", "A\r\nbdat 4 LAST\r\na\nb\n" },
	/* No line may end here that did not end for who wrote it. */
	{ "DATA\r\nx\n.\nMAIL\r\n.\r\n", "DATA\r\nx\n.\nMAIL\r\n.\r\n" },
	{ "XBDAT\nx\n", "XBDAT\r\nx\r\n" },
	{ "DATA\nBdata\nx\n.\n", "DATA\r\nBdata\r\nx\r\n.\r\n" },
	{ "DATA\nBDATed\nx\n.\n", "DATA\r\nBDATed\r\nx\r\n.\r\n" },
};

static void
smtp_is_carried(void)
{
	char out[64];
	pthread_t thread;
	int fds[2], pipes[2], in;
	ssize_t n;

	t_case("sendmail -bs: lines get their CR, if the first needs it;"
	       " not behind BDAT");
	for (size_t i = 0; i < nitems(relays); i++) {
		struct daemon d = { .len = 0 };

		t_row("%zu", i);
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == -1 ||
		    pipe(pipes) == -1)
			exit(1);
		d.fd = fds[1];
		in = input(relays[i].in, strlen(relays[i].in));
		if (pthread_create(&thread, NULL, be_daemon, &d) != 0)
			exit(1);
		t_int(send_relay(in, pipes[1], fds[0]), 0);
		(void)pthread_join(thread, NULL);
		t_mem(d.got, d.len, relays[i].want, strlen(relays[i].want));
		n = read(pipes[0], out, sizeof out);
		t_mem(out, n > 0 ? (size_t)n : 0, "221 bye\r\n", 9);
		close(in);
		close(fds[0]);
		close(pipes[0]);
		close(pipes[1]);
	}
}

int
main(void)
{
	content_is_made_right();
	pieces_make_no_difference();
	large_bodies_go_to_a_file();
	headers_are_bounded();
	options_are_read();
	recipients_are_collected();
	header_names_recipients();
	senders_are_read();
	offline_folder_is_used();
	smtp_is_carried();
	return t_done();
}
