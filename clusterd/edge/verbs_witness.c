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
	if (status->is_barred)
		return "knows others";
	if (status->phase != CLAIM_IDLE)
		return "claiming";
	return status->is_reached ? "ready" : "not reached from here";
}

/* What an administrator should know of the mode before something fails. */
static const char *warning_of(const struct engine *e, const struct db_cluster *c,
			      const struct cl_table *t)
{
	const struct repl_state *s = &e->repl;

	if (c->quorum_mode == DB_QUORUM_MODE_DISK_ONLY)
		return "disk-only: everything stops when the disk is lost, however many nodes are "
		       "here";
	if (c->quorum_mode == DB_QUORUM_MODE_NODE_SHARE && t->witness.vote &&
	    s->phase == REPL_OPEN && !s->witness.is_recorded)
		return "the share does not know yet who is here: those whom it knows may go on "
		       "with it, and nobody else";
	return "";
}

/* Who may go on with a share. */
static void add_share(const struct engine *e, const struct cl_table *t,
		      const struct witness_status *status, json_t *o)
{
	const struct repl_witness *w = &e->repl.witness;
	uint16_t set = w->is_recorded ? w->set : status->set.members;

	json_object_set_new(o, "witness_knows", verb_names_json(t, set));
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
	json_object_set_new(o, "warning", json_string(c ? warning_of(e, c, t) : ""));
	if (!c || !c->witness[0] ||
	    (c->quorum_mode == DB_QUORUM_MODE_NODE_MAJORITY && !t->witness.vote)) {
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
	if (c->quorum_mode == DB_QUORUM_MODE_NODE_SHARE)
		add_share(e, t, &status, o);
	json_object_set_new(o, "witness_reason",
			    json_string(status.is_barred
						? "none of the nodes here is one that it knows"
						: status.text));
}

/* ---- set */

/* What is asked for, checked. */
struct mode_wish {
	enum db_quorum_mode mode;
	const char *path; /* of the disk or folder; "": that which there is */
	uint32_t d_ms;
};

struct setting_mode {
	struct engine *engine;
	struct api_ticket *ticket;
	enum db_quorum_mode mode;
	char device[DB_DEVICE_MAX];
};

static void on_formatted(void *arg, const struct witness_answer *a)
{
	struct setting_mode *s = arg;
	struct api_client *c = api_ticket_take(s->ticket);
	struct db_command cmd;

	if (c && a->r) {
		api_reply(c, API_REFUSED, NULL, "%s", a->text);
	} else if (c) {
		cmd = verb_command(c, DB_CMD_QUORUM_MODE);
		cmd.quorum_mode.mode = (uint8_t)s->mode;
		uuid_text(a->header.id.byte, cmd.quorum_mode.witness);
		snprintf(cmd.quorum_mode.device, sizeof(cmd.quorum_mode.device), "%s", s->device);
		cmd.quorum_mode.io_ms = a->header.d_ms;
		verb_submit(c, &cmd);
	}
	free(s);
}

static void make_witness(struct api_client *c, const struct mode_wish *m)
{
	struct witness_header h = {.d_ms = m->d_ms, .created_wall_ms = engine_wall_ms()};
	struct setting_mode *s;
	int r;

	if (!verb_has_no_dry_run(c, "writes on the witness"))
		return;
	must(getrandom(h.id.byte, sizeof(h.id.byte), 0) == sizeof(h.id.byte));
	h.id.byte[6] = (uint8_t)((h.id.byte[6] & 0x0f) | 0x40);
	h.id.byte[8] = (uint8_t)((h.id.byte[8] & 0x3f) | 0x80);
	h.cluster = api_engine(c)->repl.cluster;
	s = calloc(1, sizeof(*s));
	must(s);
	s->engine = api_engine(c);
	s->ticket = api_ticket_new(c);
	s->mode = m->mode;
	snprintf(s->device, sizeof(s->device), "%s", m->path);
	r = witness_format(s->engine, m->path, m->mode == DB_QUORUM_MODE_NODE_SHARE, &h,
			   on_formatted, s);
	if (!r)
		return;
	api_ticket_take(s->ticket);
	free(s);
	api_reply(c, API_FAILED, NULL, "%s cannot be made a witness now: %s", m->path,
		  strerror(-r));
}

static bool has_disk(enum db_quorum_mode mode)
{
	return mode == DB_QUORUM_MODE_NODE_DISK || mode == DB_QUORUM_MODE_DISK_ONLY;
}

/* No witness is made: there is to be none, or the disk that is one gets another part. */
static void submit_mode(struct api_client *c, const struct db_cluster *cluster,
			enum db_quorum_mode mode)
{
	struct db_command cmd = verb_command(c, DB_CMD_QUORUM_MODE);

	cmd.quorum_mode.mode = (uint8_t)mode;
	if (has_disk(mode)) {
		memcpy(cmd.quorum_mode.witness, cluster->witness, sizeof(cluster->witness));
		memcpy(cmd.quorum_mode.device, cluster->witness_device,
		       sizeof(cluster->witness_device));
		cmd.quorum_mode.io_ms = cluster->witness_io_ms;
	}
	verb_submit(c, &cmd);
}

static void set_mode(struct api_client *c, const struct db_cluster *cluster,
		     const struct mode_wish *m)
{
	enum db_quorum_mode is = (enum db_quorum_mode)cluster->quorum_mode;
	bool is_there = is != DB_QUORUM_MODE_NODE_MAJORITY && cluster->witness[0] &&
			(!m->path[0] || !strcmp(cluster->witness_device, m->path));

	if (m->mode == DB_QUORUM_MODE_NODE_MAJORITY) {
		submit_mode(c, cluster, m->mode);
	} else if (is_there && has_disk(m->mode) && has_disk(is) && m->mode != is) {
		submit_mode(c, cluster, m->mode);
	} else if (!m->path[0]) {
		api_reply(c, API_USAGE, NULL,
			  "there is no witness on a disk: name one with --disk");
	} else if (is_there) {
		api_reply(c, API_CONFLICT, NULL,
			  "%s is the witness already; to make it anew, set --mode node-majority "
			  "first and wait until it has no vote",
			  m->path);
	} else if (api_engine(c)->repl.witness.counts) {
		api_reply(c, API_CONFLICT, NULL,
			  "the vote of %s is needed now, and it would be lost before another has "
			  "one; set --mode node-majority first and wait until it has none",
			  cluster->witness_device);
	} else {
		make_witness(c, m);
	}
}

/* Which of --disk and --witness belong to the mode; an empty path where none is needed. */
static bool arg_path(struct api_client *c, const json_t *args, struct mode_wish *m)
{
	bool is_share = m->mode == DB_QUORUM_MODE_NODE_SHARE;
	const char *disk = verb_arg_text(args, "disk"), *share = verb_arg_text(args, "witness");
	bool has_path = disk[0] || share[0] || json_object_get(args, "io_ms");
	bool is_fitting = is_share ? !disk[0] && share[0] == '/' && strlen(share) < DB_DEVICE_MAX
				   : !share[0] && (!disk[0] || disk[0] == '/') &&
					     strlen(disk) < DB_DEVICE_MAX;

	if (m->mode == DB_QUORUM_MODE_NODE_MAJORITY && has_path)
		is_fitting = false;
	if (m->mode == DB_QUORUM_MODE_NODE_DISK && has_path && !disk[0])
		is_fitting = false;
	if (!is_fitting)
		api_reply(c, API_USAGE, NULL,
			  "modes node-disk and disk-only take --disk with the path of a disk, mode "
			  "node-share --witness with the path of a folder, that every node reaches "
			  "by it; no other mode takes one, or --io-ms");
	m->path = is_share ? share : disk;
	return is_fitting;
}

static bool arg_mode(struct api_client *c, const json_t *args, struct mode_wish *m)
{
	const char *mode = verb_arg_text(args, "mode");
	static const enum db_quorum_mode all[] = {
		DB_QUORUM_MODE_NODE_MAJORITY, DB_QUORUM_MODE_NODE_DISK, DB_QUORUM_MODE_NODE_SHARE,
		DB_QUORUM_MODE_DISK_ONLY};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		m->mode = all[i];
		if (!strcmp(mode, db_choice_word(DB_KIND_CLUSTER, "quorum_mode", all[i])))
			return true;
	}
	api_reply(c, API_USAGE, NULL,
		  "mode '%.40s': node-majority, node-disk, node-share or disk-only", mode);
	return false;
}

void verb_quorum_mode(struct api_client *c, const json_t *args)
{
	const struct engine *e = api_engine(c);
	const struct db_cluster *cluster = cluster_of(e);
	struct mode_wish m;

	if (!arg_mode(c, args, &m) || !arg_path(c, args, &m) ||
	    !verb_arg_u32(c, args, "io_ms", D_DEFAULT_MS, WITNESS_D_MAX_MS, &m.d_ms))
		return;
	if (m.d_ms < WITNESS_D_MIN_MS) {
		api_reply(c, API_USAGE, NULL, "io_ms: a number from %d to %d", WITNESS_D_MIN_MS,
			  WITNESS_D_MAX_MS);
		return;
	}
	if (!cluster) {
		api_reply(c, API_NO_SUCH, NULL, "there is no cluster here");
		return;
	}
	if (!engine_may_act(e)) { /* before a witness is touched */
		api_reply(c, API_NO_QUORUM, NULL, "no quorum: the mode stays as it is");
		return;
	}
	if (m.mode == DB_QUORUM_MODE_DISK_ONLY && cluster->quorum_mode != m.mode &&
	    !verb_is_confirmed(c, args, cluster->name,
			       "with disk-only the disk alone decides: everything stops when it "
			       "is lost, however many nodes are here"))
		return;
	set_mode(c, cluster, &m);
}
