/*
 * Control requests of guests: who may, and to whom their socket goes.
 */

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/guest.h"

#define HAND_OVER_MS 10000 /* for the last reply to leave */

void
guest_ctl(struct guest *g)
{
	int64_t now = ev_now(g->door->ev);
	const char *text = server_ctl(g->server), *why;
	const struct ctl_row *row;

	if (ctl_parse(text, strlen(text), &g->request, &why) == -1) {
		server_answer(g->server, 501, "5.5.4", why, now);
		return;
	}
	row = ctl_row(g->request.verb);
	if (!g->is_admin && !row->own) {
		server_answer(g->server, 550, "5.7.1",
		    "only root and group _sealpostq may do that", now);
		return;
	}
	if (door_peer_for(g->door, row->answerer) == NULL) {
		server_answer(g->server, 451, "4.3.0",
		    "who would answer is being restarted, try again", now);
		return;
	}
	server_answer(g->server, 250, "2.0.0", "the answer follows", now);
	g->wait = GUEST_HANDS_OVER;
	g->wait_by = now + HAND_OVER_MS;
}

static void
pass_on(struct guest *g, int fd)
{
	const struct ctl_row *row = ctl_row(g->request.verb);
	struct ipc *peer = door_peer_for(g->door, row->answerer);
	struct msg_ctl_queue to_queue;
	struct msg_ctl_policy to_policy;
	struct msg_ctl_parent to_parent;

	if (peer == NULL) {
		close(fd);
		return;
	}
	switch (row->answerer) {
	case CTL_BY_QUEUE:
		ctl_to_queue(&g->request, g->is_admin ? -1 : g->uid, &to_queue);
		MSG_SEND(peer, ctl_queue, &to_queue, fd);
		break;
	case CTL_BY_POLICY:
		ctl_to_policy(&g->request, &to_policy);
		MSG_SEND(peer, ctl_policy, &to_policy, fd);
		break;
	case CTL_BY_PARENT:
		ctl_to_parent(&g->request, &to_parent);
		MSG_SEND(peer, ctl_parent, &to_parent, fd);
		break;
	}
}

void
guest_hand_over(struct guest *g)
{
	int fd = fcntl(io_fd(g->io), F_DUPFD_CLOEXEC, 0);

	if (fd != -1)
		pass_on(g, fd);
	io_free(g->io);
	guest_leave(g);
}
