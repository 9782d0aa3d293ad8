/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator's file system without its net: backing_tool [--lie] DIRECTORY FD executes
 * requests (csvfs/edge/backing.h) on the XFS that is mounted at DIRECTORY, for who connects to the
 * listening socket FD; a thread for each connection. It prints a line `MOUNT SLOT SEQ intent|done`
 * for each record that is there, then `ready`.
 *
 *   in    mode u8 (0 new, 1 redo, 2 replay), mount u64, a frame of a request; the mode 255 alone:
 *         all has been resent, it serves
 *   out   a frame of the reply; to 255 one of length 0
 *
 * With --lie nothing is forced to the disk: it answers before what it says is durable.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "csvfs/edge/backing.h"
#include "lib/must.h"
#include "lib/wire.h"

#define MODE_SERVE 255
#define PREFIX	   4

static bool is_lying;
static struct backing *backing;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	return is_lying ? 0 : __real_fsync(fd);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	return is_lying ? 0 : __real_fdatasync(fd);
}

ssize_t __real_pwritev2(int fd, const struct iovec *v, int n, off_t at, int flags);
ssize_t __wrap_pwritev2(int fd, const struct iovec *v, int n, off_t at, int flags);
ssize_t __wrap_pwritev2(int fd, const struct iovec *v, int n, off_t at, int flags)
{
	return __real_pwritev2(fd, v, n, at, is_lying ? flags & ~RWF_DSYNC : flags);
}

static void found(void *arg, uint64_t mount, uint16_t slot, uint64_t seq, bool is_done)
{
	(void)arg;
	printf("%" PRIu64 " %u %" PRIu64 " %s\n", mount, slot, seq, is_done ? "done" : "intent");
}

static bool take(int fd, void *to, size_t len)
{
	return recv(fd, to, len, MSG_WAITALL) == (ssize_t)len;
}

static void give(int fd, const void *from, size_t len)
{
	must(send(fd, from, len, MSG_NOSIGNAL) == (ssize_t)len);
}

/* False: the connection has ended. */
static bool answer(int fd, uint8_t *in, uint8_t *data, uint8_t *out)
{
	uint8_t head[9];
	struct csv_request q;
	struct csv_reply p;
	struct wire_reader r;
	uint64_t mount;
	uint32_t len;
	size_t out_len;

	if (!take(fd, head, 1))
		return false;
	if (head[0] == MODE_SERVE) {
		must(!backing_reap(backing));
		give(fd, "\0\0\0\0", PREFIX);
		return true;
	}
	must(take(fd, head + 1, 8) && take(fd, in, PREFIX));
	wire_reader_init(&r, head + 1, 8);
	mount = wire_get_u64(&r);
	wire_reader_init(&r, in, PREFIX);
	len = wire_get_u32(&r);
	must(len <= CSV_FRAME_MAX && take(fd, in, len));
	must(!csv_request_decode(in, len, &q));
	must(!backing_execute(backing, mount, &q, (enum backing_mode)head[0], &p, data));
	must(!csv_reply_encode(&p, out, CSV_FRAME_MAX, &out_len));
	give(fd, out, out_len);
	return true;
}

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	uint8_t *in = malloc(CSV_FRAME_MAX), *data = aligned_alloc(4096, CSV_FRAME_MAX);
	uint8_t *out = malloc(CSV_FRAME_MAX);

	must(in && data && out);
	while (answer(fd, in, data, out))
		;
	free(in);
	free(data);
	free(out);
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	char text[256] = "";
	int root, listener, fd;
	pthread_t thread;

	is_lying = argc == 4 && !strcmp(argv[1], "--lie");
	if (argc != 3 + is_lying)
		return fputs("usage: backing_tool [--lie] DIRECTORY FD\n", stderr), 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* it holds a mount */
	umask(0);
	root = open(argv[1 + is_lying], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	listener = (int)strtol(argv[2 + is_lying], NULL, 10);
	if (root < 0 || backing_open(root, &backing, text, sizeof(text))) {
		fprintf(stderr, "backing_tool: %s\n", root < 0 ? strerror(errno) : text);
		return 1;
	}
	must(!backing_records(backing, found, NULL));
	puts("ready");
	fflush(stdout);
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		must(!pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd));
		pthread_detach(thread);
	}
	return 1;
}
