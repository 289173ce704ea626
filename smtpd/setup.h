/*
 * What the parent hands to its children: the configuration and the contents
 * of the files that it names, each as a sealed memfd.
 */

#ifndef SMTPD_SETUP_H
#define SMTPD_SETUP_H

#include <stddef.h>

#include "smtpd/conf.h"
#include "smtpd/conf_errors.h"

struct tls_ctx;

/* Credentials of one destination. */
struct setup_secret {
	char pattern[258]; /* of the `destination` block */
	int fd;            /* "user:password" */
};

struct setup {
	struct conf *conf; /* complete with what the system told */
	int text;          /* the same as text, for the children's parser */
	int trust;         /* CA bundle, PEM */
	int aliases;       /* text; empty where there is no such file */
	struct setup_secret *secrets;
	size_t secret_count;
};

/*
 * Read and check the configuration file "path" and the files it names:
 * `sealpostd -n`. Returns 0, or -1 with "errors".
 */
int setup_check(const char *path, struct conf_errors *errors);

/*
 * Read it all for use. setup_clear() it whatever the result.
 * Returns 0, or -1 with "errors".
 */
int setup_load(struct setup *, const char *path, struct conf_errors *errors);

/*
 * In a child: the CA bundle behind "fd", which is closed, for TLS as a client.
 * NULL, and a line in the log, where it is unfit: then nobody is trusted.
 */
struct tls_ctx *setup_take_trust(int fd);

/* Close and free what it holds. */
void setup_clear(struct setup *);

#endif
