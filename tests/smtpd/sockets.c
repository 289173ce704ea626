/*
 * The listening sockets, in network and mount namespaces of our own.
 */

#include "smtpd/sockets.h"

#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/base/log.h"
#include "smtpd/netaddr.h"
#include "tests/t.h"

static struct conf conf;
static struct sockets none;

static void
listen_on(const char *const *addresses, uint16_t port)
{
	const char *why;

	conf_clear(&conf);
	memset(&conf, 0, sizeof(conf));
	for (; *addresses != NULL; addresses++) {
		conf.listen[conf.listen_count].line = 1;
		t_int(netaddr_parse(&conf.listen[conf.listen_count++].addr,
			  *addresses, port, &why),
		    0);
	}
}

static bool
listens(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 &&
	    on != 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 &&
	    (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

/* What a file without a `listen on` line means. */
static void
listen_by_default(void)
{
	struct conf_errors errors = { 0 };

	conf_clear(&conf);
	t_int(conf_parse(&conf, "conf", "", 0, &errors), 0);
}

static void
test_default(void)
{
	char why[SOCKETS_WHY_SIZE];
	struct sockets s;
	struct stat st;
	size_t i;

	t_case("by default: loopback port 25 and the Unix socket, mode 0666");
	listen_by_default();
	t_int(sockets_open(&s, &conf, &none, why), 0);
	t_int(s.count, 3);
	t_str(s.one[0].name, "127.0.0.1:25");
	t_str(s.one[1].name, "[::1]:25");
	t_str(s.one[2].name, SOCKETS_UNIX);
	for (i = 0; i < s.count; i++)
		t_true(listens(s.one[i].fd));
	t_true(!s.one[0].is_unix && s.one[2].is_unix);
	t_int(stat(SOCKETS_UNIX, &st), 0);
	t_true(S_ISSOCK(st.st_mode));
	t_int(st.st_mode & 07777U, 0666);
	sockets_clear(&s);

	t_case("the Unix socket that a killed daemon left is replaced");
	t_int(sockets_open(&s, &conf, &none, why), 0);
	sockets_clear(&s);
}

static void
test_no_ipv6(void)
{
	char why[SOCKETS_WHY_SIZE];
	struct sockets s;
	int fd;

	t_case("a machine without ::1 gets a warning for the default only");
	fd = open("/proc/sys/net/ipv6/conf/lo/disable_ipv6",
	    O_WRONLY | O_CLOEXEC);
	if (fd == -1 || write(fd, "1", 1) != 1) {
		t_skip("IPv6 can't be turned off here");
		return;
	}
	listen_by_default();
	t_int(sockets_open(&s, &conf, &none, why), 0);
	t_int(s.count, 2);
	t_str(s.one[0].name, "127.0.0.1:25");
	t_str(s.one[1].name, SOCKETS_UNIX);
	sockets_clear(&s);
	listen_on((const char *[]){ "::1", NULL }, 25);
	t_int(sockets_open(&s, &conf, &none, why), -1);
	t_true(strstr(why, "[::1]:25") != NULL);
	t_int(write(fd, "0", 1), 1);
	close(fd);
}

static void
test_refused(void)
{
	char why[SOCKETS_WHY_SIZE];
	struct sockets s, first;

	t_case("an address that cannot be had is an error that names it");
	listen_on((const char *[]){ "192.0.2.1", NULL }, 25);
	t_int(sockets_open(&s, &conf, &none, why), -1);
	t_true(strstr(why, "192.0.2.1:25") != NULL);
	listen_on((const char *[]){ "127.0.0.1", NULL }, 2525);
	t_int(sockets_open(&first, &conf, &none, why), 0);
	t_int(sockets_open(&s, &conf, &none, why), -1);
	t_true(strstr(why, "127.0.0.1:2525") != NULL);
	sockets_clear(&first);
}

static void
test_reload(void)
{
	char why[SOCKETS_WHY_SIZE];
	struct sockets before, now;
	int kept;

	t_case("a reload keeps the sockets that stay, and opens the new ones");
	listen_on((const char *[]){ "127.0.0.1", "127.0.0.2", NULL }, 25);
	t_int(sockets_open(&before, &conf, &none, why), 0);
	kept = before.one[1].fd;
	listen_on((const char *[]){ "127.0.0.3", "127.0.0.2", NULL }, 25);
	t_int(sockets_open(&now, &conf, &before, why), 0);
	t_int(now.one[1].fd, kept);
	t_int(before.one[1].fd, -1);
	t_true(before.one[0].fd != -1);
	sockets_clear(&before);

	t_case("a reload that fails gives back what it took");
	listen_on((const char *[]){ "127.0.0.2", "192.0.2.1", NULL }, 25);
	t_int(sockets_open(&before, &conf, &now, why), -1);
	t_int(now.one[1].fd, kept);
	t_true(listens(kept));
	t_true(listens(now.one[0].fd));
	t_true(listens(now.one[2].fd));
	sockets_clear(&now);
}

static int
prepare(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd, result;

	if (unshare(CLONE_NEWNS | CLONE_NEWNET) == -1 ||
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == -1 ||
	    mount("tmpfs", RUNDIR, "tmpfs", 0, "mode=755") == -1 ||
	    mkdir(FOLDERS_RUN, 0755) == -1)
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	result = ioctl(fd, SIOCSIFFLAGS, &ifr);
	close(fd);
	return result;
}

int
main(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	log_init("test", null, false, false);
	if (geteuid() != 0 || prepare() == -1) {
		t_case("listening sockets");
		t_skip("not root, or no namespaces");
		return t_done();
	}
	test_default();
	test_no_ipv6();
	test_refused();
	test_reload();
	return t_done();
}
