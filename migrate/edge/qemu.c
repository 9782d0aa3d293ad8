/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/edge/qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/run.h"
#include "migrate/edge/cgroup.h"
#include "migrate/edge/due.h"

#define REAP_MS	   20 /* between looks at a control group that is not empty yet */
#define FIRST_FD   3
#define PARKED_FD  100 /* above every descriptor that the child is to have */
#define CHILD_FAIL 127

struct qemu {
	qb_loop_t *loop;
	pid_t pid;
	int pidfd, err;
	struct due *due;
	char cgroup[CGROUP_PATH];
	void (*on_end)(void *arg, const char *text);
	void *arg;
	bool is_reaped, is_told;
	char how[64];
	char kept[QEMU_STDERR];
	size_t n_kept;
};

/* ---- the child, between fork and exec: async-signal-safe calls only */

struct child {
	char *const *argv;
	int in, err, report, procs;
	const int *fds;
	size_t n_fds;
	pid_t parent;
};

static bool child_descriptors(const struct child *c)
{
	int report = fcntl(c->report, F_DUPFD_CLOEXEC, PARKED_FD + QEMU_FDS);

	if (report < 0 || dup2(c->in, STDIN_FILENO) < 0 || dup2(c->err, STDOUT_FILENO) < 0 ||
	    dup2(c->err, STDERR_FILENO) < 0)
		return false;
	/* Out of the way first: what is to become 3 may be where another one is. */
	for (size_t i = 0; i < c->n_fds; i++) {
		if (dup2(c->fds[i], PARKED_FD + (int)i) < 0)
			return false;
	}
	for (size_t i = 0; i < c->n_fds; i++) {
		if (dup2(PARKED_FD + (int)i, FIRST_FD + (int)i) < 0)
			return false;
	}
	return close_range((unsigned int)(FIRST_FD + (int)c->n_fds), ~0U, CLOSE_RANGE_CLOEXEC) == 0;
}

_Noreturn static void child_run(const struct child *c)
{
	static char *const envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;
	int e;

	sigemptyset(&none);
	for (int sig = 1; sig < NSIG; sig++)
		(void)sigaction(sig, &dfl, NULL);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if ((c->procs < 0 || write(c->procs, "0", 1) == 1) && setsid() > 0 &&
	    prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == c->parent && chdir("/") == 0 &&
	    child_descriptors(c))
		execve(c->argv[0], c->argv, envp);
	e = errno;
	/* The parent reads that, or is gone. */
	if (write(c->report, &e, sizeof(e)) < 0)
		_exit(CHILD_FAIL);
	_exit(CHILD_FAIL);
}

/* ---- what it says ---- */

static void keep(struct qemu *q, const char *bytes, size_t n)
{
	if (n >= sizeof(q->kept)) {
		bytes += n - sizeof(q->kept);
		n = sizeof(q->kept);
		q->n_kept = 0;
	}
	if (q->n_kept + n > sizeof(q->kept)) {
		size_t drop = q->n_kept + n - sizeof(q->kept);

		memmove(q->kept, q->kept + drop, q->n_kept - drop);
		q->n_kept -= drop;
	}
	memcpy(q->kept + q->n_kept, bytes, n);
	q->n_kept += n;
}

static void close_stderr(struct qemu *q)
{
	if (q->err < 0)
		return;
	(void)qb_loop_poll_del(q->loop, q->err);
	close(steal_fd(&q->err));
}

/* One buffer a turn, so that a flood does not hold the loop. */
static int32_t on_stderr(int32_t fd, int32_t revents, void *data)
{
	struct qemu *q = data;
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	(void)revents;
	if (n > 0)
		keep(q, buf, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		close_stderr(q);
	return 0;
}

void qemu_stderr(const struct qemu *q, char *buf, size_t cap)
{
	struct run_output o = {.data = q->kept, .len = q->n_kept, .seam = q->n_kept};

	run_output_text(&o, 2, buf, cap);
	for (char *c = buf; *c; c++)
		*c = *c == '\n' ? ' ' : *c;
}

/* ---- its end ---- */

static void reap(struct qemu *q)
{
	int status = 0;
	pid_t r;

	do {
		r = waitpid(q->pid, &status, WNOHANG);
	} while (r < 0 && errno == EINTR);
	if (r == 0)
		return;
	must(r == q->pid);
	q->is_reaped = true;
	if (WIFEXITED(status))
		snprintf(q->how, sizeof(q->how), "exit code %d", WEXITSTATUS(status));
	else
		snprintf(q->how, sizeof(q->how), "signal %d", WTERMSIG(status));
	if (q->pidfd >= 0) {
		(void)qb_loop_poll_del(q->loop, q->pidfd);
		close(steal_fd(&q->pidfd));
	}
}

static void drain_stderr(struct qemu *q)
{
	char buf[4096];
	ssize_t n;

	while (q->err >= 0 && (n = read(q->err, buf, sizeof(buf))) > 0)
		keep(q, buf, (size_t)n);
	close_stderr(q);
}

/* Its sandbox lets it start no process; if something is in its group all the same, it goes too. */
static void look(void *arg)
{
	struct qemu *q = arg;
	char said[QEMU_TEXT], text[QEMU_TEXT + 80];

	if (!q->is_reaped)
		reap(q);
	if (!q->is_reaped || q->is_told)
		return;
	if (q->cgroup[0] && cgroup_is_populated(q->cgroup)) {
		(void)cgroup_kill(q->cgroup);
		due_at(q->due, due_now_ms() + REAP_MS);
		return;
	}
	drain_stderr(q);
	if (q->cgroup[0])
		cgroup_remove(q->cgroup);
	q->is_told = true;
	qemu_stderr(q, said, sizeof(said));
	snprintf(text, sizeof(text), "QEMU ended: %s%s%s", q->how, said[0] ? ": " : "", said);
	q->on_end(q->arg, text);
}

static int32_t on_pidfd(int32_t fd, int32_t revents, void *data)
{
	(void)fd;
	(void)revents;
	look(data);
	return 0;
}

void qemu_kill(struct qemu *q)
{
	if (q->cgroup[0])
		(void)cgroup_kill(q->cgroup);
	if (!q->is_reaped)
		(void)kill(q->pid, SIGKILL);
}

int qemu_pid(const struct qemu *q)
{
	return q->is_reaped ? 0 : q->pid;
}

/* ---- its begin ---- */

/* Forks and waits for the exec, or the reason why there was none. */
static int spawn(const struct qemu_options *o, struct qemu *q)
{
	_cleanup_close_ int in = open("/dev/null", O_RDONLY | O_CLOEXEC), procs = -1;
	_cleanup_close_ int err_child = -1, report = -1, report_child = -1;
	int end[2], e = 0;
	struct child c = {.argv = o->argv, .fds = o->fds, .n_fds = o->n_fds, .parent = getpid()};
	ssize_t n;

	if (in < 0 || pipe2(end, O_CLOEXEC) < 0)
		return -errno;
	q->err = end[0];
	err_child = end[1];
	if (fcntl(q->err, F_SETFL, O_NONBLOCK) < 0 || pipe2(end, O_CLOEXEC) < 0)
		return -errno;
	report = end[0];
	report_child = end[1];
	if (q->cgroup[0])
		procs = cgroup_open_procs(q->cgroup);
	if (q->cgroup[0] && procs < 0)
		return procs;
	c.in = in;
	c.err = err_child;
	c.report = report_child;
	c.procs = procs;
	q->pid = fork();
	if (q->pid == 0)
		child_run(&c);
	if (q->pid < 0)
		return -errno;
	close(steal_fd(&report_child));
	do {
		n = read(report, &e, sizeof(e));
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0; /* closed by the exec */
	(void)waitpid(q->pid, NULL, 0);
	q->is_reaped = true;
	return n == sizeof(e) && e ? -e : -EIO;
}

int qemu_start(qb_loop_t *loop, const struct qemu_options *o, struct qemu **ret)
{
	struct qemu *q = calloc(1, sizeof(*q));
	int r;

	must(o->n_fds <= QEMU_FDS && strlen(o->cgroup) < CGROUP_PATH);
	if (!q)
		return -ENOMEM;
	*q = (struct qemu){
		.loop = loop, .pidfd = -1, .err = -1, .on_end = o->on_end, .arg = o->arg};
	q->is_reaped = true; /* until there is one */
	memcpy(q->cgroup, o->cgroup, strlen(o->cgroup) + 1);
	r = due_open(loop, look, q, &q->due);
	if (!r) {
		q->is_reaped = false;
		r = spawn(o, q);
		q->is_reaped |= q->pid <= 0;
	}
	if (!r) {
		q->pidfd = pidfd_open(q->pid, 0);
		r = q->pidfd < 0 ? -errno : 0;
	}
	if (!r)
		r = qb_loop_poll_add(loop, QB_LOOP_HIGH, q->pidfd, POLLIN, q, on_pidfd);
	if (!r)
		r = qb_loop_poll_add(loop, QB_LOOP_LOW, q->err, POLLIN, q, on_stderr);
	if (r) {
		qemu_free(q);
		return r;
	}
	*ret = q;
	return 0;
}

struct qemu *qemu_free(struct qemu *q)
{
	if (!q)
		return NULL;
	if (!q->is_reaped) {
		qemu_kill(q);
		(void)waitpid(q->pid, NULL, 0);
	}
	if (q->pidfd >= 0) {
		(void)qb_loop_poll_del(q->loop, q->pidfd);
		close(q->pidfd);
	}
	close_stderr(q);
	if (q->cgroup[0])
		cgroup_remove(q->cgroup);
	due_close(q->due);
	free(q);
	return NULL;
}
