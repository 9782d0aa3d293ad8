/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes a LUN a volume. The order is the safety: look, refuse, and only then wipe; the header comes
 * last, so that whatever ends this halfway leaves something that csv_lun_open() does not take.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "csvfs/edge/lun_impl.h"
#include "lib/cleanup.h"

#define MKFS_TIMEOUT_MS	 (3600u * 1000)
#define MKFS_LABEL_BYTES 12 /* XFS: sb_fname */

static int options_check(const struct csv_format_options *o, const struct lun_text *text)
{
	if (!csv_label_is_good(o->name))
		return lun_fail(text, -EINVAL,
				"'%s' is no name for a volume: 1 to %d letters, digits, '.', '_' "
				"and '-', the first a letter or digit",
				o->name, CSV_LABEL_MAX - 1);
	if (csv_uuid_is_zero(&o->volume) || csv_uuid_is_zero(&o->cluster))
		return lun_fail(text, -EINVAL, "a uuid of zeros is none");
	return 0;
}

/* O_EXCL on the device while we look and wipe: nobody mounts it meanwhile. Of a file: nothing. */
static int claim(const struct lun_disk *d, int *ret_fd, const struct lun_text *text)
{
	char path[64];
	int fd;

	if (!d->is_block)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", d->fd);
	fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (fd < 0)
		return lun_fail(text, -errno,
				"%s is in use, opened exclusively by another program: end that "
				"first",
				d->path);
	*ret_fd = fd;
	return 0;
}

/* Everything that can be a reason not to touch it. */
static int may_format(const struct lun_disk *d, const struct lun_table *t, const char *overwrite,
		      const struct lun_text *text)
{
	struct lun_carried carried;
	int r = lun_range_in_use(d, (struct lun_range){0, d->bytes}, true, text);

	if (r)
		return r;
	r = lun_probe(d, t->data, &carried);
	if (r)
		return lun_fail(text, r, "%s: what it carries cannot be found out: %s", d->path,
				strerror(-r));
	return lun_probe_allows(d, &carried, overwrite, text);
}

int lun_format_table(const struct lun_disk *d, const struct lun_table *t,
		     const struct lun_text *text)
{
	const struct lun_range first = {0, LUN_ENDS_BYTES + CSV_CONTROL_BYTES};
	const uint64_t end = d->bytes - d->bytes % LUN_PAGE_BYTES;
	const struct lun_range last = {end - LUN_ENDS_BYTES, LUN_ENDS_BYTES};
	int r = lun_wipe(d, t->data, text);

	if (r)
		return r;
	r = lun_disk_zero(d, first);
	if (!r)
		r = lun_disk_zero(d, last);
	if (r)
		return lun_fail(text, r, "%s: cannot be written: %s", d->path, strerror(-r));
	return lun_gpt_write(d, t, text);
}

static uint64_t now_wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int lun_format_header(const struct lun_disk *d, const struct lun_table *t,
		      const struct csv_format_options *o, const struct lun_text *text)
{
	_cleanup_free_ void *block = lun_buffer(CSV_RECORD_BYTES);
	struct csv_header h = {
		.generation = 1,
		.volume = o->volume,
		.cluster = o->cluster,
		.created_wall_ms = now_wall_ms(),
		.block_bytes = d->block_bytes,
		.lun_bytes = d->bytes,
		.control_start = t->control.start,
		.control_bytes = t->control.bytes,
		.data_start = t->data.start,
		.data_bytes = t->data.bytes,
	};
	int r;

	if (!block)
		return lun_fail(text, -ENOMEM, "out of memory");
	snprintf(h.name.text, sizeof(h.name.text), "%s", o->name);
	r = csv_header_encode(&h, block);
	for (unsigned int copy = 0; !r && copy < 2; copy++)
		r = lun_disk_write_verified(d, t->control.start + CSV_HEADER_PLACE(copy), block,
					    CSV_RECORD_BYTES);
	if (r)
		return lun_fail(text, r, "%s: the volume's header cannot be written: %s", d->path,
				strerror(-r));
	return 0;
}

static void uuid_text(const struct csv_uuid *uuid, char *ret, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < sizeof(uuid->byte) && used < size; i++)
		used += (size_t)snprintf(ret + used, size - used, "%s%02x",
					 i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
					 uuid->byte[i]);
}

/* -f: what may be lost has been decided. mkfs.xfs itself opens the device O_EXCL. */
static int run_mkfs(const char *dev, const struct csv_format_options *o,
		    const struct lun_text *text)
{
	char label[MKFS_LABEL_BYTES + 1], meta[128], uuid[40], out[512];
	const char *const argv[] = {"mkfs.xfs",	 "-f", "-K",  "-m", meta, "-i",
				    "nrext64=0", "-L", label, dev,  NULL};
	int status = 0, r;

	uuid_text(&o->volume, uuid, sizeof(uuid));
	snprintf(meta, sizeof(meta), "crc=1,reflink=1,rmapbt=0,uuid=%s", uuid);
	snprintf(label, sizeof(label), "%.*s", MKFS_LABEL_BYTES, o->name);
	r = lun_child_run(argv, MKFS_TIMEOUT_MS, &status, out, sizeof(out));
	if (r == -ENOPKG)
		return lun_fail(text, r,
				"mkfs.xfs is neither in /usr/sbin nor in /sbin: install xfsprogs");
	if (r == -EINTR)
		return lun_fail(text, r, "mkfs.xfs on %s was interrupted: there is no volume now",
				dev);
	if (r)
		return lun_fail(text, r, "mkfs.xfs on %s did not run to its end: %s", dev,
				strerror(-r));
	if (status)
		return lun_fail(text, -EIO, "mkfs.xfs on %s failed with status %d: %s", dev, status,
				out);
	return 0;
}

static int make_xfs(const struct lun_disk *d, const struct lun_table *t,
		    const struct csv_format_options *o, const struct lun_text *text)
{
	struct lun_attached a;
	int r = lun_attach(d, t, &a, text), detached;

	if (r)
		return r;
	r = run_mkfs(a.dev, o, text);
	detached = lun_detach(d, &a, r ? &(struct lun_text){NULL, 0} : text);
	if (detached)
		lib_closep(&a.fd);
	return r ? r : detached;
}

/* Opens it as anybody will, and looks for the XFS. */
static int verify(const char *path, const struct csv_format_options *o, const struct lun_text *text)
{
	struct csv_lun_xfs xfs;
	struct csv_lun *lun;
	int r = csv_lun_open(path, false, &lun, text->buf, text->size);

	if (r)
		return r;
	r = csv_lun_xfs_read(lun, &xfs);
	if (r || !csv_uuid_equal(&xfs.uuid, &o->volume) || !xfs.is_reflink)
		r = lun_fail(text, -EIO,
			     "%s: the XFS reads back as something else than mkfs.xfs has made: "
			     "the device does not keep what it takes",
			     path);
	csv_lun_close(lun);
	return r;
}

static int format_disk(const struct lun_disk *d, const struct csv_format_options *o,
		       const struct lun_text *text)
{
	_cleanup_close_ int claimed = -1;
	struct lun_table t;
	int r = lun_gpt_plan(d, &t);

	if (r)
		return lun_fail(text, r,
				"%s has %" PRIu64 " MiB and a volume needs %" PRIu64
				" MiB: make the LUN larger",
				d->path, d->bytes >> 20, CSV_LUN_BYTES_MIN >> 20);
	r = may_format(d, &t, o->overwrite, text);
	if (r)
		return r;
	r = claim(d, &claimed, text);
	if (!r)
		r = lun_devs_forget_partitions(d, text);
	if (!r)
		r = lun_format_table(d, &t, text);
	lib_closep(&claimed);
	claimed = -1;
	if (!r)
		r = make_xfs(d, &t, o, text);
	return r ? r : lun_format_header(d, &t, o, text);
}

int csv_lun_format(const char *path, const struct csv_format_options *options, char *text,
		   size_t text_size)
{
	const struct lun_text t = {text, text_size};
	struct lun_disk d;
	int r = options_check(options, &t);

	if (!r)
		r = lun_disk_open(path, true, &d, &t);
	if (r)
		return r;
	r = format_disk(&d, options, &t);
	lun_disk_close(&d);
	return r ? r : verify(path, options, &t);
}
