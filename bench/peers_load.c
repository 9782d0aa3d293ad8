/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Load of bench/peers, run in a guest. Each prints one number per second, or a time per line.
 *
 *   peers_load create DIR PREFIX SECONDS              empty files PREFIX.0 and on; files/s
 *   peers_load io FILE BYTES BLOCK read|write SECONDS O_DIRECT, at random places; blocks/s
 *   peers_load again DIR PREFIX SECONDS               a new file of 4 KiB, fsync; the monotonic
 * time in seconds of each that was acknowledged
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/prng.h"

#define PAGE	    4096
#define PAUSE_US    20000
#define SECONDS_MAX 3600
#define PATH_BYTES  512
#define BLOCK_MAX   (1 << 20)

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int bad(const char *what)
{
	fprintf(stderr, "peers_load: %s: %s\n", what, strerror(errno));
	return 1;
}

static int create(const char *dir, const char *prefix, double seconds)
{
	double begin = now_s(), end = begin;
	char path[PATH_BYTES];
	uint64_t n = 0;

	for (; end - begin < seconds; end = now_s(), n++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%s.%llu", dir, prefix, (unsigned long long)n);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 || close(fd) < 0)
			return bad(path);
	}
	printf("%.3f\n", (double)n / (end - begin));
	return 0;
}

static int io(const char *path, uint64_t bytes, size_t block, int is_write, double seconds)
{
	static uint8_t buf[BLOCK_MAX] __attribute__((aligned(PAGE)));
	int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	double begin = now_s(), end = begin;
	uint64_t n = 0, places = bytes / block;
	struct prng random;

	if (fd < 0)
		return bad(path);
	prng_init(&random, 1);
	memset(buf, 'p', sizeof(buf));
	for (; end - begin < seconds; end = now_s(), n++) {
		off_t at = (off_t)(prng_next(&random) % places * block);
		ssize_t r = is_write ? pwrite(fd, buf, block, at) : pread(fd, buf, block, at);

		if (r != (ssize_t)block)
			return bad(path);
	}
	printf("%.3f\n", (double)n / (end - begin));
	close(fd);
	return 0;
}

static int again(const char *dir, const char *prefix, double seconds)
{
	double begin = now_s();
	char path[PATH_BYTES], block[PAGE] = "again";

	for (uint64_t n = 0; now_s() - begin < seconds; n++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%s.%llu", dir, prefix, (unsigned long long)n);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 || write(fd, block, sizeof(block)) != (ssize_t)sizeof(block) ||
		    fsync(fd) < 0 || close(fd) < 0)
			return bad(path);
		printf("%.3f\n", now_s());
		fflush(stdout);
		usleep(PAUSE_US);
	}
	return 0;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[argc - 1]) : 0;

	if (seconds <= 0 || seconds > SECONDS_MAX)
		argc = 0;
	if (argc == 5 && strcmp(argv[1], "create") == 0)
		return create(argv[2], argv[3], seconds);
	if (argc == 5 && strcmp(argv[1], "again") == 0)
		return again(argv[2], argv[3], seconds);
	if (argc == 7 && strcmp(argv[1], "io") == 0) {
		uint64_t bytes = strtoull(argv[3], NULL, 10), block = strtoull(argv[4], NULL, 10);

		if (block && block <= BLOCK_MAX && bytes >= block)
			return io(argv[2], bytes, block, strcmp(argv[5], "write") == 0, seconds);
	}
	fprintf(stderr, "usage: peers_load create|again DIR PREFIX SECONDS\n"
			"       peers_load io FILE BYTES BLOCK read|write SECONDS\n");
	return 2;
}
