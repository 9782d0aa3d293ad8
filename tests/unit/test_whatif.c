/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The planner on a copy: what it says would happen, and that the database itself stays as it is. */
#include "clusterd/core/whatif.h"

#include "clusterd/core/assume.h"
#include "clusterd/core/decision.h"
#include "tests/unit/vm_fixture.h"

#define ALL 0x7 /* the nodes of the fixture */

/* A simulation and its memory. */
struct run {
	struct whatif *w;
	void *mem;
	char text[256];
};

static enum db_code begin_run(struct run *r, const struct db *db, struct whatif_event event)
{
	size_t cap = db_encoded_max(db), size = whatif_size(&db->limits), len;
	void *bytes = malloc(cap);
	enum db_code code;

	r->w = malloc(sizeof(*r->w));
	r->mem = malloc(size);
	assert_true(bytes && r->w && r->mem);
	assert_int_equal(db_encode(db, bytes, cap, &len), 0);
	code = whatif_begin(r->w, r->mem, size, &db->limits, bytes, len, &event, r->text,
			    sizeof(r->text));
	free(bytes);
	return code;
}

static void end_run(struct run *r)
{
	free(r->w);
	free(r->mem);
}

/* To its end; the copy holds its invariants, the database is what it was. */
static struct run run(const struct db *db, struct whatif_event event)
{
	uint64_t hash = db_hash(db);
	struct run r;

	assert_int_equal(begin_run(&r, db, event), DB_OK);
	while (whatif_step(r.w))
		assert_null(db_check(&r.w->db));
	assert_null(db_check(&r.w->db));
	assert_string_equal(r.w->refusal, "");
	assert_true(r.w->is_at_rest);
	assert_true(db_hash(db) == hash);
	return r;
}

static struct whatif_event loss(uint16_t nodes)
{
	return (struct whatif_event){
		.kind = WHATIF_LOSE, .nodes = nodes, .is_quorate = true, .may_fence = ALL};
}

static struct whatif_event of(enum whatif_kind kind, uint16_t nodes)
{
	struct whatif_event e = loss(nodes);

	e.kind = kind;
	return e;
}

static struct whatif_event failure(const char *group)
{
	struct whatif_event e = of(WHATIF_FAIL, 0);

	snprintf(e.group, sizeof(e.group), "%s", group);
	return e;
}

static struct whatif_outcome outcome(const struct run *r, const char *kind, const char *name)
{
	struct whatif_outcome o;

	for (uint32_t i = 0; whatif_outcome(r->w, i, &o); i++) {
		if (!strcmp(o.kind, kind) && !strcmp(o.name, name))
			return o;
	}
	fail_msg("nothing is said of %s %s", kind, name);
	return o;
}

static void expect(const struct run *r, const char *kind, const char *name,
		   enum whatif_change change, uint8_t node)
{
	struct whatif_outcome o = outcome(r, kind, name);

	assert_string_equal(whatif_change_word(o.change), whatif_change_word(change));
	assert_int_equal(o.node, node);
}

/* The first order of that action on that thing; there is one. */
static const struct whatif_order *order_of(const struct run *r, const char *action,
					   const char *name)
{
	for (uint32_t i = 0; i < r->w->order_count; i++) {
		const struct whatif_order *o = &r->w->order[i];

		if (!strcmp(o->action, action) && !strcmp(o->name, name))
			return o;
	}
	fail_msg("no order to %s %s", action, name);
	return NULL;
}

static void make_fence(struct fixture *f, uint16_t nodes)
{
	DONE(f, FENCE_CREATE, fence_create, .name = "bmc", .agent = "/usr/sbin/fence_x", .level = 1,
	     .nodes = nodes, .timeout_ms = 1000);
}

static void make_group(struct fixture *f, const char *name, uint16_t possible, uint8_t slot)
{
	struct db_command c = {.type = DB_CMD_GROUP_CREATE,
			       .group_create = {.possible = possible, .priority = 100}};

	snprintf(c.group_create.name, CL_NAME_MAX, "%s", name);
	assert_int_equal(apply(f, c), DB_OK);
	group_intent(f, name, DB_INTENT_ONLINE, CL_NODE_NONE);
	assert_int_equal(group_order(f, name, DB_WORK_STARTING, slot), DB_OK);
	assert_int_equal(group_report(f, name, group(f, name)->order, DB_WORK_ONLINE), DB_OK);
}

/* ---- loss */

static void a_lost_node_s_volume_is_recovered_and_its_machine_runs_elsewhere(void **state)
{
	struct fixture *f = *state;
	uint32_t lost;
	struct run r;

	make_fence(f, ALL);
	r = run(&f->db, loss(cl_bit(0)));
	expect(&r, "volume", "v", WHATIF_MOVES, 1);
	expect(&r, "vm", "a", WHATIF_MOVES, 1);
	assert_int_equal(order_of(&r, "start", "v")->round, 1);
	assert_int_equal(order_of(&r, "start", "a")->round, 2);
	assert_int_equal(order_of(&r, "start", "a")->node, 1);
	assert_string_equal(order_of(&r, "start", "a")->kind, "vm");
	assert_true(whatif_keeps_running(r.w, &lost));
	assert_int_equal(lost, 0);
	end_run(&r);
}

static void without_a_fence_device_all_of_it_is_blocked(void **state)
{
	struct fixture *f = *state;
	uint32_t lost;
	struct run r;

	make_fence(f, cl_bit(1));
	r = run(&f->db, loss(cl_bit(0)));
	assert_int_equal(r.w->unfenced, cl_bit(0));
	expect(&r, "vm", "a", WHATIF_LOST, 0);
	assert_non_null(strstr(outcome(&r, "vm", "a").why, "waiting to fence n0"));
	assert_false(whatif_keeps_running(r.w, &lost));
	assert_int_equal(lost, 2);
	assert_int_equal(r.w->order_count, 0);
	end_run(&r);
}

static void without_a_quorum_nothing_runs_anywhere(void **state)
{
	struct fixture *f = *state;
	struct whatif_event e = loss(cl_bit(0) | cl_bit(1));
	uint32_t lost;
	struct run r;

	make_fence(f, ALL);
	make_group(f, "g", 0, 2);
	e.is_quorate = false;
	r = run(&f->db, e);
	expect(&r, "group", "g", WHATIF_LOST, CL_NODE_NONE);
	assert_non_null(strstr(outcome(&r, "group", "g").why, "no quorum"));
	assert_false(whatif_keeps_running(r.w, &lost));
	assert_int_equal(lost, 3);
	assert_int_equal(r.w->order_count, 0);
	end_run(&r);
}

static void a_group_goes_to_a_possible_owner_or_nowhere(void **state)
{
	struct fixture *f = *state;
	struct whatif_outcome o;
	uint32_t lost;
	struct run r;

	make_fence(f, ALL);
	make_group(f, "g", cl_bit(0) | cl_bit(2), 0);
	make_group(f, "only", cl_bit(0), 0);
	r = run(&f->db, loss(cl_bit(0)));
	expect(&r, "group", "g", WHATIF_MOVES, 2);
	expect(&r, "group", "only", WHATIF_LOST, CL_NODE_NONE);
	o = outcome(&r, "group", "only");
	assert_non_null(strstr(o.why, "n1: not a possible owner"));
	assert_int_equal(o.was, DB_WORK_ONLINE);
	assert_int_equal(o.was_node, 0);
	assert_false(whatif_keeps_running(r.w, &lost));
	assert_int_equal(lost, 1);
	end_run(&r);
}

static void what_has_no_room_on_the_others_is_lost(void **state)
{
	struct fixture *f = *state;
	uint32_t lost;
	struct run r;

	make_fence(f, ALL);
	make_group(f, "g", 0, 0);
	make_group(f, "h", 0, 0);
	DONE(f, NODE_SET, node_set, .name = "n1", .memory_mib = 1024, .cpu_pct = DB_KEEP);
	DONE(f, NODE_SET, node_set, .name = "n2", .memory_mib = 4096, .cpu_pct = DB_KEEP);
	DONE(f, GROUP_RESERVE, group_reserve, .name = "g", .memory_mib = 3072, .cpu_pct = DB_KEEP);
	DONE(f, GROUP_RESERVE, group_reserve, .name = "h", .memory_mib = 2048, .cpu_pct = DB_KEEP);
	r = run(&f->db, loss(cl_bit(0)));
	expect(&r, "group", "g", WHATIF_MOVES, 2);
	expect(&r, "group", "h", WHATIF_LOST, CL_NODE_NONE);
	assert_non_null(strstr(outcome(&r, "group", "h").why, "n2: 2048 MiB asked, 1024 MiB free"));
	assert_false(whatif_keeps_running(r.w, &lost));
	assert_int_equal(lost, 1);
	end_run(&r);
}

static void what_was_down_before_is_not_lost(void **state)
{
	struct fixture *f = *state;
	uint32_t lost;
	struct run r;

	make_fence(f, ALL);
	DONE(f, GROUP_CREATE, group_create, .name = "off", .priority = 100);
	DONE(f, GROUP_CREATE, group_create, .name = "g", .possible = cl_bit(2), .priority = 100);
	group_intent(f, "g", DB_INTENT_ONLINE, CL_NODE_NONE);
	r = run(&f->db, loss(cl_bit(2)));
	expect(&r, "group", "g", WHATIF_DOWN, CL_NODE_NONE);
	expect(&r, "group", "off", WHATIF_OFF, CL_NODE_NONE);
	expect(&r, "vm", "a", WHATIF_STAYS, 0);
	assert_true(whatif_keeps_running(r.w, &lost));
	end_run(&r);
}

static void a_node_that_waits_for_its_fence_is_assumed_to_be_fenced(void **state)
{
	struct fixture *f = *state;
	struct run r;

	make_fence(f, ALL);
	DONE(f, NODE_LOST, node_lost, .name = "n0", .incarnation = INC(0));
	r = run(&f->db, loss(cl_bit(0)));
	assert_int_equal(r.w->unfenced, 0);
	expect(&r, "vm", "a", WHATIF_STARTS, 1);
	end_run(&r);
}

/* ---- drain, failure, return */

static void a_drain_migrates_and_moves_the_coordinator(void **state)
{
	struct fixture *f = *state;
	struct run r = run(&f->db, of(WHATIF_DRAIN, cl_bit(0)));

	expect(&r, "vm", "a", WHATIF_MOVES, 1);
	expect(&r, "volume", "v", WHATIF_MOVES, 1);
	assert_string_equal(order_of(&r, "migrate", "a")->reason, "its node is drained");
	assert_string_equal(order_of(&r, "stop", "v")->kind, "volume");
	end_run(&r);
}

static void a_drain_of_all_nodes_leaves_everything_where_it_is(void **state)
{
	struct fixture *f = *state;
	struct run r = run(&f->db, of(WHATIF_DRAIN, ALL));

	expect(&r, "vm", "a", WHATIF_STAYS, 0);
	assert_non_null(strstr(outcome(&r, "vm", "a").why, "drained"));
	end_run(&r);
}

static void a_group_that_fails_goes_on_elsewhere_or_says_why_not(void **state)
{
	struct fixture *f = *state;
	struct run r;

	make_group(f, "g", cl_bit(0) | cl_bit(2), 0);
	make_group(f, "only", cl_bit(0), 0);
	r = run(&f->db, failure("g"));
	expect(&r, "group", "g", WHATIF_MOVES, 2);
	expect(&r, "group", "only", WHATIF_STAYS, 0);
	end_run(&r);
	r = run(&f->db, failure("only"));
	expect(&r, "group", "only", WHATIF_LOST, CL_NODE_NONE);
	assert_non_null(strstr(outcome(&r, "group", "only").why, "it failed there"));
	end_run(&r);
}

static void a_node_that_comes_back_gets_what_only_it_can_run(void **state)
{
	struct fixture *f = *state;
	uint32_t lost;
	struct run r;

	make_fence(f, ALL);
	make_group(f, "g", cl_bit(2), 2);
	DONE(f, NODE_LOST, node_lost, .name = "n2", .incarnation = INC(2));
	r = run(&f->db, of(WHATIF_RETURN, cl_bit(2)));
	expect(&r, "group", "g", WHATIF_STARTS, 2);
	expect(&r, "vm", "a", WHATIF_STAYS, 0);
	assert_true(whatif_keeps_running(r.w, &lost));
	end_run(&r);
	DONE(f, NODE_FENCED, node_fenced, .name = "n2", .incarnation = INC(2), .how = "off");
	r = run(&f->db, of(WHATIF_RETURN, cl_bit(2)));
	expect(&r, "group", "g", WHATIF_STARTS, 2);
	assert_int_equal(order_of(&r, "start", "g")->node, 2);
	end_run(&r);
}

static void what_cannot_happen_is_refused_with_the_reason(void **state)
{
	struct fixture *f = *state;
	struct run r;

	assert_int_equal(begin_run(&r, &f->db, of(WHATIF_RETURN, cl_bit(1))), DB_CONFLICT);
	assert_string_equal(r.text, "node n1 is here");
	end_run(&r);
	assert_int_equal(begin_run(&r, &f->db, failure("nope")), DB_NO_SUCH);
	assert_string_equal(r.text, "no group nope");
	end_run(&r);
	DONE(f, GROUP_CREATE, group_create, .name = "g", .priority = 100);
	assert_int_equal(begin_run(&r, &f->db, failure("g")), DB_CONFLICT);
	assert_string_equal(r.text, "group g is not online: it is offline");
	end_run(&r);
}

static void bytes_that_are_no_snapshot_are_refused(void **state)
{
	struct fixture *f = *state;
	size_t size = whatif_size(&f->db.limits);
	struct whatif *w = malloc(sizeof(*w));
	struct whatif_event e = loss(cl_bit(0));
	void *mem = malloc(size);
	char text[64];

	assert_true(w && mem);
	assert_int_equal(whatif_begin(w, mem, size, &f->db.limits, "nope", 4, &e, text, 64),
			 DB_FAILED);
	assert_string_equal(text, "the database cannot be copied");
	free(mem);
	free(w);
}

/* ---- what is stuck */

/* A stop of g on n1 has failed, and nobody can prove that it is over. */
static void make_stuck(struct fixture *f)
{
	make_fence(f, ALL);
	make_group(f, "g", 0, 1);
	group_intent(f, "g", DB_INTENT_ONLINE, 2);
	assert_int_equal(group_order(f, "g", DB_WORK_STOPPING, 1), DB_OK);
	assert_int_equal(group_report(f, "g", group(f, "g")->order, DB_WORK_FAILED), DB_OK);
	DONE(f, FENCE_ASK, fence_ask, .name = "n1", .incarnation = INC(1), .group = "g",
	     .order = group(f, "g")->order, .reason = "its process does not die");
}

static void a_fence_that_the_planner_orders_is_assumed_to_succeed(void **state)
{
	struct fixture *f = *state;
	struct run r;

	make_stuck(f);
	r = run(&f->db, of(WHATIF_DRAIN, cl_bit(0)));
	assert_int_equal(order_of(&r, "fence", "n1")->node, 1);
	assert_non_null(strstr(order_of(&r, "fence", "n1")->reason, "does not die"));
	expect(&r, "group", "g", WHATIF_STARTS, 2);
	end_run(&r);
}

static void a_node_without_which_there_is_no_quorum_is_not_fenced(void **state)
{
	struct fixture *f = *state;
	struct whatif_event e = of(WHATIF_DRAIN, cl_bit(0));
	struct run r;

	make_stuck(f);
	e.may_fence = ALL & ~cl_bit(1);
	r = run(&f->db, e);
	expect(&r, "group", "g", WHATIF_DOWN, 1);
	for (uint32_t i = 0; i < r.w->order_count; i++)
		assert_string_not_equal(r.w->order[i].action, "fence");
	end_run(&r);
}

/* ---- bounds, and the truth */

static void when_a_table_is_full_it_ends_and_says_so(void **state)
{
	struct fixture *f = *state;
	uint32_t lost;
	struct run r;

	/* There is room for six mounts, and three volumes want nine. */
	DONE(f, VOLUME_CREATE, volume_create, .name = "v2", .uuid = UUID_2, .device = "/dev/2");
	DONE(f, VOLUME_CREATE, volume_create, .name = "v3", .uuid = VM_UUID, .device = "/dev/3");
	assert_int_equal(begin_run(&r, &f->db, of(WHATIF_DRAIN, cl_bit(2))), DB_OK);
	while (whatif_step(r.w))
		assert_null(db_check(&r.w->db));
	assert_string_equal(r.w->refusal, "mount_set: no room for another mount");
	assert_false(r.w->is_at_rest);
	assert_false(whatif_keeps_running(r.w, &lost));
	assert_false(whatif_step(r.w));
	end_run(&r);
}

static void after_its_last_round_it_is_left_as_it_is(void **state)
{
	struct fixture *f = *state;
	uint32_t lost;
	struct run r;

	make_group(f, "g", 0, 0);
	assert_int_equal(begin_run(&r, &f->db, of(WHATIF_DRAIN, cl_bit(0))), DB_OK);
	r.w->round = WHATIF_ROUNDS_MAX - 1;
	while (whatif_step(r.w))
		;
	assert_int_equal(r.w->round, WHATIF_ROUNDS_MAX);
	assert_false(r.w->is_at_rest);
	assert_string_equal(r.w->refusal, "");
	assert_false(whatif_keeps_running(r.w, &lost));
	end_run(&r);
}

static void take_report(void *arg, struct db_command *cmd)
{
	assert_int_equal(apply(arg, *cmd), DB_OK);
}

/* Does it in the database itself: the orders, and what comes of them. */
static void settle(struct fixture *f)
{
	uint64_t mounts = 0;
	struct assume a = {.db = &f->db,
			   .apply = take_report,
			   .arg = f,
			   .mount_base = 0xe00000,
			   .mounts = &mounts};
	struct db_command cmd;

	do {
		plan_run(&f->db, &f->orders);
		for (size_t i = 0; plan_command(&f->orders, i, &cmd); i++)
			assert_int_equal(apply(f, cmd), DB_OK);
	} while (assume_success(&a, NULL) || plan_order_count(&f->orders));
}

static void what_it_says_is_what_happens_then(void **state)
{
	struct fixture *f = *state;
	struct run r;

	make_fence(f, ALL);
	make_group(f, "g", cl_bit(0) | cl_bit(2), 0);
	make_group(f, "h", 0, 0);
	settle(f);
	r = run(&f->db, loss(cl_bit(0)));
	DONE(f, NODE_LOST, node_lost, .name = "n0", .incarnation = INC(0));
	DONE(f, NODE_FENCED, node_fenced, .name = "n0", .incarnation = INC(0), .how = "off");
	settle(f);
	assert_int_equal(outcome(&r, "vm", "a").node, group(f, "a")->node);
	assert_int_equal(outcome(&r, "group", "g").node, group(f, "g")->node);
	assert_int_equal(outcome(&r, "group", "h").node, group(f, "h")->node);
	assert_int_equal(outcome(&r, "volume", "v").node, volume(f, "v")->node);
	assert_int_equal(group(f, "h")->work, DB_WORK_ONLINE);
	end_run(&r);
}

#define MANY (WHATIF_ORDERS_MAX + 76)

static const struct db_limits many_limits = {
	.capacity = {[DB_KIND_NODE] = 2,
		     [DB_KIND_SETTING] = 1,
		     [DB_KIND_GROUP] = MANY,
		     [DB_KIND_TASK] = 4,
		     [DB_KIND_EVENT] = 8,
		     [DB_KIND_FENCE] = 1,
		     [DB_KIND_ORIGIN] = 1},
	.locks = {.max_sessions = 4, .max_resources = MANY, .max_locks = MANY, .max_queued = 1},
};

/* As apply(), without a look at every row: there are many. */
static void apply_fast(struct fixture *f, const struct db_command *cmd)
{
	uint8_t buf[DB_COMMAND_MAX];
	struct db_entry e = {.index = f->db.index + 1,
			     .kind = CL_ENTRY_COMMAND,
			     .instance = 1,
			     .request = ++f->request,
			     .payload = buf};

	assert_int_equal(db_command_encode(cmd, buf, sizeof(buf), &e.payload_len), 0);
	db_apply(&f->db, &e, &f->result);
	assert_int_equal(f->result.code, DB_OK);
}

static void make_many(struct fixture *f)
{
	for (uint32_t i = 0; i < MANY; i++) {
		struct db_command c = {.type = DB_CMD_GROUP_CREATE,
				       .group_create = {.priority = 100}};
		char name[CL_NAME_MAX];

		snprintf(name, sizeof(name), "g%04u", i);
		memcpy(c.group_create.name, name, sizeof(name));
		apply_fast(f, &c);
		c = (struct db_command){
			.type = DB_CMD_GROUP_INTENT,
			.group_intent = {.intent = DB_INTENT_ONLINE, .wish = CL_NODE_NONE}};
		memcpy(c.group_intent.name, name, sizeof(name));
		apply_fast(f, &c);
		c = (struct db_command){
			.type = DB_CMD_GROUP_ORDER,
			.group_order = {.work = DB_WORK_STARTING, .incarnation = INC(0)}};
		memcpy(c.group_order.name, name, sizeof(name));
		apply_fast(f, &c);
		c = (struct db_command){
			.type = DB_CMD_GROUP_REPORT,
			.group_report = {.work = DB_WORK_ONLINE, .order = f->db.index}};
		memcpy(c.group_report.name, name, sizeof(name));
		apply_fast(f, &c);
	}
}

static void many_groups_go_in_one_round_and_not_every_order_is_kept(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	void *mem = malloc(db_size(&many_limits));
	uint32_t steps = 0, lost;
	struct run r;

	(void)state;
	assert_true(f && mem);
	assert_int_equal(db_init(&f->db, mem, db_size(&many_limits), &many_limits), 0);
	admit(f, 0, INC(0));
	admit(f, 1, INC(1));
	make_fence(f, 3);
	make_many(f);
	DONE(f, SETTING_SET, setting_set, .key = "placement.starts_per_node", .value = "4096");
	assert_int_equal(begin_run(&r, &f->db, loss(cl_bit(0))), DB_OK);
	while (whatif_step(r.w))
		steps++;
	assert_true(r.w->is_at_rest);
	assert_true(steps > 2 * MANY / 64);
	assert_int_equal(r.w->order_count, WHATIF_ORDERS_MAX);
	assert_int_equal(r.w->orders_left_off, MANY - WHATIF_ORDERS_MAX);
	assert_int_equal(r.w->order[WHATIF_ORDERS_MAX - 1].round, 1);
	assert_true(whatif_keeps_running(r.w, &lost));
	expect(&r, "group", "g0000", WHATIF_MOVES, 1);
	end_run(&r);
	free(mem);
	free(f);
}

/* ---- nothing happens */

static struct db_decision decided(struct fixture *f, const char *name)
{
	struct plan_orders *orders = calloc(1, sizeof(*orders));
	const struct db_decision *d;
	struct db_command c;

	assert_non_null(orders);
	plan_run(&f->db, orders);
	for (size_t i = 0; plan_command(orders, i, &c); i++)
		assert_int_equal(apply(f, c), DB_OK);
	free(orders);
	d = decision_newest(&f->db, name);
	assert_non_null(d);
	return *d;
}

static void a_decision_is_the_same_again_from_what_there_was(void **state)
{
	struct fixture *f = *state;
	struct db_decision then, other;
	const struct db_decision *again;
	uint64_t before;
	struct run r;

	r = run(&f->db, of(WHATIF_NOTHING, 0));
	assert_int_equal(r.w->order_count, 0);
	end_run(&r);
	DONE(f, GROUP_CREATE, group_create, .name = "g", .possible = ALL, .priority = 100);
	group_intent(f, "g", DB_INTENT_ONLINE, CL_NODE_NONE);
	before = f->db.index;
	r = run(&f->db, of(WHATIF_NOTHING, 0));
	then = decided(f, "g");
	assert_int_equal(then.id, before + 1);
	again = decision_after(&r.w->db, "g", before);
	assert_non_null(again);
	assert_true(decision_same(&then, again));
	assert_null(decision_after(&r.w->db, "g", UINT64_MAX - 1));
	expect(&r, "group", "g", WHATIF_STARTS, then.node);
	other = then;
	other.score[2]++;
	assert_false(decision_same(&other, again));
	other = then;
	other.verdict[2] = DB_VERDICT_PAUSED;
	assert_false(decision_same(&other, again));
	other = then;
	other.node = (uint8_t)(1 - other.node);
	assert_false(decision_same(&other, again));
	end_run(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VM_TEST(a_lost_node_s_volume_is_recovered_and_its_machine_runs_elsewhere),
		VM_TEST(without_a_fence_device_all_of_it_is_blocked),
		VM_TEST(without_a_quorum_nothing_runs_anywhere),
		VM_TEST(a_group_goes_to_a_possible_owner_or_nowhere),
		VM_TEST(what_has_no_room_on_the_others_is_lost),
		VM_TEST(what_was_down_before_is_not_lost),
		VM_TEST(a_node_that_waits_for_its_fence_is_assumed_to_be_fenced),
		VM_TEST(a_drain_migrates_and_moves_the_coordinator),
		VM_TEST(a_drain_of_all_nodes_leaves_everything_where_it_is),
		VM_TEST(a_group_that_fails_goes_on_elsewhere_or_says_why_not),
		VM_TEST(a_node_that_comes_back_gets_what_only_it_can_run),
		VM_TEST(what_cannot_happen_is_refused_with_the_reason),
		VM_TEST(bytes_that_are_no_snapshot_are_refused),
		VM_TEST(a_fence_that_the_planner_orders_is_assumed_to_succeed),
		VM_TEST(a_node_without_which_there_is_no_quorum_is_not_fenced),
		VM_TEST(when_a_table_is_full_it_ends_and_says_so),
		VM_TEST(after_its_last_round_it_is_left_as_it_is),
		VM_TEST(what_it_says_is_what_happens_then),
		VM_TEST(a_decision_is_the_same_again_from_what_there_was),
		cmocka_unit_test(many_groups_go_in_one_round_and_not_every_order_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
