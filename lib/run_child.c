/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/run_child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_FAIL 127

/* ---- the child: it shares our memory until the exec. Async-signal-safe calls only. */

static void default_signals(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};

	for (int sig = 1; sig < NSIG; sig++)
		(void)sigaction(sig, &dfl, NULL); /* not SIGKILL, nor glibc's own */
}

static int take_descriptors(const struct run_child *c)
{
	int in = c->in >= 0 ? c->in : open("/dev/null", O_RDONLY);

	if (in < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(c->out, STDOUT_FILENO) < 0 ||
	    dup2(c->err, STDERR_FILENO) < 0)
		return -errno;
	return close_range(STDERR_FILENO + 1, ~0U, 0) < 0 ? -errno : 0;
}

static int prepare(const struct run_child *c)
{
	struct sched_param param = {.sched_priority = 0};
	sigset_t none;
	int r;

	if (write(c->procs, "0", 1) != 1 || setsid() < 0 ||
	    sched_setscheduler(0, SCHED_OTHER, &param) < 0)
		return -errno;
	r = take_descriptors(c);
	if (r)
		return r;
	default_signals();
	sigemptyset(&none);
	return chdir("/") < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

_Noreturn static void child(const struct run_child *c, volatile int *ret_error)
{
	int r = prepare(c);

	if (!r) {
		execve(c->path, (char *const *)c->argv, (char *const *)c->envp);
		r = -errno;
	}
	*ret_error = r;
	_exit(CHILD_FAIL);
}

/* ---- we, standing still until the child has executed its program or ended */

/* Apart, so that nothing but its own frame is there when vfork() returns the second time. */
static __attribute__((noinline)) pid_t spawn(const struct run_child *c, volatile int *ret_error)
{
	pid_t pid = vfork();

	if (!pid)
		child(c, ret_error);
	if (pid < 0)
		*ret_error = -errno;
	return pid;
}

int run_child_spawn(const struct run_child *c, pid_t *ret_pid)
{
	volatile int error = 0;
	sigset_t all, before;
	pid_t pid;
	int r;

	/* No handler of ours may run in the child, on our memory. */
	sigfillset(&all);
	r = -pthread_sigmask(SIG_SETMASK, &all, &before);
	if (r)
		return r;
	pid = spawn(c, &error);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid > 0 && error)
		(void)waitpid(pid, NULL, 0);
	if (!error)
		*ret_pid = pid;
	return error;
}
