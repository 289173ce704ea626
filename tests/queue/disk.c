#include "queue/disk.h"

#include <sys/resource.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/t.h"

int
main(void)
{
	struct rlimit before, limit;
	char bytes[200] = { 0 };
	FILE *f = tmpfile();
	int ends[2], result, error;

	t_case("what is written in part is an error, if the rest cannot be");
	t_true(f != NULL && pipe(ends) == 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	t_int(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 100;
	t_int(setrlimit(RLIMIT_FSIZE, &limit), 0);
	result = disk_real.pwrite(NULL, fileno(f), bytes, sizeof bytes, 0);
	error = errno;
	t_int(setrlimit(RLIMIT_FSIZE, &before), 0);
	t_int(result, -1);
	t_int(error, EFBIG);

	t_case("a sync asks the kernel");
	t_int(disk_real.fsync(NULL, fileno(f)), 0);
	t_int(disk_real.fsync(NULL, ends[0]), -1);
	(void)fclose(f);
	return t_done();
}
