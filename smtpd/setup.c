#include "smtpd/setup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "smtpd/alias.h"
#include "smtpd/base/log.h"
#include "smtpd/base/proc.h"
#include "smtpd/base/tls.h"
#include "smtpd/conf_file.h"

static int
parse(struct conf *conf, const char *path, char **text, size_t *len,
    struct conf_errors *errors)
{
	const char *why;
	int r;

	if (conf_read(path, CONF_FILE_MAX, text, len, &why) == -1) {
		conf_error(errors, path, 0, "%s", why);
		return -1;
	}
	/* Check the files even after errors: tell of all that is wrong. */
	r = conf_parse(conf, path, *text, *len, errors);
	return conf_check_files(conf, path, errors) == -1 ? -1 : r;
}

/* Add to the text what only the system can tell, and parse it as a whole. */
static int
complete(struct setup *s, const char *path, const char *text, size_t len,
    struct conf_errors *errors)
{
	char *whole = NULL;
	const char *why = "no memory";
	size_t size = 0;
	int result = -1;
	FILE *out;

	out = open_memstream(&whole, &size);
	if (out == NULL) {
		conf_error(errors, path, 0, "%s", why);
		return -1;
	}
	fwrite(text, 1, len, out);
	fputc('\n', out);
	if (conf_write_system(s->conf, out, "", &why) == -1)
		conf_error(errors, path, 0, "%s", why);
	else
		result = 0;
	if (fclose(out) != 0)
		result = -1;
	if (result == 0) {
		conf_clear(s->conf);
		result = conf_parse(s->conf, path, whole, size, errors);
	}
	if (result == 0) {
		s->text = proc_seal("sealpost.conf", whole, size);
		if (s->text == -1) {
			conf_error(errors, path, 0, "%s", strerror(errno));
			result = -1;
		}
	}
	free(whole);
	return result;
}

int
setup_check(const char *path, struct conf_errors *errors)
{
	struct setup s = { .text = -1, .trust = -1, .aliases = -1 };
	char *text = NULL;
	size_t len;
	int result;

	s.conf = xcalloc(1, sizeof(*s.conf));
	result = parse(s.conf, path, &text, &len, errors);
	if (result == 0)
		result = complete(&s, path, text, len, errors);
	free(text);
	setup_clear(&s);
	return result;
}

/* A file as a memfd; an empty one in its place where "may_lack". */
static int
seal_file(const char *path, size_t max, bool may_lack,
    struct conf_errors *errors)
{
	char *text = NULL;
	const char *why;
	size_t len = 0;
	int fd;

	if (conf_read(path, max, &text, &len, &why) == -1) {
		if (!may_lack || errno != ENOENT) {
			conf_error(errors, path, 0, "%s", why);
			return -1;
		}
		text = NULL;
		len = 0;
	}
	fd = proc_seal("file", text, len);
	if (fd == -1)
		conf_error(errors, path, 0, "%s", strerror(errno));
	free(text);
	return fd;
}

static int
add_secret(struct setup *s, const struct conf_destination *d,
    struct conf_errors *errors)
{
	struct setup_secret *secret = &s->secrets[s->secret_count];
	char *user, *password, line[CONF_SECRET_MAX + 2];
	const char *why;
	int len;

	if (conf_read_auth(d->auth, &user, &password, &why) == -1) {
		conf_error(errors, d->auth, 0, "%s", why);
		return -1;
	}
	len = snprintf(line, sizeof(line), "%s:%s", user, password);
	explicit_bzero(password, strlen(password));
	free(user);
	secret->fd = proc_seal("secret", line, (size_t)len);
	explicit_bzero(line, sizeof(line));
	if (secret->fd == -1 ||
	    strlcpy(secret->pattern, d->name, sizeof(secret->pattern)) >=
		sizeof(secret->pattern)) {
		conf_error(errors, d->auth, 0, "cannot be kept");
		return -1;
	}
	s->secret_count++;
	return 0;
}

static int
read_secrets(struct setup *s, struct conf_errors *errors)
{
	const struct conf_destination *d;
	size_t count = 0;

	SLIST_FOREACH(d, &s->conf->destinations, entry)
		count++;
	s->secrets = xcalloc(count + 1, sizeof(*s->secrets));
	SLIST_FOREACH(d, &s->conf->destinations, entry)
		if (d->auth != NULL && add_secret(s, d, errors) == -1)
			return -1;
	return 0;
}

int
setup_load(struct setup *s, const char *path, struct conf_errors *errors)
{
	const char *trust;
	char *text = NULL;
	size_t len;
	int result;

	memset(s, 0, sizeof(*s));
	s->text = s->trust = s->aliases = -1;
	s->conf = xcalloc(1, sizeof(*s->conf));
	result = parse(s->conf, path, &text, &len, errors);
	if (result == 0)
		result = complete(s, path, text, len, errors);
	free(text);
	if (result == -1)
		return -1;
	trust = s->conf->trust != NULL ? s->conf->trust : CONF_TRUST;
	s->trust =
	    seal_file(trust, CONF_TRUST_MAX, s->conf->trust == NULL, errors);
	s->aliases = seal_file(s->conf->aliases, ALIAS_FILE_MAX,
	    s->conf->aliases_line == 0, errors);
	if (s->trust == -1 || s->aliases == -1)
		return -1;
	if (s->conf->trust == NULL && access(trust, F_OK) == -1)
		log_note(LOG_PRI_WARNING,
		    "%s is missing (Debian: package ca-certificates): no"
		    " certificate can be trusted, only DANE",
		    trust);
	return read_secrets(s, errors);
}

static void
close_fd(int fd)
{
	if (fd != -1)
		close(fd);
}

struct tls_ctx *
setup_take_trust(int fd)
{
	struct tls_ctx *tls = NULL;
	const char *why = "it cannot be read";
	size_t len;
	char *text = proc_sealed_text(fd, CONF_TRUST_MAX, &len);

	close(fd);
	if (text != NULL && len > 0)
		tls = tls_ctx_client(text, len, &why);
	free(text);
	if (tls == NULL)
		log_note(LOG_PRI_ERR, "the CA bundle: %s", why);
	return tls;
}

void
setup_clear(struct setup *s)
{
	size_t i;

	if (s->conf == NULL)
		return;
	close_fd(s->text);
	close_fd(s->trust);
	close_fd(s->aliases);
	for (i = 0; i < s->secret_count; i++)
		close_fd(s->secrets[i].fd);
	free(s->secrets);
	conf_clear(s->conf);
	free(s->conf);
	memset(s, 0, sizeof(*s));
}
