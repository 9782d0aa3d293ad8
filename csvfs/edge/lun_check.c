/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each copy of table, header and term on its own; and damaged ones written anew. */
#include <errno.h>
#include <string.h>

#include "csvfs/edge/lun_impl.h"
#include "lib/cleanup.h"

static enum csv_lun_copy copy_of(int result, bool is_newest)
{
	switch (result) {
	case 0:
		return is_newest ? CSV_LUN_COPY_GOOD : CSV_LUN_COPY_OLDER;
	case -ENODATA:
		return CSV_LUN_COPY_BLANK;
	case -EPROTONOSUPPORT:
		return CSV_LUN_COPY_FOREIGN;
	default:
		return CSV_LUN_COPY_DAMAGED;
	}
}

const char *csv_lun_copy_name(enum csv_lun_copy copy)
{
	static const char *const names[CSV_LUN_COPY_MAX] = {
		[CSV_LUN_COPY_GOOD] = "good",
		[CSV_LUN_COPY_OLDER] = "older",
		[CSV_LUN_COPY_BLANK] = "blank",
		[CSV_LUN_COPY_DAMAGED] = "damaged",
		[CSV_LUN_COPY_FOREIGN] = "of another version",
	};

	return (unsigned int)copy < CSV_LUN_COPY_MAX ? names[copy] : "?";
}

/* Both blocks of a record: the header's, or the term's. */
struct pair {
	uint64_t place[2];
	uint8_t *buf; /* two blocks */
	struct csv_copies copies;
	int result; /* of the pick */
};

static int pair_read(const struct csv_lun *lun, bool is_term, struct pair *p)
{
	const uint8_t *second = p->buf + CSV_RECORD_BYTES;
	struct csv_header header;
	struct csv_term term;
	int r = 0;

	for (unsigned int i = 0; !r && i < 2; i++) {
		p->place[i] = lun->table.control.start +
			      (is_term ? CSV_TERM_PLACE(i) : CSV_HEADER_PLACE(i));
		r = lun_disk_read(&lun->disk, p->place[i], p->buf + i * (size_t)CSV_RECORD_BYTES,
				  CSV_RECORD_BYTES);
	}
	if (r)
		return r;
	p->result = is_term ? csv_term_pick(p->buf, second, &term, &p->copies)
			    : csv_header_pick(p->buf, second, &header, &p->copies);
	return 0;
}

static bool pair_is_equal(const struct pair *p)
{
	return !memcmp(p->buf, p->buf + CSV_RECORD_BYTES, CSV_RECORD_BYTES);
}

static void pair_report(const struct pair *p, enum csv_lun_copy ret[2])
{
	for (unsigned int i = 0; i < 2; i++)
		ret[i] = copy_of(p->copies.result[i], p->copies.newest == i || pair_is_equal(p));
	/* Two that differ and claim one generation: neither can be believed. */
	if (p->result == -EBADMSG && !p->copies.result[0] && !p->copies.result[1])
		ret[0] = ret[1] = CSV_LUN_COPY_DAMAGED;
}

static enum csv_lun_copy gpt_copy(const struct csv_lun *lun, unsigned int which)
{
	struct lun_table t;
	int r = lun_gpt_read(&lun->disk, which, &t);

	return !r && t.has_control && t.has_data && t.control.start == lun->table.control.start &&
			       t.control.bytes == lun->table.control.bytes &&
			       t.data.start == lun->table.data.start &&
			       t.data.bytes == lun->table.data.bytes
		       ? CSV_LUN_COPY_GOOD
		       : CSV_LUN_COPY_DAMAGED;
}

int csv_lun_examine(const struct csv_lun *lun, struct csv_lun_report *ret)
{
	_cleanup_free_ uint8_t *buf = lun_buffer(2 * (size_t)CSV_RECORD_BYTES);
	struct pair p = {.buf = buf};
	struct csv_lun_report c;
	int r = buf ? pair_read(lun, false, &p) : -ENOMEM;

	if (r)
		return r;
	pair_report(&p, c.header);
	r = pair_read(lun, true, &p);
	if (r)
		return r;
	pair_report(&p, c.term);
	c.gpt[0] = gpt_copy(lun, LUN_GPT_FIRST);
	c.gpt[1] = gpt_copy(lun, LUN_GPT_SECOND);
	c.is_sound = c.gpt[0] == CSV_LUN_COPY_GOOD && c.gpt[1] == CSV_LUN_COPY_GOOD &&
		     c.header[0] == CSV_LUN_COPY_GOOD && c.header[1] == CSV_LUN_COPY_GOOD &&
		     c.term[0] != CSV_LUN_COPY_DAMAGED && c.term[1] != CSV_LUN_COPY_DAMAGED;
	*ret = c;
	return 0;
}

static int write_copy(const struct csv_lun *lun, const struct pair *p, unsigned int copy,
		      const void *block, const struct lun_text *text)
{
	int r = lun_disk_write_verified(&lun->disk, p->place[copy], block, CSV_RECORD_BYTES);

	if (r)
		return lun_fail(text, r, "%s: a control record cannot be written: %s",
				lun->disk.path, strerror(-r));
	return 0;
}

static int restore_header(const struct csv_lun *lun, struct pair *p, const struct lun_text *text)
{
	int r = pair_read(lun, false, p);

	if (r || p->result)
		return lun_fail(text, r ? r : p->result, "%s: no good copy of the header: %s",
				lun->disk.path, strerror(r ? -r : -p->result));
	if (pair_is_equal(p))
		return 0;
	return write_copy(lun, p, p->copies.older,
			  p->buf + p->copies.newest * (size_t)CSV_RECORD_BYTES, text);
}

/* A damaged copy beside a good one is made blank: the next term is written there anyway. */
static int restore_term(const struct csv_lun *lun, struct pair *p, const struct lun_text *text)
{
	_cleanup_free_ void *blank = lun_buffer(CSV_RECORD_BYTES);
	enum csv_lun_copy copy[2];
	int r = blank ? pair_read(lun, true, p) : -ENOMEM;

	if (r)
		return lun_fail(text, r, "%s: the term record cannot be read: %s", lun->disk.path,
				strerror(-r));
	pair_report(p, copy);
	for (unsigned int i = 0; !r && i < 2; i++)
		if (copy[i] == CSV_LUN_COPY_DAMAGED)
			r = write_copy(lun, p, i, blank, text);
	return r;
}

int csv_lun_restore(struct csv_lun *lun, char *text, size_t text_size)
{
	const struct lun_text t = {text, text_size};
	_cleanup_free_ uint8_t *buf = lun_buffer(2 * (size_t)CSV_RECORD_BYTES);
	struct pair p = {.buf = buf};
	int r;

	if (!buf)
		return lun_fail(&t, -ENOMEM, "out of memory");
	if (!lun->disk.is_writable)
		return lun_fail(&t, -EBADF, "%s: opened for reading only", lun->disk.path);
	r = restore_header(lun, &p, &t);
	if (!r)
		r = restore_term(lun, &p, &t);
	if (!r && (gpt_copy(lun, LUN_GPT_FIRST) != CSV_LUN_COPY_GOOD ||
		   gpt_copy(lun, LUN_GPT_SECOND) != CSV_LUN_COPY_GOOD))
		r = lun_gpt_restore(&lun->disk, &t);
	return r;
}
