/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs one program as a child of this process, on a libqb loop, and tells once how it ended.
 *
 * The child gets a session and process group of its own, the given environment and nothing else,
 * no descriptor but 0, 1 and 2, cwd "/", default signal dispositions, an empty signal mask and
 * SCHED_OTHER. There is no shell. What it says is bytes: bounded, counted, never interpreted.
 * Its end is seen through a pidfd, never through SIGCHLD (where no pidfd can be had, for lack of
 * descriptors or under valgrind 3.19, by looking every 20 ms), and does not depend on who else
 * holds its pipes: a daemon that it left behind delays the answer by RUN_DRAIN_MS at most, and gets
 * EPIPE when it writes later.
 *
 * Not for interactive programs, nor for a pipeline. What is inherited all the same: umask, resource
 * limits, nice value, oom_score_adj, cgroup (unless another is given), credentials.
 *
 * Invariants: run_start() that returned 0 is followed by exactly one call of `done`, from the loop,
 * whatever happens (but for run_free()). Signals go to the group only while its leader has not been
 * reaped, so they can never hit a stranger. Nothing here blocks, with one exception that the kernel
 * leaves us: posix_spawn() returns when the child has executed the program, so a program on a hung
 * file system holds the loop; keep programs on local disks.
 *
 * The process must not ignore SIGCHLD nor wait for children it does not know (waitpid(-1)).
 */
#ifndef LIB_RUN_H
#define LIB_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct qb_loop; /* qb_loop_t of <qb/qbloop.h> */
struct run;

#define RUN_INPUT_MAX	(64u * 1024)	    /* stdin bytes: what a pipe holds, see run_start() */
#define RUN_CAPTURE_MAX (16u * 1024 * 1024) /* head plus tail of one stream */
#define RUN_TIMEOUT_MAX (7u * 24 * 3600 * 1000) /* ms */
#define RUN_GRACE_MAX	(3600u * 1000)		/* ms */
#define RUN_DRAIN_MS	200  /* after the exit, for output still on its way through helpers */
#define RUN_REAP_MS	5000 /* after SIGKILL; then the answer is given with is_left_running */

enum run_kind {
	RUN_EXITED,	     /* code = exit status */
	RUN_SIGNALLED,	     /* code = signal number; not by us */
	RUN_TIMED_OUT,	     /* stopped by us at the deadline; code = 0 */
	RUN_CANCELLED,	     /* stopped by run_cancel(); code = 0 */
	RUN_FAILED_TO_START, /* code = errno (ENOENT, EACCES, ENOEXEC, EAGAIN, EMFILE ...) */
	RUN_KIND_MAX
};

/* How much of a stream is kept: its first and its last bytes. Both 0: only counted. */
struct run_capture {
	size_t head_bytes;
	size_t tail_bytes;
};

/*
 * What was kept of a stream. Any bytes, NUL and invalid UTF-8 included; data[len] is a NUL that
 * does not count. If dropped > 0, these bytes are missing in front of data[seam].
 */
struct run_output {
	const char *data;
	size_t len;
	size_t seam;
	uint64_t dropped;
};

struct run_result {
	enum run_kind kind;
	int code;
	bool is_kill_sent;    /* SIGTERM was not enough */
	bool is_left_running; /* not even SIGKILL ended it within RUN_REAP_MS (disk sleep) */
	struct run_output out;
	struct run_output err;
	uint64_t started_ms; /* CLOCK_MONOTONIC, just before it was started */
	uint64_t ended_ms;   /* when the exit was seen, or given up on */
};

/* Called from the loop, once. Everything in `result` is borrowed and ends with the call. */
typedef void (*run_done_fn)(void *data, const struct run_result *result);

/* All borrowed, and needed only during run_start(). Start from { 0 } or RUN_OPTIONS_INIT. */
struct run_options {
	const char *path;	 /* absolute */
	const char *const *argv; /* NULL-terminated, with argv[0]; NULL: {path} */
	const char *const *envp; /* NULL-terminated "NAME=value"; NULL: empty environment */
	const void *input;	 /* stdin; NULL: /dev/null. The place for secrets */
	size_t input_len;	 /* at most RUN_INPUT_MAX */
	uint32_t timeout_ms;	 /* 1 .. RUN_TIMEOUT_MAX */
	uint32_t grace_ms; /* from SIGTERM to SIGKILL, 0 .. RUN_GRACE_MAX; 0: SIGKILL at once */
	struct run_capture out;
	struct run_capture err;
	const int *procs; /* cgroup.procs of the control group that it shall be in, with all that it
			     starts; open for writing, above 2. NULL: ours */
	bool is_group_ended; /* SIGKILL whatever is left of the group when the program ends: for
				programs that must leave no daemon behind (fence agents) */
};

/* Head of stdout (for parsers), head and tail of stderr (for people), 5 s of grace. */
#define RUN_OPTIONS_INIT                                                                           \
	{                                                                                          \
		.grace_ms = 5000, .out = {.head_bytes = 64 * 1024, .tail_bytes = 4096},            \
		.err = {.head_bytes = 4096,                                                        \
			.tail_bytes = 16 * 1024 }                                                  \
	}

/*
 * Starts the program. The input is put into the pipe before the child exists: it can neither block
 * nor raise SIGPIPE when the child does not read it, and no copy of it is kept.
 * Returns 0: `done` follows, also when the program could not be started (RUN_FAILED_TO_START).
 * Negative: nothing was started and `done` will not be called: -EINVAL for options out of range,
 * -E2BIG for too much input, -ECHILD if this process ignores SIGCHLD, -ENOMEM.
 * *ret_run (ret_run may be NULL) is valid until `done` returns. Context: the loop's thread.
 */
int run_start(struct qb_loop *loop, const struct run_options *options, run_done_fn done, void *data,
	      struct run **ret_run);

/*
 * Asks for the end: SIGTERM to the group, SIGKILL after grace_ms. `done` follows from the loop as
 * RUN_CANCELLED, or with its real end if the program had ended already; never from inside this
 * call. Repeating it shortens the grace, never lengthens it. No effect on a run that is being
 * stopped for its deadline, apart from a shorter grace. Context: the loop's thread.
 */
void run_cancel(struct run *run, uint32_t grace_ms);

/* The child's process id, also the number of its group and session; 0 if it did not start. */
int run_pid(const struct run *run);

/*
 * For the way out of the process only: SIGKILL to the group, everything released, `done` is not
 * called. A child that has not died yet stays for init to reap. Takes NULL, returns NULL.
 */
struct run *run_free(struct run *run);

/*
 * The last lines of a stream for a log or a status: at most `lines` lines and cap - 1 bytes, always
 * printable UTF-8. Bytes that are not UTF-8, control characters and characters that reorder or hide
 * text become '?', tabs and carriage returns a space; trailing white space goes. Never joins what
 * was cut out. Returns the length without the NUL. Pure; needs cap > 0.
 */
size_t run_output_text(const struct run_output *output, unsigned int lines, char *buf, size_t cap);

/* "exited", "signalled", "timed out", "cancelled", "failed to start". */
const char *run_kind_name(enum run_kind kind);

#endif
