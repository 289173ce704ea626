#include "smtpd/msg.h"

#include <string.h>

#include "tests/t.h"

static bool
passes(uint32_t type, int from, int to, const void *body, size_t len, bool fd)
{
	return msg_table.check(type, (struct ipc_way){ from, to }, body, len,
	    fd);
}

static void
test_every_row(void)
{
	static const uint8_t zeros[IPC_BODY_MAX];
	uint32_t type;
	int from, to;
	size_t len;

	t_case("every message has a name, a way and one length only");
	for (type = MSG_NONE + 1; type < MSG_COUNT; type++) {
		int ways = 0, lengths = 0;

		t_row("%s", msg_table.name(type));
		t_true(strcmp(msg_table.name(type), "unknown") != 0);
		for (len = 0; len <= IPC_BODY_MAX; len++) {
			bool fits = false;

			for (from = 0; from < ROLE_COUNT; from++)
				for (to = 0; to < ROLE_COUNT; to++)
					if (passes(type, from, to, zeros, len,
						false) ||
					    passes(type, from, to, zeros, len,
						true)) {
						fits = true;
						ways++;
						t_true(from != to);
					}
			lengths += fits;
		}
		t_true(ways > 0);
		t_int(lengths, 1);
	}
}

static void
test_peers(void)
{
	static const uint8_t zeros[IPC_BODY_MAX];
	uint32_t type;
	int from, to;
	size_t len;

	t_case("messages pass only between roles that are peers (roles.c)");
	for (type = MSG_NONE + 1; type < MSG_COUNT; type++)
		for (len = 0; len <= IPC_BODY_MAX; len++)
			for (from = 1; from < ROLE_COUNT; from++)
				for (to = 1; to < ROLE_COUNT; to++) {
					if (!passes(type, from, to, zeros, len,
						false) &&
					    !passes(type, from, to, zeros, len,
						true))
						continue;
					t_row("%s", msg_table.name(type));
					t_true((roles[from].peers & 1U << to) !=
					    0);
					t_true((roles[to].peers & 1U << from) !=
					    0);
				}
}

static void
test_way(void)
{
	struct msg_submitted m = { .id = 1 };

	t_case("a message passes only from its sender to its receiver");
	t_true(passes(MSG_submitted, ROLE_QUEUE, ROLE_LISTEN, &m, sizeof(m),
	    false));
	t_true(!passes(MSG_submitted, ROLE_LISTEN, ROLE_QUEUE, &m, sizeof(m),
	    false));
	t_true(!passes(MSG_submitted, ROLE_DELIVER, ROLE_LISTEN, &m, sizeof(m),
	    false));
	t_true(!passes(MSG_submitted, -1, ROLE_LISTEN, &m, sizeof(m), false));
	t_true(!passes(MSG_submitted, 99, ROLE_LISTEN, &m, sizeof(m), false));
	t_true(
	    !passes(MSG_NONE, ROLE_QUEUE, ROLE_LISTEN, &m, sizeof(m), false));
	t_true(
	    !passes(MSG_COUNT, ROLE_QUEUE, ROLE_LISTEN, &m, sizeof(m), false));
	t_true(
	    !passes(UINT32_MAX, ROLE_QUEUE, ROLE_LISTEN, &m, sizeof(m), false));
}

static void
test_fd(void)
{
	struct msg_submit submit = { .id = 1 };
	struct msg_job job = { .job = 1 };
	struct msg_stop stop = { .unused = 0 };

	t_case("a descriptor travels where the table says so");
	t_true(passes(MSG_submit, ROLE_LISTEN, ROLE_QUEUE, &submit,
	    sizeof(submit), false));
	t_true(passes(MSG_submit, ROLE_LISTEN, ROLE_QUEUE, &submit,
	    sizeof(submit), true));
	t_true(!passes(MSG_job, ROLE_QUEUE, ROLE_DELIVER, &job, sizeof(job),
	    false));
	t_true(
	    passes(MSG_job, ROLE_QUEUE, ROLE_DELIVER, &job, sizeof(job), true));
	t_true(!passes(MSG_stop, ROLE_PARENT, ROLE_QUEUE, &stop, sizeof(stop),
	    true));
}

static void
test_strings(void)
{
	struct msg_submit_rcpt m = { .id = 1 };

	t_case("a string without its NUL is refused");
	memset(m.address, 'a', sizeof(m.address));
	t_true(!passes(MSG_submit_rcpt, ROLE_LISTEN, ROLE_QUEUE, &m, sizeof(m),
	    false));
	m.address[sizeof(m.address) - 1] = '\0';
	t_true(passes(MSG_submit_rcpt, ROLE_LISTEN, ROLE_QUEUE, &m, sizeof(m),
	    false));
	memset(m.orcpt, 'a', sizeof(m.orcpt));
	t_true(!passes(MSG_submit_rcpt, ROLE_LISTEN, ROLE_QUEUE, &m, sizeof(m),
	    false));
}

int
main(void)
{
	test_every_row();
	test_peers();
	test_way();
	test_fd();
	test_strings();
	return t_done();
}
