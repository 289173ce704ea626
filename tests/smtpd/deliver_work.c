#include "smtpd/deliver_work.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "queue/envelope.h"
#include "smtpd/conf.h"
#include "tests/t.h"

static const char text[] = "tls require\n"
			   "destination strict.example { \n tls strict\n }\n"
			   "destination lax.example {\n tls opportunistic until"
			   " 2030-01-01 because \"test\"\n }\n"
			   "destination a.example {\n via smart.example port"
			   " 587\n }\n"
			   "destination b.example {\n via smart.example port"
			   " 587\n tls strict\n }\n";

static struct conf conf;

static struct work *
work_for(const char *destination, const char *const *to)
{
	struct msg_job job = { .job = 7, .width = 2 };
	struct msg_job_rcpt rcpt = { .job = 7 };
	struct work *w;

	strlcpy(job.destination, destination, sizeof(job.destination));
	strlcpy(job.sender, "a@here.example", sizeof(job.sender));
	while (to[job.rcpts] != NULL)
		job.rcpts++;
	w = work_new(&job, open("/dev/null", O_RDONLY | O_CLOEXEC));
	for (uint32_t i = 0; i < job.rcpts; i++) {
		rcpt.rcpt = 10 + i;
		strlcpy(rcpt.address, to[i], sizeof(rcpt.address));
		t_int(work_add(w, &rcpt), i + 1 == job.rcpts);
	}
	return w;
}

static void
test_look_up(void)
{
	static const struct {
		const char *name;
		const char *destination;
		const char *to[3];
		enum tls_level level;
		const char *hop; /* NULL: none */
		const char *domain;
	} rows[] = {
		{ "a domain", "plain.example", { "x@plain.example" },
		    LEVEL_REQUIRE, "plain.example", "plain.example" },
		{ "a strict one", "strict.example", { "x@strict.example" },
		    LEVEL_STRICT, "strict.example", "strict.example" },
		{ "an exception", "lax.example", { "x@lax.example" },
		    LEVEL_OPPORTUNISTIC, "lax.example", "lax.example" },
		{ "a via host", "smart.example:587", { "x@a.example" },
		    LEVEL_REQUIRE, "smart.example:587", "a.example" },
		{ "with its level", "smart.example:587;strict",
		    { "x@b.example" }, LEVEL_STRICT, "smart.example:587",
		    "b.example" },
		{ "two domains: the strictest", "smart.example:587",
		    { "x@a.example", "x@b.example" }, LEVEL_STRICT,
		    "smart.example:587", "a.example" },
		{ "via is new", "a.example", { "x@a.example" }, LEVEL_REQUIRE,
		    "smart.example:587", "a.example" },
		{ "via is gone", "old.example:25", { "x@plain.example" },
		    LEVEL_REQUIRE, "plain.example", "plain.example" },
		{ "via is gone for many", "old.example:25",
		    { "x@plain.example", "x@strict.example" }, 0, NULL, NULL },
	};
	struct work_hop hop;
	struct work *w;
	size_t i;
	int ok;

	t_case("work: next hop and level are those of the configuration now");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t_row("%s", rows[i].name);
		w = work_for(rows[i].destination, rows[i].to);
		ok = work_look_up(w, &conf, 1795492800, &hop);
		t_int(ok, rows[i].hop == NULL ? -1 : 0);
		if (ok == 0) {
			t_int(hop.dest.level, rows[i].level);
			t_str(hop.destination, rows[i].hop);
			t_str(hop.domain, rows[i].domain);
		}
		work_free(w);
	}
	t_row(NULL);

	t_case("work: an exception that ran out is require again");
	w = work_for("lax.example",
	    (const char *const[]){ "x@lax.example", NULL });
	t_int(work_look_up(w, &conf, 1900000000, &hop), 0);
	t_int(hop.dest.level, LEVEL_REQUIRE);
	work_free(w);
}

static void
test_flags(void)
{
	struct msg_job job = { .job = 1, .rcpts = 1, .size = 5 };
	struct work *w;

	t_case("work: 8-bit content is told, SMTPUTF8 only where needed");
	job.flags = ENVELOPE_SMTPUTF8 | ENVELOPE_8BITMIME | ENVELOPE_RET_HDRS;
	w = work_new(&job, open("/dev/null", O_RDONLY | O_CLOEXEC));
	t_true(!w->job.eightbit && !w->job.smtputf8);
	t_int(w->job.ret, CLIENT_RET_HDRS);
	work_free(w);
	job.flags = ENVELOPE_SMTPUTF8 | ENVELOPE_8BIT | ENVELOPE_RET_FULL;
	w = work_new(&job, open("/dev/null", O_RDONLY | O_CLOEXEC));
	t_true(w->job.eightbit && w->job.smtputf8);
	t_int(w->job.ret, CLIENT_RET_FULL);
	work_free(w);
}

int
main(void)
{
	struct conf_errors errors = { 0 };

	if (conf_parse(&conf, "test", text, sizeof(text) - 1, &errors) == -1) {
		t_str("the configuration", "is valid");
		return t_done();
	}
	test_look_up();
	test_flags();
	conf_clear(&conf);
	conf_errors_clear(&errors);
	return t_done();
}
