#include "smtpd/deliver_route.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "tests/t.h"

static struct msg_route head;
static struct msg_route_host host;
static struct msg_route_tlsa tlsa;

/* A good answer: one host, two addresses, one record. */
static void
make(void)
{
	memset(&head, 0, sizeof(head));
	memset(&host, 0, sizeof(host));
	memset(&tlsa, 0, sizeof(tlsa));
	head.mode = POLICY_ENFORCE;
	head.hosts = 1;
	head.lifetime_ms = 60000;
	strlcpy(head.policy_id, "42", sizeof(head.policy_id));
	head.policy_fetched = 1795492800;
	memset(head.policy_sha256, 0xcd, sizeof(head.policy_sha256));
	host.port = 25;
	host.matches = 1;
	host.dane = DANE_USABLE;
	host.tlsas = 1;
	host.addr_count = 2;
	host.addrs[0] = 4;
	memcpy(host.addrs + 1, "\xc0\x00\x02\x01", 4);
	host.addrs[17] = 6;
	memcpy(host.addrs + 18, "\x20\x01\x0d\xb8", 4);
	strlcpy(host.name, "mx.test", sizeof(host.name));
	tlsa.usage = 3;
	tlsa.selector = tlsa.matching = 1;
	tlsa.len = 32;
	memset(tlsa.data, 0xab, 32);
}

static struct lane_route *
assemble(void)
{
	struct lane_route *r = deliver_route_new(&head);

	deliver_route_host(r, &host);
	deliver_route_tlsa(r, &tlsa);
	deliver_route_end(r);
	return r;
}

static void
test_good(void)
{
	struct lane_route *r;
	char text[NETADDR_TEXT_SIZE];

	t_case("route: put together as it was sent");
	make();
	r = assemble();
	t_int(r->status, ROUTE_OK);
	t_int(r->mode, POLICY_ENFORCE);
	t_str(r->policy_id, "42");
	t_int(r->policy_fetched, 1795492800);
	t_int(r->policy_sha256[31], 0xcd);
	t_int(r->host_count, 1);
	t_str(r->host[0].name, "mx.test");
	t_int(r->host[0].addr_count, 2);
	t_str(netaddr_text((const void *)&r->host[0].addr[0], text),
	    "192.0.2.1:25");
	t_str(netaddr_text((const void *)&r->host[0].addr[1], text),
	    "[2001:db8::]:25");
	t_int(r->host[0].tlsa_count, 1);
	t_int(r->host[0].tlsa[0].len, 32);
	t_int(r->host[0].tlsa[0].data[31], 0xab);
	lane_route_free(r);
}

static void
break_it(int how)
{
	uint32_t *const fields[] = { &head.status, &head.mode, &head.reason,
		&head.hosts, &host.host, &host.port, &host.dane, &host.origin,
		&host.error, &host.tlsas, &host.addr_count, &tlsa.host,
		&tlsa.len, &tlsa.usage, &tlsa.selector, &tlsa.matching };

	*fields[how] = 70000;
}

static void
test_broken(void)
{
	struct lane_route *r;
	int how;

	t_case("route: a number out of range makes it a deferral");
	for (how = 0; how < 16; how++) {
		t_row("field %d", how);
		make();
		break_it(how);
		r = assemble();
		t_int(r->status, ROUTE_DEFER);
		t_str(reason_word(r->reason), "dns-error");
		t_true(r->detail[0] != '\0');
		lane_route_free(r);
	}
	t_row(NULL);

	t_case("route: so does one of which a part is missing");
	make();
	r = deliver_route_new(&head);
	deliver_route_end(r);
	t_int(r->status, ROUTE_DEFER);
	lane_route_free(r);
	make();
	host.tlsas = 2; /* DANE with a record lost would defer, or worse */
	r = assemble();
	t_int(r->status, ROUTE_DEFER);
	lane_route_free(r);

	t_case("route: what nobody waits for is dropped");
	make();
	deliver_route_host(NULL, &host);
	deliver_route_tlsa(NULL, &tlsa);
	t_true(host.tlsas == 1);
}

int
main(void)
{
	test_good();
	test_broken();
	return t_done();
}
