/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/process.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "csvfs/edge/log.h"
#include "lib/cleanup.h"
#include "lib/must.h"

#ifndef PR_SET_IO_FLUSHER /* <linux/prctl.h>, Linux 5.6 */
#define PR_SET_IO_FLUSHER 57
#endif

#define OOM_SCORE	   "-1000"
#define THREAD_STACK_BYTES (1024 * 1024)

uint64_t csv_now_ms(void)
{
	struct timespec t;

	must(!clock_gettime(CLOCK_BOOTTIME, &t));
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void csv_process_harden(void)
{
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	pthread_attr_t attr;

	/* Locked memory counts: a thread needs far less than the 8 MiB that it would get. */
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
	pthread_setattr_default_np(&attr);
	pthread_attr_destroy(&attr);
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		csv_log(LOG_WARNING, "memory cannot be locked: %s", strerror(errno));
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		csv_log(LOG_WARNING, "PR_SET_IO_FLUSHER: %s", strerror(errno));
	if (fd < 0 || write(fd, OOM_SCORE, strlen(OOM_SCORE)) < 0)
		csv_log(LOG_WARNING, "oom_score_adj: %s", strerror(errno));
}
