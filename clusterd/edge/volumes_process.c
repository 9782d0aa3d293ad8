/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The csvfsds of this node as processes: start, end, and the proof of the end. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusterd/edge/log.h"
#include "clusterd/edge/spawn.h"
#include "clusterd/edge/volumes_impl.h"
#include "lib/cleanup.h"
#include "lib/mountinfo.h"
#include "lib/must.h"
#include "lib/run.h"

#define ARGS_MAX 40

const char *volumes_address(struct volumes *v, uint8_t slot, uint8_t link)
{
	const struct db_node *n = db_node_by_slot(&v->engine->db, slot);

	return n && link < COROSYNC_LINKS ? cpg_address(&v->addresses[link], slot, n->nodeid, link)
					  : "";
}

static void mount_point(const struct volumes_local *l, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", l->volumes->options.mount_dir, l->name);
}

static int make_mount_point(const char *path)
{
	char parent[512];
	char *slash;

	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (slash && slash != parent) {
		*slash = 0;
		if (mkdir(parent, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int spawn(struct volumes_process *p, const char *const *argv)
{
	p->started_ms = engine_now_ms();
	return spawn_apart(argv, "csvfsd", &p->child);
}

int volumes_spawn_mount(struct volumes_local *l, const struct db_volume *row)
{
	const struct volumes_options *o = &l->volumes->options;
	char id[24], path[512];
	const char *argv[] = {
		o->csvfsd,  "mount",	  "--volume",	   l->name,
		"--uuid",   l->uuid_text, "--mount-point", path,
		"--id",	    id,		  "--socket",	   l->volumes->socket,
		"--key",    o->key_path,  "--log",	   o->to_syslog ? "syslog" : "stderr",
		"--device", row->device,  "--foreground",  NULL};
	int r;

	volumes_clean_mount_point(l); /* of one that died while we were away */
	snprintf(id, sizeof(id), "%016" PRIx64, l->mount.id);
	mount_point(l, path, sizeof(path));
	r = make_mount_point(path);
	r = r ? r : spawn(&l->mount, argv);
	if (r)
		snprintf(l->mount.text, sizeof(l->mount.text), "%s: %s", path, strerror(-r));
	else
		log_notice("volume %s: mount %s begins", l->name, id);
	return r;
}

int volumes_spawn_coordinator(struct volumes_local *l, const struct db_volume *row)
{
	struct volumes *v = l->volumes;
	const struct volumes_options *o = &v->options;
	const struct repl_state *s = &v->engine->repl;
	const struct db_cluster *cluster = db_at(&v->engine->db, DB_KIND_CLUSTER, 0);
	char term[24], node[8], incarnation[24];
	const char *argv[ARGS_MAX] = {
		o->csvfsd, "coordinate", "--volume", l->name, "--uuid", l->uuid_text, "--cluster",
		cluster->uuid, "--device", row->device, "--term", term, "--node", node,
		"--node-name", s->self.name.text, "--incarnation", incarnation, "--listen",
		volumes_address(v, s->self_slot, row->link), "--socket", v->socket, "--key",
		o->key_path, "--log", o->to_syslog ? "syslog" : "stderr",
		/* the last pair may be missing */
		o->xfs_options ? "--xfs-options" : NULL, o->xfs_options, NULL};
	int r;

	snprintf(term, sizeof(term), "%" PRIu64, row->term);
	snprintf(node, sizeof(node), "%u", s->self_slot);
	snprintf(incarnation, sizeof(incarnation), "%016" PRIx64, s->self.incarnation);
	r = spawn(&l->coordinator, argv);
	if (r)
		snprintf(l->coordinator.text, sizeof(l->coordinator.text), "%s: %s", o->csvfsd,
			 strerror(-r));
	else
		log_notice("volume %s: coordinator of term %s begins", l->name, term);
	return r;
}

static void lock_path(const struct volumes_local *l, enum csv_link_role role, char *path,
		      size_t size)
{
	snprintf(path, size, "%s/csv-%s-%s.lock", l->volumes->options.run_dir, l->uuid_text,
		 role == CSV_LINK_MOUNT ? "mount" : "coordinator");
}

/* False when the file can be locked: who held it is dead. */
static bool lock_is_held(const struct volumes_local *l, enum csv_link_role role)
{
	_cleanup_close_ int fd = -1;
	char path[256];

	lock_path(l, role, path, sizeof(path));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return true; /* it cannot be found out, which proves nothing */
	return flock(fd, LOCK_EX | LOCK_NB) < 0;
}

/* Whose lock it is, by the kernel's list: proc(5); 0: nobody's that can be named. */
static pid_t lock_holder(const char *path)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/locks", "re");
	unsigned int dev_major, dev_minor;
	unsigned long long ino;
	char line[256];
	struct stat st;
	int pid;

	if (stat(path, &st) < 0)
		return 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*u: FLOCK %*s WRITE %d %x:%x:%llu", &pid, &dev_major, &dev_minor,
			   &ino) == 4 &&
		    makedev(dev_major, dev_minor) == st.st_dev && ino == st.st_ino && pid > 0)
			return pid;
	}
	return 0;
}

/* One of an earlier daemon, that has not attached to this one. */
static void kill_holder(const char *path)
{
	pid_t pid = lock_holder(path);
	_cleanup_close_ int fd = pid ? pidfd_open(pid, 0) : -1;

	/* Asked again: the number may have become somebody else's before it was pinned. */
	if (fd < 0 || lock_holder(path) != pid)
		return;
	log_error("csvfsd %d (%s) does not come back -> killed", pid, path);
	pidfd_send_signal(fd, SIGKILL, NULL, 0);
}

bool volumes_process_is_over(struct volumes_local *l, struct volumes_process *p)
{
	int status;

	if (p->child) {
		pid_t pid = waitpid(p->child, &status, WNOHANG);

		if (!pid)
			return false;
		p->child = 0;
		if (pid > 0 && WIFSIGNALED(status))
			log_warning("volume %s: csvfsd (%s) was ended by signal %d", l->name,
				    p->role == CSV_LINK_MOUNT ? "mount" : "coordinator",
				    WTERMSIG(status));
	}
	/* Its line ends with it: as long as that stands, nobody has to look. */
	return !volumes_client_find(l->volumes, l->uuid, p->role) && !lock_is_held(l, p->role);
}

void volumes_process_kill(struct volumes_local *l, struct volumes_process *p)
{
	const struct volumes_client *c = volumes_client_find(l->volumes, l->uuid, p->role);
	pid_t pid = p->child ? p->child : c ? c->conn->pid : 0;
	char path[256];

	/* Who holds a mount is not who speaks for it, and would start another one. */
	if (!pid || (!p->child && p->role == CSV_LINK_MOUNT)) {
		lock_path(l, p->role, path, sizeof(path));
		kill_holder(path);
		return;
	}
	log_error("volume %s: csvfsd %d (%s) does not end -> killed", l->name, pid,
		  p->role == CSV_LINK_MOUNT ? "mount" : "coordinator");
	kill(pid, SIGKILL);
}

/*
 * A csvfs is mounted there and nothing on it. By the kernel's list: a path into a file system whose
 * process is dead or stopped is nothing that this daemon walks.
 */
static bool is_csvfs_at(const char *path)
{
	struct mountinfo m;

	return mountinfo_at(path, &m) && !strcmp(m.type, "fuse.csvfs");
}

void volumes_clean_mount_point(struct volumes_local *l)
{
	_cleanup_free_ char *dir = realpath(l->volumes->options.mount_dir, NULL);
	char path[512];

	if (!dir)
		return; /* not made yet */
	snprintf(path, sizeof(path), "%s/%s", strcmp(dir, "/") != 0 ? dir : "", l->name);
	while (is_csvfs_at(path)) {
		/* With what the kernel waits for there: a process in such a wait cannot be killed.
		 */
		if (umount2(path, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) < 0) {
			log_warning("%s: a dead mount cannot be taken away: %s", path,
				    strerror(errno));
			return;
		}
	}
}

/* ---- is the LUN free */

static void proved(void *data, const struct run_result *result)
{
	struct volumes_local *l = data;

	l->prove = NULL;
	l->is_proven = result->kind == RUN_EXITED && result->code == 0;
	l->prove_next_ms = engine_now_ms() + 1000;
	if (!l->is_proven) {
		run_output_text(&result->err, 1, l->coordinator.text, sizeof(l->coordinator.text));
		log_warning("volume %s: it is not proven that the coordinator's mount has ended: "
			    "%s -> looked at again",
			    l->name, l->coordinator.text);
	}
}

void volumes_prove(struct volumes_local *l, const char *device)
{
	char lock[256];
	const char *const argv[] = {
		l->volumes->options.csvfsd, "free", "--device", device, "--lock", lock, NULL};
	struct run_options o = RUN_OPTIONS_INIT;

	if (l->prove || engine_now_ms() < l->prove_next_ms)
		return;
	lock_path(l, CSV_LINK_COORDINATOR, lock, sizeof(lock));
	o.path = argv[0];
	o.argv = argv;
	o.timeout_ms = VOLUMES_PROVE_MS;
	o.grace_ms = 0;
	if (run_start(l->volumes->engine->loop, &o, proved, l, &l->prove))
		l->prove = NULL;
}

/* ---- what is on the LUN */

struct identify {
	volumes_identified done;
	void *arg;
};

static bool take_text(const json_t *o, const char *name, char *to, size_t size)
{
	const char *s = json_string_value(json_object_get(o, name));

	if (!s || strlen(s) >= size)
		return false;
	memcpy(to, s, strlen(s) + 1);
	return true;
}

static void identified(void *data, const struct run_result *result)
{
	struct identify *i = data;
	struct volumes_identity id = {.text = ""};
	json_t *o = NULL;

	if (result->kind == RUN_EXITED && result->code == 0)
		o = json_loadb(result->out.data, result->out.len, 0, NULL);
	if (!o || !take_text(o, "name", id.name, sizeof(id.name)) ||
	    !take_text(o, "uuid", id.uuid, sizeof(id.uuid)) ||
	    !take_text(o, "cluster", id.cluster, sizeof(id.cluster))) {
		id = (struct volumes_identity){.text = ""};
		run_output_text(&result->err, 1, id.text, sizeof(id.text));
		if (!id.text[0])
			snprintf(id.text, sizeof(id.text), "it does not answer: %s",
				 run_kind_name(result->kind));
	}
	json_decref(o);
	i->done(i->arg, &id);
	free(i);
}

int volumes_identify(struct volumes *v, const char *device, volumes_identified done, void *arg)
{
	const char *const argv[] = {v->options.csvfsd, "identify", "--device", device, NULL};
	struct run_options o = RUN_OPTIONS_INIT;
	struct identify *i = calloc(1, sizeof(*i));
	int r;

	must(i);
	i->done = done;
	i->arg = arg;
	o.path = argv[0];
	o.argv = argv;
	o.timeout_ms = VOLUMES_IDENTIFY_MS;
	o.grace_ms = 0;
	r = run_start(v->engine->loop, &o, identified, i, NULL);
	if (r)
		free(i);
	return r;
}
