/*
 * Inside a session: its state, shared by session.c (its life and its stream)
 * and session_talk.c (verdict and dialogue). Nobody else includes this.
 */

#ifndef SMTPD_SESSION_TALK_H
#define SMTPD_SESSION_TALK_H

#include "smtpd/base/io.h"
#include "smtpd/session.h"

enum session_state {
	SESSION_NEW,
	SESSION_CONNECTING,
	SESSION_TALKING,
	SESSION_OVER
};

struct session {
	const struct session_setup *setup;
	struct session_target target; /* what it points to is borrowed */
	char tag[64];
	session_cb *cb;
	void *arg;
	enum session_state state;
	bool released; /* its owner has left */
	bool freed;
	bool clear;     /* the connection after VERDICT_RETRY_CLEAR */
	bool no_resume; /* resuming failed: handshake in full */
	bool go;        /* the verdict was */
	bool sending;
	bool pumping;
	struct ev_task task;
	struct io *io;
	struct client *client;
	struct client_pass *pass;
	size_t handed; /* bytes of client_output() that the stream has */
	int body;
	uint64_t body_at;
	struct verdict first; /* the one that led to it */
	struct session_fault fault;
	struct session_report report;
};

/* ---- session.c ---- */

int64_t session_now(const struct session *);
void session_tell(struct session *, enum session_event);
/* Close, and tell the owner: the fault is set already. The results of the
 * message stay until the session is freed. */
void session_end(struct session *);
void session_set_fault(struct session *, enum reason, const char *found);
void session_end_for(struct session *, enum reason, const char *found);
void session_end_told(struct session *, const struct client_result *);
/* Begin anew with another connection to the same address. */
void session_reconnect(struct session *);

/* ---- session_talk.c ---- */

/* Ask for the verdict, with what is known at this stage. */
enum verdict_action session_decide(struct session *, enum tls_stage);
void session_end_verdict(struct session *, const char *reply,
    const char *words);
/* The handshake did not complete. */
void session_no_handshake(struct session *, const char *words);
void session_start_tls(struct session *);
/* The stream is ready for the dialogue. */
void session_make_client(struct session *);
/* Give the stream what the engine wrote. */
void session_write_out(struct session *);
/* Tell the engine how much of that has left. */
void session_tell_sent(struct session *);
/* Call it after anything happened: does what the engine needs until it waits
 * for the stream. */
void session_pump(struct session *);

#endif
