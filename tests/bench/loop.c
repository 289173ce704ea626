/*
 * loop: what a disk bears of group commits alone.
 *
 *	loop -f file [-g group] [-l bytes] [-t seconds]
 *
 * Writes records of "bytes" into a preallocated file, "group" of them by one
 * pwrite(2) and one fdatasync(2), over and over for "seconds". The file is
 * removed. Prints one line:
 *
 *	records=N seconds=S rate=N/S
 */

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FILE_SIZE (256 << 20)

static double
monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int
make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd == -1 || posix_fallocate(fd, 0, FILE_SIZE) != 0 ||
	    fsync(fd) == -1)
		err(1, "%s", path);
	return fd;
}

int
main(int argc, char **argv)
{
	const char *path = NULL;
	long group = 64, size = 4096, seconds = 3, records = 0;
	double began;
	char *bytes;
	off_t at = 0;
	size_t len;
	int c, fd;

	while ((c = getopt(argc, argv, "f:g:l:t:")) != -1)
		if (c == 'f')
			path = optarg;
		else if (c == 'g')
			group = strtol(optarg, NULL, 10);
		else if (c == 'l')
			size = strtol(optarg, NULL, 10);
		else if (c == 't')
			seconds = strtol(optarg, NULL, 10);
	if (path == NULL || group < 1 || size < 1 || group * size > FILE_SIZE)
		errx(64,
		    "usage: loop -f file [-g group] [-l bytes]"
		    " [-t seconds]");
	len = (size_t)(group * size);
	bytes = malloc(len);
	if (bytes == NULL)
		err(1, NULL);
	memset(bytes, 'x', len);
	fd = make_file(path);
	began = monotonic();
	while (monotonic() - began < (double)seconds) {
		if (at + (off_t)len > FILE_SIZE)
			at = 0;
		if (pwrite(fd, bytes, len, at) != (ssize_t)len ||
		    fdatasync(fd) == -1)
			err(1, "%s", path);
		at += (off_t)len;
		records += group;
	}
	printf("records=%ld seconds=%.3f rate=%.1f\n", records,
	    monotonic() - began, (double)records / (monotonic() - began));
	unlink(path);
	free(bytes);
	return 0;
}
