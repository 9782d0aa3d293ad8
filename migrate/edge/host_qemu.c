/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's process and its monitor: what they say becomes events of the core. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/must.h"
#include "migrate/edge/host_impl.h"
#include "migrate/edge/log.h"
#include "migrate/edge/record.h"
#include "migrate/edge/tap.h"

#define CHILD_QMP_FD 3 /* the first that qemu_start() hands on */
#define FD_FLOOR     10

/* ---- the monitor */

static const struct {
	const char *name;
	enum mig_qemu_event event;
} qemu_events[] = {
	{"STOP", MIG_QEMU_STOP},
	{"RESUME", MIG_QEMU_RESUME},
	{"SHUTDOWN", MIG_QEMU_SHUTDOWN},
	{"SUSPEND", MIG_QEMU_STATUS},
	{"SUSPEND_DISK", MIG_QEMU_STATUS},
	{"WAKEUP", MIG_QEMU_STATUS},
	{"WATCHDOG", MIG_QEMU_STATUS},
	{"BLOCK_IO_ERROR", MIG_QEMU_STATUS},
	{"GUEST_PANICKED", MIG_QEMU_STATUS},
	{"GUEST_CRASHLOADED", MIG_QEMU_STATUS},
	{"MIGRATION", MIG_QEMU_MIGRATION},
	{"MIGRATION_PASS", MIG_QEMU_MIGRATION},
};

static void on_ready(void *arg, const struct qmp_version *version)
{
	struct host *h = arg;
	struct mig_event e = {.type = MIG_EV_QEMU_STARTED, .pid = qemu_pid(h->qemu)};

	log_info("QEMU %u.%u.%u is set up, process %d", version->major, version->minor,
		 version->micro, e.pid);
	commands_set_qmp(h->commands, h->qmp, e.pid);
	host_event(h, &e);
}

/* MIGRATION of an incoming stream: "setup" says that QEMU listens, all others that it has come. */
static bool is_stream_there(const char *name, const json_t *data)
{
	const char *status = json_string_value(json_object_get(data, "status"));

	return strcmp(name, "MIGRATION") == 0 && status && strcmp(status, "setup") != 0;
}

static void on_event(void *arg, const char *name, const json_t *data)
{
	struct host *h = arg;
	struct mig_event e = {.type = MIG_EV_QEMU_EVENT};

	/* What else it says is read back. */
	if (is_stream_there(name, data))
		commands_stream_began(h->commands);
	log_debug("event %.40s", name);
	for (size_t i = 0; i < MUST_ARRAY_SIZE(qemu_events); i++) {
		if (strcmp(qemu_events[i].name, name) != 0)
			continue;
		e.qemu_event = qemu_events[i].event;
		host_event(h, &e);
		return;
	}
}

/* A QEMU without a monitor cannot be halted: it is not left to run. */
static void on_monitor_due(void *arg)
{
	log_warning("QEMU has closed its monitor and lives -> kill");
	host_qemu_kill(arg);
}

static void on_monitor_end(void *arg, const char *why)
{
	struct host *h = arg;

	log_info("monitor: %s", why);
	commands_set_qmp(h->commands, NULL, 0);
	if (qemu_pid(h->qemu))
		due_at(h->monitor_due, due_now_ms() + HOST_MONITOR_MS);
}

/* ---- the process */

static void on_qemu_end(void *arg, const char *text)
{
	struct host *h = arg;
	struct mig_event e = {.type = MIG_EV_QEMU_ENDED};

	log_info("%s", text);
	due_at(h->monitor_due, DUE_NEVER);
	record_remove(h->options.run_dir, h->options.definition->uuid);
	snprintf(e.text, sizeof(e.text), "%s", text);
	host_event(h, &e);
}

void host_qemu_kill(struct host *h)
{
	if (h->qemu)
		qemu_kill(h->qemu);
}

/* ---- its start */

static void make_cgroup(struct host *h)
{
	char name[UUID_TEXT + 32], uuid[UUID_TEXT];
	int r;

	uuid_text(h->options.definition->uuid, uuid);
	snprintf(name, sizeof(name), "vm-%s-%016llx", uuid,
		 (unsigned long long)h->options.instance);
	r = cgroup_make(name, h->cgroup);
	if (!r)
		return;
	h->cgroup[0] = '\0';
	snprintf(h->cgroup_text, sizeof(h->cgroup_text), "%.60s", strerror(-r));
	log_warning("no control group of its own: %s -> QEMU is known by its process only",
		    strerror(-r));
}

/* A path that cannot be looked at is QEMU's to complain of. */
static void look_at_disks(struct host *h)
{
	const struct definition *d = h->options.definition;
	struct stat st;

	for (unsigned int i = 0; i < d->n_disks; i++)
		h->facts.is_block_device[i] =
			stat(d->disk[i].path, &st) == 0 && S_ISBLK(st.st_mode);
}

struct fds {
	int fd[QEMU_FDS];
	size_t n;
};

static void close_fds(struct fds *f)
{
	while (f->n)
		close(f->fd[--f->n]);
}

/* Takes fd. Moved up: a child's descriptors are laid over the low ones. */
static int add_fd(struct fds *f, int fd)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, FD_FLOOR), r = -errno;

	close(fd);
	if (moved < 0)
		return r;
	must(f->n < QEMU_FDS);
	f->fd[f->n++] = moved;
	return 0;
}

static int open_taps(struct host *h, struct fds *f)
{
	const struct definition *d = h->options.definition;
	int r = 0;

	for (unsigned int i = 0; i < d->n_nics && !r; i++) {
		int fd;

		if (d->nic[i].network != DEFINITION_ON_BRIDGE)
			continue;
		fd = tap_open(d->nic[i].bridge);
		if (fd < 0) {
			log_error("bridge %s: %s", d->nic[i].bridge, strerror(-fd));
			return fd;
		}
		h->facts.tap_fd[i] = CHILD_QMP_FD + (int)f->n;
		r = add_fd(f, fd);
	}
	return r;
}

static int start(struct host *h, struct fds *f)
{
	struct qemu_options o = {
		.fds = f->fd, .n_fds = f->n, .cgroup = h->cgroup, .on_end = on_qemu_end, .arg = h};
	char **argv = command_line_make(h->options.definition, &h->facts);
	int r = argv ? 0 : -ENOMEM;

	for (size_t i = 0; argv && argv[i]; i++)
		log_debug("argv[%zu] %s", i, argv[i]);
	o.argv = argv;
	if (!r)
		r = qemu_start(h->loop, &o, &h->qemu);
	command_line_free(argv);
	if (!r)
		r = record_write(h->options.run_dir, h->options.definition->uuid, qemu_pid(h->qemu),
				 h->cgroup);
	return r;
}

int host_qemu_begin(struct host *h)
{
	static const struct qmp_callbacks callbacks = {on_ready, on_event, on_monitor_end};
	_cleanup_close_ int ours = -1;
	struct fds f = {0};
	int end[2], r;

	make_cgroup(h);
	look_at_disks(h);
	h->facts.program = h->options.qemu;
	h->facts.is_incoming = h->options.is_incoming;
	h->facts.qmp_fd = CHILD_QMP_FD;
	r = due_open(h->loop, on_monitor_due, h, &h->monitor_due);
	if (r)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end) < 0)
		return -errno;
	ours = end[0];
	r = add_fd(&f, end[1]);
	if (!r)
		r = open_taps(h, &f);
	if (!r)
		r = start(h, &f);
	close_fds(&f);
	if (!r)
		r = qmp_open(h->loop, steal_fd(&ours), &callbacks, h, &h->qmp);
	if (r)
		host_qemu_end(h);
	return r;
}

void host_qemu_end(struct host *h)
{
	bool was_there = h->qemu;

	h->qmp = qmp_free(h->qmp);
	h->qemu = qemu_free(h->qemu);
	if (was_there)
		record_remove(h->options.run_dir, h->options.definition->uuid);
}
