/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/core/cache.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/hash.h"
#include "lib/must.h"

static uint32_t node_bucket(const struct csv_handle *h)
{
	return (uint32_t)(hash_u64(hash_u64(HASH_INIT, h->ino), h->gen) % CACHE_BUCKETS);
}

static uint32_t name_bucket(const struct csv_handle *dir, const char *text, size_t len)
{
	uint64_t h = hash_u64(hash_u64(HASH_INIT, dir->ino), dir->gen);

	return (uint32_t)(hash_bytes(h, text, len) % CACHE_BUCKETS);
}

static uint32_t page_bucket(const struct csv_handle *h, uint64_t index)
{
	uint64_t hash = hash_u64(hash_u64(HASH_INIT, h->ino), h->gen);

	return (uint32_t)(hash_u64(hash, index) % CACHE_BUCKETS);
}

/* ---- what counts */

static bool is_leased(const struct cache *c, uint64_t now_ms)
{
	return now_ms < c->until_ms || CACHE_MUTANT(c, NO_LEASE);
}

static bool counts(const struct cache *c, const struct cache_stamp *s, uint64_t stamp)
{
	if (s->own && !CACHE_MUTANT(c, OWN_FLIGHT))
		return false;
	return stamp >= s->broken && stamp >= c->floor;
}

/* Of what an item knows of an inode or a name, `s` the stamp of that. */
static bool is_true(const struct cache *c, const struct csv_handle *promised,
		    const struct cache_stamp *s, uint64_t stamp)
{
	return counts(c, s, stamp) && stamp >= c->broken[node_bucket(promised)];
}

static bool node_is_true(const struct cache *c, const struct csv_handle *h, uint64_t stamp)
{
	return is_true(c, h, &c->node_stamp[node_bucket(h)], stamp);
}

static bool name_is_true(const struct cache *c, const struct cache_name *n)
{
	return is_true(c, &n->dir, &c->name_stamp[name_bucket(&n->dir, n->text, n->len)], n->stamp);
}

/* ---- tables */

/* A row for something new in that bucket: what was not used since the hand came by last goes. */
static uint32_t take_row(struct cache_table *t, struct cache_row *rows, uint32_t count,
			 uint32_t bucket)
{
	uint32_t i, *at;

	while (rows[t->hand].is_used) {
		rows[t->hand].is_used = false;
		t->hand = (t->hand + 1) % count;
	}
	i = t->hand;
	t->hand = (i + 1) % count;
	if (rows[i].is_filled) {
		at = &t->bucket[rows[i].bucket];
		while (*at != i + 1)
			at = &rows[*at - 1].next;
		*at = rows[i].next;
	}
	/* What is used once is not used again: it is not called used. */
	rows[i] =
		(struct cache_row){.next = t->bucket[bucket], .bucket = bucket, .is_filled = true};
	t->bucket[bucket] = i + 1;
	return i;
}

static struct cache_node *find_node(struct cache *c, const struct csv_handle *h)
{
	uint32_t i = c->nodes.bucket[node_bucket(h)];

	while (i && !csv_handle_equal(&c->node[i - 1].handle, h))
		i = c->node_row[i - 1].next;
	if (!i)
		return NULL;
	c->node_row[i - 1].is_used = true;
	return &c->node[i - 1];
}

static struct cache_node *make_node(struct cache *c, const struct csv_handle *h)
{
	struct cache_node *n = find_node(c, h);

	if (n)
		return n;
	n = &c->node[take_row(&c->nodes, c->node_row, CACHE_NODES, node_bucket(h))];
	*n = (struct cache_node){.handle = *h};
	return n;
}

static struct cache_name *find_name(struct cache *c, const struct csv_handle *dir, const char *text,
				    size_t len)
{
	uint32_t i = c->names.bucket[name_bucket(dir, text, len)];

	for (; i; i = c->name_row[i - 1].next) {
		struct cache_name *n = &c->name[i - 1];

		if (!csv_handle_equal(&n->dir, dir) || n->len != len || memcmp(n->text, text, len))
			continue;
		c->name_row[i - 1].is_used = true;
		return n;
	}
	return NULL;
}

static struct cache_name *make_name(struct cache *c, const struct csv_handle *dir, const char *text,
				    size_t len)
{
	struct cache_name *n = find_name(c, dir, text, len);

	if (n)
		return n;
	n = &c->name[take_row(&c->names, c->name_row, CACHE_NAMES, name_bucket(dir, text, len))];
	n->dir = *dir;
	n->len = (uint8_t)len;
	memcpy(n->text, text, len);
	return n;
}

static struct cache_page *find_page(struct cache *c, const struct csv_handle *h, uint64_t index)
{
	uint32_t i = c->pages.bucket[page_bucket(h, index)];

	while (i && !(csv_handle_equal(&c->page[i - 1].handle, h) && c->page[i - 1].index == index))
		i = c->page_row[i - 1].next;
	if (!i)
		return NULL;
	c->page_row[i - 1].is_used = true;
	return &c->page[i - 1];
}

static struct cache_page *make_page(struct cache *c, const struct csv_handle *h, uint64_t index)
{
	struct cache_page *p = find_page(c, h, index);

	if (p)
		return p;
	p = &c->page[take_row(&c->pages, c->page_row, CACHE_PAGES, page_bucket(h, index))];
	p->handle = *h;
	p->index = index;
	return p;
}

void cache_init(struct cache *c)
{
	c->now = c->floor = 1;
}

/* ---- requests */

/* The names of a request: at most two. */
static size_t names_of(const struct csv_request *q, const struct csv_handle *ret_dir[2],
		       const char *ret_text[2])
{
	switch (q->op) {
#define ONE(NAME, op)                                                                              \
	case CSV_OP_##NAME:                                                                        \
		ret_dir[0] = &q->op.parent;                                                        \
		ret_text[0] = q->op.name.text;                                                     \
		return 1;
		ONE(LOOKUP, lookup)
		ONE(MKNOD, mknod)
		ONE(MKDIR, mkdir)
		ONE(SYMLINK, symlink)
		ONE(CREATE, create)
		ONE(UNLINK, unlink)
		ONE(RMDIR, rmdir)
#undef ONE
	case CSV_OP_LINK:
		ret_dir[0] = &q->link.new_parent;
		ret_text[0] = q->link.new_name.text;
		return 1;
	case CSV_OP_RENAME:
		ret_dir[0] = &q->rename.parent;
		ret_text[0] = q->rename.name.text;
		ret_dir[1] = &q->rename.new_parent;
		ret_text[1] = q->rename.new_name.text;
		return 2;
	default:
		return 0;
	}
}

static bool has_children(enum csv_op op)
{
	return op == CSV_OP_UNLINK || op == CSV_OP_RMDIR || op == CSV_OP_RENAME;
}

static size_t add_bucket(uint32_t *list, size_t count, uint32_t b)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] == b)
			return count;
	}
	list[count] = b;
	return count + 1;
}

static void fill_children(struct cache *c, struct csv_request *q)
{
	const struct csv_handle *dir[2];
	const char *text[2];
	size_t n = has_children(q->op) ? names_of(q, dir, text) : 0;

	q->child[0] = q->child[1] = (struct csv_handle){0};
	for (size_t i = 0; i < n; i++) {
		const struct cache_name *k = find_name(c, dir[i], text[i], strlen(text[i]));

		if (k && name_is_true(c, k))
			q->child[i] = k->child;
	}
}

static void begin_own(const struct cache *c, struct cache_stamp *s, uint64_t stamp)
{
	if (!CACHE_MUTANT(c, OWN_FORGET))
		s->broken = stamp;
	s->own++;
}

/* True: nothing else has touched it since it was begun. */
static bool end_own(const struct cache *c, struct cache_stamp *s, uint64_t begun, uint64_t stamp)
{
	bool is_clean = s->broken == begun && s->own == 1;

	must(s->own);
	s->own--;
	if (!CACHE_MUTANT(c, OWN_FORGET))
		s->broken = stamp;
	return is_clean;
}

void cache_ask(struct cache *c, struct csv_request *q, struct cache_note *note)
{
	struct csv_handle minds[PROMISE_MINDS];
	const struct csv_handle *dir[2];
	const char *text[2];
	size_t n;

	*note = (struct cache_note){.asked = c->now};
	fill_children(c, q);
	n = promise_minds(q, minds);
	if (!n)
		return;
	for (size_t i = 0; i < n; i++)
		note->nodes = add_bucket(note->node, note->nodes, node_bucket(&minds[i]));
	n = names_of(q, dir, text);
	for (size_t i = 0; i < n; i++)
		note->names = add_bucket(note->name, note->names,
					 name_bucket(dir[i], text[i], strlen(text[i])));
	note->asked = ++c->now;
	for (size_t i = 0; i < note->nodes; i++)
		begin_own(c, &c->node_stamp[note->node[i]], note->asked);
	for (size_t i = 0; i < note->names; i++)
		begin_own(c, &c->name_stamp[note->name[i]], note->asked);
}

void cache_answered(struct cache *c, struct cache_note *note)
{
	bool nodes_clean = true, names_clean = true;
	uint64_t end;

	if (!note->nodes)
		return;
	end = ++c->now;
	for (size_t i = 0; i < note->nodes; i++)
		nodes_clean &= end_own(c, &c->node_stamp[note->node[i]], note->asked, end);
	for (size_t i = 0; i < note->names; i++)
		names_clean &= end_own(c, &c->name_stamp[note->name[i]], note->asked, end);
	/* A break of the inode meanwhile is later than `asked`: c->broken says so. */
	note->nodes_clean = nodes_clean ? end : 0;
	note->names_clean = names_clean ? end : 0;
}

/* ---- what ends */

void cache_break(struct cache *c, const struct csv_handle *h)
{
	if (!h->ino)
		c->floor = ++c->now;
	else
		c->broken[node_bucket(h)] = ++c->now;
}

void cache_forget(struct cache *c)
{
	if (CACHE_MUTANT(c, KEEP_TERM))
		return;
	c->floor = ++c->now;
	c->until_ms = 0;
}

void cache_renewed(struct cache *c, uint64_t sent_ms, uint64_t now_ms)
{
	if (!is_leased(c, now_ms) && !CACHE_MUTANT(c, KEEP_LAPSED))
		c->floor = ++c->now;
	if (CACHE_MUTANT(c, ANSWER_TIME))
		sent_ms = now_ms;
	if (sent_ms + CACHE_LEASE_MS > c->until_ms)
		c->until_ms = sent_ms + CACHE_LEASE_MS;
}

/* ---- keeping */

/*
 * The stamp of what an answer says: of what the request itself has changed, of its end. Since then
 * nothing of it may have been broken; the promise of the inode, since it was asked for.
 */
static uint64_t stamp_of(const struct cache *c, const struct csv_handle *promised, uint64_t asked,
			 uint64_t stamp)
{
	if (CACHE_MUTANT(c, LATE_ANSWER))
		return c->now;
	if (asked < c->broken[node_bucket(promised)] || asked < c->floor)
		return 0;
	return stamp;
}

static bool is_own_node(const struct cache_note *note, const struct csv_handle *h)
{
	uint32_t b = node_bucket(h);

	for (size_t i = 0; i < note->nodes; i++) {
		if (note->node[i] == b)
			return true;
	}
	return false;
}

static void keep_attr(struct cache *c, const struct csv_handle *h, const struct csv_attr *attr,
		      const struct cache_note *note)
{
	uint64_t stamp = is_own_node(note, h) ? note->nodes_clean : note->asked;
	struct cache_node *n;

	stamp = stamp_of(c, h, note->asked, stamp);
	if (!node_is_true(c, h, stamp))
		return;
	n = make_node(c, h);
	n->stamp = stamp;
	n->attr = *attr;
}

/* child NULL: there is no such name. */
static void keep_name(struct cache *c, const struct csv_request *q, const struct csv_handle *child,
		      const struct cache_note *note)
{
	const struct csv_handle *dir[2];
	const char *text[2];
	size_t len;
	uint64_t stamp = note->names ? note->names_clean : note->asked;
	struct cache_name *n;

	if (names_of(q, dir, text) != 1)
		return;
	len = strlen(text[0]);
	if (len > CACHE_NAME_MAX)
		return;
	stamp = stamp_of(c, dir[0], note->asked, stamp);
	if (!is_true(c, dir[0], &c->name_stamp[name_bucket(dir[0], text[0], len)], stamp))
		return;
	n = make_name(c, dir[0], text[0], len);
	n->stamp = stamp;
	n->child = child ? *child : (struct csv_handle){0};
}

/* 0: one that is not kept. */
static uint32_t xattr_bit(const char *name)
{
	static const char *const known[] = {
#define KNOWN(text) text,
		CACHE_XATTRS(KNOWN)
#undef KNOWN
	};

	for (uint32_t i = 0; i < MUST_ARRAY_SIZE(known); i++) {
		if (!strcmp(name, known[i]))
			return UINT32_C(1) << i;
	}
	return 0;
}

static void keep_absent(struct cache *c, const struct csv_op_getxattr *q,
			const struct cache_note *note)
{
	uint64_t stamp = stamp_of(c, &q->handle, note->asked, note->asked);
	struct cache_node *n = find_node(c, &q->handle);

	if (!n || !node_is_true(c, &q->handle, stamp))
		return;
	/* What it lacked before may have come since. */
	if (!node_is_true(c, &q->handle, n->absent_stamp)) {
		n->absent = 0;
		n->absent_stamp = stamp;
	}
	n->absent |= xattr_bit(q->name.text);
	n->absent_stamp = stamp < n->absent_stamp ? stamp : n->absent_stamp;
}

/* Of small files, whose attributes are kept, too. */
static void keep_data(struct cache *c, const struct csv_op_read *q, const struct csv_bytes *data,
		      const struct cache_note *note)
{
	const struct cache_node *node = find_node(c, &q->handle);
	uint64_t stamp = stamp_of(c, &q->handle, note->asked, note->asked);
	size_t at = 0;

	if (!node || !node_is_true(c, &q->handle, node->stamp) ||
	    node->attr.size >= CACHE_FILE_MAX || q->offset % CACHE_PAGE ||
	    !node_is_true(c, &q->handle, stamp))
		return;
	while (at < data->len) {
		size_t len = data->len - at < CACHE_PAGE ? data->len - at : CACHE_PAGE;
		struct cache_page *p = make_page(c, &q->handle, (q->offset + at) / CACHE_PAGE);

		p->stamp = stamp;
		p->len = (uint32_t)len;
		memcpy(c->data[p - c->page], data->data + at, len);
		at += len;
	}
}

static void keep_entry(struct cache *c, const struct csv_request *q, const struct csv_reply *p,
		       const struct cache_note *note, uint8_t promised)
{
	if (promised & CSV_PROMISED_NODE)
		keep_attr(c, &p->entry.handle, &p->entry.attr, note);
	if (promised & CSV_PROMISED_NAME)
		keep_name(c, q, &p->entry.handle, note);
}

void cache_keep(struct cache *c, const struct csv_request *q, const struct csv_reply *p,
		const struct cache_note *note, uint64_t now_ms)
{
	uint8_t promised = CACHE_MUTANT(c, UNPROMISED) ? CSV_PROMISED_ALL : p->promised;

	if (!promised || !is_leased(c, now_ms))
		return;
	if (p->error) {
		if (q->op == CSV_OP_LOOKUP && p->error == ENOENT && (promised & CSV_PROMISED_NAME))
			keep_name(c, q, NULL, note);
		if (q->op == CSV_OP_GETXATTR && p->error == ENODATA &&
		    (promised & CSV_PROMISED_NODE))
			keep_absent(c, &q->getxattr, note);
		return;
	}
	if (p->kind == CSV_REPLY_ENTRY)
		keep_entry(c, q, p, note, promised);
	else if ((q->op == CSV_OP_UNLINK || q->op == CSV_OP_RMDIR) &&
		 (promised & CSV_PROMISED_NAME))
		keep_name(c, q, NULL, note);
	if (!(promised & CSV_PROMISED_NODE))
		return;
	if (q->op == CSV_OP_GETATTR)
		keep_attr(c, &q->getattr.handle, &p->attr.attr, note);
	else if (q->op == CSV_OP_SETATTR)
		keep_attr(c, &q->setattr.handle, &p->attr.attr, note);
	else if (q->op == CSV_OP_READ)
		keep_data(c, &q->read, &p->bytes.data, note);
}

/* ---- answers */

bool cache_attr(struct cache *c, const struct csv_handle *h, uint64_t now_ms, struct csv_attr *ret)
{
	struct cache_node *n = find_node(c, h);

	if (!n || !is_leased(c, now_ms) || !node_is_true(c, h, n->stamp))
		return false;
	*ret = n->attr;
	return true;
}

bool cache_lacks(struct cache *c, const struct csv_handle *h, const char *name, uint64_t now_ms)
{
	const struct cache_node *n = find_node(c, h);

	return n && is_leased(c, now_ms) && (n->absent & xattr_bit(name)) &&
	       node_is_true(c, h, n->absent_stamp);
}

bool cache_lookup(struct cache *c, const struct csv_handle *dir, const char *name, uint64_t now_ms,
		  struct csv_handle *ret_child, struct csv_attr *ret_attr)
{
	struct cache_name *n = find_name(c, dir, name, strlen(name));

	if (!n || !is_leased(c, now_ms) || !name_is_true(c, n))
		return false;
	if (n->child.ino && !cache_attr(c, &n->child, now_ms, ret_attr))
		return false;
	*ret_child = n->child;
	return true;
}

bool cache_read(struct cache *c, const struct csv_handle *h, uint64_t offset, size_t size,
		uint64_t now_ms, void *buf, size_t *ret_len, int64_t *ret_atime)
{
	uint8_t *to = buf;
	struct csv_attr a;
	size_t at = 0;

	if (!cache_attr(c, h, now_ms, &a) || !S_ISREG(a.mode))
		return false;
	if (offset >= a.size)
		size = 0;
	else if (size > a.size - offset)
		size = (size_t)(a.size - offset);
	while (at < size) {
		struct cache_page *p = find_page(c, h, (offset + at) / CACHE_PAGE);
		size_t from = (offset + at) % CACHE_PAGE, len = CACHE_PAGE - from;

		len = len < size - at ? len : size - at;
		if (!p || !node_is_true(c, h, p->stamp) || p->len < from + len)
			return false;
		memcpy(to + at, c->data[p - c->page] + from, len);
		at += len;
	}
	*ret_len = size;
	*ret_atime = a.atime.sec;
	return true;
}

/* ---- invariants */

const char *cache_check(const struct cache *c)
{
	for (size_t i = 0; i < CACHE_BUCKETS; i++) {
		if (c->broken[i] > c->now || c->node_stamp[i].broken > c->now ||
		    c->name_stamp[i].broken > c->now)
			return "a break of the future";
		if (c->node_stamp[i].own > CSV_SLOTS * PROMISE_MINDS ||
		    c->name_stamp[i].own > CSV_SLOTS * 2)
			return "more own changes than there can be under way";
	}
	for (size_t i = 0; i < CACHE_NODES; i++) {
		if (c->node_row[i].is_filled && c->node[i].stamp > c->now)
			return "attributes of the future";
	}
	for (size_t i = 0; i < CACHE_NAMES; i++) {
		if (c->name_row[i].is_filled && c->name[i].stamp > c->now)
			return "a name of the future";
	}
	return c->floor > c->now ? "a floor of the future" : NULL;
}
