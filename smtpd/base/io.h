/*
 * A buffered stream over a non-blocking descriptor, in clear or TLS.
 *
 * Seven things can happen, and the owner hears of each by one callback; it
 * may do anything in it, io_free() included. After IO_CLOSED and IO_ERROR
 * only IO_TIMEOUT may still come; output may go on after IO_CLOSED. Input is
 * read into a bounded buffer and reading pauses while that is full; output is
 * bounded by the owner's own measure (io_pending).
 */

#ifndef SMTPD_BASE_IO_H
#define SMTPD_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "smtpd/base/buf.h"
#include "smtpd/base/ev.h"
#include "smtpd/base/tls.h"

struct io;

enum io_event {
	IO_CONNECTED, /* io_connect() succeeded */
	IO_SECURE,    /* the handshake is complete; io_tls_facts() are valid */
	IO_INPUT,     /* bytes were added to io_input() */
	IO_SENT,      /* all output has left */
	IO_CLOSED,    /* the peer ended the stream in order */
	IO_TIMEOUT,   /* the deadline passed */
	IO_ERROR      /* io_why() tells; connect, handshake and I/O errors.
			 A TLS stream that ends without close_notify too */
};

typedef void io_cb(void *arg, enum io_event);

/* Take over the connected "fd" (closed by io_free). NULL: no memory. */
struct io *io_new(struct ev *, int fd, io_cb *cb, void *arg);
/*
 * Begin a TCP connection. "local" may be NULL: any source address.
 * NULL with errno when it fails at once; else IO_CONNECTED or IO_ERROR come.
 */
struct io *io_connect(struct ev *, const struct sockaddr *peer,
    const struct sockaddr *local, io_cb *cb, void *arg);
void io_free(struct io *);

/* Absolute, of ev_now(); 0: none. Fires once, IO_TIMEOUT. */
void io_set_deadline(struct io *, int64_t at_ms);

/*
 * Bytes read and not yet taken; the owner takes with buf_take(). Holds at
 * most IO_INPUT_MAX; while it is full nothing is read.
 */
#define IO_INPUT_MAX 65536
struct buf *io_input(struct io *);
/* Bytes were taken from a full buffer outside the callback: read on. */
void io_resume(struct io *);

/*
 * Queue output; it is written at the end of the turn, as one write. More
 * than IO_OUTPUT_MAX bytes pending is an IO_ERROR.
 */
#define IO_OUTPUT_MAX (16U << 20)
void io_write(struct io *, const void *bytes, size_t len);
/* Bytes queued and not yet handed to the kernel. */
size_t io_pending(const struct io *);
/*
 * Close once all output has left, within IO_FINISH_MS; no events come any
 * more. Frees the io.
 */
#define IO_FINISH_MS 10000
void io_finish(struct io *);

/*
 * Start TLS on the open stream with a "tls" made for io_fd(); takes it.
 * Input not yet taken is the caller's error to have checked before (RFC 3207
 * 4.2, response injection); output not yet written as well: it must be none.
 * IO_SECURE or IO_ERROR follow.
 */
void io_start_tls(struct io *, struct tls *tls);
/* Valid once IO_SECURE came. */
const struct tls_facts *io_tls_facts(const struct io *);
/* NULL while in clear. Borrowed. */
struct tls *io_tls(struct io *);

/* Plain words for the last IO_ERROR; never NULL. */
const char *io_why(const struct io *);
/* The errno of the last IO_ERROR where it was a system's; else 0. */
int io_errno(const struct io *);
int io_fd(const struct io *);

#endif
