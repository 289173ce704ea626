#include "smtpd/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/conf_block.h"
#include "smtpd/conf_set.h"

#define DAY ((time_t)86400)
#define WARN_AHEAD (7 * DAY) /* seconds before an exception ends */

void
conf_clear(struct conf *conf)
{
	struct conf_destination *d;

	while ((d = SLIST_FIRST(&conf->destinations)) != NULL) {
		SLIST_REMOVE_HEAD(&conf->destinations, entry);
		conf_destination_free(d);
	}
	free(conf->hostname);
	free(conf->relay_from.net);
	free(conf->trust);
	free(conf->tls.because);
	free(conf->allow_private.net);
	free(conf->queue_directory);
	free(conf->aliases);
	memset(conf, 0, sizeof *conf);
}

/* The level in force at "now": an exception that has run out is require. */
static enum tls_level
level_at(const struct conf_tls *tls, time_t now)
{
	if (tls->level == LEVEL_OPPORTUNISTIC && now >= tls->until)
		return LEVEL_REQUIRE;
	return tls->level;
}

/* How closely does a block's name fit a domain? 0: not at all. */
static size_t
closeness(const char *name, const char *domain)
{
	size_t nlen = strlen(name), dlen = strlen(domain);

	if (strcmp(name, "*") == 0)
		return 1;
	if (name[0] != '.')
		return strcmp(name, domain) == 0 ? SIZE_MAX : 0;
	if (dlen <= nlen || strcmp(domain + dlen - nlen, name) != 0)
		return 0;
	return nlen;
}

/* The closest blocks so far, one for each setting. */
struct closest {
	size_t tls;
	size_t via;
	size_t connections;
	size_t rate;
};

/* Does a block that has a setting come closer than the last that had it? */
static bool
is_closer(bool has, size_t close, size_t *best)
{
	if (!has || close <= *best)
		return false;
	*best = close;
	return true;
}

static void
put_tls(struct conf_dest *out, const struct conf_tls *tls, time_t now)
{
	bool is_exception;

	out->level = level_at(tls, now);
	is_exception = out->level == LEVEL_OPPORTUNISTIC;
	out->until = is_exception ? tls->until : 0;
	out->because = is_exception ? tls->because : NULL;
}

void
conf_destination(const struct conf *conf, const char *domain, time_t now,
    struct conf_dest *out)
{
	const struct conf_destination *d;
	struct closest best = { 0 };

	memset(out, 0, sizeof *out);
	put_tls(out, &conf->tls, now);
	out->connections = conf->connections;
	SLIST_FOREACH(d, &conf->destinations, entry) {
		size_t close = closeness(d->name, domain);

		if (is_closer(d->has_tls, close, &best.tls))
			put_tls(out, &d->tls, now);
		if (is_closer(d->via != NULL, close, &best.via)) {
			out->via = d->via;
			out->via_port = d->via_port;
			out->via_implicit_tls = d->via_implicit_tls;
			out->auth = d->auth;
		}
		if (is_closer(d->connections > 0, close, &best.connections))
			out->connections = d->connections;
		if (is_closer(d->rate > 0, close, &best.rate)) {
			out->rate = d->rate;
			out->rate_s = d->rate_s;
		}
	}
}

static void
warn(const char *name, const struct conf_tls *tls, time_t now,
    void (*fn)(void *arg, const char *sentence), void *arg)
{
	char sentence[1024], date[16] = "";
	time_t last = tls->until - DAY;
	struct tm tm;

	if (tls->level != LEVEL_OPPORTUNISTIC || tls->until - now > WARN_AHEAD)
		return;
	if (gmtime_r(&last, &tm) != NULL)
		(void)strftime(date, sizeof date, "%Y-%m-%d", &tm);
	(void)snprintf(sentence, sizeof sentence,
	    now < tls->until
		? "`tls opportunistic` for %s ends with %s (because \"%s\");"
		  " from then on it is `require`"
		: "`tls opportunistic` for %s ended with %s (because \"%s\")"
		  " and is `require` again; the lines can go",
	    name, date, tls->because);
	fn(arg, sentence);
}

void
conf_warnings(const struct conf *conf, time_t now,
    void (*fn)(void *arg, const char *sentence), void *arg)
{
	const struct conf_destination *d;
	char name[512];

	warn("every destination", &conf->tls, now, fn, arg);
	SLIST_FOREACH(d, &conf->destinations, entry) {
		(void)snprintf(name, sizeof name, "destination %s", d->name);
		warn(name, &d->tls, now, fn, arg);
	}
}

bool
conf_directive(size_t i, struct conf_directive *out)
{
	const struct conf_row *row = conf_row(i);

	if (row == NULL)
		return false;
	*out = row->show;
	return true;
}
