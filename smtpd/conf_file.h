/*
 * What the configuration says about the file system: the files it names, and
 * what it leaves to the system. The rest of conf never opens anything.
 */

#ifndef SMTPD_CONF_FILE_H
#define SMTPD_CONF_FILE_H

#include <stddef.h>
#include <stdio.h>

#include "smtpd/conf.h"

#define CONF_SECRET_MAX 1024    /* bytes, "user:password" */
#define CONF_TRUST_MAX 16777216 /* bytes; Debian's bundle has 220,000 */
#define CONF_TRUST "/etc/ssl/certs/ca-certificates.crt"

/*
 * Read a whole regular file, or /dev/null, of at most "max" bytes.
 *
 * text     set to the bytes, with a NUL behind them; free(3) it
 * returns  0, or -1 with *why, and errno where the system refused (else 0)
 */
int conf_read(const char *path, size_t max, char **text, size_t *len,
    const char **why);

/*
 * Read credentials "user:password", one line, from a file that only its owner
 * can read (mode 0600 or less), the owner being root or ourselves.
 *
 * user     set, and *password behind it in the same memory; free(3) *user
 *          after clearing it
 * returns  0, or -1 with *why
 */
int conf_read_auth(const char *path, char **user, char **password,
    const char **why);

/*
 * Look at the files that a configuration names: trust and auth must be fit
 * for use, a named aliases file must be there.
 *
 * Adds to "errors"; returns 0 or -1 as conf_parse().
 */
int conf_check_files(const struct conf *, const char *name,
    struct conf_errors *errors);

/*
 * This machine's fully qualified name: its host name; if that has no dot, the
 * first name that /etc/hosts gives for it with one, or the domain of
 * /etc/resolv.conf added; lower-case. "root" is "" but in tests.
 *
 * returns  0, or -1 if the machine has no usable name
 */
int conf_hostname(char *out, size_t size, const char *root);

/*
 * Write, as ordinary directives, what was left to the system: hostname and
 * resolvers. Append it to the text that children get, and parse again.
 *
 * returns  0, or -1 with *why
 */
int conf_write_system(const struct conf *, FILE *out, const char *root,
    const char **why);

#endif
