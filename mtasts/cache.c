#include "mtasts/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mtasts/cache_file.h"

#define NEW_MARK '~' /* before a domain: its file while being written */
#define NEW_SIZE (HOST_SIZE + 1)
#define PATTERN_COST 40 /* bytes of memory beside its text, at the least */

RB_HEAD(entry_tree, cache_entry);
TAILQ_HEAD(entry_list, cache_entry);

struct cache {
	enum cache_kind kind;
	int dirfd; /* borrowed */
	size_t max, count;
	size_t bytes; /* of all entries */
	struct entry_tree tree;
	struct entry_list use; /* unused for longest first */
	struct entry_list dirty;
};

static int
compare(const struct cache_entry *a, const struct cache_entry *b)
{
	return strcmp(a->domain, b->domain);
}

/* RB_GENERATE_STATIC() of libbsd 0.11 needs an __unused that it lacks. */
RB_GENERATE_INTERNAL(entry_tree, cache_entry, by_name, compare,
    static __attribute__((unused)))

struct cache *
cache_new(enum cache_kind kind, int dirfd, size_t max)
{
	struct cache *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->kind = kind;
	c->dirfd = dirfd;
	c->max = max;
	RB_INIT(&c->tree);
	TAILQ_INIT(&c->use);
	TAILQ_INIT(&c->dirty);
	return c;
}

/* From memory only. */
static void
detach(struct cache *c, struct cache_entry *e)
{
	RB_REMOVE(entry_tree, &c->tree, e);
	TAILQ_REMOVE(&c->use, e, by_use);
	if (e->is_dirty)
		TAILQ_REMOVE(&c->dirty, e, dirty);
	c->count--;
	c->bytes -= e->bytes;
	policy_clear(&e->policy);
	free(e);
}

void
cache_free(struct cache *c)
{
	struct cache_entry *e;

	if (c == NULL)
		return;
	while ((e = TAILQ_FIRST(&c->use)) != NULL)
		detach(c, e);
	free(c);
}

struct cache_entry *
cache_find(struct cache *c, const char *domain)
{
	struct cache_entry key;

	if (strlcpy(key.domain, domain, sizeof(key.domain)) >=
	    sizeof(key.domain))
		return NULL;
	return RB_FIND(entry_tree, &c->tree, &key);
}

struct cache_entry *
cache_put(struct cache *c, const char *domain)
{
	struct cache_entry *e = cache_find(c, domain);

	if (e != NULL)
		return e;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return NULL;
	if (c->count >= c->max && TAILQ_FIRST(&c->use) != NULL)
		cache_drop(c, TAILQ_FIRST(&c->use));
	strlcpy(e->domain, domain, sizeof(e->domain));
	RB_INSERT(entry_tree, &c->tree, e);
	TAILQ_INSERT_TAIL(&c->use, e, by_use);
	c->count++;
	return e;
}

void
cache_use(struct cache *c, struct cache_entry *e, time_t now)
{
	e->used = now;
	TAILQ_REMOVE(&c->use, e, by_use);
	TAILQ_INSERT_TAIL(&c->use, e, by_use);
}

static size_t
weigh(const struct cache_entry *e)
{
	size_t bytes = sizeof(*e), i;

	for (i = 0; i < e->policy.mx_count; i++)
		bytes += strlen(e->policy.mx[i]) + PATTERN_COST;
	return bytes;
}

/* Of the large entries other than "e" the one that was unused for longest. */
static struct cache_entry *
find_large(const struct cache *c, const struct cache_entry *e)
{
	struct cache_entry *large;

	TAILQ_FOREACH(large, &c->use, by_use)
		if (large != e && large->bytes > CACHE_SHARE)
			return large;
	return NULL;
}

/*
 * A policy file of 64 KiB takes five times as much in memory, and someone with
 * many domains could fill it with such files. So there is a bound for all
 * entries together, and large ones go first.
 */
static void
account(struct cache *c, struct cache_entry *e)
{
	struct cache_entry *large;

	c->bytes -= e->bytes;
	e->bytes = weigh(e);
	c->bytes += e->bytes;
	while (c->bytes > c->max * CACHE_SHARE &&
	    (large = find_large(c, e)) != NULL)
		cache_drop(c, large);
}

void
cache_store(struct cache *c, struct cache_entry *e)
{
	account(c, e);
	if (c->kind != CACHE_WRITE || e->is_dirty)
		return;
	e->is_dirty = true;
	TAILQ_INSERT_TAIL(&c->dirty, e, dirty);
}

void
cache_drop(struct cache *c, struct cache_entry *e)
{
	/* A file that stays behind holds a policy that was valid: harmless. */
	if (c->kind == CACHE_WRITE)
		(void)unlinkat(c->dirfd, e->domain, 0);
	detach(c, e);
}

static void
new_name(char name[NEW_SIZE], const struct cache_entry *e)
{
	snprintf(name, NEW_SIZE, "%c%s", NEW_MARK, e->domain);
}

/* Write one entry under its temporary name. */
static int
write_new(struct cache *c, const struct cache_entry *e)
{
	char name[NEW_SIZE];
	int fd, saved, result;

	new_name(name, e);
	fd = openat(c->dirfd, name,
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return -1;
	result = cache_file_write(fd, e);
	saved = errno;
	close(fd);
	if (result == 0)
		return 0;
	(void)unlinkat(c->dirfd, name, 0);
	errno = saved;
	return -1;
}

static int
rename_new(struct cache *c, struct cache_entry *e)
{
	char name[NEW_SIZE];

	new_name(name, e);
	return renameat(c->dirfd, name, c->dirfd, e->domain);
}

static int
count_dirty(const struct cache *c)
{
	const struct cache_entry *e;
	int n = 0;

	TAILQ_FOREACH(e, &c->dirty, dirty)
		n++;
	return n;
}

static void
move(struct entry_list *from, struct entry_list *to, struct cache_entry *e)
{
	TAILQ_REMOVE(from, e, dirty);
	TAILQ_INSERT_TAIL(to, e, dirty);
}

/* Up to "max" entries under their temporary names: those are moved to "turn",
 * others wait behind the rest. 0, or an error's number. */
static int
write_turn(struct cache *c, struct entry_list *turn, int max)
{
	struct entry_list *to;
	struct cache_entry *e;
	int error = 0;

	while (max-- > 0 && (e = TAILQ_FIRST(&c->dirty)) != NULL) {
		to = turn;
		if (write_new(c, e) == -1) {
			error = errno;
			to = &c->dirty;
		}
		move(&c->dirty, to, e);
	}
	return error;
}

/* Put them in place. What has failed, or "fails" already, waits again. */
static int
rename_turn(struct cache *c, struct entry_list *turn, bool fails)
{
	struct cache_entry *e, *next;
	int error = 0;

	TAILQ_FOREACH_SAFE(e, turn, dirty, next) {
		if (!fails && rename_new(c, e) == 0) {
			e->is_dirty = false;
			continue;
		}
		error = errno;
		move(turn, &c->dirty, e);
	}
	return error;
}

/* Written, then synced with one call for all of them, then in place: a name
 * never leads to a file that a crash left empty. */
int
cache_flush(struct cache *c, int max)
{
	struct entry_list turn = TAILQ_HEAD_INITIALIZER(turn);
	int count = count_dirty(c), error, again;

	if (count == 0)
		return 0;
	error = write_turn(c, &turn, max < count ? max : count);
	again = rename_turn(c, &turn, syncfs(c->dirfd) == -1);
	if (again == 0 && fsync(c->dirfd) == -1)
		again = errno;
	errno = again != 0 ? again : error;
	return errno != 0 ? -1 : count_dirty(c);
}

static void
mark_damaged(struct cache *c, struct cache_entry *e, const char *why,
    cache_damage_cb *damage, void *arg)
{
	e->damaged = true;
	if (c->kind == CACHE_WRITE)
		(void)unlinkat(c->dirfd, e->domain, 0);
	damage(arg, e->domain, why);
}

/* Take in what a file says; anything odd makes the entry a damaged one. */
static int
load_file(struct cache *c, const char *domain, int fd, cache_damage_cb *damage,
    void *arg)
{
	struct cache_entry *e = cache_put(c, domain);
	const char *why = NULL;

	if (e == NULL)
		return -1;
	if (cache_file_read(fd, e, &why) == 0) {
		e->used = e->fetched;
		account(c, e);
		return 0;
	}
	mark_damaged(c, e, why, damage, arg);
	return 0;
}

int
cache_load_one(struct cache *c, const char *domain, cache_damage_cb *damage,
    void *arg)
{
	int fd, result;

	if (c->kind == CACHE_MEMORY)
		return 0;
	fd = openat(c->dirfd, domain,
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1)
		return errno == ENOENT ? 0 : -1;
	result = load_file(c, domain, fd, damage, arg);
	close(fd);
	return result;
}

static int
load_name(struct cache *c, const char *name, cache_damage_cb *damage, void *arg)
{
	struct cache_entry *e;
	char domain[HOST_SIZE];

	if (name[0] == NEW_MARK && c->kind == CACHE_WRITE)
		(void)unlinkat(c->dirfd, name, 0);
	if (host_normalize(domain, name, strlen(name)) == -1 ||
	    strcmp(domain, name) != 0)
		return 0; /* not ours */
	if (cache_load_one(c, domain, damage, arg) == 0)
		return 0;
	e = cache_put(c, domain);
	if (e == NULL)
		return -1;
	mark_damaged(c, e, "it cannot be opened", damage, arg);
	return 0;
}

struct slot {
	struct cache_entry *entry;
};

static int
by_fetched(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	if (x->entry->fetched == y->entry->fetched)
		return 0;
	return x->entry->fetched < y->entry->fetched ? -1 : 1;
}

/* Files come in no order; the oldest fetch counts as unused for longest. */
static int
order_use(struct cache *c)
{
	struct cache_entry *e;
	struct slot *all;
	size_t i, n = 0;

	all = calloc(c->count + 1, sizeof(*all));
	if (all == NULL)
		return -1;
	TAILQ_FOREACH(e, &c->use, by_use)
		all[n++].entry = e;
	qsort(all, n, sizeof(all[0]), by_fetched);
	TAILQ_INIT(&c->use);
	for (i = 0; i < n; i++)
		TAILQ_INSERT_TAIL(&c->use, all[i].entry, by_use);
	free(all);
	return 0;
}

int
cache_load(struct cache *c, cache_damage_cb *damage, void *arg)
{
	struct dirent *entry;
	int fd, result = 0;
	DIR *dir;

	if (c->kind == CACHE_MEMORY)
		return 0;
	fd = openat(c->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return -1;
	}
	while (result == 0 && (entry = readdir(dir)) != NULL)
		result = load_name(c, entry->d_name, damage, arg);
	closedir(dir);
	return result == -1 ? -1 : order_use(c);
}

struct cache_entry *
cache_first(struct cache *c)
{
	return RB_MIN(entry_tree, &c->tree);
}

struct cache_entry *
cache_next(struct cache_entry *e)
{
	return RB_NEXT(entry_tree, NULL, e);
}

size_t
cache_count(const struct cache *c)
{
	return c->count;
}
