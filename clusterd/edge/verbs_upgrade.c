/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The version in force: which it is, who speaks what, and the step to the next one. */
#include <stdio.h>

#include "clusterd/core/upgrade.h"
#include "clusterd/edge/verbs_impl.h"

/* What the process says that is in the view, admitted or not; else what its row has. */
static struct cl_versions versions_of(const struct engine *e, const struct db_node *n,
				      const char **ret_build)
{
	const struct repl_state *s = &e->repl;

	*ret_build = n->version;
	for (uint8_t i = 0; s->view_complete && i < s->peer_count; i++) {
		const struct repl_peer *p = &s->peer[i];

		if (p->nodeid != n->nodeid || !p->has_state)
			continue;
		*ret_build = p->state.build.text;
		return repl_versions(&p->state);
	}
	return upgrade_of_node(n);
}

static json_t *node_json(const struct engine *e, const struct db_node *n)
{
	const char *build;
	struct cl_versions v = versions_of(e, n, &build);

	return json_pack("{s:s, s:s, s:i, s:i, s:b}", "node", n->name, "build", build, "lowest",
			 v.lowest, "highest", v.highest, "is_here",
			 n->membership == DB_MEMBERSHIP_ADMITTED);
}

/* The step that could be made, or that the newest build is for. */
static uint16_t next_version(const struct engine *e)
{
	uint16_t next = upgrade_highest(&e->db);

	for (uint32_t i = 0; next <= e->db.version && i < db_count(&e->db, DB_KIND_NODE); i++) {
		const struct db_node *n = db_at(&e->db, DB_KIND_NODE, i);

		if (!n->is_evicted && n->version_max > e->db.version)
			return n->version_max;
	}
	return next;
}

static void reason(const struct engine *e, char *text, size_t size)
{
	uint16_t next = next_version(e);
	char who[DB_REASON_MAX];

	if (next <= e->db.version)
		snprintf(text, size, "no node speaks a higher one");
	else if (upgrade_bar(&e->db, &e->applied_table, next, who, sizeof(who)))
		snprintf(text, size, "%u cannot be put in force: %s", next, who);
	else
		snprintf(text, size,
			 "every node speaks %u: 'clusterctl cluster upgrade' puts it in force",
			 next);
}

void verb_cluster_version(struct api_client *c, const json_t *args)
{
	const struct engine *e = api_engine(c);
	json_t *nodes = json_array(), *o;
	char text[2 * DB_REASON_MAX];

	(void)args;
	for (uint32_t i = 0; i < db_count(&e->db, DB_KIND_NODE); i++)
		json_array_append_new(nodes, node_json(e, db_at(&e->db, DB_KIND_NODE, i)));
	reason(e, text, sizeof(text));
	o = json_pack("{s:i, s:s, s:o}", "in_force", e->db.version, "reason", text, "nodes", nodes);
	api_reply(c, API_OK, o, "%s", "");
}

void verb_cluster_upgrade(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_CLUSTER_UPGRADE);
	const struct engine *e = api_engine(c);
	const struct db_cluster *cluster =
		db_count(&e->db, DB_KIND_CLUSTER) ? db_at(&e->db, DB_KIND_CLUSTER, 0) : NULL;
	char what[2 * DB_REASON_MAX], who[DB_REASON_MAX];
	uint16_t next = next_version(e);

	if (!cluster) {
		api_reply(c, API_NO_SUCH, NULL, "there is no cluster here");
		return;
	}
	if (next <= e->db.version) {
		api_reply(
			c, API_CONFLICT, NULL,
			"version %u is in force, and no node speaks a higher one: install the new "
			"clusterd first, see doc/upgrade.md",
			e->db.version);
		return;
	}
	if (upgrade_bar(&e->db, &e->applied_table, next, who, sizeof(who))) {
		api_reply(c, API_REFUSED, NULL,
			  "version %u cannot be put in force: %s; update or evict it", next, who);
		return;
	}
	snprintf(what, sizeof(what),
		 "this puts version %u in force instead of %u; no node can go back to a clusterd "
		 "that does not speak it",
		 next, e->db.version);
	if (!verb_is_confirmed(c, args, cluster->name, what))
		return;
	cmd.cluster_upgrade.version = next;
	verb_submit(c, &cmd);
}
