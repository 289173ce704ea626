/* When a lane asks whether the policy has changed (RFC 8461 5.1). */

#include <string.h>

#include "tests/smtpd/lane_world.h"

static struct lane_route *
enforce_route(struct mx *mx, const char *id, bool matches)
{
	struct lane_route *r = new_route();

	r->mode = POLICY_ENFORCE;
	strlcpy(r->policy_id, id, sizeof(r->policy_id));
	add_host(r, "mx.test", mx)->matches = matches;
	return r;
}

static void
test_second_look(struct mx *mx)
{
	struct lane_route *r;

	t_case("lane: a policy that changed meanwhile is followed at once "
	       "(RFC 8461 5.1)");
	r = enforce_route(mx, "2", true);
	r->policy_fetched = 1795492800;
	r->policy_sha256[31] = 7;
	send_one(enforce_route(mx, "1", false), r);
	t_int(count(world, OUTCOME_DELIVERED), 1);
	t_int(world->work[0].seen[0].auth, AUTH_MTA_STS);
	t_int(world->work[0].seen[0].level, LEVEL_REQUIRE);
	t_int(world->work[0].seen[0].policy_fetched, 1795492800);
	t_int(world->work[0].seen[0].policy_sha256[31], 7);
	t_int(world->asked, 2);
	t_int(world->refreshes, 1);
	close_world(world);

	t_case("lane: a policy fetched for this very attempt has not changed, "
	       "but may have at the next");
	r = enforce_route(mx, "1", false);
	r->policy_fetched = wall_clock();
	send_one(r, NULL);
	t_int(world->asked, 1);
	world->next[1] = enforce_route(mx, "1", true);
	world->next[1]->policy_sha256[0] = 1;
	give(world, 1, 1);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), 1);
	t_int(world->asked, 2);
	close_world(world);
}

static struct lane_route *
forged_route(void)
{
	struct lane_route *r = new_route();

	r->mode = POLICY_ENFORCE;
	r->status = ROUTE_DEFER;
	r->reason = REASON_STS_MX_MISMATCH;
	return r;
}

static void
test_forged(struct mx *mx)
{
	t_case("lane: a second look also where no forged MX has an address "
	       "(RFC 8461 5.1)");
	send_one(forged_route(), forged_route());
	t_str(reason_word(world->work[0].seen[0].reason), "sts-mx-mismatch");
	t_int(world->refreshes, 1);
	close_world(world);

	send_one(forged_route(), enforce_route(mx, "2", true));
	t_int(count(world, OUTCOME_DELIVERED), 1);
	close_world(world);
}

static void
test_recheck(struct mx *mx)
{
	t_case("lane: before a bounce the policy is looked at anew, however "
	       "lately a failure made us look (RFC 8461 5.1)");
	send_one(enforce_route(mx, "1", false), enforce_route(mx, "1", false));
	t_int(count(world, OUTCOME_DEFERRED), 1);
	t_int(world->refreshes, 1);
	run_for(1100, stop_loop);
	world->next[2] = enforce_route(mx, "2", true);
	world->work[1].job.recheck = true;
	give(world, 1, 1);
	finish(world);
	t_int(count(world, OUTCOME_DELIVERED), 1);
	t_int(world->refreshes, 2);
	close_world(world);
}

int
main(void)
{
	struct mx_conduct conduct = { 0 };
	struct mx *mx;

	make_world();
	conduct.tls = good;
	mx = mx_start(1, 0, &conduct);
	test_second_look(mx);
	test_recheck(mx);
	test_forged(mx);
	mx_stop(mx);
	end_world();
	return t_done();
}
