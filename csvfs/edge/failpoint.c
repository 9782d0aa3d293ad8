/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/failpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/must.h"

/* fs/xfs/libxfs/xfs_fs.h of Linux; its header is that of another package. */
#define XFS_IOC_GOINGDOWN	  _IOR('X', 125, __u32)
#define XFS_FSOP_GOING_NOLOGFLUSH 0x2

#define PATH_BYTES 256

_Atomic uint64_t *failpoint_words;
static char go_path[PATH_BYTES];
static atomic_int xfs_fd = -1;

static int map(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (st.st_size < (off_t)FAIL_BYTES)
		return -EINVAL;
	p = mmap(NULL, FAIL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	failpoint_words = p;
	return 0;
}

void failpoint_open(void)
{
	const char *path = secure_getenv("CSVFSD_FAILPOINTS");
	int n, r;

	if (!path || !*path)
		return;
	n = snprintf(go_path, sizeof(go_path), "%s.go", path);
	r = n < 0 || (size_t)n >= sizeof(go_path) ? -ENAMETOOLONG : map(path);
	if (r && r != -ENOENT)
		dprintf(STDERR_FILENO, "csvfsd: CSVFSD_FAILPOINTS: %s: %s -> there are none\n",
			path, strerror(-r));
}

void failpoint_set_xfs(int fd)
{
	atomic_store(&xfs_fd, fd);
}

static void end_process(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* From now on the XFS writes nothing, whoever else holds it. */
static void cut(void)
{
	__u32 how = XFS_FSOP_GOING_NOLOGFLUSH;
	int fd = atomic_load(&xfs_fd);

	if (fd >= 0 && ioctl(fd, XFS_IOC_GOINGDOWN, &how))
		dprintf(STDERR_FILENO, "csvfsd: the XFS cannot be cut off: %s\n", strerror(errno));
}

static void stand_still(void)
{
	_cleanup_close_ int fd = open(go_path, O_RDONLY | O_CLOEXEC);
	char byte;

	if (fd < 0 || read(fd, &byte, 1) < 0)
		dprintf(STDERR_FILENO, "csvfsd: %s: %s -> going on\n", go_path, strerror(errno));
}

static bool is_meant(unsigned int point, unsigned int op, uint64_t mount)
{
	_Atomic uint64_t *w = failpoint_words;

	return w[FAIL_WORD_POINT] == point && (!w[FAIL_WORD_OP] || w[FAIL_WORD_OP] == op) &&
	       (!w[FAIL_WORD_MOUNT] || w[FAIL_WORD_MOUNT] == mount);
}

static void arm_next(_Atomic uint64_t *w)
{
	uint64_t action = atomic_exchange(&w[FAIL_WORD_NEXT], FAIL_DO_NONE);

	for (size_t i = FAIL_WORD_POINT; i <= FAIL_WORD_SKIP; i++)
		atomic_store(&w[i], w[FAIL_WORD_NEXT + i]);
	atomic_store(&w[FAIL_WORD_ACTION], action);
}

void failpoint_pass(enum failpoint point, unsigned int op, uint64_t mount)
{
	_Atomic uint64_t *w = failpoint_words;
	uint64_t action = atomic_load(&w[FAIL_WORD_ACTION]), skip;

	must(op < FAIL_OPS);
	atomic_fetch_add(&w[FAIL_WORD_PASSES + (size_t)point * FAIL_OPS + op], 1);
	if (action == FAIL_DO_NONE || !is_meant(point, op, mount))
		return;
	skip = atomic_load(&w[FAIL_WORD_SKIP]);
	while (skip && !atomic_compare_exchange_weak(&w[FAIL_WORD_SKIP], &skip, skip - 1))
		;
	/* Of several who come here one does it. */
	if (skip || !atomic_compare_exchange_strong(&w[FAIL_WORD_ACTION], &action, FAIL_DO_NONE))
		return;
	arm_next(w);
	atomic_fetch_add(&w[FAIL_WORD_FIRED], 1);
	if (action == FAIL_DO_CUT)
		cut();
	if (action == FAIL_DO_STOP)
		stand_still();
	else
		end_process();
}
