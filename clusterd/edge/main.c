/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clusterd(8): options, start, loop, end. */
#include <errno.h>
#include <getopt.h>
#include <gnutls/gnutls.h>
#include <qb/qbloop.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <syslog.h>
#include <unistd.h>

#include "clusterd/edge/api.h"
#include "clusterd/edge/conf.h"
#include "clusterd/edge/engine.h"
#include "clusterd/edge/exec.h"
#include "clusterd/edge/fencer.h"
#include "clusterd/edge/jobs.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/machine.h"
#include "clusterd/edge/saved.h"
#include "clusterd/edge/secrets.h"
#include "clusterd/edge/vms.h"
#include "clusterd/edge/volumes.h"
#include "clusterd/edge/witness.h"
#include "lib/cgroup.h"

#define DEFAULT_BULK_PORT 5410
#define DEFAULT_LEASE_MS  5000
#define DEFAULT_CSVFSD	  SBINDIR "/csvfsd"
#define DEFAULT_VOLUMES	  "/cluster"
#define DEFAULT_VM_HOST	  SBINDIR "/vm-host"
#define DEFAULT_AGENTS	  AGENTSDIR
#define CHECKPOINT_EVERY  1000
#define PATH_BYTES	  256

struct options {
	char root[128];
	bool foreground;
	int level;
	uint64_t lease_ms;
	uint16_t port;
	const char *csvfsd, *volumes, *xfs_options, *vm_host, *agents;
	const char *save, *restore;
};

struct daemon {
	qb_loop_t *loop;
	struct engine engine;
	struct api *api;
	struct exec *exec;
	struct fencer *fencer;
	struct volumes *volumes;
	struct vms *vms;
	struct jobs *jobs;
	struct conf *conf;
	struct machine *machine;
	struct witness *witness;
	struct secrets *secrets;
	bool stays_as_it_is; /* end as a kill would, which touches nothing */
	char db[PATH_BYTES + 32], secrets_dir[PATH_BYTES + 32];
	char corosync_conf[PATH_BYTES + 32];
	char vm_run[PATH_BYTES + 32], vm_socket[PATH_BYTES + 32];
	char jobs_run[PATH_BYTES + 32], csvadm[PATH_BYTES * 4];
	char run[PATH_BYTES], key[PATH_BYTES + 32], mounts[PATH_BYTES];
};

static void usage(FILE *f)
{
	fprintf(f,
		"usage: clusterd [--foreground] [--debug] [--root DIR] [--lease MS] [--port N]\n"
		"                [--csvfsd PATH] [--volumes DIR] [--xfs-options LIST]\n"
		"                [--vm-host PATH] [--agents DIR]\n"
		"       clusterd [--root DIR] --save FILE | --restore FILE\n"
		"\n"
		"The cluster manager's daemon, one per node; see clusterd(8).\n"
		"  --foreground  stay in the foreground and log to standard error\n"
		"  --debug       log each event\n"
		"  --root DIR    prefix of /etc, /var/lib and /run (default: none)\n"
		"  --lease MS    quorum lease L, the same on every node (default %d)\n"
		"  --port N      TCP port on which histories are fetched (default %d)\n"
		"  --csvfsd PATH the program that mounts and coordinates volumes\n"
		"                (default %s)\n"
		"  --volumes DIR where volumes are mounted (default %s)\n"
		"  --xfs-options LIST\n"
		"                mount options of a coordinator's XFS; for tests\n"
		"  --vm-host PATH\n"
		"                the program that runs a virtual machine (default %s)\n"
		"  --agents DIR  OCF agents of provider clusterd (default %s)\n"
		"  --save FILE   write a copy of the database to FILE, and end\n"
		"  --restore FILE\n"
		"                put that copy in place of the database, and end\n"
		"  --help, --version\n",
		DEFAULT_LEASE_MS, DEFAULT_BULK_PORT, DEFAULT_CSVFSD, DEFAULT_VOLUMES,
		DEFAULT_VM_HOST, DEFAULT_AGENTS);
}

static bool parse_number(const char *text, unsigned long min, unsigned long max, unsigned long *ret)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || v < min || v > max)
		return false;
	*ret = v;
	return true;
}

/* Returns an exit code, or -1 to go on. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"foreground", no_argument, NULL, 'f'},
		{"debug", no_argument, NULL, 'd'},
		{"root", required_argument, NULL, 'r'},
		{"lease", required_argument, NULL, 'l'},
		{"port", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{"csvfsd", required_argument, NULL, 'c'},
		{"volumes", required_argument, NULL, 'v'},
		{"xfs-options", required_argument, NULL, 'x'},
		{"vm-host", required_argument, NULL, 'H'},
		{"agents", required_argument, NULL, 'a'},
		{"save", required_argument, NULL, 's'},
		{"restore", required_argument, NULL, 'R'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	unsigned long v = 0;
	int c;

	*o = (struct options){.level = LOG_INFO,
			      .lease_ms = DEFAULT_LEASE_MS,
			      .port = DEFAULT_BULK_PORT,
			      .csvfsd = DEFAULT_CSVFSD,
			      .volumes = DEFAULT_VOLUMES,
			      .vm_host = DEFAULT_VM_HOST,
			      .agents = DEFAULT_AGENTS};
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'f') {
			o->foreground = true;
		} else if (c == 'd') {
			o->level = LOG_DEBUG;
		} else if (c == 'r' && strlen(optarg) < sizeof(o->root)) {
			memcpy(o->root, optarg, strlen(optarg) + 1);
		} else if (c == 'l' && parse_number(optarg, 1000, 600000, &v)) {
			o->lease_ms = v;
		} else if (c == 'p' && parse_number(optarg, 1, 65535, &v)) {
			o->port = (uint16_t)v;
		} else if (c == 'c' && optarg[0] == '/') {
			o->csvfsd = optarg;
		} else if (c == 'v' && optarg[0] == '/' && strlen(optarg) < PATH_BYTES / 2) {
			o->volumes = optarg;
		} else if (c == 'H' && optarg[0] == '/') {
			o->vm_host = optarg;
		} else if (c == 'a' && optarg[0] == '/') {
			o->agents = optarg;
		} else if (c == 's' && strlen(optarg) < PATH_BYTES) {
			o->save = optarg;
		} else if (c == 'R' && strlen(optarg) < PATH_BYTES) {
			o->restore = optarg;
		} else if (c == 'x') {
			o->xfs_options = optarg;
		} else if (c == 'h') {
			usage(stdout);
			return 0;
		} else if (c == 'V') {
			printf("clusterd %s\n", CLUSTERD_VERSION);
			return 0;
		} else {
			if (c != '?')
				fprintf(stderr, "clusterd: value out of range: %s\n", optarg);
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "clusterd: what is '%s'?\n", argv[optind]);
		return 2;
	}
	if (o->save && o->restore) {
		fprintf(stderr, "clusterd: either --save or --restore\n");
		return 2;
	}
	return -1;
}

static int32_t on_signal(int32_t signal, void *arg)
{
	struct daemon *d = arg;

	log_notice("signal %d -> stop", signal);
	exec_stop_all(d->exec);
	return 0;
}

/* For a restart: whoever runs here is found again by the process that comes next. */
static int32_t on_restart(int32_t signal, void *arg)
{
	struct daemon *d = arg;

	log_notice("signal %d -> end, and leave everything as it is", signal);
	d->stays_as_it_is = true;
	qb_loop_stop(d->loop);
	return 0;
}

static void on_stopped(void *arg)
{
	struct daemon *d = arg;

	qb_loop_stop(d->loop);
}

static bool volumes_hold(void *arg)
{
	const struct daemon *d = arg;

	return volumes_has_work(d->volumes);
}

/* What ran here is not the cluster's: machines first, then what stands on volumes, then those. */
static bool end_here(void *arg)
{
	struct daemon *d = arg;
	bool vms = vms_end(d->vms), groups = exec_end(d->exec);

	return vms && groups && volumes_end(d->volumes);
}

static void on_changed(void *arg)
{
	struct daemon *d = arg;

	if (d->secrets)
		secrets_changed(d->secrets);
	if (d->exec)
		exec_changed(d->exec);
	if (d->vms)
		vms_changed(d->vms);
	if (d->jobs)
		jobs_changed(d->jobs);
	if (d->volumes)
		volumes_changed(d->volumes);
	if (d->fencer)
		fencer_changed(d->fencer);
	if (d->conf)
		conf_changed(d->conf);
	if (d->machine)
		machine_changed(d->machine);
	if (d->api)
		api_changed(d->api);
}

static int make_dir(const char *root, const char *path, mode_t mode, char *ret, size_t size)
{
	snprintf(ret, size, "%s%s", root, path);
	if (mkdir(ret, mode) < 0 && errno != EEXIST) {
		fprintf(stderr, "clusterd: cannot make %s: %s\n", ret, strerror(errno));
		return -errno;
	}
	return 0;
}

/* Each csvfsd, vm-host, agent and client of the API costs descriptors. */
static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		log_warning("the number of open files cannot be raised: %s", strerror(errno));
}

static int start(struct daemon *d, const struct options *o)
{
	char lib[PATH_BYTES], agents[PATH_BYTES];
	struct volumes_options vo = {.run_dir = d->run,
				     .mount_dir = d->mounts,
				     .key_path = d->key,
				     .csvfsd = o->csvfsd,
				     .xfs_options = o->xfs_options,
				     .to_syslog = !o->foreground};
	struct vms_options mo = {.socket = d->vm_socket,
				 .run_dir = d->vm_run,
				 .key_path = d->key,
				 .vm_host = o->vm_host,
				 .to_syslog = !o->foreground};
	struct jobs_options jo = {.run_dir = d->jobs_run,
				  .vm_run_dir = d->vm_run,
				  .csvadm = d->csvadm,
				  .vm_host = o->vm_host};
	char socket[PATH_BYTES + 32], text[512] = "";
	struct engine_options eo = {
		.db_path = d->db,
		.secrets_dir = d->secrets_dir,
		.key_path = d->key,
		.conf_path = d->corosync_conf,
		.group = "clusterd",
		.bulk_port = o->port,
		.checkpoint_entries = CHECKPOINT_EVERY,
		.repl = {.exchange_timeout_ms = o->lease_ms * 2 / 5,
			 .silence_ms = o->lease_ms * 3 / 5,
			 .beat_ms = o->lease_ms / 5,
			 .lease_ms = o->lease_ms},
	};
	int r = make_dir(o->root, "/run/clusterd", 0755, d->run, sizeof(d->run));

	if (!r)
		r = make_dir(o->root, "/var/lib/clusterd", 0700, lib, sizeof(lib));
	/* Agents keep state there and do not make it; a fresh /run may lack it (HA_RSCTMP). */
	if (!r)
		r = make_dir("", "/run/resource-agents", 01755, agents, sizeof(agents));
	if (r)
		return r;
	snprintf(d->db, sizeof(d->db), "%s/cluster.db", lib);
	snprintf(d->secrets_dir, sizeof(d->secrets_dir), "%s/secrets", lib);
	snprintf(d->mounts, sizeof(d->mounts), "%s%s", o->root, o->volumes);
	snprintf(d->key, sizeof(d->key), "%s/etc/corosync/authkey", o->root);
	snprintf(d->corosync_conf, sizeof(d->corosync_conf), "%s/etc/corosync/corosync.conf",
		 o->root);
	snprintf(socket, sizeof(socket), "%s/api.sock", d->run);
	snprintf(d->vm_socket, sizeof(d->vm_socket), "%s/vm.sock", d->run);
	snprintf(d->vm_run, sizeof(d->vm_run), "%s/vm", d->run);
	snprintf(d->jobs_run, sizeof(d->jobs_run), "%s/jobs", d->run);
	/* Beside csvfsd: they are one package. */
	snprintf(d->csvadm, sizeof(d->csvadm), "%.*s/csvadm",
		 (int)(strrchr(o->csvfsd, '/') - o->csvfsd), o->csvfsd);
	r = engine_open(&d->engine, d->loop, &eo, text, sizeof(text));
	if (!r)
		r = secrets_open(&d->engine, d->secrets_dir, &d->secrets, text, sizeof(text));
	if (!r)
		r = exec_open(&d->engine, on_stopped, volumes_hold, d, &d->exec);
	if (!r)
		r = volumes_open(&d->engine, &vo, &d->volumes, text, sizeof(text));
	if (!r)
		r = vms_open(&d->engine, &mo, &d->vms, text, sizeof(text));
	if (!r)
		r = jobs_open(&d->engine, &jo, &d->jobs, text, sizeof(text));
	if (!r)
		exec_set_vms(d->exec, d->vms, o->agents);
	if (!r)
		r = fencer_open(&d->engine, &d->fencer);
	if (!r)
		r = conf_open(&d->engine, d->corosync_conf, &d->conf);
	if (!r)
		r = machine_open(&d->engine, &d->machine);
	if (!r)
		r = api_open(&d->engine, socket, &d->api, text, sizeof(text));
	if (r) {
		log_error("%s", text[0] ? text : strerror(-r));
		return r;
	}
	d->engine.secrets = d->secrets;
	d->engine.volumes = d->volumes;
	d->engine.vms = d->vms;
	d->engine.conf = d->conf;
	witness_open(&d->engine, &d->witness);
	d->engine.witness = d->witness;
	d->engine.own_agents = o->agents;
	d->engine.end_here = end_here;
	d->engine.end_arg = d;
	d->engine.changed = on_changed;
	d->engine.changed_arg = d;
	return 0;
}

/* The name that this node has in corosync's nodelist; without corosync, its host name. */
static void own_name(char *name, size_t size)
{
	uint32_t nodeid = cpg_local_nodeid();
	struct utsname u;

	if (nodeid && !cpg_node_name(nodeid, name, size))
		return;
	snprintf(name, size, "%s", uname(&u) ? "" : u.nodename);
}

/* What needs no clusterd; an exit code. */
static int serve_copy(const struct options *o)
{
	char db[PATH_BYTES], socket[PATH_BYTES], self[CL_NAME_MAX], text[2048] = "";
	int r;

	snprintf(db, sizeof(db), "%s/var/lib/clusterd/cluster.db", o->root);
	snprintf(socket, sizeof(socket), "%s/run/clusterd/api.sock", o->root);
	own_name(self, sizeof(self));
	umask(077);
	if (o->save)
		r = saved_make(db, o->save, text, sizeof(text));
	else
		r = saved_restore(db, o->restore, self, socket, text, sizeof(text));
	fprintf(r ? stderr : stdout, "%s%s\n", r ? "clusterd: " : "", text);
	return r ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct options o;
	static struct daemon d;
	bool has_failed;
	int r;

	if (argc > 1 && !strcmp(argv[1], "witness-io")) /* started by clusterd itself */
		return witness_io_main(argc - 2, argv + 2);
	r = parse(argc, argv, &o);

	if (r >= 0)
		return r;
	if (o.save || o.restore)
		return serve_copy(&o);
	umask(022);
	if (!o.foreground && daemon(0, 0) < 0) {
		perror("clusterd: daemon");
		return 1;
	}
	log_open("clusterd", o.foreground, o.level);
	signal(SIGPIPE, SIG_IGN);
	raise_limits();
	r = cgroup_enter_own("clusterd");
	if (r)
		log_warning("no control group of its own in that of the service: %s -> groups of "
			    "what runs here stand beside the service's",
			    strerror(-r));
	d.loop = qb_loop_create();
	r = start(&d, &o);
	if (r)
		return 1;
	qb_loop_signal_add(d.loop, QB_LOOP_HIGH, SIGTERM, &d, on_signal, NULL);
	qb_loop_signal_add(d.loop, QB_LOOP_HIGH, SIGINT, &d, on_signal, NULL);
	qb_loop_signal_add(d.loop, QB_LOOP_HIGH, SIGUSR2, &d, on_restart, NULL);
	log_notice("clusterd %s started", CLUSTERD_VERSION);
	qb_loop_run(d.loop);
	has_failed = d.engine.has_failed;
	if (d.stays_as_it_is)
		_exit(has_failed ? 1 : 0);
	api_close(d.api);
	d.engine.witness = NULL;
	witness_close(d.witness);
	engine_close(&d.engine); /* ends the requests of the executor as well */
	conf_close(d.conf);
	machine_close(d.machine);
	secrets_close(d.secrets);
	jobs_close(d.jobs);
	vms_close(d.vms);
	volumes_close(d.volumes);
	fencer_close(d.fencer);
	exec_close(d.exec);
	qb_loop_destroy(d.loop);
	log_notice("stopped");
	log_close();
	return has_failed ? 1 : 0;
}
