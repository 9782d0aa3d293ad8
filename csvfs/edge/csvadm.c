/* SPDX-License-Identifier: GPL-2.0-or-later */
/* csvadm: makes, shows, checks and repairs the LUN of a volume, and files on it (csvadm(8)). */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "csvfs/edge/clone.h"
#include "csvfs/edge/job.h"
#include "csvfs/edge/lun.h"
#include "csvfs/edge/prealloc.h"
#include "csvfs/edge/progress.h"
#include "lib/must.h"

#define OUTPUT_MAX 16384 /* of xfs_repair */
#define UUID_TEXT  37

enum exit_code { /* clusterd-exit-codes(7) */
		 EXIT_DONE = 0,
		 EXIT_FAILED = 1,
		 EXIT_USAGE = 2,
		 EXIT_NO_SUCH = 3,
		 EXIT_NOT_PERMITTED = 5,
		 EXIT_REFUSED = 8,
		 EXIT_AGAIN = 75, /* for clusterd: EX_TEMPFAIL */
		 EXIT_INTERRUPTED = 130,
};

enum option {
	OPT_NAME,
	OPT_CLUSTER,
	OPT_UUID,
	OPT_OVERWRITE,
	OPT_CONFIRM,
	OPT_JSON,
	OPT_SIZE,
	OPT_CONTINUE,
	OPT_SPARSE,
	OPT_FORCE,
	OPT_PROGRESS,
	OPT_ID,
	OPT_UNDO,
	OPT_MAX
};

struct arguments {
	const char *lun;	    /* or file */
	const char *second;	    /* file */
	const char *value[OPT_MAX]; /* NULL: not given */
};

struct verb {
	const char *name, *synopsis, *help;
	unsigned int takes, needs; /* bits of enum option */
	bool takes_two;		   /* files */
	int (*run)(const struct arguments *a);
};

static const struct option_text {
	const char *name;
	bool has_value;
} options[OPT_MAX] = {
	[OPT_NAME] = {"--name", true},		[OPT_CLUSTER] = {"--cluster", true},
	[OPT_UUID] = {"--uuid", true},		[OPT_OVERWRITE] = {"--overwrite", true},
	[OPT_CONFIRM] = {"--confirm", true},	[OPT_JSON] = {"--json", false},
	[OPT_SIZE] = {"--size", true},		[OPT_CONTINUE] = {"--continue", false},
	[OPT_SPARSE] = {"--sparse", false},	[OPT_FORCE] = {"--force", false},
	[OPT_PROGRESS] = {"--progress", false}, [OPT_ID] = {"--id", true},
	[OPT_UNDO] = {"--undo", false},

};

/* ---- messages and values */

static int exit_of(int r)
{
	switch (r) {
	case 0:
		return EXIT_DONE;
	case -EINVAL:
		return EXIT_USAGE;
	case -ENOENT:
		return EXIT_NO_SUCH;
	case -EPERM:
	case -EACCES:
		return EXIT_NOT_PERMITTED;
	case -EBUSY:
	case -EEXIST:
	case -ENOLCK:
	case -ENOSPC:
		return EXIT_REFUSED;
	case -EINTR:
		return EXIT_INTERRUPTED;
	case -EALREADY:
		return EXIT_AGAIN;
	default:
		return EXIT_FAILED;
	}
}

static int report(int r, const char *text)
{
	if (r)
		fprintf(stderr, "csvadm: %s\n", text);
	return exit_of(r);
}

static void uuid_print(const struct csv_uuid *uuid, char ret[UUID_TEXT])
{
	const uint8_t *u = uuid->byte;

	snprintf(ret, UUID_TEXT,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
		 u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
		 u[15]);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* 8-4-4-4-12 and not all zero. */
static int uuid_parse(const char *text, struct csv_uuid *ret)
{
	struct csv_uuid uuid;
	const char *p = text;

	for (size_t i = 0; i < sizeof(uuid.byte); i++, p += 2) {
		if ((i == 4 || i == 6 || i == 8 || i == 10) && *p++ != '-')
			return -EINVAL;
		if (hex_digit(p[0]) < 0 || hex_digit(p[1]) < 0)
			return -EINVAL;
		uuid.byte[i] = (uint8_t)(hex_digit(p[0]) << 4 | hex_digit(p[1]));
	}
	if (*p || csv_uuid_is_zero(&uuid))
		return -EINVAL;
	*ret = uuid;
	return 0;
}

/* Version 4 of RFC 4122. */
static int uuid_make(struct csv_uuid *ret)
{
	if (getrandom(ret->byte, sizeof(ret->byte), 0) != (ssize_t)sizeof(ret->byte))
		return -EIO;
	ret->byte[6] = (uint8_t)((ret->byte[6] & 0x0f) | 0x40);
	ret->byte[8] = (uint8_t)((ret->byte[8] & 0x3f) | 0x80);
	return 0;
}

static void time_print(uint64_t wall_ms, char *ret, size_t size)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || !strftime(ret, size, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(ret, size, "-");
}

static unsigned long long mib(uint64_t bytes)
{
	return (unsigned long long)(bytes >> 20);
}

/* ---- info */

/* What is known of a LUN; has_* false: there is none. */
struct info {
	const char *path;
	const struct csv_lun *lun;
	struct csv_lun_report copies;
	bool has_term;
	struct csv_term term;
	bool has_xfs;
	struct csv_lun_xfs xfs;
};

static int info_collect(const char *path, const struct csv_lun *lun, struct info *ret, char *text,
			size_t size)
{
	struct info i = {.path = path, .lun = lun};
	int r = csv_lun_examine(lun, &i.copies);

	if (!r) {
		r = csv_lun_term_read(lun, &i.term);
		i.has_term = !r;
	}
	if (!r || r == -ENODATA || r == -EBADMSG || r == -EPROTONOSUPPORT)
		r = csv_lun_xfs_read(lun, &i.xfs);
	i.has_xfs = !r;
	if (r && r != -ENODATA) {
		snprintf(text, size, "%s: cannot be read: %s", path, strerror(-r));
		return r;
	}
	*ret = i;
	return 0;
}

static json_t *copies_json(const enum csv_lun_copy copy[2])
{
	return json_pack("[s, s]", csv_lun_copy_name(copy[0]), csv_lun_copy_name(copy[1]));
}

static json_t *xfs_json(const struct info *i)
{
	char uuid[UUID_TEXT];

	if (!i->has_xfs)
		return json_null();
	uuid_print(&i->xfs.uuid, uuid);
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:b}", "uuid", uuid, "label",
			 i->xfs.label, "block_bytes", (json_int_t)i->xfs.block_bytes,
			 "sector_bytes", (json_int_t)i->xfs.sector_bytes, "blocks",
			 (json_int_t)i->xfs.blocks, "ag_count", (json_int_t)i->xfs.ag_count,
			 "log_blocks", (json_int_t)i->xfs.log_blocks, "reflink", i->xfs.is_reflink);
}

static json_t *term_json(const struct info *i)
{
	char incarnation[17];

	if (!i->has_term)
		return json_null();
	snprintf(incarnation, sizeof(incarnation), "%016" PRIx64, i->term.incarnation);
	return json_pack("{s:I, s:i, s:s, s:s, s:I}", "term", (json_int_t)i->term.term, "slot",
			 (int)i->term.slot, "node", i->term.node.text, "incarnation", incarnation,
			 "generation", (json_int_t)i->term.generation);
}

static int info_json(const struct info *i)
{
	const struct csv_header *h = csv_lun_header(i->lun);
	char volume[UUID_TEXT], cluster[UUID_TEXT], created[32];
	json_t *j;
	int r;

	uuid_print(&h->volume, volume);
	uuid_print(&h->cluster, cluster);
	time_print(h->created_wall_ms, created, sizeof(created));
	j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:{s:I, s:I}, s:{s:I, s:I}, s:o, "
		      "s:o, s:{s:o, s:o, s:o}}",
		      "lun", i->path, "name", h->name.text, "uuid", volume, "cluster", cluster,
		      "created", created, "generation", (json_int_t)h->generation, "block_bytes",
		      (json_int_t)h->block_bytes, "lun_bytes", (json_int_t)h->lun_bytes, "control",
		      "start", (json_int_t)h->control_start, "bytes", (json_int_t)h->control_bytes,
		      "data", "start", (json_int_t)h->data_start, "bytes",
		      (json_int_t)h->data_bytes, "term", term_json(i), "xfs", xfs_json(i), "copies",
		      "gpt", copies_json(i->copies.gpt), "header", copies_json(i->copies.header),
		      "term", copies_json(i->copies.term));
	r = j ? json_dumpf(j, stdout, JSON_INDENT(2) | JSON_SORT_KEYS) : -1;
	json_decref(j);
	putchar('\n');
	return r ? EXIT_FAILED : EXIT_DONE;
}

static void copies_print(const char *what, const enum csv_lun_copy copy[2])
{
	printf("%-12s %s, %s\n", what, csv_lun_copy_name(copy[0]), csv_lun_copy_name(copy[1]));
}

static int info_print(const struct info *i)
{
	const struct csv_header *h = csv_lun_header(i->lun);
	char volume[UUID_TEXT], cluster[UUID_TEXT], created[32];

	uuid_print(&h->volume, volume);
	uuid_print(&h->cluster, cluster);
	time_print(h->created_wall_ms, created, sizeof(created));
	printf("%-12s %s\n%-12s %s\n%-12s %s\n%-12s %s\n", "name", h->name.text, "uuid", volume,
	       "cluster", cluster, "created", created);
	printf("%-12s %s, %llu MiB, blocks of %u bytes\n", "lun", i->path, mib(h->lun_bytes),
	       h->block_bytes);
	printf("%-12s %llu MiB at %llu MiB\n", "csv-control", mib(h->control_bytes),
	       mib(h->control_start));
	printf("%-12s %llu MiB at %llu MiB\n", "csv-data", mib(h->data_bytes), mib(h->data_start));
	if (i->has_term)
		printf("%-12s %llu of %s (slot %u, incarnation %016" PRIx64 ")\n", "term",
		       (unsigned long long)i->term.term, i->term.node.text, i->term.slot,
		       i->term.incarnation);
	else
		printf("%-12s none\n", "term");
	if (i->has_xfs)
		printf("%-12s label %s, %llu blocks of %u bytes in %u groups, log of %u, sectors "
		       "of %u bytes%s\n",
		       "xfs", i->xfs.label, (unsigned long long)i->xfs.blocks, i->xfs.block_bytes,
		       i->xfs.ag_count, i->xfs.log_blocks, i->xfs.sector_bytes,
		       i->xfs.is_reflink ? ", reflink" : "");
	else
		printf("%-12s none\n", "xfs");
	copies_print("gpt", i->copies.gpt);
	copies_print("header", i->copies.header);
	copies_print("terms", i->copies.term);
	return EXIT_DONE;
}

static int run_info(const struct arguments *a)
{
	char text[CSV_LUN_TEXT_MAX];
	struct csv_lun *lun;
	struct info info;
	int r = csv_lun_open(a->lun, false, &lun, text, sizeof(text));

	if (r)
		return report(r, text);
	r = info_collect(a->lun, lun, &info, text, sizeof(text));
	if (r)
		r = report(r, text);
	else
		r = a->value[OPT_JSON] ? info_json(&info) : info_print(&info);
	csv_lun_close(lun);
	return r;
}

/* ---- format */

static int run_format(const struct arguments *a)
{
	struct csv_format_options o = {.name = a->value[OPT_NAME],
				       .overwrite = a->value[OPT_OVERWRITE]};
	char text[CSV_LUN_TEXT_MAX];
	int r;

	if (uuid_parse(a->value[OPT_CLUSTER], &o.cluster)) {
		snprintf(text, sizeof(text), "--cluster: '%s' is no uuid", a->value[OPT_CLUSTER]);
		return report(-EINVAL, text);
	}
	if (a->value[OPT_UUID] && uuid_parse(a->value[OPT_UUID], &o.volume)) {
		snprintf(text, sizeof(text), "--uuid: '%s' is no uuid", a->value[OPT_UUID]);
		return report(-EINVAL, text);
	}
	if (!a->value[OPT_UUID] && uuid_make(&o.volume))
		return report(-EIO, "the kernel gives no random numbers");
	r = csv_lun_format(a->lun, &o, text, sizeof(text));
	return r ? report(r, text) : run_info(a);
}

/* ---- check and repair */

/* Says what is wrong with the copies. */
static bool copies_are_sound(const struct csv_lun_report *c)
{
	static const char *const which[] = {"first", "second"};
	const struct {
		const char *name;
		const enum csv_lun_copy *copy;
	} what[] = {{"partition table", c->gpt}, {"header", c->header}, {"term record", c->term}};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(what); i++)
		for (size_t k = 0; k < 2; k++)
			printf("%s, %s copy: %s\n", what[i].name, which[k],
			       csv_lun_copy_name(what[i].copy[k]));
	return c->is_sound;
}

/* The XFS is the one that the header is about. */
static bool xfs_is_sound(const struct csv_lun *lun)
{
	struct csv_lun_xfs xfs;
	int r = csv_lun_xfs_read(lun, &xfs);
	bool ok = !r && csv_uuid_equal(&xfs.uuid, csv_lun_volume(lun));

	if (!ok)
		printf("XFS superblock: %s\n",
		       r ? "not there or damaged" : "another uuid than the volume's");
	return ok;
}

static int check_lun(struct csv_lun *lun, const char *path, char *text, size_t size)
{
	char output[OUTPUT_MAX];
	struct csv_lun_report copies;
	bool is_sound;
	int r = csv_lun_in_use(lun, text, size);

	if (r)
		return r;
	r = csv_lun_examine(lun, &copies);
	if (r) {
		snprintf(text, size, "%s: cannot be read: %s", path, strerror(-r));
		return r;
	}
	is_sound = copies_are_sound(&copies);
	is_sound = xfs_is_sound(lun) && is_sound;
	fflush(stdout);
	r = csv_lun_fsck(lun, false, output, sizeof(output), text, size);
	if (output[0])
		printf("%s\n", output);
	if (!r && !is_sound) {
		snprintf(text, size,
			 "%s: volume %s: a record is damaged, the file system is clean: run "
			 "`csvadm repair %s --confirm %s`",
			 path, csv_lun_name(lun), path, csv_lun_name(lun));
		return -EUCLEAN;
	}
	return r;
}

static int run_check(const struct arguments *a)
{
	char text[CSV_LUN_TEXT_MAX];
	struct csv_lun *lun;
	int r = csv_lun_open(a->lun, false, &lun, text, sizeof(text));

	if (r)
		return report(r, text);
	r = check_lun(lun, a->lun, text, sizeof(text));
	if (!r)
		printf("%s: volume %s is clean\n", a->lun, csv_lun_name(lun));
	csv_lun_close(lun);
	return report(r, text);
}

static int repair_lun(struct csv_lun *lun, const char *path, const char *confirm, char *text,
		      size_t size)
{
	char output[OUTPUT_MAX];
	int r;

	if (!confirm || strcmp(confirm, csv_lun_name(lun)) != 0) {
		snprintf(text, size,
			 "%s carries volume %s: nothing was changed; repair can lose what is "
			 "damaged: make sure that no node uses the volume, then say --confirm %s",
			 path, csv_lun_name(lun), csv_lun_name(lun));
		return -EEXIST;
	}
	r = csv_lun_in_use(lun, text, size);
	if (!r)
		r = csv_lun_restore(lun, text, size);
	if (r)
		return r;
	r = csv_lun_fsck(lun, true, output, sizeof(output), text, size);
	if (output[0])
		printf("%s\n", output);
	return r;
}

static int run_repair(const struct arguments *a)
{
	char text[CSV_LUN_TEXT_MAX];
	struct csv_lun *lun;
	int r = csv_lun_open(a->lun, true, &lun, text, sizeof(text));

	if (r)
		return report(r, text);
	r = repair_lun(lun, a->lun, a->value[OPT_CONFIRM], text, sizeof(text));
	if (!r)
		printf("%s: volume %s is repaired\n", a->lun, csv_lun_name(lun));
	csv_lun_close(lun);
	return report(r, text);
}

/* ---- grow */

/* The XFS grows only where it is mounted: in a namespace that nobody else sees. */
static int grow_xfs(struct csv_lun *lun, const char *dev, uint64_t *ret_bytes, char *text,
		    size_t size)
{
	char point[] = "/tmp/csvadm-XXXXXX";
	int r;

	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    !mkdtemp(point)) {
		snprintf(text, size, "cannot make a private mount: %s", strerror(errno));
		return -errno;
	}
	r = mount(dev, point, "xfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) ? -errno : 0;
	if (r) {
		snprintf(text, size, "%s cannot be mounted: %s", dev, strerror(-r));
	} else {
		r = csv_lun_grow_xfs(lun, point, ret_bytes, text, size);
		if (umount(point)) {
			snprintf(text, size, "%s: %s", point, strerror(errno));
			r = -EBUSY;
		}
	}
	rmdir(point);
	return r;
}

static int grow_lun(struct csv_lun *lun, const char *path, const char *confirm, char *text,
		    size_t size)
{
	char dev[CSV_LUN_DEV_MAX], what[CSV_LUN_TEXT_MAX];
	uint64_t bytes = 0;
	int r, records, detached;

	if (!confirm || strcmp(confirm, csv_lun_name(lun)) != 0) {
		snprintf(text, size,
			 "%s carries volume %s: nothing was changed; one that is used is grown by "
			 "`clusterctl volume grow`: make sure that no node uses it, then say "
			 "--confirm %s",
			 path, csv_lun_name(lun), csv_lun_name(lun));
		return -EEXIST;
	}
	r = csv_lun_in_use(lun, text, size);
	if (r)
		return r;
	records = csv_lun_grow(lun, NULL, text, size);
	if (records && records != -EALREADY)
		return records;
	r = csv_lun_attach(lun, dev, sizeof(dev), text, size);
	if (r)
		return r;
	r = grow_xfs(lun, dev, &bytes, what, sizeof(what));
	detached = csv_lun_detach(lun, NULL, 0);
	if (r == -EALREADY) /* nothing to be done: then text says so */
		return records ? -ENOSPC : detached;
	if (r) {
		snprintf(text, size, "%s", what);
		return r;
	}
	printf("%s: volume %s has %llu MiB\n", path, csv_lun_name(lun), mib(bytes));
	return 0;
}

static int run_grow(const struct arguments *a)
{
	char text[CSV_LUN_TEXT_MAX];
	struct csv_lun *lun;
	int r = csv_lun_open(a->lun, true, &lun, text, sizeof(text));

	if (r)
		return report(r, text);
	r = grow_lun(lun, a->lun, a->value[OPT_CONFIRM], text, sizeof(text));
	csv_lun_close(lun);
	return report(r, text);
}

/* ---- command line */

/* ---- files on a mounted volume */

static bool parse_size(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	unsigned long long n;
	const char *unit;
	unsigned int shift;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || text[0] == '-')
		return false;
	unit = *end ? strchr(units, *end) : NULL;
	if (*end && (!unit || end[1]))
		return false;
	shift = unit ? 10 * (unsigned int)(unit - units + 1) : 0;
	if (n > UINT64_MAX >> shift)
		return false;
	*ret = (uint64_t)n << shift;
	return true;
}

static void begin(const struct arguments *a)
{
	progress_begin(a->value[OPT_PROGRESS] ? STDOUT_FILENO : -1, false);
}

static int run_prealloc(const struct arguments *a)
{
	char text[CSV_LUN_TEXT_MAX];
	uint64_t size;
	int r;

	if (!parse_size(a->value[OPT_SIZE], &size)) {
		fprintf(stderr,
			"csvadm: --size %s: a number of bytes, such as 10737418240 or 10G\n",
			a->value[OPT_SIZE]);
		return EXIT_USAGE;
	}
	if (a->value[OPT_SPARSE] && a->value[OPT_CONTINUE])
		return report(-EINVAL, "--sparse and --continue: one of them");
	begin(a);
	if (a->value[OPT_SPARSE])
		r = prealloc_sparse(a->lun, size, text, sizeof(text));
	else
		r = prealloc(a->lun, size, a->value[OPT_CONTINUE], text, sizeof(text));
	return report(r, text);
}

static int run_clone(const struct arguments *a)
{
	const struct clone_options o = {.is_forced = a->value[OPT_FORCE]};
	char text[CSV_LUN_TEXT_MAX];
	struct clone_result c;
	json_t *j;
	int r;

	begin(a);
	r = clone_file(a->lun, a->second, &o, &c, text, sizeof(text));
	if (r || a->value[OPT_PROGRESS])
		return report(r, text);
	if (!a->value[OPT_JSON]) {
		printf("%s: %llu MiB, %llu of them in shared blocks, in %u ms; %llu KiB less are "
		       "free\n",
		       a->second, mib(c.bytes), mib(c.shared_bytes), c.ms,
		       (unsigned long long)(c.free_bytes >> 10));
		return EXIT_DONE;
	}
	j = json_pack("{s:I, s:I, s:I, s:I, s:I}", "bytes", (json_int_t)c.bytes, "shared_bytes",
		      (json_int_t)c.shared_bytes, "free_bytes", (json_int_t)c.free_bytes,
		      "requests", (json_int_t)c.requests, "ms", (json_int_t)c.ms);
	r = j ? json_dumpf(j, stdout, JSON_INDENT(2) | JSON_SORT_KEYS) : -1;
	json_decref(j);
	putchar('\n');
	return r ? EXIT_FAILED : EXIT_DONE;
}

static int run_unshare(const struct arguments *a)
{
	char text[CSV_LUN_TEXT_MAX];
	uint64_t bytes;

	begin(a);
	return report(unshare_file(a->lun, &bytes, text, sizeof(text)), text);
}

static int run_job(const struct arguments *a)
{
	char text[CSV_LUN_TEXT_MAX];

	return report(
		job_run(a->lun, a->value[OPT_ID], a->value[OPT_UNDO], stdin, text, sizeof(text)),
		text);
}

#define BIT(o) (1u << OPT_##o)

static const struct verb verbs[] = {
	{"format", "LUN --name NAME --cluster UUID [--uuid UUID] [--overwrite WHAT] [--json]",
	 "make the LUN a volume of a cluster; refuses one that is in use or carries something",
	 BIT(NAME) | BIT(CLUSTER) | BIT(UUID) | BIT(OVERWRITE) | BIT(JSON),
	 BIT(NAME) | BIT(CLUSTER), false, run_format},
	{"prealloc", "FILE --size BYTES [--continue | --sparse] [--progress]",
	 "make a file on a mounted volume that every node may read and write directly",
	 BIT(SIZE) | BIT(CONTINUE) | BIT(SPARSE) | BIT(PROGRESS), BIT(SIZE), false, run_prealloc},
	{"clone", "FILE NEW [--force] [--json | --progress]",
	 "make a copy of a file on a mounted volume that shares its blocks",
	 BIT(FORCE) | BIT(JSON) | BIT(PROGRESS), 0, true, run_clone},
	{"unshare", "FILE [--progress]", "give a file blocks of its own where it shares them",
	 BIT(PROGRESS), 0, false, run_unshare},
	{"job", "FILE --id ID [--undo]", "for clusterd: work on files as standard input says",
	 BIT(ID) | BIT(UNDO), BIT(ID), false, run_job},
	{"info", "LUN [--json]", "show what volume a LUN carries", BIT(JSON), 0, false, run_info},
	{"check", "LUN", "look for damage, changing nothing; refuses one that is in use", 0, 0,
	 false, run_check},
	{"repair", "LUN --confirm NAME", "repair damage; refuses one that is in use", BIT(CONFIRM),
	 0, false, run_repair},
	{"grow", "LUN --confirm NAME", "take in that a LUN has grown; refuses one that is in use",
	 BIT(CONFIRM), 0, false, run_grow},
};

static int usage(FILE *f, const struct verb *v)
{
	for (size_t i = 0; i < MUST_ARRAY_SIZE(verbs); i++)
		if (!v || v == &verbs[i])
			fprintf(f, "csvadm %s %s\n    %s\n", verbs[i].name, verbs[i].synopsis,
				verbs[i].help);
	fprintf(f, "\nOptions:\n");
	if (!v || v->takes & BIT(NAME))
		fprintf(f, "  --name NAME      of the volume: /cluster/NAME on every node\n"
			   "  --cluster UUID   of the cluster that it belongs to\n"
			   "  --uuid UUID      of the volume (default: a new one)\n"
			   "  --overwrite WHAT what the LUN carries and may lose, as the refusal "
			   "names it\n");
	if (!v || v->takes & BIT(CONFIRM))
		fprintf(f, "  --confirm NAME   the volume's name once more\n");
	if (!v || v->takes & BIT(SIZE))
		fprintf(f, "  --size BYTES     of the file; K, M, G, T after it: times 1024 ...\n");
	if (!v || v->takes & BIT(CONTINUE))
		fprintf(f,
			"  --continue       fill a file that exists where nothing was written yet\n"
			"  --sparse         only its size: blocks are taken as they are written\n");
	if (!v || v->takes & BIT(FORCE))
		fprintf(f, "  --force          replace NEW if it exists\n");
	if (!v || v->takes & BIT(PROGRESS))
		fprintf(f, "  --progress       how far it is to standard output, for programs\n");
	if (!v || v->takes & BIT(ID))
		fprintf(f, "  --id ID          of the work, in hexadecimal\n"
			   "  --undo           take away what it has made\n");
	if (!v || v->takes & BIT(JSON))
		fprintf(f, "  --json           the data as JSON\n");
	fprintf(f, "  --help, --version\n");
	return f == stdout ? EXIT_DONE : EXIT_USAGE;
}

static int wrong(const char *what, const char *which)
{
	fprintf(stderr, "csvadm: %s%s; see csvadm --help\n", what, which);
	return EXIT_USAGE;
}

/* One option at argv[*at], with its value. 0 or EXIT_USAGE. */
static int take_option(const struct verb *v, char **argv, int *at, struct arguments *a)
{
	const char *word = argv[*at];
	size_t n = strcspn(word, "=");

	for (size_t o = 0; o < OPT_MAX; o++) {
		if (strlen(options[o].name) != n || memcmp(options[o].name, word, n) != 0 ||
		    !(v->takes & 1u << o))
			continue;
		if (a->value[o])
			return wrong("given twice: ", options[o].name);
		if (!options[o].has_value && word[n])
			return wrong("takes no value: ", options[o].name);
		if (!options[o].has_value)
			a->value[o] = "";
		else
			a->value[o] = word[n] ? word + n + 1 : argv[++*at];
		if (!a->value[o] || (options[o].has_value && !a->value[o][0]))
			return wrong("needs a value: ", options[o].name);
		return 0;
	}
	return wrong("no such option here: ", word);
}

static int parse(const struct verb *v, char **argv, struct arguments *a)
{
	for (int i = 2; argv[i]; i++) {
		if (argv[i][0] == '-') {
			if (take_option(v, argv, &i, a))
				return EXIT_USAGE;
		} else if (a->lun && (a->second || !v->takes_two)) {
			return wrong(v->takes_two ? "two files, not also "
						  : "one LUN or file at a time, not also ",
				     argv[i]);
		} else if (a->lun) {
			a->second = argv[i];
		} else {
			a->lun = argv[i];
		}
	}
	if (!a->lun || (v->takes_two && !a->second))
		return wrong(v->takes_two ? "which files? usage: csvadm "
					  : "which LUN or file? usage: csvadm ",
			     v->name);
	for (size_t o = 0; o < OPT_MAX; o++)
		if (v->needs & 1u << o && !a->value[o])
			return wrong("is missing: ", options[o].name);
	return 0;
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < MUST_ARRAY_SIZE(verbs); i++)
		if (!strcmp(name, verbs[i].name))
			return &verbs[i];
	return NULL;
}

int main(int argc, char **argv)
{
	struct arguments a = {0};
	const struct verb *v;
	int r;

	if (argc < 2)
		return usage(stderr, NULL);
	if (!strcmp(argv[1], "--help"))
		return usage(stdout, NULL);
	if (!strcmp(argv[1], "--version")) {
		printf("csvadm %s\n", CLUSTERD_VERSION);
		return EXIT_DONE;
	}
	v = find_verb(argv[1]);
	if (!v)
		return wrong("no such command: ", argv[1]);
	for (int i = 2; i < argc; i++)
		if (!strcmp(argv[i], "--help"))
			return usage(stdout, v);
	r = parse(v, argv, &a);
	if (!r)
		r = v->run(&a);
	if (fflush(stdout) && !r) {
		fprintf(stderr, "csvadm: the output could not be written: %s\n", strerror(errno));
		r = EXIT_FAILED;
	}
	return r;
}
