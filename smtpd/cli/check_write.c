#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mtasts/json.h"
#include "smtpd/base/log.h"
#include "smtpd/cli/check.h"
#include "smtpd/cli/print.h"

#define HEX_SIZE 65
#define DAY_SIZE 32

static void
hex(char out[HEX_SIZE], const uint8_t bytes[32])
{
	for (size_t i = 0; i < 32; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* What the trust store says, in a word. */
static const char *
certificate_word(const struct tls_facts *t)
{
	switch (t->chain) {
	case TLS_CHAIN_OK:
		return "ok";
	case TLS_CHAIN_EXPIRED:
		return "expired";
	case TLS_CHAIN_UNTRUSTED:
		return "untrusted";
	case TLS_CHAIN_NONE:
		return "none";
	case TLS_CHAIN_BAD:
		break;
	}
	return "invalid";
}

/* ---- JSON ---- */

static void
write_certificate(struct json *j, const struct session_report *r)
{
	char fingerprint[HEX_SIZE];

	if (!r->tls_done) {
		json_null(j, "certificate");
		return;
	}
	hex(fingerprint, r->tls.sha256);
	json_object(j, "certificate");
	json_string(j, "chain", certificate_word(&r->tls));
	json_bool(j, "name_matches", r->tls.name_matches);
	json_string(j, "names", r->tls.names);
	json_string(j, "issuer", r->tls.issuer);
	json_time(j, "expires", r->tls.not_after);
	json_string(j, "sha256", fingerprint);
	json_end(j);
}

static void
write_tlsa(struct json *j, const struct check_host *h)
{
	const struct tls_tlsa *r = h->host.tlsa;
	char text[16];

	json_list(j, "tlsa");
	for (size_t i = 0; i < h->host.tlsa_count; i++, r++) {
		(void)snprintf(text, sizeof text, "%u %u %u", r->usage,
		    r->selector, r->matching);
		json_string(j, NULL, text);
	}
	json_end(j);
}

static void
write_addresses(struct json *j, const struct route_host *h)
{
	char text[NETADDR_TEXT_SIZE];

	json_list(j, "addresses");
	for (size_t i = 0; i < h->addr_count; i++)
		json_string(j, NULL,
		    netaddr_host_text((const void *)&h->addr[i], text));
	json_end(j);
}

static void
host_verdict(const struct check_host *h, char *out, size_t size)
{
	if (h->go)
		(void)strlcpy(out, "would deliver", size);
	else
		(void)snprintf(out, size, "would defer: %s",
		    reason_word(h->reason));
}

/* Is there a policy that a host could match? */
static bool
has_policy(const struct check *c)
{
	return c->route.mode == POLICY_ENFORCE ||
	    c->route.mode == POLICY_TESTING;
}

static void
write_word(struct json *j, const char *key, enum reason reason)
{
	json_string(j, key, reason == REASON_NONE ? NULL : reason_word(reason));
}

static void
write_host(struct json *j, const struct check *c, const struct check_host *h)
{
	const struct session_report *r = &h->report;
	char verdict[64];

	host_verdict(h, verdict, sizeof verdict);
	json_object(j, NULL);
	json_string(j, "mx", h->host.name);
	json_number(j, "preference", h->host.preference);
	json_number(j, "port", h->host.port);
	write_addresses(j, &h->host);
	if (has_policy(c))
		json_bool(j, "matches", h->host.matches);
	else
		json_null(j, "matches");
	json_string(j, "dane", dane_word(h->host.dane));
	write_tlsa(j, h);
	json_string(j, "address", r->connected ? r->addr : NULL);
	json_string(j, "tls", r->tls_done ? r->tls.version : NULL);
	json_string(j, "cipher", r->tls_done ? r->tls.cipher : NULL);
	json_string(j, "group", r->tls_done ? r->tls.group : NULL);
	write_certificate(j, r);
	json_string(j, "auth", auth_word(h->go ? r->verdict.auth : AUTH_NONE));
	json_string(j, "route",
	    route_word(h->host.origin != MX_INSECURE ||
		(h->go && r->verdict.route_secure)));
	json_string(j, "verdict", verdict);
	write_word(j, "reason", h->reason);
	json_string(j, "detail", h->go ? NULL : h->detail);
	write_word(j, "would_defer",
	    h->go ? r->verdict.would_defer : REASON_NONE);
	write_word(j, "sts_failure",
	    h->go ? r->verdict.sts_failure : REASON_NONE);
	json_end(j);
}

/* The host that would get the mail, else the first, else NULL. */
static const struct check_host *
first_host(const struct check *c)
{
	for (size_t i = 0; i < c->route.host_count; i++)
		if (c->hosts[i].go)
			return &c->hosts[i];
	return c->route.host_count > 0 ? &c->hosts[0] : NULL;
}

static bool
is_route_secure(const struct check *c)
{
	const struct check_host *h = first_host(c);

	if (h == NULL)
		return c->route.mx_secure;
	return h->host.origin != MX_INSECURE ||
	    (h->go && h->report.verdict.route_secure);
}

static void
write_policy(struct json *j, const struct check *c)
{
	const struct route *r = &c->route;

	json_string(j, "policy", mode_word(r->mode));
	json_string(j, "policy_domain", r->policy_domain);
	json_string(j, "policy_source", source_word(r->source));
	json_string(j, "policy_id",
	    r->policy_id[0] != '\0' ? r->policy_id : NULL);
	json_time(j, "policy_fetched", r->fetched);
	json_time(j, "policy_expires", r->expires);
	json_list(j, "policy_mx");
	for (size_t i = 0; i < r->policy.mx_count; i++)
		json_string(j, NULL, r->policy.mx[i]);
	json_end(j);
	write_word(j, "policy_trouble", r->policy_trouble);
	json_string(j, "policy_detail",
	    r->policy_detail[0] != '\0' ? r->policy_detail : NULL);
}

void
check_write_json(const struct check *c, FILE *out)
{
	const struct check_host *h = first_host(c);
	char verdict[64];
	struct json j;

	check_verdict(c, verdict, sizeof verdict);
	json_init(&j);
	json_object(&j, NULL);
	json_string(&j, "domain", c->domain);
	json_string(&j, "level", level_word(c->dest.level));
	write_policy(&j, c);
	json_string(&j, "dane",
	    dane_word(h != NULL ? h->host.dane : DANE_NONE));
	json_string(&j, "route", route_word(is_route_secure(c)));
	json_list(&j, "hosts");
	for (size_t i = 0; i < c->route.host_count; i++)
		write_host(&j, c, &c->hosts[i]);
	json_end(&j);
	json_string(&j, "verdict", verdict);
	write_word(&j, "reason", c->reason);
	json_string(&j, "detail", c->detail[0] != '\0' ? c->detail : NULL);
	json_end(&j);
	if (json_text(&j) == NULL)
		log_die("out of memory");
	(void)fprintf(out, "%s\n", json_text(&j));
	json_clear(&j);
}

/* ---- for people ---- */

static void
say(FILE *out, int indent, const char *key, const char *text)
{
	(void)fprintf(out, "%*s%-*s", indent, "", 14 - indent, key);
	print_safe(out, text, strlen(text), false);
	(void)fputc('\n', out);
}

static void
day(char out[DAY_SIZE], time_t when)
{
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL ||
	    strftime(out, DAY_SIZE, "%Y-%m-%d", &tm) == 0)
		(void)strlcpy(out, "?", DAY_SIZE);
}

static void
say_level(FILE *out, const struct check *c)
{
	char text[512], until[DAY_SIZE];

	if (c->dest.because == NULL || c->dest.until == 0) {
		say(out, 0, "level", level_word(c->dest.level));
		return;
	}
	/* It ends with the day that was written. */
	day(until, c->dest.until - 1);
	(void)snprintf(text, sizeof text, "%s until %s because %s",
	    level_word(c->dest.level), until, c->dest.because);
	say(out, 0, "level", text);
}

static void
say_policy(FILE *out, const struct check *c)
{
	const struct route *r = &c->route;
	char text[1024], age[PRINT_SHORT_SIZE], left[PRINT_SHORT_SIZE];

	if (r->policy_domain[0] == '\0') {
		say(out, 0, "policy", "none is possible for an address");
		return;
	}
	if (r->mode == POLICY_ABSENT || r->mode == POLICY_UNKNOWN)
		(void)snprintf(text, sizeof text, "%s has no MTA-STS policy",
		    r->policy_domain);
	else {
		print_age(age, c->now - r->fetched);
		print_age(left, r->expires - c->now);
		(void)snprintf(text, sizeof text,
		    "%s (MTA-STS of %s, id %s, %sfetched %s ago, good for %s)",
		    mode_word(r->mode), r->policy_domain, r->policy_id,
		    r->source == SOURCE_CACHE ? "from the cache, " : "", age,
		    left);
	}
	say(out, 0, "policy", text);
	for (size_t i = 0; i < r->policy.mx_count; i++)
		say(out, 2, "mx", r->policy.mx[i]);
	if (r->policy_trouble == REASON_NONE)
		return;
	(void)snprintf(text, sizeof text, "%s: %s",
	    reason_word(r->policy_trouble), r->policy_detail);
	say(out, 2, "trouble", text);
}

static void
say_addresses(FILE *out, const struct route_host *h)
{
	char text[NETADDR_TEXT_SIZE], line[512] = "";

	for (size_t i = 0; i < h->addr_count; i++) {
		(void)strlcat(line, i > 0 ? " " : "", sizeof line);
		(void)strlcat(line,
		    netaddr_host_text((const void *)&h->addr[i], text),
		    sizeof line);
	}
	say(out, 2, "addresses", line[0] != '\0' ? line : "none");
}

static void
say_dane(FILE *out, const struct check_host *h)
{
	char text[128];

	if (h->host.dane == DANE_USABLE)
		(void)snprintf(text, sizeof text,
		    "usable: %zu TLSA record%s, and nothing else, must fit",
		    h->host.tlsa_count, h->host.tlsa_count == 1 ? "" : "s");
	else
		(void)strlcpy(text, dane_word(h->host.dane), sizeof text);
	say(out, 2, "dane", text);
}

static void
say_certificate(FILE *out, const struct tls_facts *t)
{
	char text[1024], until[DAY_SIZE], fingerprint[HEX_SIZE];

	say(out, 2, "certificate", t->names[0] != '\0' ? t->names : "no names");
	(void)snprintf(text, sizeof text, "%s%s%s%s",
	    t->name_matches ? "it names this host"
			    : "it does not name this host",
	    t->chain == TLS_CHAIN_OK ? ", and leads to a trusted authority"
				     : "; ",
	    t->chain == TLS_CHAIN_OK ? "" : certificate_word(t),
	    t->chain == TLS_CHAIN_OK ? "" : ": ");
	if (t->chain != TLS_CHAIN_OK)
		(void)strlcat(text, t->why, sizeof text);
	say(out, 4, "", text);
	day(until, t->not_after);
	(void)snprintf(text, sizeof text, "issued by %s, valid until %s",
	    t->issuer, until);
	say(out, 4, "", text);
	hex(fingerprint, t->sha256);
	(void)snprintf(text, sizeof text, "SHA-256 %s", fingerprint);
	say(out, 4, "", text);
}

static void
say_tls(FILE *out, const struct check_host *h)
{
	const struct session_report *r = &h->report;
	char text[512];

	if (!r->connected)
		return;
	say(out, 2, "connected", r->addr);
	if (!r->tls_done) {
		say(out, 2, "tls", "none");
		return;
	}
	(void)snprintf(text, sizeof text, "%s, %s, %s", r->tls.version,
	    r->tls.cipher, r->tls.group);
	say(out, 2, "tls", text);
	say_certificate(out, &r->tls);
}

static void
say_host_verdict(FILE *out, const struct check_host *h)
{
	const struct verdict *v = &h->report.verdict;
	char text[CHECK_DETAIL_SIZE + 64];

	if (!h->go) {
		(void)snprintf(text, sizeof text, "would defer: %s",
		    reason_word(h->reason));
		say(out, 2, "verdict", text);
		say(out, 4, "", h->detail);
		return;
	}
	(void)snprintf(text, sizeof text, "would deliver, auth=%s route=%s",
	    auth_word(v->auth), route_word(v->route_secure));
	say(out, 2, "verdict", text);
	if (v->would_defer != REASON_NONE) {
		(void)snprintf(text, sizeof text,
		    "only as an exception: `tls require` would defer for %s",
		    reason_word(v->would_defer));
		say(out, 4, "", text);
	}
	if (v->sts_failure != REASON_NONE) {
		(void)snprintf(text, sizeof text,
		    "the policy, in mode testing, is broken: %s",
		    reason_word(v->sts_failure));
		say(out, 4, "", text);
	}
}

static void
say_host(FILE *out, const struct check *c, const struct check_host *h)
{
	char text[DNS_NAME_SIZE + 64];

	if (h->host.origin == MX_VIA)
		(void)snprintf(text, sizeof text, "%s port %u, by `via`",
		    h->host.name, h->host.port);
	else
		(void)snprintf(text, sizeof text, "%s, preference %u, %s",
		    h->host.name, h->host.preference,
		    h->host.origin == MX_SECURE
			? "authenticated by DNSSEC"
			: "from DNS that nothing authenticates");
	(void)fputc('\n', out);
	say(out, 0, "host", text);
	if (has_policy(c))
		say(out, 2, "policy",
		    h->host.matches ? "names it" : "does not name it");
	say_addresses(out, &h->host);
	say_dane(out, h);
	say_tls(out, h);
	say_host_verdict(out, h);
}

void
check_write_text(const struct check *c, FILE *out)
{
	char verdict[64];

	say(out, 0, "domain", c->domain);
	say_level(out, c);
	say_policy(out, c);
	for (size_t i = 0; i < c->route.host_count; i++)
		say_host(out, c, &c->hosts[i]);
	check_verdict(c, verdict, sizeof verdict);
	(void)fputc('\n', out);
	say(out, 0, "verdict", verdict);
	/* What hosts have to say stands with each. */
	if (c->route.host_count == 0 && c->detail[0] != '\0')
		say(out, 2, "", c->detail);
}
