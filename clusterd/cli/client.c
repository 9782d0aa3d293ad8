/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "clusterd/cli/cli.h"
#include "lib/cleanup.h"
#include "lib/must.h"

/* What was read past the line asked for; one connection at a time. */
struct buffer {
	char *data;
	size_t len, cap;
};

static struct buffer input;

int client_connect(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(sa.sun_path))
		return fd < 0 ? -errno : -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return steal_fd(&fd);
}

int client_send(int fd, const char *verb, const json_t *args)
{
	json_t *o = json_pack("{s:s, s:O}", "verb", verb, "args", args);
	_cleanup_free_ char *text = json_dumps(o, JSON_COMPACT);
	size_t len, at = 0;

	json_decref(o);
	must(text);
	len = strlen(text);
	text[len++] = '\n'; /* in place of the NUL */
	while (at < len) {
		ssize_t n = send(fd, text + at, len - at, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* False with errno when nothing more came in time. */
static bool read_more(int fd, double deadline_s)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	double left_s = deadline_s - now_s();
	ssize_t n;
	int r;

	if (left_s <= 0) {
		errno = ETIMEDOUT;
		return false;
	}
	r = poll(&p, 1, left_s > 1e6 ? -1 : (int)(left_s * 1000) + 1);
	if (r <= 0) {
		errno = r ? errno : ETIMEDOUT;
		return false;
	}
	if (input.cap - input.len < 65536) {
		input.cap = input.cap * 2 + 65536;
		input.data = realloc(input.data, input.cap);
		must(input.data);
	}
	n = read(fd, input.data + input.len, input.cap - input.len);
	if (n <= 0) {
		errno = n ? errno : ECONNRESET;
		return false;
	}
	input.len += (size_t)n;
	return true;
}

json_t *client_receive(int fd, double timeout_s)
{
	double deadline_s = now_s() + timeout_s;
	size_t searched = 0;
	json_t *o;
	char *end;

	while (!(end = input.len > searched
			       ? memchr(input.data + searched, '\n', input.len - searched)
			       : NULL)) {
		searched = input.len;
		if (!read_more(fd, deadline_s))
			return NULL;
	}
	o = json_loadb(input.data, (size_t)(end - input.data), 0, NULL);
	input.len -= (size_t)(end + 1 - input.data);
	memmove(input.data, end + 1, input.len);
	if (!o)
		errno = EBADMSG;
	return o;
}
