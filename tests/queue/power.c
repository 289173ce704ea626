/*
 * Power loss: a life of a spool on a disk of which only what was synced is
 * sure to be there. At every operation the power fails; from what may then
 * be on the disk a spool is opened, and counted:
 *
 *	names     as last synced, or as last seen
 *	contents  as last synced, with any of the later blocks, or all
 */

#include "tests/queue/life.h"

#define FILES_MOST 4096
#define BLOCK 512 /* bytes that a disk writes whole */

/* A file that once was. */
struct shadow {
	ino_t ino;
	bool alive;  /* the number is this file's still */
	bool clean;  /* a sync failed: what was written goes nowhere */
	char *bytes; /* as synced */
	size_t len;
};

struct name {
	char text[64]; /* from the spool's folder */
	int shadow;
};

static struct {
	int at;
	int count;
	int sick; /* the sync that fails; 0: none */
	int syncs;
	struct shadow files[FILES_MOST];
	int file_count;
	struct name names[256]; /* as synced */
	int name_count;
	uint32_t random;
} disk;

static uint32_t
draw(void)
{
	disk.random = disk.random * 1664525U + 1013904223U;
	return disk.random >> 8;
}

static int
step(void)
{
	if (!w.dead && ++disk.count == disk.at) {
		w.dead = true;
		w.acked = w.box.settled_count;
	}
	if (!w.dead)
		return 0;
	errno = EIO;
	return -1;
}

static int
shadow_of(ino_t ino)
{
	int i;

	for (i = disk.file_count - 1; i >= 0; i--)
		if (disk.files[i].alive && disk.files[i].ino == ino)
			return i;
	return -1;
}

static int
new_shadow(ino_t ino)
{
	int i;

	i = shadow_of(ino);
	if (i != -1)
		disk.files[i].alive = false;
	if (disk.file_count == FILES_MOST)
		abort();
	disk.files[disk.file_count].ino = ino;
	disk.files[disk.file_count].alive = true;
	disk.files[disk.file_count].clean = false;
	disk.files[disk.file_count].bytes = NULL;
	disk.files[disk.file_count].len = 0;
	return disk.file_count++;
}

static char *
contents(int fd, size_t *len)
{
	struct stat st;
	char *bytes;

	if (fstat(fd, &st) == -1)
		abort();
	*len = (size_t)st.st_size;
	bytes = calloc(1, *len + 1);
	if (bytes == NULL || pread(fd, bytes, *len, 0) != (ssize_t)*len)
		abort();
	return bytes;
}

/* ---- names ---- */

static void
list_folder(const char *folder, struct name *names, int *count)
{
	struct dirent *entry;
	struct stat st;
	char path[512];
	DIR *dir;

	(void)snprintf(path, sizeof path, "%s/%s", w.box.dir, folder);
	dir = opendir(path);
	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (fstatat(dirfd(dir), entry->d_name, &st, 0) == -1 ||
		    !S_ISREG(st.st_mode))
			continue;
		if (*count == 256)
			abort();
		(void)snprintf(names[*count].text, sizeof names[0].text,
		    "%s%.40s", folder, entry->d_name);
		names[(*count)++].shadow = shadow_of(st.st_ino);
	}
	(void)closedir(dir);
}

/* Is this name of that folder ("" is the spool's own)? */
static bool
is_in(const char *name, const char *folder)
{
	if (*folder == '\0')
		return strchr(name, '/') == NULL;
	return strncmp(name, folder, strlen(folder)) == 0;
}

static void
sync_folder(const char *folder)
{
	int from, to;

	for (from = to = 0; from < disk.name_count; from++)
		if (!is_in(disk.names[from].text, folder))
			disk.names[to++] = disk.names[from];
	disk.name_count = to;
	list_folder(folder, disk.names, &disk.name_count);
}

static bool
is_folder(const struct stat *st, const char *folder)
{
	struct stat other;
	char path[512];

	(void)snprintf(path, sizeof path, "%s/%s", w.box.dir, folder);
	return stat(path, &other) == 0 && other.st_ino == st->st_ino;
}

/* ---- operations ---- */

static int
power_openat(void *arg, int dirfd, const char *name, int flags)
{
	struct stat st;
	int fd;

	if (step() == -1)
		return -1;
	fd = disk_real.openat(arg, dirfd, name, flags);
	if (fd != -1 && (flags & O_EXCL) != 0 && fstat(fd, &st) == 0)
		(void)new_shadow(st.st_ino);
	return fd;
}

static int
power_pwrite(void *arg, int fd, const void *bytes, size_t len, int64_t at)
{
	bool was_dead;

	was_dead = w.dead;
	/* What was under way when the power failed is among what may be. */
	if (step() == -1 && was_dead)
		return -1;
	return disk_real.pwrite(arg, fd, bytes, len, at);
}

static int
power_fallocate(void *arg, int fd, int64_t len)
{
	return step() == -1 ? -1 : disk_real.fallocate(arg, fd, len);
}

static int
power_ftruncate(void *arg, int fd, int64_t len)
{
	return step() == -1 ? -1 : disk_real.ftruncate(arg, fd, len);
}

static int
power_fsync(void *arg, int fd)
{
	struct shadow *s;
	struct stat st;
	int i;

	(void)arg;
	if (step() == -1 || fstat(fd, &st) == -1)
		return -1;
	i = shadow_of(st.st_ino);
	if (++disk.syncs == disk.sick) {
		if (i != -1)
			disk.files[i].clean = true;
		errno = EIO;
		return -1;
	}
	if (S_ISDIR(st.st_mode)) {
		sync_folder(is_folder(&st, "large") ? "large/" : "");
		return 0;
	}
	if (i == -1 || disk.files[i].clean)
		return 0;
	s = &disk.files[i];
	free(s->bytes);
	s->bytes = contents(fd, &s->len);
	return 0;
}

static int
power_unlinkat(void *arg, int dirfd, const char *name)
{
	return step() == -1 ? -1 : disk_real.unlinkat(arg, dirfd, name);
}

static int
power_renameat(void *arg, int dirfd, const char *from, const char *to)
{
	return step() == -1 ? -1 : disk_real.renameat(arg, dirfd, from, to);
}

static int
power_mkdirat(void *arg, int dirfd, const char *name)
{
	return disk_real.mkdirat(arg, dirfd, name);
}

static const struct disk power_disk = {
	.openat = power_openat,
	.pwrite = power_pwrite,
	.fallocate = power_fallocate,
	.ftruncate = power_ftruncate,
	.fsync = power_fsync,
	.unlinkat = power_unlinkat,
	.renameat = power_renameat,
	.mkdirat = power_mkdirat,
};

/* ---- what may be on the disk ---- */

enum later { LATER_NONE, LATER_SOME, LATER_ALL };

/* Open a file by the name that it has now, which may be another one. */
static int
open_shadow(int shadow)
{
	struct name names[256];
	char path[512];
	int count, i;

	count = 0;
	list_folder("", names, &count);
	list_folder("large/", names, &count);
	for (i = 0; i < count; i++)
		if (names[i].shadow == shadow) {
			(void)snprintf(path, sizeof path, "%s/%.63s", w.box.dir,
			    names[i].text);
			return open(path, O_RDONLY);
		}
	return -1;
}

/* Bytes of a file: as synced, and of what came later as much as "later". */
static char *
draw_contents(const struct name *name, enum later later, size_t *len)
{
	const struct shadow *s;
	char *now, *bytes;
	size_t now_len, at, n;
	int fd;

	s = &disk.files[name->shadow];
	fd = later == LATER_NONE ? -1 : open_shadow(name->shadow);
	now = NULL;
	now_len = 0;
	if (fd != -1) {
		now = contents(fd, &now_len);
		(void)close(fd);
	}
	/* A file that was cut may be so on the disk already. */
	*len = s->len;
	if (now != NULL && (later == LATER_ALL || draw() % 2 == 0))
		*len = now_len;
	bytes = calloc(1, *len + 1);
	if (bytes == NULL)
		abort();
	if (s->len > 0)
		memcpy(bytes, s->bytes, s->len < *len ? s->len : *len);
	for (at = 0; at < now_len && at < *len; at += BLOCK) {
		n = now_len < *len ? now_len - at : *len - at;
		n = n < BLOCK ? n : BLOCK;
		if (later == LATER_ALL || draw() % 2 == 0)
			memcpy(bytes + at, now + at, n);
	}
	free(now);
	return bytes;
}

static void
make_image(struct box *image, const struct name *names, int count,
    enum later later)
{
	char path[512], *bytes;
	size_t len;
	int fd, i;

	(void)snprintf(path, sizeof path, "%s/large", image->dir);
	(void)mkdir(path, 0700);
	(void)snprintf(path, sizeof path, "%s/damaged", image->dir);
	(void)mkdir(path, 0700);
	for (i = 0; i < count; i++) {
		if (names[i].shadow == -1)
			continue;
		(void)snprintf(path, sizeof path, "%s/%.63s", image->dir,
		    names[i].text);
		bytes = draw_contents(&names[i], later, &len);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		if (fd == -1 || write(fd, bytes, len) != (ssize_t)len)
			abort();
		(void)close(fd);
		free(bytes);
	}
}

static void
open_image(bool names_synced, enum later later)
{
	struct box lived, image;
	struct name names[256];
	int count;

	count = 0;
	if (!names_synced) {
		list_folder("", names, &count);
		list_folder("large/", names, &count);
		list_folder("damaged/", names, &count);
	}
	box_init(&image);
	make_image(&image, names_synced ? disk.names : names,
	    names_synced ? disk.name_count : count, later);
	lived = w.box;
	w.box.trouble[0] = '\0';
	w.box.disk = NULL;
	(void)snprintf(w.box.dir, sizeof w.box.dir, "%s", image.dir);
	t_true(box_open(&w.box));
	t_true(strstr(w.box.trouble, "lost its body") == NULL);
	check();
	box_clear(&w.box);
	w.box = lived;
}

/* The power fails at an operation, or, if that is 0, at the end; before that,
 * one sync may fail. */
static int
live(int at, int sick)
{
	int i;

	memset(&w, 0, sizeof w);
	disk.at = at;
	disk.count = 0;
	disk.sick = sick;
	disk.syncs = 0;
	disk.name_count = 0;
	disk.file_count = 0;
	disk.random = (uint32_t)at;
	box_init(&w.box);
	life_open(&power_disk);
	if (w.box.sp != NULL)
		script();
	for (i = 0; w.box.sp != NULL && !w.dead && i < 3; i++)
		commit();
	if (w.box.sp != NULL)
		spool_seal(w.box.sp);
	spool_close(w.box.sp);
	w.box.sp = NULL;
	if (!w.dead)
		w.acked = w.box.settled_count;
	w.dead = true; /* what was refused may be found: nobody was told */
	for (i = 0; i < 6; i++) {
		t_row("operation %d, sync %d, image %d", at, sick, i);
		open_image(i % 2 == 0, (enum later)(i / 2));
	}
	for (i = 0; i < disk.file_count; i++)
		free(disk.files[i].bytes);
	box_clear(&w.box);
	return disk.count;
}

int
main(void)
{
	/* As in crash.c. */
	int at, most, syncs, stride = getenv("VALGRIND") != NULL ? 7 : 1;

	t_case("power loss after a quiet end loses nothing");
	most = live(0, 0);
	syncs = disk.syncs;
	t_true(w.acked > 30);

	t_case("power loss at any operation loses nothing");
	for (at = 1; at <= most; at += stride)
		(void)live(at, 0);

	t_case("... nor after a sync that failed, once, and left pages clean");
	for (at = 1; at <= syncs; at += stride)
		(void)live(0, at);
	return t_done();
}
