/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that reads and writes a witness; a share's files are in witness_share.c: everything
 * here may block for as long as the disk does. It ends when clusterd closes the socket, as soon as
 * its I/O lets it. All I/O is direct and durable (O_DSYNC), in blocks of WITNESS_BLOCK bytes.
 *
 * An area has two halves. A copy of the whole history goes into the half that is not in use, then a
 * head names it: a copy that fails leaves the one before. Entries are appended behind what the head
 * names, then the head names them too; the block in which they begin is written anew with the same
 * bytes before them. A history is a chain of frames, u32 length and bulk_encode()'s bytes: the
 * first holds a snapshot and entries or entries from the first, each other one more entries.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clusterd/edge/bulk.h"
#include "clusterd/edge/witness_link.h"
#include "clusterd/edge/witness_share.h"
#include "lib/cleanup.h"
#include "lib/crc32c.h"
#include "lib/must.h"
#include "lib/wire.h"

#define CHUNK	      (1u << 20)
#define OWNER_UNKNOWN (CL_NODE_NONE - 1)
#define LOCK_BYTES    1 /* of the device file, at the slot: one writer of an area */

struct disk {
	const char *path, *db_path, *file;
	uint8_t slot;
	int fd; /* -1: not open */
	bool is_locked;
	struct witness_header header;
	uint8_t *buf; /* aligned, CHUNK bytes */
};

static int fail(struct witness_answer *a, int r, const char *path, const char *what)
{
	snprintf(a->text, sizeof(a->text), "%.120s: %s: %s", path, what, strerror(-r));
	return r;
}

/* ---- blocks */

static int read_at(struct disk *d, uint64_t at, size_t len)
{
	ssize_t n = pread(d->fd, d->buf, len, (off_t)at);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

static int write_at(struct disk *d, uint64_t at, size_t len)
{
	ssize_t n = pwrite(d->fd, d->buf, len, (off_t)at);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

static void disk_close(struct disk *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	d->is_locked = false;
}

static int disk_size(const struct disk *d, uint64_t *ret)
{
	struct stat st;
	uint64_t bytes;

	if (fstat(d->fd, &st))
		return -errno;
	if (S_ISREG(st.st_mode))
		bytes = (uint64_t)st.st_size;
	else if (!S_ISBLK(st.st_mode))
		return -ENOTBLK;
	else if (ioctl(d->fd, BLKGETSIZE64, &bytes))
		return -errno;
	*ret = bytes;
	return 0;
}

static int disk_open(struct disk *d)
{
	if (d->fd >= 0)
		return 0;
	d->fd = open(d->path, O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
	return d->fd < 0 ? -errno : 0;
}

static int look(struct disk *d, struct witness_answer *a)
{
	uint64_t bytes = 0;
	int r = disk_open(d);

	if (r)
		return fail(a, r, d->path, "cannot be opened");
	r = disk_size(d, &bytes);
	if (!r)
		r = read_at(d, WITNESS_HEADER_AT, WITNESS_BLOCK);
	if (r)
		return fail(a, r, d->path, "cannot be read");
	r = witness_header_decode(d->buf, &d->header);
	if (r == -ENODATA)
		return fail(a, r, d->path, "is no witness: it is blank");
	if (r)
		return fail(a, r, d->path, "is no witness of this version");
	if (bytes < d->header.bytes)
		return fail(a, -EIO, d->path, "is smaller than when it was made a witness");
	a->header = d->header;
	return 0;
}

/* What the record and the areas bear; the disk may be another one by now. */
static int ready(struct disk *d, struct witness_answer *a)
{
	return d->fd >= 0 ? 0 : look(d, a);
}

/* ---- making one */

static bool is_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i])
			return false;
	}
	return true;
}

/* Neither the begin nor the end of the disk has anything: what we know of keeps its table there. */
static int look_blank(struct disk *d, uint64_t bytes)
{
	uint64_t last = (bytes - CHUNK) & ~(uint64_t)(WITNESS_BLOCK - 1);
	int r = read_at(d, 0, CHUNK);

	if (!r && !is_zero(d->buf, CHUNK))
		return -EEXIST;
	if (!r)
		r = read_at(d, last, CHUNK);
	return r ? r : is_zero(d->buf, CHUNK) ? 0 : -EEXIST;
}

static int format(struct disk *d, const struct witness_request *q, struct witness_answer *a)
{
	struct witness_header h = q->header, old;
	int r = disk_open(d);

	if (r)
		return fail(a, r, d->path, "cannot be opened");
	r = disk_size(d, &h.bytes);
	if (r)
		return fail(a, r, d->path, "is no block device");
	if (h.bytes < WITNESS_BYTES_MIN)
		return fail(a, -ENOSPC, d->path, "has less than the 64 MiB of a witness");
	r = read_at(d, WITNESS_HEADER_AT, WITNESS_BLOCK);
	if (r)
		return fail(a, r, d->path, "cannot be read");
	/* One of this cluster is made anew: its areas bear the old id, and count no more. */
	if (witness_header_decode(d->buf, &old) ||
	    memcmp(old.cluster.byte, h.cluster.byte, sizeof(h.cluster.byte)) != 0)
		r = look_blank(d, h.bytes);
	if (r == -EEXIST)
		return fail(a, r, d->path,
			    "carries something that is no witness of this cluster; wipe it "
			    "(wipefs -a, blkdiscard -z) if nobody needs that");
	if (r)
		return fail(a, r, d->path, "cannot be read");
	witness_header_encode(&h, d->buf);
	r = write_at(d, WITNESS_HEADER_AT, WITNESS_BLOCK);
	if (r)
		return fail(a, r, d->path, "cannot be written");
	return look(d, a);
}

/* ---- the record */

static int record_read(struct disk *d, struct witness_answer *a)
{
	int r = ready(d, a);

	if (!r)
		r = read_at(d, WITNESS_CLAIM_AT, WITNESS_BLOCK);
	if (r)
		return r;
	r = witness_claim_decode(d->buf, &d->header.id, &a->record);
	/* Blank, or of the witness that this disk was before: never claimed. */
	if (r == -ENODATA || r == -ESTALE) {
		a->record = (struct claim_record){.owner = CL_NODE_NONE};
		r = 0;
	}
	/* Torn: somebody's, whose it is not known. It is watched like any other before it is taken.
	 */
	if (r == -EBADMSG) {
		a->record = (struct claim_record){.owner = OWNER_UNKNOWN,
						  .nonce = crc32c(0, d->buf, WITNESS_BLOCK)};
		r = 0;
	}
	return r;
}

static int record_write(struct disk *d, const struct witness_request *q, struct witness_answer *a)
{
	int r = ready(d, a);

	if (r)
		return r;
	witness_claim_encode(&q->record, &d->header.id, d->buf);
	return write_at(d, WITNESS_CLAIM_AT, WITNESS_BLOCK);
}

/* ---- heads of areas */

/* The head in force and, in *ret_copy, the place for the next one. */
static int head_read(struct disk *d, uint8_t slot, struct witness_head *ret, uint8_t *ret_copy)
{
	struct witness_head best = {0}, h;

	*ret_copy = 0;
	for (uint8_t copy = 0; copy < 2; copy++) {
		int r = read_at(d, witness_head_at(d->header.bytes, slot, copy), WITNESS_BLOCK);

		if (r)
			return r;
		r = witness_head_decode(d->buf, &d->header.id, &h);
		if (r == -EPROTO)
			return r;
		if (r || h.generation <= best.generation)
			continue; /* blank, torn, or the older one */
		best = h;
		*ret_copy = (uint8_t)!copy;
	}
	*ret = best;
	return 0;
}

static int head_write(struct disk *d, struct witness_head *h, uint8_t copy)
{
	h->generation++;
	witness_head_encode(h, &d->header.id, d->buf);
	return write_at(d, witness_head_at(d->header.bytes, d->slot, copy), WITNESS_BLOCK);
}

static int scan(struct disk *d, struct witness_answer *a)
{
	int r = ready(d, a);

	a->best_slot = CL_NODE_NONE;
	for (uint8_t slot = 0; slot < CL_MAX_NODES && !r; slot++) {
		struct witness_head h;
		uint8_t copy;

		r = head_read(d, slot, &h, &copy);
		if (r || !h.generation)
			continue;
		if (h.promised > a->floor)
			a->floor = h.promised;
		if (a->best_slot != CL_NODE_NONE && cl_pos_compare(&h.end, &a->best) <= 0)
			continue;
		a->best = h.end;
		a->best_slot = slot;
	}
	return r;
}

/* ---- histories */

static size_t blocks_of(uint64_t bytes)
{
	return (size_t)((bytes + WITNESS_BLOCK - 1) & ~(uint64_t)(WITNESS_BLOCK - 1));
}

/* Reads `bytes` of a half; checks them. The result is owned by the caller. */
static int half_read(struct disk *d, uint8_t slot, const struct witness_head *h, uint8_t **ret)
{
	uint64_t at = witness_half_at(d->header.bytes, slot, h->half);
	uint8_t *all = malloc(h->bytes ? h->bytes : 1);
	int r = all ? 0 : -ENOMEM;

	for (uint64_t done = 0; done < h->bytes && !r; done += CHUNK) {
		uint64_t n = h->bytes - done < CHUNK ? h->bytes - done : CHUNK;

		r = read_at(d, at + done, blocks_of(n));
		if (!r)
			memcpy(all + done, d->buf, n);
	}
	if (!r && crc32c(0, all, h->bytes) != h->checksum)
		r = -EBADMSG;
	if (r) {
		free(all);
		return r;
	}
	*ret = all;
	return 0;
}

/* Writes bytes at `offset` of a half, whose block there already holds `tail` before them. */
static int half_write(struct disk *d, uint8_t half, uint64_t offset, const uint8_t *tail,
		      const uint8_t *bytes, size_t len)
{
	uint64_t at = witness_half_at(d->header.bytes, d->slot, half);
	size_t lead = offset % WITNESS_BLOCK, done = 0;
	int r = 0;

	if (offset + len > witness_half_bytes(d->header.bytes))
		return -ENOSPC;
	at += offset - lead;
	while (done < len && !r) {
		size_t n = len - done < CHUNK - lead ? len - done : CHUNK - lead;

		memset(d->buf, 0, blocks_of(lead + n));
		memcpy(d->buf, tail, lead);
		memcpy(d->buf + lead, bytes + done, n);
		r = write_at(d, at, blocks_of(lead + n));
		at += lead + n; /* a multiple of the block, or the end */
		done += n;
		lead = 0;
	}
	return r;
}

static int fetch(struct disk *d, const struct witness_request *q, struct witness_answer *a)
{
	_cleanup_free_ uint8_t *all = NULL;
	_cleanup_close_ int fd = -1;
	struct witness_head h = {0};
	uint8_t copy;
	int r = ready(d, a);

	if (!r)
		r = head_read(d, q->slot, &h, &copy);
	if (!r)
		r = half_read(d, q->slot, &h, &all);
	if (r)
		return fail(a, r, d->path, "the history on it cannot be read");
	fd = open(d->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, all, h.bytes) != (ssize_t)h.bytes)
		return fail(a, -EIO, d->file, "cannot be written");
	return 0;
}

/* Until a process that is not gone yet has ended, its writes may come. */
static int lock(struct disk *d)
{
	struct flock l = {.l_type = F_WRLCK,
			  .l_whence = SEEK_SET,
			  .l_start = d->slot * LOCK_BYTES,
			  .l_len = LOCK_BYTES};

	if (d->is_locked)
		return 0;
	if (fcntl(d->fd, F_OFD_SETLK, &l))
		return errno == EAGAIN ? -EBUSY : -errno;
	d->is_locked = true;
	return 0;
}

/* Our history from `after` on, framed. With 0: all of it. */
static int own_history(struct disk *d, const struct cl_pos *after, uint8_t **ret, size_t *ret_len,
		       struct cl_pos *end)
{
	struct bulk_result all = {0};
	uint8_t *body = NULL, *frame;
	struct wire_writer w;
	size_t len = 0;
	int r = store_read(d->db_path, after->index, &after->epoch, &all.cluster, &all.table,
			   &all.snapshot, &all.log);

	if (r)
		return r;
	if (all.log.count)
		*end = (struct cl_pos){all.log.entry[all.log.count - 1].epoch,
				       all.log.entry[all.log.count - 1].index};
	else if (!all.snapshot.bytes || all.snapshot.index != end->index)
		r = -ESTALE; /* it ends with a snapshot, and it is not the one that is asked for */
	if (after->index &&
	    (all.snapshot.bytes || !all.log.count || all.log.entry[0].index != after->index + 1))
		r = -ESTALE; /* the log does not reach back so far any more */
	if (!r)
		r = bulk_encode(&all, &body, &len);
	bulk_result_clear(&all);
	if (r)
		return r;
	frame = malloc(len + 4);
	must(frame);
	wire_writer_init(&w, frame, len + 4);
	wire_put_bytes(&w, body, len);
	must(!wire_writer_end(&w, ret_len));
	free(body);
	*ret = frame;
	return 0;
}

static int copy_all(struct disk *d, const struct witness_request *q, struct witness_answer *a)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	struct witness_head h = {0};
	struct cl_pos none = {0}, end = q->end;
	uint8_t copy = 0;
	size_t len = 0;
	int r = ready(d, a);

	r = r ? r : lock(d);
	if (!r)
		r = head_read(d, d->slot, &h, &copy);
	if (!r)
		r = own_history(d, &none, &bytes, &len, &end);
	if (!r)
		r = half_write(d, !h.half, 0, NULL, bytes, len);
	if (r == -ENOSPC)
		return fail(a, r, d->path, "is too small for this database");
	if (r)
		return fail(a, r, d->path, "the history cannot be copied to it");
	h.half = !h.half;
	h.bytes = len;
	h.checksum = crc32c(0, bytes, len);
	h.end = end;
	h.promised = q->number > h.promised ? q->number : h.promised;
	r = head_write(d, &h, copy);
	a->copied = end.index;
	return r ? fail(a, r, d->path, "the head cannot be written") : 0;
}

static int append(struct disk *d, const struct witness_request *q, struct witness_answer *a)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	uint8_t tail[WITNESS_BLOCK];
	struct witness_head h = {0};
	struct cl_pos end = {0};
	uint8_t copy = 0;
	size_t len = 0, lead;
	int r = ready(d, a);

	r = r ? r : lock(d);
	if (!r)
		r = head_read(d, d->slot, &h, &copy);
	if (!r && h.end.index != q->after)
		r = -ESTALE;
	if (!r)
		r = own_history(d, &h.end, &bytes, &len, &end);
	lead = h.bytes % WITNESS_BLOCK;
	if (!r && lead) {
		r = read_at(d, witness_half_at(d->header.bytes, d->slot, h.half) + h.bytes - lead,
			    WITNESS_BLOCK);
		memcpy(tail, d->buf, lead);
	}
	if (!r)
		r = half_write(d, h.half, h.bytes, tail, bytes, len);
	if (r)
		return fail(a, r, d->path, "entries cannot be appended to its history");
	h.checksum = crc32c(h.checksum, bytes, len);
	h.bytes += len;
	h.end = end;
	r = head_write(d, &h, copy);
	a->copied = end.index;
	return r ? fail(a, r, d->path, "the head cannot be written") : 0;
}

/* ---- requests */

static int serve(struct disk *d, const struct witness_request *q, struct witness_answer *a)
{
	switch (q->op) {
	case WITNESS_OP_LOOK:
		return look(d, a);
	case WITNESS_OP_FORMAT:
		return format(d, q, a);
	case WITNESS_OP_READ:
		return record_read(d, a);
	case WITNESS_OP_WRITE:
		return record_write(d, q, a);
	case WITNESS_OP_SCAN:
		return scan(d, a);
	case WITNESS_OP_FETCH:
		return fetch(d, q, a);
	case WITNESS_OP_COPY:
		return copy_all(d, q, a);
	case WITNESS_OP_APPEND:
		return append(d, q, a);
	case WITNESS_OP_PROMISE: /* of a share */
	case WITNESS_OP_RECORD:
	case WITNESS_OP_MAX:
		break;
	}
	return -EINVAL;
}

/* One request, answered. False: the socket is at its end. */
static bool serve_one(struct disk *d, struct witness_share *s)
{
	uint8_t buf[WITNESS_LINK_MAX];
	struct witness_answer a = {0};
	struct witness_request q;
	ssize_t n = recv(STDIN_FILENO, buf, sizeof(buf), 0);

	if (n <= 0 || witness_request_decode(buf, (size_t)n, &q))
		return false;
	a.r = q.is_share ? witness_share_serve(s, &q, &a) : serve(d, &q, &a);
	if (a.r && !a.text[0])
		fail(&a, a.r, d->path, witness_op_name(q.op));
	if (a.r) { /* it may be another one when it is back */
		disk_close(d);
		witness_share_forget(s);
	}
	return send(STDIN_FILENO, buf, witness_answer_encode(&a, buf), MSG_NOSIGNAL) >= 0;
}

int witness_io_main(int argc, char **argv)
{
	struct disk d = {.fd = -1};
	struct witness_share s = {.lock_fd = -1};
	char lock_path[300];

	if (argc != 4)
		return 2;
	s.path = d.path = argv[0];
	d.db_path = argv[1];
	s.slot = d.slot = (uint8_t)atoi(argv[2]);
	d.file = argv[3];
	if (d.slot >= CL_MAX_NODES)
		return 2;
	snprintf(lock_path, sizeof(lock_path), "%s.lock", d.file);
	s.lock = lock_path;
	s.block = d.buf = aligned_alloc(WITNESS_BLOCK, CHUNK);
	must(d.buf);
	while (serve_one(&d, &s))
		continue;
	disk_close(&d);
	free(d.buf);
	return 0;
}
