/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * names DIR PROCESSES SECONDS: creations, stats and unlinks of empty files in one directory.
 *
 * Each process has names of its own. All create for so long, then all stat names that are there, in
 * turns, for so long, then all unlink everything. Prints operations per second, of all together.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES_MAX 64

enum phase { PHASE_CREATE, PHASE_STAT, PHASE_UNLINK, PHASE_MAX };

struct shared { /* between the processes */
	pthread_barrier_t barrier;
	uint64_t begin_ns[PROCESSES_MAX][PHASE_MAX], end_ns[PROCESSES_MAX][PHASE_MAX];
	uint64_t count[PROCESSES_MAX][PHASE_MAX];
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static int one(int dir, enum phase phase, unsigned int process, uint64_t i)
{
	char name[32];
	struct stat st;
	int fd;

	snprintf(name, sizeof(name), "p%u.%" PRIu64, process, i);
	if (phase == PHASE_STAT)
		return fstatat(dir, name, &st, 0);
	if (phase == PHASE_UNLINK)
		return unlinkat(dir, name, 0);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? -1 : close(fd);
}

static int process_run(struct shared *s, int dir, unsigned int process, uint64_t ns)
{
	uint64_t made = 0;

	for (enum phase phase = 0; phase < PHASE_MAX; phase++) {
		uint64_t i = 0, begin;

		pthread_barrier_wait(&s->barrier);
		begin = s->begin_ns[process][phase] = now_ns();
		while (phase == PHASE_UNLINK ? i < made : now_ns() - begin < ns) {
			if (one(dir, phase, process, phase == PHASE_STAT ? i % made : i)) {
				fprintf(stderr, "names: phase %d, name %" PRIu64 ": %s\n",
					(int)phase, i, strerror(errno));
				/* The others wait at the barrier. */
				kill(0, SIGTERM);
				return 1;
			}
			i++;
		}
		s->end_ns[process][phase] = now_ns();
		s->count[process][phase] = i;
		made = phase == PHASE_CREATE ? i : made;
	}
	return 0;
}

static double rate(const struct shared *s, unsigned int processes, enum phase phase)
{
	uint64_t begin = UINT64_MAX, end = 0, count = 0;

	for (unsigned int p = 0; p < processes; p++) {
		begin = s->begin_ns[p][phase] < begin ? s->begin_ns[p][phase] : begin;
		end = s->end_ns[p][phase] > end ? s->end_ns[p][phase] : end;
		count += s->count[p][phase];
	}
	return (double)count * 1e9 / (double)(end - begin);
}

static struct shared *shared_new(unsigned int processes)
{
	struct shared *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_barrierattr_t a;

	if (s == MAP_FAILED)
		return NULL;
	pthread_barrierattr_init(&a);
	pthread_barrierattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&s->barrier, &a, processes);
	return s;
}

int main(int argc, char **argv)
{
	unsigned int processes = argc == 4 ? (unsigned int)atoi(argv[2]) : 0;
	double seconds = argc == 4 ? atof(argv[3]) : 0;
	struct shared *s;
	int dir, status, r = 0;

	if (!processes || processes > PROCESSES_MAX || seconds <= 0) {
		fprintf(stderr, "usage: names DIR PROCESSES SECONDS\n");
		return 2;
	}
	dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s = shared_new(processes);
	if (dir < 0 || !s) {
		fprintf(stderr, "names: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	setpgid(0, 0);
	for (unsigned int p = 0; p < processes; p++) {
		pid_t pid = fork();

		if (pid < 0) {
			kill(0, SIGTERM);
			return 1;
		}
		if (!pid)
			_exit(process_run(s, dir, p, (uint64_t)(seconds * 1e9)));
	}
	while (wait(&status) > 0)
		r |= status;
	if (r)
		return 1;
	printf("{\"create\": %.1f, \"stat\": %.1f, \"unlink\": %.1f}\n",
	       rate(s, processes, PHASE_CREATE), rate(s, processes, PHASE_STAT),
	       rate(s, processes, PHASE_UNLINK));
	return 0;
}
