#include "smtpd/roles.h"

#include "smtpd/base/sandbox.h"

/* Until every role file is there. */
extern const struct role_ops role_listen_ops;
extern const struct role_ops role_queue_ops;
extern const struct role_ops role_policy_ops;
extern const struct role_ops role_deliver_ops;

#define R(role) (1U << ROLE_##role)

const struct role_row roles[ROLE_COUNT] = {
	[ROLE_PARENT] = {
	    .name = "parent",
	    .peers = R(LISTEN) | R(QUEUE) | R(POLICY) | R(DELIVER),
	},
	[ROLE_LISTEN] = {
	    .name = "listen",
	    .user = "_sealpost",
	    .root = "",
	    .ops = &role_listen_ops,
	    .peers = R(QUEUE) | R(POLICY),
	    .powers = POWER_ACCEPT | POWER_MEMFD,
	},
	[ROLE_QUEUE] = {
	    .name = "queue",
	    .user = "_sealpostq",
	    .root = "queue",
	    .ops = &role_queue_ops,
	    .peers = R(LISTEN) | R(POLICY) | R(DELIVER),
	    .powers = POWER_FILES | POWER_THREADS | POWER_MEMFD,
	},
	[ROLE_POLICY] = {
	    .name = "policy",
	    .user = "_sealpost",
	    .root = "policy",
	    .ops = &role_policy_ops,
	    .peers = R(LISTEN) | R(QUEUE) | R(DELIVER),
	    .powers = POWER_FILES | POWER_TCP | POWER_UDP,
	},
	[ROLE_DELIVER] = {
	    .name = "deliver",
	    .user = "_sealpost",
	    .root = "",
	    .ops = &role_deliver_ops,
	    .peers = R(QUEUE) | R(POLICY),
	    .powers = POWER_TCP | POWER_MEMFD,
	},
};
