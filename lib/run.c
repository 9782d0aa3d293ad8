/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/run.h"

#include <errno.h>
#include <fcntl.h>
#include <qb/qbloop.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/run_child.h"

#define RUN_READ_BYTES	   (16 * 1024) /* one read */
#define RUN_READS_PER_TURN 16	       /* then the loop may do other things */
#define RUN_TICK_MS	   20	       /* looking for the exit where no pidfd could be had */

enum run_phase {
	RUN_PHASE_UNBORN,   /* not started; the answer is on its way as a job */
	RUN_PHASE_RUNNING,  /* due: the deadline */
	RUN_PHASE_STOPPING, /* SIGTERM sent; due: the end of the grace */
	RUN_PHASE_KILLING,  /* SIGKILL sent; due: RUN_REAP_MS later */
	RUN_PHASE_DRAINING, /* ended, not reaped; due: RUN_DRAIN_MS later */
	RUN_PHASE_LEFT,	    /* answered; stays to reap it some day */
	RUN_PHASE_DONE,
	RUN_PHASE_MAX
};

#define RUN_BIT(phase) (1u << RUN_PHASE_##phase)

static const unsigned int run_phase_next[RUN_PHASE_MAX] = {
	[RUN_PHASE_UNBORN] = RUN_BIT(RUNNING) | RUN_BIT(DONE),
	[RUN_PHASE_RUNNING] = RUN_BIT(STOPPING) | RUN_BIT(KILLING) | RUN_BIT(DRAINING),
	[RUN_PHASE_STOPPING] = RUN_BIT(KILLING) | RUN_BIT(DRAINING),
	[RUN_PHASE_KILLING] = RUN_BIT(DRAINING) | RUN_BIT(LEFT),
	[RUN_PHASE_DRAINING] = RUN_BIT(DONE),
	[RUN_PHASE_LEFT] = RUN_BIT(DONE),
};

/* One stream: the first bytes, then a ring with the last ones, in one buffer. */
struct run_stream {
	int fd;
	struct run_capture keep;
	char *data; /* head_bytes + tail_bytes + 1 */
	uint64_t total;
};

enum run_stream_index { RUN_OUT, RUN_ERR, RUN_STREAM_MAX };

struct run {
	struct qb_loop *loop;
	run_done_fn done;
	void *data;
	enum run_phase phase;
	pid_t pid;
	int pidfd; /* -1: none could be had, the timer ticks instead */
	int timer_fd;
	uint64_t due_ms;
	uint32_t timeout_ms;
	uint32_t grace_ms;
	bool is_group_ended;
	struct run_stream stream[RUN_STREAM_MAX];
	struct run_result result;
};

/* The child's side, while it is being started. */
struct run_ends {
	int in;
	int out;
	int err;
};

static int32_t run_on_exit(int32_t fd, int32_t revents, void *data);
static int32_t run_on_timer(int32_t fd, int32_t revents, void *data);
static int32_t run_on_output(int32_t fd, int32_t revents, void *data);

static void run_move(struct run *run, enum run_phase next)
{
	must(run_phase_next[run->phase] & (1u << next));
	run->phase = next;
}

static uint64_t run_now_ms(void)
{
	struct timespec ts;

	must(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- streams ---- */

static void run_stream_keep(struct run_stream *s, const char *bytes, size_t n)
{
	size_t head = s->keep.head_bytes, tail = s->keep.tail_bytes;

	if (s->total < head) {
		size_t room = head - (size_t)s->total;
		size_t take = n < room ? n : room;

		memcpy(s->data + s->total, bytes, take);
		s->total += take;
		bytes += take;
		n -= take;
	}
	if (tail > 0 && n > tail) {
		s->total += n - tail;
		bytes += n - tail;
		n = tail;
	}
	if (tail > 0 && n > 0) {
		size_t pos = (size_t)((s->total - head) % tail);
		size_t first = n < tail - pos ? n : tail - pos;

		memcpy(s->data + head + pos, bytes, first);
		memcpy(s->data + head, bytes + first, n - first);
	}
	s->total += n;
}

static void run_reverse(char *p, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		char c = p[i];

		p[i] = p[n - 1 - i];
		p[n - 1 - i] = c;
	}
}

/* Turns the ring so that head and tail read in order. After it nothing may be added. */
static struct run_output run_stream_output(struct run_stream *s)
{
	size_t head = s->keep.head_bytes, tail = s->keep.tail_bytes;
	struct run_output o = {.data = s->data, .seam = head};

	if (s->total <= head + tail) {
		o.len = (size_t)s->total;
		o.seam = o.len < head ? o.len : head;
	} else {
		o.len = head + tail;
		o.dropped = s->total - o.len;
		if (tail > 0) {
			size_t pos = (size_t)((s->total - head) % tail);

			run_reverse(s->data + head, pos);
			run_reverse(s->data + head + pos, tail - pos);
			run_reverse(s->data + head, tail);
		}
	}
	s->data[o.len] = '\0';
	return o;
}

static void run_fd_close(struct run *run, int *fd)
{
	if (*fd < 0)
		return;
	(void)qb_loop_poll_del(run->loop, *fd); /* -ENOENT: was not added yet */
	close(steal_fd(fd));
}

/* Reads what is there, up to a turn's worth; closes the stream at its end or on an error. */
static void run_stream_read(struct run *run, struct run_stream *s)
{
	char buf[RUN_READ_BYTES];

	for (int i = 0; s->fd >= 0 && i < RUN_READS_PER_TURN; i++) {
		ssize_t n = read(s->fd, buf, sizeof(buf));

		if (n > 0)
			run_stream_keep(s, buf, (size_t)n);
		else if (n < 0 && errno == EINTR)
			continue;
		else if (n < 0 && errno == EAGAIN)
			return;
		else
			run_fd_close(run, &s->fd);
	}
}

/* ---- ending ---- */

static void run_timer_arm(struct run *run)
{
	uint64_t now_ms = run_now_ms();
	uint64_t ms = run->due_ms > now_ms ? run->due_ms - now_ms : 0;
	struct itimerspec t = {.it_value = {.tv_nsec = 1}}; /* 0 would disarm it */

	if (run->pidfd < 0 && run->phase != RUN_PHASE_DRAINING && ms > RUN_TICK_MS)
		ms = RUN_TICK_MS;
	if (ms > 0) {
		t.it_value.tv_sec = (time_t)(ms / 1000);
		t.it_value.tv_nsec = (long)(ms % 1000) * 1000000;
	}
	must(timerfd_settime(run->timer_fd, 0, &t, NULL) == 0);
}

static void run_timer_set(struct run *run, uint32_t ms)
{
	run->due_ms = run_now_ms() + ms;
	run_timer_arm(run);
}

static void run_release(struct run *run)
{
	for (int i = 0; i < RUN_STREAM_MAX; i++) {
		run_fd_close(run, &run->stream[i].fd);
		free(run->stream[i].data);
	}
	run_fd_close(run, &run->pidfd);
	run_fd_close(run, &run->timer_fd);
	free(run);
}

/* Only while the leader is not reaped: until then its number cannot become somebody else's. */
static void run_signal(const struct run *run, int sig)
{
	(void)kill(-run->pid, sig); /* ESRCH cannot be; EPERM: nothing that we could do */
}

/*
 * Has the program ended? Leaves it unreaped. With status: fills in kind and code, unless we ended
 * it ourselves.
 */
static bool run_has_ended(const struct run *run, struct run_result *ret_status)
{
	siginfo_t info = {.si_pid = 0};
	int r;

	do {
		r = waitid(P_PID, (id_t)run->pid, &info, WEXITED | WNOHANG | WNOWAIT);
	} while (r < 0 && errno == EINTR);
	/* ECHILD: somebody else reaped our child, against the rule in run.h. */
	must(r == 0);
	if (info.si_pid == 0)
		return false;
	if (ret_status && ret_status->kind == RUN_EXITED) {
		ret_status->kind = info.si_code == CLD_EXITED ? RUN_EXITED : RUN_SIGNALLED;
		ret_status->code = info.si_status;
	}
	return true;
}

static void run_reap(const struct run *run)
{
	siginfo_t info;
	int r;

	do {
		r = waitid(P_PID, (id_t)run->pid, &info, WEXITED | WNOHANG);
	} while (r < 0 && errno == EINTR);
	must(r == 0);
}

/* Gives the answer. The stream buffers end with it. */
static void run_answer(struct run *run)
{
	for (int i = 0; i < RUN_STREAM_MAX; i++)
		run_fd_close(run, &run->stream[i].fd);
	run->result.out = run_stream_output(&run->stream[RUN_OUT]);
	run->result.err = run_stream_output(&run->stream[RUN_ERR]);
	run->done(run->data, &run->result);
	for (int i = 0; i < RUN_STREAM_MAX; i++) {
		free(run->stream[i].data);
		run->stream[i].data = NULL;
	}
}

/*
 * Is there nothing to wait for any more? A group that was told to end by SIGTERM alone keeps its
 * RUN_DRAIN_MS even when it holds no pipe any more.
 */
static bool run_is_drained(const struct run *run)
{
	bool is_term_only =
		(run->result.kind == RUN_TIMED_OUT || run->result.kind == RUN_CANCELLED) &&
		!run->result.is_kill_sent;

	return run->stream[RUN_OUT].fd < 0 && run->stream[RUN_ERR].fd < 0 && !is_term_only;
}

/* The leader has ended and what it wrote has been read. */
static void run_finish(struct run *run)
{
	enum run_kind kind = run->result.kind;

	if (run->is_group_ended || kind == RUN_TIMED_OUT || kind == RUN_CANCELLED)
		run_signal(run, SIGKILL);
	run_reap(run);
	run_move(run, RUN_PHASE_DONE);
	run_fd_close(run, &run->pidfd);
	run_fd_close(run, &run->timer_fd);
	run_answer(run);
	run_release(run);
}

/*
 * The leader has ended. All that it wrote itself is in the pipes by now; helpers of its group may
 * still be writing, or dying from the same SIGTERM: they get RUN_DRAIN_MS.
 */
static void run_drain(struct run *run)
{
	run_move(run, RUN_PHASE_DRAINING);
	run->result.ended_ms = run_now_ms();
	run_fd_close(run, &run->pidfd); /* of a zombie: it would stay readable */
	for (int i = 0; i < RUN_STREAM_MAX; i++)
		run_stream_read(run, &run->stream[i]);
	if (run_is_drained(run))
		run_finish(run);
	else
		run_timer_set(run, RUN_DRAIN_MS);
}

static void run_kill(struct run *run)
{
	run_move(run, RUN_PHASE_KILLING);
	run->result.is_kill_sent = true;
	run_signal(run, SIGKILL);
	run_timer_set(run, RUN_REAP_MS);
}

static void run_stop(struct run *run, enum run_kind kind)
{
	run->result.kind = kind;
	run->result.code = 0;
	if (run->grace_ms == 0) {
		run_kill(run);
		return;
	}
	run_move(run, RUN_PHASE_STOPPING);
	run_signal(run, SIGTERM);
	run_signal(run, SIGCONT); /* a stopped process cannot obey */
	run_timer_set(run, run->grace_ms);
}

/* Not even SIGKILL ended it: answer, and stay to reap it when its disk sleep ends. */
static void run_leave(struct run *run)
{
	run_move(run, RUN_PHASE_LEFT);
	run->result.is_left_running = true;
	run->result.ended_ms = run_now_ms();
	run_answer(run);
	run_timer_set(run, RUN_REAP_MS);
}

/* The program has ended, and this is the first time that we see it. */
static void run_ended(struct run *run)
{
	if (run->phase != RUN_PHASE_LEFT) {
		run_drain(run);
		return;
	}
	run_reap(run);
	run_move(run, RUN_PHASE_DONE);
	run_release(run);
}

/* ---- events of the loop ---- */

static int32_t run_on_exit(int32_t fd, int32_t revents, void *data)
{
	struct run *run = data;

	(void)fd;
	(void)revents;
	if (run_has_ended(run, &run->result))
		run_ended(run);
	return 0;
}

static int32_t run_on_timer(int32_t fd, int32_t revents, void *data)
{
	struct run *run = data;
	uint64_t expirations;

	(void)revents;
	if (read(fd, &expirations, sizeof(expirations)) < 0)
		return 0; /* EAGAIN: it was set anew after it had expired */
	if (run->phase == RUN_PHASE_DRAINING)
		run_finish(run);
	else if (run_has_ended(run, &run->result))
		run_ended(run); /* perhaps in time: it is we who are late */
	else if (run->phase == RUN_PHASE_LEFT)
		run_timer_set(run, RUN_REAP_MS);
	else if (run_now_ms() < run->due_ms)
		run_timer_arm(run);
	else if (run->phase == RUN_PHASE_RUNNING)
		run_stop(run, RUN_TIMED_OUT);
	else if (run->phase == RUN_PHASE_STOPPING)
		run_kill(run);
	else if (run->phase == RUN_PHASE_KILLING)
		run_leave(run);
	return 0;
}

static int32_t run_on_output(int32_t fd, int32_t revents, void *data)
{
	struct run *run = data;
	(void)revents;
	run_stream_read(run, &run->stream[fd == run->stream[RUN_OUT].fd ? RUN_OUT : RUN_ERR]);
	if (run->phase == RUN_PHASE_DRAINING && run_is_drained(run))
		run_finish(run);
	return 0;
}

static void run_on_unborn(void *data)
{
	struct run *run = data;

	run_move(run, RUN_PHASE_DONE);
	run_answer(run);
	run_release(run);
}

/* ---- starting ---- */

/* Both ends close-on-exec and above 2, so that dup2() in the child cannot tread on them. */
static int run_pipe(int *ret_read, int *ret_write)
{
	int end[2];

	if (pipe2(end, O_CLOEXEC) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		int fd, r;

		if (end[i] > STDERR_FILENO)
			continue;
		fd = fcntl(end[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		r = -errno;
		close(end[i]);
		end[i] = fd;
		if (fd < 0) {
			close(end[1 - i]);
			return r;
		}
	}
	*ret_read = end[0];
	*ret_write = end[1];
	return 0;
}

static int run_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

/*
 * Puts all of the input into a pipe whose both ends are ours: no SIGPIPE, no blocking, nothing left
 * to do later. -ENOBUFS: the pipe is too small (pipe-user-pages-soft of an unprivileged user).
 */
static int run_input(const void *input, size_t len, int *ret_fd)
{
	_cleanup_close_ int rd = -1, wr = -1;
	const char *p = input;
	int r = run_pipe(&rd, &wr);

	if (r < 0)
		return r;
	if (len > 4096)
		(void)fcntl(wr, F_SETPIPE_SZ, RUN_INPUT_MAX);
	r = run_nonblock(wr);
	if (r < 0)
		return r;
	while (len > 0) {
		ssize_t n = write(wr, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ENOBUFS : -errno;
		p += n;
		len -= (size_t)n;
	}
	*ret_fd = steal_fd(&rd);
	return 0;
}

static int run_stream_open(struct run *run, enum run_stream_index index, int *ret_child_fd)
{
	struct run_stream *s = &run->stream[index];
	int r = run_pipe(&s->fd, ret_child_fd);

	if (r < 0)
		return r;
	r = run_nonblock(s->fd);
	if (r < 0)
		return r;
	return qb_loop_poll_add(run->loop, QB_LOOP_MED, s->fd, POLLIN, run, run_on_output);
}

static int run_timer_open(struct run *run)
{
	run->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (run->timer_fd < 0)
		return -errno;
	return qb_loop_poll_add(run->loop, QB_LOOP_MED, run->timer_fd, POLLIN, run, run_on_timer);
}

static int run_file_actions(posix_spawn_file_actions_t *fa, const struct run_ends *child)
{
	int r;

	if (child->in >= 0)
		r = posix_spawn_file_actions_adddup2(fa, child->in, STDIN_FILENO);
	else
		r = posix_spawn_file_actions_addopen(fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(fa, child->out, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(fa, child->err, STDERR_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(fa, STDERR_FILENO + 1);
	if (r == 0)
		r = posix_spawn_file_actions_addchdir_np(fa, "/");
	return -r;
}

/* setsid() makes the group too. SCHED_OTHER: our real-time priority is not for agents. */
static int run_attributes(posix_spawnattr_t *attr)
{
	struct sched_param param = {.sched_priority = 0};
	sigset_t all, none;
	int r;

	/* Not sigfillset(): glibc leaves its own 32 and 33 out, and posix_spawn() then ignores
	 * them. */
	memset(&all, 0xff, sizeof(all));
	sigemptyset(&none);
	r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF |
						   POSIX_SPAWN_SETSIGMASK |
						   POSIX_SPAWN_SETSCHEDULER);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &all);
	if (r == 0)
		r = posix_spawnattr_setsigmask(attr, &none);
	if (r == 0)
		r = posix_spawnattr_setschedpolicy(attr, SCHED_OTHER);
	if (r == 0)
		r = posix_spawnattr_setschedparam(attr, &param);
	return -r;
}

static int run_spawn_here(const char *path, const char *const *argv, const char *const *envp,
			  const struct run_ends *child, pid_t *ret_pid)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	pid_t pid;
	int r;

	r = -posix_spawn_file_actions_init(&fa);
	if (r < 0)
		return r;
	r = -posix_spawnattr_init(&attr);
	if (r < 0)
		goto out_fa;
	r = run_file_actions(&fa, child);
	if (r == 0)
		r = run_attributes(&attr);
	if (r == 0)
		r = -posix_spawn(&pid, path, &fa, &attr, (char *const *)argv,
				 (char *const *)envp); /* which it does not write to */
	posix_spawnattr_destroy(&attr);
	if (r == 0)
		*ret_pid = pid;
out_fa:
	posix_spawn_file_actions_destroy(&fa);
	return r;
}

static int run_spawn(const struct run_options *o, const struct run_ends *child, pid_t *ret_pid)
{
	const char *const argv_default[] = {o->path, NULL}, *const envp_empty[] = {NULL};
	const char *const *argv = o->argv ? o->argv : argv_default;
	const char *const *envp = o->envp ? o->envp : envp_empty;
	struct run_child apart = {.path = o->path,
				  .argv = argv,
				  .envp = envp,
				  .in = child->in,
				  .out = child->out,
				  .err = child->err};

	if (!o->procs)
		return run_spawn_here(o->path, argv, envp, child, ret_pid);
	apart.procs = *o->procs;
	return run_child_spawn(&apart, ret_pid);
}

/* The child runs: from here on nothing can fail. */
static void run_adopt(struct run *run)
{
	run->pidfd = pidfd_open(run->pid, 0);
	if (run->pidfd >= 0 &&
	    qb_loop_poll_add(run->loop, QB_LOOP_MED, run->pidfd, POLLIN, run, run_on_exit) < 0)
		run_fd_close(run, &run->pidfd);
	run_move(run, RUN_PHASE_RUNNING);
	run_timer_set(run, run->timeout_ms);
}

static int run_launch(struct run *run, const struct run_options *o)
{
	_cleanup_close_ int in = -1, out = -1, err = -1;
	int r;

	if (o->input) {
		r = run_input(o->input, o->input_len, &in);
		if (r < 0)
			return r;
	}
	r = run_stream_open(run, RUN_OUT, &out);
	if (r < 0)
		return r;
	r = run_stream_open(run, RUN_ERR, &err);
	if (r < 0)
		return r;
	r = run_timer_open(run);
	if (r < 0)
		return r;
	run->result.started_ms = run_now_ms();
	r = run_spawn(o, &(struct run_ends){.in = in, .out = out, .err = err}, &run->pid);
	if (r < 0)
		return r;
	run_adopt(run);
	return 0;
}

static int run_options_check(const struct run_options *o)
{
	const struct run_capture *keep[RUN_STREAM_MAX] = {&o->out, &o->err};
	struct sigaction sa;

	if (!o->path || o->path[0] != '/' || (o->argv && !o->argv[0]))
		return -EINVAL;
	if (o->timeout_ms == 0 || o->timeout_ms > RUN_TIMEOUT_MAX || o->grace_ms > RUN_GRACE_MAX)
		return -EINVAL;
	for (int i = 0; i < RUN_STREAM_MAX; i++)
		if (keep[i]->head_bytes > RUN_CAPTURE_MAX ||
		    keep[i]->tail_bytes > RUN_CAPTURE_MAX - keep[i]->head_bytes)
			return -EINVAL;
	if (!o->input && o->input_len > 0)
		return -EINVAL;
	if (o->input_len > RUN_INPUT_MAX)
		return -E2BIG;
	if (sigaction(SIGCHLD, NULL, &sa) < 0)
		return -errno;
	if (sa.sa_handler == SIG_IGN || (sa.sa_flags & SA_NOCLDWAIT))
		return -ECHILD;
	return 0;
}

static struct run *run_new(struct qb_loop *loop, const struct run_options *o)
{
	struct run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	run->loop = loop;
	run->pidfd = run->timer_fd = -1;
	run->timeout_ms = o->timeout_ms;
	run->grace_ms = o->grace_ms;
	run->is_group_ended = o->is_group_ended;
	run->stream[RUN_OUT] = (struct run_stream){.fd = -1, .keep = o->out};
	run->stream[RUN_ERR] = (struct run_stream){.fd = -1, .keep = o->err};
	for (int i = 0; i < RUN_STREAM_MAX; i++) {
		struct run_stream *s = &run->stream[i];

		s->data = malloc(s->keep.head_bytes + s->keep.tail_bytes + 1);
		if (!s->data) {
			run_release(run);
			return NULL;
		}
	}
	return run;
}

int run_start(struct qb_loop *loop, const struct run_options *options, run_done_fn done, void *data,
	      struct run **ret_run)
{
	struct run *run;
	int r = run_options_check(options);

	if (r < 0)
		return r;
	run = run_new(loop, options);
	if (!run)
		return -ENOMEM;
	run->done = done;
	run->data = data;
	r = run_launch(run, options);
	if (r < 0) {
		run->result.kind = RUN_FAILED_TO_START;
		run->result.code = -r;
		run->result.started_ms = run->result.ended_ms = run_now_ms();
		r = qb_loop_job_add(loop, QB_LOOP_MED, run, run_on_unborn);
		if (r < 0) {
			run_release(run);
			return r;
		}
	}
	if (ret_run)
		*ret_run = run;
	return 0;
}

void run_cancel(struct run *run, uint32_t grace_ms)
{
	uint64_t now_ms = run_now_ms();

	if (run->phase == RUN_PHASE_RUNNING) {
		if (run_has_ended(run, NULL))
			return; /* run_on_exit() comes */
		run->grace_ms = grace_ms;
		run_stop(run, RUN_CANCELLED);
	} else if (run->phase == RUN_PHASE_STOPPING && now_ms + grace_ms < run->due_ms) {
		run_timer_set(run, grace_ms);
	}
}

int run_pid(const struct run *run)
{
	return run->pid;
}

struct run *run_free(struct run *run)
{
	if (!run)
		return NULL;
	must(run->phase != RUN_PHASE_DONE && run->phase != RUN_PHASE_LEFT);
	if (run->phase == RUN_PHASE_UNBORN) {
		(void)qb_loop_job_del(run->loop, QB_LOOP_MED, run, run_on_unborn);
	} else {
		run_signal(run, SIGKILL);
		run_reap(run);
	}
	run_release(run);
	return NULL;
}

/* ---- output as text ---- */

/* Length of the UTF-8 character at p (n > 0 bytes there), 0 if it is none. RFC 3629, table of 4. */
static size_t run_utf8_char(const unsigned char *p, size_t n, uint32_t *ret_char)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t c = p[0];
	size_t len;

	if (c < 0x80)
		len = 1;
	else if (c >= 0xc2 && c <= 0xf4)
		len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	else
		return 0;
	if (len > n)
		return 0;
	if (len > 1)
		c &= 0x7fu >> len;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret_char = c;
	return len;
}

/* Controls (C0, DEL, C1), bidirectional and zero-width formatting, separators, non-characters. */
static bool run_is_printable(uint32_t c)
{
	static const uint32_t hidden[][2] = {
		{0x00, 0x1f},	  {0x7f, 0x9f},	    {0xad, 0xad},	{0x61c, 0x61c},
		{0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},	{0xfeff, 0xfeff},
		{0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0xe0fff},
	};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(hidden); i++)
		if (c >= hidden[i][0] && c <= hidden[i][1])
			return false;
	return true;
}

/* Where the last `lines` lines of data[0..end) begin, within `max` bytes and behind the seam. */
static size_t run_text_begin(const struct run_output *o, size_t end, unsigned int lines, size_t max)
{
	size_t floor = o->dropped > 0 && o->seam < end ? o->seam : 0;
	size_t begin = end;

	if (end - floor > max)
		floor = end - max;
	while (begin > floor && lines > 0) {
		if (o->data[begin - 1] == '\n' && --lines == 0)
			break;
		begin--;
	}
	/* Not in the middle of a character. */
	for (int i = 0; i < 3 && begin == floor && begin > 0 && begin < end; i++) {
		if (((unsigned char)o->data[begin] & 0xc0) != 0x80)
			break;
		floor = ++begin;
	}
	return begin;
}

size_t run_output_text(const struct run_output *output, unsigned int lines, char *buf, size_t cap)
{
	const unsigned char *p = (const unsigned char *)output->data;
	size_t end = output->len, n = 0, i;

	must(cap > 0);
	while (end > 0 && (p[end - 1] == ' ' || (p[end - 1] >= '\t' && p[end - 1] <= '\r')))
		end--;
	/* A character never becomes longer, so the bytes read bound the bytes written. */
	for (i = run_text_begin(output, end, lines, cap - 1); i < end;) {
		uint32_t c = 0;
		size_t len = run_utf8_char(p + i, end - i, &c);

		if (len > 0 && (c == '\n' || run_is_printable(c))) {
			memcpy(buf + n, p + i, len);
			n += len;
		} else {
			buf[n++] = c == '\t' || c == '\r' ? ' ' : '?';
		}
		i += len > 0 ? len : 1;
	}
	buf[n] = '\0';
	return n;
}

const char *run_kind_name(enum run_kind kind)
{
	static const char *const names[RUN_KIND_MAX] = {
		[RUN_EXITED] = "exited",
		[RUN_SIGNALLED] = "signalled",
		[RUN_TIMED_OUT] = "timed out",
		[RUN_CANCELLED] = "cancelled",
		[RUN_FAILED_TO_START] = "failed to start",
	};

	return (unsigned int)kind < RUN_KIND_MAX ? names[kind] : "?";
}
