#include "smtpd/conf_file.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/alias.h"

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

/* How to read a file, and what came of it. */
struct reading {
	size_t max; /* bytes */
	bool is_secret;
	char *text;
	size_t len;
};

static int
read_all(int fd, struct reading *r, const char **why)
{
	size_t room = r->max + 1; /* one more shows that it is too large */
	ssize_t n;

	while ((n = read(fd, r->text + r->len, room - r->len)) > 0) {
		r->len += (size_t)n;
		if (r->len > r->max)
			return refuse(why, "the file is too large");
	}
	if (n == -1)
		return system_refused(why);
	r->text[r->len] = '\0';
	return 0;
}

/* The bytes, r->text; NULL with *why. */
static char *
read_fd(int fd, struct reading *r, const char **why)
{
	const char *fault = NULL;
	struct stat st;

	if (fstat(fd, &st) == -1) {
		system_refused(why);
		return NULL;
	}
	if (!is_readable_kind(&st))
		fault = "not a regular file";
	else if (r->is_secret)
		fault = secret_fault(&st);
	if (fault == NULL && st.st_size > (off_t)r->max)
		fault = "the file is too large";
	if (fault != NULL) {
		refuse(why, fault);
		return NULL;
	}
	r->text = malloc(r->max + 2);
	if (r->text == NULL) {
		system_refused(why);
		return NULL;
	}
	if (read_all(fd, r, why) == 0)
		return r->text;
	explicit_bzero(r->text, r->len);
	free(r->text);
	return NULL;
}

static char *
read_path(const char *path, struct reading *r, const char **why)
{
	/* O_NONBLOCK: a FIFO must not keep us waiting. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text;

	if (fd == -1) {
		system_refused(why);
		return NULL;
	}
	text = read_fd(fd, r, why);
	(void)close(fd);
	return text;
}

int
conf_read(const char *path, size_t max, char **text, size_t *len,
    const char **why)
{
	struct reading r = { .max = max };
	char *whole = read_path(path, &r, why);

	if (whole == NULL)
		return -1;
	*text = realloc(whole, r.len + 1);
	if (*text == NULL)
		*text = whole;
	*len = r.len;
	return 0;
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
	struct reading r = { .max = CONF_SECRET_MAX, .is_secret = true };
	char *text = read_path(path, &r, why), *colon;

	if (text == NULL)
		return -1;
	colon = find_colon(text, r.len, why);
	if (colon == NULL) {
		explicit_bzero(text, r.len);
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
	if (conf_read(conf->trust, CONF_TRUST_MAX, &text, &len, &why) == -1) {
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

/* That of the default need not be there. */
static void
check_aliases(const struct conf *conf, const char *name,
    struct conf_errors *errors)
{
	const char *why;
	char *text;
	size_t len;

	if (conf->aliases == NULL || conf->aliases_line == 0)
		return;
	if (conf_read(conf->aliases, ALIAS_FILE_MAX, &text, &len, &why) == -1)
		conf_error(errors, name, conf->aliases_line, "`%s`: %s",
		    conf->aliases, why);
	else
		free(text);
}

int
conf_check_files(const struct conf *conf, const char *name,
    struct conf_errors *errors)
{
	const struct conf_destination *d;
	size_t before = errors->count;

	check_trust(conf, name, errors);
	check_aliases(conf, name, errors);
	SLIST_FOREACH(d, &conf->destinations, entry)
		check_auth(d, name, errors);
	return errors->count == before ? 0 : -1;
}
