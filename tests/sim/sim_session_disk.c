/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disk of sim_session: an ordered log, a small file system, and its sequential twin. */
#include <errno.h>
#include <string.h>

#include "tests/sim/sim_session_world.h"

void sim_broke(struct world *w, const char *what)
{
	if (!w->broken) {
		w->broken = what;
		TRACE(w, "WRONG: %s", what);
	}
}

bool sim_chance(struct world *w, uint64_t per_mille)
{
	return prng_chance(&w->rng, per_mille, 1000);
}

/* ---- transactions */

static void unlink_inode(struct image *im, uint16_t ino)
{
	struct inode *i = &im->inode[ino];

	i->nlink--;
	if (!i->nlink && !i->is_orphan)
		i->is_there = false;
}

/* NULL, or why it cannot be done here. */
static const char *apply_do(struct image *im, const struct op *op, uint32_t uid, uint16_t ino)
{
	uint16_t old = im->name[op->name], over = im->name[op->new_name];
	struct inode *i = &im->inode[ino];

	if (im->effect[uid]++ || im->length >= OPS - 1)
		return "an operation took effect twice";
	im->history[im->length++] = (uint16_t)uid;
	im->pos[uid] = im->length;
	im->made[uid] = ino;
	switch (op->op) {
	case CSV_OP_CREATE:
		if (old)
			return "created over an existing name";
		im->name[op->name] = ino;
		*i = (struct inode){.is_there = true, .nlink = 1};
		return NULL;
	case CSV_OP_WRITE:
		if (!i->is_there || i->size >= TOKENS)
			return "appended to what is not there";
		i->token[i->size++] = (uint16_t)uid;
		return NULL;
	case CSV_OP_UNLINK:
		if (!old)
			return "unlinked a name that is not there";
		im->name[op->name] = 0;
		unlink_inode(im, old);
		return NULL;
	case CSV_OP_RENAME:
		if (!old)
			return "renamed a name that is not there";
		im->name[op->name] = 0;
		im->name[op->new_name] = old;
		if (over)
			unlink_inode(im, over);
		return NULL;
	case CSV_OP_LINK:
		if (over || !i->nlink)
			return "linked where it cannot be";
		im->name[op->new_name] = ino;
		i->nlink++;
		return NULL;
	default:
		return "that is no change";
	}
}

static void apply(struct world *w, struct image *im, const struct entry *e)
{
	const char *wrong;

	switch (e->kind) {
	case ENTRY_INTENT:
	case ENTRY_DONE:
		im->record[e->mount][e->slot] = e->record;
		break;
	case ENTRY_DO:
		wrong = apply_do(im, &w->op[e->uid], e->uid, e->ino);
		if (wrong)
			sim_broke(w, wrong);
		break;
	case ENTRY_ORPHAN:
		im->inode[e->ino].is_orphan = true;
		break;
	case ENTRY_REAP:
		im->inode[e->ino].is_orphan = false;
		if (!im->inode[e->ino].nlink)
			im->inode[e->ino].is_there = false;
		break;
	case ENTRY_DROP:
		memset(im->record[e->mount], 0, sizeof(im->record[e->mount]));
		break;
	}
}

void disk_append(struct world *w, const struct entry *e)
{
	if (w->log_count == LOG)
		disk_force(w, disk_end(w)); /* the log is full: it is written */
	w->log[w->log_count++] = *e;
	apply(w, &w->now, e);
}

void disk_force(struct world *w, uint64_t upto)
{
	int n = upto > w->forced ? (int)(upto - w->forced) : 0;

	for (int i = 0; i < n; i++)
		apply(w, &w->base, &w->log[i]);
	memmove(w->log, w->log + n, (size_t)(w->log_count - n) * sizeof(w->log[0]));
	w->log_count -= n;
	w->forced += (uint64_t)n;
}

/* Data that was in the cache only is lost, or not. */
static void damage(struct world *w)
{
	for (int ino = 1; ino < INODES; ino++) {
		struct inode *i = &w->base.inode[ino];

		for (int t = 0; t < i->size; t++) {
			uint16_t uid = i->token[t];

			if (uid == DAMAGED || !w->is_undurable[uid])
				continue;
			w->is_undurable[uid] = false;
			if (sim_chance(w, 500))
				i->token[t] = DAMAGED;
		}
	}
}

void disk_crash(struct world *w)
{
	int kept = (int)prng_below(&w->rng, (uint64_t)w->log_count + 1);

	TRACE(w, "disk: %d of %d unforced transactions survive", kept, w->log_count);
	disk_force(w, w->forced + (uint64_t)kept);
	w->log_count = 0;
	damage(w);
	w->now = w->base;
	for (uint32_t uid = 1; uid < w->next_uid; uid++) {
		const struct op *op = &w->op[uid];

		if (op->is_answered && csv_op_kind(op->op) == CSV_CHANGE && !op->reply.err &&
		    !op->reply.is_noop && !w->base.effect[uid])
			sim_broke(w, "a crash took back what was answered");
	}
	if (w->base.length < w->shown)
		sim_broke(w, "a crash took back what was seen");
}

/* ---- operations */

static int look_link(const struct image *im, const struct op *op)
{
	if (!im->inode[op->ino].is_there || !im->inode[op->ino].nlink)
		return ENOENT;
	return im->name[op->new_name] ? EEXIST : 0;
}

static int look_file(const struct image *im, const struct op *op, struct reply *reply)
{
	const struct inode *i = &im->inode[op->ino];

	if (!i->is_there)
		return ESTALE;
	if (op->op == CSV_OP_WRITE && i->size >= TOKENS)
		return ENOSPC;
	reply->size = i->size;
	if (op->op == CSV_OP_READ)
		memcpy(reply->token, i->token, sizeof(i->token));
	return 0;
}

bool disk_look(const struct image *im, const struct op *op, struct reply *reply, struct pre *pre)
{
	uint16_t old = im->name[op->name], over = im->name[op->new_name];

	*pre = (struct pre){.ino = old, .other = over};
	reply->ino = op->ino;
	reply->pos = im->length;
	switch (op->op) {
	case CSV_OP_CREATE:
		reply->err = old ? EEXIST : 0;
		break;
	case CSV_OP_UNLINK:
		reply->err = old ? 0 : ENOENT;
		break;
	case CSV_OP_RENAME:
		reply->err = old ? 0 : ENOENT;
		reply->is_noop = old && old == over; /* rename(2): two names of one file */
		break;
	case CSV_OP_LINK:
		reply->err = look_link(im, op);
		break;
	case CSV_OP_LOOKUP:
		reply->err = old ? 0 : ENOENT;
		reply->ino = old;
		break;
	case CSV_OP_RELEASE:
		break; /* of an inode that is gone, too */
	default:
		reply->err = look_file(im, op, reply);
		pre->size = reply->size;
		break;
	}
	return csv_op_kind(op->op) == CSV_CHANGE && !reply->err && !reply->is_noop;
}

bool disk_is_before(const struct image *im, const struct op *op, const struct pre *pre)
{
	switch (op->op) {
	case CSV_OP_CREATE:
	case CSV_OP_UNLINK:
		return im->name[op->name] == pre->ino;
	case CSV_OP_RENAME:
		return im->name[op->name] == pre->ino && im->name[op->new_name] == pre->other;
	case CSV_OP_LINK:
		return im->name[op->new_name] == pre->other;
	default:
		return im->inode[op->ino].size == pre->size;
	}
}

/* ---- the sequential twin */

struct twin {
	uint16_t name[NAMES];
	uint16_t nlink[INODES];
	uint16_t size[INODES];
	uint16_t token[INODES][TOKENS];
	bool was[INODES];
};

static const char *twin_do(struct twin *t, const struct op *op, uint16_t uid, uint16_t ino)
{
	uint16_t *from = &t->name[op->name], *to = &t->name[op->new_name];

	if (op->op == CSV_OP_CREATE) {
		if (*from || !ino || t->was[ino])
			return "history: a creation that could not be";
		*from = ino;
		t->nlink[ino] = 1;
		t->was[ino] = true;
	} else if (op->op == CSV_OP_WRITE) {
		if (!t->was[ino] || t->size[ino] >= TOKENS)
			return "history: an append that could not be";
		t->token[ino][t->size[ino]++] = uid;
	} else if (op->op == CSV_OP_LINK) {
		if (*to || !t->nlink[ino])
			return "history: a link that could not be";
		*to = ino;
		t->nlink[ino]++;
	} else {
		if (!*from || (op->op == CSV_OP_RENAME && *from == *to))
			return "history: a name that was not there";
		if (op->op == CSV_OP_RENAME && *to)
			t->nlink[*to]--;
		if (op->op == CSV_OP_RENAME)
			*to = *from;
		else
			t->nlink[*from]--;
		*from = 0;
	}
	return NULL;
}

/* What an answer that changed nothing should be at this place. */
static bool twin_agrees(const struct twin *t, const struct op *op)
{
	uint16_t old = t->name[op->name], over = t->name[op->new_name], ino = op->ino;
	const struct reply *r = &op->reply;

	if (r->is_fault)
		return r->err != 0;
	switch (op->op) {
	case CSV_OP_CREATE:
		return r->err == EEXIST && old;
	case CSV_OP_WRITE:
		return r->err == ENOSPC && t->size[ino] == TOKENS;
	case CSV_OP_UNLINK:
		return r->err == ENOENT && !old;
	case CSV_OP_RENAME:
		return r->is_noop ? !r->err && old && old == over : r->err == ENOENT && !old;
	case CSV_OP_LINK:
		return r->err == (t->nlink[ino] ? EEXIST : ENOENT) && (!t->nlink[ino] || over);
	case CSV_OP_LOOKUP:
		return r->err ? r->err == ENOENT && !old : r->ino == old;
	case CSV_OP_READ:
		return !r->err && r->size == t->size[ino] &&
		       !memcmp(r->token, t->token[ino], sizeof(r->token));
	case CSV_OP_OPEN:
		return r->err ? r->err == ESTALE && !t->nlink[ino] : t->was[ino];
	default:
		return !r->err;
	}
}

static const char *verify_answer(const struct world *w, const struct twin *t, uint32_t uid)
{
	const struct op *op = &w->op[uid];
	bool is_change = csv_op_kind(op->op) == CSV_CHANGE && !op->reply.err && !op->reply.is_noop;

	if (op->reply.pos < op->shown)
		return "an answer tells of a time before its question";
	if (!is_change)
		return w->now.effect[uid]   ? "it took effect, and the answer was an error"
		       : twin_agrees(t, op) ? NULL
					    : "an answer does not fit its place in the history";
	if (w->now.effect[uid] != 1 || w->now.pos[uid] != op->reply.pos)
		return "an answered operation is not at its place in the history";
	if (op->op == CSV_OP_CREATE && t->name[op->name] != op->reply.ino)
		return "a creation was answered with another file";
	if (op->op == CSV_OP_WRITE && t->size[op->ino] != op->reply.size)
		return "an append was answered with a size that it did not make";
	return NULL;
}

static const char *verify_end(const struct world *w, const struct twin *t)
{
	if (memcmp(t->name, w->now.name, sizeof(t->name)) != 0)
		return "names are not what the history makes of them";
	for (uint16_t ino = 1; ino < INODES; ino++) {
		const struct inode *i = &w->now.inode[ino];
		uint16_t names = 0;

		for (int n = 0; n < NAMES; n++)
			names = (uint16_t)(names + (t->name[n] == ino));
		if (t->nlink[ino] != names || (i->is_there && i->nlink != names))
			return "a link count is wrong";
		if (i->is_there != (names || i->is_orphan))
			return "a file is lost or left over";
		if (i->is_there && (i->size != t->size[ino] ||
				    memcmp(i->token, t->token[ino], sizeof(i->token)) != 0))
			return "a file is not what the history makes of it";
	}
	return NULL;
}

const char *disk_verify(const struct world *w)
{
	static struct twin twin;
	static uint32_t first[OPS], next[OPS]; /* answers by their place */
	const char *wrong;

	memset(&twin, 0, sizeof(twin));
	memset(first, 0, sizeof(first));
	for (uint32_t uid = 1; uid < w->next_uid; uid++) {
		const struct op *op = &w->op[uid];

		if (!op->is_answered)
			continue;
		if (op->reply.pos > w->now.length)
			return "an answer tells of what never was";
		next[uid] = first[op->reply.pos];
		first[op->reply.pos] = uid;
	}
	for (uint16_t pos = 0; pos <= w->now.length; pos++) {
		uint16_t uid = pos ? w->now.history[pos - 1] : 0;

		wrong = pos ? twin_do(&twin, &w->op[uid], uid, w->now.made[uid]) : NULL;
		if (wrong)
			return wrong;
		for (uint32_t a = first[pos]; a; a = next[a]) {
			wrong = verify_answer(w, &twin, a);
			if (wrong)
				return wrong;
		}
	}
	return verify_end(w, &twin);
}
