/*
 * Messages that sendmail left in the offline folder while the daemon
 * was down. The parent alone may read the folder; each file goes to the
 * listener as a descriptor, with its owner's uid from fstat(2), and is
 * removed once the listener says that the queue has the message.
 */

#ifndef SMTPD_INTAKE_H
#define SMTPD_INTAKE_H

#include <dirent.h>
#include <stdint.h>
#include <sys/types.h>

#define INTAKE_MAX 32 /* files at the listener at a time */
#define INTAKE_NAME_SIZE 256

/* A file that the listener has. */
struct intake_file {
	char name[INTAKE_NAME_SIZE];
	uint64_t number; /* 0: free */
	dev_t dev;
	ino_t ino;
};

struct intake {
	int folder; /* -1: none */
	DIR *dir;   /* where the next scan goes on; NULL: at the start */
	uint64_t last;
	struct intake_file files[INTAKE_MAX];
};

/* Give away a file: "fd" is taken. */
typedef void intake_fn(void *arg, uint64_t number, uid_t owner, int fd);

/* Use this folder; the descriptor is kept for good. */
void intake_init(struct intake *, int folder);

/*
 * Look for files, and call "give" with each that may be taken in: a regular
 * file with one name, mode 0600 or less, whose name begins with no dot.
 * One with a dot that is a day old is removed: its sendmail died.
 *
 * A scan looks at so many names and no more; the next one goes on from there.
 */
void intake_scan(struct intake *, intake_fn *give, void *arg);

/*
 * The listener's answer about "number": an SMTP code and its text. 2xx: the
 * file is removed; 4xx: it stays for the next scan; 5xx: it is set aside
 * under a name with "refused-" before.
 */
void intake_done(struct intake *, uint64_t number, uint32_t status,
    const char *text);

/* The listener died: what it had is given anew by the next scan. */
void intake_forget(struct intake *);

#endif
