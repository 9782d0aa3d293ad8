/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/edge/lun.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "csvfs/edge/lun_impl.h"
#include "lib/cleanup.h"

/* ---- opening */

/* Both copies of a record into two blocks at buf. */
static int read_pair(const struct lun_disk *d, uint64_t first, uint64_t second, uint8_t *buf)
{
	int r = lun_disk_read(d, first, buf, CSV_RECORD_BYTES);

	return r ? r : lun_disk_read(d, second, buf + CSV_RECORD_BYTES, CSV_RECORD_BYTES);
}

static bool range_equal(struct lun_range r, uint64_t start, uint64_t bytes)
{
	return r.start == start && r.bytes == bytes;
}

/* The header is about this LUN and this table. */
static int header_agrees(const struct csv_lun *lun, const struct lun_text *text)
{
	const struct lun_table *t = &lun->table;
	const struct csv_header *h = &lun->header;

	if (h->block_bytes != lun->disk.block_bytes)
		return lun_fail(text, -EBADMSG,
				"%s: volume %s was made with blocks of %" PRIu32
				" bytes and the device has %" PRIu32
				": present the LUN with its old block size",
				lun->disk.path, h->name.text, h->block_bytes,
				lun->disk.block_bytes);
	/* A larger partition than the header knows of: it grew, and that was not done to its end.
	 */
	if (!range_equal(t->control, h->control_start, h->control_bytes) ||
	    t->data.start != h->data_start || t->data.bytes < h->data_bytes)
		return lun_fail(text, -EBADMSG,
				"%s: volume %s: partition table and header disagree about the data "
				"partition (table: %" PRIu64 "+%" PRIu64 ", header: %" PRIu64
				"+%" PRIu64 " bytes): somebody has changed the table; put it back",
				lun->disk.path, h->name.text, t->data.start, t->data.bytes,
				h->data_start, h->data_bytes);
	if (h->lun_bytes > lun->disk.bytes)
		return lun_fail(text, -EBADMSG,
				"%s: volume %s was made on %" PRIu64
				" bytes and the device has only %" PRIu64
				": the LUN was made smaller, or this is another one",
				lun->disk.path, h->name.text, h->lun_bytes, lun->disk.bytes);
	return 0;
}

static int header_read(struct csv_lun *lun, const struct lun_text *text)
{
	const uint64_t control = lun->table.control.start;
	_cleanup_free_ uint8_t *buf = lun_buffer(2 * (size_t)CSV_RECORD_BYTES);
	int r = !buf ? -ENOMEM
		     : read_pair(&lun->disk, control + CSV_HEADER_PLACE(0),
				 control + CSV_HEADER_PLACE(1), buf);

	if (r)
		return lun_fail(text, r, "%s: the header cannot be read: %s", lun->disk.path,
				strerror(-r));
	r = csv_header_pick(buf, buf + CSV_RECORD_BYTES, &lun->header, NULL);
	switch (r) {
	case 0:
		return header_agrees(lun, text);
	case -ENODATA:
		return lun_fail(text, r,
				"%s: partitions of a volume, and no header: it was never formatted "
				"to its end; run `csvadm format` again",
				lun->disk.path);
	case -EPROTONOSUPPORT:
		return lun_fail(text, r,
				"%s: the volume is of a version that this program does not know: "
				"use the release that made it, or a later one",
				lun->disk.path);
	default:
		return lun_fail(text, r,
				"%s: both copies of the volume's header are damaged: restore the "
				"first 2 MiB of partition csv-control from a backup",
				lun->disk.path);
	}
}

static int table_read(struct csv_lun *lun, const struct lun_text *text)
{
	int r = lun_gpt_read(&lun->disk, LUN_GPT_FIRST | LUN_GPT_SECOND, &lun->table);

	if (r && r != -ENODATA)
		return lun_fail(text, r, "%s: the partition table cannot be read: %s",
				lun->disk.path, strerror(-r));
	if (r || (!lun->table.has_control && !lun->table.has_data))
		return lun_fail(text, -ENODATA,
				"%s: %s: this is no volume; `csvadm format` makes one",
				lun->disk.path,
				r ? "no valid GPT" : "its GPT has no partition of a volume");
	if (!lun->table.has_control || !lun->table.has_data)
		return lun_fail(text, -EBADMSG,
				"%s: its GPT has no partition of type %s (%s): somebody has "
				"changed the table; put it back",
				lun->disk.path, lun->table.has_control ? "csv-data" : "csv-control",
				lun->table.has_control ? CSV_LUN_TYPE_DATA : CSV_LUN_TYPE_CONTROL);
	if (lun->table.data.start + lun->table.data.bytes > lun->disk.bytes)
		return lun_fail(text, -EBADMSG,
				"%s: its data partition ends behind its end: the LUN was made "
				"smaller than it was (%" PRIu64 " bytes now); make it as large as "
				"before",
				lun->disk.path, lun->disk.bytes);
	if (lun->table.control.bytes != CSV_CONTROL_BYTES)
		return lun_fail(text, -EBADMSG,
				"%s: partition csv-control has %" PRIu64
				" bytes and should have %" PRIu64
				": somebody has changed the table; put it back",
				lun->disk.path, lun->table.control.bytes, CSV_CONTROL_BYTES);
	return 0;
}

int csv_lun_open(const char *path, bool writable, struct csv_lun **ret, char *text,
		 size_t text_size)
{
	const struct lun_text t = {text, text_size};
	struct csv_lun *lun = calloc(1, sizeof(*lun));
	int r;

	if (!lun)
		return lun_fail(&t, -ENOMEM, "out of memory");
	lun->disk.fd = -1;
	lun->attached.fd = -1;
	r = lun_disk_open(path, writable, &lun->disk, &t);
	if (!r)
		r = table_read(lun, &t);
	if (!r)
		r = header_read(lun, &t);
	if (r) {
		csv_lun_close(lun);
		return r;
	}
	*ret = lun;
	return 0;
}

struct csv_lun *csv_lun_close(struct csv_lun *lun)
{
	if (lun) {
		lib_closep(&lun->attached.fd);
		lun_disk_close(&lun->disk);
		free(lun);
	}
	return NULL;
}

const struct csv_header *csv_lun_header(const struct csv_lun *lun)
{
	return &lun->header;
}

const struct csv_uuid *csv_lun_volume(const struct csv_lun *lun)
{
	return &lun->header.volume;
}

const struct csv_uuid *csv_lun_cluster(const struct csv_lun *lun)
{
	return &lun->header.cluster;
}

const char *csv_lun_name(const struct csv_lun *lun)
{
	return lun->header.name.text;
}

uint64_t csv_lun_data_start(const struct csv_lun *lun)
{
	return lun->table.data.start;
}

uint64_t csv_lun_data_bytes(const struct csv_lun *lun)
{
	return lun->table.data.bytes;
}

uint32_t csv_lun_block_size(const struct csv_lun *lun)
{
	return lun->disk.block_bytes;
}

/* ---- the coordinator's term */

static uint64_t term_place(const struct csv_lun *lun, unsigned int copy)
{
	return lun->table.control.start + CSV_TERM_PLACE(copy);
}

static int term_pick(const struct csv_lun *lun, uint8_t *buf, struct csv_term *ret,
		     struct csv_copies *ret_copies)
{
	int r = read_pair(&lun->disk, term_place(lun, 0), term_place(lun, 1), buf);

	return r ? r : csv_term_pick(buf, buf + CSV_RECORD_BYTES, ret, ret_copies);
}

int csv_lun_term_read(const struct csv_lun *lun, struct csv_term *ret)
{
	_cleanup_free_ uint8_t *buf = lun_buffer(2 * (size_t)CSV_RECORD_BYTES);

	return buf ? term_pick(lun, buf, ret, NULL) : -ENOMEM;
}

static int term_unreadable(const struct csv_lun *lun, int r, const struct lun_text *text)
{
	switch (r) {
	case -EBADMSG:
		return lun_fail(text, r,
				"%s: volume %s: neither copy of the term record is valid: run "
				"`csvadm check`, then `csvadm repair`",
				lun->disk.path, csv_lun_name(lun));
	case -EPROTONOSUPPORT:
		return lun_fail(text, r,
				"%s: volume %s: the term record is of a version that this program "
				"does not know: update this node",
				lun->disk.path, csv_lun_name(lun));
	default:
		return lun_fail(text, r, "%s: volume %s: the term record cannot be read: %s",
				lun->disk.path, csv_lun_name(lun), strerror(-r));
	}
}

/* What is there now, and the block for after it. */
static int term_prepare(const struct csv_lun *lun, const struct csv_term *t, uint8_t *buf,
			struct csv_copies *ret_copies, const struct lun_text *text)
{
	struct csv_term now = {0}, next = *t;
	int r = term_pick(lun, buf, &now, ret_copies);

	if (r && r != -ENODATA)
		return term_unreadable(lun, r, text);
	if (!r && !csv_term_may_follow(&now, t))
		return lun_fail(text, -ESTALE,
				"%s: volume %s has a coordinator of term %" PRIu64
				" already (node %s, slot %u, incarnation %" PRIx64
				"): term %" PRIu64 " of node %s comes too late and is not written",
				lun->disk.path, csv_lun_name(lun), now.term, now.node.text,
				now.slot, now.incarnation, t->term, t->node.text);
	next.generation = now.generation + 1;
	r = csv_term_encode(&next, buf);
	if (r)
		return lun_fail(text, r,
				"volume %s: term %" PRIu64
				" of slot %u, node '%s' cannot be written: it is not valid",
				csv_lun_name(lun), t->term, t->slot, t->node.text);
	return 0;
}

int csv_lun_term_write(const struct csv_lun *lun, const struct csv_term *t, char *text,
		       size_t text_size)
{
	const struct lun_text where = {text, text_size};
	_cleanup_free_ uint8_t *buf = lun_buffer(3 * (size_t)CSV_RECORD_BYTES);
	uint8_t *block = buf ? buf + 2 * (size_t)CSV_RECORD_BYTES : NULL;
	struct csv_copies copies;
	struct csv_term now;
	int r;

	if (!buf)
		return lun_fail(&where, -ENOMEM, "out of memory");
	if (!lun->disk.is_writable)
		return lun_fail(&where, -EBADF, "%s: opened for reading only", lun->disk.path);
	r = term_prepare(lun, t, buf, &copies, &where);
	if (r)
		return r;
	memcpy(block, buf, CSV_RECORD_BYTES);
	r = lun_disk_write_verified(&lun->disk, term_place(lun, copies.older), block,
				    CSV_RECORD_BYTES);
	if (r)
		return lun_fail(&where, r,
				"%s: volume %s: the term record was not written durably: %s",
				lun->disk.path, csv_lun_name(lun), strerror(-r));
	r = term_pick(lun, buf, &now, &copies);
	if (r)
		return term_unreadable(lun, r, &where);
	if (memcmp(buf + copies.newest * (size_t)CSV_RECORD_BYTES, block, CSV_RECORD_BYTES))
		return lun_fail(&where, -ESTALE,
				"%s: volume %s: node %s has written term %" PRIu64
				" at the same time: there are two coordinators; this one must not "
				"mount",
				lun->disk.path, csv_lun_name(lun), now.node.text, now.term);
	return 0;
}
