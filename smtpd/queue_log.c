#include "smtpd/queue_log.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "queue/id.h"
#include "smtpd/base/ev.h"
#include "smtpd/base/log.h"

#define TIME_SIZE sizeof "2026-11-24T08:00:00Z"

static void
log_id(struct log_line *line, const char *key, uint64_t id)
{
	char text[ID_SIZE];

	id_format(id, text);
	log_str(line, key, text);
}

static void
log_time(struct log_line *line, const char *key, int64_t ms)
{
	time_t when = (time_t)(ms / 1000);
	char text[TIME_SIZE];
	struct tm tm;

	if (gmtime_r(&when, &tm) != NULL &&
	    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
		log_str(line, key, text);
}

/* Left out where there is nothing to say. */
static void
log_some(struct log_line *line, const char *key, const char *value)
{
	if (value[0] != '\0')
		log_str(line, key, value);
}

void
queue_log_accepted(struct queue_stats *stats, const struct envelope *env)
{
	struct log_line line;

	stats->accepted++;
	log_begin(&line, LOG_PRI_INFO, "accepted");
	log_id(&line, "id", env->id);
	log_fmt(&line, "from", "<%s>", env->sender);
	log_int(&line, "size", (long long)env->size);
	log_int(&line, "nrcpt", (long long)env->rcpt_count);
	log_str(&line, "client", env->client);
	log_some(&line, "message-id", env->message_id);
	log_end(&line);
}

static void
log_who(struct log_line *line, const struct spool_change *change)
{
	log_id(line, "id", change->env->id);
	log_fmt(line, "from", "<%s>", change->env->sender);
	log_fmt(line, "to", "<%s>", change->env->rcpts[change->rcpt].address);
}

static void
log_connection(struct log_line *line, const struct msg_rcpt_result *r)
{
	log_some(line, "mx", r->mx);
	log_some(line, "addr", r->addr);
	log_some(line, "tls", r->tls);
	log_some(line, "cipher", r->cipher);
}

static void
log_verdict(struct log_line *line, const struct msg_rcpt_result *r)
{
	log_str(line, "auth", auth_word(r->auth));
	log_str(line, "policy", mode_word(r->policy));
}

/* Behind the keys that scripts may know by their place. */
static void
log_more(struct log_line *line, const struct msg_rcpt_result *r)
{
	log_str(line, "route", route_word(r->route_secure != 0));
	log_some(line, "group", r->group);
	log_some(line, "would-defer", reason_word(r->would_defer));
	log_some(line, "sts-failure", reason_word(r->sts_failure));
}

static void
log_delay(struct log_line *line, const struct envelope *env, int64_t now_ms)
{
	int64_t delay_ms = now_ms - (int64_t)(env->arrived_us / 1000);

	if (delay_ms < 0)
		delay_ms = 0;
	log_fmt(line, "delay", "%" PRId64 ".%03d", delay_ms / 1000,
	    (int)(delay_ms % 1000));
}

static void
count_delivery(struct queue_stats *stats, const struct msg_rcpt_result *r)
{
	stats->by_auth[r->auth]++;
	stats->would_defer[r->would_defer]++;
	stats->sts_failures[r->sts_failure]++;
	stats->resumed += r->resumed != 0;
	if (strcmp(r->tls, "none") == 0)
		stats->in_clear++;
	else if (strcmp(r->tls, "TLSv1.3") == 0)
		stats->by_tls13++;
	else
		stats->by_tls12++;
}

static void
log_delivered(struct queue_stats *stats, const struct spool_change *change,
    const struct msg_rcpt_result *r)
{
	struct log_line line;

	stats->delivered++;
	log_begin(&line, LOG_PRI_INFO, "delivered");
	log_who(&line, change);
	if (r != NULL) {
		count_delivery(stats, r);
		log_connection(&line, r);
		log_verdict(&line, r);
	}
	log_delay(&line, change->env, ev_wall_ms());
	log_str(&line, "dsn", change->result->dsn);
	log_str(&line, "reply", change->result->reply);
	if (r != NULL)
		log_more(&line, r);
	log_end(&line);
}

static void
log_why(struct log_line *line, const struct spool_change *change,
    const struct msg_rcpt_result *r)
{
	log_who(line, change);
	if (r != NULL) {
		log_connection(line, r);
		log_str(line, "policy", mode_word(r->policy));
		log_some(line, "sts-failure", reason_word(r->sts_failure));
	} else {
		log_some(line, "mx", change->result->mx);
	}
	log_delay(line, change->env, ev_wall_ms());
	log_str(line, "reason", change->result->reason);
	log_str(line, "dsn", change->result->dsn);
}

static void
log_words(struct log_line *line, const struct spool_result *result)
{
	log_some(line, "reply", result->reply);
	log_some(line, "detail", result->detail);
}

static void
log_deferred(struct queue_stats *stats, const struct spool_change *change,
    const struct msg_rcpt_result *r)
{
	struct log_line line;

	stats->deferred++;
	stats->deferred_for[reason_parse(change->result->reason)]++;
	if (r != NULL)
		stats->sts_failures[r->sts_failure]++;
	log_begin(&line, LOG_PRI_NOTICE, "deferred");
	log_why(&line, change, r);
	log_time(&line, "next", change->next_ms);
	log_int(&line, "attempts", change->attempts);
	log_words(&line, change->result);
	log_end(&line);
}

static void
log_bounced(struct queue_stats *stats, const struct spool_change *change,
    const struct msg_rcpt_result *r)
{
	struct log_line line;

	stats->bounced++;
	stats->bounced_for[reason_parse(change->result->reason)]++;
	log_begin(&line, LOG_PRI_NOTICE, "bounced");
	log_why(&line, change, r);
	log_words(&line, change->result);
	log_end(&line);
}

void
queue_log_change(struct queue_stats *stats, const struct spool_change *change,
    const struct msg_rcpt_result *r)
{
	switch (change->event) {
	case EVENT_DELIVERED:
		log_delivered(stats, change, r);
		break;
	case EVENT_FAILED_RCPT:
	case EVENT_FAILED_DEST:
		log_deferred(stats, change, r);
		break;
	case EVENT_BOUNCED:
	case EVENT_EXPIRED:
		log_bounced(stats, change, r);
		break;
	case EVENT_NONE:
	case EVENT_HOLD:
	case EVENT_REMOVE:
		break;
	}
}

void
queue_log_report(struct queue_stats *stats, enum spool_report report,
    uint64_t of, const struct envelope *env)
{
	static const char *const kinds[] = {
		[REPORT_BOUNCE] = "bounce",
		[REPORT_DELAY] = "delayed",
		[REPORT_RELAYED] = "relayed",
	};
	struct log_line line;

	stats->notices += report == REPORT_DELAY;
	log_begin(&line, LOG_PRI_INFO, "reported");
	log_id(&line, "id", env->id);
	log_id(&line, "of", of);
	log_str(&line, "kind", kinds[report]);
	if (env->rcpt_count > 0)
		log_fmt(&line, "to", "<%s>", env->rcpts[0].address);
	log_end(&line);
}

static void
reasons_json(struct json *j, const char *key,
    const uint64_t counts[REASON_COUNT])
{
	int i;

	json_object(j, key);
	for (i = REASON_NONE + 1; i < REASON_COUNT; i++)
		if (counts[i] > 0)
			json_number(j, reason_word((enum reason)i),
			    (int64_t)counts[i]);
	json_end(j);
}

static void
queue_json(struct json *j, const struct spool_counts *counts)
{
	int i;

	json_object(j, "queue");
	json_number(j, "messages", (int64_t)counts->messages);
	for (i = 0; i < RCPT_LISTED; i++)
		json_number(j, outcome_state_word((enum rcpt_state)i),
		    (int64_t)counts->rcpts[i]);
	json_number(j, "destinations", (int64_t)counts->destinations);
	json_number(j, "segments", (int64_t)counts->segments);
	json_number(j, "bytes", (int64_t)counts->bytes);
	json_end(j);
}

static void
sessions_json(struct json *j, const struct msg_listen_stats *m)
{
	json_object(j, "sessions");
	json_number(j, "open", (int64_t)m->sessions);
	json_number(j, "total", (int64_t)m->sessions_total);
	json_number(j, "refused", (int64_t)m->refused);
	json_number(j, "submitted", (int64_t)m->submitted);
	json_number(j, "rejected", (int64_t)m->rejected);
	json_end(j);
}

static void
policy_json(struct json *j, const struct msg_policy_stats *m)
{
	json_object(j, "policies");
	json_number(j, "cached", (int64_t)m->cached);
	json_number(j, "enforce", (int64_t)m->enforce);
	json_number(j, "testing", (int64_t)m->testing);
	json_number(j, "none", (int64_t)m->none);
	json_number(j, "fetches", (int64_t)m->fetches);
	json_number(j, "fetch_errors", (int64_t)m->fetch_errors);
	json_end(j);
	json_object(j, "dns");
	json_number(j, "queries", (int64_t)m->dns_queries);
	json_number(j, "errors", (int64_t)m->dns_errors);
	json_number(j, "authenticated", (int64_t)m->authenticated_dns);
	json_end(j);
}

static void
tls_json(struct json *j, const struct queue_stats *stats)
{
	int i;

	json_object(j, "tls");
	json_number(j, "TLSv1.2", (int64_t)stats->by_tls12);
	json_number(j, "TLSv1.3", (int64_t)stats->by_tls13);
	json_number(j, "clear", (int64_t)stats->in_clear);
	json_number(j, "resumed", (int64_t)stats->resumed);
	json_end(j);
	json_object(j, "auth");
	for (i = 0; i < QUEUE_AUTHS; i++)
		json_number(j, auth_word((enum verdict_auth)i),
		    (int64_t)stats->by_auth[i]);
	json_end(j);
}

void
queue_stats_json(struct json *j, const struct queue_stats *stats,
    const struct spool_counts *counts, int64_t now_ms)
{
	json_number(j, "uptime", (now_ms - stats->started_ms) / 1000);
	queue_json(j, counts);
	json_number(j, "accepted", (int64_t)stats->accepted);
	json_number(j, "delivered", (int64_t)stats->delivered);
	json_number(j, "deferred", (int64_t)stats->deferred);
	json_number(j, "bounced", (int64_t)stats->bounced);
	json_number(j, "delay_notices", (int64_t)stats->notices);
	reasons_json(j, "deferred_by_reason", stats->deferred_for);
	reasons_json(j, "bounced_by_reason", stats->bounced_for);
	reasons_json(j, "would_defer_by_reason", stats->would_defer);
	reasons_json(j, "sts_failures", stats->sts_failures);
	tls_json(j, stats);
	json_object(j, "proofs");
	json_number(j, "added", (int64_t)stats->proofs_added);
	json_number(j, "lost", (int64_t)stats->proofs_lost);
	json_end(j);
	sessions_json(j, &stats->listen);
	policy_json(j, &stats->policy);
}
