/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/whatif.h"

#include <stdio.h>
#include <string.h>

#include "clusterd/core/assume.h"
#include "clusterd/core/job.h"
#include "clusterd/core/msg.h"
#include "clusterd/core/stuck.h"
#include "clusterd/core/vm.h"
#include "lib/must.h"
#include "lib/wire.h"

#define ORIGIN	     0		/* no request of the copy came from here under this: */
#define INSTANCE     UINT64_MAX /* so none is taken for a repeated one */
#define MOUNT_BASE   (1ull << 63)
#define REPORTS_STEP 64 /* in one step */
#define ALIGNMENT    16

static size_t align_up(size_t n)
{
	return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static uint32_t before_max(const struct db_limits *limits)
{
	return limits->capacity[DB_KIND_VOLUME] + limits->capacity[DB_KIND_GROUP];
}

size_t whatif_size(const struct db_limits *limits)
{
	return align_up(db_size(limits)) + before_max(limits) * sizeof(struct whatif_before);
}

/* ---- commands on the copy */

static enum db_code apply(struct whatif *w, struct db_command *cmd, struct db_result *ret)
{
	uint8_t buf[DB_COMMAND_MAX];
	struct db_entry e = {.index = w->db.index + 1,
			     .epoch = w->db.epoch,
			     .kind = CL_ENTRY_COMMAND,
			     .origin = ORIGIN,
			     .instance = INSTANCE,
			     .request = ++w->request,
			     .payload = buf};

	cmd->version = (uint8_t)w->db.version;
	cmd->at_ms = w->at_ms;
	snprintf(cmd->actor, sizeof(cmd->actor), "simulation");
	must(!db_command_encode(cmd, buf, sizeof(buf), &e.payload_len));
	db_apply(&w->db, &e, ret);
	return ret->code;
}

/* The cluster would take it, too; if the copy does not, a table is full, and that ends it. */
static void apply_well(struct whatif *w, struct db_command *cmd)
{
	struct db_result r;

	if (w->refusal[0] || !apply(w, cmd, &r))
		return;
	snprintf(w->refusal, sizeof(w->refusal), "%s: %.150s",
		 db_command_shape((uint16_t)cmd->type)->name, r.text);
}

static void take_report(void *arg, struct db_command *cmd)
{
	apply_well(arg, cmd);
}

/* ---- what happens */

static void fenced(struct whatif *w, const char *name, uint64_t incarnation)
{
	struct db_command cmd = {
		.type = DB_CMD_NODE_FENCED,
		.node_fenced = {.incarnation = incarnation, .how = "assumed to succeed at once"}};

	snprintf(cmd.node_fenced.name, CL_NAME_MAX, "%s", name);
	apply_well(w, &cmd);
}

static enum db_code lose(struct whatif *w, const struct db_node *n, struct db_result *r)
{
	struct db_command cmd = {.type = DB_CMD_NODE_LOST,
				 .node_lost = {.incarnation = n->incarnation}};

	memcpy(cmd.node_lost.name, n->name, sizeof(n->name));
	if (n->membership == DB_MEMBERSHIP_ADMITTED && apply(w, &cmd, r))
		return r->code;
	if (n->membership != DB_MEMBERSHIP_LOST && n->membership != DB_MEMBERSHIP_FENCING)
		return DB_OK; /* it was not here: there is nothing to lose */
	if (!stuck_has_device(&w->db, n->slot)) {
		w->unfenced = (uint16_t)(w->unfenced | cl_bit(n->slot));
		return DB_OK;
	}
	cmd = (struct db_command){.type = DB_CMD_NODE_FENCING,
				  .node_fencing = {.incarnation = n->incarnation}};
	memcpy(cmd.node_fencing.name, n->name, sizeof(n->name));
	if (apply(w, &cmd, r))
		return r->code;
	fenced(w, n->name, n->incarnation);
	return DB_OK;
}

static enum db_code drain(struct whatif *w, const struct db_node *n, struct db_result *r)
{
	struct db_command cmd = {.type = DB_CMD_NODE_PAUSE,
				 .node_pause = {.pause = true, .drain = true}};

	memcpy(cmd.node_pause.name, n->name, sizeof(n->name));
	return apply(w, &cmd, r);
}

/* A later boot, and a new process. */
static enum db_code come_back(struct whatif *w, const struct db_node *n, struct db_result *r)
{
	struct db_command cmd = {.type = DB_CMD_NODE_ADMIT,
				 .node_admit = {.slot = n->slot,
						.nodeid = n->nodeid,
						.incarnation = n->incarnation + 1,
						.instance = n->instance + 1,
						.version_min = n->version_min,
						.version_max = n->version_max,
						.boot = "simulated"}};

	if (n->membership == DB_MEMBERSHIP_ADMITTED) {
		snprintf(r->text, sizeof(r->text), "node %s is here", n->name);
		return DB_CONFLICT;
	}
	memcpy(cmd.node_admit.name, n->name, sizeof(n->name));
	memcpy(cmd.node_admit.version, n->version, sizeof(n->version));
	return apply(w, &cmd, r);
}

static enum db_code fail(struct whatif *w, const char *name, struct db_result *r)
{
	const struct db_group *g = db_find(&w->db, DB_KIND_GROUP, name);
	struct db_command cmd = {
		.type = DB_CMD_GROUP_REPORT,
		.group_report = {.work = DB_WORK_FAILED, .reason = "assumed to fail there"}};

	if (!g) {
		snprintf(r->text, sizeof(r->text), "no group %s", name);
		return DB_NO_SUCH;
	}
	if (g->work != DB_WORK_ONLINE) {
		snprintf(r->text, sizeof(r->text), "group %s is not online: it is %s", name,
			 db_choice_word(DB_KIND_GROUP, "work", g->work));
		return DB_CONFLICT;
	}
	memcpy(cmd.group_report.name, g->name, sizeof(g->name));
	cmd.group_report.order = g->order;
	return apply(w, &cmd, r);
}

/* As the cluster would take it: refusals are the same. */
static enum db_code change(struct whatif *w, struct db_result *r)
{
	struct db_entry e = {.index = w->db.index + 1,
			     .epoch = w->db.epoch,
			     .kind = CL_ENTRY_COMMAND,
			     .origin = ORIGIN,
			     .instance = INSTANCE,
			     .request = ++w->request,
			     .payload = w->event.change,
			     .payload_len = w->event.change_len};
	struct wire_reader reader;
	struct db_command head;
	uint32_t count;

	if (!db_change_open(e.payload, e.payload_len, &head, &reader, &count) &&
	    head.at_ms > w->at_ms)
		w->at_ms = head.at_ms;
	db_apply(&w->db, &e, r);
	w->event.change = NULL; /* borrowed until here */
	w->is_stale = r->is_stale;
	for (uint8_t slot = 0; slot < CL_MAX_NODES && !r->code; slot++) {
		const struct db_node *n = db_node_by_slot(&w->db, slot);

		if (n && n->membership == DB_MEMBERSHIP_FENCING)
			w->fences = (uint16_t)(w->fences | cl_bit(slot));
	}
	return r->code;
}

/* After the change, whose own rows are looked at first. */
static void fences_succeed(struct whatif *w)
{
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		const struct db_node *n = db_node_by_slot(&w->db, slot);

		if (n && (w->fences & cl_bit(slot)))
			fenced(w, n->name, n->incarnation);
	}
	w->fences = 0;
}

static enum db_code happen(struct whatif *w, struct db_result *r)
{
	const struct whatif_event *e = &w->event;
	enum db_code code = DB_OK;

	if (e->kind == WHATIF_FAIL)
		return fail(w, e->group, r);
	if (e->kind == WHATIF_CHANGE)
		return change(w, r);
	for (uint8_t slot = 0; slot < CL_MAX_NODES && !code; slot++) {
		const struct db_node *n = db_node_by_slot(&w->db, slot);

		if (!(e->nodes & cl_bit(slot)) || !n)
			continue;
		if (e->kind == WHATIF_LOSE)
			code = lose(w, n, r);
		else
			code = e->kind == WHATIF_DRAIN ? drain(w, n, r) : come_back(w, n, r);
	}
	return code;
}

static void remember(struct whatif *w)
{
	for (uint32_t i = 0; i < db_count(&w->db, DB_KIND_VOLUME); i++) {
		const struct db_volume *v = db_at(&w->db, DB_KIND_VOLUME, i);
		struct whatif_before *b = &w->before[w->before_count++];

		*b = (struct whatif_before){.is_volume = true,
					    .is_wanted = !v->is_deleting,
					    .work = v->work,
					    .node = v->node};
		memcpy(b->name, v->name, sizeof(b->name));
	}
	for (uint32_t i = 0; i < db_count(&w->db, DB_KIND_GROUP); i++) {
		const struct db_group *g = db_at(&w->db, DB_KIND_GROUP, i);
		struct whatif_before *b = &w->before[w->before_count++];

		*b = (struct whatif_before){.is_wanted = g->intent == DB_INTENT_ONLINE,
					    .work = g->work,
					    .node = g->node};
		memcpy(b->name, g->name, sizeof(b->name));
	}
}

/* The newest time that the database knows: nothing here looks at a clock. */
static uint64_t newest_ms(const struct db *db)
{
	uint32_t events = db_count(db, DB_KIND_EVENT);
	const struct db_event *e = events ? db_at(db, DB_KIND_EVENT, events - 1) : NULL;

	return e ? e->at_ms : 0;
}

enum db_code whatif_begin(struct whatif *w, void *mem, size_t mem_size,
			  const struct db_limits *limits, const void *snapshot, size_t len,
			  const struct whatif_event *event, char *text, size_t text_size)
{
	struct db_result r = {.code = DB_OK};
	enum db_code code;

	memset(w, 0, sizeof(*w));
	w->event = *event;
	if (mem_size < whatif_size(limits) || db_init(&w->db, mem, db_size(limits), limits) ||
	    db_decode(&w->db, snapshot, len)) {
		snprintf(text, text_size, "the database cannot be copied");
		return DB_FAILED;
	}
	w->before = (struct whatif_before *)((char *)mem + align_up(db_size(limits)));
	w->at_ms = newest_ms(&w->db);
	remember(w);
	must(w->before_count <= before_max(limits));
	if (event->kind == WHATIF_LOSE && !event->is_quorate) {
		w->is_over = w->is_at_rest = true;
		return DB_OK;
	}
	code = happen(w, &r);
	snprintf(text, text_size, "%s", r.text);
	return code;
}

/* ---- step by step */

static struct whatif_order *note(struct whatif *w, const char *action, const char *kind,
				 const char *name)
{
	struct whatif_order *o = &w->order[w->order_count];

	if (w->order_count == WHATIF_ORDERS_MAX) {
		w->orders_left_off++;
		return NULL;
	}
	w->order_count++;
	*o = (struct whatif_order){
		.round = w->round, .action = action, .kind = kind, .node = CL_NODE_NONE};
	snprintf(o->name, sizeof(o->name), "%s", name);
	return o;
}

static void set(struct whatif_order *o, uint8_t node, const char *reason)
{
	if (!o)
		return;
	o->node = node;
	snprintf(o->reason, sizeof(o->reason), "%s", reason);
}

static void note_migration(struct whatif *w, const struct db_cmd_migration_order *o)
{
	const struct db_migration *m = db_find_id(&w->db, DB_KIND_MIGRATION, o->id);

	must(m);
	set(note(w, o->phase == DB_MIGRATION_PHASE_ENDED ? "end" : "begin", "vm", m->vm),
	    m->destination,
	    o->reason[0] ? o->reason : "its turn: the pair of nodes is free for the migration");
}

static void note_job(struct whatif *w, const struct db_cmd_job_order *o)
{
	const struct db_job *j = db_find_id(&w->db, DB_KIND_JOB, o->id);

	must(j);
	set(note(w, o->is_undo ? "undo" : job_word(j), "vm", j->vm), o->node, o->reason);
}

static void note_fence(struct whatif *w, const struct db_cmd_node_fencing *o)
{
	const struct db_node *n = db_find(&w->db, DB_KIND_NODE, o->name);
	char why[DB_REASON_MAX];

	must(n);
	if (!stuck_asks(&w->db, n, why, sizeof(why)))
		why[0] = 0;
	set(note(w, "fence", "node", o->name), n->slot, why);
}

static const char *kind_of(const struct whatif *w, const char *group)
{
	return db_find(&w->db, DB_KIND_VM, group) ? "vm" : "group";
}

static void note_order(struct whatif *w, const struct db_command *cmd)
{
	const struct db_cmd_volume_order *v = &cmd->volume_order;
	const struct db_cmd_group_order *g = &cmd->group_order;
	const struct db_cmd_vm_migrate *m = &cmd->vm_migrate;

	if (cmd->type == DB_CMD_VOLUME_ORDER)
		set(note(w, v->work == DB_WORK_STARTING ? "start" : "stop", "volume", v->name),
		    v->node, v->reason);
	else if (cmd->type == DB_CMD_GROUP_ORDER)
		set(note(w, g->work == DB_WORK_STARTING ? "start" : "stop", kind_of(w, g->name),
			 g->name),
		    g->node, g->reason);
	else if (cmd->type == DB_CMD_VM_MIGRATE)
		set(note(w, "migrate", "vm", m->name), m->to, m->reason);
	else if (cmd->type == DB_CMD_MIGRATION_ORDER)
		note_migration(w, &cmd->migration_order);
	else if (cmd->type == DB_CMD_JOB_ORDER)
		note_job(w, &cmd->job_order);
	else
		note_fence(w, &cmd->node_fencing);
}

/* The sequencer does not give the order to fence if the others were not quorate after it. */
static bool is_given(const struct whatif *w, const struct db_command *cmd)
{
	const struct db_node *n;

	if (cmd->type != DB_CMD_NODE_FENCING)
		return true;
	n = db_find(&w->db, DB_KIND_NODE, cmd->node_fencing.name);
	return n && (w->event.may_fence & cl_bit(n->slot));
}

/* How many orders were given. */
static size_t plan(struct whatif *w)
{
	struct db_command cmd;
	size_t given = 0;

	plan_run(&w->db, &w->orders);
	w->round += !w->is_planning;
	w->is_planning = true;
	for (size_t i = 0; plan_command(&w->orders, i, &cmd) && !w->refusal[0]; i++) {
		if (!is_given(w, &cmd))
			continue;
		note_order(w, &cmd);
		apply_well(w, &cmd);
		if (cmd.type == DB_CMD_NODE_FENCING)
			fenced(w, cmd.node_fencing.name, cmd.node_fencing.incarnation);
		given++;
	}
	return given;
}

static int report(struct whatif *w)
{
	struct assume a = {.db = &w->db,
			   .apply = take_report,
			   .arg = w,
			   .mount_base = MOUNT_BASE,
			   .mounts = &w->mounts,
			   .limit = REPORTS_STEP};

	return assume_success(&a, NULL);
}

bool whatif_step(struct whatif *w)
{
	int done;

	if (w->is_over)
		return false;
	if (w->fences)
		fences_succeed(w);
	if (!w->is_reporting && plan(w) && !w->refusal[0])
		return true;
	done = w->refusal[0] ? 0 : report(w);
	w->is_at_rest = !done && !w->is_reporting && !w->refusal[0];
	w->is_reporting = done >= REPORTS_STEP;
	w->is_planning = false;
	w->is_over = w->is_at_rest || w->refusal[0] || w->round == WHATIF_ROUNDS_MAX;
	return !w->is_over;
}

/* ---- what became of it */

static bool is_running(enum db_work work)
{
	return work == DB_WORK_STARTING || work == DB_WORK_ONLINE || work == DB_WORK_STOPPING;
}

static enum whatif_change change_of(const struct whatif_outcome *o, bool is_wanted)
{
	if (o->work == DB_WORK_ONLINE && is_running(o->was))
		return o->node == o->was_node ? WHATIF_STAYS : WHATIF_MOVES;
	if (o->work == DB_WORK_ONLINE)
		return WHATIF_STARTS;
	if (is_running(o->was))
		return is_wanted ? WHATIF_LOST : WHATIF_ENDS;
	return is_wanted ? WHATIF_DOWN : WHATIF_OFF;
}

/* It may be gone: a volume that was being deleted. */
static void look(const struct whatif *w, const struct whatif_before *b, struct whatif_outcome *ret)
{
	const struct db_volume *v = b->is_volume ? db_find(&w->db, DB_KIND_VOLUME, b->name) : NULL;
	const struct db_group *g = b->is_volume ? NULL : db_find(&w->db, DB_KIND_GROUP, b->name);

	ret->work = DB_WORK_OFFLINE;
	ret->node = CL_NODE_NONE;
	snprintf(ret->why, sizeof(ret->why), "it is deleted");
	if (v) {
		ret->work = v->work;
		ret->node = v->node;
		plan_explain_volume(&w->db, v, ret->why, sizeof(ret->why));
	} else if (g) {
		ret->work = g->work;
		ret->node = g->node;
		plan_explain(&w->db, g, ret->why, sizeof(ret->why));
	}
}

bool whatif_outcome(const struct whatif *w, uint32_t i, struct whatif_outcome *ret)
{
	const struct whatif_before *b = &w->before[i];

	if (i >= w->before_count)
		return false;
	*ret = (struct whatif_outcome){.kind = b->is_volume ? "volume" : kind_of(w, b->name),
				       .was = b->work,
				       .was_node = b->node};
	memcpy(ret->name, b->name, sizeof(ret->name));
	look(w, b, ret);
	ret->change = change_of(ret, b->is_wanted);
	if (w->event.kind != WHATIF_LOSE || w->event.is_quorate || !is_running(ret->was))
		return true;
	/* Also what is not on the nodes that are lost: nobody may act without a quorum. */
	ret->work = DB_WORK_OFFLINE;
	ret->node = CL_NODE_NONE;
	ret->change = b->is_wanted ? WHATIF_LOST : WHATIF_ENDS;
	snprintf(ret->why, sizeof(ret->why),
		 "the nodes that are left have no quorum: they stop what they run and start "
		 "nothing");
	return true;
}

bool whatif_keeps_running(const struct whatif *w, uint32_t *ret_lost)
{
	struct whatif_outcome o;

	*ret_lost = 0;
	for (uint32_t i = 0; whatif_outcome(w, i, &o); i++)
		*ret_lost += o.change == WHATIF_LOST;
	return !*ret_lost && w->is_at_rest && w->event.is_quorate;
}

const char *whatif_change_word(enum whatif_change change)
{
	static const char *const word[WHATIF_CHANGE_MAX] = {
		[WHATIF_STAYS] = "stays", [WHATIF_MOVES] = "moves", [WHATIF_STARTS] = "starts",
		[WHATIF_ENDS] = "ends",	  [WHATIF_LOST] = "lost",   [WHATIF_DOWN] = "down",
		[WHATIF_OFF] = "off",
	};

	return change < WHATIF_CHANGE_MAX ? word[change] : "?";
}
