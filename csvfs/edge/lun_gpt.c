/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The partition table: libblkid reads it, libfdisk writes it. libblkid sees the two ends of the LUN
 * as a copy in memory that direct I/O has just filled, not the device: what the page cache of this
 * node remembers of the table may be older than what another node has written.
 */
#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libfdisk/libfdisk.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "csvfs/edge/lun_impl.h"
#include "lib/cleanup.h"
#include "lib/wire.h"

#define BLKID_SECTOR_BYTES 512u /* libblkid's unit, whatever the device's */
#define ANY_LUN_BYTES	   (UINT64_C(1) << 60)

static uint64_t round_down(uint64_t v, uint64_t unit)
{
	return v - v % unit;
}

/* ---- reading */

static int write_all(int fd, const uint8_t *p, size_t n, uint64_t place)
{
	while (n) {
		ssize_t put = pwrite(fd, p, n, (off_t)place);

		if (put < 0)
			return -errno;
		p += put;
		n -= (size_t)put;
		place += (size_t)put;
	}
	return 0;
}

/* Copies one end of the LUN; without the block of the table's own header unless it is wanted. */
static int copy_end(const struct lun_disk *d, int fd, uint8_t *buf, unsigned int copy, bool wanted)
{
	uint64_t place =
		copy == LUN_GPT_FIRST ? 0 : round_down(d->bytes - LUN_ENDS_BYTES, LUN_PAGE_BYTES);
	size_t n = (size_t)(copy == LUN_GPT_FIRST ? LUN_ENDS_BYTES : d->bytes - place);
	size_t padded = (n + LUN_PAGE_BYTES - 1) / LUN_PAGE_BYTES * LUN_PAGE_BYTES;
	int r = lun_disk_read(d, place, buf, padded);

	if (!r && !wanted)
		memset(copy == LUN_GPT_FIRST ? buf + d->block_bytes : buf + n - d->block_bytes, 0,
		       d->block_bytes);
	return r ? r : write_all(fd, buf, n, place);
}

/*
 * A file in memory, as large as the LUN or larger, that holds its ends. Returns the descriptor or
 * -errno.
 */
static int copy_ends(const struct lun_disk *d, unsigned int copies, uint64_t bytes)
{
	_cleanup_free_ uint8_t *buf = lun_buffer(LUN_ENDS_BYTES + LUN_PAGE_BYTES);
	_cleanup_close_ int fd = memfd_create("lun-ends", MFD_CLOEXEC);
	int r;

	if (!buf)
		return -ENOMEM;
	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
		return -errno;
	r = copy_end(d, fd, buf, LUN_GPT_FIRST, copies & LUN_GPT_FIRST);
	if (!r)
		r = copy_end(d, fd, buf, LUN_GPT_SECOND, copies & LUN_GPT_SECOND);
	return r ? r : steal_fd(&fd);
}

static void take_partition(blkid_partition p, struct lun_table *t)
{
	const char *type = blkid_partition_get_type_string(p);
	struct lun_range r = {
		.start = (uint64_t)blkid_partition_get_start(p) * BLKID_SECTOR_BYTES,
		.bytes = (uint64_t)blkid_partition_get_size(p) * BLKID_SECTOR_BYTES,
	};

	if (type && !strcasecmp(type, CSV_LUN_TYPE_CONTROL) && !t->has_control) {
		t->has_control = true;
		t->control = r;
	} else if (type && !strcasecmp(type, CSV_LUN_TYPE_DATA) && !t->has_data) {
		t->has_data = true;
		t->data = r;
		t->data_partno = (unsigned int)blkid_partition_get_partno(p);
	}
}

static int take_list(blkid_probe pr, struct lun_table *ret)
{
	struct lun_table t = {0};
	blkid_partlist list;
	blkid_parttable table;
	const char *type;

	list = blkid_probe_get_partitions(pr);
	table = list ? blkid_partlist_get_table(list) : NULL;
	type = table ? blkid_parttable_get_type(table) : NULL;
	if (!type || strcmp(type, "gpt") != 0)
		return -ENODATA;
	for (int i = 0; i < blkid_partlist_numof_partitions(list); i++)
		take_partition(blkid_partlist_get_partition(list, i), &t);
	*ret = t;
	return 0;
}

static int read_as(const struct lun_disk *d, unsigned int copies, uint64_t bytes,
		   struct lun_table *ret)
{
	_cleanup_close_ int fd = copy_ends(d, copies, bytes);
	blkid_probe pr;
	int r = -ENOMEM;

	if (fd < 0)
		return fd;
	pr = blkid_new_probe();
	if (!pr)
		return r;
	if (!blkid_probe_set_device(pr, fd, 0, 0) &&
	    !blkid_probe_set_sectorsize(pr, d->block_bytes) &&
	    !blkid_probe_enable_superblocks(pr, 0) && !blkid_probe_enable_partitions(pr, 1) &&
	    !blkid_probe_set_partitions_flags(pr,
					      BLKID_PARTS_FORCE_GPT | BLKID_PARTS_ENTRY_DETAILS))
		r = take_list(pr, ret);
	blkid_free_probe(pr);
	return r;
}

int lun_gpt_read(const struct lun_disk *d, unsigned int copies, struct lun_table *ret)
{
	int r;

	if (d->bytes < 2 * LUN_ENDS_BYTES)
		return -ENODATA;
	r = read_as(d, copies, d->bytes, ret);
	/* libblkid takes no table that says more than the device has. */
	if (r == -ENODATA && copies == (LUN_GPT_FIRST | LUN_GPT_SECOND))
		r = read_as(d, LUN_GPT_FIRST, ANY_LUN_BYTES, ret);
	return r;
}

/* ---- writing */

int lun_gpt_plan(const struct lun_disk *d, struct lun_table *ret)
{
	struct lun_table t = {.has_control = true, .has_data = true};
	uint64_t end;

	if (d->bytes < CSV_LUN_BYTES_MIN)
		return -ENOSPC;
	/* 64 KiB: more than the second copy takes with either block size. */
	end = round_down(d->bytes - (64u << 10), CSV_ALIGN_BYTES);
	t.control = (struct lun_range){CSV_ALIGN_BYTES, CSV_CONTROL_BYTES};
	t.data.start = t.control.start + t.control.bytes;
	t.data.bytes = end - t.data.start;
	t.data_partno = LUN_PARTNO_DATA;
	*ret = t;
	return 0;
}

static int add_partition(struct fdisk_context *cxt, unsigned int partno, const char *type,
			 const char *name, struct lun_range range)
{
	const uint64_t sector = fdisk_get_sector_size(cxt);
	struct fdisk_partition *pa = fdisk_new_partition();
	struct fdisk_parttype *pt = fdisk_label_parse_parttype(fdisk_get_label(cxt, NULL), type);
	int r = -ENOMEM;

	if (!pa || !pt)
		goto out;
	r = fdisk_partition_set_partno(pa, partno - 1);
	if (!r)
		r = fdisk_partition_set_start(pa, range.start / sector);
	if (!r)
		r = fdisk_partition_set_size(pa, range.bytes / sector);
	if (!r)
		r = fdisk_partition_size_explicit(pa, 1);
	if (!r)
		r = fdisk_partition_set_type(pa, pt);
	if (!r)
		r = fdisk_partition_set_name(pa, name);
	if (!r)
		r = fdisk_add_partition(cxt, pa, NULL);
out:
	fdisk_unref_parttype(pt);
	fdisk_unref_partition(pa);
	return r;
}

/*
 * Runs libfdisk on a descriptor through the page cache and makes the result durable. Without t the
 * table that is there is written anew. libfdisk's own way to sync would sync every file system.
 */
static int run_fdisk(const struct lun_disk *d, const struct lun_table *t)
{
	_cleanup_close_ int fd = lun_disk_reopen(d, O_RDWR);
	struct fdisk_context *cxt;
	int r;

	if (fd < 0)
		return fd;
	cxt = fdisk_new_context();
	if (!cxt)
		return -ENOMEM;
	fdisk_disable_dialogs(cxt, 1);
	r = fdisk_assign_device_by_fd(cxt, fd, d->path, 0);
	if (!r && t) {
		r = fdisk_create_disklabel(cxt, "gpt");
		if (!r)
			r = add_partition(cxt, 1, CSV_LUN_TYPE_CONTROL, "csv-control", t->control);
		if (!r)
			r = add_partition(cxt, LUN_PARTNO_DATA, CSV_LUN_TYPE_DATA, "csv-data",
					  t->data);
	} else if (!r && !fdisk_is_label(cxt, GPT)) {
		r = -ENODATA;
	}
	if (!r)
		r = fdisk_write_disklabel(cxt);
	if (!r && fsync(fd) < 0)
		r = -errno;
	fdisk_deassign_device(cxt, 1);
	fdisk_unref_context(cxt);
	return r > 0 ? -EIO : r;
}

static bool is_as_written(const struct lun_disk *d, unsigned int copy, const struct lun_table *t)
{
	struct lun_table have;

	return !lun_gpt_read(d, copy, &have) && have.has_control && have.has_data &&
	       have.control.start == t->control.start && have.control.bytes == t->control.bytes &&
	       have.data.start == t->data.start && have.data.bytes == t->data.bytes;
}

static int verify(const struct lun_disk *d, const struct lun_table *t, const struct lun_text *text)
{
	if (is_as_written(d, LUN_GPT_FIRST, t) && is_as_written(d, LUN_GPT_SECOND, t))
		return 0;
	return lun_fail(text, -EIO,
			"%s: the partition table reads back as something else than was written: "
			"the device does not keep what it takes",
			d->path);
}

int lun_gpt_write(const struct lun_disk *d, const struct lun_table *t, const struct lun_text *text)
{
	int r = run_fdisk(d, t);

	if (r)
		return lun_fail(text, r, "%s: the partition table cannot be written: %s", d->path,
				strerror(-r));
	return verify(d, t, text);
}

/* libfdisk takes no GPT without its protective MBR (UEFI 2.10, 5.2.3): one that is gone is put. */
static int put_mbr(const struct lun_disk *d)
{
	_cleanup_free_ uint8_t *page = lun_buffer(LUN_PAGE_BYTES);
	static const uint8_t first[] = {0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff};
	uint64_t blocks = d->bytes / d->block_bytes - 1;
	struct wire_writer w;
	int r = page ? lun_disk_read(d, 0, page, LUN_PAGE_BYTES) : -ENOMEM;

	if (r || (page[510] == 0x55 && page[511] == 0xaa))
		return r;
	memset(page, 0, 512);
	wire_writer_init(&w, page + 446, 66);
	wire_put_raw(&w, first, sizeof(first));
	wire_put_u32(&w, 1);
	wire_put_u32(&w, blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)blocks);
	page[510] = 0x55;
	page[511] = 0xaa;
	return lun_disk_write_verified(d, 0, page, LUN_PAGE_BYTES);
}

int lun_gpt_restore(const struct lun_disk *d, const struct lun_text *text)
{
	struct lun_table t;
	int r = lun_gpt_read(d, LUN_GPT_FIRST | LUN_GPT_SECOND, &t);

	if (!r)
		r = put_mbr(d);
	if (!r)
		r = run_fdisk(d, NULL);
	if (r)
		return lun_fail(text, r, "%s: the partition table cannot be restored: %s", d->path,
				strerror(-r));
	return verify(d, &t, text);
}
