/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lib/run with real children, most of them badly behaved (tests/agents). */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>
#include <dirent.h>
#include <qb/qbloop.h>
#include <sys/pidfd.h>

#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/run.h"

#define GUARD_MS 60000 /* no test may take longer */
#define SLACK_MS 3000  /* for a machine that is busy, or valgrind */

struct outcome {
	qb_loop_t *loop;
	int calls;
	int wanted; /* the loop ends after so many */
	struct run_result result;
	char *out;
	char *err;
};

static char agents_dir[4096];
static char tmp_dir[] = "/tmp/test_run.XXXXXX";

/* Stands in for libc's: a process that not even SIGKILL ends cannot be made at will. */
static bool is_kill_void;

int kill(pid_t pid, int sig)
{
	if (is_kill_void)
		return 0;
	return (int)syscall(SYS_kill, pid, sig);
}

/* Likewise: a kernel, or a valgrind, without pidfds. */
static bool is_pidfd_missing;

int pidfd_open(pid_t pid, unsigned int flags)
{
	if (is_pidfd_missing) {
		errno = ENOSYS;
		return -1;
	}
	return (int)syscall(SYS_pidfd_open, pid, flags);
}

/* valgrind's vfork() is a fork(): posix_spawn() cannot tell a failed exec there. */
static bool is_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static char *copy(const struct run_output *o)
{
	char *p = malloc(o->len + 1);

	assert_non_null(p);
	memcpy(p, o->data, o->len + 1);
	assert_int_equal(p[o->len], '\0');
	return p;
}

static void on_done(void *data, const struct run_result *result)
{
	struct outcome *o = data;

	o->calls++;
	free(o->out);
	free(o->err);
	o->result = *result;
	o->result.out.data = o->out = copy(&result->out);
	o->result.err.data = o->err = copy(&result->err);
	if (o->calls == o->wanted)
		qb_loop_stop(o->loop);
}

static void on_guard(void *data)
{
	(void)data;
	fail_msg("no answer within %d ms", GUARD_MS);
}

static int setup(void **state)
{
	struct outcome *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	o->loop = qb_loop_create();
	o->wanted = 1;
	assert_non_null(o->loop);
	*state = o;
	return 0;
}

static int teardown(void **state)
{
	struct outcome *o = *state;
	siginfo_t info;

	qb_loop_destroy(o->loop);
	free(o->out);
	free(o->err);
	free(o);
	/* Nothing is left unreaped. */
	assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), -1);
	assert_int_equal(errno, ECHILD);
	return 0;
}

static void spin(struct outcome *o)
{
	qb_loop_timer_handle guard;

	assert_int_equal(qb_loop_timer_add(o->loop, QB_LOOP_HIGH, GUARD_MS * 1000000ULL, NULL,
					   on_guard, &guard),
			 0);
	qb_loop_run(o->loop);
	qb_loop_timer_del(o->loop, guard);
}

static void on_pause_over(void *data)
{
	qb_loop_stop(data);
}

/* Lets the loop turn for a while: for what must not happen, or happens after the answer. */
static void spin_ms(struct outcome *o, uint64_t ms)
{
	qb_loop_timer_handle th;

	assert_int_equal(qb_loop_timer_add(o->loop, QB_LOOP_LOW, ms * 1000000ULL, o->loop,
					   on_pause_over, &th),
			 0);
	qb_loop_run(o->loop);
}

static void run_to_end(struct outcome *o, const struct run_options *options)
{
	int fds = count_fds();

	assert_int_equal(run_start(o->loop, options, on_done, o, NULL), 0);
	assert_int_equal(o->calls, 0);
	spin(o);
	assert_int_equal(o->calls, 1);
	spin_ms(o, 20);
	assert_int_equal(o->calls, 1);
	assert_int_equal(count_fds(), fds);
}

static struct run_options shell(const char *script)
{
	static const char *argv[4] = {"sh", "-c"};
	struct run_options options = RUN_OPTIONS_INIT;

	argv[2] = script;
	options.path = "/bin/sh";
	options.argv = argv;
	options.timeout_ms = 30000;
	options.grace_ms = 2000;
	return options;
}

static char rsctmp_env[128];
static const char *const agent_envp[] = {"PATH=/usr/bin:/bin", rsctmp_env, NULL};

static struct run_options agent(const char *name)
{
	static char path[sizeof(agents_dir) + 64];
	struct run_options options = RUN_OPTIONS_INIT;

	snprintf(path, sizeof(path), "%s/resource.d/odd/%s", agents_dir, name);
	options.path = path;
	options.envp = agent_envp;
	options.timeout_ms = 30000;
	options.grace_ms = 2000;
	return options;
}

static pid_t read_pid(const char *name)
{
	char path[256];
	_cleanup_fclose_ FILE *f = NULL;
	int pid = 0;

	snprintf(path, sizeof(path), "%s/%s", tmp_dir, name);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	unlink(path);
	return pid;
}

/* Gone or a zombie that is not ours to reap. */
static bool is_dead(pid_t pid)
{
	char path[64], status = '?';
	_cleanup_fclose_ FILE *f = NULL;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return true;
	return fscanf(f, "%*d %*s %c", &status) == 1 && (status == 'Z' || status == 'X');
}

static void assert_dies(struct outcome *o, pid_t pid)
{
	for (int i = 0; i < 100 && !is_dead(pid); i++)
		spin_ms(o, 20);
	assert_true(is_dead(pid));
}

static void assert_kind(const struct outcome *o, enum run_kind kind, int code)
{
	assert_string_equal(run_kind_name(o->result.kind), run_kind_name(kind));
	assert_int_equal(o->result.code, code);
}

static uint64_t duration_ms(const struct outcome *o)
{
	return o->result.ended_ms - o->result.started_ms;
}

/* ---- what the child gets ---- */

static void tells_exit_status_and_both_streams(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("echo out; echo err >&2; exit 7");

	run_to_end(o, &options);
	assert_kind(o, RUN_EXITED, 7);
	assert_string_equal(o->out, "out\n");
	assert_string_equal(o->err, "err\n");
	assert_false(o->result.is_kill_sent || o->result.is_left_running);
	assert_true(o->result.out.dropped == 0 && o->result.out.seam == 4);
}

static void child_has_no_environment_unless_given(void **state)
{
	struct outcome *o = *state;
	struct run_options options = RUN_OPTIONS_INIT;
	const char *const envp[] = {"A=1", "B=", NULL};

	options.path = "/usr/bin/env";
	options.timeout_ms = 10000;
	run_to_end(o, &options);
	assert_string_equal(o->out, "");
	o->calls = 0;
	options.envp = envp;
	run_to_end(o, &options);
	assert_string_equal(o->out, "A=1\nB=\n");
}

static void child_has_three_descriptors_and_the_root_directory(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("ls /proc/$$/fd; readlink /proc/$$/cwd /proc/$$/fd/0");
	int leak = dup(STDERR_FILENO); /* not close-on-exec */

	options.envp = agent_envp;
	run_to_end(o, &options);
	close(leak);
	assert_string_equal(o->out, "0\n1\n2\n/\n/dev/null\n");
}

static void child_starts_well_though_our_own_standard_streams_are_closed(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("cat; echo err >&2");
	int saved[3];

	options.envp = agent_envp;
	options.input = "in";
	options.input_len = 2;
	for (int i = 0; i < 3; i++) {
		saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
		close(i);
	}
	/* No assert while stderr is away. */
	if (run_start(o->loop, &options, on_done, o, NULL) == 0)
		spin(o);
	for (int i = 0; i < 3; i++) {
		if (saved[i] >= 0)
			dup2(saved[i], i);
		close(saved[i]);
	}
	assert_kind(o, RUN_EXITED, 0);
	assert_string_equal(o->out, "in");
	assert_string_equal(o->err, "err\n");
}

static void child_leads_a_session_and_has_default_signals(void **state)
{
	struct outcome *o = *state;
	const char *const argv[] = {"grep", "-hE", "^(Sig(Blk|Ign)|NSpid|NSsid|NSpgid)",
				    "/proc/self/status", NULL};
	struct run_options options = RUN_OPTIONS_INIT;
	sigset_t some, saved;
	int pid, pgid, sid;
	unsigned long long blk, ign;
	void (*old)(int) = signal(SIGPIPE, SIG_IGN);

	sigemptyset(&some);
	sigaddset(&some, SIGTERM);
	sigaddset(&some, SIGUSR1);
	sigprocmask(SIG_BLOCK, &some, &saved);
	options.path = "/usr/bin/grep";
	options.argv = argv;
	options.timeout_ms = 10000;
	run_to_end(o, &options);
	sigprocmask(SIG_SETMASK, &saved, NULL);
	signal(SIGPIPE, old);
	assert_int_equal(sscanf(o->out, "NSpid: %d NSpgid: %d NSsid: %d SigBlk: %llx SigIgn: %llx",
				&pid, &pgid, &sid, &blk, &ign),
			 5);
	assert_true(pid > 0 && pid == pgid && pid == sid);
	assert_int_equal(blk, 0);
	assert_int_equal(ign, 0);
}

static void child_does_not_inherit_real_time_priority(void **state)
{
	struct outcome *o = *state;
	struct sched_param rt = {.sched_priority = 1}, normal = {.sched_priority = 0};
	const char *const argv[] = {"cat", "/proc/self/sched", NULL};
	struct run_options options = RUN_OPTIONS_INIT;
	const char *policy;

	if (sched_setscheduler(0, SCHED_RR, &rt) < 0 &&
	    sched_setscheduler(0, SCHED_BATCH, &normal) < 0)
		fail_msg("no other scheduling policy can be set: %s", strerror(errno));
	options.path = "/bin/cat";
	options.argv = argv;
	options.timeout_ms = 10000;
	run_to_end(o, &options);
	assert_int_equal(sched_setscheduler(0, SCHED_OTHER, &normal), 0);
	policy = strstr(o->out, "\npolicy");
	if (!policy) { /* a kernel without CONFIG_SCHED_DEBUG */
		print_message("/proc/self/sched shows no policy here\n");
		return;
	}
	assert_int_equal(strtol(strchr(policy, ':') + 1, NULL, 10), SCHED_OTHER);
}

/* ---- stdin ---- */

static void input_arrives_whole(void **state)
{
	struct outcome *o = *state;
	const char *const argv[] = {"cat", NULL};
	struct run_options options = RUN_OPTIONS_INIT;
	char *input = malloc(RUN_INPUT_MAX);

	assert_non_null(input);
	for (size_t i = 0; i < RUN_INPUT_MAX; i++)
		input[i] = (char)(i * 7);
	options.path = "/bin/cat";
	options.argv = argv;
	options.input = input;
	options.input_len = RUN_INPUT_MAX;
	options.out = (struct run_capture){.head_bytes = RUN_INPUT_MAX};
	options.timeout_ms = 10000;
	run_to_end(o, &options);
	assert_int_equal(o->result.out.len, RUN_INPUT_MAX);
	assert_memory_equal(o->out, input, RUN_INPUT_MAX);
	options.input_len++;
	assert_int_equal(run_start(o->loop, &options, on_done, o, NULL), -E2BIG);
	free(input);
}

static void input_that_nobody_reads_does_no_harm(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("exec 0<&-; exit 3");

	options.input = "secret=1\n";
	options.input_len = 9;
	run_to_end(o, &options);
	assert_kind(o, RUN_EXITED, 3);
}

static void empty_input_is_an_end_of_file(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("read x || echo end");

	options.input = "";
	run_to_end(o, &options);
	assert_string_equal(o->out, "end\n");
}

/* ---- output ---- */

static void flood_is_bounded_and_counted(void **state)
{
	struct outcome *o = *state;
	struct run_options options = agent("flood");

	options.out = (struct run_capture){.head_bytes = 1000};
	options.err = (struct run_capture){.head_bytes = 10, .tail_bytes = 20};
	run_to_end(o, &options);
	assert_kind(o, RUN_EXITED, 1);
	assert_int_equal(o->result.out.len, 1000);
	assert_int_equal(o->result.out.dropped, 52428800 - 1000);
	assert_int_equal(o->result.err.len, 30);
	assert_int_equal(o->result.err.seam, 10);
	assert_int_equal(o->result.err.dropped, 52428800 + 15 - 30);
	assert_string_equal(o->err, "yyyyyyyyyyyyyyy\nthe last word\n");
	print_message("flood: 2 x 50 MB in %d ms\n", (int)duration_ms(o));
}

static void head_and_tail_join_where_nothing_is_missing(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("printf %s 0123456789ABCDEF");

	for (size_t head = 0; head <= 17; head++) {
		for (size_t tail = 0; tail <= 17; tail++) {
			char want[64];
			const char *all = "0123456789ABCDEF";
			size_t h = head < 16 ? head : 16;
			size_t t = tail < 16 - h ? tail : 16 - h;

			snprintf(want, sizeof(want), "%.*s%s", (int)h, all, all + 16 - t);
			o->calls = 0;
			options.out = (struct run_capture){head, tail};
			assert_int_equal(run_start(o->loop, &options, on_done, o, NULL), 0);
			spin(o);
			assert_string_equal(o->out, want);
			assert_int_equal(o->result.out.seam, h);
			assert_int_equal(o->result.out.dropped, 16 - h - t);
		}
	}
}

static void ring_turns_right_after_many_small_writes(void **state)
{
	struct outcome *o = *state;
	struct run_options options =
		shell("i=0; while [ $i -lt 500 ]; do echo $i; i=$((i+1)); done");

	options.out = (struct run_capture){.head_bytes = 2, .tail_bytes = 11};
	run_to_end(o, &options);
	assert_string_equal(o->out, "0\n97\n498\n499\n");
}

static void output_may_be_any_bytes(void **state)
{
	struct outcome *o = *state;
	struct run_options options = agent("bytes");
	char text[200];

	run_to_end(o, &options);
	assert_int_equal(o->result.out.len, 4);
	assert_memory_equal(o->out, "\377\376\000\001", 4);
	assert_int_equal(o->result.err.dropped, 0);
	run_output_text(&o->result.err, 3, text, sizeof(text));
	assert_string_equal(text, "caf? ? ?[31mred?[0m ?evil ?? gr\303\274n");
}

/* ---- the end ---- */

static void death_by_a_signal_of_its_own_is_told(void **state)
{
	struct outcome *o = *state;
	struct run_options options = agent("suicide");

	run_to_end(o, &options);
	assert_kind(o, RUN_SIGNALLED, SIGSEGV);
	assert_string_equal(o->err, "about to go\n");
}

static void deadline_ends_an_obedient_program_by_sigterm(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("echo before; exec sleep 300");

	options.envp = agent_envp;
	options.timeout_ms = 300;
	run_to_end(o, &options);
	assert_kind(o, RUN_TIMED_OUT, 0);
	assert_false(o->result.is_kill_sent);
	assert_string_equal(o->out, "before\n");
	assert_in_range(duration_ms(o), 300, 300 + SLACK_MS);
}

static void deadline_ends_a_deaf_program_by_sigkill(void **state)
{
	struct outcome *o = *state;
	struct run_options options = agent("deaf");
	pid_t pid;

	options.timeout_ms = 500;
	options.grace_ms = 300;
	run_to_end(o, &options);
	assert_kind(o, RUN_TIMED_OUT, 0);
	assert_true(o->result.is_kill_sent);
	assert_false(o->result.is_left_running);
	assert_in_range(duration_ms(o), 800, 800 + SLACK_MS);
	pid = read_pid("deaf.pid");
	assert_dies(o, pid);
	print_message("deaf: 500 + 300 ms allowed, ended after %d ms\n", (int)duration_ms(o));
}

static void no_grace_means_sigkill_at_once(void **state)
{
	struct outcome *o = *state;
	struct run_options options = agent("deaf");

	options.timeout_ms = 500;
	options.grace_ms = 0;
	run_to_end(o, &options);
	assert_kind(o, RUN_TIMED_OUT, 0);
	assert_true(o->result.is_kill_sent);
	assert_in_range(duration_ms(o), 500, 500 + SLACK_MS);
	read_pid("deaf.pid");
}

static void deadline_ends_the_whole_group_when_its_leader_obeys(void **state)
{
	struct outcome *o = *state;
	struct run_options options =
		shell("(trap '' TERM; exec sleep 300 >/dev/null 2>&1) & echo $!; wait");

	options.envp = agent_envp;
	options.timeout_ms = 300;
	run_to_end(o, &options);
	assert_kind(o, RUN_TIMED_OUT, 0);
	assert_dies(o, (pid_t)strtol(o->out, NULL, 10));
}

static void stopped_program_is_ended_too(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("kill -STOP $$");

	options.timeout_ms = 300;
	options.grace_ms = 20000;
	run_to_end(o, &options);
	assert_kind(o, RUN_TIMED_OUT, 0);
	assert_false(o->result.is_kill_sent);
}

static void daemon_that_keeps_the_pipes_does_not_hold_the_answer(void **state)
{
	struct outcome *o = *state;
	struct run_options options = agent("daemon");
	uint64_t begin_ms = now_ms();
	pid_t pid;

	run_to_end(o, &options);
	print_message("daemon: answered %d ms after the exit\n",
		      (int)(now_ms() - o->result.ended_ms));
	assert_kind(o, RUN_EXITED, 0);
	assert_string_equal(o->out, "daemon started\n");
	assert_in_range(now_ms() - begin_ms, 0, RUN_DRAIN_MS + SLACK_MS);
	pid = read_pid("daemon.pid");
	assert_false(is_dead(pid));
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_dies(o, pid);
}

static void daemon_that_floods_the_pipes_does_not_hold_the_answer(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("yes & echo $!");
	pid_t pid;

	options.envp = agent_envp;
	run_to_end(o, &options);
	assert_kind(o, RUN_EXITED, 0);
	pid = (pid_t)strtol(strpbrk(o->out, "0123456789"), NULL, 10);
	assert_true(pid > 1);
	assert_dies(o, pid); /* by SIGPIPE */
}

static void late_output_of_a_helper_is_still_read(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("(sleep 0.05; echo late) & exit 0");

	options.envp = agent_envp;
	run_to_end(o, &options);
	assert_string_equal(o->out, "late\n");
}

static void group_is_ended_where_that_was_asked(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("sleep 300 >/dev/null 2>&1 & echo $!");

	options.envp = agent_envp;
	options.is_group_ended = true;
	run_to_end(o, &options);
	assert_kind(o, RUN_EXITED, 0);
	assert_dies(o, (pid_t)strtol(o->out, NULL, 10));
}

static void block_the_loop(void *data)
{
	(void)data;
	nanosleep(&(struct timespec){.tv_nsec = 500 * 1000000}, NULL);
}

static void program_that_ended_in_time_is_not_blamed_for_a_late_loop(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("exit 4");

	options.timeout_ms = 250;
	assert_int_equal(run_start(o->loop, &options, on_done, o, NULL), 0);
	block_the_loop(NULL);
	spin(o);
	assert_kind(o, RUN_EXITED, 4);
}

static void program_beyond_sigkill_is_answered_for_and_reaped_later(void **state)
{
	struct outcome *o = *state;
	struct run_options options = agent("deaf");
	struct run *run;
	pid_t pid;

	options.timeout_ms = 200;
	options.grace_ms = 100;
	assert_int_equal(run_start(o->loop, &options, on_done, o, &run), 0);
	pid = run_pid(run);
	is_kill_void = true;
	spin(o);
	is_kill_void = false;
	assert_kind(o, RUN_TIMED_OUT, 0);
	assert_true(o->result.is_kill_sent && o->result.is_left_running);
	assert_in_range(duration_ms(o), 300 + RUN_REAP_MS, 300 + RUN_REAP_MS + SLACK_MS);
	assert_string_equal(o->err, "not listening\n");
	assert_int_equal(kill(-pid, SIGKILL), 0);
	for (int i = 0; i < 100 && kill(pid, 0) == 0; i++)
		spin_ms(o, 20);
	assert_int_equal(kill(pid, 0), -1); /* reaped, not only dead */
	assert_int_equal(o->calls, 1);
	read_pid("deaf.pid");
}

static void lack_of_a_pidfd_makes_no_difference(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("echo out; exit 7"), deaf = agent("deaf");

	is_pidfd_missing = true;
	run_to_end(o, &options);
	assert_kind(o, RUN_EXITED, 7);
	assert_string_equal(o->out, "out\n");
	o->calls = 0;
	deaf.timeout_ms = 500;
	deaf.grace_ms = 300;
	run_to_end(o, &deaf);
	assert_kind(o, RUN_TIMED_OUT, 0);
	assert_true(o->result.is_kill_sent);
	assert_in_range(duration_ms(o), 800, 800 + SLACK_MS);
	is_pidfd_missing = false;
	read_pid("deaf.pid");
}

/* ---- cancel ---- */

static void cancel_is_answered_from_the_loop_once(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("exec sleep 300");
	struct run *run;

	options.envp = agent_envp;
	assert_int_equal(run_start(o->loop, &options, on_done, o, &run), 0);
	run_cancel(run, 1000);
	run_cancel(run, 1000);
	assert_int_equal(o->calls, 0);
	spin(o);
	assert_kind(o, RUN_CANCELLED, 0);
	spin_ms(o, 50);
	assert_int_equal(o->calls, 1);
}

static void second_cancel_shortens_the_grace(void **state)
{
	struct outcome *o = *state;
	struct run_options options = agent("deaf");
	struct run *run;

	assert_int_equal(run_start(o->loop, &options, on_done, o, &run), 0);
	spin_ms(o, 300);
	run_cancel(run, 60000);
	spin_ms(o, 50);
	assert_int_equal(o->calls, 0);
	run_cancel(run, 0);
	run_cancel(run, 60000);
	spin(o);
	assert_kind(o, RUN_CANCELLED, 0);
	assert_true(o->result.is_kill_sent);
	assert_in_range(duration_ms(o), 300, 350 + SLACK_MS);
	read_pid("deaf.pid");
}

static void cancel_after_the_end_tells_the_real_end(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("exit 5");
	struct run *run;

	assert_int_equal(run_start(o->loop, &options, on_done, o, &run), 0);
	block_the_loop(NULL);
	run_cancel(run, 0);
	spin(o);
	assert_kind(o, RUN_EXITED, 5);
}

static void freed_run_is_dead_and_never_answers(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("exec sleep 300");
	int fds = count_fds();
	struct run *run;
	siginfo_t info;
	pid_t pid;

	options.envp = agent_envp;
	assert_int_equal(run_start(o->loop, &options, on_done, o, &run), 0);
	pid = run_pid(run);
	assert_null(run_free(run));
	assert_null(run_free(NULL));
	/* Reaped by run_free() if it was dead in time, else it would be init's. */
	(void)waitid(P_PID, (id_t)pid, &info, WEXITED);
	options.path = "/nonexistent";
	if (!is_valgrind()) {
		assert_int_equal(run_start(o->loop, &options, on_done, o, &run), 0);
		assert_null(run_free(run));
	}
	spin_ms(o, 50);
	assert_int_equal(o->calls, 0);
	assert_int_equal(count_fds(), fds);
}

/* ---- not starting ---- */

static void program_that_cannot_start_is_told_from_the_loop(void **state)
{
	struct outcome *o = *state;
	static const struct {
		const char *name;
		int code;
	} cases[] = {
		{"none", ENOENT},	    {"no-interpreter", ENOENT}, {"no-shebang", ENOEXEC},
		{"not-executable", EACCES}, {"deaf/below", ENOTDIR},
	};

	if (is_valgrind()) {
		print_message("not under valgrind\n");
		return;
	}
	for (size_t i = 0; i < MUST_ARRAY_SIZE(cases); i++) {
		struct run_options options = agent(cases[i].name);

		o->calls = 0;
		run_to_end(o, &options);
		assert_kind(o, RUN_FAILED_TO_START, cases[i].code);
		assert_int_equal(o->result.out.len, 0);
	}
}

static void options_out_of_range_are_refused(void **state)
{
	struct outcome *o = *state;
	const struct run_options good = shell("exit 0");
	const char *const no_argv[] = {NULL};
	struct run_options bad[9];

	for (size_t i = 0; i < MUST_ARRAY_SIZE(bad); i++)
		bad[i] = good;
	bad[0].path = NULL;
	bad[1].path = "sh";
	bad[2].argv = no_argv;
	bad[3].timeout_ms = 0;
	bad[4].timeout_ms = RUN_TIMEOUT_MAX + 1;
	bad[5].grace_ms = RUN_GRACE_MAX + 1;
	bad[6].out.head_bytes = SIZE_MAX;
	bad[7].err = (struct run_capture){RUN_CAPTURE_MAX, 1};
	bad[8].input_len = 1;
	for (size_t i = 0; i < MUST_ARRAY_SIZE(bad); i++)
		assert_int_equal(run_start(o->loop, &bad[i], on_done, o, NULL), -EINVAL);
	spin_ms(o, 20);
	assert_int_equal(o->calls, 0);
}

static void ignored_sigchld_is_refused(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("exit 0");
	void (*old)(int) = signal(SIGCHLD, SIG_IGN);

	assert_int_equal(run_start(o->loop, &options, on_done, o, NULL), -ECHILD);
	signal(SIGCHLD, old);
}

/* Whichever descriptor is the one too many, there is one answer, no leak and no zombie. */
static void lack_of_descriptors_fails_the_start_only(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("cat");
	struct rlimit saved, few;
	int fds, failed = 0;

	options.envp = agent_envp;
	options.input = "x";
	options.input_len = 1;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	fds = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(fds); /* the lowest free one */
	for (int more = 0; more < 10; more++) {
		few = (struct rlimit){(rlim_t)(fds + more), saved.rlim_max};
		o->calls = 0;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		assert_int_equal(run_start(o->loop, &options, on_done, o, NULL), 0);
		spin(o);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
		assert_int_equal(o->calls, 1);
		if (o->result.kind == RUN_FAILED_TO_START) {
			assert_int_equal(o->result.code, EMFILE);
			failed++;
		} else {
			assert_string_equal(o->out, "x");
		}
	}
	/* stdin, two of stdout, two of stderr, timer; not the pidfd */
	assert_in_range(failed, 6, 9);
	fds -= open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fds, 0);
}

/* ---- many ---- */

static void hundred_at_once_are_answered_once_each(void **state)
{
	struct outcome *o = *state;
	struct run_options options = shell("sleep 0.1; echo done");
	int fds = count_fds();
	uint64_t begin_ms = now_ms();

	options.envp = agent_envp;
	o->wanted = 100;
	for (int i = 0; i < o->wanted; i++)
		assert_int_equal(run_start(o->loop, &options, on_done, o, NULL), 0);
	spin(o);
	spin_ms(o, 50);
	assert_int_equal(o->calls, 100);
	assert_int_equal(count_fds(), fds);
	print_message("100 runs at once: %d ms\n", (int)(now_ms() - begin_ms));
}

struct chain {
	struct outcome *o;
	int left;
};

static void on_chain(void *data, const struct run_result *result)
{
	struct chain *c = data;
	struct run_options options = shell("exit 0");

	assert_int_equal(result->kind, RUN_EXITED);
	if (c->left-- > 0)
		assert_int_equal(run_start(c->o->loop, &options, on_chain, c, NULL), 0);
	else
		qb_loop_stop(c->o->loop);
}

static void next_run_may_be_started_from_the_answer(void **state)
{
	struct outcome *o = *state;
	struct chain c = {.o = o, .left = 200};
	struct run_options options = shell("exit 0");
	int fds = count_fds();
	uint64_t begin_ms = now_ms();

	assert_int_equal(run_start(o->loop, &options, on_chain, &c, NULL), 0);
	spin(o);
	assert_int_equal(count_fds(), fds);
	print_message("one run of sh: %.2f ms\n", (double)(now_ms() - begin_ms) / 201);
}

/* ---- text ---- */

static void assert_text(const char *bytes, size_t len, unsigned int lines, size_t cap,
			const char *want)
{
	struct run_output o = {.data = bytes, .len = len, .seam = len};
	char buf[64];

	assert_int_equal(run_output_text(&o, lines, buf, cap), strlen(want));
	assert_string_equal(buf, want);
}

#define ASSERT_TEXT(bytes, ...) assert_text(bytes, sizeof(bytes) - 1, __VA_ARGS__)

static void text_is_the_last_lines(void **state)
{
	(void)state;
	ASSERT_TEXT("one\ntwo\nthree\n", 2, 64, "two\nthree");
	ASSERT_TEXT("one\ntwo\nthree", 1, 64, "three");
	ASSERT_TEXT("one\ntwo\n\n \t\r\n", 1, 64, "two");
	ASSERT_TEXT("one\ntwo", 9, 64, "one\ntwo");
	ASSERT_TEXT("one\ntwo", 0, 64, "");
	ASSERT_TEXT("", 3, 64, "");
	ASSERT_TEXT("\n\n", 3, 64, "");
	ASSERT_TEXT("0123456789", 3, 5, "6789");
	ASSERT_TEXT("x", 3, 1, "");
}

static void text_is_printable_utf8(void **state)
{
	(void)state;
	ASSERT_TEXT("a\0b\tc\rd\033e\177f", 1, 64, "a?b c d?e?f");
	ASSERT_TEXT("gr\303\274n \342\202\254 \360\237\220\247", 1, 64,
		    "gr\303\274n \342\202\254 \360\237\220\247");
	ASSERT_TEXT("\300\257 \340\200\257 \360\200\200\257", 1, 64, "?? ??? ????");
	ASSERT_TEXT("\355\240\200 \364\220\200\200 \365", 1, 64, "??? ???? ?");
	ASSERT_TEXT("\303", 1, 64, "?");
	ASSERT_TEXT("\342\202", 1, 64, "??");
	/* C1 control, override, zero width, byte order mark */
	ASSERT_TEXT("\302\233 \342\200\256 \342\200\213 \357\273\277", 1, 64, "? ? ? ?");
}

static void text_does_not_begin_inside_a_character(void **state)
{
	(void)state;
	ASSERT_TEXT("\342\202\254\342\202\254", 1, 7, "\342\202\254\342\202\254");
	ASSERT_TEXT("\342\202\254\342\202\254", 1, 6, "\342\202\254");
	ASSERT_TEXT("\342\202\254\342\202\254", 1, 4, "\342\202\254");
	ASSERT_TEXT("\342\202\254\342\202\254", 1, 3, "");
}

static void text_does_not_join_what_was_cut(void **state)
{
	struct run_output o = {.data = "head tail", .len = 9, .seam = 5, .dropped = 1};
	char buf[64];

	(void)state;
	run_output_text(&o, 3, buf, sizeof(buf));
	assert_string_equal(buf, "tail");
	o.seam = 9; /* no tail kept */
	run_output_text(&o, 3, buf, sizeof(buf));
	assert_string_equal(buf, "head tail");
}

static int find_agents(void)
{
	const char *srcdir = getenv("srcdir");
	char path[4096];

	snprintf(path, sizeof(path), "%s/tests/agents", srcdir ? srcdir : ".");
	if (!realpath(path, agents_dir) || !mkdtemp(tmp_dir)) {
		print_error("%s: %s\n", path, strerror(errno));
		return -1;
	}
	snprintf(rsctmp_env, sizeof(rsctmp_env), "HA_RSCTMP=%s", tmp_dir);
	return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(tells_exit_status_and_both_streams),
		T(child_has_no_environment_unless_given),
		T(child_has_three_descriptors_and_the_root_directory),
		T(child_starts_well_though_our_own_standard_streams_are_closed),
		T(child_leads_a_session_and_has_default_signals),
		T(child_does_not_inherit_real_time_priority),
		T(input_arrives_whole),
		T(input_that_nobody_reads_does_no_harm),
		T(empty_input_is_an_end_of_file),
		T(flood_is_bounded_and_counted),
		T(head_and_tail_join_where_nothing_is_missing),
		T(ring_turns_right_after_many_small_writes),
		T(output_may_be_any_bytes),
		T(death_by_a_signal_of_its_own_is_told),
		T(deadline_ends_an_obedient_program_by_sigterm),
		T(deadline_ends_a_deaf_program_by_sigkill),
		T(no_grace_means_sigkill_at_once),
		T(deadline_ends_the_whole_group_when_its_leader_obeys),
		T(stopped_program_is_ended_too),
		T(daemon_that_keeps_the_pipes_does_not_hold_the_answer),
		T(daemon_that_floods_the_pipes_does_not_hold_the_answer),
		T(late_output_of_a_helper_is_still_read),
		T(group_is_ended_where_that_was_asked),
		T(program_that_ended_in_time_is_not_blamed_for_a_late_loop),
		T(program_beyond_sigkill_is_answered_for_and_reaped_later),
		T(lack_of_a_pidfd_makes_no_difference),
		T(cancel_is_answered_from_the_loop_once),
		T(second_cancel_shortens_the_grace),
		T(cancel_after_the_end_tells_the_real_end),
		T(freed_run_is_dead_and_never_answers),
		T(program_that_cannot_start_is_told_from_the_loop),
		T(options_out_of_range_are_refused),
		T(ignored_sigchld_is_refused),
		T(lack_of_descriptors_fails_the_start_only),
		T(hundred_at_once_are_answered_once_each),
		T(next_run_may_be_started_from_the_answer),
		cmocka_unit_test(text_is_the_last_lines),
		cmocka_unit_test(text_is_printable_utf8),
		cmocka_unit_test(text_does_not_begin_inside_a_character),
		cmocka_unit_test(text_does_not_join_what_was_cut),
	};
	int r;

	if (find_agents() < 0)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	/* A test that failed half way may have left a pid file: say so instead of cleaning up. */
	if (rmdir(tmp_dir) < 0)
		print_error("%s: %s\n", tmp_dir, strerror(errno));
	return r;
}
