/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A change: what an administrator asks for, as one entry. It is applied only if what it is about
 * still has the version that was asked for; of several commands all or none; each leaves a line
 * that says who, when, from where and why.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/config.h"
#include "lib/must.h"
#include "lib/wire.h"

/* The change, and which of its commands is being done. */
struct change {
	struct apply *a;
	struct db_command head;
	struct wire_reader reader;
	uint32_t count, at;
};

void do_change(struct apply *a, const struct db_cmd_change *c)
{
	(void)c;
	apply_answer(a, DB_INVALID, "a change within a change");
}

/* False: somebody was faster, and it says what the version is now. */
static bool is_fresh(const struct change *ch)
{
	const struct db_cmd_change *c = &ch->head.change;
	uint64_t version = config_version(ch->a->db, c->object);

	if (c->if_version == DB_ANY_VERSION || version == c->if_version)
		return true;
	apply_answer(ch->a, DB_CONFLICT,
		     "%s has version %" PRIu64 " now, not %" PRIu64
		     ": look again before you change it",
		     c->object, version, c->if_version);
	ch->a->result->is_stale = true;
	return false;
}

static void audit(const struct change *ch, const struct db_command *cmd, const char *object)
{
	struct db *db = ch->a->db;
	const struct db_cmd_change *c = &ch->head.change;
	uint32_t n = db_count(db, DB_KIND_AUDIT);
	const struct db_audit *last = n ? db_at(db, DB_KIND_AUDIT, n - 1) : NULL;
	uint64_t id = last ? last->id + 1 : 1; /* the newest never goes */
	struct db_audit *row;

	if (!db->limits.capacity[DB_KIND_AUDIT])
		return;
	if (n == db->limits.capacity[DB_KIND_AUDIT])
		db_remove(db, DB_KIND_AUDIT, db_at(db, DB_KIND_AUDIT, 0));
	row = db_insert_id(db, DB_KIND_AUDIT, id);
	must(row);
	row->at_ms = ch->head.at_ms;
	row->index = ch->a->entry->index;
	COPY(row->user, c->user);
	row->uid = c->uid;
	row->pid = c->pid;
	COPY(row->program, c->program);
	COPY(row->node, c->node);
	COPY(row->object, object);
	COPY(row->reason, c->reason);
	config_words(db, cmd, row->words, sizeof(row->words));
}

static void set_version(const struct change *ch, const char *key)
{
	struct db *db = ch->a->db;
	struct db_version *v = db_find(db, DB_KIND_VERSION, key);

	if (!v)
		v = db_insert(db, DB_KIND_VERSION, key);
	if (!v)
		return; /* only tests have no room for them */
	v->index = ch->a->entry->index;
	v->at_ms = ch->head.at_ms;
	COPY(v->actor, ch->head.actor);
}

static enum db_code do_one(const struct change *ch, struct db_command *cmd)
{
	char key[CONFIG_OBJECTS_MAX][DB_KEY_MAX] = {""};
	uint32_t n = config_objects(cmd, key);
	uint64_t before[CONFIG_OBJECTS_MAX];
	struct apply one = *ch->a;

	for (uint32_t i = 0; i < n; i++)
		before[i] = config_digest(one.db, key[i]);
	one.cmd = cmd;
	apply_command(&one);
	if (one.result->code)
		return one.result->code;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t after = config_digest(one.db, key[i]);

		if (after == before[i])
			continue;
		if (after)
			set_version(ch, key[i]);
		set_version(ch, CONFIG_WHOLE);
	}
	audit(ch, cmd, key[0]);
	return DB_OK;
}

/* Of several, which one it was. */
static void say_which(const struct change *ch, const struct db_command *cmd)
{
	char text[DB_REASON_MAX], words[DB_REASON_MAX / 3];

	config_words(ch->a->db, cmd, words, sizeof(words));
	COPY(text, ch->a->result->text);
	apply_answer(ch->a, ch->a->result->code, "command %" PRIu32 " of %" PRIu32 ", %s: %s",
		     ch->at + 1, ch->count, words, text);
}

void apply_change(struct apply *a)
{
	struct change ch = {.a = a};
	struct db_command cmd;

	if (db_change_open(a->entry->payload, a->entry->payload_len, &ch.head, &ch.reader,
			   &ch.count) ||
	    ch.head.version > a->db->version) {
		apply_answer(a, DB_INVALID, "not a change that the version in force knows");
		return;
	}
	if (!is_fresh(&ch))
		return;
	if (ch.count > 1)
		db_keep(a->db);
	for (ch.at = 0; ch.at < ch.count; ch.at++) {
		db_change_next(&ch.reader, &ch.head, &cmd);
		if (!do_one(&ch, &cmd))
			continue;
		if (ch.count > 1) {
			say_which(&ch, &cmd);
			db_go_back(a->db);
			a->result->task = 0;
		}
		return;
	}
}
