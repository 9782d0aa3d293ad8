/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The csvfsds of this node as processes: start, end, and the proof of the end. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusterd/edge/log.h"
#include "clusterd/edge/volumes_impl.h"
#include "lib/cgroup.h"
#include "lib/cleanup.h"
#include "lib/must.h"
#include "lib/run.h"

#define ARGS_MAX 40

const char *volumes_address(struct volumes *v, uint8_t slot)
{
	const struct db_node *n = db_node_by_slot(&v->engine->db, slot);

	if (!n || slot >= CL_MAX_NODES)
		return "";
	if (v->address_of[slot] != n->nodeid) {
		if (cpg_node_address(n->nodeid, v->address[slot], sizeof(v->address[slot])))
			return "";
		v->address_of[slot] = n->nodeid;
	}
	return v->address[slot];
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

/* Out of our control group: an end of our service is not its end. */
static void set_apart(pid_t pid)
{
	int r = cgroup_put_beside("csvfsd", pid, NULL, 0);

	if (r)
		log_warning(
			"csvfsd %d stays in our control group (%s): whoever kills that kills it",
			pid, strerror(-r));
}

/*
 * A child in a session of its own: signals to ours, or our end, are not for it. It keeps our
 * standard error, where it logs when we run in the foreground.
 */
static int spawn(struct volumes_process *p, const char *const *argv)
{
	posix_spawnattr_t attr;
	posix_spawn_file_actions_t files;
	sigset_t none, all;
	char *const env[] = {(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"LC_ALL=C",
			     NULL};
	pid_t pid = 0;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	r = -posix_spawn(&pid, argv[0], &files, &attr, (char *const *)argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	p->started_ms = engine_now_ms();
	p->child = r ? 0 : pid;
	if (!r)
		set_apart(pid);
	return r;
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
		volumes_address(v, s->self_slot), "--socket", v->socket, "--key", o->key_path,
		"--log", o->to_syslog ? "syslog" : "stderr",
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

/* False when the file can be locked: who held it is dead. */
static bool lock_is_held(const struct volumes_local *l, enum csv_link_role role)
{
	_cleanup_close_ int fd = -1;
	char path[256];

	snprintf(path, sizeof(path), "%s/csv-%s-%s.lock", l->volumes->options.run_dir, l->uuid_text,
		 role == CSV_LINK_MOUNT ? "mount" : "coordinator");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return true; /* it cannot be found out, which proves nothing */
	return flock(fd, LOCK_EX | LOCK_NB) < 0;
}

bool volumes_process_is_over(struct volumes_local *l, struct volumes_process *p)
{
	int status;

	if (p->child) {
		if (waitpid(p->child, &status, WNOHANG) == 0)
			return false;
		p->child = 0;
		if (WIFSIGNALED(status))
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

	if (!pid)
		return;
	log_error("volume %s: csvfsd %d (%s) does not end -> killed", l->name, pid,
		  p->role == CSV_LINK_MOUNT ? "mount" : "coordinator");
	kill(pid, SIGKILL);
}

void volumes_clean_mount_point(struct volumes_local *l)
{
	char path[512];
	struct stat st;

	mount_point(l, path, sizeof(path));
	while (stat(path, &st) < 0 && errno == ENOTCONN) {
		if (umount2(path, MNT_DETACH) < 0) {
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
	const char *const argv[] = {l->volumes->options.csvfsd, "free", "--device", device, NULL};
	struct run_options o = RUN_OPTIONS_INIT;

	if (l->prove || engine_now_ms() < l->prove_next_ms)
		return;
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
