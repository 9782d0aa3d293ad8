/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands about settings, votes and databases do to the applied state. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/apply_impl.h"
#include "clusterd/core/setting.h"

/* All at once, so that nothing is moved from one to the other first. */
static void cluster_stops(struct apply *a)
{
	for (uint32_t i = 0; i < db_count(a->db, DB_KIND_NODE); i++)
		node_begin_leave(a, db_at(a->db, DB_KIND_NODE, i), "the cluster is stopped");
}

void setting_cluster_starts(struct apply *a)
{
	const struct db_setting *row =
		db_find(a->db, DB_KIND_SETTING, setting_shape(SETTING_CLUSTER_STOPPING)->key);

	if (!row)
		return;
	db_remove(a->db, DB_KIND_SETTING, row);
	apply_event(a, "cluster-started", "cluster",
		    "it was stopped as a whole; votes follow who is here again");
}

/* Who set it and when stays in the row; what it was before, in the event. */
void do_setting_set(struct apply *a, const struct db_cmd_setting_set *c)
{
	enum setting setting = setting_find(c->key);
	struct db_setting *row = db_find(a->db, DB_KIND_SETTING, c->key);
	char before[DB_VALUE_MAX];
	uint64_t value;

	if (setting == SETTING_MAX) {
		apply_answer(a, DB_INVALID, "no setting %s", c->key);
		return;
	}
	if (c->value[0] && !setting_parse(setting, c->value, &value)) {
		apply_answer(a, DB_INVALID, "setting %s: '%.40s' is no value of it", c->key,
			     c->value);
		return;
	}
	if (row ? !strcmp(row->value, c->value) : !c->value[0])
		return;
	COPY(before, row ? row->value : "its default");
	if (c->value[0] && !row)
		row = db_insert(a->db, DB_KIND_SETTING, c->key);
	if (!row) {
		apply_answer(a, DB_REFUSED, "no room for another setting");
		return;
	}
	if (c->value[0]) {
		COPY(row->value, c->value);
		COPY(row->actor, a->cmd->actor);
		row->since_ms = a->cmd->at_ms;
	} else {
		db_remove(a->db, DB_KIND_SETTING, row);
	}
	apply_event(a, "setting-changed", c->key, "to %.40s from %.40s, by %s",
		    c->value[0] ? c->value : "its default", before, a->cmd->actor);
	if (setting == SETTING_TOTEM_TOKEN_MS)
		conf_times_changed(a);
	if (setting == SETTING_CLUSTER_STOPPING &&
	    setting_get(a->db, SETTING_CLUSTER_STOPPING, NULL))
		cluster_stops(a);
}

void setting_put(struct apply *a, enum setting setting, uint32_t value)
{
	struct db_setting *row = db_insert(a->db, DB_KIND_SETTING, setting_shape(setting)->key);

	if (!row)
		return; /* its default holds */
	snprintf(row->value, sizeof(row->value), "%" PRIu32, value);
	COPY(row->actor, a->cmd->actor);
	row->since_ms = a->cmd->at_ms;
}

void settings_forget(struct db *db, const char *object)
{
	char key[DB_KEY_MAX];

	for (int i = 0; i < SETTING_MAX; i++) {
		const struct db_setting *row = NULL;

		if (setting_shape((enum setting)i)->type == SETTING_TYPE_of_object &&
		    setting_key((enum setting)i, object, key, sizeof(key)))
			row = db_find(db, DB_KIND_SETTING, key);
		if (row)
			db_remove(db, DB_KIND_SETTING, row);
	}
}

void do_vote_note(struct apply *a, const struct db_cmd_vote_note *c)
{
	apply_event(a, c->is_given ? "vote-given" : "vote-taken", c->name, "%s", c->text);
}

static bool names_witness(const struct db_cmd_quorum_mode *c)
{
	return c->witness[0] && c->device[0] == '/' && c->io_ms;
}

void do_quorum_mode(struct apply *a, const struct db_cmd_quorum_mode *c)
{
	struct db_cluster *row =
		db_count(a->db, DB_KIND_CLUSTER) ? db_at(a->db, DB_KIND_CLUSTER, 0) : NULL;
	bool has_witness = c->mode != DB_QUORUM_MODE_NODE_MAJORITY;

	if (!row) {
		apply_answer(a, DB_NO_SUCH, "there is no cluster yet");
		return;
	}
	if (has_witness ? !names_witness(c) : c->witness[0] || c->device[0]) {
		apply_answer(a, DB_INVALID, "a mode with a witness names one, and only such");
		return;
	}
	if (row->quorum_mode == c->mode &&
	    (!has_witness ||
	     (!strcmp(row->witness, c->witness) && !strcmp(row->witness_device, c->device))))
		return;
	row->quorum_mode = c->mode;
	if (has_witness) { /* else the old one is known as long as it has a vote */
		COPY(row->witness, c->witness);
		COPY(row->witness_device, c->device);
		row->witness_io_ms = c->io_ms;
	}
	apply_event(a, "quorum-mode", "cluster", "%s%s%s, by %s",
		    db_choice_word(DB_KIND_CLUSTER, "quorum_mode", c->mode),
		    has_witness ? " on " : "", c->device, a->cmd->actor);
}

void do_db_note(struct apply *a, const struct db_cmd_db_note *c)
{
	static const char *const kind[] = {
#define KIND(NAME, word) [DB_NOTE_##NAME] = "database-" word,
		DB_NOTES(KIND)
#undef KIND
	};

	apply_event(a, kind[c->note], c->name, "%s", c->text);
}
