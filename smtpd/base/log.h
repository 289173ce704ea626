/*
 * The log: one line an event, key=value, values quoted where they hold
 * blanks, and nothing but printable text whatever a peer sent.
 *
 * Lines go to standard error (sealpostd -d) or, as RFC 3164 datagrams of
 * facility mail, to the syslog socket that the parent connected and the
 * children inherit. On standard error time= (UTC) ends each line.
 * Never message content, never secrets.
 */

#ifndef SMTPD_BASE_LOG_H
#define SMTPD_BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define LOG_LINE_MAX 4096 /* bytes; the rest is cut, marked by "..." */

enum log_priority {
	LOG_PRI_ERR = 3,
	LOG_PRI_WARNING,
	LOG_PRI_NOTICE,
	LOG_PRI_INFO,
	LOG_PRI_DEBUG
};

/*
 * role      e.g. "queue"; ends every line as process=queue
 * fd        where lines go (kept open, not closed here)
 * syslog    each line is one datagram with a syslog header
 * verbose   LOG_PRI_DEBUG lines are written too
 */
void log_init(const char *role, int fd, bool syslog, bool verbose);
/* The syslog socket was connected anew: use this one from now on. */
void log_set_fd(int fd);
/*
 * Called once when the syslog socket refuses (its reader has gone): ask for
 * a new one. Lines wait meanwhile, up to a bound; what is lost is counted.
 */
void log_on_lost(void (*lost)(void));
/*
 * While on, lines of LOG_PRI_INFO and DEBUG may wait for log_flush(), which
 * the event loop calls before it sleeps. Turning it off writes them.
 */
void log_batch(bool on);
void log_flush(void);
bool log_is_verbose(void);

/* A line under construction. Lives on the caller's stack. */
struct log_line {
	char text[LOG_LINE_MAX];
	size_t len;
	enum log_priority priority;
	bool cut;
};

/* Begin `event=EVENT`. */
void log_begin(struct log_line *, enum log_priority, const char *event);
/* Add ` key=value`; the value is quoted and escaped as it needs. */
void log_str(struct log_line *, const char *key, const char *value);
void log_strn(struct log_line *, const char *key, const char *value,
    size_t len);
void log_int(struct log_line *, const char *key, long long value);
void log_fmt(struct log_line *, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Write the line out. */
void log_end(struct log_line *);

/* Free text as `event=message text="..."`. */
void log_note(enum log_priority, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Protocol dialogue, only with -v: `event=dialogue session=N dir=> text=…` */
void log_dialogue(const char *session, char direction, const char *text,
    size_t len);

/* At start-up, on no memory, or when a sibling breaks the message table. */
_Noreturn void log_die(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
/* A broken invariant: log and abort(3). */
_Noreturn void log_bug(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

/* Never NULL: log_die() on no memory. */
void *xcalloc(size_t count, size_t size);
char *xstrdup(const char *);

#endif
