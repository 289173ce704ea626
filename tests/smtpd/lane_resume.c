/* Which TLS sessions are resumed (RFC 8446 2.2), and for whom. */

#include "tests/smtpd/lane_ways.h"

static void
send_by(const struct way *way, struct mx *mx)
{
	struct lane *lane = begin(way, mx);

	finish(world);
	world->lane = NULL;
	lane_free(lane);
}

static void
test_context(struct mx *mx)
{
	char name[128];
	size_t i;
	int before;

	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		(void)snprintf(name, sizeof(name), "resume: %s", pairs[i].name);
		t_case(name);
		before = mx_resumed(mx);
		open_empty_world();
		send_by(&pairs[i].first, mx);
		t_int(mx_resumed(mx), before);
		send_by(&pairs[i].second, mx);
		t_int(mx_resumed(mx), before + pairs[i].same);
		t_int(count(world, OUTCOME_DELIVERED), 2);
		close_world(world);
	}
}

static void
test_address(struct mx *mx, struct mx *other)
{
	static const struct way way = { USUAL("a", 0) };

	t_case("resume: another address of the host");
	open_empty_world();
	send_by(&way, mx);
	send_by(&way, other);
	t_int(mx_resumed(other), 0);
	t_int(count(world, OUTCOME_DELIVERED), 2);
	close_world(world);
}

/* One message to each of as many domains, at once; how many resumed? */
static int
send_together(struct mx *mx, int n)
{
	static const struct way ways[] = { { USUAL("a", 0) }, { USUAL("b", 0) },
		{ USUAL("c", 0) } };
	int i, before = mx_resumed(mx);
	struct lane *lane[3];

	for (i = 0; i < n; i++)
		lane[i] = begin(&ways[i], mx);
	finish(world);
	world->lane = NULL;
	for (i = 0; i < n; i++)
		lane_free(lane[i]);
	return mx_resumed(mx) - before;
}

static void
test_number(struct mx *mx)
{
	t_case("resume: connections at once leave a session each, and each"
	       " serves once (RFC 8446 C.4)");
	open_empty_world();
	t_int(send_together(mx, 2), 0);
	t_int(send_together(mx, 3), 2);
	t_int(send_together(mx, 3), 3);
	t_int(count(world, OUTCOME_DELIVERED), 8);
	t_int(mx_connections(mx), 8);
	close_world(world);
}

/* Else one host could fill the place for all (RFC 8446 4.6.1). */
static void
test_tickets(struct mx *mx)
{
	static const struct way way = { USUAL("d", 0) };
	struct lane *lane;

	t_case("resume: a host that sends many tickets leaves one");
	open_empty_world();
	lane = begin(&way, mx);
	give(world, 1, 1);
	give(world, 1, 1);
	finish(world);
	world->lane = NULL;
	lane_free(lane);
	t_int(mx_connections(mx), 1);
	t_int(send_together(mx, 2), 1);
	t_int(count(world, OUTCOME_DELIVERED), 5);
	close_world(world);
}

int
main(void)
{
	struct mx_conduct conduct = { 0 };
	struct mx *mx, *other;

	make_world();
	conduct.tls = good;
	pki_spki(good, spki);
	pki_root_spki(pki, root);
	mx = mx_start(1, 0, &conduct);
	other = mx_start(1, 0, &conduct);
	test_context(mx);
	test_address(mx, other);
	mx_stop(mx);
	mx_stop(other);
	conduct.think_ms = 300;
	mx = mx_start(1, 0, &conduct);
	test_number(mx);
	mx_stop(mx);
	conduct.tickets = true;
	mx = mx_start(1, 0, &conduct);
	test_tickets(mx);
	mx_stop(mx);
	end_world();
	return t_done();
}
