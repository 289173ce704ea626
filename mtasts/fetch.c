#include "mtasts/fetch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <unistd.h>

#include "mtasts/curl.h"
#include "mtasts/match.h"
#include "mtasts/policy.h"

#define CONNECT_MS 20000L /* TCP and TLS */
#define SLOW_BYTES 8L     /* a second, on average... */
#define SLOW_S 15L        /* ...over this many: the host has stalled */
#define HEADERS_MAX 65536 /* bytes */
#define DNS_KEEP_S 300L   /* libcurl's memory of our own addresses */
#define RESOLVE_SIZE (HOST_SIZE + FETCH_ADDRS_MAX * (INET6_ADDRSTRLEN + 3) + 32)
#define DETAIL_SIZE (CURL_ERROR_SIZE + 64)

/* One fetch, waiting or under way. */
struct job {
	TAILQ_ENTRY(job) entry;
	struct fetch *owner;
	char domain[HOST_SIZE];
	char host[HOST_SIZE + 8]; /* mta-sts.DOMAIN */
	char resolve[RESOLVE_SIZE];
	CURL *easy; /* NULL while waiting */
	struct curl_slist *hosts;
	char *body;
	size_t len;
	size_t headers; /* bytes */
	bool too_long;
	bool refused; /* an address was not permitted */
	bool tried;   /* an address was */
	bool stalled; /* a socket of it was closed, perhaps its only one */
	char why[CURL_ERROR_SIZE];
};
TAILQ_HEAD(job_list, job);

struct fetch {
	struct fetch_hooks hooks;
	long total_s;
	struct curl curl;
	CURLM *multi;
	struct job_list waiting;
	struct job_list running;
	size_t running_count, count;
};

/* Free a job that stands in no list. */
static void
free_job(struct fetch *f, struct job *j)
{
	if (j->easy != NULL) {
		f->curl.multi_remove_handle(f->multi, j->easy);
		f->curl.easy_cleanup(j->easy);
	}
	f->curl.slist_free_all(j->hosts);
	free(j->body);
	free(j);
}

/* libcurl's types come as int; the const void * cast is its own idiom. */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	struct fetch *f = arg;
	unsigned events = 0;
	char *private = NULL;

	(void)unused;
	if (what == CURL_POLL_REMOVE &&
	    f->curl.easy_getinfo(easy, CURLINFO_PRIVATE, &private) ==
		CURLE_OK &&
	    private != NULL)
		((struct job *)(void *)private)->stalled = true;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= FETCH_READ;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= FETCH_WRITE;
	f->hooks.watch(f->hooks.arg, fd, events);
	return 0;
}

static int
on_timer(CURLM *multi, long ms, void *arg)
{
	struct fetch *f = arg;

	(void)multi;
	f->hooks.timer(f->hooks.arg, ms);
	return 0;
}

/* The address is judged here, where it is used, not where it was found. */
static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	struct job *j = arg;
	const struct fetch_hooks *hooks = &j->owner->hooks;

	(void)purpose;
	if (!hooks->may_connect(hooks->arg, &addr->addr)) {
		j->refused = true;
		return CURL_SOCKET_BAD;
	}
	j->tried = true;
	return socket(addr->family, addr->socktype | SOCK_CLOEXEC,
	    addr->protocol);
}

static CURLcode
on_ssl(CURL *easy, void *ssl_ctx, void *arg)
{
	struct job *j = arg;
	const struct fetch_hooks *hooks = &j->owner->hooks;

	(void)easy;
	hooks->trust(hooks->arg, ssl_ctx, j->host);
	return CURLE_OK;
}

/* Content-Length may lie or be missing, so the bytes themselves are counted. */
static size_t
on_body(char *bytes, size_t one, size_t len, void *arg)
{
	struct job *j = arg;
	char *grown;

	len *= one;
	if (len > POLICY_BODY_MAX - j->len) {
		j->too_long = true;
		return 0;
	}
	grown = realloc(j->body, j->len + len + 1);
	if (grown == NULL)
		return 0;
	j->body = grown;
	memcpy(j->body + j->len, bytes, len);
	j->len += len;
	return len;
}

static size_t
on_header(char *bytes, size_t one, size_t len, void *arg)
{
	struct job *j = arg;

	(void)bytes;
	len *= one;
	if (len > HEADERS_MAX - j->headers)
		return 0;
	j->headers += len;
	return len;
}

/* "+HOST:443:ADDRESS,[ADDRESS]": what libcurl is to believe of the host. */
static void
write_resolve(struct job *j, const struct sockaddr_storage *addrs, size_t count)
{
	char text[INET6_ADDRSTRLEN];
	const struct sockaddr_in6 *in6;
	const struct sockaddr_in *in;
	size_t i, used;

	used = (size_t)snprintf(j->resolve, sizeof(j->resolve),
	    "+%s:%d:", j->host, FETCH_PORT);
	for (i = 0; i < count && i < FETCH_ADDRS_MAX; i++) {
		const char *sep = i == 0 ? "" : ",";

		if (addrs[i].ss_family == AF_INET6) {
			in6 = (const struct sockaddr_in6 *)&addrs[i];
			inet_ntop(AF_INET6, &in6->sin6_addr, text,
			    sizeof(text));
			used += (size_t)snprintf(j->resolve + used,
			    sizeof(j->resolve) - used, "%s[%s]", sep, text);
		} else {
			in = (const struct sockaddr_in *)&addrs[i];
			inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
			used += (size_t)snprintf(j->resolve + used,
			    sizeof(j->resolve) - used, "%s%s", sep, text);
		}
	}
}

static void
set_http(struct job *j)
{
	const struct curl *curl = &j->owner->curl;
	char url[HOST_SIZE + 64];

	snprintf(url, sizeof(url), "https://%s/.well-known/mta-sts.txt",
	    j->host);
	curl->easy_setopt(j->easy, CURLOPT_URL, url);
	curl->easy_setopt(j->easy, CURLOPT_PROTOCOLS_STR, "https");
	curl->easy_setopt(j->easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
	curl->easy_setopt(j->easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl->easy_setopt(j->easy, CURLOPT_HTTPGET, 1L);
	curl->easy_setopt(j->easy, CURLOPT_HTTP_VERSION,
	    (long)CURL_HTTP_VERSION_2TLS);
	curl->easy_setopt(j->easy, CURLOPT_HTTP09_ALLOWED, 0L);
	curl->easy_setopt(j->easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl->easy_setopt(j->easy, CURLOPT_USERAGENT, "sealpost");
	curl->easy_setopt(j->easy, CURLOPT_PROXY, "");
	curl->easy_setopt(j->easy, CURLOPT_NOPROXY, "*");
	curl->easy_setopt(j->easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl->easy_setopt(j->easy, CURLOPT_HSTS_CTRL, 0L);
	curl->easy_setopt(j->easy, CURLOPT_MAXFILESIZE, (long)POLICY_BODY_MAX);
	curl->easy_setopt(j->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl->easy_setopt(j->easy, CURLOPT_WRITEDATA, j);
	curl->easy_setopt(j->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl->easy_setopt(j->easy, CURLOPT_HEADERDATA, j);
}

static void
set_net(struct job *j)
{
	const struct curl *curl = &j->owner->curl;

	curl->easy_setopt(j->easy, CURLOPT_RESOLVE, j->hosts);
	curl->easy_setopt(j->easy, CURLOPT_DNS_CACHE_TIMEOUT, DNS_KEEP_S);
	curl->easy_setopt(j->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl->easy_setopt(j->easy, CURLOPT_OPENSOCKETDATA, j);
	curl->easy_setopt(j->easy, CURLOPT_FRESH_CONNECT, 1L);
	curl->easy_setopt(j->easy, CURLOPT_FORBID_REUSE, 1L);
	curl->easy_setopt(j->easy, CURLOPT_NOSIGNAL, 1L);
	curl->easy_setopt(j->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl->easy_setopt(j->easy, CURLOPT_TIMEOUT, j->owner->total_s);
	curl->easy_setopt(j->easy, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
	curl->easy_setopt(j->easy, CURLOPT_LOW_SPEED_TIME, SLOW_S);
	curl->easy_setopt(j->easy, CURLOPT_ERRORBUFFER, j->why);
	curl->easy_setopt(j->easy, CURLOPT_PRIVATE, j);
}

static CURLcode
set_tls(struct job *j)
{
	const struct curl *curl = &j->owner->curl;

	curl->easy_setopt(j->easy, CURLOPT_SSLVERSION,
	    (long)CURL_SSLVERSION_TLSv1_2);
	curl->easy_setopt(j->easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl->easy_setopt(j->easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl->easy_setopt(j->easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	curl->easy_setopt(j->easy, CURLOPT_CAINFO, NULL);
	curl->easy_setopt(j->easy, CURLOPT_CAPATH, NULL);
	curl->easy_setopt(j->easy, CURLOPT_SSL_CTX_DATA, j);
	/* Our own trust store is put in by on_ssl(): a libcurl that does not
	 * call it must not fetch. */
	return curl->easy_setopt(j->easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl);
}

/* Put a job under way. */
static int
launch(struct fetch *f, struct job *j)
{
	j->easy = f->curl.easy_init();
	j->hosts = f->curl.slist_append(NULL, j->resolve);
	if (j->easy == NULL || j->hosts == NULL)
		return -1;
	set_http(j);
	set_net(j);
	if (set_tls(j) != CURLE_OK)
		return -1;
	return f->curl.multi_add_handle(f->multi, j->easy) == CURLM_OK ? 0 : -1;
}

/* The job is running, and has come to its end. */
static void
finish(struct fetch *f, struct job *j, enum reason reason, const char *detail)
{
	struct fetch_result result = { reason, detail, "", 0 };

	if (reason == REASON_NONE && j->body != NULL) {
		result.body = j->body;
		result.len = j->len;
	}
	TAILQ_REMOVE(&f->running, j, entry);
	f->running_count--;
	f->hooks.done(f->hooks.arg, j->domain, &result);
	free_job(f, j);
}

/* A waiting job's turn; one that cannot even start has failed. */
static void
begin(struct fetch *f, struct job *j)
{
	TAILQ_REMOVE(&f->waiting, j, entry);
	TAILQ_INSERT_TAIL(&f->running, j, entry);
	f->running_count++;
	if (launch(f, j) == -1)
		finish(f, j, REASON_STS_POLICY_FETCH_ERROR,
		    "no memory for the fetch");
}

static void
launch_more(struct fetch *f)
{
	struct job *j, *next;

	TAILQ_FOREACH_SAFE(j, &f->waiting, entry, next) {
		if (f->running_count >= FETCH_MAX)
			break;
		begin(f, j);
	}
}

static bool
is_text_plain(const char *type)
{
	static const char want[] = "text/plain";
	size_t len = sizeof(want) - 1;

	if (type == NULL || strncasecmp(type, want, len) != 0)
		return false;
	return type[len] == '\0' || strchr("; \t", type[len]) != NULL;
}

/* An answer came: is it one that counts? */
static enum reason
judge_answer(struct job *j, char *detail, size_t size)
{
	const char *type = NULL;
	long status = 0;

	j->owner->curl.easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &status);
	j->owner->curl.easy_getinfo(j->easy, CURLINFO_CONTENT_TYPE, &type);
	if (status != 200) {
		snprintf(detail, size, "https://%s answered with status %ld%s",
		    j->host, status,
		    status / 100 == 3 ? ", and redirects are not followed"
				      : "");
		return REASON_STS_POLICY_FETCH_ERROR;
	}
	if (!is_text_plain(type)) {
		snprintf(detail, size,
		    "https://%s sent media type %.60s, not text/plain", j->host,
		    type == NULL ? "(none)" : type);
		return REASON_STS_POLICY_INVALID;
	}
	return REASON_NONE;
}

static enum reason
judge_error(struct job *j, CURLcode code, char *detail, size_t size)
{
	const char *why =
	    j->why[0] != '\0' ? j->why : j->owner->curl.easy_strerror(code);

	if (j->too_long || code == CURLE_FILESIZE_EXCEEDED) {
		snprintf(detail, size, "https://%s: longer than 64 KiB",
		    j->host);
		return REASON_STS_POLICY_FETCH_ERROR;
	}
	if (j->refused && !j->tried) {
		snprintf(detail, size, "%s has only private addresses",
		    j->host);
		return REASON_PRIVATE_ADDRESS;
	}
	snprintf(detail, size, "https://%s: %s", j->host, why);
	if (code == CURLE_PEER_FAILED_VERIFICATION ||
	    code == CURLE_SSL_ISSUER_ERROR ||
	    code == CURLE_SSL_INVALIDCERTSTATUS)
		return REASON_STS_WEBPKI_INVALID;
	return REASON_STS_POLICY_FETCH_ERROR;
}

static void
on_done(struct fetch *f, const CURLMsg *msg)
{
	CURLcode code = msg->data.result;
	char detail[DETAIL_SIZE + HOST_SIZE] = "";
	struct job *j = NULL;
	enum reason reason;
	char *private = NULL;

	f->curl.easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
	j = (struct job *)(void *)private;
	if (j == NULL)
		return;
	reason = code == CURLE_OK
	    ? judge_answer(j, detail, sizeof(detail))
	    : judge_error(j, code, detail, sizeof(detail));
	finish(f, j, reason, detail);
}

static void
collect(struct fetch *f)
{
	CURLMsg *msg;
	int left;

	while ((msg = f->curl.multi_info_read(f->multi, &left)) != NULL)
		if (msg->msg == CURLMSG_DONE)
			on_done(f, msg);
	launch_more(f);
}

/*
 * When an address refuses the connection, or is mute for half of CONNECT_MS,
 * libcurl (7.88) closes the socket and tries the next address only when a
 * timer of its own ends, too late if it is mute. Resuming a transfer, paused
 * or not, makes it run at once.
 */
static void
nudge(struct fetch *f)
{
	struct job *j;

	TAILQ_FOREACH(j, &f->running, entry) {
		if (!j->stalled)
			continue;
		j->stalled = false;
		(void)f->curl.easy_pause(j->easy, CURLPAUSE_SEND);
		(void)f->curl.easy_pause(j->easy, CURLPAUSE_CONT);
	}
}

struct fetch *
fetch_new(const struct fetch_hooks *hooks, long total_s)
{
	struct fetch *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->hooks = *hooks;
	f->total_s = total_s;
	TAILQ_INIT(&f->waiting);
	TAILQ_INIT(&f->running);
	if (curl_load(&f->curl) == 0)
		f->multi = f->curl.multi_init();
	if (f->multi == NULL) {
		free(f);
		return NULL;
	}
	f->curl.multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	f->curl.multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
	f->curl.multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	f->curl.multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
	f->curl.multi_setopt(f->multi, CURLMOPT_PIPELINING,
	    (long)CURLPIPE_NOTHING);
	f->curl.multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, 1L);
	return f;
}

void
fetch_free(struct fetch *f)
{
	struct job *j, *next;

	if (f == NULL)
		return;
	TAILQ_FOREACH_SAFE(j, &f->waiting, entry, next)
		free_job(f, j);
	TAILQ_FOREACH_SAFE(j, &f->running, entry, next)
		free_job(f, j);
	f->curl.multi_cleanup(f->multi);
	f->curl.global_cleanup();
	free(f);
}

int
fetch_start(struct fetch *f, const char *domain,
    const struct sockaddr_storage *addrs, size_t count)
{
	struct job *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return -1;
	j->owner = f;
	snprintf(j->domain, sizeof(j->domain), "%s", domain);
	snprintf(j->host, sizeof(j->host), "mta-sts.%s", j->domain);
	write_resolve(j, addrs, count);
	TAILQ_INSERT_TAIL(&f->waiting, j, entry);
	/* From the timer, so that done() never runs inside this call. */
	f->hooks.timer(f->hooks.arg, 0);
	return 0;
}

void
fetch_event(struct fetch *f, int fd, unsigned events)
{
	int running, what = 0;

	if (events & FETCH_READ)
		what |= CURL_CSELECT_IN;
	if (events & FETCH_WRITE)
		what |= CURL_CSELECT_OUT;
	if (events == 0)
		what = CURL_CSELECT_ERR;
	f->curl.multi_socket_action(f->multi, fd, what, &running);
	collect(f);
	nudge(f);
}

void
fetch_timeout(struct fetch *f)
{
	int running;

	launch_more(f);
	f->curl.multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(f);
	nudge(f);
}
