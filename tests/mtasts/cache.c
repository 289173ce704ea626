#include "mtasts/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mtasts/cache_file.h"
#include "tests/t.h"

#define T0 1795507200
#define BODY \
	"version: STSv1\nmode: enforce\nmax_age: 604800\n" \
	"mx: a.example\nmx: *.b.example\n"

static char folder[] = "/tmp/sealpost-cache-XXXXXX";
static char damaged[1024];

static void
on_damage(void *arg, const char *domain, const char *why)
{
	(void)arg;
	strlcat(damaged, domain, sizeof(damaged));
	strlcat(damaged, ": ", sizeof(damaged));
	strlcat(damaged, why, sizeof(damaged));
	strlcat(damaged, ". ", sizeof(damaged));
}

static void
put(struct cache *c, const char *domain, time_t fetched)
{
	struct cache_entry *e = cache_put(c, domain);
	const char *why;

	policy_clear(&e->policy);
	t_int(policy_parse(&e->policy, BODY, strlen(BODY), &why), 0);
	if (fetched == T0)
		memset(e->policy.sha256, 0xa7, sizeof(e->policy.sha256));
	strlcpy(e->id, "2026a", sizeof(e->id));
	e->fetched = fetched;
	cache_store(c, e);
}

static struct cache *
load(int dirfd)
{
	struct cache *c = cache_new(CACHE_WRITE, dirfd, CACHE_MAX);

	damaged[0] = '\0';
	t_int(cache_load(c, on_damage, NULL), 0);
	return c;
}

static void
round_trip(int dirfd)
{
	struct cache *c = load(dirfd);
	struct cache_entry *e;

	t_case("policies survive a restart (RFC 8461 3.3)");
	put(c, "example.net", T0);
	put(c, "xn--bcher-kva.example", T0 + 1);
	t_int(cache_flush(c, 100), 0);
	cache_free(c);
	c = load(dirfd);
	t_int(cache_count(c), 2);
	e = cache_find(c, "example.net");
	t_true(e != NULL);
	if (e != NULL) {
		t_str(e->id, "2026a");
		t_int(e->fetched, T0);
		t_int(e->policy.mode, POLICY_ENFORCE);
		t_int(e->policy.max_age_s, 604800);
		t_int(e->policy.mx_count, 2);
		t_str(e->policy.mx[1], "*.b.example");
		t_int(e->policy.sha256[0], 0xa7);
		t_int(e->policy.sha256[31], 0xa7);
	}
	t_case("a policy whose digest is not known has none");
	t_int(cache_find(c, "xn--bcher-kva.example")->policy.sha256[0], 0);
	t_int(cache_find(c, "xn--bcher-kva.example")->policy.mx_count, 2);
	t_str(damaged, "");
	t_case("a dropped policy is gone from the disk");
	if (e != NULL)
		cache_drop(c, e);
	cache_free(c);
	c = load(dirfd);
	t_int(cache_count(c), 1);
	cache_drop(c, cache_first(c));
	t_case("a flush writes no more than it may");
	put(c, "a.example", T0);
	put(c, "b.example", T0);
	put(c, "c.example", T0);
	t_int(cache_flush(c, 2), 1);
	t_int(cache_flush(c, 2), 0);
	cache_free(c);
}

/* Overwrite one byte of a domain's file, or cut the file short. */
static void
spoil(int dirfd, const char *domain, off_t at, char byte, off_t size)
{
	int fd = openat(dirfd, domain, O_RDWR | O_CLOEXEC);

	if (fd == -1)
		abort();
	if (size >= 0)
		t_int(ftruncate(fd, size), 0);
	else
		t_int(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void
damage(int dirfd)
{
	struct cache *c;
	int fd;

	t_case("a flipped bit is found, and costs that domain alone");
	spoil(dirfd, "a.example", 60, '#', -1);
	c = load(dirfd);
	t_str(damaged, "a.example: the checksum is wrong. ");
	t_true(cache_find(c, "a.example")->damaged);
	t_true(!cache_find(c, "b.example")->damaged);
	t_int(cache_find(c, "a.example")->policy.mx_count, 0);
	cache_free(c);
	t_case("the damaged file is gone");
	c = load(dirfd);
	t_str(damaged, "");
	t_int(cache_count(c), 2);
	cache_free(c);

	t_case("a file cut short is found");
	spoil(dirfd, "b.example", 0, 0, 40);
	t_case("so is an empty one");
	spoil(dirfd, "c.example", 0, 0, 0);
	c = load(dirfd);
	t_true(cache_find(c, "b.example")->damaged);
	t_true(cache_find(c, "c.example")->damaged);
	t_case("a file under another domain's name is not believed");
	put(c, "one.example", T0);
	t_int(cache_flush(c, 9), 0);
	cache_free(c);
	t_int(renameat(dirfd, "one.example", dirfd, "two.example"), 0);
	c = load(dirfd);
	t_str(damaged,
	    "two.example: the text is not a policy of this domain. ");
	cache_free(c);

	t_case("what is no domain is left alone, leftovers are removed");
	fd = openat(dirfd, "~x.example", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	fd = openat(dirfd, "README_", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	c = load(dirfd);
	t_int(cache_count(c), 0);
	t_int(faccessat(dirfd, "~x.example", F_OK, 0), -1);
	t_int(faccessat(dirfd, "README_", F_OK, 0), 0);
	cache_free(c);
	unlinkat(dirfd, "README_", 0);
}

static void
hostile_files(int dirfd)
{
	struct cache *c;

	t_case("a symbolic link is not followed");
	t_int(symlinkat("/etc/hostname", dirfd, "link.example"), 0);
	t_int(mkfifoat(dirfd, "fifo.example", 0600), 0);
	c = cache_new(CACHE_WRITE, dirfd, CACHE_MAX);
	damaged[0] = '\0';
	t_int(cache_load_one(c, "link.example", on_damage, NULL), -1);
	t_int(errno, ELOOP);
	t_case("a fifo does not block");
	t_int(cache_load_one(c, "fifo.example", on_damage, NULL), 0);
	t_str(damaged,
	    "fifo.example: it is not a regular file of a sensible"
	    " size. ");
	cache_free(c);
	t_case("and neither keeps the others from being read");
	t_int(mkfifoat(dirfd, "fifo.example", 0600), 0);
	c = load(dirfd);
	t_int(cache_count(c), 2);
	t_int(faccessat(dirfd, "link.example", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	while (cache_first(c) != NULL)
		cache_drop(c, cache_first(c));
	cache_free(c);
}

static void
in_the_way(int dirfd)
{
	struct cache *c = load(dirfd);

	t_case("a file that cannot be written does not keep others from it");
	t_int(mkdirat(dirfd, "a.example", 0700), 0);
	t_int(mkdirat(dirfd, "~b.example", 0700), 0);
	put(c, "a.example", T0);
	put(c, "b.example", T0);
	put(c, "c.example", T0);
	put(c, "d.example", T0);
	t_int(cache_flush(c, 3), -1);
	t_int(errno, EISDIR);
	t_int(cache_flush(c, 1), 2);
	t_int(cache_flush(c, 3), -1);
	t_int(unlinkat(dirfd, "a.example", AT_REMOVEDIR), 0);
	t_int(unlinkat(dirfd, "~b.example", AT_REMOVEDIR), 0);
	t_int(cache_flush(c, 3), 0);
	cache_free(c);
	c = load(dirfd);
	t_int(cache_count(c), 4);
	while (cache_first(c) != NULL)
		cache_drop(c, cache_first(c));
	cache_free(c);
}

static void
bounds(int dirfd)
{
	struct cache *c = cache_new(CACHE_WRITE, dirfd, 3);

	t_case("the bound holds, and the one unused for longest goes");
	put(c, "a.example", T0);
	put(c, "b.example", T0);
	put(c, "c.example", T0);
	t_int(cache_flush(c, 9), 0);
	cache_use(c, cache_find(c, "a.example"), T0 + 5);
	put(c, "d.example", T0);
	t_int(cache_count(c), 3);
	t_true(cache_find(c, "b.example") == NULL);
	t_true(cache_find(c, "a.example") != NULL);
	t_int(faccessat(dirfd, "b.example", F_OK, 0), -1);
	t_case("names are walked in order");
	t_str(cache_first(c)->domain, "a.example");
	t_str(cache_next(cache_first(c))->domain, "c.example");
	cache_free(c);
	c = cache_new(CACHE_WRITE, dirfd, 1);
	t_case("a smaller bound at the next start is kept to as well");
	t_int(cache_load(c, on_damage, NULL), 0);
	t_int(cache_count(c), 1);
	while (cache_first(c) != NULL)
		cache_drop(c, cache_first(c));
	cache_free(c);
}

/* A policy of "count" patterns. */
static void
put_large(struct cache *c, const char *domain, size_t count)
{
	static char body[65536];
	struct cache_entry *e = cache_put(c, domain);
	const char *why;

	strlcpy(body, "version:STSv1\nmode:enforce\nmax_age:9\n", sizeof(body));
	while (count-- > 0)
		strlcat(body, "mx:a.b\n", sizeof(body));
	policy_clear(&e->policy);
	t_int(policy_parse(&e->policy, body, strlen(body), &why), 0);
	e->fetched = T0;
	cache_store(c, e);
}

static void
large_ones(int dirfd)
{
	struct cache *c = cache_new(CACHE_WRITE, dirfd, 5);

	t_case("large policies push out each other, not those of usual size");
	put(c, "old.example", T0);
	put_large(c, "a.example", 300);
	put_large(c, "b.example", 300);
	t_int(cache_count(c), 3);
	cache_use(c, cache_find(c, "a.example"), T0 + 5);
	put_large(c, "c.example", 300);
	t_true(cache_find(c, "old.example") != NULL);
	t_true(cache_find(c, "a.example") != NULL);
	t_true(cache_find(c, "b.example") == NULL);
	t_true(cache_find(c, "c.example") != NULL);
	t_case("one that has become small makes room again");
	put(c, "c.example", T0);
	put_large(c, "d.example", 300);
	t_int(cache_count(c), 4);
	t_int(cache_flush(c, 9), 0);
	cache_free(c);
	c = cache_new(CACHE_WRITE, dirfd, 4);
	t_case("the bytes are kept to at the next start as well");
	t_int(cache_load(c, on_damage, NULL), 0);
	t_int(cache_count(c), 3);
	while (cache_first(c) != NULL)
		cache_drop(c, cache_first(c));
	cache_free(c);
}

static void
reading_only(int dirfd)
{
	struct cache *c = cache_new(CACHE_WRITE, dirfd, 3);

	put(c, "a.example", T0);
	t_int(cache_flush(c, 9), 0);
	cache_free(c);
	t_case("a reader finds one domain and writes nothing");
	c = cache_new(CACHE_READ, dirfd, 3);
	t_int(cache_load_one(c, "a.example", on_damage, NULL), 0);
	t_int(cache_load_one(c, "none.example", on_damage, NULL), 0);
	t_int(cache_count(c), 1);
	put(c, "b.example", T0);
	t_int(cache_flush(c, 9), 0);
	cache_drop(c, cache_find(c, "a.example"));
	t_int(faccessat(dirfd, "a.example", F_OK, 0), 0);
	t_int(faccessat(dirfd, "b.example", F_OK, 0), -1);
	cache_free(c);
	unlinkat(dirfd, "a.example", 0);
	t_case("a folder that is gone is an error, told by errno");
	c = cache_new(CACHE_WRITE, -1, 3);
	t_int(cache_load(c, on_damage, NULL), -1);
	t_int(errno, EBADF);
	put(c, "a.example", T0);
	t_int(cache_flush(c, 9), -1);
	cache_free(c);
}

int
main(void)
{
	int dirfd;

	if (mkdtemp(folder) == NULL)
		abort();
	dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	t_case("CRC-32C of the standard's example (RFC 3720 B.4)");
	t_int(cache_crc("123456789", 9), 0xe3069283u);
	round_trip(dirfd);
	damage(dirfd);
	hostile_files(dirfd);
	in_the_way(dirfd);
	bounds(dirfd);
	large_ones(dirfd);
	reading_only(dirfd);
	close(dirfd);
	rmdir(folder);
	return t_done();
}
