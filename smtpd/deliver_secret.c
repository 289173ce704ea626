#include "smtpd/deliver_secret.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "smtpd/base/log.h"

#define SECRET_MAX 1024 /* bytes of user:password */

struct secret {
	SLIST_ENTRY(secret) entry;
	char pattern[258];
	char text[SECRET_MAX + 1]; /* user NUL password */
	struct client_auth auth;
};

struct deliver_secrets {
	uint32_t generation;
	SLIST_HEAD(, secret) list;
};

struct deliver_secrets *
deliver_secrets_new(void)
{
	struct deliver_secrets *s = xcalloc(1, sizeof(*s));

	SLIST_INIT(&s->list);
	return s;
}

static void
drop_all(struct deliver_secrets *s)
{
	struct secret *secret;

	while ((secret = SLIST_FIRST(&s->list)) != NULL) {
		SLIST_REMOVE_HEAD(&s->list, entry);
		explicit_bzero(secret, sizeof(*secret));
		free(secret);
	}
}

/* Split at the first colon; a line end at the end is not the password's. */
static bool
split(struct secret *secret, size_t len)
{
	char *colon;

	while (len > 0 && strchr("\r\n", secret->text[len - 1]) != NULL)
		len--;
	secret->text[len] = '\0';
	colon = strchr(secret->text, ':');
	if (colon == NULL)
		return false;
	*colon = '\0';
	secret->auth.user = secret->text;
	secret->auth.password = colon + 1;
	return true;
}

void
deliver_secrets_take(struct deliver_secrets *s, const struct msg_secret *m,
    int fd)
{
	struct secret *secret = xcalloc(1, sizeof(*secret));
	ssize_t len = pread(fd, secret->text, SECRET_MAX, 0);

	close(fd);
	if (m->generation != s->generation)
		drop_all(s);
	s->generation = m->generation;
	(void)strlcpy(secret->pattern, m->pattern, sizeof(secret->pattern));
	if (len <= 0 || !split(secret, (size_t)len)) {
		log_note(LOG_PRI_ERR, "the credentials for %s cannot be read",
		    secret->pattern);
		explicit_bzero(secret, sizeof(*secret));
		free(secret);
		return;
	}
	SLIST_INSERT_HEAD(&s->list, secret, entry);
}

static const struct client_auth *
find_pattern(const struct deliver_secrets *s, const char *pattern)
{
	const struct secret *secret;

	SLIST_FOREACH(secret, &s->list, entry)
		if (strcmp(secret->pattern, pattern) == 0)
			return &secret->auth;
	return NULL;
}

const struct client_auth *
deliver_secrets_find(const struct deliver_secrets *s, const struct conf *conf,
    const char *file)
{
	const struct conf_destination *d;
	const struct client_auth *auth;

	SLIST_FOREACH(d, &conf->destinations, entry) {
		if (d->auth == NULL || strcmp(d->auth, file) != 0)
			continue;
		auth = find_pattern(s, d->name);
		if (auth != NULL)
			return auth;
	}
	return NULL;
}
