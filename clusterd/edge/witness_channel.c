/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/witness_channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusterd/edge/log.h"

#define SELF	 "/proc/self/exe"
#define LEFT_MAX 16 /* processes that a disk still holds; with more no new one is started */

static pid_t left[LEFT_MAX];

void witness_channels_reap(void)
{
	for (size_t i = 0; i < LEFT_MAX; i++) {
		if (left[i] && waitpid(left[i], NULL, WNOHANG) != 0)
			left[i] = 0;
	}
}

static pid_t *free_place(void)
{
	for (size_t i = 0; i < LEFT_MAX; i++) {
		if (!left[i])
			return &left[i];
	}
	return NULL;
}

void witness_channel_init(struct witness_channel *c, qb_loop_t *loop, const char *device,
			  const char *db_path, uint8_t slot, witness_answered answered, void *arg)
{
	*c = (struct witness_channel){
		.loop = loop, .slot = slot, .answered = answered, .arg = arg, .fd = -1};
	snprintf(c->device, sizeof(c->device), "%s", device);
	snprintf(c->db_path, sizeof(c->db_path), "%s", db_path);
	snprintf(c->file, sizeof(c->file), "%s.witness", db_path);
}

static int spawn(const struct witness_channel *c, int fd, pid_t *ret)
{
	char slot[8], name[] = "clusterd", role[] = "witness-io";
	char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C";
	char *const argv[] = {
		name, role, (char *)c->device, (char *)c->db_path, slot, (char *)c->file, NULL};
	char *const env[] = {path, locale, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int r;

	snprintf(slot, sizeof(slot), "%u", c->slot);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, fd, STDIN_FILENO);
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	r = -posix_spawn(ret, SELF, &files, &attr, argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return r;
}

static void answer(struct witness_channel *c, const struct witness_answer *a)
{
	c->is_busy = false;
	c->answered(c->arg, c->op, a);
}

static int on_readable(int32_t fd, int32_t revents, void *arg)
{
	struct witness_channel *c = arg;
	struct witness_answer a = {.r = -EPIPE};
	uint8_t buf[WITNESS_LINK_MAX];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n > 0 && !witness_answer_decode(buf, (size_t)n, &a) && c->is_busy) {
		answer(c, &a);
		return 0;
	}
	snprintf(a.text, sizeof(a.text), "%s: the process for its I/O has ended", c->device);
	witness_channel_close(c);
	if (c->is_busy)
		answer(c, &a);
	return 0;
}

static int start(struct witness_channel *c)
{
	int pair[2], r;
	pid_t *place;

	witness_channels_reap();
	place = free_place();
	if (!place)
		return -EAGAIN;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r = spawn(c, pair[1], place);
	close(pair[1]);
	if (!r)
		r = qb_loop_poll_add(c->loop, QB_LOOP_HIGH, pair[0], POLLIN, c, on_readable);
	if (r) {
		close(pair[0]);
		return r;
	}
	c->fd = pair[0];
	return 0;
}

int witness_channel_ask(struct witness_channel *c, const struct witness_request *q, uint64_t now_ms)
{
	uint8_t buf[WITNESS_LINK_MAX];
	int r;

	if (c->is_busy)
		return -EBUSY;
	r = c->fd < 0 ? start(c) : 0;
	if (r)
		return r;
	if (send(c->fd, buf, witness_request_encode(q, buf), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		r = -errno;
		witness_channel_close(c);
		return r;
	}
	c->is_busy = true;
	c->op = q->op;
	c->since_ms = now_ms;
	return 0;
}

void witness_channel_close(struct witness_channel *c)
{
	if (c->fd < 0)
		return;
	qb_loop_poll_del(c->loop, c->fd);
	close(c->fd);
	c->fd = -1;
}
