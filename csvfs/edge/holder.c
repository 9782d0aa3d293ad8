/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "csvfs/edge/fuse_device.h"
#include "csvfs/edge/keep.h"
#include "csvfs/edge/log.h"
#include "csvfs/edge/mount_point.h"
#include "csvfs/edge/process.h"
#include "csvfs/edge/teller.h"
#include "lib/cleanup.h"
#include "lib/must.h"

#define DEATHS_MAX  8	 /* so many, one after the other, ... */
#define SHORT_MS    1000 /* ... after so short a life: what kills them comes again */
#define SELF	    "/proc/self/exe"
#define EXEC_FAILED 127 /* as sh(1) has it */

struct holder {
	const struct mount_options *options;
	int argc;
	char **argv;
	char path[MOUNT_POINT_MAX];
	char program[PATH_MAX]; /* where this program was started from */
	bool uses_self;		/* what is there now cannot go on */
	struct mount_held held;
	int signals, control;
	int orders; /* the teller's end of held.teller */
	pid_t child, teller;
	bool is_ready, was_ready;
	bool must_stop, must_replace;
	int ready; /* for process_ready(); -1 */
	uint64_t start_ms;
	unsigned int deaths; /* short lives, one after the other */
};

/* ---- the teller */

static void start_teller(struct holder *h)
{
	pid_t parent = getpid();

	h->teller = fork();
	if (h->teller < 0)
		log_warning("no process that tells the kernel what to forget: %s -> going on, a "
			    "directory that another node has moved may give ESTALE",
			    strerror(errno));
	if (h->teller)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	prctl(PR_SET_NAME, "csvfsd-tell", 0, 0, 0);
	/* Nothing of it counts for whether the mount is over. */
	close(h->held.lock);
	close(h->held.keep);
	teller_run(h->held.device, h->orders);
	_exit(EXIT_FAILURE);
}

/* ---- the process that serves */

static void keep_over_exec(int fd)
{
	must(fcntl(fd, F_SETFD, 0) == 0);
}

/* In the child. */
static void become(const struct holder *h, pid_t parent, const char *program, int control)
{
	char held[160], **argv = calloc((size_t)h->argc + 4, sizeof(argv[0]));
	sigset_t none;

	must(argv);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	keep_over_exec(h->held.device);
	keep_over_exec(h->held.keep);
	keep_over_exec(h->held.lock);
	keep_over_exec(control);
	keep_over_exec(h->held.teller);
	snprintf(held, sizeof(held), "%d:%d:%d:%d:%d:%s", h->held.device, h->held.keep,
		 h->held.lock, control, h->held.teller, h->held.before);
	argv[0] = (char *)"csvfsd";
	argv[1] = h->argv[0];
	argv[2] = (char *)"--held"; /* first, so that it is seen in lists of processes */
	argv[3] = held;
	memcpy(argv + 4, h->argv + 1, (size_t)(h->argc - 1) * sizeof(argv[0]));
	execv(program, argv);
	_exit(EXEC_FAILED);
}

static int start(struct holder *h)
{
	pid_t parent = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	h->is_ready = false;
	h->start_ms = csv_now_ms();
	h->child = fork();
	if (h->child < 0) {
		int r = -errno;

		h->child = 0;
		close(pair[0]);
		close(pair[1]);
		return r;
	}
	if (!h->child)
		become(h, parent, h->uses_self ? SELF : h->program, pair[1]);
	close(pair[1]);
	if (h->control >= 0)
		close(h->control);
	h->control = pair[0];
	return 0;
}

static bool is_hopeless(struct holder *h)
{
	h->deaths = csv_now_ms() - h->start_ms < SHORT_MS ? h->deaths + 1 : 0;
	return h->deaths >= DEATHS_MAX;
}

/* After one that was killed or has failed: a reason not to start another one; NULL: none. */
static const char *against_next(struct holder *h)
{
	if (!h->was_ready)
		return "it has never served";
	if (!keep_can_resend(h->held.keep))
		return "this kernel does not send again what was under way (Linux 6.9 does)";
	if (is_hopeless(h))
		return "it has died 8 times, each time at once";
	return NULL;
}

static void say_end(char *text, size_t size, int status)
{
	if (WIFSIGNALED(status))
		snprintf(text, size, "was ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) == HOLDER_NEXT)
		snprintf(text, size, "was to be replaced");
	else
		snprintf(text, size, "has ended with %d", WEXITSTATUS(status));
}

/* The process is over. True: another one goes on; else *ret_status is that of the mount. */
static bool go_on(struct holder *h, int status, int *ret_status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	const char *no = NULL, *text = h->held.before;
	int r;

	say_end(h->held.before, sizeof(h->held.before), status);
	*ret_status = EXIT_FAILURE;
	if (code == EXIT_SUCCESS || code == EXIT_FAILURE) {
		*ret_status = code;
		return false;
	}
	if (code == HOLDER_NEXT) {
		h->uses_self = false;
	} else if ((code == HOLDER_CANNOT || code == EXEC_FAILED) && !h->uses_self) {
		log_error("%s cannot go on with this mount, or cannot be run -> the program that "
			  "it was started with does",
			  h->program);
		h->uses_self = true;
	} else {
		no = against_next(h);
	}
	if (no) {
		log_error("the process that serves %s %s, and no other can go on: %s -> the mount "
			  "is over",
			  h->path, text, no);
		return false;
	}
	log_warning("the process that serves %s %s -> another one goes on", h->path, text);
	r = start(h);
	if (r)
		log_error("no other process can be started: %s -> the mount is over", strerror(-r));
	return !r;
}

/* ---- events */

static void pass_on(struct holder *h)
{
	if (!h->child || !h->is_ready)
		return;
	if (h->must_stop)
		kill(h->child, SIGTERM);
	else if (h->must_replace)
		kill(h->child, SIGHUP);
	h->must_replace = false;
}

static void on_control(struct holder *h)
{
	char byte;
	ssize_t n = recv(h->control, &byte, 1, MSG_DONTWAIT);

	if (n <= 0) { /* it is ending: SIGCHLD says the rest */
		close(h->control);
		h->control = -1;
		return;
	}
	h->is_ready = h->was_ready = true;
	if (h->ready >= 0)
		process_ready(h->ready, h->options->to_syslog);
	h->ready = -1;
	pass_on(h);
}

/* False: the mount is over. */
static bool on_signal(struct holder *h, int *ret_status)
{
	struct signalfd_siginfo info;
	int status;

	if (read(h->signals, &info, sizeof(info)) != sizeof(info))
		return true;
	if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
		h->must_stop = true;
	else if (info.ssi_signo == SIGHUP)
		h->must_replace = true;
	pass_on(h);
	/* Signals of one kind come as one. */
	if (h->teller > 0 && waitpid(h->teller, &status, WNOHANG) == h->teller)
		start_teller(h);
	if (h->child && waitpid(h->child, &status, WNOHANG) == h->child) {
		h->child = 0;
		return go_on(h, status, ret_status);
	}
	return true;
}

static int hold(struct holder *h)
{
	int status = EXIT_FAILURE;

	for (;;) {
		struct pollfd p[] = {{.fd = h->signals, .events = POLLIN},
				     {.fd = h->control, .events = POLLIN}};

		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents)
			on_control(h);
		if (p[0].revents && !on_signal(h, &status))
			return status;
	}
}

/* ---- beginning */

static int open_held(struct holder *h)
{
	const struct mount_options *o = h->options;
	char why[256] = "";
	int pair[2], r;

	h->held.lock = process_lock(o->socket, o->uuid_text, "mount");
	if (h->held.lock < 0)
		return -1;
	h->held.keep = memfd_create("csvfs-keep", MFD_CLOEXEC);
	if (h->held.keep < 0)
		return process_complain(-errno, "memory");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return process_complain(-errno, "socket");
	h->held.teller = pair[0];
	h->orders = pair[1];
	r = mount_point_resolve(o->mount_point, h->path, sizeof(h->path), why, sizeof(why));
	if (r == -EBUSY)
		return process_complain(0, "%s: %s is mounted there", o->mount_point, why);
	if (r)
		return process_complain(r, "%s", o->mount_point);
	h->held.device = fuse_device_mount(o->volume, h->path);
	return h->held.device < 0 ? process_complain(h->held.device, "cannot mount at %s", h->path)
				  : 0;
}

static int open_signals(struct holder *h)
{
	ssize_t n = readlink(SELF, h->program, sizeof(h->program) - 1);
	sigset_t set;

	if (n < 0)
		return process_complain(-errno, SELF);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	h->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (h->signals < 0 || sigprocmask(SIG_BLOCK, &set, NULL))
		return process_complain(-errno, "signals");
	return 0;
}

int holder_run(const struct mount_options *options, int argc, char **argv, int ready)
{
	struct holder h = {.options = options,
			   .argc = argc,
			   .argv = argv,
			   .held = {-1, -1, -1, -1, -1, ""},
			   .signals = -1,
			   .control = -1,
			   .ready = ready};
	int r, status = EXIT_FAILURE;

	prctl(PR_SET_NAME, "csvfsd-hold", 0, 0, 0);
	process_harden();
	if (open_signals(&h) || open_held(&h))
		return EXIT_FAILURE;
	start_teller(&h);
	r = start(&h);
	if (r)
		process_complain(r, "cannot start what serves");
	else
		status = hold(&h);
	/* If it is in the tree still. With the descriptor the kernel's connection ends. */
	mount_point_detach(h.path);
	return status;
}

void holder_tell_ready(const struct mount_held *held)
{
	if (send(held->control, "", 1, MSG_NOSIGNAL) != 1)
		log_warning("the holder does not listen: %s -> going on", strerror(errno));
}
