/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mode of the quorum and its witness, as clusterctl sets and shows them. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "clusterd/core/schema.h"
#include "clusterd/edge/verbs_impl.h"
#include "clusterd/edge/witness.h"
#include "lib/must.h"
#include "lib/uuid.h"

#define D_DEFAULT_MS 3000

static const struct db_cluster *cluster_of(const struct engine *e)
{
	return db_count(&e->db, DB_KIND_CLUSTER) ? db_at(&e->db, DB_KIND_CLUSTER, 0) : NULL;
}

/* ---- show */

static const char *state_of(const struct engine *e, const struct witness_status *status)
{
	if (e->repl.witness.counts)
		return "claimed";
	if (status->phase != CLAIM_IDLE)
		return "claiming";
	return status->is_reached ? "ready" : "not reached from here";
}

void verb_witness_json(const struct engine *e, const struct cl_table *t, json_t *o)
{
	const struct db_cluster *c = cluster_of(e);
	const struct repl_witness *w = &e->repl.witness;
	struct witness_status status = {0};

	if (e->witness)
		witness_status(e->witness, &status);
	json_object_set_new(
		o, "mode",
		json_string(db_choice_word(DB_KIND_CLUSTER, "quorum_mode",
					   c ? c->quorum_mode : DB_QUORUM_MODE_NODE_MAJORITY)));
	if (!c || !c->witness[0]) {
		json_object_set_new(o, "witness", json_null());
		return;
	}
	json_object_set_new(o, "witness", json_string(c->witness_device));
	json_object_set_new(o, "witness_uuid", json_string(c->witness));
	json_object_set_new(o, "witness_io_ms", json_integer(c->witness_io_ms));
	json_object_set_new(o, "witness_vote", json_integer(t->witness.vote));
	json_object_set_new(o, "witness_state", json_string(state_of(e, &status)));
	json_object_set_new(o, "witness_owner",
			    json_string(w->counts && w->claimer < CL_MAX_NODES
						? t->member[w->claimer].name
						: "-"));
	json_object_set_new(o, "witness_reached_by",
			    verb_names_json(t, (uint16_t)(w->reaches & e->repl.present)));
	json_object_set_new(o, "witness_reason", json_string(status.text));
}

/* ---- set */

struct setting_mode {
	struct engine *engine;
	struct api_ticket *ticket;
	char device[DB_DEVICE_MAX];
};

static void submit_mode(struct api_client *c, enum db_quorum_mode mode,
			const struct witness_header *h, const char *device)
{
	struct db_command cmd = verb_command(c, DB_CMD_QUORUM_MODE);

	cmd.quorum_mode.mode = (uint8_t)mode;
	if (h) {
		uuid_text(h->id.byte, cmd.quorum_mode.witness);
		snprintf(cmd.quorum_mode.device, sizeof(cmd.quorum_mode.device), "%s", device);
		cmd.quorum_mode.io_ms = h->d_ms;
	}
	verb_submit(c, &cmd);
}

static void on_formatted(void *arg, const struct witness_answer *a)
{
	struct setting_mode *s = arg;
	struct api_client *c = api_ticket_take(s->ticket);

	if (c && a->r)
		api_reply(c, API_REFUSED, NULL, "%s", a->text);
	else if (c)
		submit_mode(c, DB_QUORUM_MODE_NODE_DISK, &a->header, s->device);
	free(s);
}

static void set_disk(struct api_client *c, const struct db_cluster *cluster, const char *device,
		     uint32_t d_ms)
{
	struct witness_header h = {.d_ms = d_ms, .created_wall_ms = engine_wall_ms()};
	struct setting_mode *s;
	int r;

	if (cluster->witness[0] && !strcmp(cluster->witness_device, device)) {
		api_reply(c, API_CONFLICT, NULL,
			  "%s is the witness already; to make it anew, set --mode node-majority "
			  "first and wait until it has no vote",
			  device);
		return;
	}
	if (!verb_has_no_dry_run(c, "writes on the disk"))
		return;
	must(getrandom(h.id.byte, sizeof(h.id.byte), 0) == sizeof(h.id.byte));
	h.id.byte[6] = (uint8_t)((h.id.byte[6] & 0x0f) | 0x40);
	h.id.byte[8] = (uint8_t)((h.id.byte[8] & 0x3f) | 0x80);
	h.cluster = api_engine(c)->repl.cluster;
	s = calloc(1, sizeof(*s));
	must(s);
	s->engine = api_engine(c);
	s->ticket = api_ticket_new(c);
	snprintf(s->device, sizeof(s->device), "%s", device);
	r = witness_format(s->engine, device, &h, on_formatted, s);
	if (!r)
		return;
	api_ticket_take(s->ticket);
	free(s);
	api_reply(c, API_FAILED, NULL, "%s cannot be made a witness now: %s", device, strerror(-r));
}

void verb_quorum_mode(struct api_client *c, const json_t *args)
{
	const char *mode = verb_arg_text(args, "mode"), *device = verb_arg_text(args, "disk");
	const struct engine *e = api_engine(c);
	const struct db_cluster *cluster = cluster_of(e);
	uint32_t d_ms;
	bool is_disk = !strcmp(mode, "node-disk");

	if (!is_disk && strcmp(mode, "node-majority") != 0) {
		api_reply(c, API_USAGE, NULL, "mode '%.40s': node-majority or node-disk", mode);
		return;
	}
	if (is_disk ? device[0] != '/' || strlen(device) >= DB_DEVICE_MAX
		    : json_object_get(args, "disk") || json_object_get(args, "io_ms")) {
		api_reply(c, API_USAGE, NULL,
			  "mode node-disk needs --disk with the path of a disk that every node "
			  "reaches by it; no other mode takes --disk or --io-ms");
		return;
	}
	if (!verb_arg_u32(c, args, "io_ms", D_DEFAULT_MS, WITNESS_D_MAX_MS, &d_ms))
		return;
	if (d_ms < WITNESS_D_MIN_MS) {
		api_reply(c, API_USAGE, NULL, "io_ms: a number from %d to %d", WITNESS_D_MIN_MS,
			  WITNESS_D_MAX_MS);
		return;
	}
	if (!cluster) {
		api_reply(c, API_NO_SUCH, NULL, "there is no cluster here");
		return;
	}
	if (!engine_may_act(e)) { /* before a disk is touched */
		api_reply(c, API_NO_QUORUM, NULL, "no quorum: the mode stays as it is");
		return;
	}
	if (is_disk)
		set_disk(c, cluster, device, d_ms);
	else
		submit_mode(c, DB_QUORUM_MODE_NODE_MAJORITY, NULL, "");
}
