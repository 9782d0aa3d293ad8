/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two commands in which an administrator's word stands for a proof: both want a name twice. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/force.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/verbs_impl.h"

/* It may take a pull and two syncs on every node that is here. */
#define FORCE_TIMEOUT_MS 30000

static void names_of(const struct cl_table *t, uint16_t set, char *text, size_t size)
{
	size_t at = 0;

	snprintf(text, size, "(none)");
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if ((set & cl_bit(i)) && at < size)
			at += (size_t)snprintf(text + at, size - at, "%s%s", at ? "," : "",
					       t->member[i].name);
	}
}

/* Members whose machine is in corosync's ring, whatever runs on it. */
static uint16_t in_ring(const struct engine *e, const struct cl_table *t)
{
	uint16_t set = 0;

	for (size_t i = 0; i < e->ring_count; i++) {
		uint8_t slot = quorum_find_nodeid(t, e->ring[i]);

		if (slot != CL_NODE_NONE)
			set = (uint16_t)(set | cl_bit(slot));
	}
	return set;
}

static bool arg_down(struct api_client *c, const json_t *args, const struct cl_table *t,
		     uint16_t *ret)
{
	const json_t *down = json_object_get(args, "down"), *v;
	uint8_t slot;
	size_t i;

	*ret = 0;
	if (down && !json_is_array(down)) {
		api_reply(c, API_USAGE, NULL, "down: names of nodes");
		return false;
	}
	json_array_foreach(down, i, v)
	{
		const char *name = json_string_value(v);

		slot = name ? quorum_find_name(t, name) : CL_NODE_NONE;
		if (slot == CL_NODE_NONE) {
			api_reply(c, API_NO_SUCH, NULL, "down: no node %.64s", name ? name : "?");
			return false;
		}
		*ret = (uint16_t)(*ret | cl_bit(slot));
	}
	return true;
}

static void refuse(struct api_client *c, const struct cl_table *t, struct force_answer a)
{
	char names[256];

	names_of(t, a.nodes, names, sizeof(names));
	switch (a.refusal) {
	case FORCE_BLANK:
		api_reply(c, API_REFUSED, NULL,
			  "this node holds no history: ask one that was in the cluster");
		break;
	case FORCE_NOT_ADMITTED:
		api_reply(c, API_REFUSED, NULL,
			  "this node is not admitted: see 'clusterctl quorum show'");
		break;
	case FORCE_QUORATE:
		api_reply(c, API_CONFLICT, NULL, "there is quorum: nothing is to be forced");
		break;
	case FORCE_PRESENT:
		api_reply(
			c, API_REFUSED, NULL,
			"listed as down, and in corosync's ring: %s; only who is away can be down",
			names);
		break;
	case FORCE_UNLISTED:
		api_reply(c, API_REFUSED, NULL,
			  "absent, and not listed: %s; list each with --down once you know that it "
			  "is down, or bring it back",
			  names);
		break;
	case FORCE_NO_VIEW:
	case FORCE_ALLOWED:
	case FORCE_REFUSAL_MAX:
		api_reply(c, API_CONFLICT, NULL,
			  "the nodes that are here are still telling each other what they hold: "
			  "again in a few seconds");
		break;
	}
}

static void forced(void *arg, int r, const struct db_result *result)
{
	struct api_client *c = api_ticket_take(arg);

	(void)result;
	if (!c)
		return;
	if (r)
		api_reply(c, API_TIMED_OUT, NULL,
			  "asked for, and no quorum yet: see 'clusterctl quorum show', and ask "
			  "again if it stays so");
	else
		api_reply(c, API_OK, NULL, "%s", "");
}

/* The change of votes gets its line like any other; when that is applied, there is quorum. */
static void note(struct api_client *c, const struct cl_table *t, uint16_t down)
{
	struct db_command cmd = verb_command(c, DB_CMD_VOTE_NOTE);
	struct api_ticket *ticket = api_ticket_new(c);

	names_of(t, down, cmd.vote_note.name, sizeof(cmd.vote_note.name));
	snprintf(cmd.vote_note.text, sizeof(cmd.vote_note.text),
		 "quorum was forced: those vote who were here, and nobody else");
	if (!engine_request(api_engine(c), &cmd, FORCE_TIMEOUT_MS, forced, ticket))
		return;
	api_ticket_take(ticket);
	api_reply(c, API_FAILED, NULL, "too many requests under way on this node");
}

void verb_cluster_start(struct api_client *c, const json_t *args)
{
	struct engine *e = api_engine(c);
	const struct cl_table *t =
		e->repl.self_slot == CL_NODE_NONE ? &e->applied_table : &e->repl.vtable;
	const struct db_cluster *cluster =
		db_count(&e->db, DB_KIND_CLUSTER) ? db_at(&e->db, DB_KIND_CLUSTER, 0) : NULL;
	struct db_command who = verb_command(c, DB_CMD_VOTE_NOTE);
	struct force_answer a;
	uint16_t down;
	char names[256], text[400];

	if (!verb_has_no_dry_run(c, "changes who votes, not the database"))
		return;
	if (!json_is_true(json_object_get(args, "force_quorum"))) {
		api_reply(c, API_USAGE, NULL,
			  "a cluster starts with the clusterds of a majority of its votes; this "
			  "starts it without, and wants --force-quorum");
		return;
	}
	if (!cluster) {
		refuse(c, t, (struct force_answer){.refusal = FORCE_BLANK});
		return;
	}
	if (!arg_down(c, args, t, &down))
		return;
	a = force_check(&e->repl, down);
	if ((a.refusal == FORCE_ALLOWED || a.refusal == FORCE_UNLISTED) && (down & in_ring(e, t)))
		a = (struct force_answer){FORCE_PRESENT, (uint16_t)(down & in_ring(e, t))};
	if (a.refusal != FORCE_ALLOWED) {
		refuse(c, t, a);
		return;
	}
	names_of(t, down, names, sizeof(names));
	snprintf(text, sizeof(text),
		 "this goes on without %s; what they alone have is lost to the cluster, and if one "
		 "of them still runs, two clusters do",
		 names);
	if (!verb_is_confirmed(c, args, cluster->name, text))
		return;
	log_notice("quorum is forced by %s, without %s", who.actor, names);
	if (engine_force(e, down, who.actor))
		refuse(c, t, (struct force_answer){.refusal = FORCE_NO_VIEW});
	else
		note(c, t, down);
}

void verb_fence_confirm(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_NODE_DOWN);
	const struct engine *e = api_engine(c);
	const struct db_node *n = verb_arg_node(c, args, "name");

	if (!n)
		return;
	if ((in_ring(e, &e->repl.vtable) | e->repl.present) & cl_bit(n->slot)) {
		api_reply(c, API_REFUSED, NULL, "node %s is in corosync's ring: its machine runs",
			  n->name);
		return;
	}
	if (!verb_is_confirmed(c, args, n->name,
			       "this lets others start what it had; if it still runs, that runs "
			       "twice, and writes the same disks"))
		return;
	memcpy(cmd.node_down.name, n->name, sizeof(n->name));
	cmd.node_down.incarnation = n->incarnation;
	verb_submit(c, &cmd);
}
