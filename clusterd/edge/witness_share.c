/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/witness_share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/crc32c.h"

#define NAME_HEADER   "clusterd-witness"
#define NAME_CLAIM    "clusterd-claim"
#define NAME_NODE     "clusterd-node-"
#define PATH_BYTES    320
#define OWNER_UNKNOWN (CL_NODE_NONE - 1)

static int fail(struct witness_answer *a, int r, const char *path, const char *what)
{
	snprintf(a->text, sizeof(a->text), "%.120s: %s: %s", path, what, strerror(-r));
	return r;
}

/* ---- files of one block */

static void path_of(const struct witness_share *s, const char *name, char ret[PATH_BYTES])
{
	snprintf(ret, PATH_BYTES, "%.255s/%s", s->path, name);
}

static void node_name(uint8_t slot, const char *suffix, char ret[40])
{
	snprintf(ret, 40, NAME_NODE "%02u%s", slot, suffix);
}

/* Not every file system knows O_DIRECT; the ones that cache need it least. */
static int open_block(const char *path, int flags)
{
	int fd = open(path, flags | O_DIRECT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 && errno == EINVAL)
		fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

static int read_block(struct witness_share *s, const char *name)
{
	char path[PATH_BYTES];
	int fd, r = 0;
	ssize_t n;

	path_of(s, name, path);
	fd = open_block(path, O_RDONLY);
	if (fd < 0)
		return fd;
	n = pread(fd, s->block, WITNESS_BLOCK, 0);
	if (n != WITNESS_BLOCK)
		r = n < 0 ? -errno : -EIO;
	close(fd);
	return r;
}

/* A server may tell only at the end that there was no room. */
static int write_block(const struct witness_share *s, const char *name, int flags)
{
	char path[PATH_BYTES];
	int fd, r = 0;
	ssize_t n;

	path_of(s, name, path);
	fd = open_block(path, O_WRONLY | O_DSYNC | flags);
	if (fd < 0)
		return fd;
	n = pwrite(fd, s->block, WITNESS_BLOCK, 0);
	if (n != WITNESS_BLOCK)
		r = n < 0 ? -errno : -EIO;
	if (fsync(fd) && !r)
		r = -errno;
	if (close(fd) && !r)
		r = -errno;
	return r;
}

static int sync_folder(const struct witness_share *s)
{
	_cleanup_close_ int fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* Where a folder cannot be synced, its server has done so before it answered. */
	return fsync(fd) && errno != EINVAL ? -errno : 0;
}

/* The old content or the new one, whatever happens in between. */
static int replace_block(const struct witness_share *s, const char *name, const char *temporary)
{
	char from[PATH_BYTES], to[PATH_BYTES];
	int r = write_block(s, temporary, O_CREAT | O_TRUNC);

	if (r)
		return r;
	path_of(s, temporary, from);
	path_of(s, name, to);
	if (rename(from, to))
		return -errno;
	return sync_folder(s);
}

/* ---- what it is */

void witness_share_forget(struct witness_share *s)
{
	s->is_known = false;
}

static int look(struct witness_share *s, struct witness_answer *a)
{
	struct stat st;
	int r = stat(s->path, &st) ? -errno : 0;

	if (r)
		return fail(a, r, s->path, "cannot be looked at");
	if (!S_ISDIR(st.st_mode))
		return fail(a, -ENOTDIR, s->path, "is no folder");
	r = read_block(s, NAME_HEADER);
	if (r == -ENOENT)
		return fail(a, r, s->path, "is no witness (is the share mounted?)");
	if (r)
		return fail(a, r, s->path, NAME_HEADER " cannot be read");
	r = witness_share_header_decode(s->block, &s->header);
	if (r)
		return fail(a, r, s->path, NAME_HEADER " is none of this version");
	s->is_known = true;
	a->header = s->header;
	return 0;
}

static int ready(struct witness_share *s, struct witness_answer *a)
{
	return s->is_known ? 0 : look(s, a);
}

/* ---- the claim */

static int claim_read(struct witness_share *s, struct witness_answer *a)
{
	int r = ready(s, a);

	if (!r)
		r = read_block(s, NAME_CLAIM);
	if (r)
		return r;
	r = witness_claim_decode(s->block, &s->header.id, &a->record);
	if (r == -ENODATA) {
		a->record = (struct claim_record){.owner = CL_NODE_NONE};
		r = 0;
	}
	/* Torn: somebody's, whose it is not known. It is watched like any other. */
	if (r == -EBADMSG) {
		a->record = (struct claim_record){.owner = OWNER_UNKNOWN,
						  .nonce = crc32c(0, s->block, WITNESS_BLOCK)};
		r = 0;
	}
	return r;
}

static int claim_write(struct witness_share *s, const struct witness_request *q,
		       struct witness_answer *a)
{
	int r = ready(s, a);

	if (r)
		return r;
	witness_claim_encode(&q->record, &s->header.id, s->block);
	return write_block(s, NAME_CLAIM, 0);
}

/* ---- the nodes' files */

static int node_read(struct witness_share *s, uint8_t slot, struct witness_share_file *ret)
{
	char name[40];
	int r;

	node_name(slot, "", name);
	r = read_block(s, name);
	return r ? r : witness_share_decode(s->block, &s->header.id, ret);
}

/* A file that is missing or damaged might have been the one in force: then nothing is known. */
static int scan(struct witness_share *s, struct witness_answer *a)
{
	int r = ready(s, a);

	for (uint8_t slot = 0; slot < CL_MAX_NODES && !r; slot++) {
		struct witness_share_file f = {0};
		char what[80];

		r = node_read(s, slot, &f);
		if (r) {
			snprintf(what, sizeof(what), NAME_NODE "%02u cannot be read", slot);
			return fail(a, r, s->path, what);
		}
		if (f.promised > a->floor)
			a->floor = f.promised;
		if (witness_set_compare(&f.set, &a->set) > 0)
			a->set = f.set;
	}
	return r;
}

/* Until a process that is not gone yet has ended, its writes may come. */
static int lock(struct witness_share *s)
{
	int fd;

	if (s->lock_fd >= 0)
		return 0;
	fd = open(s->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		int r = errno == EWOULDBLOCK ? -EBUSY : -errno;

		close(fd);
		return r;
	}
	s->lock_fd = fd;
	return 0;
}

static bool same_file(const struct witness_share_file *a, const struct witness_share_file *b)
{
	return a->promised == b->promised && !witness_set_compare(&a->set, &b->set) &&
	       a->set.members == b->set.members;
}

/* The promise, or with it the set: written, read back with those of all others. */
static int node_write(struct witness_share *s, const struct witness_request *q,
		      struct witness_answer *a)
{
	struct witness_share_file f = {0}, back = {0};
	char name[40], temporary[40];
	int r = ready(s, a);

	node_name(s->slot, "", name);
	node_name(s->slot, ".new", temporary);
	r = r ? r : lock(s);
	if (!r)
		r = node_read(s, s->slot, &f);
	if (r)
		return fail(a, r, s->path, "this node's file cannot be read");
	if (q->number > f.promised)
		f.promised = q->number;
	if (q->op == WITNESS_OP_RECORD)
		f.set = q->set;
	witness_share_encode(&f, &s->header.id, s->block);
	r = replace_block(s, name, temporary);
	if (r)
		return fail(a, r, s->path, "this node's file cannot be written");
	r = scan(s, a);
	if (!r)
		r = node_read(s, s->slot, &back);
	if (!r && !same_file(&f, &back))
		r = -EIO;
	return r ? fail(a, r, s->path, "what was written does not come back") : 0;
}

/* ---- making one */

/* What stands there already may be of another cluster. */
static int look_free(struct witness_share *s, const struct witness_header *h)
{
	struct witness_header old;
	int r = read_block(s, NAME_HEADER);

	if (r == -ENOENT)
		return 0;
	if (r)
		return r;
	if (witness_share_header_decode(s->block, &old) ||
	    memcmp(old.cluster.byte, h->cluster.byte, sizeof(h->cluster.byte)) != 0)
		return -EEXIST;
	return 0;
}

/* The header comes last: before it everything of its id is there. */
static int format(struct witness_share *s, const struct witness_request *q,
		  struct witness_answer *a)
{
	struct witness_share_file none = {0};
	struct stat st;
	int r = stat(s->path, &st) ? -errno : 0;

	if (r)
		return fail(a, r, s->path, "cannot be looked at");
	if (!S_ISDIR(st.st_mode))
		return fail(a, -ENOTDIR, s->path, "is no folder");
	r = look_free(s, &q->header);
	if (r == -EEXIST)
		return fail(a, r, s->path, NAME_HEADER " there is of another cluster");
	for (uint8_t slot = 0; slot < CL_MAX_NODES && !r; slot++) {
		char name[40], temporary[40];

		node_name(slot, "", name);
		node_name(slot, ".new", temporary);
		witness_share_encode(&none, &q->header.id, s->block);
		r = replace_block(s, name, temporary);
	}
	memset(s->block, 0, WITNESS_BLOCK);
	r = r ? r : replace_block(s, NAME_CLAIM, NAME_CLAIM ".new");
	witness_header_encode(&q->header, s->block);
	r = r ? r : replace_block(s, NAME_HEADER, NAME_HEADER ".new");
	return r ? fail(a, r, s->path, "cannot be written") : look(s, a);
}

int witness_share_serve(struct witness_share *s, const struct witness_request *q,
			struct witness_answer *a)
{
	switch (q->op) {
	case WITNESS_OP_LOOK:
		return look(s, a);
	case WITNESS_OP_FORMAT:
		return format(s, q, a);
	case WITNESS_OP_READ:
		return claim_read(s, a);
	case WITNESS_OP_WRITE:
		return claim_write(s, q, a);
	case WITNESS_OP_SCAN:
		return scan(s, a);
	case WITNESS_OP_PROMISE:
	case WITNESS_OP_RECORD:
		return node_write(s, q, a);
	case WITNESS_OP_FETCH:
	case WITNESS_OP_COPY:
	case WITNESS_OP_APPEND:
	case WITNESS_OP_MAX:
		break;
	}
	return -EINVAL;
}
