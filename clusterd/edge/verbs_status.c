/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The look at the whole: quorum, nodes, volumes, groups. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/edge/engine.h"
#include "clusterd/edge/health.h"
#include "clusterd/edge/verbs_impl.h"
#include "lib/must.h"

/* As much of the groups as `clusterctl status` prints: a thousand of them take a tenth of the time.
 */
static json_t *groups_json(const struct db *db)
{
	static const char *const names[] = {"name", "work", "node", "intent", "reason"};
	const struct db_shape *shape = db_kind_shape(DB_KIND_GROUP);
	const struct db_field *field[MUST_ARRAY_SIZE(names)];
	json_t *a = json_array();

	must(a);
	for (size_t n = 0; n < MUST_ARRAY_SIZE(names); n++) {
		field[n] = shape->field;
		while (strcmp(field[n]->name, names[n]) != 0) {
			field[n]++;
			must(field[n] < shape->field + shape->field_count);
		}
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_GROUP); i++) {
		const void *row = db_at(db, DB_KIND_GROUP, i);
		json_t *o = json_object();

		must(o);
		for (size_t n = 0; n < MUST_ARRAY_SIZE(names); n++)
			json_object_set_new(o, names[n], verb_field_json(db, field[n], row));
		json_object_set_new(o, "state", json_string(verb_row_state(DB_KIND_GROUP, row)));
		json_array_append_new(a, o);
	}
	return a;
}

void verb_cluster_status(struct api_client *c, const json_t *args)
{
	const struct engine *e = api_engine(c);
	json_t *o = json_object();
	char hash[20], text[2 * DB_REASON_MAX];

	(void)args;
	snprintf(hash, sizeof(hash), "%016" PRIx64, db_hash(&e->db));
	json_object_set_new(
		o, "cluster",
		db_count(&e->db, DB_KIND_CLUSTER)
			? verb_row_json(&e->db, DB_KIND_CLUSTER, db_at(&e->db, DB_KIND_CLUSTER, 0))
			: json_null());
	json_object_set_new(o, "node", json_string(e->repl.self.name.text));
	json_object_set_new(o, "quorum", verb_quorum_json(e));
	json_object_set_new(o, "nodes", verb_nodes_json(e));
	json_object_set_new(o, "admission", verb_admission_json(api_engine(c)));
	json_object_set_new(o, "volumes", verb_table_json(&e->db, DB_KIND_VOLUME));
	json_object_set_new(o, "groups", groups_json(&e->db));
	json_object_set_new(o, "applied", json_integer((json_int_t)e->db.index));
	json_object_set_new(o, "hash", json_string(hash));
	health_text(e, text, sizeof(text));
	json_object_set_new(o, "database",
			    json_pack("{s:s, s:s}", "state", health_word(e), "text", text));
	api_reply(c, API_OK, o, "%s", "");
}
