/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs about the configuration as a whole. */
#include <stdio.h>
#include <string.h>

#include "clusterd/core/config.h"
#include "clusterd/edge/verbs_impl.h"
#include "lib/must.h"

/* ---- history */

void verb_config_history(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	const char *object = verb_arg_text(args, "object");
	json_t *a = json_array();

	must(a);
	if (object[0] && !strchr(object, '/')) {
		json_decref(a);
		api_reply(c, API_USAGE, NULL, "object: '%.64s': KIND/NAME, such as group/web",
			  object);
		return;
	}
	for (uint32_t i = 0; i < db_count(db, DB_KIND_AUDIT); i++) {
		const struct db_audit *row = db_at(db, DB_KIND_AUDIT, i);

		if (!object[0] || !strcmp(row->object, object))
			json_array_append_new(a, verb_row_json(db, DB_KIND_AUDIT, row));
	}
	api_reply(c, API_OK, a, "%s", "");
}
