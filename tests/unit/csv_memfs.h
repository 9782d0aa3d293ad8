/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A coordinator in memory: a few inodes, one connection at a time, requests one after the other.
 * It remembers what a test asks about, and can be told to hold a reply back or to lie once.
 */
#ifndef TESTS_UNIT_CSV_MEMFS_H
#define TESTS_UNIT_CSV_MEMFS_H

#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "tests/unit/csv_server.h"

#define MEM_NODES 2048
#define MEM_BYTES (4 * 1024 * 1024)
#define MEM_ROOT  1 /* index; ino is index + 127 */
#define MEM_TERM  3

struct mem_node {
	uint32_t past; /* files that were here before: of their handles none comes again */
	struct csv_attr attr;
	uint8_t *data; /* contents, or target of a link */
	uint32_t opens;
	char xattr_name[64], xattr[64];
	size_t xattr_len;
	uint64_t parent; /* index of the folder it is in; 0: nowhere */
	char name[CSV_NAME_MAX];
};

struct memfs {
	struct server server;
	struct server_conn conn;
	pthread_t thread;
	uint16_t port;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct mem_node node[MEM_NODES];
	struct csv_request last[CSV_OP_END]; /* of each kind; bytes are gone */
	uint64_t count[CSV_OP_END];
	size_t max_write, max_read, max_resends;
	unsigned int connections, goodbyes, reclaims;
	enum csv_op hold;	/* these are not executed while it is set */
	enum csv_op hold_reply; /* these are, and not answered */
	bool is_held;		/* such a request is there */
	enum csv_op break_at;	/* the connection ends after such a request, once */
	const char *hidden;	/* LOOKUP says once that it is not there */
	unsigned int hides;	/* or so often */
	bool is_ending;
	/* Of each slot the last that was executed: it is not executed again. */
	struct csv_request done[CSV_SLOTS];
	struct csv_reply reply[CSV_SLOTS];
	uint64_t repeats;
	uint16_t lock_error;	     /* what LOCK says */
	struct csv_reply_lock found; /* what GETLOCK says */
};

static inline struct mem_node *mem_at(struct memfs *m, const struct csv_handle *h)
{
	uint64_t i = h->ino - 127;

	return h->ino > 127 && i < MEM_NODES && m->node[i].attr.nlink + m->node[i].opens &&
			       h->gen == m->node[i].past + 1
		       ? &m->node[i]
		       : NULL;
}

static inline struct csv_handle mem_handle(struct memfs *m, const struct mem_node *n)
{
	return (struct csv_handle){(uint64_t)(n - m->node) + 127, n->past + 1};
}

static inline struct mem_node *mem_find(struct memfs *m, const struct csv_handle *dir,
					const char *name)
{
	for (size_t i = MEM_ROOT + 1; i < MEM_NODES; i++) {
		if (m->node[i].parent == dir->ino - 127 && m->node[i].attr.nlink &&
		    !strcmp(m->node[i].name, name))
			return &m->node[i];
	}
	return NULL;
}

static inline struct mem_node *mem_make(struct memfs *m, const struct csv_request *q,
					const struct csv_handle *dir, const char *name,
					uint32_t mode)
{
	struct mem_node *n = &m->node[MEM_ROOT];

	while (n->attr.nlink || n->opens)
		must(++n < m->node + MEM_NODES);
	free(n->data);
	*n = (struct mem_node){.past = n->attr.ino ? n->past + 1 : 0,
			       .parent = dir->ino - 127,
			       .attr = {.ino = mem_handle(m, n).ino,
					.mode = mode & ~(S_ISLNK(mode) ? 0 : q->caller.umask),
					.nlink = S_ISDIR(mode) ? 2 : 1,
					.uid = q->caller.uid,
					.gid = q->caller.gid,
					.blksize = 4096}};
	snprintf(n->name, sizeof(n->name), "%s", name);
	return n;
}

static inline void mem_resize(struct mem_node *n, uint64_t size)
{
	must(size <= MEM_BYTES);
	if (!n->data)
		n->data = calloc(1, MEM_BYTES);
	must(n->data);
	if (size < n->attr.size)
		memset(n->data + size, 0, n->attr.size - size);
	n->attr.size = size;
	n->attr.blocks = (size + 511) / 512;
}

static inline uint16_t mem_entry(struct memfs *m, struct mem_node *n, struct csv_reply *p)
{
	if (!n)
		return ENOENT;
	p->entry.handle = mem_handle(m, n);
	p->entry.attr = n->attr;
	return 0;
}

static inline uint16_t mem_setattr(struct mem_node *n, const struct csv_op_setattr *q,
				   struct csv_reply *p)
{
	if (!n)
		return ESTALE;
	if (q->valid & CSV_SET_MODE)
		n->attr.mode = (n->attr.mode & S_IFMT) | (q->mode & 07777);
	if (q->valid & CSV_SET_UID)
		n->attr.uid = q->uid;
	if (q->valid & CSV_SET_GID)
		n->attr.gid = q->gid;
	if (q->valid & CSV_SET_SIZE)
		mem_resize(n, q->size);
	if (q->valid & CSV_SET_MTIME)
		n->attr.mtime = q->mtime;
	p->attr.attr = n->attr;
	return 0;
}

static inline uint16_t mem_write(struct memfs *m, struct mem_node *n, const struct csv_op_write *q,
				 struct csv_reply *p)
{
	uint64_t at;

	if (!n)
		return ESTALE;
	at = q->flags & CSV_WRITE_APPEND ? n->attr.size : q->offset;
	if (at + q->data.len > MEM_BYTES)
		return EFBIG;
	if (at + q->data.len > n->attr.size)
		mem_resize(n, at + q->data.len);
	if (q->data.len)
		memcpy(n->data + at, q->data.data, q->data.len);
	if (q->data.len > m->max_write)
		m->max_write = q->data.len;
	p->count.count = q->data.len;
	return 0;
}

static inline uint16_t mem_read(struct memfs *m, struct mem_node *n, const struct csv_op_read *q,
				struct csv_reply *p)
{
	if (!n)
		return ESTALE;
	if (q->size > m->max_read)
		m->max_read = q->size;
	if (q->offset < n->attr.size) {
		p->bytes.data.data = n->data + q->offset;
		p->bytes.data.len =
			n->attr.size - q->offset < q->size ? n->attr.size - q->offset : q->size;
	}
	return 0;
}

/* Cookies: 1 and 2 are after "." and "..", then the index of the inode. */
static inline uint16_t mem_readdir(struct memfs *m, struct mem_node *dir,
				   const struct csv_op_readdir *q, struct csv_reply *p)
{
	static uint8_t buf[CSV_IO_MAX];
	struct wire_writer w;
	size_t len = 0;

	if (!dir)
		return ESTALE;
	wire_writer_init(&w, buf, q->size);
	for (uint64_t i = q->offset; i < MEM_NODES && !w.error; i++) {
		struct mem_node *n = i < 2 ? dir : &m->node[i];
		struct csv_dirent d = {.next = i + 1, .ino = n->attr.ino};

		if (i >= 2 && (n->parent != (uint64_t)(dir - m->node) || !n->attr.nlink))
			continue;
		snprintf(d.name.text, sizeof(d.name.text), "%s",
			 i == 0	  ? "."
			 : i == 1 ? ".."
				  : n->name);
		d.type = (uint8_t)(n->attr.mode >> 12);
		d.has_attr = q->wants_attr;
		d.handle = mem_handle(m, n);
		d.attr = n->attr;
		len = w.pos;
		csv_dirent_put(&w, &d);
		if (!w.error)
			len = w.pos;
	}
	p->bytes.data = (struct csv_bytes){buf, len};
	return 0;
}

static inline uint16_t mem_remove(struct mem_node *n)
{
	if (!n)
		return ENOENT;
	n->attr.nlink = 0;
	n->parent = 0;
	return 0;
}

static inline uint16_t mem_rename(struct memfs *m, const struct csv_op_rename *q)
{
	struct mem_node *n = mem_find(m, &q->parent, q->name.text);
	struct mem_node *old = mem_find(m, &q->new_parent, q->new_name.text);

	if (!n)
		return ENOENT;
	if (old && q->flags)
		return EEXIST;
	if (old)
		mem_remove(old);
	n->parent = q->new_parent.ino - 127;
	snprintf(n->name, sizeof(n->name), "%s", q->new_name.text);
	return 0;
}

static inline uint16_t mem_open(struct mem_node *n, int delta)
{
	if (!n)
		return ESTALE;
	must(delta > 0 || n->opens);
	n->opens += (uint32_t)delta;
	return 0;
}

static inline uint16_t mem_setxattr(struct mem_node *n, const struct csv_op_setxattr *q)
{
	if (!n || q->value.len > sizeof(n->xattr))
		return EINVAL;
	snprintf(n->xattr_name, sizeof(n->xattr_name), "%s", q->name.text);
	memcpy(n->xattr, q->value.data, q->value.len);
	n->xattr_len = q->value.len;
	return 0;
}

static inline uint16_t mem_xattr(const void *data, size_t len, uint32_t size, struct csv_reply *p)
{
	p->xattr.length = (uint32_t)len;
	if (size && size < len)
		return ERANGE;
	if (size)
		p->xattr.data = (struct csv_bytes){data, len};
	return 0;
}

static inline uint16_t mem_getxattr(struct mem_node *n, const struct csv_op_getxattr *q,
				    struct csv_reply *p)
{
	if (!n || !n->xattr_name[0] || strcmp(n->xattr_name, q->name.text) != 0)
		return ENODATA;
	return mem_xattr(n->xattr, n->xattr_len, q->size, p);
}

static inline uint16_t mem_create(struct memfs *m, const struct csv_request *q, struct csv_reply *p)
{
	struct mem_node *n = mem_find(m, &q->create.parent, q->create.name.text);

	if (n && q->create.is_exclusive)
		return EEXIST;
	if (!n)
		n = mem_make(m, q, &q->create.parent, q->create.name.text, q->create.mode);
	n->opens++;
	return mem_entry(m, n, p);
}

static inline uint16_t mem_symlink(struct memfs *m, const struct csv_request *q,
				   struct csv_reply *p)
{
	struct mem_node *n =
		mem_make(m, q, &q->symlink.parent, q->symlink.name.text, S_IFLNK | 0777);

	mem_resize(n, q->symlink.target.len);
	memcpy(n->data, q->symlink.target.data, q->symlink.target.len);
	return mem_entry(m, n, p);
}

static inline uint16_t mem_lookup(struct memfs *m, const struct csv_op_lookup *q,
				  struct csv_reply *p)
{
	if (m->hidden && !strcmp(m->hidden, q->name.text)) {
		if (m->hides <= 1 || !--m->hides)
			m->hidden = NULL;
		return ENOENT;
	}
	return mem_entry(m, mem_find(m, &q->parent, q->name.text), p);
}

static inline uint16_t mem_do_names(struct memfs *m, const struct csv_request *q,
				    struct csv_reply *p)
{
	switch (q->op) {
	case CSV_OP_LOOKUP:
		return mem_lookup(m, &q->lookup, p);
	case CSV_OP_GETATTR:
		if (!mem_at(m, &q->getattr.handle))
			return ESTALE;
		p->attr.attr = mem_at(m, &q->getattr.handle)->attr;
		return 0;
	case CSV_OP_SETATTR:
		return mem_setattr(mem_at(m, &q->setattr.handle), &q->setattr, p);
	case CSV_OP_MKDIR:
		return mem_entry(m,
				 mem_make(m, q, &q->mkdir.parent, q->mkdir.name.text,
					  S_IFDIR | q->mkdir.mode),
				 p);
	case CSV_OP_MKNOD:
		return mem_entry(
			m, mem_make(m, q, &q->mknod.parent, q->mknod.name.text, q->mknod.mode), p);
	case CSV_OP_UNLINK:
		return mem_remove(mem_find(m, &q->unlink.parent, q->unlink.name.text));
	case CSV_OP_RMDIR:
		return mem_remove(mem_find(m, &q->rmdir.parent, q->rmdir.name.text));
	case CSV_OP_SYMLINK:
		return mem_symlink(m, q, p);
	case CSV_OP_RENAME:
		return mem_rename(m, &q->rename);
	default:
		return EOPNOTSUPP;
	}
}

static inline uint16_t mem_do(struct memfs *m, const struct csv_request *q, struct csv_reply *p)
{
	struct mem_node *n;

	switch (q->op) {
	case CSV_OP_READLINK:
		n = mem_at(m, &q->readlink.handle);
		p->bytes.data = (struct csv_bytes){n->data, n->attr.size};
		return 0;
	case CSV_OP_OPEN:
		return mem_open(mem_at(m, &q->open.handle), 1);
	case CSV_OP_CREATE:
		return mem_create(m, q, p);
	case CSV_OP_RELEASE:
		return mem_open(mem_at(m, &q->release.handle), -1);
	case CSV_OP_READ:
		return mem_read(m, mem_at(m, &q->read.handle), &q->read, p);
	case CSV_OP_WRITE:
		return mem_write(m, mem_at(m, &q->write.handle), &q->write, p);
	case CSV_OP_FSYNC:
		return 0;
	case CSV_OP_READDIR:
		return mem_readdir(m, mem_at(m, &q->readdir.handle), &q->readdir, p);
	case CSV_OP_STATFS:
		p->usage.usage = (struct csv_usage){.blocks = 1000,
						    .bfree = 500,
						    .bavail = 400,
						    .files = 300,
						    .ffree = 200,
						    .favail = 200,
						    .bsize = 4096,
						    .frsize = 4096,
						    .namemax = 255};
		return 0;
	case CSV_OP_SETXATTR:
		return mem_setxattr(mem_at(m, &q->setxattr.handle), &q->setxattr);
	case CSV_OP_GETXATTR:
		return mem_getxattr(mem_at(m, &q->getxattr.handle), &q->getxattr, p);
	case CSV_OP_LISTXATTR:
		n = mem_at(m, &q->listxattr.handle);
		return mem_xattr(n->xattr_name, n->xattr_name[0] ? strlen(n->xattr_name) + 1 : 0,
				 q->listxattr.size, p);
	case CSV_OP_LOCK:
		p->count.count = 0;
		return m->lock_error;
	case CSV_OP_UNLOCK:
	case CSV_OP_CANCEL_LOCK:
		return 0;
	case CSV_OP_GETLOCK:
		p->lock = m->found;
		return 0;
	case CSV_OP_REMOVEXATTR:
		mem_at(m, &q->removexattr.handle)->xattr_name[0] = '\0';
		return 0;
	default:
		return mem_do_names(m, q, p);
	}
}

/* With the lock held. */
static inline void mem_hold_at(struct memfs *m, const enum csv_op *hold, enum csv_op op)
{
	while (*hold == op && !m->is_ending) {
		m->is_held = true;
		pthread_cond_broadcast(&m->changed);
		pthread_cond_wait(&m->changed, &m->lock);
	}
	m->is_held = false;
}

static inline void mem_execute(struct memfs *m, const struct csv_request *q, struct csv_reply *p)
{
	if (csv_op_kind(q->op) != CSV_QUERY && m->done[q->slot].seq == q->seq) {
		must(m->done[q->slot].op == q->op);
		*p = m->reply[q->slot];
		m->repeats++;
		return;
	}
	p->error = mem_do(m, q, p);
	m->done[q->slot] = *q;
	m->reply[q->slot] = *p;
}

/* False: the connection ends without a reply. */
static inline bool mem_serve(struct memfs *m, const struct csv_request *q)
{
	struct csv_reply p = {0};
	bool goes_on = true;

	pthread_mutex_lock(&m->lock);
	m->last[q->op] = *q;
	m->count[q->op]++;
	mem_hold_at(m, &m->hold, q->op);
	if (m->break_at == q->op) {
		m->break_at = 0;
		goes_on = false; /* it is not executed: the resend is */
	} else {
		mem_execute(m, q, &p);
	}
	mem_hold_at(m, &m->hold_reply, q->op);
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	return goes_on && !server_reply(&m->conn, q, &p);
}

static inline bool mem_frame(struct memfs *m, uint16_t type)
{
	struct csv_request q;
	struct csv_frame f;

	if (type == CSV_FRAME_REQUEST) {
		must(!csv_request_decode(m->conn.in, m->conn.len, &q));
		return mem_serve(m, &q);
	}
	must(!csv_frame_decode(m->conn.in, m->conn.len, &f));
	pthread_mutex_lock(&m->lock);
	m->connections += f.type == CSV_FRAME_HELLO;
	m->goodbyes += f.type == CSV_FRAME_GOODBYE;
	m->reclaims += f.type == CSV_FRAME_RECLAIM;
	pthread_mutex_unlock(&m->lock);
	if (f.type == CSV_FRAME_HELLO)
		server_welcome(&m->conn, f.hello.term, false, mem_handle(m, &m->node[MEM_ROOT]));
	return true;
}

static inline void *mem_run(void *arg)
{
	struct memfs *m = arg;

	for (;;) {
		struct pollfd p = {.fd = m->server.fd, .events = POLLIN};
		uint16_t type;

		must(poll(&p, 1, -1) == 1);
		if (p.revents & ~POLLIN) /* shut down: the end */
			return NULL;
		server_accept(&m->server, &m->conn);
		must(!tls_set_deadlines(m->conn.tls, 0, SERVER_MS, SERVER_MS));
		do {
			type = server_read(&m->conn);
		} while (type && mem_frame(m, type));
		server_hang_up(&m->conn);
	}
}

static inline void mem_open_fs(struct memfs *m)
{
	memset(m, 0, sizeof(*m));
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	server_open(&m->server);
	m->node[MEM_ROOT].attr = (struct csv_attr){
		.ino = MEM_ROOT + 127, .mode = S_IFDIR | 01777, .nlink = 2, .blksize = 4096};
	must(!pthread_create(&m->thread, NULL, mem_run, m));
}

/* The mount is over. */
static inline void mem_close_fs(struct memfs *m)
{
	pthread_mutex_lock(&m->lock);
	m->is_ending = true;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	shutdown(m->server.fd, SHUT_RDWR);
	must(!pthread_join(m->thread, NULL));
	server_close(&m->server);
	for (size_t i = 0; i < MEM_NODES; i++)
		free(m->node[i].data);
}

/* ---- for tests */

/* A field, as the coordinator's thread has left it. */
#define MEM_GET(m, field)                                                                          \
	({                                                                                         \
		pthread_mutex_lock(&(m)->lock);                                                    \
		__typeof__((m)->field) _value = (m)->field;                                        \
		pthread_mutex_unlock(&(m)->lock);                                                  \
		_value;                                                                            \
	})
#define MEM_SET(m, field, value)                                                                   \
	do {                                                                                       \
		pthread_mutex_lock(&(m)->lock);                                                    \
		(m)->field = (value);                                                              \
		pthread_mutex_unlock(&(m)->lock);                                                  \
	} while (0)

static inline void mem_hold(struct memfs *m, enum csv_op op)
{
	pthread_mutex_lock(&m->lock);
	m->hold = op;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

static inline void mem_wait_held(struct memfs *m)
{
	pthread_mutex_lock(&m->lock);
	while (!m->is_held)
		pthread_cond_wait(&m->changed, &m->lock);
	pthread_mutex_unlock(&m->lock);
}

static inline void mem_wait_count(struct memfs *m, enum csv_op op, uint64_t at_least)
{
	pthread_mutex_lock(&m->lock);
	while (m->count[op] < at_least)
		pthread_cond_wait(&m->changed, &m->lock);
	pthread_mutex_unlock(&m->lock);
}

static inline uint64_t mem_count(struct memfs *m, enum csv_op op)
{
	uint64_t n;

	pthread_mutex_lock(&m->lock);
	n = m->count[op];
	pthread_mutex_unlock(&m->lock);
	return n;
}

static inline struct csv_request mem_last(struct memfs *m, enum csv_op op)
{
	struct csv_request q;

	pthread_mutex_lock(&m->lock);
	q = m->last[op];
	pthread_mutex_unlock(&m->lock);
	return q;
}

#endif
