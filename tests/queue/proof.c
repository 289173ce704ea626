#include "queue/proof.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "queue/proof_line.h"
#include "tests/t.h"

#define DAY_MS (24LL * 3600 * 1000)
#define NOW 1795500000000LL

static char folder[] = "/tmp/proof.XXXXXX";

static int
open_folder(void)
{
	return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void
empty_folder(void)
{
	struct dirent *entry;
	DIR *dir = opendir(folder);

	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	(void)closedir(dir);
}

static int
count_files(void)
{
	struct dirent *entry;
	DIR *dir = opendir(folder);
	int count = 0;

	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.';
	(void)closedir(dir);
	return count;
}

static uint64_t
id_at(int64_t ms)
{
	return (uint64_t)ms * 4000;
}

static struct proof
make_proof(uint64_t id, const char *recipient)
{
	struct proof p = {
		.id = id,
		.accepted_ms = NOW - 1500,
		.delivered_ms = NOW,
		.message_id = "<a%b c@example.org>",
		.recipient = recipient,
		.reply = "250 2.0.0 Ok: queued as\tX",
		.seal = {
			.level = "require",
			.auth = "mta-sts",
			.route = "secure",
			.policy = "enforce",
			.policy_id = "20260101",
			.policy_sha256 = "ab",
			.policy_fetched = 1795492800,
			.tlsa = "3 1 1",
			.tls = "TLSv1.3",
			.cipher = "TLS_AES_256_GCM_SHA384",
			.group = "",
			.cert_sha256 = "cd",
			.mx = "-",
			.addr = "[2001:db8::1]:25",
		},
	};

	return p;
}

struct found {
	int count;
	uint64_t last_id;
	char recipient[400];
	char reply[800];
	char line[PROOF_LINE_MAX];
	char seal[PROOF_LINE_MAX];
};

static void
note(void *arg, const struct proof *p)
{
	struct found *f = arg;

	f->count++;
	f->last_id = p->id;
	(void)snprintf(f->recipient, sizeof f->recipient, "%s", p->recipient);
	(void)snprintf(f->reply, sizeof f->reply, "%s", p->reply);
	(void)proof_line_delivery(p, 0, f->line);
	(void)proof_line_seal(&p->seal, f->seal);
}

static struct found
look_up(struct proof_store *store, uint64_t id, const char *message_id)
{
	struct proof_query query = { id, message_id };
	struct proof_search *s = proof_search_new(store, &query);
	struct found found = { 0 };
	int steps = 0;

	while (proof_search_step(s, note, &found) != 0 && steps < 10000)
		steps++;
	proof_search_free(s);
	return found;
}

static void
test_round_trip(void)
{
	struct proof_store *store =
	    proof_open(open_folder(), 30 * DAY_MS, 1ULL << 30, NOW);
	struct proof p = make_proof(7, "a@example.net"), other;
	char line[PROOF_LINE_MAX], seal[PROOF_LINE_MAX];
	struct found f;

	t_case("proof: what was added is found again, whole, after a restart");
	t_true(store != NULL);
	other = make_proof(8, "b@example.net");
	other.message_id = "<other@example.org>";
	t_int(proof_add(store, &p), 0);
	t_int(proof_add(store, &other), 0);
	t_int(proof_flush(store, NOW), 0);
	proof_close(store);
	store = proof_open(open_folder(), 30 * DAY_MS, 1ULL << 30, NOW + 5);
	f = look_up(store, 7, NULL);
	t_int(f.count, 1);
	t_str(f.recipient, "a@example.net");
	(void)proof_line_delivery(&p, 0, line);
	(void)proof_line_seal(&p.seal, seal);
	t_str(f.line, line);
	t_str(f.seal, seal);

	t_case("proof: found by Message-ID, with brackets or without");
	t_int(look_up(store, 0, "<other@example.org>").last_id, 8);
	t_int(look_up(store, 0, "other@example.org").last_id, 8);
	t_int(look_up(store, 0, "<a%b c@example.org>").last_id, 7);
	t_int(look_up(store, 0, "<>").count, 0);
	t_int(look_up(store, 9, NULL).count, 0);
	proof_close(store);
}

static void
test_shared_seal(void)
{
	struct proof_store *store;
	struct proof p;
	char name[512] = "";
	struct dirent *entry;

	uint64_t id;
	DIR *dir;
	int fd;

	empty_folder();
	store = proof_open(open_folder(), 30 * DAY_MS, 1ULL << 30, NOW);
	t_case("proof: what deliveries share is written once");
	for (id = 1; id <= 1000; id++) {
		p = make_proof(id, "someone@example.net");
		t_int(proof_add(store, &p), 0);
	}
	t_int(proof_flush(store, NOW), 0);
	dir = opendir(folder);
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			(void)snprintf(name, sizeof name, "%s/%s", folder,
			    entry->d_name);
	(void)closedir(dir);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	t_true(lseek(fd, 0, SEEK_END) < 1000 * 160);
	(void)close(fd);
	t_int(look_up(store, 1000, NULL).count, 1);
	proof_close(store);
}

static void
test_bounds(void)
{
	struct proof_store *store;
	struct proof p = make_proof(3, "old@example.net");
	int i;

	empty_folder();
	t_case("proof: segments older than `proof keep` go, newer ones stay");
	store = proof_open(open_folder(), 3 * DAY_MS, 1ULL << 30, NOW);
	for (i = 0; i < 10; i++) {
		p.id = id_at(NOW + i * DAY_MS);
		p.delivered_ms = NOW + i * DAY_MS + 5;
		t_int(proof_add(store, &p), 0);
		t_int(proof_flush(store, p.delivered_ms), 0);
	}
	t_true(count_files() <= 5);
	t_int(look_up(store, id_at(NOW), NULL).count, 0);
	t_int(look_up(store, id_at(NOW + 9 * DAY_MS), NULL).count, 1);
	t_int(look_up(store, id_at(NOW + 7 * DAY_MS), NULL).count, 1);
	proof_close(store);

	t_case("proof: an idle store forgets as well");
	store =
	    proof_open(open_folder(), 3 * DAY_MS, 1ULL << 30, NOW + 9 * DAY_MS);
	t_true(count_files() > 1);
	t_int(proof_flush(store, NOW + 14 * DAY_MS), 0);
	t_int(count_files(), 0);
	for (i = 0; i < 3; i++) {
		p.delivered_ms = NOW + (20 + i) * DAY_MS;
		t_int(proof_add(store, &p), 0);
		t_int(proof_flush(store, p.delivered_ms), 0);
	}
	t_int(count_files(), 3);
	proof_close(store);

	t_case("proof: the oldest go when the whole is too large");
	store = proof_open(open_folder(), 300 * DAY_MS, 400, NOW + 20 * DAY_MS);
	t_int(count_files(), 1);
	t_int(look_up(store, p.id, NULL).count, 1);

	t_case("proof: `proof keep never` removes all");
	t_int(proof_add(store, &p), 0);
	proof_erase(store);
	t_int(count_files(), 0);
	t_int(look_up(store, p.id, NULL).count, 0);
	proof_close(store);
}

/* The longest of everything, and whatever a host may answer. */
static void
test_hostile(void)
{
	struct proof_store *store;
	struct proof p = make_proof(id_at(NOW), "x@example.net");
	char recipient[320], reply[768], message_id[256], sent[512];
	struct found f;
	size_t i;

	empty_folder();
	(void)memset(recipient, 'r', sizeof recipient - 1);
	recipient[sizeof recipient - 1] = '\0';
	(void)memset(message_id, '%', sizeof message_id - 1);
	message_id[sizeof message_id - 1] = '\0';
	(void)memset(reply, 'o', sizeof reply - 1);
	(void)memcpy(reply, "250  D 0 S \t\r\n%00 - ", 21);
	reply[sizeof reply - 1] = '\0';
	for (i = 1; i < sizeof sent; i++)
		sent[i - 1] = (char)(i % 255 + 1);
	sent[sizeof sent - 1] = '\0';
	store = proof_open(open_folder(), 30 * DAY_MS, 1ULL << 30, NOW);
	t_case("proof: no file before there is something to keep");
	t_int(count_files(), 0);

	t_case("proof: fields of any length and bytes come back as they were");
	p.recipient = recipient;
	p.message_id = message_id;
	p.reply = reply;
	t_int(proof_add(store, &p), 0);
	t_int(proof_flush(store, NOW), 0);
	f = look_up(store, p.id, NULL);
	t_int(f.count, 1);
	t_str(f.recipient, recipient);
	t_str(f.reply, reply);
	t_int(look_up(store, 0, message_id).count, 1);

	t_case("proof: the longest lines fit, cut");
	p.reply = p.message_id = p.recipient = sent;
	p.seal.mx = p.seal.addr = p.seal.tls = p.seal.cipher = sent;
	p.seal.level = p.seal.auth = p.seal.route = p.seal.policy = sent;
	p.seal.policy_id = p.seal.policy_sha256 = p.seal.tlsa = sent;
	p.seal.group = p.seal.cert_sha256 = sent;
	p.id++;
	t_int(proof_add(store, &p), 0);
	t_int(proof_flush(store, NOW), 0);
	t_int(look_up(store, p.id, NULL).count, 1);
	proof_close(store);
}

static void
test_damage(void)
{
	struct proof_store *store;
	struct proof p = make_proof(21, "kept@example.net");
	char path[80];
	FILE *file;

	empty_folder();
	t_case("proof: damaged lines and segments are passed over");
	store = proof_open(open_folder(), 30 * DAY_MS, 1ULL << 30, NOW);
	t_int(proof_add(store, &p), 0);
	t_int(proof_flush(store, NOW), 0);
	proof_close(store);
	(void)snprintf(path, sizeof path, "%s/%013lld.log", folder, NOW - 9);
	file = fopen(path, "w");
	(void)fprintf(file, "D 0 000000000000n 1 2 x y z\n");
	(void)fprintf(file, "D 99999999999999999999 000000000000n 1 2 x y z\n");
	(void)fprintf(file, "D 5 000000000000n 1 2 %%zz y z\nS x\n\n");
	(void)fprintf(file, "D 0 000000000000n 1 2 a@b %070000d", 0);
	(void)fclose(file);
	store = proof_open(open_folder(), 30 * DAY_MS, 1ULL << 30, NOW + 1);
	t_int(look_up(store, 21, NULL).count, 1);
	proof_close(store);
}

static void
test_full_disk(void)
{
	struct rlimit limit = { 4096, RLIM_INFINITY }, before;
	struct proof_store *store;
	struct proof p;
	uint64_t id, added = 0;

	empty_folder();
	(void)getrlimit(RLIMIT_FSIZE, &before);
	limit.rlim_max = before.rlim_max;
	store = proof_open(open_folder(), 30 * DAY_MS, 1ULL << 30, NOW);
	t_case("proof: a disk that takes no more loses nothing of what fits the"
	       " buffer, and the store recovers");
	(void)setrlimit(RLIMIT_FSIZE, &limit);
	for (id = 1; id <= 100; id++) {
		p = make_proof(id, "x@example.net");
		added += proof_add(store, &p) == 0;
	}
	t_int(added, 100);
	t_int(proof_flush(store, NOW), -1);
	(void)setrlimit(RLIMIT_FSIZE, &before);
	t_int(proof_flush(store, NOW), 0);
	t_int(look_up(store, 1, NULL).count, 1);
	t_int(look_up(store, 50, NULL).count, 1);
	t_int(look_up(store, 100, NULL).count, 1);

	t_case("proof: a buffer that is full says so");
	for (id = 1; id < 100000 && proof_add(store, &p) == 0; id++)
		continue;
	t_true(id < 100000);
	t_int(errno, ENOBUFS);
	proof_close(store);
}

int
main(void)
{
	if (mkdtemp(folder) == NULL)
		return 1;
	(void)signal(SIGXFSZ, SIG_IGN);
	test_round_trip();
	test_shared_seal();
	test_bounds();
	test_hostile();
	test_damage();
	test_full_disk();
	empty_folder();
	(void)rmdir(folder);
	return t_done();
}
