/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a LUN carries before it is formatted, by libblkid: superblocks and partition tables on the
 * whole and at the place of the data partition, also those with a wrong checksum. And their end.
 */
#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "csvfs/edge/lun_impl.h"
#include "lib/cleanup.h"

#define PROBE_ROUNDS_MAX 64 /* signatures of one place; each is taken off once */

/* NULL: no memory, or not readable. bytes 0: all. */
static blkid_probe probe_new(int fd, struct lun_range r)
{
	blkid_probe pr = blkid_new_probe();

	if (!pr)
		return NULL;
	if (blkid_probe_set_device(pr, fd, (blkid_loff_t)r.start, (blkid_loff_t)r.bytes) ||
	    blkid_probe_enable_superblocks(pr, 1) ||
	    blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL |
							  BLKID_SUBLKS_UUID | BLKID_SUBLKS_MAGIC |
							  BLKID_SUBLKS_BADCSUM) ||
	    blkid_probe_enable_partitions(pr, 1) ||
	    blkid_probe_set_partitions_flags(pr, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT)) {
		blkid_free_probe(pr);
		return NULL;
	}
	return pr;
}

static const char *value(blkid_probe pr, const char *name)
{
	const char *v;

	return blkid_probe_lookup_value(pr, name, &v, NULL) ? NULL : v;
}

/* Another thing, unless one with this id is known; more than fit are as good as the last. */
__attribute__((format(printf, 3, 4))) static void add(struct lun_carried *c, const char *id,
						      const char *fmt, ...)
{
	struct lun_found *f;
	va_list ap;

	for (unsigned int i = 0; i < c->count; i++)
		if (!strcmp(c->found[i].id, id))
			return;
	if (c->count == LUN_FOUND_MAX)
		return;
	f = &c->found[c->count++];
	snprintf(f->id, sizeof(f->id), "%s", id);
	va_start(ap, fmt);
	vsnprintf(f->about, sizeof(f->about), fmt, ap);
	va_end(ap);
}

static void add_superblock(struct lun_carried *c, blkid_probe pr, const char *where)
{
	const char *type = value(pr, "TYPE"), *label = value(pr, "LABEL"), *id = value(pr, "UUID");

	add(c, type, "%s%s%s%s%s%s%s", where, label || id ? " (" : "", label ? "label " : "",
	    label ? label : "", label && id ? ", " : "", id ? id : "", label || id ? ")" : "");
}

/* By a probe of its own: asking for the list ends a search that is under way. */
static int count_partitions(int fd, struct lun_range r)
{
	blkid_probe pr = probe_new(fd, r);
	blkid_partlist list = pr ? blkid_probe_get_partitions(pr) : NULL;
	int n = list ? blkid_partlist_numof_partitions(list) : 0;

	blkid_free_probe(pr);
	return n;
}

static void add_table(struct lun_carried *c, blkid_probe pr, const char *where, int partitions)
{
	const char *id = value(pr, "PTUUID");

	add(c, value(pr, "PTTYPE"), "%s (partitions: %d%s%s)", where, partitions, id ? ", " : "",
	    id ? id : "");
}

static int probe_range(int fd, struct lun_range r, const char *where, struct lun_carried *c)
{
	blkid_probe pr = probe_new(fd, r);
	int e = 1;

	if (!pr)
		return -ENOMEM;
	for (int i = 0; i < PROBE_ROUNDS_MAX; i++) {
		e = blkid_do_probe(pr);
		if (e)
			break;
		if (value(pr, "TYPE"))
			add_superblock(c, pr, where);
		if (value(pr, "PTTYPE"))
			add_table(c, pr, where, count_partitions(fd, r));
	}
	blkid_free_probe(pr);
	return e < 0 ? -EIO : 0;
}

static int probe_all(const struct lun_disk *d, struct lun_range data, struct lun_carried *c)
{
	_cleanup_close_ int fd = lun_disk_reopen(d, O_RDONLY);
	char where[64];
	int r;

	if (fd < 0)
		return fd;
	r = probe_range(fd, (struct lun_range){0, 0}, "on the whole of it", c);
	if (r)
		return r;
	snprintf(where, sizeof(where), "at %" PRIu64 " MiB of it", data.start >> 20);
	return probe_range(fd, data, where, c);
}

/* One of ours: then table and XFS belong to it and are not named apart. */
static bool probe_volume(const struct lun_disk *d, struct lun_carried *c)
{
	char id[96], reason[CSV_LUN_TEXT_MAX];
	struct lun_table t = {0};
	struct csv_lun *lun;
	int r;

	if (lun_gpt_read(d, LUN_GPT_FIRST | LUN_GPT_SECOND, &t) || (!t.has_control && !t.has_data))
		return false;
	r = csv_lun_open(d->path, false, &lun, reason, sizeof(reason));
	if (r) {
		add(c, "csv", "(a volume that cannot be opened: %s)", reason);
		return true;
	}
	snprintf(id, sizeof(id), "csv:%s", csv_lun_name(lun));
	add(c, id, "(a volume of a cluster, perhaps in use on other nodes)");
	csv_lun_close(lun);
	return true;
}

int lun_probe(const struct lun_disk *d, struct lun_range data, struct lun_carried *ret)
{
	struct lun_carried c = {0};
	int r = 0;

	if (!probe_volume(d, &c))
		r = probe_all(d, data, &c);
	if (!r)
		*ret = c;
	return r;
}

/* ---- consent */

/* "gpt,xfs" for people and for --overwrite. */
static void join(const struct lun_carried *c, bool is_long, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = 0;
	for (unsigned int i = 0; i < c->count && used < size; i++) {
		const char *between = i ? (is_long ? "; " : ",") : "";
		int n = is_long ? snprintf(buf + used, size - used, "%s%s %s", between,
					   c->found[i].id, c->found[i].about)
				: snprintf(buf + used, size - used, "%s%s", between,
					   c->found[i].id);

		used += n > 0 ? (size_t)n : 0;
	}
}

static bool is_named(const char *list, const char *id)
{
	size_t n = strlen(id);

	for (; *list; list += strcspn(list, ","), list += *list == ',')
		if (strcspn(list, ",") == n && !memcmp(list, id, n))
			return true;
	return false;
}

static bool is_found(const struct lun_carried *c, const char *word, size_t n)
{
	for (unsigned int i = 0; i < c->count; i++)
		if (strlen(c->found[i].id) == n && !memcmp(c->found[i].id, word, n))
			return true;
	return false;
}

/* Everything found is named, and everything named is found. */
static bool is_consent(const struct lun_carried *c, const char *list)
{
	for (unsigned int i = 0; i < c->count; i++)
		if (!is_named(list, c->found[i].id))
			return false;
	for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
		if (!is_found(c, p, strcspn(p, ",")))
			return false;
	return true;
}

int lun_probe_allows(const struct lun_disk *d, const struct lun_carried *c, const char *overwrite,
		     const struct lun_text *text)
{
	char what[512], ids[256];

	if (is_consent(c, overwrite ? overwrite : ""))
		return 0;
	if (!c->count)
		return lun_fail(text, -EEXIST,
				"%s carries nothing that is known, and --overwrite=%s was said: is "
				"this the right LUN? If so, leave --overwrite out",
				d->path, overwrite);
	join(c, true, what, sizeof(what));
	join(c, false, ids, sizeof(ids));
	return lun_fail(text, -EEXIST,
			"%s carries %s%s%s%s: nothing was changed; if all that may be lost, say "
			"--overwrite=%s",
			d->path, what, overwrite ? ", which is not what --overwrite=" : "",
			overwrite ? overwrite : "", overwrite ? " says" : "", ids);
}

/* ---- wiping */

/* keeps: NULL, or a kind of superblock to leave where it is. */
static int wipe_range(int fd, struct lun_range r, char *keeps)
{
	char *names[] = {keeps, NULL};
	blkid_probe pr = probe_new(fd, r);
	int e = 1;

	if (!pr)
		return -ENOMEM;
	if (keeps)
		blkid_probe_filter_superblocks_type(pr, BLKID_FLTR_NOTIN, names);
	for (int i = 0; i < PROBE_ROUNDS_MAX; i++) {
		e = blkid_do_probe(pr);
		if (e)
			break;
		if (blkid_do_wipe(pr, 0)) {
			e = -1;
			break;
		}
	}
	blkid_free_probe(pr);
	return e == 1 ? 0 : -EIO;
}

int lun_wipe(const struct lun_disk *d, struct lun_range data, const struct lun_text *text)
{
	_cleanup_close_ int fd = lun_disk_reopen(d, O_RDWR);
	char xfs[] = "xfs";
	int r = fd < 0 ? fd : wipe_range(fd, (struct lun_range){0, 0}, NULL);

	/* mkfs.xfs removes the copies of an old superblock if it can read that. */
	if (!r)
		r = wipe_range(fd, data, xfs);
	if (!r && fsync(fd) < 0)
		r = -errno;
	if (r)
		return lun_fail(text, r,
				"%s: old signatures cannot be removed: %s; it may have lost some "
				"of what it carried",
				d->path, strerror(-r));
	return 0;
}
