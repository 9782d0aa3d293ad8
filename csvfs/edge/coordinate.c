/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/coordinate.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "csvfs/edge/client.h"
#include "csvfs/edge/failpoint.h"
#include "csvfs/edge/link.h"
#include "csvfs/edge/log.h"
#include "csvfs/edge/lun.h"
#include "csvfs/edge/process.h"
#include "csvfs/edge/server.h"
#include "csvfs/edge/trace.h"
#include "lib/cleanup.h"
#include "lib/mountinfo.h"
#include "lib/must.h"
#include "lib/uuid.h"

#define STATE_WAIT_MS  10000 /* clusterd has started us: it answers soon, or it is gone */
#define UNMOUNT_WAIT_S 10
#define TELL_WAIT_MS   2000

struct coordinator {
	/* command line */
	const char *volume, *device, *address, *socket, *key_path, *node_name, *xfs_options;
	struct csv_uuid uuid, cluster;
	uint64_t term, incarnation;
	uint8_t node;
	bool to_syslog;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct csv_link_state state;
	bool has_state, has_changed, is_signalled;
	struct csv_link_status status;
	struct link *link;
	struct server *server;
	struct csv_lun *lun;
	struct backing *backing;
	char mount_point[256];
	int lock_fd; /* its file is not empty while there may be a mount of ours: see set_mark() */
	bool is_marked, is_mounted, is_unwanted;
	char attached[CSV_LUN_DEV_MAX];
	/* A thread of its own takes in that the LUN has grown: the disk may take its time. */
	pthread_t grower;
	uint64_t growing;	      /* wish that it carries out; 0: there is none */
	bool grower_ended;	      /* under lock */
	struct csv_link_status grown; /* its words: under lock until it has ended */
	char text[CSV_LUN_TEXT_MAX];
};

static const struct option long_options[] = {
	{"volume", required_argument, NULL, 'v'},
	{"uuid", required_argument, NULL, 'u'},
	{"cluster", required_argument, NULL, 'c'},
	{"device", required_argument, NULL, 'd'},
	{"term", required_argument, NULL, 't'},
	{"node", required_argument, NULL, 'n'},
	{"node-name", required_argument, NULL, 'N'},
	{"incarnation", required_argument, NULL, 'i'},
	{"listen", required_argument, NULL, 'l'},
	{"socket", required_argument, NULL, 's'},
	{"key", required_argument, NULL, 'k'},
	{"xfs-options", required_argument, NULL, 'o'},
	{"log", required_argument, NULL, 'L'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static void usage(FILE *f)
{
	fputs("usage: csvfsd coordinate --volume NAME --uuid UUID --cluster UUID --device LUN "
	      "--term N\n"
	      "         --node SLOT --node-name NAME --incarnation HEX --listen ADDRESS --socket "
	      "PATH\n"
	      "         --key PATH [--xfs-options LIST] [--log stderr|syslog]\n"
	      "Coordinates one volume; started by clusterd. It stops when clusterd says so, on\n"
	      "SIGTERM, and when the quorum lease that clusterd tells it ends.\n",
	      f);
}

static bool parse_number(const char *text, int base, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, base);
	return !errno && end != text && !*end && *ret <= max;
}

/* True if the option's value is good. */
static bool take_option(struct coordinator *c, int option, const char *value)
{
	uint64_t n = 0;
	bool is_good = true;

	switch (option) {
	case 'v':
		c->volume = value;
		break;
	case 'u':
		is_good = uuid_parse(value, c->uuid.byte);
		break;
	case 'c':
		is_good = uuid_parse(value, c->cluster.byte);
		break;
	case 'd':
		c->device = value;
		break;
	case 't':
		is_good = parse_number(value, 10, UINT64_MAX, &c->term) && c->term;
		break;
	case 'n':
		is_good = parse_number(value, 10, CSV_LINK_MOUNTS - 1, &n);
		c->node = (uint8_t)n;
		break;
	case 'N':
		c->node_name = value;
		break;
	case 'i':
		is_good = parse_number(value, 16, UINT64_MAX, &c->incarnation);
		break;
	case 'l':
		c->address = value;
		is_good = strlen(value) < CSV_LINK_ADDRESS;
		break;
	case 's':
		c->socket = value;
		break;
	case 'k':
		c->key_path = value;
		break;
	case 'o':
		c->xfs_options = value;
		break;
	case 'L':
		c->to_syslog = !strcmp(value, "syslog");
		is_good = c->to_syslog || !strcmp(value, "stderr");
		break;
	default:
		is_good = false;
	}
	return is_good;
}

/* 0: go on; else the exit code plus 1. */
static int parse(struct coordinator *c, int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		if (option == 'h') {
			usage(stdout);
			return 1;
		}
		if (option == '?' || !take_option(c, option, optarg)) {
			fprintf(stderr, "csvfsd coordinate: bad option or value: %s\n",
				option == '?' ? argv[optind - 1] : optarg);
			return 3;
		}
	}
	if (optind < argc || !c->volume || !c->device || !c->term || !c->address || !c->socket ||
	    !c->key_path || !c->node_name) {
		usage(stderr);
		return 3;
	}
	return 0;
}

/* ---- what others tell */

static void wake(struct coordinator *c)
{
	pthread_mutex_lock(&c->lock);
	c->has_changed = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

static void on_state(void *arg, const struct csv_link_state *state)
{
	struct coordinator *c = arg;
	uint64_t lease_until_ms;

	pthread_mutex_lock(&c->lock);
	/* What was promised holds: a clusterd that was started anew has no lease of its own yet. */
	lease_until_ms = c->state.lease_until_ms;
	c->state = *state;
	if (c->state.lease_until_ms < lease_until_ms)
		c->state.lease_until_ms = lease_until_ms;
	c->has_state = c->has_changed = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

static void on_server_change(void *arg)
{
	wake(arg);
}

static void *signal_thread(void *arg)
{
	struct coordinator *c = arg;
	sigset_t set;
	int number;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	while (sigwait(&set, &number))
		;
	pthread_mutex_lock(&c->lock);
	c->is_signalled = c->has_changed = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Until something has changed, or `until_ms` of CLOCK_BOOTTIME. */
static void wait_change(struct coordinator *c, uint64_t until_ms)
{
	pthread_mutex_lock(&c->lock);
	while (!c->has_changed) {
		uint64_t now = csv_now_ms();
		struct timespec t;

		if (now >= until_ms)
			break;
		/* The clock of a condition is monotonic: short steps, so that a suspended machine
		 * sees the end of its lease when it wakes up. */
		clock_gettime(CLOCK_MONOTONIC, &t);
		t.tv_nsec += 1000000 * (long)(until_ms - now < 500 ? until_ms - now : 500);
		t.tv_sec += t.tv_nsec / 1000000000;
		t.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&c->wake, &c->lock, &t);
	}
	c->has_changed = false;
	pthread_mutex_unlock(&c->lock);
}

static void tell(struct coordinator *c, enum csv_link_phase phase, const char *text)
{
	pthread_mutex_lock(&c->lock);
	c->status.beat = c->state.beat;
	pthread_mutex_unlock(&c->lock);
	c->status.phase = phase;
	if (c->server)
		server_status(c->server, &c->status);
	if (text)
		snprintf(c->status.text, sizeof(c->status.text), "%.*s", CSV_LINK_TEXT - 1, text);
	link_tell(c->link, &c->status);
}

/* ---- the private mount */

/* A mount namespace of our own, without what FUSE mounts this node has: they must not be pinned. */
static int make_private(char *text, size_t size)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		snprintf(text, size, "cannot make a private mount namespace: %s", strerror(errno));
		return -errno;
	}
	mountinfo_detach("fuse.csvfs");
	return 0;
}

/*
 * What is known of this node when the LUN itself is not there to be looked at: with an empty lock
 * file nothing was mounted, or it was unmounted. /run ends with the machine, and so does a mount.
 * It says which disk it was, so that the look is at that one, wherever its path leads to by then.
 */
static int set_mark(struct coordinator *c, const char *mark)
{
	size_t len = strlen(mark);

	if (pwrite(c->lock_fd, mark, len, 0) != (ssize_t)len || ftruncate(c->lock_fd, (off_t)len)) {
		snprintf(c->text, sizeof(c->text), "the lock file cannot be written: %s",
			 strerror(errno));
		return -EIO;
	}
	c->is_marked = len > 0;
	return 0;
}

static int mount_xfs(struct coordinator *c)
{
	char device[CSV_LUN_DEV_MAX], pin[CSV_LUN_DEV_MAX + 64];
	_cleanup_close_ int fd = -1;
	int r = csv_lun_attach(c->lun, device, sizeof(device), c->text, sizeof(c->text));

	if (r)
		return r;
	memcpy(c->attached, device, sizeof(c->attached));
	if (mkdir(c->mount_point, 0700) && errno != EEXIST) {
		snprintf(c->text, sizeof(c->text), "%s: %s", c->mount_point, strerror(errno));
		return -errno;
	}
	/* A LUN that is a file is known by its path. */
	r = csv_lun_pin(c->lun, device, pin, sizeof(pin));
	r = r == -ENODEV ? set_mark(c, device) : r ? r : set_mark(c, pin);
	if (r)
		return r;
	if (mount(device, c->mount_point, "xfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  c->xfs_options)) {
		r = -errno;
		snprintf(c->text, sizeof(c->text), "%s cannot be mounted: %s%s", device,
			 strerror(-r),
			 r == -EUCLEAN ? "; see the kernel's log, then `csvadm repair`" : "");
		return r;
	}
	c->is_mounted = true;
	failpoint(FAIL_MOUNTED, 0, 0);
	fd = open(c->mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		snprintf(c->text, sizeof(c->text), "%s: %s", c->mount_point, strerror(errno));
		return -errno;
	}
	r = backing_open(fd, &c->backing, c->text, sizeof(c->text));
	if (!r)
		failpoint_set_xfs(backing_root_fd(c->backing));
	return r;
}

/* Nothing of ours is left on the disk's device, or the text says what. */
static int unmount_xfs(struct coordinator *c, char *text, size_t size)
{
	uint64_t until = csv_now_ms() + UNMOUNT_WAIT_S * 1000;
	int r = 0;

	failpoint_set_xfs(-1);
	backing_close(c->backing);
	c->backing = NULL;
	while (c->is_mounted) {
		r = umount2(c->mount_point, 0) ? -errno : 0;
		if (!r || r == -EINVAL)
			break;
		if (r != -EBUSY || csv_now_ms() >= until) {
			snprintf(text, size, "the private mount cannot be ended: %s", strerror(-r));
			return r;
		}
		wait_change(c, csv_now_ms() + 100);
	}
	c->is_mounted = false;
	rmdir(c->mount_point);
	failpoint(FAIL_UNMOUNTED, 0, 0);
	if (!c->lun)
		return 0;
	r = csv_lun_detach(c->lun, text, size);
	c->lun = csv_lun_close(c->lun);
	if (!r)
		csv_trace("end %llu", (unsigned long long)c->term);
	/* What an earlier one has left there is not ours to take back. */
	return r || !c->is_marked ? r : set_mark(c, "");
}

static int write_term(struct coordinator *c)
{
	struct csv_term t = {0};

	t.term = c->term;
	t.slot = c->node;
	t.incarnation = c->incarnation;
	snprintf(t.node.text, sizeof(t.node.text), "%s", c->node_name);
	return csv_lun_term_write(c->lun, &t, c->text, sizeof(c->text));
}

static int check_identity(struct coordinator *c)
{
	if (!csv_uuid_equal(csv_lun_volume(c->lun), &c->uuid)) {
		snprintf(c->text, sizeof(c->text), "%s is not volume %s: it carries volume %s",
			 c->device, c->volume, csv_lun_name(c->lun));
		return -EINVAL;
	}
	if (!csv_uuid_equal(csv_lun_cluster(c->lun), &c->cluster)) {
		snprintf(c->text, sizeof(c->text),
			 "%s belongs to another cluster: see `csvadm info`", c->device);
		return -EINVAL;
	}
	return 0;
}

/* ---- life */

static bool has_heard(struct coordinator *c)
{
	bool r;

	pthread_mutex_lock(&c->lock);
	r = c->has_state || c->is_signalled;
	pthread_mutex_unlock(&c->lock);
	return r;
}

/* How things are now; -ECANCELED if this term is not to begin (any more), or without a lease. */
static int check_wanted(struct coordinator *c, struct csv_link_state *ret)
{
	pthread_mutex_lock(&c->lock);
	*ret = c->state;
	c->is_unwanted = !c->has_state || c->is_signalled || c->state.term != c->term ||
			 c->state.is_stop || csv_now_ms() >= c->state.lease_until_ms;
	pthread_mutex_unlock(&c->lock);
	if (!c->is_unwanted)
		return 0;
	snprintf(c->text, sizeof(c->text),
		 "clusterd does not want term %llu (any more), or the quorum lease is over",
		 (unsigned long long)c->term);
	return -ECANCELED;
}

/* The disk may take its time: whether it is still wanted is asked right before the mount. */
static int take_lun(struct coordinator *c)
{
	struct csv_link_state state;
	int r = csv_lun_open(c->device, true, &c->lun, c->text, sizeof(c->text));

	r = r ? r : check_identity(c);
	r = r ? r : check_wanted(c, &state);
	if (r)
		return r;
	csv_trace("begin %llu", (unsigned long long)c->term);
	r = write_term(c);
	if (r)
		return r;
	failpoint(FAIL_TERM_WRITTEN, 0, 0);
	csv_log(LOG_INFO, "volume %s: term %llu is on the LUN -> mounting", c->volume,
		(unsigned long long)c->term);
	r = check_wanted(c, &state);
	return r ? r : mount_xfs(c);
}

static int start(struct coordinator *c)
{
	struct server_options o = {.volume = c->uuid,
				   .term = c->term,
				   .address = c->address,
				   .changed = on_server_change,
				   .arg = c};
	struct csv_link_state state;
	uint64_t until = csv_now_ms() + STATE_WAIT_MS;
	int r = tls_key_load(c->key_path, CLIENT_KEY_PURPOSE, &o.key);

	if (r) {
		snprintf(c->text, sizeof(c->text), "%s: %s", c->key_path, strerror(-r));
		return r;
	}
	while (!has_heard(c) && csv_now_ms() < until)
		wait_change(c, until);
	r = check_wanted(c, &state);
	r = r ? r : take_lun(c);
	if (r)
		return r;
	csv_log(LOG_INFO, "volume %s: mounted -> reading the records of mounts", c->volume);
	r = check_wanted(c, &state);
	o.backing = c->backing;
	o.data_start = csv_lun_data_start(c->lun);
	r = r ? r : server_open(&o, &state, &c->server, c->text, sizeof(c->text));
	if (!r)
		csv_log(LOG_NOTICE, "volume %s: coordinator under term %llu", c->volume,
			(unsigned long long)c->term);
	return r;
}

/* Why it did not begin stays in c->text. */
static void undo_start(struct coordinator *c)
{
	char text[CSV_LUN_TEXT_MAX];

	if (unmount_xfs(c, text, sizeof(text)))
		csv_log(LOG_ERR, "volume %s: %s", c->volume, text);
}

/* Why it should end, or NULL. */
static const char *why_end(struct coordinator *c)
{
	const char *why = server_failure(c->server);

	pthread_mutex_lock(&c->lock);
	if (!why && c->is_signalled)
		why = "ended by a signal";
	else if (!why && c->state.is_stop)
		why = "clusterd has asked for it";
	else if (!why && c->state.term != c->term)
		why = "the cluster has another coordinator";
	pthread_mutex_unlock(&c->lock);
	if (!why && server_lease_is_over(c->server))
		why = "the quorum lease is over";
	return why;
}

/* ---- a LUN that has grown */

static int grow(struct coordinator *c, uint64_t *ret_bytes, char *text, size_t size)
{
	struct csv_lun *lun = NULL;
	char ignored[CSV_LUN_TEXT_MAX];
	int r = csv_lun_open(c->device, true, &lun, text, size), xfs;

	if (r)
		return r;
	r = csv_lun_grow(lun, c->attached, text, size);
	if (!r || r == -EALREADY) {
		xfs = csv_lun_grow_xfs(lun, c->mount_point, ret_bytes, ignored, sizeof(ignored));
		if (xfs && xfs != -EALREADY)
			snprintf(text, size, "%s", ignored);
		/* What an earlier try has left is done as well. */
		r = xfs == -EALREADY ? r : xfs;
	}
	csv_lun_close(lun);
	return r;
}

static void *grow_thread(void *arg)
{
	struct coordinator *c = arg;
	char text[CSV_LUN_TEXT_MAX] = "";
	uint64_t bytes = 0;
	int r = grow(c, &bytes, text, sizeof(text));

	csv_log(r ? LOG_WARNING : LOG_NOTICE, "volume %s: grow: %s", c->volume, r ? text : "done");
	pthread_mutex_lock(&c->lock);
	c->grown.grown = c->growing;
	c->grown.has_grown = !r;
	c->grown.grown_bytes = bytes;
	snprintf(c->grown.grown_text, sizeof(c->grown.grown_text), "%.*s", CSV_LINK_TEXT - 1,
		 r ? text : "");
	c->grower_ended = c->has_changed = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Begins what is wanted, one at a time, and takes its words. */
static void look_at_grow(struct coordinator *c, uint64_t wanted)
{
	bool has_ended;

	pthread_mutex_lock(&c->lock);
	has_ended = c->grower_ended;
	pthread_mutex_unlock(&c->lock);
	if (c->growing && has_ended) {
		pthread_join(c->grower, NULL);
		c->status.grown = c->grown.grown;
		c->status.has_grown = c->grown.has_grown;
		c->status.grown_bytes = c->grown.grown_bytes;
		memcpy(c->status.grown_text, c->grown.grown_text, sizeof(c->status.grown_text));
		c->growing = 0;
	}
	if (!wanted || c->growing || wanted == c->status.grown)
		return;
	c->growing = wanted;
	c->grower_ended = false;
	if (pthread_create(&c->grower, NULL, grow_thread, c))
		c->growing = 0; /* looked at again with the next change */
}

static const char *serve(struct coordinator *c)
{
	const char *why;

	for (;;) {
		struct csv_link_state state;

		pthread_mutex_lock(&c->lock);
		state = c->state;
		pthread_mutex_unlock(&c->lock);
		server_state(c->server, &state);
		why = why_end(c);
		if (why)
			return why;
		look_at_grow(c, state.grow);
		tell(c, CSV_LINK_READY, NULL);
		wait_change(c, state.lease_until_ms);
	}
}

static int stop(struct coordinator *c)
{
	bool has_failed = server_failure(c->server) != NULL;
	int r;

	tell(c, CSV_LINK_STOPPING, NULL);
	server_stop(c->server);
	failpoint(FAIL_STOPPING, 0, 0);
	/* As long as a request takes; clusterd has its own deadline for it. */
	while (!has_failed && !server_has_stopped(c->server)) {
		wait_change(c, UINT64_MAX);
		has_failed = server_failure(c->server) != NULL;
	}
	while (!has_failed && c->growing) { /* it has the mount open */
		look_at_grow(c, 0);
		if (c->growing)
			wait_change(c, UINT64_MAX);
	}
	if (has_failed) /* a worker may be stuck in the disk: not waited for */
		return -EIO;
	failpoint(FAIL_STOPPED, 0, 0);
	server_close(c->server);
	c->server = NULL;
	failpoint(FAIL_CLOSED, 0, 0);
	r = unmount_xfs(c, c->text, sizeof(c->text));
	return r;
}

/* Each slot in use and each open file costs a descriptor. */
static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		csv_log(LOG_WARNING, "the number of open files cannot be raised: %s",
			strerror(errno));
}

static void be_calm(struct coordinator *c)
{
	pthread_condattr_t attr;
	pthread_t thread;
	sigset_t set;

	raise_limits();
	umask(0);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->wake, &attr);
	pthread_condattr_destroy(&attr);
	must(!pthread_create(&thread, NULL, signal_thread, c));
	pthread_detach(thread);
}

int csv_coordinate_main(int argc, char **argv)
{
	static struct coordinator c; /* threads outlive a failed end */
	struct link_options l = {.on_state = on_state, .arg = &c};
	const char *why = NULL;
	char uuid[UUID_TEXT];
	int r = parse(&c, argc, argv);

	if (r)
		return r - 1;
	csv_log_open("csvfsd", c.to_syslog, LOG_INFO);
	csv_trace_open();
	failpoint_open();
	uuid_text(c.uuid.byte, uuid);
	c.lock_fd = process_lock(c.socket, uuid, "coordinator");
	if (c.lock_fd < 0)
		return 1; /* kept until the process ends */
	snprintf(c.mount_point, sizeof(c.mount_point), "%.*s/csv-%s",
		 (int)(strrchr(c.socket, '/') - c.socket), c.socket, uuid);
	r = make_private(c.text, sizeof(c.text));
	if (r) {
		fprintf(stderr, "csvfsd coordinate: %s\n", c.text);
		return 1;
	}
	process_harden();
	be_calm(&c);
	l.socket = c.socket;
	l.attach = (struct csv_link_attach){.role = CSV_LINK_COORDINATOR, .id = c.term};
	memcpy(l.attach.volume, c.uuid.byte, sizeof(l.attach.volume));
	r = link_open(&l, &c.link);
	must(!r);
	tell(&c, CSV_LINK_STARTING, NULL);
	r = start(&c);
	if (!r) {
		why = serve(&c);
		csv_log(LOG_NOTICE, "volume %s: %s -> it stops", c.volume, why);
		r = stop(&c);
		if (r && c.server && server_failure(c.server))
			snprintf(c.text, sizeof(c.text), "%s", server_failure(c.server));
	} else {
		undo_start(&c);
	}
	/* One that was not wanted any more has not failed: it may be tried here again. */
	tell(&c, r && !c.is_unwanted ? CSV_LINK_FAILED : CSV_LINK_STOPPED, r ? c.text : why);
	if (r)
		csv_log(LOG_ERR, "volume %s: %s", c.volume, c.text);
	link_close(c.link, TELL_WAIT_MS);
	/* With the process goes its mount namespace; clusterd looks whether the disk is free. */
	_exit(r ? 1 : 0);
}
