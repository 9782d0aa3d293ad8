/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a group is where it is: the planner's sentence, and the decision behind it, node by node. */
#include <inttypes.h>
#include <string.h>

#include "clusterd/core/decision.h"
#include "clusterd/core/plan.h"
#include "clusterd/edge/verbs_impl.h"
#include "lib/must.h"

json_t *verb_decision_json(const struct db *db, const struct db_decision *d)
{
	char text[DECISION_TEXT_MAX];
	json_t *o;

	if (!d)
		return json_null();
	o = verb_row_json(db, DB_KIND_DECISION, d);
	decision_text(db, d, text, sizeof(text));
	json_object_set_new(o, "text", json_string(text));
	return o;
}

void verb_group_explain(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	char name[CL_NAME_MAX], text[3 * DB_REASON_MAX];
	const struct db_decision *d;
	const struct db_group *g;
	json_t *o = json_object();

	must(o);
	if (!verb_arg_name(c, args, "name", name, sizeof(name))) {
		json_decref(o);
		return;
	}
	g = db_find(db, DB_KIND_GROUP, name);
	if (!g) {
		json_decref(o);
		api_reply(c, API_NO_SUCH, NULL, "no group %s", name);
		return;
	}
	plan_explain(db, g, text, sizeof(text));
	d = decision_newest(db, name);
	json_object_set_new(o, "name", json_string(name));
	json_object_set_new(o, "explain", json_string(text));
	json_object_set_new(o, "trigger", d ? json_string(d->trigger) : json_null());
	json_object_set_new(o, "decision", verb_decision_json(db, d));
	json_object_set_new(o, "resources", verb_group_resources_json(db, name));
	api_reply(c, API_OK, o, "%s", "");
}

void verb_event_show(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	const struct db_event *e;
	uint64_t id;
	json_t *o;

	if (!verb_arg_id(c, args, &id))
		return;
	e = db_find_id(db, DB_KIND_EVENT, id);
	if (!e) {
		api_reply(c, API_NO_SUCH, NULL, "no event %" PRIu64, id);
		return;
	}
	o = verb_row_json(db, DB_KIND_EVENT, e);
	json_object_set_new(o, "decision",
			    verb_decision_json(db, db_find_id(db, DB_KIND_DECISION, e->index)));
	api_reply(c, API_OK, o, "%s", "");
}
