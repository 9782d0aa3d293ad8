/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "csvfs/edge/log.h"
#include "lib/cleanup.h"
#include "lib/must.h"

#ifdef __SANITIZE_THREAD__
#define STACK_BYTES (4 * 1024 * 1024) /* with what the sanitizer keeps for each thread */
#else
#define STACK_BYTES (256 * 1024) /* locked in memory, for each of some hundred threads */
#endif
#define ARENAS 2 /* of malloc(3): each reserves 64 MiB that count as locked */
/*
 * What libfuse and GnuTLS allocate for each request (some 100 KiB for all that can be under way) is
 * taken from memory that is there and locked already, so that writing pages out needs no page.
 */
#define HEAP_BYTES (4 * 1024 * 1024)

bool process_fork(int *ret_ready, int *ret_status)
{
	int pipe_fd[2];
	pid_t pid;
	char byte;

	*ret_status = EXIT_FAILURE;
	if (pipe2(pipe_fd, O_CLOEXEC) < 0) {
		process_complain(-errno, "pipe");
		return true;
	}
	pid = fork();
	if (pid < 0) {
		process_complain(-errno, "fork");
		return true;
	}
	if (!pid) {
		close(pipe_fd[0]);
		*ret_ready = pipe_fd[1];
		setsid();
		return false;
	}
	close(pipe_fd[1]);
	if (read(pipe_fd[0], &byte, 1) == 1)
		*ret_status = EXIT_SUCCESS;
	return true;
}

void process_ready(int ready, bool to_syslog)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (chdir("/") < 0)
		log_warning("chdir /: %s -> going on", strerror(errno));
	for (int fd = 0; null >= 0 && fd < (to_syslog ? 3 : 2); fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	if (write(ready, "", 1) != 1)
		log_warning("nobody waits for the daemon -> going on");
	close(ready);
}

int process_lock(const char *socket, const char *uuid, const char *role)
{
	const char *slash = strrchr(socket, '/');
	_cleanup_close_ int fd = -1;
	char path[512];

	if (!slash || (size_t)(slash - socket) > sizeof(path) / 2)
		return process_complain(-ENAMETOOLONG, "%s", socket);
	snprintf(path, sizeof(path), "%.*s/csv-%s-%s.lock", (int)(slash - socket), socket, uuid,
		 role);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return process_complain(-errno, "%s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return process_complain(0, "another csvfsd %s of this volume runs (%s)",
						role, path);
		return process_complain(-errno, "%s", path);
	}
	return steal_fd(&fd);
}

static bool has_capability(unsigned int number)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3] = {0};

	return !syscall(SYS_capget, &h, d) && (d[number / 32].effective >> number % 32 & 1);
}

/*
 * With CAP_IPC_LOCK there is no limit. Without, a limit would let later threads and buffers fail,
 * one by one, under a mount that works: then nothing of the future is locked.
 */
static void lock_memory(void)
{
	const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
	bool is_free = has_capability(CAP_IPC_LOCK) || !setrlimit(RLIMIT_MEMLOCK, &all);

	if (!mlockall(is_free ? MCL_CURRENT | MCL_FUTURE : MCL_CURRENT) && is_free)
		return;
	log_warning("memory cannot be locked as a whole (%s) -> going on, and may wait for a page "
		    "that is swapped out to what waits for us: needs CAP_IPC_LOCK or "
		    "LimitMEMLOCK=infinity",
		    is_free ? strerror(errno) : "RLIMIT_MEMLOCK");
}

/* Grows the heap once, and keeps it. */
static void reserve_heap(void)
{
	char *p;

	mallopt(M_MMAP_THRESHOLD, HEAP_BYTES);
	mallopt(M_TRIM_THRESHOLD, INT_MAX);
	p = malloc(HEAP_BYTES - 4096);
	if (p)
		memset(p, 0, HEAP_BYTES - 4096);
	free(p);
}

static void spare_from_oom_killer(void)
{
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-1000", 5) != 5)
		log_warning("oom_score_adj: %s -> going on, the OOM killer may take us: needs "
			    "CAP_SYS_RESOURCE",
			    strerror(errno));
}

void process_harden(void)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	if (pthread_attr_setstacksize(&attr, STACK_BYTES) || pthread_setattr_default_np(&attr))
		log_warning("cannot set the size of stacks -> going on");
	pthread_attr_destroy(&attr);
	mallopt(M_ARENA_MAX, ARENAS);
	lock_memory();
	reserve_heap();
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
		log_warning("PR_SET_IO_FLUSHER: %s -> going on, an allocation of ours may wait for "
			    "what waits for us: needs CAP_SYS_RESOURCE",
			    strerror(errno));
	spare_from_oom_killer();
}

int process_complain(int error, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "csvfsd: %s%s%s\n", text, error ? ": " : "", error ? strerror(-error) : "");
	return -1;
}
