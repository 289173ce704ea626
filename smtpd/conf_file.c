#include "smtpd/conf_file.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/alias.h"

#define TRUST_MAX 16777216 /* bytes; Debian's bundle has 220,000 */

static int
refuse(const char **why, const char *sentence)
{
	errno = 0;
	*why = sentence;
	return -1;
}

static int
system_refused(const char **why)
{
	*why = strerrordesc_np(errno);
	if (*why == NULL)
		*why = "unknown error";
	return -1;
}

static bool
is_readable_kind(const struct stat *st)
{
	return S_ISREG(st->st_mode) ||
	    (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3));
}

/* Nobody but its owner, and that is root or ourselves, may have seen it. */
static const char *
secret_fault(const struct stat *st)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "its owner is neither root nor the one who reads it";
	if ((st->st_mode & 077) != 0)
		return "others than its owner may access it: chmod 600";
	return NULL;
}

static int
read_all(int fd, size_t max, char *buf, size_t *len, const char **why)
{
	ssize_t n;

	*len = 0;
	while ((n = read(fd, buf + *len, max + 1 - *len)) > 0) {
		*len += (size_t)n;
		if (*len > max)
			return refuse(why, "the file is too large");
	}
	if (n == -1)
		return system_refused(why);
	buf[*len] = '\0';
	return 0;
}

/* Read what is open; "is_secret" asks for the owner and mode of one. */
static int
read_fd(int fd, size_t max, bool is_secret, char **text, size_t *len,
    const char **why)
{
	const char *fault;
	struct stat st;
	char *buf, *fit;

	if (fstat(fd, &st) == -1)
		return system_refused(why);
	if (!is_readable_kind(&st))
		return refuse(why, "not a regular file");
	fault = is_secret ? secret_fault(&st) : NULL;
	if (fault != NULL)
		return refuse(why, fault);
	if (st.st_size > (off_t)max)
		return refuse(why, "the file is too large");
	buf = malloc(max + 2);
	if (buf == NULL)
		return system_refused(why);
	if (read_all(fd, max, buf, len, why) == -1) {
		explicit_bzero(buf, max + 2);
		free(buf);
		return -1;
	}
	fit = is_secret ? NULL : realloc(buf, *len + 1);
	*text = fit != NULL ? fit : buf;
	return 0;
}

static int
read_path(const char *path, size_t max, bool is_secret, char **text,
    size_t *len, const char **why)
{
	/* O_NONBLOCK: a FIFO must not keep us waiting. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int r;

	if (fd == -1)
		return system_refused(why);
	r = read_fd(fd, max, is_secret, text, len, why);
	(void)close(fd);
	return r;
}

int
conf_read(const char *path, size_t max, char **text, size_t *len,
    const char **why)
{
	return read_path(path, max, false, text, len, why);
}

/* One line "user:password" without control characters; its colon. */
static char *
find_colon(char *text, size_t len, const char **why)
{
	char *colon;

	if (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
			*why = "not one line user:password";
			return NULL;
		}
	colon = strchr(text, ':');
	if (colon == NULL || colon == text || colon[1] == '\0') {
		*why = "not one line user:password";
		return NULL;
	}
	return colon;
}

int
conf_read_auth(const char *path, char **user, char **password, const char **why)
{
	char *text, *colon;
	size_t len;

	if (read_path(path, CONF_SECRET_MAX, true, &text, &len, why) == -1)
		return -1;
	colon = find_colon(text, len, why);
	if (colon == NULL) {
		explicit_bzero(text, len);
		free(text);
		errno = 0;
		return -1;
	}
	*colon = '\0';
	*user = text;
	*password = colon + 1;
	return 0;
}

static void
check_trust(const struct conf *conf, const char *name,
    struct conf_errors *errors)
{
	const char *why;
	char *text;
	size_t len;

	if (conf->trust == NULL)
		return;
	if (conf_read(conf->trust, TRUST_MAX, &text, &len, &why) == -1) {
		conf_error(errors, name, conf->trust_line, "`%s`: %s",
		    conf->trust, why);
		return;
	}
	if (strstr(text, "-----BEGIN ") == NULL)
		conf_error(errors, name, conf->trust_line,
		    "`%s`: no certificate in PEM form in it", conf->trust);
	free(text);
}

static void
check_auth(const struct conf_destination *d, const char *name,
    struct conf_errors *errors)
{
	char *user, *password;
	const char *why;

	if (d->auth == NULL)
		return;
	if (conf_read_auth(d->auth, &user, &password, &why) == -1) {
		conf_error(errors, name, d->auth_line, "`%s`: %s", d->auth,
		    why);
		return;
	}
	explicit_bzero(password, strlen(password));
	free(user);
}

int
conf_check_files(const struct conf *conf, const char *name,
    struct conf_errors *errors)
{
	const struct conf_destination *d;
	size_t before = errors->count;

	check_trust(conf, name, errors);
	if (conf->aliases_line > 0 && access(conf->aliases, R_OK) == -1)
		conf_error(errors, name, conf->aliases_line, "`%s`: %s",
		    conf->aliases, strerrordesc_np(errno));
	SLIST_FOREACH(d, &conf->destinations, entry)
	check_auth(d, name, errors);
	return errors->count == before ? 0 : -1;
}

int
conf_check_aliases(const struct conf *conf, struct conf_errors *errors)
{
	size_t before = errors->count, len;
	const char *why;
	char *text;

	if (conf_read(conf->aliases, ALIAS_FILE_MAX, &text, &len, &why) == -1) {
		if (errno == ENOENT && conf->aliases_line == 0)
			return 0;
		conf_error(errors, conf->aliases, 0, "%s", why);
		return -1;
	}
	alias_free(alias_parse(conf->aliases, text, len,
	    conf->hostname != NULL ? conf->hostname : "localhost", errors));
	free(text);
	return errors->count == before ? 0 : -1;
}
