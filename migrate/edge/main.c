/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm-host(8): options, start, end. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <syslog.h>
#include <unistd.h>

#include "lib/cgroup.h"
#include "lib/cleanup.h"
#include "lib/listen.h"
#include "migrate/edge/client.h"
#include "migrate/edge/control.h"
#include "migrate/edge/host.h"
#include "migrate/edge/log.h"
#include "migrate/edge/record.h"

#define DEFAULT_RUN_DIR	 "/run/vm-host"
#define DEFAULT_SOCKET	 "/run/clusterd/vm.sock"
#define DEFAULT_TIMEOUT	 60000 /* ms */
#define DEFAULT_DEADLINE 60000 /* ms */
#define DEFAULT_HOLD	 20000 /* ms */
#define KEY_PURPOSE	 "clusterd migrate 1"

struct options {
	const char *command, *definition, *socket, *key, *qemu, *uuid, *listen;
	uint64_t instance;
	bool has_instance, is_incoming, is_standalone, is_foreground, is_debug;
	struct client_options client; /* with run_dir and port */
	char **program;		      /* quiesce */
};

static void usage(FILE *f)
{
	fprintf(f,
		"usage: vm-host run --definition FILE [--standalone | --instance HEX] [OPTION...]\n"
		"       vm-host status|stop|pause|resume|cancel --uuid UUID [OPTION...]\n"
		"       vm-host migrate --uuid UUID --peer ADDRESS [OPTION...]\n"
		"       vm-host quiesce --uuid UUID [OPTION...] -- PROGRAM [ARGUMENT...]\n"
		"       vm-host validate --definition FILE\n"
		"\n"
		"One process per virtual machine; see vm-host(8).\n"
		"  --definition FILE  the virtual machine, JSON; also in place of --uuid\n"
		"  --uuid UUID        of the virtual machine\n"
		"  --run-dir DIR      for sockets and records (default %s)\n"
		"  --socket PATH      of clusterd (default %s)\n"
		"  --key PATH         corosync's authkey, for migrations\n"
		"  --instance HEX     number of this process, as the cluster knows it\n"
		"  --incoming         be the destination of a migration\n"
		"  --standalone       without clusterd: lock and lease are taken as given\n"
		"  --listen ADDRESS   standalone and incoming: of the control channel\n"
		"  --peer ADDRESS     migrate: of the destination\n"
		"  --port N           standalone: of the control channel (default %d)\n"
		"  --bandwidth N      migrate: bytes per second (default: no limit)\n"
		"  --qemu PATH        (default %s)\n"
		"  --foreground       stay in the foreground and log to standard error\n"
		"  --debug            log each event\n"
		"  --deadline MS      stop: for the guest to switch itself off (default %d)\n"
		"  --hold MS          quiesce: at most (default %d)\n"
		"  --wait WORD,...    status: until it is one of these\n"
		"  --timeout MS       to wait, at most (default %d)\n"
		"  --json             status: as JSON\n"
		"  --help, --version\n",
		DEFAULT_RUN_DIR, DEFAULT_SOCKET, HOST_MIGRATION_PORT, HOST_QEMU, DEFAULT_DEADLINE,
		DEFAULT_HOLD, DEFAULT_TIMEOUT);
}

static const struct option longs[] = {
	{"definition", required_argument, NULL, 'D'},
	{"uuid", required_argument, NULL, 'u'},
	{"run-dir", required_argument, NULL, 'r'},
	{"socket", required_argument, NULL, 's'},
	{"key", required_argument, NULL, 'k'},
	{"instance", required_argument, NULL, 'i'},
	{"incoming", no_argument, NULL, 'I'},
	{"standalone", no_argument, NULL, 'S'},
	{"listen", required_argument, NULL, 'l'},
	{"peer", required_argument, NULL, 'P'},
	{"port", required_argument, NULL, 'p'},
	{"bandwidth", required_argument, NULL, 'b'},
	{"qemu", required_argument, NULL, 'q'},
	{"foreground", no_argument, NULL, 'f'},
	{"debug", no_argument, NULL, 'd'},
	{"deadline", required_argument, NULL, 'w'},
	{"hold", required_argument, NULL, 'H'},
	{"wait", required_argument, NULL, 'W'},
	{"timeout", required_argument, NULL, 't'},
	{"json", no_argument, NULL, 'j'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static bool parse_number(const char *text, int base, uint64_t max, uint64_t *ret)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, base);
	if (errno || end == text || *end || *text == '-' || v > max)
		return false;
	*ret = v;
	return true;
}

/* Options with a number. False: out of range. */
static bool take_number(int c, struct options *o)
{
	struct client_options *l = &o->client;
	uint64_t v = 0;

	switch (c) {
	case 'i':
		o->has_instance = true;
		return parse_number(optarg, 16, UINT64_MAX, &o->instance);
	case 'p':
		if (!parse_number(optarg, 10, UINT16_MAX, &v) || !v)
			return false;
		l->port = (uint16_t)v;
		return true;
	case 'b':
		return parse_number(optarg, 10, INT64_MAX, &l->bandwidth);
	case 'H':
		return parse_number(optarg, 10, 10 * 60 * 1000, &l->hold_ms) && l->hold_ms;
	case 'w':
		return parse_number(optarg, 10, 7 * 24 * 3600 * 1000, &l->deadline_ms);
	default:
		return parse_number(optarg, 10, 7 * 24 * 3600 * 1000, &l->timeout_ms);
	}
}

static void take_text(int c, struct options *o)
{
	const char **text[] = {
		['D'] = &o->definition, ['u'] = &o->uuid,	 ['r'] = &o->client.run_dir,
		['s'] = &o->socket,	['k'] = &o->key,	 ['q'] = &o->qemu,
		['l'] = &o->listen,	['P'] = &o->client.peer, ['W'] = &o->client.wait};

	*text[c] = optarg;
}

static void take_flag(int c, struct options *o)
{
	o->is_incoming |= c == 'I';
	o->is_standalone |= c == 'S';
	o->is_foreground |= c == 'f' || c == 'd';
	o->is_debug |= c == 'd';
	o->client.is_json |= c == 'j';
}

/* An exit code, or -1 to go on. */
static int parse(int argc, char **argv, struct options *o)
{
	int c;

	*o = (struct options){.socket = DEFAULT_SOCKET,
			      .qemu = HOST_QEMU,
			      .client = {.run_dir = DEFAULT_RUN_DIR,
					 .port = HOST_MIGRATION_PORT,
					 .timeout_ms = DEFAULT_TIMEOUT,
					 .deadline_ms = DEFAULT_DEADLINE,
					 .hold_ms = DEFAULT_HOLD}};
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return CLIENT_OK;
		}
		if (c == 'V') {
			printf("vm-host %s\n", CLUSTERD_VERSION);
			return CLIENT_OK;
		}
		if (strchr("ISfdj", c)) {
			take_flag(c, o);
		} else if (strchr("ipbwtH", c)) {
			if (!take_number(c, o)) {
				fprintf(stderr, "vm-host: value out of range: %s\n", optarg);
				return CLIENT_USAGE;
			}
		} else if (c != '?') {
			take_text(c, o);
		} else {
			usage(stderr);
			return CLIENT_USAGE;
		}
	}
	o->command = optind < argc ? argv[optind] : "";
	o->program = argv + optind + 1;
	if (optind >= argc ||
	    (strcmp(o->command, "quiesce") == 0 ? argc - optind < 2 : argc - optind != 1)) {
		usage(stderr);
		return CLIENT_USAGE;
	}
	return -1;
}

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "vm-host: %s%s%s\n", what, why ? ": " : "", why ? why : "");
	return CLIENT_USAGE;
}

/* ---- run */

/* The number of this process: given, or random. */
static int find_instance(struct options *o)
{
	if (o->has_instance)
		return 0;
	if (!o->is_standalone)
		return complain("--instance is missing", "the cluster knows a process by it");
	return getentropy(&o->instance, sizeof(o->instance)) < 0 ? CLIENT_FAILED : 0;
}

/* What must be right before it goes to the background. An exit code or 0. */
static int prepare(struct options *o, const struct definition *d, struct host_options *ret)
{
	char path[RECORD_PATH];
	int r = find_instance(o);

	if (r)
		return r;
	*ret = (struct host_options){.definition = d,
				     .qemu = o->qemu,
				     .socket = o->socket,
				     .run_dir = o->client.run_dir,
				     .instance = o->instance,
				     .is_incoming = o->is_incoming,
				     .is_standalone = o->is_standalone,
				     .port = o->client.port};
	snprintf(ret->listen, sizeof(ret->listen), "%s", o->listen ? o->listen : "");
	if (o->is_standalone && o->is_incoming && (!o->listen || !o->key))
		return complain("--listen and --key are needed", "standalone and incoming");
	if (ret->run_dir[0] != '/' || o->qemu[0] != '/')
		return complain("--run-dir and --qemu must be absolute paths", NULL);
	r = o->key ? tls_key_load(o->key, KEY_PURPOSE, &ret->key) : 0;
	if (r)
		return complain(o->key, r == -EACCES ? "others can read it, or it cannot be read"
						     : strerror(-r));
	ret->has_key = o->key;
	if (mkdir(ret->run_dir, 0700) < 0 && errno != EEXIST)
		return complain(ret->run_dir, strerror(errno));
	if (record_path(ret->run_dir, d->uuid, "json.new", path))
		return complain(ret->run_dir, strerror(ENAMETOOLONG));
	return 0;
}

/* The lock for life, nothing left of an earlier one, the control socket. */
static int settle_in(const struct definition *d, struct host_options *h, int *ret_lock)
{
	char path[RECORD_PATH];
	int lock = record_lock(h->run_dir, d->uuid), r;

	if (lock < 0) {
		complain(h->run_dir,
			 lock == -EBUSY ? "a vm-host of this VM is running" : strerror(-lock));
		return CLIENT_FAILED;
	}
	r = record_kill(h->run_dir, d->uuid);
	if (r) {
		complain("the QEMU of an earlier vm-host cannot be ended", strerror(-r));
		return CLIENT_FAILED;
	}
	(void)record_path(h->run_dir, d->uuid, "sock", path);
	h->control_fd = listen_unix(path, SOCK_STREAM, 0600, CONTROL_CLIENTS);
	if (h->control_fd < 0) {
		complain(path, strerror(-h->control_fd));
		return CLIENT_FAILED;
	}
	*ret_lock = lock;
	return 0;
}

static void open_log(const char *name, bool to_stderr, uint8_t level)
{
	qb_log_init(name, LOG_DAEMON, level);
	qb_log_format_set(QB_LOG_STDERR, "%T %p %b");
	qb_log_filter_ctl(QB_LOG_STDERR, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", level);
	qb_log_ctl(QB_LOG_STDERR, QB_LOG_CONF_ENABLED, to_stderr);
	qb_log_ctl(QB_LOG_SYSLOG, QB_LOG_CONF_ENABLED, !to_stderr);
}

static int run(struct options *o, const struct definition *d)
{
	struct host_options h;
	char path[RECORD_PATH], name[DEFINITION_NAME + 16];
	int lock, r = prepare(o, d, &h);

	if (!r)
		r = settle_in(d, &h, &lock);
	if (r)
		return r;
	if (!o->is_foreground && daemon(0, 0) < 0)
		return complain("daemon", strerror(errno));
	signal(SIGPIPE, SIG_IGN);
	snprintf(name, sizeof(name), "vm-host %s", d->name);
	open_log(name, o->is_foreground, o->is_debug ? LOG_DEBUG : LOG_INFO);
	/* An end of clusterd's service is not the end of the machine. */
	if (!o->is_standalone && cgroup_put_beside("vm-host", getpid(), NULL, 0))
		log_warning("stays in the control group of who has started it");
	r = host_run(&h);
	explicit_bzero(&h.key, sizeof(h.key));
	if (!record_path(h.run_dir, d->uuid, "sock", path))
		unlink(path);
	log_notice("ended");
	qb_log_fini();
	close(lock); /* the very last: whoever takes it finds nothing of us */
	return r;
}

/* ---- main */

static bool is_client_command(const char *command)
{
	static const char *const commands[] = {"status", "stop",    "pause",  "resume",
					       "cancel", "migrate", "quiesce"};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i], command) == 0)
			return true;
	}
	return false;
}

static int run_client(const struct options *o)
{
	if (strcmp(o->command, "quiesce") == 0)
		return client_quiesce(&o->client, o->program);
	return client_run(o->command, &o->client);
}

static int with_definition(struct options *o)
{
	static struct definition d; /* too large for a stack */
	char error[DEFINITION_ERROR], uuid[UUID_TEXT];

	if (definition_load(o->definition, &d, error, sizeof(error)))
		return complain(o->definition, error);
	if (strcmp(o->command, "run") == 0)
		return run(o, &d);
	memcpy(o->client.uuid, d.uuid, sizeof(d.uuid));
	if (strcmp(o->command, "validate") != 0)
		return run_client(o);
	uuid_text(d.uuid, uuid);
	printf("%s\n", uuid);
	return CLIENT_OK;
}

/* Descriptors 0 to 2 are always there, so that no other file ever gets their numbers. */
static void fill_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct options o;
	bool is_client;
	int r;

	fill_standard_descriptors();
	r = parse(argc, argv, &o);
	if (r >= 0)
		return r;
	umask(077);
	is_client = is_client_command(o.command);
	if (!is_client && strcmp(o.command, "run") != 0 && strcmp(o.command, "validate") != 0)
		return complain(o.command, "no such command");
	if (strcmp(o.command, "migrate") == 0 && !o.client.peer)
		return complain("--peer is missing", NULL);
	if (o.definition)
		return with_definition(&o);
	if (!is_client || !o.uuid)
		return complain(is_client ? "--uuid or --definition is missing"
					  : "--definition is missing",
				NULL);
	if (!uuid_parse(o.uuid, o.client.uuid))
		return complain(o.uuid, "no UUID");
	return run_client(&o);
}
