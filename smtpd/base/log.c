#include "smtpd/base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FACILITY_MAIL (2 << 3) /* RFC 3164 4.1.1 */
#define TAIL_ROOM 64           /* bytes kept for the end of a line */
#define HELD_MAX 131072        /* bytes of lines held back */
#define HEAD_SIZE 64
#define DATAGRAMS 32 /* sent by one system call */

/* Lines not yet written, each behind its length. */
struct held {
	char mem[HELD_MAX];
	size_t start; /* of the first line not yet sent */
	size_t len;
	unsigned long lost;
};

static struct {
	char role[16];
	int fd;
	bool syslog;
	bool verbose;
	bool batch;
	bool down; /* the syslog socket refuses */
	void (*lost)(void);
	time_t stamp_of;
	char stamp[24];
	struct held held;
} state = { .fd = STDERR_FILENO };

void
log_init(const char *role, int fd, bool syslog, bool verbose)
{
	static_assert(TAIL_ROOM >= 1 + 3 + 24 + 28 + 5, "a line's end fits");
	if (state.role[0] == '\0')
		atexit(log_flush);
	log_flush();
	snprintf(state.role, sizeof(state.role), "%s", role);
	state.fd = fd;
	state.syslog = syslog;
	state.verbose = verbose;
	state.down = false;
	tzset(); /* before a chroot hides the zone's file */
}

void
log_set_fd(int fd)
{
	state.fd = fd;
	state.down = false;
	log_flush();
}

void
log_on_lost(void (*lost)(void))
{
	state.lost = lost;
}

void
log_batch(bool on)
{
	state.batch = on;
	if (!on)
		log_flush();
}

bool
log_is_verbose(void)
{
	return state.verbose;
}

static void
put(struct log_line *l, const char *bytes, size_t len)
{
	size_t room = sizeof(l->text) - TAIL_ROOM - l->len;

	if (l->cut)
		return;
	if (len > room) {
		l->cut = true;
		return;
	}
	memcpy(l->text + l->len, bytes, len);
	l->len += len;
}

static bool
is_plain(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '"' && c != '\\';
}

static bool
needs_quotes(const char *value, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!is_plain((unsigned char)value[i]))
			return true;
	return len == 0;
}

static void
put_escaped(struct log_line *l, unsigned char c)
{
	char hex[5];

	if (is_plain(c) || c == ' ') {
		put(l, (char *)&c, 1);
	} else if (c == '"' || c == '\\') {
		hex[0] = '\\';
		hex[1] = (char)c;
		put(l, hex, 2);
	} else {
		snprintf(hex, sizeof(hex), "\\x%02x", c);
		put(l, hex, 4);
	}
}

static void
put_value(struct log_line *l, const char *value, size_t len)
{
	size_t i;

	if (!needs_quotes(value, len)) {
		/* A cut value shows its beginning. */
		if (len > sizeof(l->text) - TAIL_ROOM - l->len) {
			put(l, value, sizeof(l->text) - TAIL_ROOM - l->len);
			l->cut = true;
		}
		put(l, value, len);
		return;
	}
	put(l, "\"", 1);
	for (i = 0; i < len && !l->cut; i++)
		put_escaped(l, (unsigned char)value[i]);
	if (!l->cut)
		put(l, "\"", 1);
	else if (l->len < sizeof(l->text) - TAIL_ROOM + 1)
		l->text[l->len++] = '"';
}

void
log_begin(struct log_line *l, enum log_priority priority, const char *event)
{
	l->len = 0;
	l->cut = false;
	l->priority = priority;
	log_str(l, "event", event);
}

void
log_strn(struct log_line *l, const char *key, const char *value, size_t len)
{
	if (l->len > 0)
		put(l, " ", 1);
	put(l, key, strlen(key));
	put(l, "=", 1);
	put_value(l, value, len);
}

void
log_str(struct log_line *l, const char *key, const char *value)
{
	log_strn(l, key, value, strlen(value));
}

void
log_int(struct log_line *l, const char *key, long long value)
{
	char text[24];

	log_strn(l, key, text,
	    (size_t)snprintf(text, sizeof(text), "%lld", value));
}

static void put_formatted(struct log_line *, const char *key, const char *fmt,
    va_list ap) __attribute__((format(printf, 3, 0)));
static void last_words(const char *event, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

static void
put_formatted(struct log_line *l, const char *key, const char *fmt, va_list ap)
{
	char text[LOG_LINE_MAX];
	int len;

	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is begun */
	len = vsnprintf(text, sizeof(text), fmt, ap);

	if (len < 0)
		len = 0;
	if ((size_t)len >= sizeof(text))
		len = sizeof(text) - 1;
	log_strn(l, key, text, (size_t)len);
}

void
log_fmt(struct log_line *l, const char *key, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_formatted(l, key, fmt, ap);
	va_end(ap);
}

/* `<22>Nov 24 02:38:41 sealpost[77]: `, RFC 3164 4.1 as syslog(3) sends it. */
static size_t
syslog_head(char head[HEAD_SIZE], enum log_priority priority)
{
	time_t now = time(NULL);
	struct tm tm;
	int len;

	if (now != state.stamp_of && localtime_r(&now, &tm) != NULL) {
		strftime(state.stamp, sizeof(state.stamp), "%b %e %T", &tm);
		state.stamp_of = now;
	}
	len = snprintf(head, HEAD_SIZE,
	    "<%d>%s sealpost[%d]: ", FACILITY_MAIL | (int)priority, state.stamp,
	    (int)getpid());
	return (size_t)len;
}

static void
finish_text(struct log_line *l)
{
	struct timespec now;
	struct tm tm;
	int len;

	if (l->cut) {
		memcpy(l->text + l->len, "...", 3);
		l->len += 3;
	}
	len = snprintf(l->text + l->len, 24, " process=%s", state.role);
	l->len += (size_t)len;
	if (state.syslog)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	if (gmtime_r(&now.tv_sec, &tm) != NULL) {
		l->len += strftime(l->text + l->len, 28,
		    " time=%Y-%m-%dT%H:%M:%S", &tm);
		len = snprintf(l->text + l->len, 6, ".%03ldZ",
		    (now.tv_nsec / 1000000) % 1000);
		l->len += (size_t)len;
	}
	l->text[l->len++] = '\n';
}

/* Only when the gap is large: while the reader is slow, closing it after every
 * line would copy all that is held each time. */
static void
close_gap(void)
{
	struct held *h = &state.held;

	if (h->start < sizeof(h->mem) / 4)
		return;
	memmove(h->mem, h->mem + h->start, h->len - h->start);
	h->len -= h->start;
	h->start = 0;
}

/* False: there is no room. */
static bool
hold(struct log_line *l)
{
	struct held *h = &state.held;
	char head[HEAD_SIZE];
	size_t head_len = 0, prefix = 0;
	uint32_t len;

	if (state.syslog) {
		head_len = syslog_head(head, l->priority);
		prefix = sizeof(len);
	}
	len = (uint32_t)(head_len + l->len);
	if (h->len + prefix + len > sizeof(h->mem))
		close_gap();
	if (h->len + prefix + len > sizeof(h->mem))
		return false;
	memcpy(h->mem + h->len, &len, prefix);
	h->len += prefix;
	memcpy(h->mem + h->len, head, head_len);
	memcpy(h->mem + h->len + head_len, l->text, l->len);
	h->len += len;
	return true;
}

void
log_end(struct log_line *l)
{
	if (l->priority == LOG_PRI_DEBUG && !state.verbose)
		return;
	finish_text(l);
	if (!hold(l)) {
		log_flush();
		if (!hold(l))
			state.held.lost++;
	}
	if (!state.batch || l->priority < LOG_PRI_INFO)
		log_flush();
}

static void
drop_held(size_t len)
{
	struct held *h = &state.held;

	h->start += len;
	if (h->start == h->len)
		h->start = h->len = 0;
}

static void
tell_lost(void)
{
	struct log_line l;

	if (state.held.lost == 0 ||
	    state.held.len - state.held.start > HELD_MAX / 2)
		return;
	log_begin(&l, LOG_PRI_WARNING, "log-lines-lost");
	log_int(&l, "lines", (long long)state.held.lost);
	finish_text(&l);
	if (hold(&l))
		state.held.lost = 0;
}

/* Standard error may be a pipe that blocks, as any program's. */
static void
flush_stream(void)
{
	struct held *h = &state.held;
	size_t done = 0;
	ssize_t n;

	while (done < h->len) {
		n = write(state.fd, h->mem + done, h->len - done);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* nobody reads: the lines go nowhere */
		done += (size_t)n;
	}
	h->len = 0;
}

/* Point "vec" at the first held lines; returns how many. */
static unsigned
gather(struct mmsghdr msgs[DATAGRAMS], struct iovec vec[DATAGRAMS])
{
	struct held *h = &state.held;
	size_t at = h->start;
	unsigned n;
	uint32_t len;

	memset(msgs, 0, DATAGRAMS * sizeof(msgs[0]));
	for (n = 0; n < DATAGRAMS && at < h->len; n++) {
		memcpy(&len, h->mem + at, sizeof(len));
		vec[n].iov_base = h->mem + at + sizeof(len);
		vec[n].iov_len = len;
		msgs[n].msg_hdr.msg_iov = &vec[n];
		msgs[n].msg_hdr.msg_iovlen = 1;
		at += sizeof(len) + len;
	}
	return n;
}

/* The socket refused: keep the lines for later unless one is at fault. */
static bool
is_refusal(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == ECONNREFUSED ||
	    error == ENOTCONN || error == ECONNRESET || error == EPIPE;
}

static void
socket_refused(int error)
{
	if (error == EAGAIN || error == ENOBUFS || state.down)
		return;
	state.down = true;
	if (state.lost != NULL)
		state.lost();
}

static void
flush_datagrams(void)
{
	struct mmsghdr msgs[DATAGRAMS];
	struct iovec vec[DATAGRAMS];
	unsigned count;
	size_t sent;
	int i, n;

	while ((count = gather(msgs, vec)) > 0) {
		n = sendmmsg(state.fd, msgs, count,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && is_refusal(errno)) {
			socket_refused(errno);
			return;
		}
		if (n == -1) { /* e.g. EMSGSIZE */
			state.held.lost++;
			n = 1;
		}
		for (i = 0, sent = 0; i < n; i++)
			sent += sizeof(uint32_t) + vec[i].iov_len;
		drop_held(sent);
	}
}

void
log_flush(void)
{
	int saved = errno;

	tell_lost();
	if (state.held.len > 0 && state.syslog)
		flush_datagrams();
	else if (state.held.len > 0)
		flush_stream();
	errno = saved;
}

void
log_note(enum log_priority priority, const char *fmt, ...)
{
	struct log_line l;
	va_list ap;

	if (priority == LOG_PRI_DEBUG && !state.verbose)
		return;
	log_begin(&l, priority, "message");
	va_start(ap, fmt);
	put_formatted(&l, "text", fmt, ap);
	va_end(ap);
	log_end(&l);
}

void
log_dialogue(const char *session, char direction, const char *text, size_t len)
{
	struct log_line l;

	if (!state.verbose)
		return;
	log_begin(&l, LOG_PRI_DEBUG, "dialogue");
	log_str(&l, "session", session);
	log_strn(&l, "dir", &direction, 1);
	log_strn(&l, "text", text, len);
	log_end(&l);
}

static void
last_words(const char *event, const char *fmt, va_list ap)
{
	struct log_line l;

	state.batch = false;
	log_begin(&l, LOG_PRI_ERR, event);
	put_formatted(&l, "text", fmt, ap);
	log_end(&l);
}

void
log_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	last_words("fatal", fmt, ap);
	va_end(ap);
	exit(1);
}

void
log_bug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	last_words("bug", fmt, ap);
	va_end(ap);
	abort();
}

void *
xcalloc(size_t count, size_t size)
{
	void *mem = calloc(count, size);

	if (mem == NULL)
		log_die("out of memory");
	return mem;
}

char *
xstrdup(const char *text)
{
	char *copy = strdup(text);

	if (copy == NULL)
		log_die("out of memory");
	return copy;
}
