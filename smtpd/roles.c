#include "smtpd/roles.h"

#include "smtpd/base/sandbox.h"

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
	    .peers = R(QUEUE) | R(POLICY),
	    .powers = POWER_ACCEPT | POWER_MEMFD,
	},
	[ROLE_QUEUE] = {
	    .name = "queue",
	    .user = "_sealpostq",
	    .root = "queue",
	    .peers = R(LISTEN) | R(POLICY) | R(DELIVER),
	    .powers = POWER_FILES | POWER_THREADS | POWER_MEMFD,
	},
	[ROLE_POLICY] = {
	    .name = "policy",
	    .user = "_sealpost",
	    .root = "policy",
	    .peers = R(LISTEN) | R(QUEUE) | R(DELIVER),
	    .powers = POWER_FILES | POWER_TCP | POWER_UDP,
	},
	[ROLE_DELIVER] = {
	    .name = "deliver",
	    .user = "_sealpost",
	    .root = "",
	    .peers = R(QUEUE) | R(POLICY),
	    .powers = POWER_TCP | POWER_MEMFD,
	},
};
