/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "csvfs/edge/client.h"
#include "csvfs/edge/datapath.h"
#include "csvfs/edge/failpoint.h"
#include "csvfs/edge/fuse.h"
#include "csvfs/edge/holder.h"
#include "csvfs/edge/keep.h"
#include "csvfs/edge/link.h"
#include "csvfs/edge/locks.h"
#include "csvfs/edge/log.h"
#include "csvfs/edge/lun.h"
#include "csvfs/edge/mount_options.h"
#include "csvfs/edge/mount_point.h"
#include "csvfs/edge/process.h"
#include "csvfs/edge/trace.h"
#include "lib/cleanup.h"
#include "lib/must.h"

#define TICK_MS	      1000 /* how old the oldest request is, is told so often */
#define BUSY_RETRY_MS 500  /* the kernel tells nobody that a mount is not busy any more */
#define DRAIN_MS      5000 /* unmounted: for the releases that are under way */
#define GOODBYE_MS    5000
#define LAST_WORD_MS  2000
#define HAND_OVER_MS  5000  /* for what is under way */
#define BEFORE_MS     60000 /* that another process goes on is shown for so long */
#define LOCKS_CURSOR  ((size_t)SIZE_MAX / 2)

struct mount {
	struct mount_options options;
	char path[MOUNT_POINT_MAX];
	int signals, wake;
	struct keep *keep;
	uint64_t begin_ms;
	struct client *client;
	struct datapath *datapath; /* NULL: it was given no LUN */
	struct mount_cache *cache; /* the same: there is no line to break a promise over */
	struct locks *locks;
	struct csv_fs *fs;
	struct link *link;
	pthread_t server;
	struct csv_link_status told;
	bool has_told;

	pthread_mutex_t lock; /* of what follows */
	bool is_stop;
	bool is_next; /* another process is to go on */
	bool is_deaf; /* the client is going: clusterd's word is of no more use to it */
	bool has_ended;
	int end_error;
	uint64_t beat; /* of clusterd's last word */
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void on_change(void *arg)
{
	struct mount *m = arg;
	uint64_t one = 1;

	while (write(m->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void on_state(void *arg, const struct csv_link_state *state)
{
	struct mount *m = arg;

	pthread_mutex_lock(&m->lock);
	if (!m->is_deaf)
		client_target(m->client, state);
	if (!m->is_deaf && m->datapath)
		datapath_target(m->datapath, state);
	if (state->is_stop)
		m->is_stop = true;
	m->beat = state->beat;
	pthread_mutex_unlock(&m->lock);
	on_change(m);
}

/* ---- the LUN */

/* Grants, then locks: their cursor is above that of grants. */
static bool next_grant(void *arg, uint64_t term, size_t *cursor, struct csv_frame *ret)
{
	struct mount *m = arg;
	size_t lock;
	bool r;

	if (*cursor < LOCKS_CURSOR && m->datapath &&
	    datapath_reclaim(m->datapath, term, cursor, ret))
		return true;
	lock = *cursor < LOCKS_CURSOR ? 0 : *cursor - LOCKS_CURSOR;
	r = locks_reclaim(m->locks, &lock, ret);
	*cursor = LOCKS_CURSOR + lock;
	return r;
}

static void on_lock_granted(void *arg, uint64_t number)
{
	struct mount *m = arg;

	locks_granted(m->locks, number);
}

/* Reads its header past every cache: so this is how a path is tried, too. */
static int open_device(void *arg)
{
	struct mount *m = arg;
	char text[CSV_LUN_TEXT_MAX] = "";
	struct csv_lun *lun = NULL;
	int r = csv_lun_open(m->options.device, false, &lun, text, sizeof(text));

	if (!r && memcmp(csv_lun_volume(lun)->byte, m->options.uuid.byte, CSV_UUID_BYTES) != 0)
		r = -EMEDIUMTYPE;
	csv_lun_close(lun);
	if (r) {
		log_info("%s: %s", m->options.device, text[0] ? text : strerror(-r));
		return r;
	}
	r = open(m->options.device, O_RDWR | O_DIRECT | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

static void *serve(void *arg)
{
	struct mount *m = arg;
	int r = csv_fs_serve(m->fs);

	pthread_mutex_lock(&m->lock);
	m->has_ended = true;
	m->end_error = r;
	pthread_mutex_unlock(&m->lock);
	on_change(m);
	return NULL;
}

static bool has_ended(struct mount *m)
{
	bool r;

	pthread_mutex_lock(&m->lock);
	r = m->has_ended;
	pthread_mutex_unlock(&m->lock);
	return r;
}

static bool must_stop(struct mount *m)
{
	bool r;

	pthread_mutex_lock(&m->lock);
	r = m->is_stop;
	pthread_mutex_unlock(&m->lock);
	return r;
}

/* ---- status */

/* Worth a packet? The age of the oldest request only if it is old. */
static bool is_news(const struct csv_link_status *a, const struct csv_link_status *b)
{
	return a->phase != b->phase || a->beat != b->beat || a->is_serving != b->is_serving ||
	       a->is_quiet != b->is_quiet || memcmp(&a->io, &b->io, sizeof(a->io)) != 0 ||
	       strcmp(a->text, b->text) != 0 || a->oldest_ms >= TICK_MS || b->oldest_ms >= TICK_MS;
}

static void fill_io(struct mount *m, struct csv_link_status *s)
{
	struct datapath_status d;

	datapath_tick(m->datapath);
	datapath_status(m->datapath, &d);
	s->is_quiet = d.is_quiet;
	s->io = (struct csv_link_io){.state = (enum csv_link_io_state)d.io,
				     .granted = d.granted,
				     .since_ms = d.since_ms,
				     .reads = d.reads,
				     .writes = d.writes,
				     .bytes = d.bytes,
				     .redirected_bytes = d.redirected_bytes};
	snprintf(s->io.why, sizeof(s->io.why), "%s", d.why);
	if (!d.why[0] && m->options.held.before[0] && now_ms() < m->begin_ms + BEFORE_MS)
		snprintf(s->io.why, sizeof(s->io.why),
			 "another process goes on, for the one before %s", m->options.held.before);
}

/* text NULL: what the client waits for. */
static void tell(struct mount *m, enum csv_link_phase phase, const char *text)
{
	struct csv_link_status s = {.phase = phase};
	struct client_status c = {0};

	/* Before the locks of what works are asked for: so it is answered when they were had. */
	pthread_mutex_lock(&m->lock);
	s.beat = m->beat;
	pthread_mutex_unlock(&m->lock);
	if (m->client)
		client_status(m->client, &c);
	s.is_serving = c.is_serving;
	s.is_quiet = true; /* without a LUN all its I/O is the coordinator's */
	if (m->datapath)
		fill_io(m, &s);
	s.io.requests = c.requests;
	s.pending = c.pending;
	s.oldest_ms = c.oldest_ms;
	snprintf(s.text, sizeof(s.text), "%s", text ? text : c.text);
	if (m->has_told && !is_news(&s, &m->told))
		return;
	m->told = s;
	m->has_told = true;
	link_tell(m->link, &s);
}

/* ---- the loop of the main thread */

/* Until something has happened, or `timeout_ms` have passed. */
static void wait_event(struct mount *m, int timeout_ms)
{
	struct pollfd p[] = {{.fd = m->signals, .events = POLLIN},
			     {.fd = m->wake, .events = POLLIN}};
	struct signalfd_siginfo info;
	uint64_t n;

	if (poll(p, 2, timeout_ms) <= 0)
		return;
	if (p[1].revents && read(m->wake, &n, sizeof(n)) < 0)
		must(errno == EAGAIN || errno == EINTR);
	if (!p[0].revents || read(m->signals, &info, sizeof(info)) != sizeof(info))
		return;
	pthread_mutex_lock(&m->lock);
	if (info.ssi_signo == SIGHUP)
		m->is_next = true;
	else
		m->is_stop = true;
	pthread_mutex_unlock(&m->lock);
	if (info.ssi_signo != SIGHUP)
		log_notice("signal %u -> unmounting", info.ssi_signo);
}

static void say_busy(struct mount *m, int error, char *last, size_t cap)
{
	char text[CSV_LINK_TEXT], users[CSV_LINK_TEXT - 32] = "";

	if (error == -EBUSY)
		mount_point_users(m->path, users, sizeof(users));
	if (users[0])
		snprintf(text, sizeof(text), "cannot unmount: in use by %s", users);
	else
		snprintf(text, sizeof(text), "cannot unmount: %s", strerror(-error));
	if (strcmp(text, last) != 0)
		log_notice("%s -> trying again", text);
	snprintf(last, cap, "%s", text);
	tell(m, CSV_LINK_STOPPING, text);
}

/* 0: it is out of the tree; -EBUSY: it had to be torn out, and why is in `text`. */
static int unmount(struct mount *m, uint64_t until_ms, char *text, size_t cap)
{
	int r = -EBUSY;

	while (!has_ended(m)) {
		r = mount_point_unmount(m->path);
		if (!r || r == -EINVAL)
			return 0;
		say_busy(m, r, text, cap);
		if (until_ms && now_ms() >= until_ms) {
			log_error("%s, for %u s -> its users are cut off", text,
				  m->options.busy_timeout_s);
			mount_point_detach(m->path);
			return -EBUSY;
		}
		wait_event(m, BUSY_RETRY_MS);
	}
	return 0;
}

/* Until the kernel has ended the connection. A mount namespace may have a copy of the mount. */
static int drain(struct mount *m, uint64_t until_ms, char *text, size_t cap)
{
	struct client_status c;
	uint64_t short_ms = now_ms() + DRAIN_MS;

	while (!has_ended(m)) {
		client_status(m->client, &c);
		if (now_ms() >= (c.is_serving && until_ms > short_ms ? until_ms : short_ms) &&
		    (until_ms || !c.is_serving))
			return -EBUSY;
		snprintf(text, cap, "unmounted, but %s",
			 c.pending ? "requests are under way"
				   : "another mount namespace still has it");
		tell(m, CSV_LINK_STOPPING, text);
		wait_event(m, BUSY_RETRY_MS);
	}
	return 0;
}

static bool is_path_good(struct mount *m)
{
	struct datapath_status d;

	datapath_status(m->datapath, &d);
	return d.io == DIRECT_ACTIVE;
}

/* The client goes before STOPPED is told: after it nothing of this mount is heard any more. */
static void end_client(struct mount *m, bool is_clean)
{
	pthread_mutex_lock(&m->lock);
	m->is_deaf = true;
	pthread_mutex_unlock(&m->lock);
	locks_stop(m->locks);
	if (is_clean) {
		int r = client_goodbye(m->client, GOODBYE_MS);

		if (r)
			log_info("no goodbye to the coordinator: %s", strerror(-r));
		/* Threads that a sick LUN holds are not waited for: they end with the process. */
		if (m->datapath && is_path_good(m))
			datapath_close(m->datapath);
		else if (m->datapath)
			return;
		m->datapath = NULL;
		client_close(m->client);
		m->client = NULL;
		mount_cache_free(m->cache);
		m->cache = NULL;
		locks_close(m->locks);
		m->locks = NULL;
		return;
	}
	/* Threads that the kernel's requests hold may still be in it. */
	client_abort(m->client);
	client_target(m->client, &(struct csv_link_state){.term = 0});
}

static int stop(struct mount *m)
{
	uint64_t limit_ms = (uint64_t)m->options.busy_timeout_s * 1000;
	uint64_t until_ms = limit_ms ? now_ms() + limit_ms : 0;
	char text[CSV_LINK_TEXT] = "";
	int r;

	tell(m, CSV_LINK_STOPPING, text);
	r = unmount(m, until_ms, text, sizeof(text));
	r = r ? r : drain(m, until_ms, text, sizeof(text));
	end_client(m, !r);
	if (!r) {
		pthread_join(m->server, NULL);
		csv_fs_close(m->fs);
		text[0] = '\0';
		log_notice("unmounted %s -> ending", m->path);
	}
	tell(m, CSV_LINK_STOPPED, text);
	link_close(m->link, LAST_WORD_MS);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The kernel has closed the connection, and nobody of ours asked for it. */
static int fail(struct mount *m)
{
	const char *text = m->end_error ? strerror(-m->end_error) : "unmounted by someone else";

	log_error("%s: %s -> ending", m->path, text);
	pthread_join(m->server, NULL);
	end_client(m, true);
	tell(m, CSV_LINK_FAILED, text);
	link_close(m->link, LAST_WORD_MS);
	csv_fs_close(m->fs);
	return EXIT_FAILURE;
}

/* For another process to go on: it does not return then. */
static void hand_over(struct mount *m)
{
	bool is_asked;

	pthread_mutex_lock(&m->lock);
	is_asked = m->is_next;
	m->is_next = false;
	pthread_mutex_unlock(&m->lock);
	if (!is_asked)
		return;
	log_notice("another process is to go on -> no new requests are taken here");
	if (!csv_fs_hand_over(m->fs, HAND_OVER_MS))
		_exit(HOLDER_NEXT); /* all that counts is in the keep */
	log_warning("requests are under way that have had no answer for %d s, and this kernel does "
		    "not send them again (Linux 6.9 does) -> going on here; try again",
		    HAND_OVER_MS / 1000);
}

static int run(struct mount *m)
{
	while (!must_stop(m)) {
		if (has_ended(m))
			return fail(m);
		hand_over(m);
		tell(m, CSV_LINK_READY, NULL);
		wait_event(m, TICK_MS);
	}
	return stop(m);
}

/* ---- start */

static int open_client(struct mount *m)
{
	struct client_options o = {.volume = m->options.uuid,
				   .mount = m->options.id,
				   .on_change = on_change,
				   .next_grant = next_grant,
				   .keep = m->keep,
				   .arg = m};
	struct datapath_options d = {.volume = m->options.uuid,
				     .mount = m->options.id,
				     .open_device = open_device,
				     .on_lock_granted = on_lock_granted,
				     .keep = m->keep,
				     .on_change = on_change,
				     .arg = m};
	struct locks_options l = {.mount = m->options.id,
				  .has_line = m->options.device != NULL,
				  .keep = m->keep,
				  .signal_ends = signal_ends};
	int r = tls_key_load(m->options.key, CLIENT_KEY_PURPOSE, &o.key);

	if (r)
		return process_complain(r, "key %s", m->options.key);
	if (m->options.device) {
		m->cache = mount_cache_new();
		if (!m->cache)
			return process_complain(-ENOMEM, "cache");
	}
	o.cache = d.cache = m->cache;
	r = client_open(&o, &m->client);
	if (r)
		return process_complain(r, "client");
	/* Nothing is connected before clusterd has been heard. */
	l.client = m->client;
	r = locks_open(&l, &m->locks);
	if (r)
		return process_complain(r, "locks");
	d.key = o.key;
	d.client = m->client;
	if (m->options.device)
		r = datapath_open(&d, &m->datapath);
	return r ? process_complain(r, "data path") : 0;
}

static int open_fs(struct mount *m)
{
	struct csv_fs_options o = {.mount_point = m->path,
				   .client = m->client,
				   .datapath = m->datapath,
				   .cache = m->cache,
				   .locks = m->locks,
				   .mount = m->options.id,
				   .device = m->options.held.device,
				   .teller = m->options.held.teller,
				   .keep = m->keep};
	int r = csv_fs_open(&o, &m->fs);

	if (r)
		return process_complain(r, "cannot serve %s", m->path);
	r = -pthread_create(&m->server, NULL, serve, m);
	if (r) {
		csv_fs_close(m->fs);
		return process_complain(r, "thread");
	}
	return 0;
}

static int open_events(struct mount *m)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_mutex_init(&m->lock, NULL);
	m->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (m->wake < 0 || m->signals < 0 || pthread_sigmask(SIG_BLOCK, &set, NULL))
		return process_complain(-errno, "events");
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

/* With the mount there: only a broken link could still end it, and that one connects by itself. */
static int open_link(struct mount *m)
{
	struct link_options o = {.socket = m->options.socket,
				 .attach = {.role = CSV_LINK_MOUNT, .id = m->options.id},
				 .on_state = on_state,
				 .arg = m};
	int r;

	memcpy(o.attach.volume, m->options.uuid.byte, sizeof(o.attach.volume));
	r = link_open(&o, &m->link);
	return r ? process_complain(r, "%s", m->options.socket) : 0;
}

static int start(struct mount *m)
{
	if (open_events(m))
		return -1;
	process_harden();
	if (open_client(m))
		return -1;
	if (open_fs(m)) {
		client_close(m->client);
		return -1;
	}
	return open_link(m);
}

/* Where it is mounted: the holder has found it, and had it mounted. */
static void find_path(struct mount *m)
{
	char why[256];

	mount_point_resolve(m->options.mount_point, m->path, sizeof(m->path), why, sizeof(why));
}

static int serve_main(struct mount *m)
{
	const struct mount_held *held = &m->options.held;
	int r;

	fcntl(held->device, F_SETFD, FD_CLOEXEC);
	fcntl(held->keep, F_SETFD, FD_CLOEXEC);
	fcntl(held->lock, F_SETFD, FD_CLOEXEC);
	fcntl(held->control, F_SETFD, FD_CLOEXEC);
	fcntl(held->teller, F_SETFD, FD_CLOEXEC);
	m->begin_ms = now_ms();
	csv_trace_open();
	failpoint_open();
	csv_trace("mount %016llx", (unsigned long long)m->options.id);
	find_path(m);
	r = keep_open(held->keep, &m->keep);
	if (r)
		process_complain(r, "what the process before has left");
	if (r == -EPROTO)
		return HOLDER_CANNOT;
	if (r || start(m))
		return EXIT_FAILURE;
	log_notice("volume %s mounted at %s, mount %llx, process %u of it%s%s -> serving",
		   m->options.volume, m->path, (unsigned long long)m->options.id,
		   (unsigned int)keep_life(m->keep), held->before[0] ? "; the one before " : "",
		   held->before);
	holder_tell_ready(held);
	return run(m);
}

int csv_mount_main(int argc, char **argv)
{
	static struct mount m;
	int ready = -1, r;

	r = mount_options_parse(argc, argv, &m.options);
	if (r >= 0)
		return r;
	csv_log_open("csvfsd-mount", m.options.to_syslog, LOG_NOTICE);
	if (m.options.is_held)
		return serve_main(&m);
	if (!m.options.foreground && process_fork(&ready, &r))
		return r;
	return holder_run(&m.options, argc, argv, ready);
}
