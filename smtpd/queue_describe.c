#include "smtpd/queue_describe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "queue/id.h"

#define HEADER_MAX 65536
#define DETAIL_SIZE 2048 /* detail and reply of a result */

static void
add_id(struct json *j, uint64_t id)
{
	char text[ID_SIZE];

	id_format(id, text);
	json_string(j, "id", text);
}

/* RFC 3339, or null for a time that is not known. */
static void
add_time(struct json *j, const char *key, int64_t ms)
{
	json_time(j, key, ms > 0 && ms != INT64_MAX ? (time_t)(ms / 1000) : 0);
}

/* Text, or null where there is none. */
static void
add_text(struct json *j, const char *key, const char *text)
{
	json_string(j, key, text[0] != '\0' ? text : NULL);
}

static int64_t
age_s(uint64_t since_us, int64_t now_ms)
{
	int64_t age = now_ms / 1000 - (int64_t)(since_us / 1000000);

	return age > 0 ? age : 0;
}

/* When the next attempt is due; one that waits for its turn is due now. */
static void
add_next(struct json *j, const struct spool_entry *entry, int64_t now_ms)
{
	int64_t next_ms = entry->next_ms;

	if (entry->state == RCPT_READY && next_ms <= 0)
		next_ms = now_ms;
	add_time(j, "next", next_ms);
}

/* What was found, and what the host said where that does not hold it. */
static void
add_detail(struct json *j, const struct spool_result *last)
{
	char text[DETAIL_SIZE];

	if (last->reply[0] == '\0' || strstr(last->detail, last->reply) != NULL)
		add_text(j, "detail", last->detail);
	else if (last->detail[0] == '\0')
		add_text(j, "detail", last->reply);
	else {
		(void)snprintf(text, sizeof(text), "%s; it said: %s",
		    last->detail, last->reply);
		add_text(j, "detail", text);
	}
}

static void
add_last(struct json *j, const struct spool_entry *entry)
{
	static const struct spool_result none = { .reason = "",
		.dsn = "",
		.mx = "",
		.reply = "",
		.detail = "" };
	const struct spool_result *last = entry->last;

	if (last == NULL)
		last = &none;
	add_text(j, "reason", last->reason);
	add_detail(j, last);
	add_text(j, "mx", last->mx);
	add_time(j, "last", entry->last_ms);
}

void
describe_entry(struct json *j, const struct spool_entry *entry, int64_t now_ms)
{
	const struct envelope *env = entry->env;

	add_id(j, env->id);
	json_number(j, "age", age_s(env->arrived_us, now_ms));
	json_number(j, "size", (int64_t)env->size);
	json_string(j, "sender", env->sender);
	json_string(j, "recipient", env->rcpts[entry->rcpt].address);
	json_string(j, "state", outcome_state_word(entry->state));
	json_number(j, "attempts", entry->attempts);
	add_next(j, entry, now_ms);
	add_last(j, entry);
}

void
describe_dest(struct json *j, const struct spool_dest *dest, int64_t now_ms)
{
	uint64_t total = 0;
	int i;

	json_string(j, "destination", dest->key);
	for (i = 0; i < RCPT_LISTED; i++)
		total += dest->rcpts[i];
	json_number(j, "total", (int64_t)total);
	for (i = 0; i < RCPT_LISTED; i++)
		json_number(j, outcome_state_word((enum rcpt_state)i),
		    (int64_t)dest->rcpts[i]);
	json_number(j, "oldest", age_s(id_time_us(dest->oldest), now_ms));
	json_number(j, "connections", dest->window);
	add_time(j, "next", dest->down ? dest->next_ms : 0);
	add_text(j, "reason", dest->reason);
}

void
describe_ages(struct json *j, const struct spool_dest *dest)
{
	static const char *const keys[AGES] = { "age_5m", "age_30m", "age_2h",
		"age_8h", "age_1d", "age_more" };
	int i;

	for (i = 0; i < AGES; i++)
		json_number(j, keys[i], (int64_t)dest->ages[i]);
}

void
describe_message(struct json *j, const struct envelope *env, int64_t now_ms)
{
	add_id(j, env->id);
	add_time(j, "arrived", (int64_t)(env->arrived_us / 1000));
	json_number(j, "age", age_s(env->arrived_us, now_ms));
	json_number(j, "size", (int64_t)env->size);
	json_string(j, "sender", env->sender);
	add_text(j, "message_id", env->message_id);
	add_text(j, "client", env->client);
	if (env->uid >= 0)
		json_number(j, "uid", env->uid);
	else
		json_null(j, "uid");
	add_text(j, "envid", env->envid);
}

void
describe_rcpt(struct json *j, const struct spool_entry *entry)
{
	json_string(j, "recipient", entry->env->rcpts[entry->rcpt].address);
	json_string(j, "state", outcome_state_word(entry->state));
	json_string(j, "destination", entry->destination);
	json_number(j, "attempts", entry->attempts);
	add_time(j, "next", entry->next_ms);
	add_last(j, entry);
}

void
describe_attempt(struct json *j, const struct spool_attempt *attempt)
{
	static const char *const words[OUTCOME_COUNT] = {
		[OUTCOME_DELIVERED] = "delivered",
		[OUTCOME_DEFERRED] = "deferred",
		[OUTCOME_BOUNCED] = "bounced",
	};
	const struct spool_result *result = &attempt->result;

	json_object(j, NULL);
	add_time(j, "time", attempt->at_ms);
	json_string(j, "outcome", words[result->outcome]);
	add_text(j, "reason", result->reason);
	add_text(j, "dsn", result->dsn);
	add_text(j, "mx", result->mx);
	add_text(j, "reply", result->reply);
	add_text(j, "detail", result->detail);
	json_end(j);
}

char *
describe_header(int body, size_t *len)
{
	char *text = malloc(HEADER_MAX), *end;
	ssize_t n;

	if (text == NULL)
		return NULL;
	n = pread(body, text, HEADER_MAX, 0);
	if (n < 0) {
		free(text);
		return NULL;
	}
	end = memmem(text, (size_t)n, "\r\n\r\n", 4);
	*len = end != NULL ? (size_t)(end + 4 - text) : (size_t)n;
	return text;
}
