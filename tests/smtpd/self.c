#include "smtpd/self.h"

#include <string.h>

#include "tests/t.h"

#define SOME 4

static struct sockaddr_storage
address(const char *text)
{
	struct sockaddr_storage ss;
	const char *why;

	if (netaddr_parse(&ss, text, 0, &why) == -1)
		(void)memset(&ss, 0, sizeof ss);
	return ss;
}

/* The addresses as text, blank-separated. */
static const char *
listening(const char *conf_text, size_t max)
{
	static char text[512];
	struct sockaddr_storage interfaces[SOME], out[SOME];
	struct conf_errors errors = { 0 };
	char one[NETADDR_TEXT_SIZE];
	struct conf conf;
	size_t i, n;

	interfaces[0] = address("192.0.2.10");
	interfaces[1] = address("2001:db8::10");
	interfaces[2] = address("198.51.100.7");
	t_int(conf_parse(&conf, "f", conf_text, strlen(conf_text), &errors), 0);
	n = self_listening(&conf, interfaces, 3, out, max);
	text[0] = '\0';
	for (i = 0; i < n; i++) {
		netaddr_host_text((const struct sockaddr *)&out[i], one);
		(void)strlcat(text, one, sizeof text);
		(void)strlcat(text, " ", sizeof text);
	}
	conf_clear(&conf);
	return text;
}

int
main(void)
{
	static const struct {
		const char *conf;
		const char *want;
	} rows[] = {
		{ "", "127.0.0.1 ::1 " },
		{ "listen on 192.0.2.10", "192.0.2.10 " },
		{ "listen on 192.0.2.10 port 587", "" },
		{ "listen on 0.0.0.0", "192.0.2.10 198.51.100.7 " },
		{ "listen on ::", "2001:db8::10 " },
		{ "listen on 127.0.0.1\nlisten on ::",
		    "127.0.0.1 2001:db8::10 " },
	};
	size_t i;

	t_case("loops: an address is ours where we listen on its port 25, not"
	       " where a neighbour on this machine may");
	for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		t_row("%s", rows[i].conf);
		t_str(listening(rows[i].conf, SOME), rows[i].want);
	}

	t_case("loops: no more addresses than there is room for");
	t_row(NULL);
	t_str(listening("listen on 0.0.0.0\nlisten on 127.0.0.1", 1),
	    "192.0.2.10 ");
	return t_done();
}
