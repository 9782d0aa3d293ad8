/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One program of xfsprogs to its end, on a loop of its own (lib/run.h). */
#include <errno.h>
#include <poll.h>
#include <qb/qbdefs.h>
#include <qb/qbloop.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "csvfs/edge/lun_impl.h"
#include "lib/cleanup.h"
#include "lib/run.h"

#define CHILD_LINES    40   /* of its output, for people */
#define CHILD_GRACE_MS 5000 /* from SIGTERM to SIGKILL */

struct child {
	struct qb_loop *loop;
	struct run *run;
	int signal_fd;
	int result;
	int status;
	char *out;
	size_t out_size;
};

static int find_program(const char *name, char *ret, size_t size)
{
	static const char *const dirs[] = {"/usr/sbin", "/sbin"};

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(ret, size, "%s/%s", dirs[i], name);
		if (!access(ret, X_OK))
			return 0;
	}
	return -ENOPKG;
}

/* stderr is why; stdout stands in when it says nothing. */
static void child_done(void *data, const struct run_result *result)
{
	struct child *c = data;
	size_t n = run_output_text(&result->out, CHILD_LINES, c->out, c->out_size);

	if (n && n + 1 < c->out_size && result->err.len)
		c->out[n++] = '\n';
	if (n < c->out_size)
		run_output_text(&result->err, CHILD_LINES, c->out + n, c->out_size - n);
	c->run = NULL;
	c->status = result->code;
	switch (result->kind) {
	case RUN_EXITED:
		c->result = 0;
		break;
	case RUN_CANCELLED:
		c->result = -EINTR;
		break;
	case RUN_TIMED_OUT:
		c->result = -ETIMEDOUT;
		break;
	case RUN_FAILED_TO_START:
		c->result = -result->code;
		break;
	default:
		c->result = -ECHILD;
		break;
	}
	qb_loop_stop(c->loop);
}

static int32_t child_signal(int32_t fd, int32_t events, void *data)
{
	struct signalfd_siginfo info;
	struct child *c = data;

	(void)events;
	if (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) && c->run)
		run_cancel(c->run, CHILD_GRACE_MS);
	return 0;
}

static int child_loop(struct child *c, const struct run_options *options)
{
	int r = qb_loop_poll_add(c->loop, QB_LOOP_HIGH, c->signal_fd, POLLIN, c, child_signal);

	if (!r)
		r = run_start(c->loop, options, child_done, c, &c->run);
	if (r)
		return r;
	qb_loop_run(c->loop);
	qb_loop_poll_del(c->loop, c->signal_fd);
	return c->result;
}

int lun_child_run(const char *const *argv, uint32_t timeout_ms, int *ret_status, char *out,
		  size_t out_size)
{
	struct run_options options = RUN_OPTIONS_INIT;
	struct child c = {.out = out, .out_size = out_size, .result = -ECHILD, .signal_fd = -1};
	sigset_t mask, before;
	char path[64];
	int r = find_program(argv[0], path, sizeof(path));

	out[0] = 0;
	if (r)
		return r;
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	options.path = path;
	options.argv = argv;
	options.timeout_ms = timeout_ms;
	sigprocmask(SIG_BLOCK, &mask, &before);
	c.signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	c.loop = qb_loop_create();
	r = c.signal_fd < 0 || !c.loop ? -ENOMEM : child_loop(&c, &options);
	if (c.loop)
		qb_loop_destroy(c.loop);
	lib_closep(&c.signal_fd);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (!r)
		*ret_status = c.status;
	return r;
}
