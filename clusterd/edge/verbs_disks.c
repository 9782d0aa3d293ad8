/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verbs about the files of virtual machines' disks: new ones, clones, snapshots. Which files that
 * are is worked out here, as lines for `csvadm job` (csvfs/edge/job.h); the cluster has them done.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clusterd/core/config.h"
#include "clusterd/core/job.h"
#include "clusterd/core/vm.h"
#include "clusterd/edge/verbs_impl.h"
#include "lib/cleanup.h"
#include "lib/must.h"

#define DISK_ALIGN    4096
#define DISK_MIN      (UINT64_C(1) << 20)
#define DISK_PATH_MAX 1024
#define MAC_BYTES     6
#define MAC_TEXT      18
#define SNAPSHOT_TEXTS                                                                             \
	"snapshots" /* DISK.snapshots/NAME, as csvfs/edge/job.c makes and drops it                 \
		     */

/* ---- lines of work */

/* False, with a reply: it does not fit. */
__attribute__((format(printf, 3, 4))) static bool
add_line(struct api_client *c, struct db_cmd_vm_job *job, const char *format, ...)
{
	size_t at = strlen(job->work);
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(job->work + at, sizeof(job->work) - at, format, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(job->work) - at)
		return true;
	job->work[at] = 0;
	api_reply(c, API_USAGE, NULL, "so many disks, with names so long, are more than one job");
	return false;
}

/* Path of a disk; NULL, with a reply, if a line cannot say it. */
static const char *disk_path(struct api_client *c, const json_t *disk, size_t i)
{
	const char *path = json_string_value(json_object_get(disk, "path"));

	if (path && !strpbrk(path, "\t\n") && strlen(path) < DISK_PATH_MAX)
		return path;
	api_reply(c, API_USAGE, NULL,
		  "definition: /disks/%zu/path: a text of less than %d bytes without tabs and line "
		  "breaks",
		  i, DISK_PATH_MAX);
	return NULL;
}

/* ---- new disks */

/* Bytes, or a text with K, M, G or T behind. */
static bool take_size(const json_t *v, uint64_t *ret)
{
	static const char units[] = "KMGT";
	const char *text = json_string_value(v), *unit = NULL;
	unsigned int shift;
	uint64_t n;
	char *end;

	if (json_is_integer(v)) {
		*ret = json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0;
	} else {
		if (!text || text[0] < '0' || text[0] > '9')
			return false;
		errno = 0;
		n = strtoull(text, &end, 10);
		unit = *end ? strchr(units, *end) : NULL;
		if (errno || (*end && (!unit || end[1])))
			return false;
		shift = unit ? 10 * (unsigned int)(unit - units + 1) : 0;
		if (n > (uint64_t)INT64_MAX >> shift)
			return false;
		*ret = n << shift;
	}
	return *ret >= DISK_MIN && !(*ret % DISK_ALIGN);
}

static bool take_new_disk(struct api_client *c, json_t *disk, size_t i, struct db_cmd_vm_job *job)
{
	const json_t *size = json_object_get(disk, "size"), *sparse;
	const char *format = json_string_value(json_object_get(disk, "format"));
	const char *path;
	uint64_t bytes;
	bool ok;

	sparse = json_object_get(disk, "sparse");
	if (!size && !sparse)
		return true;
	if (!size || (sparse && !json_is_boolean(sparse))) {
		api_reply(c, API_USAGE, NULL,
			  "definition: /disks/%zu/sparse: true or false, of a disk with a size", i);
		return false;
	}
	if (!take_size(size, &bytes)) {
		api_reply(
			c, API_USAGE, NULL,
			"definition: /disks/%zu/size: bytes, or a text such as \"20G\"; a multiple "
			"of %d, and 1 MiB at least",
			i, DISK_ALIGN);
		return false;
	}
	if (format && strcmp(format, "raw") != 0) {
		api_reply(
			c, API_USAGE, NULL,
			"definition: /disks/%zu/size: only disks of format raw are made; this one "
			"has to be there",
			i);
		return false;
	}
	path = disk_path(c, disk, i);
	ok = path && add_line(c, job, "make\t%s\t%" PRIu64 "\t%s\n", path, bytes,
			      json_is_true(sparse) ? "sparse" : "full");
	json_object_del(disk, "size");
	json_object_del(disk, "sparse");
	return ok;
}

bool verb_vm_new_disks(struct api_client *c, json_t *definition, const char *vm,
		       struct db_cmd_vm_job *job)
{
	json_t *disks = json_object_get(definition, "disks"), *disk;
	size_t i;

	memcpy(job->name, vm, sizeof(job->name));
	job->kind = DB_JOB_KIND_MAKE;
	snprintf(job->verb, sizeof(job->verb), "vm-create");
	json_array_foreach(disks, i, disk)
	{
		if (!take_new_disk(c, disk, i, job))
			return false;
	}
	return true;
}

/* ---- clones */

/*
 * In the same folder. The name of the old machine in that of the file, if it stands there alone or
 * between what is no letter or digit, becomes that of the new one; else that goes in front.
 */
static void new_path(const char *path, const char *from, const char *to, char *ret, size_t size)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *at = base;
	size_t n = strlen(from);

	while ((at = strstr(at, from))) {
		if ((at == base || !isalnum((unsigned char)at[-1])) &&
		    !isalnum((unsigned char)at[n]))
			break;
		at++;
	}
	if (at)
		snprintf(ret, size, "%.*s%s%s", (int)(at - path), path, to, at + n);
	else
		snprintf(ret, size, "%.*s%s-%s", (int)(base - path), path, to, base);
}

/* Of QEMU's range; who starts both on one network must not find it twice. */
static void new_mac(char ret[MAC_TEXT])
{
	uint8_t b[MAC_BYTES] = {0x52, 0x54, 0x00};

	must(getrandom(b + 3, 3, 0) == 3);
	snprintf(ret, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4],
		 b[5]);
}

static bool clone_disks(struct api_client *c, json_t *definition, struct db_cmd_vm_job *job)
{
	json_t *disks = json_object_get(definition, "disks"), *disk;
	size_t i;

	json_array_foreach(disks, i, disk)
	{
		const char *path = disk_path(c, disk, i);
		char to[DISK_PATH_MAX + CL_NAME_MAX];

		if (!path)
			return false;
		if (json_is_true(json_object_get(disk, "readonly")))
			continue; /* nobody changes it: both have it */
		new_path(path, job->source, job->name, to, sizeof(to));
		if (!add_line(c, job, "clone\t%s\t%s\n", path, to))
			return false;
		json_object_set_new(disk, "path", json_string(to));
	}
	return true;
}

static void renew_rest(json_t *definition, const char *from, const char *to)
{
	static const char *const paths[] = {"log", "socket"};
	json_t *serial = json_object_get(definition, "serial"), *nic;
	char text[DISK_PATH_MAX + CL_NAME_MAX];
	size_t i;

	json_object_del(definition, "uuid");
	json_object_del(definition, "name");
	json_array_foreach(json_object_get(definition, "nics"), i, nic)
	{
		char mac[MAC_TEXT];

		new_mac(mac);
		if (json_object_get(nic, "mac"))
			json_object_set_new(nic, "mac", json_string(mac));
	}
	for (i = 0; i < MUST_ARRAY_SIZE(paths); i++) {
		const char *path = json_string_value(json_object_get(serial, paths[i]));

		if (!path)
			continue;
		new_path(path, from, to, text, sizeof(text));
		json_object_set_new(serial, paths[i], json_string(text));
	}
}

/* It is placed, and restarted, as the other one is. */
static void like(const struct db *db, const struct db_vm *v, struct db_cmd_vm_create *n)
{
	const struct db_group *g = db_find(db, DB_KIND_GROUP, v->name);
	const struct db_resource *r = db_find(db, DB_KIND_RESOURCE, v->name);

	must(g && r);
	n->possible = g->possible;
	n->priority = g->priority;
	memcpy(n->preferred, g->preferred, sizeof(n->preferred));
	n->failback = g->failback;
	n->failback_from = g->failback_from;
	n->failback_to = g->failback_to;
	n->restart_max = r->restart_max;
	n->restart_ms = r->restart_ms;
	n->monitor_ms = r->monitor_ms;
	n->start_ms = r->start_ms;
	n->stop_ms = r->stop_ms;
}

void verb_vm_clone(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	struct db_command cmd[VERB_VM_COMMANDS] = {verb_command(c, DB_CMD_VM_CREATE),
						   verb_command(c, DB_CMD_VM_JOB),
						   verb_command(c, DB_CMD_GROUP_INTENT)};
	struct db_cmd_vm_create *n = &cmd[0].vm_create;
	struct db_cmd_vm_job *job = &cmd[1].vm_job;
	struct db_cmd_group_intent *start = &cmd[2].group_intent;
	const struct db_vm *v = verb_arg_vm(c, args);
	bool starts = json_is_true(json_object_get(args, "start"));
	_cleanup_(json_decrefp) json_t *definition = NULL;

	if (!v || !verb_arg_name(c, args, "new", n->name, sizeof(n->name)))
		return;
	if (db_find(db, DB_KIND_VM, n->name)) {
		api_reply(c, API_CONFLICT, NULL, "virtual machine %s exists", n->name);
		return;
	}
	definition = json_loads(v->definition, 0, NULL);
	must(definition);
	memcpy(job->name, n->name, sizeof(job->name));
	memcpy(job->source, v->name, sizeof(job->source));
	job->kind = DB_JOB_KIND_CLONE;
	snprintf(job->verb, sizeof(job->verb), "vm-clone");
	snprintf(job->reason, sizeof(job->reason), "%s", api_asker(c)->reason);
	memcpy(start->name, n->name, sizeof(start->name));
	start->intent = DB_INTENT_ONLINE;
	start->wish = CL_NODE_NONE;
	snprintf(start->verb, sizeof(start->verb), "vm-start");
	like(db, v, n);
	renew_rest(definition, v->name, n->name);
	if (!clone_disks(c, definition, job) || !verb_vm_definition(c, definition, n))
		return;
	/* Without a disk of its own there is nothing to be cloned. */
	if (!job->work[0])
		cmd[1] = cmd[2];
	verb_vm_create_all(c, cmd, 1 + (size_t)(job->work[0] != 0) + starts);
}

/* ---- snapshots */

static struct db_command job_command(struct api_client *c, const struct db_vm *v,
				     enum db_job_kind kind, const char *verb)
{
	struct db_command cmd = verb_command(c, DB_CMD_VM_JOB);
	struct db_cmd_vm_job *job = &cmd.vm_job;

	memcpy(job->name, v->name, sizeof(job->name));
	job->kind = (uint8_t)kind;
	snprintf(job->verb, sizeof(job->verb), "%s", verb);
	snprintf(job->reason, sizeof(job->reason), "%s", api_asker(c)->reason);
	return cmd;
}

void verb_vm_snapshot_create(struct api_client *c, const json_t *args)
{
	const struct db_vm *v = verb_arg_vm(c, args);
	_cleanup_(json_decrefp) json_t *definition = v ? json_loads(v->definition, 0, NULL) : NULL;
	struct db_command cmd;
	json_t *disk;
	size_t i;

	if (!v)
		return;
	cmd = job_command(c, v, DB_JOB_KIND_SNAPSHOT, "vm-snapshot-create");
	if (!verb_arg_name(c, args, "snapshot", cmd.vm_job.snapshot, sizeof(cmd.vm_job.snapshot)))
		return;
	json_array_foreach(json_object_get(definition, "disks"), i, disk)
	{
		const char *path = disk_path(c, disk, i);

		if (!path)
			return;
		if (!json_is_true(json_object_get(disk, "readonly")) &&
		    !add_line(c, &cmd.vm_job, "clone\t%s\t%s." SNAPSHOT_TEXTS "/%s\n", path, path,
			      cmd.vm_job.snapshot))
			return;
	}
	if (!cmd.vm_job.work[0]) {
		api_reply(c, API_REFUSED, NULL, "virtual machine %s has no disk of its own",
			  v->name);
		return;
	}
	verb_submit(c, &cmd);
}

/* The snapshot that the arguments name; replies and returns NULL if there is none. */
static const struct db_snapshot *arg_snapshot(struct api_client *c, const json_t *args,
					      const struct db_vm *v)
{
	char name[CL_NAME_MAX];
	const struct db_snapshot *s;

	if (!verb_arg_name(c, args, "snapshot", name, sizeof(name)))
		return NULL;
	s = job_snapshot(&api_engine(c)->db, v->name, name);
	if (!s)
		api_reply(c, API_NO_SUCH, NULL, "virtual machine %s has no snapshot %s", v->name,
			  name);
	return s;
}

/* Of each file of the snapshot a line: what was made from what. */
static bool add_files(struct api_client *c, struct db_cmd_vm_job *job, const struct db_snapshot *s)
{
	char work[sizeof(s->work)], *at = work, *line;

	memcpy(work, s->work, sizeof(work));
	memcpy(job->snapshot, s->name, sizeof(job->snapshot));
	while ((line = strsep(&at, "\n")) && *line) {
		const char *word = strsep(&line, "\t"), *from = strsep(&line, "\t"), *to = line;

		must(word && from && to);
		if (job->kind == DB_JOB_KIND_REVERT
			    ? !add_line(c, job, "replace\t%s\t%s\n", to, from)
			    : !add_line(c, job, "remove\t%s\n", to))
			return false;
	}
	return true;
}

void verb_vm_snapshot_revert(struct api_client *c, const json_t *args)
{
	const struct db_vm *v = verb_arg_vm(c, args);
	const struct db_snapshot *s = v ? arg_snapshot(c, args, v) : NULL;
	struct db_command cmd;

	if (!s || !verb_is_confirmed(c, args, v->name,
				     "what was written to its disks since the snapshot is lost"))
		return;
	cmd = job_command(c, v, DB_JOB_KIND_REVERT, "vm-snapshot-revert");
	if (add_files(c, &cmd.vm_job, s))
		verb_submit(c, &cmd);
}

void verb_vm_snapshot_delete(struct api_client *c, const json_t *args)
{
	const struct db_vm *v = verb_arg_vm(c, args);
	const struct db_snapshot *s = v ? arg_snapshot(c, args, v) : NULL;
	struct db_command cmd;

	if (!s)
		return;
	cmd = job_command(c, v, DB_JOB_KIND_REMOVE, "vm-snapshot-delete");
	if (add_files(c, &cmd.vm_job, s))
		verb_submit(c, &cmd);
}

void verb_vm_snapshot_list(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	const struct db_vm *v = verb_arg_vm(c, args);
	json_t *a;

	if (!v)
		return;
	a = json_array();
	for (uint32_t i = 0; i < db_count(db, DB_KIND_SNAPSHOT); i++) {
		const struct db_snapshot *s = db_at(db, DB_KIND_SNAPSHOT, i);

		if (!strcmp(s->vm, v->name))
			json_array_append_new(a, verb_row_json(db, DB_KIND_SNAPSHOT, s));
	}
	api_reply(c, API_OK, a, "%s", "");
}

json_t *verb_vm_job_json(const struct db *db, const struct db_vm *v)
{
	const struct db_job *j = job_of_vm(db, v);

	return j ? verb_row_json(db, DB_KIND_JOB, j) : json_null();
}
