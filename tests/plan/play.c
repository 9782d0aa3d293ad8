/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plays the events of a scenario: commands, plans, and executors that succeed in everything. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/age.h"
#include "clusterd/core/assume.h"
#include "clusterd/core/decision.h"
#include "clusterd/core/job.h"
#include "clusterd/core/msg.h"
#include "clusterd/core/volume.h"
#include "lib/must.h"
#include "tests/plan/scenario.h"

#define PRIORITY     100
#define ROUNDS_MAX   64 /* of a settle */
#define MOUNT_ID_NEW 0xe00000
#define AT_FIRST_MS  1000

/* ---- commands */

/* By the clock, when the next command is given. */
static uint64_t now_ms(const struct scenario *s)
{
	return AT_FIRST_MS + s->passed_ms + s->db.index + 1;
}

void scenario_apply(struct scenario *s, struct db_command *cmd)
{
	uint8_t buf[DB_COMMAND_MAX];
	struct db_entry e = {.index = s->db.index + 1,
			     .kind = CL_ENTRY_COMMAND,
			     .instance = 1,
			     .request = ++s->request,
			     .payload = buf};
	const char *broken;

	cmd->at_ms = now_ms(s);
	snprintf(cmd->actor, sizeof(cmd->actor), "admin");
	if (db_command_encode(cmd, buf, sizeof(buf), &e.payload_len))
		scenario_fault(s, "the command does not fit a log entry");
	db_apply(&s->db, &e, &s->result);
	broken = db_check(&s->db);
	if (broken)
		scenario_fault(s, "broken invariant: %s", broken);
}

/* What executors and the sequencer say has to be taken. */
static void apply_well(struct scenario *s, struct db_command *cmd)
{
	scenario_apply(s, cmd);
	if (s->result.code)
		scenario_fault(s, "%s was refused: %s", db_command_shape((uint16_t)cmd->type)->name,
			       s->result.text);
}

static uint16_t command_of(const char *name)
{
	for (uint16_t i = 0; i < DB_CMD_MAX; i++) {
		const struct db_shape *shape = db_command_shape(i);

		if (shape && !strcmp(shape->name, name))
			return i;
	}
	return DB_CMD_MAX;
}

/* A command in the making: its struct, its fields, and which of them were given. */
struct making {
	struct scenario *s;
	const struct db_shape *shape;
	void *body;
	uint64_t given;
};

/* The field, if there is one and nothing was given for it. */
static void *open_field(const struct making *m, const char *name, enum db_type type)
{
	return scenario_has(m->shape, m->given, name)
		       ? NULL
		       : scenario_field(m->shape, m->body, name, type);
}

static void default_u64(const struct making *m, const char *name, uint64_t value)
{
	void *p = open_field(m, name, DB_TYPE_u64);

	if (p)
		memcpy(p, &value, sizeof(value));
}

static void default_u32(const struct making *m, const char *name, uint32_t value)
{
	void *p = open_field(m, name, DB_TYPE_u32);

	if (p)
		memcpy(p, &value, sizeof(value));
}

static void default_text(const struct making *m, const char *name, const char *value)
{
	char *p = open_field(m, name, DB_TYPE_str);

	if (p)
		snprintf(p, strlen(value) + 1, "%s", value);
}

/* Of nodes: the incarnation that is known, its order in force, and so on. */
static void default_node(const struct making *m, struct db_command *cmd)
{
	const char *name = scenario_field(m->shape, m->body, "name", DB_TYPE_str);
	const struct db_node *n = NULL;
	const uint8_t *slot = scenario_field(m->shape, m->body, "slot", DB_TYPE_u8);

	if (!slot)
		slot = scenario_field(m->shape, m->body, "node", DB_TYPE_u8);
	if (slot && *slot != CL_NODE_NONE)
		n = db_node_by_slot(&m->s->db, *slot);
	else if (name && !strncmp(m->shape->name, "node", 4))
		n = db_find(&m->s->db, DB_KIND_NODE, name);
	if (n)
		default_u64(m, "incarnation", n->incarnation);
	if (cmd->type == DB_CMD_NODE_FENCED)
		default_text(m, "how", "switched off");
}

/* A group, a coordinator or a mount whose end cannot be proven: its order, or its number. */
static void default_ask(const struct making *m, const struct db_cmd_fence_ask *c)
{
	const struct db_node *n = db_find(&m->s->db, DB_KIND_NODE, c->name);
	const struct db_group *g = db_find(&m->s->db, DB_KIND_GROUP, c->group);
	const struct db_volume *v = db_find(&m->s->db, DB_KIND_VOLUME, c->volume);
	const struct db_mount *mount = v && n ? volume_mount(&m->s->db, v->name, n->slot) : NULL;

	if (n)
		default_u64(m, "incarnation", n->incarnation);
	if (c->is_mount)
		default_u64(m, "order", mount ? mount->id : 0);
	else
		default_u64(m, "order", g ? g->order : v ? v->order : 0);
}

/* The same boot comes back with a new process, unless another incarnation is named. */
static void default_admit(const struct making *m, struct db_cmd_node_admit *c, const char *name)
{
	const struct db_node *n = db_find(&m->s->db, DB_KIND_NODE, c->name);

	c->slot = scenario_node(m->s, name)->slot;
	c->nodeid = n ? n->nodeid : m->s->node_count;
	if (!c->incarnation)
		scenario_fault(m->s, "a node that has not been here needs incarnation=");
	if (!scenario_has(m->shape, m->given, "instance"))
		c->instance = n ? n->instance + 1 : 1;
	if (!scenario_has(m->shape, m->given, "boot"))
		snprintf(c->boot, sizeof(c->boot), "boot-%llx", (unsigned long long)c->incarnation);
}

static void default_group(const struct making *m, struct db_command *cmd)
{
	const char *name = scenario_field(m->shape, m->body, "name", DB_TYPE_str);
	const struct db_group *g = name ? db_find(&m->s->db, DB_KIND_GROUP, name) : NULL;
	const struct db_resource *r = name ? db_find(&m->s->db, DB_KIND_RESOURCE, name) : NULL;
	uint8_t *priority = open_field(m, "priority", DB_TYPE_u8);

	if (cmd->type == DB_CMD_RESOURCE_REPORT)
		g = r ? db_find(&m->s->db, DB_KIND_GROUP, r->group) : NULL;
	if (cmd->type == DB_CMD_GROUP_ORDER || cmd->type == DB_CMD_GROUP_REPORT ||
	    cmd->type == DB_CMD_RESOURCE_REPORT) {
		default_u64(m, "previous", g ? g->order : 0);
		default_u64(m, "order", g ? g->order : 0);
	}
	if (priority)
		*priority = PRIORITY;
	if (cmd->type == DB_CMD_GROUP_SET) {
		cmd->group_set.keeps_stop_failure =
			!scenario_has(m->shape, m->given, "on_stop_failure");
		default_u32(m, "failover_max", DB_KEEP);
		default_u32(m, "failover_ms", DB_KEEP);
		default_u32(m, "retry_ms", DB_KEEP);
	}
	if (cmd->type == DB_CMD_GROUP_PLACE) {
		default_u32(m, "priority", DB_KEEP);
		cmd->group_place.keeps_preferred = !scenario_has(m->shape, m->given, "preferred");
		cmd->group_place.keeps_failback = !scenario_has(m->shape, m->given, "failback");
	}
	if (cmd->type == DB_CMD_GROUP_RESERVE || cmd->type == DB_CMD_NODE_SET) {
		default_u32(m, "memory_mib", DB_KEEP);
		default_u32(m, "cpu_pct", DB_KEEP);
	}
	if (cmd->type != DB_CMD_GROUP_INTENT)
		return;
	if (!scenario_has(m->shape, m->given, "intent"))
		cmd->group_intent.intent = DB_INTENT_ONLINE;
	default_text(m, "verb",
		     cmd->group_intent.intent == DB_INTENT_OFFLINE ? "group-stop"
		     : cmd->group_intent.wish != CL_NODE_NONE	   ? "group-move"
								   : "group-start");
}

static void default_volume(const struct making *m, struct db_command *cmd)
{
	const char *name = scenario_field(m->shape, m->body, "name", DB_TYPE_str);
	const char *of = scenario_field(m->shape, m->body, "volume", DB_TYPE_str);
	const struct db_volume *v = db_find(&m->s->db, DB_KIND_VOLUME, of ? of : name ? name : "");
	const uint8_t *slot = scenario_field(m->shape, m->body, "slot", DB_TYPE_u8);
	const struct db_mount *mount = of && slot ? volume_mount(&m->s->db, of, *slot) : NULL;

	if (cmd->type == DB_CMD_VOLUME_ORDER || cmd->type == DB_CMD_VOLUME_REPORT) {
		default_u64(m, "previous", v ? v->order : 0);
		default_u64(m, "order", v ? v->order : 0);
	}
	if (cmd->type == DB_CMD_VOLUME_REPORT && cmd->volume_report.work == DB_WORK_ONLINE &&
	    !cmd->volume_report.port)
		cmd->volume_report.port = ASSUME_PORT;
	if (cmd->type == DB_CMD_VOLUME_RECOVERED || cmd->type == DB_CMD_MOUNT_VOICE)
		default_u64(m, "term", v ? v->term : 0);
	if (cmd->type == DB_CMD_VOLUME_INTENT)
		default_text(m, "verb",
			     cmd->volume_intent.wish == CL_NODE_NONE ? "volume-clear"
								     : "volume-move");
	if (cmd->type == DB_CMD_MOUNT_SET)
		default_u64(m, "id", MOUNT_ID_NEW + m->s->mount_id++);
	if (!mount)
		return;
	default_u64(m, "id", mount->id);
	if (cmd->type != DB_CMD_MOUNT_SET)
		default_u64(m, "incarnation", mount->incarnation);
}

static void default_vm(const struct making *m, struct db_command *cmd)
{
	const uint64_t *id = scenario_field(m->shape, m->body, "id", DB_TYPE_u64);
	const struct db_migration *of = NULL;
	char text[DB_DEVICE_MAX];

	if (cmd->type == DB_CMD_VM_CREATE || cmd->type == DB_CMD_VOLUME_CREATE) {
		snprintf(text, sizeof(text), "bbbbbbbb-0000-0000-0000-%012" PRIx64, m->s->db.index);
		default_text(m, "uuid", text);
		default_text(m, "definition", "{}");
	}
	if (cmd->type == DB_CMD_VOLUME_CREATE) {
		snprintf(text, sizeof(text), "/dev/%.60s", cmd->volume_create.name);
		default_text(m, "device", text);
	}
	if (cmd->type == DB_CMD_VM_MIGRATE) {
		default_text(m, "verb", "vm-migrate");
		default_text(m, "reason", "asked for");
	}
	if (id && !strncmp(m->shape->name, "migration", 9))
		of = db_find_id(&m->s->db, DB_KIND_MIGRATION, *id);
	if (of)
		default_u64(m, "source_incarnation", of->source_incarnation);
	if (cmd->type == DB_CMD_MIGRATION_ORDER && !scenario_has(m->shape, m->given, "phase"))
		cmd->migration_order.phase = DB_MIGRATION_PHASE_SETUP;
}

/* A node that joins, or is added, may be one that the text has not named before. */
static void know_node(struct scenario *s, const char *name)
{
	for (uint8_t i = 0; i < s->node_count; i++) {
		if (!strcmp(s->node[i].name, name))
			return;
	}
	scenario_node_new(s, name);
}

/* The database gave it one that was free. */
static void learn_slot(struct scenario *s, const char *name)
{
	for (uint8_t i = 0; i < s->node_count; i++) {
		const struct db_node *n = db_find(&s->db, DB_KIND_NODE, s->node[i].alias);

		if (n && !strcmp(s->node[i].name, name))
			s->node[i].slot = n->slot;
	}
}

static void command(struct scenario *s, const struct scenario_line *line, uint16_t type)
{
	struct db_command cmd = {.type = (enum db_cmd_type)type};
	struct making m = {.s = s, .shape = db_command_shape(type), .body = &cmd.cluster_init};

	if ((type == DB_CMD_NODE_ADMIT || type == DB_CMD_NODE_ADD) && line->count > 1)
		know_node(s, line->word[1]);
	m.given = scenario_fields(s, m.shape, line, m.body);
	default_node(&m, &cmd);
	default_volume(&m, &cmd);
	default_group(&m, &cmd);
	default_vm(&m, &cmd);
	if (type == DB_CMD_FENCE_ASK)
		default_ask(&m, &cmd.fence_ask);
	if (type == DB_CMD_NODE_ADMIT)
		default_admit(&m, &cmd.node_admit, line->word[1]);
	scenario_apply(s, &cmd);
	if (type == DB_CMD_NODE_ADD)
		learn_slot(s, line->word[1]);
	if (!s->result.code)
		return;
	fputs("  refused: ", s->out);
	scenario_print(s, s->result.text);
	fputc('\n', s->out);
}

/* ---- plans */

/* Field by field: what lies between the fields does not count. */
static bool fields_are_equal(enum db_cmd_type type, const void *a, const void *b, size_t count)
{
	const struct db_shape *shape = db_command_shape((uint16_t)type);

	for (size_t n = 0; n < count; n++) {
		for (uint8_t i = 0; i < shape->field_count; i++) {
			size_t at = n * shape->size + shape->field[i].offset;

			if (memcmp((const char *)a + at, (const char *)b + at,
				   shape->field[i].size) != 0)
				return false;
		}
	}
	return true;
}

static bool orders_are_equal(const struct plan_orders *a, const struct plan_orders *b)
{
	return a->has_fence == b->has_fence && a->count == b->count &&
	       a->volume_count == b->volume_count &&
	       fields_are_equal(DB_CMD_NODE_FENCING, &a->fence, &b->fence, a->has_fence) &&
	       a->begin_count == b->begin_count && a->job_count == b->job_count &&
	       fields_are_equal(DB_CMD_JOB_ORDER, a->job, b->job, a->job_count) &&
	       a->migration_count == b->migration_count &&
	       fields_are_equal(DB_CMD_GROUP_ORDER, a->item, b->item, a->count) &&
	       fields_are_equal(DB_CMD_VOLUME_ORDER, a->volume, b->volume, a->volume_count) &&
	       fields_are_equal(DB_CMD_MIGRATION_ORDER, a->begin, b->begin, a->begin_count) &&
	       fields_are_equal(DB_CMD_VM_MIGRATE, a->migration, b->migration, a->migration_count);
}

/* A node that took the database over as a snapshot decides the same. */
static void check_copy(struct scenario *s)
{
	size_t len;

	if (db_encoded_max(&s->db) > s->snapshot_cap ||
	    db_encode(&s->db, s->snapshot, s->snapshot_cap, &len))
		scenario_fault(s, "the snapshot does not fit");
	must(!db_init(&s->copy, s->copy_mem, db_size(&s->db.limits), &s->db.limits));
	s->copy.mutant = s->mutant;
	if (db_decode(&s->copy, s->snapshot, len) || db_hash(&s->copy) != db_hash(&s->db))
		scenario_fault(s, "a copy of the database is another database");
	plan_run(&s->copy, &s->again);
	if (!orders_are_equal(&s->orders, &s->again))
		scenario_fault(s, "a copy of the database is planned otherwise");
}

__attribute__((format(printf, 2, 3))) static void say(struct scenario *s, const char *format, ...)
{
	char text[SCENARIO_LINE_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	scenario_print(s, text);
}

static void say_begin(struct scenario *s, const struct db_cmd_migration_order *o)
{
	const struct db_migration *m = db_find_id(&s->db, DB_KIND_MIGRATION, o->id);

	must(m);
	say(s, "  %s migration of %s from %s to %s%s%s\n",
	    o->phase == DB_MIGRATION_PHASE_ENDED ? "end" : "begin", m->vm,
	    db_node_name(&s->db, m->source), db_node_name(&s->db, m->destination),
	    o->reason[0] ? ": " : "", o->reason);
}

static void say_job(struct scenario *s, const struct db_cmd_job_order *o)
{
	const struct db_job *j = db_find_id(&s->db, DB_KIND_JOB, o->id);

	must(j);
	say(s, "  %s%s of %s on %s: %s\n", o->is_undo ? "undo " : "", job_word(j), j->vm,
	    db_node_name(&s->db, o->node), o->reason);
}

static void apply_migrate(struct scenario *s, struct db_command *cmd)
{
	const struct db_cmd_vm_migrate *o = &cmd->vm_migrate;
	const struct db_group *g = db_find(&s->db, DB_KIND_GROUP, o->name);
	const struct db_migration *m;

	must(g);
	apply_well(s, cmd);
	m = db_find_id(&s->db, DB_KIND_MIGRATION, s->db.index);
	must(m);
	say(s, "  migrate %s from %s to %s: %s; %s\n", o->name, db_node_name(&s->db, g->node),
	    db_node_name(&s->db, o->to), o->reason,
	    m->phase == DB_MIGRATION_PHASE_QUEUED ? "queued" : "begins");
}

/* Of a fence: that the others are quorate without the node, the planner cannot know. */
static void apply_order(struct scenario *s, struct db_command *cmd)
{
	const struct db_cmd_volume_order *v = &cmd->volume_order;
	const struct db_cmd_group_order *g = &cmd->group_order;

	if (cmd->type == DB_CMD_VM_MIGRATE) {
		apply_migrate(s, cmd);
		return;
	}
	if (cmd->type == DB_CMD_MIGRATION_ORDER)
		say_begin(s, &cmd->migration_order);
	else if (cmd->type == DB_CMD_JOB_ORDER)
		say_job(s, &cmd->job_order);
	else if (cmd->type == DB_CMD_NODE_FENCING)
		say(s, "  fence %s\n", cmd->node_fencing.name);
	else if (cmd->type == DB_CMD_VOLUME_ORDER)
		say(s, "  %s volume %s on %s: %s\n", v->work == DB_WORK_STARTING ? "start" : "stop",
		    v->name, db_node_name(&s->db, v->node), v->reason);
	else
		say(s, "  %s group %s on %s: %s\n", g->work == DB_WORK_STARTING ? "start" : "stop",
		    g->name, db_node_name(&s->db, g->node), g->reason);
	apply_well(s, cmd);
}

/* Plans and gives the orders as the sequencer does (edge/duty.c); returns how many there were. */
static size_t plan(struct scenario *s)
{
	struct db_command cmd;
	size_t total = 0;
	bool is_full;

	do {
		plan_run(&s->db, &s->orders);
		check_copy(s);
		if (s->on_plan)
			s->on_plan(s);
		for (size_t i = 0; plan_command(&s->orders, i, &cmd); i++)
			apply_order(s, &cmd);
		total += plan_order_count(&s->orders);
		/* A fence ends migrations, which are planned anew. */
		is_full = s->orders.count == PLAN_MAX_ORDERS || s->orders.has_fence;
	} while (is_full);
	plan_run(&s->db, &s->orders);
	if (!plan_order_count(&s->orders))
		return total;
	say(s, "  and then\n");
	for (size_t i = 0; plan_command(&s->orders, i, &cmd); i++)
		apply_order(s, &cmd); /* so that it is said which */
	scenario_fault(s, "planning on its own result yields %zu orders",
		       plan_order_count(&s->orders));
	return total;
}

/* ---- executors that succeed */

static void take_report(void *arg, struct db_command *cmd)
{
	apply_well(arg, cmd);
}

int scenario_succeed(struct scenario *s, const char *only)
{
	struct assume a = {.db = &s->db,
			   .apply = take_report,
			   .arg = s,
			   .mount_base = MOUNT_ID_NEW,
			   .mounts = &s->mount_id};

	return assume_success(&a, only);
}

static size_t settle(struct scenario *s)
{
	size_t total = 0, orders;
	int done;

	for (int round = 0; round < ROUNDS_MAX; round++) {
		orders = plan(s);
		done = scenario_succeed(s, NULL);
		total += orders;
		if (!orders && !done)
			return total;
	}
	scenario_fault(s, "it does not come to rest in %d rounds", ROUNDS_MAX);
}

/* Time passes; what has waited for it is told so by the sequencer (core/duty.c). */
static void wait_for(struct scenario *s, const char *word)
{
	struct db_command cmd = {.type = DB_CMD_CLOCK};
	char *end;
	unsigned long seconds = strtoul(word, &end, 10);

	if (end == word || *end)
		scenario_fault(s, "%s: wait for how many seconds?", word);
	s->passed_ms += seconds * 1000;
	cmd.clock.now_ms = now_ms(s);
	if (!age_is_due(&s->db, cmd.clock.now_ms)) {
		fputs("  nothing has waited for it\n", s->out);
		return;
	}
	fputs("  what has waited is told\n", s->out);
	apply_well(s, &cmd);
	if (age_is_due(&s->db, cmd.clock.now_ms))
		scenario_fault(s, "something waits still, once told");
}

/* ---- explanations */

static void explain_group(struct scenario *s, const struct db_group *g)
{
	char text[DB_REASON_MAX];

	plan_explain(&s->db, g, text, sizeof(text));
	say(s, "  group %s, %s%s%s: %s\n", g->name, db_choice_word(DB_KIND_GROUP, "work", g->work),
	    g->node != CL_NODE_NONE ? " on " : "",
	    g->node != CL_NODE_NONE ? db_node_name(&s->db, g->node) : "", text);
}

static void explain_volume(struct scenario *s, const struct db_volume *v)
{
	char text[DB_REASON_MAX];

	plan_explain_volume(&s->db, v, text, sizeof(text));
	say(s, "  volume %s, %s%s%s: %s\n", v->name,
	    db_choice_word(DB_KIND_VOLUME, "work", v->work), v->node != CL_NODE_NONE ? " on " : "",
	    v->node != CL_NODE_NONE ? db_node_name(&s->db, v->node) : "", text);
}

static void explain(struct scenario *s, const char *name)
{
	const struct db_group *g = db_find(&s->db, DB_KIND_GROUP, name);
	const struct db_volume *v = db_find(&s->db, DB_KIND_VOLUME, name);

	if (!g && !v)
		scenario_fault(s, "no group and no volume %s", name);
	if (g)
		explain_group(s, g);
	if (v)
		explain_volume(s, v);
}

/* What was decided of it last, node by node. */
static void tell_decision(struct scenario *s, const char *name)
{
	const struct db_decision *d = decision_newest(&s->db, name);
	char text[SCENARIO_LINE_MAX - 128];

	if (!d) {
		fputs("  nothing was decided\n", s->out);
		return;
	}
	decision_text(&s->db, d, text, sizeof(text));
	say(s, "  %s, because: %s\n    %s\n", d->action, d->trigger, text);
}

void scenario_end(struct scenario *s)
{
	fputs("in the end\n", s->out);
	for (uint32_t i = 0; i < db_count(&s->db, DB_KIND_VOLUME); i++)
		explain_volume(s, db_at(&s->db, DB_KIND_VOLUME, i));
	for (uint32_t i = 0; i < db_count(&s->db, DB_KIND_GROUP); i++)
		explain_group(s, db_at(&s->db, DB_KIND_GROUP, i));
	for (uint32_t i = 0; i < db_count(&s->db, DB_KIND_TASK); i++) {
		const struct db_task *t = db_at(&s->db, DB_KIND_TASK, i);

		say(s, "  task %s %s, %s: %s\n", t->verb, t->object,
		    db_choice_word(DB_KIND_TASK, "state", t->state),
		    t->reason[0] ? t->reason : t->phase);
	}
}

/* ---- events */

void scenario_event(struct scenario *s, const struct scenario_line *line)
{
	const char *word = line->word[0];
	uint16_t type = command_of(word);

	if (type != DB_CMD_MAX) {
		command(s, line, type);
		return;
	}
	if (!strcmp(word, "explain") && line->count == 2) {
		explain(s, line->word[1]);
	} else if (!strcmp(word, "decision") && line->count == 2) {
		tell_decision(s, line->word[1]);
	} else if (!strcmp(word, "succeed") && line->count <= 2) {
		if (!scenario_succeed(s, line->count == 2 ? line->word[1] : NULL))
			fputs("  nothing\n", s->out);
	} else if (!strcmp(word, "plan") && line->count == 1) {
		if (!plan(s))
			fputs("  nothing\n", s->out);
	} else if (!strcmp(word, "wait") && line->count == 2) {
		wait_for(s, line->word[1]);
	} else if (!strcmp(word, "settle") && line->count == 1) {
		if (!settle(s))
			fputs("  nothing\n", s->out);
	} else {
		scenario_fault(s,
			       "%s: neither a command nor plan, succeed [NAME], settle, "
			       "explain NAME, decision NAME, wait SECONDS",
			       word);
	}
}
