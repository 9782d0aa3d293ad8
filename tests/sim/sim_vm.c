/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Simulation of virtual machines and their live migrations in the replicated database: up to four
 * nodes that are cut off, lost, fenced, rebooted, drained and left, and that apply what is
 * committed later than others; migrations that fail, are cancelled, and ask too early to be
 * transferred; reports and orders that arrive late, twice, in any order or not at all. A model
 * keeps the truth about which process runs virtual CPUs.
 *
 * Safety, at each step: a virtual machine runs in at most one process on nodes that have power, and
 * only with its memory; the transfer comes when the source stands still and all has arrived, not to
 * a node that is lost, and never after a cancel (M3); at most one session between two nodes (M2);
 * nodes that have applied the same are the same; the planner has no more orders when its orders are
 * applied. Liveness: after the faults end, every virtual machine runs, none is being migrated, and
 * none is left on a node that is drained.
 *
 *   sim_vm [--seeds N] [--first SEED] [--mutant NAME|all] [--trace]
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/vm.h"
#include "tests/sim/sim_vm_world.h"

/* ---- the sequencer ---- */

static void admit(struct world *w, int n)
{
	const struct node *o = &w->node[n];
	struct db_command cmd = {.type = DB_CMD_NODE_ADMIT,
				 .node_admit = {.slot = (uint8_t)n,
						.nodeid = 100u + (uint32_t)n,
						.incarnation = o->incarnation,
						.instance = o->instance}};

	sim_node_name(n, cmd.node_admit.name);
	snprintf(cmd.node_admit.boot, sizeof(cmd.node_admit.boot), "boot-%" PRIu64, o->incarnation);
	sim_apply(w, &cmd);
}

/* A fence: power off, and the database hears of it then or later. */
static void fence(struct world *w, int n)
{
	const struct db_node *row = sim_node(w, n);
	struct db_command cmd = {.type = DB_CMD_NODE_FENCED,
				 .node_fenced = {.incarnation = row->incarnation, .how = "off"}};

	sim_node_name(n, cmd.node_fenced.name);
	if (row->incarnation == w->node[n].incarnation)
		sim_die(w, n);
	if (sim_chance(w, w->rate_late))
		sim_send(w, n, &cmd);
	else
		sim_apply(w, &cmd);
}

static void duty_of_node(struct world *w, int n)
{
	const struct db_node *row = sim_node(w, n);
	const struct node *o = &w->node[n];
	bool is_here = o->is_up && o->is_connected && o->is_process;
	bool is_known = row && row->incarnation == o->incarnation;
	struct db_command lost = {.type = DB_CMD_NODE_LOST};
	struct db_command fencing = {.type = DB_CMD_NODE_FENCING};

	if (is_here && is_known &&
	    (row->membership == DB_MEMBERSHIP_FENCED || row->membership == DB_MEMBERSHIP_FENCING))
		is_here = false;
	if (is_here &&
	    (!is_known || row->membership == DB_MEMBERSHIP_LOST || row->instance != o->instance)) {
		admit(w, n);
		return;
	}
	if (!row || is_here)
		return;
	sim_node_name(n, lost.node_lost.name);
	sim_node_name(n, fencing.node_fencing.name);
	lost.node_lost.incarnation = fencing.node_fencing.incarnation = row->incarnation;
	if (row->membership == DB_MEMBERSHIP_ADMITTED && sim_chance(w, 40)) {
		sim_apply(w, &lost);
	} else if (row->membership == DB_MEMBERSHIP_LOST && sim_chance(w, 30)) {
		sim_apply(w, &fencing);
	} else if (row->membership == DB_MEMBERSHIP_FENCING && sim_chance(w, 50)) {
		fence(w, n);
	}
}

static bool has_orders(const struct world *w)
{
	return w->orders.count || w->orders.begin_count || w->orders.migration_count;
}

/* Each in the order in which they are to be carried out. */
static void each_order(struct world *w, void (*fn)(struct world *w, const struct db_command *cmd))
{
	for (size_t i = 0; i < w->orders.begin_count; i++)
		fn(w, &(struct db_command){.type = DB_CMD_MIGRATION_ORDER,
					   .migration_order = w->orders.begin[i]});
	for (size_t i = 0; i < w->orders.migration_count; i++)
		fn(w, &(struct db_command){.type = DB_CMD_VM_MIGRATE,
					   .vm_migrate = w->orders.migration[i]});
	for (size_t i = 0; i < w->orders.count; i++)
		fn(w, &(struct db_command){.type = DB_CMD_GROUP_ORDER,
					   .group_order = w->orders.item[i]});
}

static void order_late(struct world *w, const struct db_command *cmd)
{
	sim_send(w, NODES, cmd);
}

static void order_now(struct world *w, const struct db_command *cmd)
{
	if (sim_apply(w, cmd))
		sim_broke(w, "an order is refused at once");
}

/* Orders are under way for a while, during which things change; or they are applied at once. */
static void plan(struct world *w)
{
	plan_run(&w->db, &w->orders);
	if (sim_chance(w, w->rate_late)) {
		each_order(w, order_late);
		return;
	}
	each_order(w, order_now);
	plan_run(&w->db, &w->orders);
	if (has_orders(w))
		sim_broke(w, "planning on its own result gives orders");
}

/* ---- administrators ---- */

static void vm_make(struct world *w, int i)
{
	struct db_command cmd = {
		.type = DB_CMD_VM_CREATE,
		.vm_create = {.definition = "{}", .priority = (uint8_t)prng_below(&w->rng, 3)}};

	sim_vm_name(i, cmd.vm_create.name);
	snprintf(cmd.vm_create.uuid, sizeof(cmd.vm_create.uuid),
		 "00000000-0000-0000-0000-00000000000%d", i);
	sim_apply(w, &cmd);
}

static void group_wish(struct world *w, int i, enum db_intent intent, uint8_t wish)
{
	struct db_command cmd = {.type = DB_CMD_GROUP_INTENT,
				 .group_intent = {.intent = (uint8_t)intent, .wish = wish}};

	sim_vm_name(i, cmd.group_intent.name);
	snprintf(cmd.group_intent.verb, sizeof(cmd.group_intent.verb), "group-move");
	sim_apply(w, &cmd);
}

static void vm_migrate(struct world *w, int i, uint8_t to)
{
	struct db_command cmd = {.type = DB_CMD_VM_MIGRATE, .vm_migrate = {.to = to}};

	sim_vm_name(i, cmd.vm_migrate.name);
	snprintf(cmd.vm_migrate.verb, sizeof(cmd.vm_migrate.verb), "vm-migrate");
	sim_apply(w, &cmd);
}

static void vm_delete(struct world *w, int i)
{
	struct db_command cmd = {.type = DB_CMD_VM_DELETE};

	sim_vm_name(i, cmd.vm_delete.name);
	sim_apply(w, &cmd);
}

static void vm_pause(struct world *w, int i)
{
	struct db_command cmd = {.type = DB_CMD_VM_SET_PAUSED,
				 .vm_set_paused = {.pause = sim_chance(w, 50)}};

	sim_vm_name(i, cmd.vm_set_paused.name);
	sim_apply(w, &cmd);
}

static void task_cancel(struct world *w)
{
	struct db_command cmd = {.type = DB_CMD_TASK_CANCEL};
	uint32_t tasks = db_count(&w->db, DB_KIND_TASK);
	const struct db_task *t;

	if (!tasks)
		return;
	t = db_at(&w->db, DB_KIND_TASK, (uint32_t)prng_below(&w->rng, tasks));
	cmd.task_cancel.id = t->id;
	if (t->state == DB_TASK_STATE_RUNNING)
		sim_apply(w, &cmd);
}

static void admin(struct world *w)
{
	int i = (int)prng_below(&w->rng, (uint64_t)w->vms);
	uint8_t to = (uint8_t)prng_below(&w->rng, (uint64_t)w->nodes);

	if (!sim_vm(&w->db, i)) {
		vm_make(w, i);
		return;
	}
	switch (prng_below(&w->rng, 10)) {
	case 0:
		vm_delete(w, i);
		break;
	case 1:
		vm_pause(w, i);
		break;
	case 2:
	case 3:
		task_cancel(w);
		break;
	case 4:
	case 5:
		group_wish(w, i, sim_chance(w, 85) ? DB_INTENT_ONLINE : DB_INTENT_OFFLINE,
			   sim_chance(w, 50) ? CL_NODE_NONE : to);
		break;
	default:
		vm_migrate(w, i, to);
		break;
	}
}

static void pause_node(struct world *w, int n, bool is_paused)
{
	struct db_command cmd = {.type = DB_CMD_NODE_PAUSE,
				 .node_pause = {.pause = is_paused, .drain = is_paused}};

	sim_node_name(n, cmd.node_pause.name);
	sim_apply(w, &cmd);
}

/* ---- faults ---- */

static void power_on(struct world *w, int n)
{
	struct node *o = &w->node[n];

	if (o->is_up)
		return;
	o->incarnation = ++w->next_incarnation;
	o->instance = ++w->next_instance;
	o->is_up = o->is_process = o->is_connected = true;
	TRACE(w, "n%d: boots, incarnation %" PRIu64, n, o->incarnation);
}

/* What the old process had sent comes before anything of the new one, which remembers nothing. */
static void restart_daemon(struct world *w, int n)
{
	struct node *o = &w->node[n];

	if (!o->is_up)
		return;
	TRACE(w, "n%d: its daemon is new", n);
	sim_deliver_from(w, n);
	sim_catch_up(w, n, UINT64_MAX);
	memset(o->made, 0, sizeof(o->made));
	o->is_process = true;
	o->instance = ++w->next_instance;
}

/* Somebody takes back that a node leaves. */
static void leave_cancel(struct world *w)
{
	struct db_command cmd = {.type = DB_CMD_TASK_CANCEL};

	for (uint32_t i = 0; i < db_count(&w->db, DB_KIND_TASK); i++) {
		const struct db_task *t = db_at(&w->db, DB_KIND_TASK, i);

		if (t->state == DB_TASK_STATE_RUNNING && !strcmp(t->verb, "node-leave"))
			cmd.task_cancel.id = t->id;
	}
	if (cmd.task_cancel.id)
		sim_apply(w, &cmd);
}

/* By a signal, or asked for as a task; once it leaves, its time to move things may be over. */
static void leave_begin(struct world *w, int n)
{
	struct db_command cmd = {.type = DB_CMD_NODE_LEAVE,
				 .node_leave = {.incarnation = w->node[n].incarnation}};
	const struct db_node *row = sim_node(w, n);

	if (!sim_is_member(w, n))
		return;
	if (sim_chance(w, 60)) {
		cmd = (struct db_command){.type = DB_CMD_NODE_DEPART,
					  .node_depart = {.incarnation = w->node[n].incarnation,
							  .is_time_over = row && row->is_leaving}};
		sim_node_name(n, cmd.node_depart.name);
	} else {
		sim_node_name(n, cmd.node_leave.name);
	}
	sim_apply(w, &cmd);
	if (sim_chance(w, 20))
		leave_cancel(w);
}

static void fault(struct world *w)
{
	int n = (int)prng_below(&w->rng, (uint64_t)w->nodes);
	struct node *o = &w->node[n];

	switch (prng_below(&w->rng, 8)) {
	case 0:
	case 1:
		o->is_connected = o->is_up && !o->is_connected;
		TRACE(w, "n%d: connected %d", n, o->is_connected);
		break;
	case 2:
		sim_die(w, n);
		break;
	case 3:
		power_on(w, n);
		break;
	case 4:
		restart_daemon(w, n);
		break;
	case 5:
		leave_begin(w, n);
		break;
	default:
		pause_node(w, n, sim_chance(w, 30));
		break;
	}
}

/* One node stays drained from now on, if another can have what runs there. */
static void heal(struct world *w)
{
	TRACE(w, "the faults end");
	w->is_healed = true;
	w->rate_fail = w->rate_crash = 0;
	w->drained = (int)prng_below(&w->rng, (uint64_t)w->nodes);
	for (int i = 0; i < w->vms; i++) {
		if (!sim_vm(&w->db, i))
			vm_make(w, i);
	}
}

/* Whoever tends the cluster: what is off is switched on, what was given up is tried again. */
static void tend(struct world *w)
{
	for (int n = 0; n < w->nodes; n++) {
		struct node *o = &w->node[n];
		const struct db_node *row = sim_node(w, n);

		power_on(w, n);
		o->is_connected = true;
		if (row && (row->membership == DB_MEMBERSHIP_LEFT || row->is_leaving))
			restart_daemon(w, n);
		if (row && row->is_paused && n != w->drained)
			pause_node(w, n, false);
		if (row && n == w->drained && (!row->is_paused || sim_chance(w, 3)))
			pause_node(w, n, true);
	}
	for (int i = 0; i < w->vms; i++) {
		const struct db_group *row = sim_group(&w->db, i);

		if (row && (row->intent == DB_INTENT_OFFLINE || row->refused ||
			    (row->work == DB_WORK_FAILED && !row->lock)))
			group_wish(w, i, DB_INTENT_ONLINE, CL_NODE_NONE);
	}
}

/* ---- the loop ---- */

static bool is_settled(struct world *w)
{
	for (int i = 0; i < w->vms; i++) {
		const struct db_group *g = sim_group(&w->db, i);
		const struct db_vm *v = sim_vm(&w->db, i);
		const struct process *p;

		if (!g || g->work != DB_WORK_ONLINE || v->migration || g->node == w->drained)
			return false;
		p = sim_process(w, g->node, i, v->instance);
		if (!p || !p->is_running)
			return false;
	}
	for (int n = 0; n < w->nodes; n++) {
		if (!sim_is_member(w, n))
			return false;
	}
	plan_run(&w->db, &w->orders);
	return !has_orders(w);
}

/* For people who look for what does not get on. */
static void show(const struct world *w)
{
	char text[DB_REASON_MAX];

	for (int i = 0; i < w->vms; i++) {
		const struct db_group *row = sim_group(&w->db, i);

		if (row)
			plan_explain(&w->db, row, text, sizeof(text));
		TRACE(w, "vm%d: %s on n%d, work %d", i, row ? text : "not there",
		      row ? row->node : -1, row ? row->work : -1);
	}
	for (int n = 0; n < w->nodes; n++)
		TRACE(w, "n%d: membership %d, member %d%s", n, sim_node(w, n)->membership,
		      sim_is_member(w, n), n == w->drained ? ", drained" : "");
}

static void step(struct world *w)
{
	uint64_t what = prng_below(&w->rng, 100);

	if (what < 55)
		sim_exec(w, (int)prng_below(&w->rng, (uint64_t)w->nodes));
	else if (what < 75)
		sim_deliver(w);
	else if (what < 83)
		plan(w);
	else if (what < 91)
		duty_of_node(w, (int)prng_below(&w->rng, (uint64_t)w->nodes));
	else if (w->is_healed)
		tend(w);
	else if (what < 92)
		fault(w);
	else if (what < 95)
		admin(w);
	sim_check(w);
}

/* NULL, or what was broken. */
static const char *run_seed(uint64_t seed, enum db_mutant mutant, bool is_trace)
{
	static struct world world;
	struct world *w = &world;
	bool is_open = true;

	sim_world_init(w, seed, mutant, is_trace);
	for (int n = 0; n < w->nodes && !w->broken; n++)
		power_on(w, n);
	for (int i = 0; i < w->vms && !w->broken; i++) {
		vm_make(w, i);
		group_wish(w, i, DB_INTENT_ONLINE, CL_NODE_NONE);
	}
	while (!w->broken && is_open && w->step < STEPS + HEAL_STEPS) {
		w->step++;
		if (w->step == STEPS)
			heal(w);
		step(w);
		is_open = !w->is_healed || !is_settled(w);
	}
	if (is_open && !w->broken && w->is_trace)
		show(w);
	if (is_open)
		sim_broke(w, "no progress after the faults have ended");
	sim_world_free(w);
	return w->broken;
}

/* ---- command line ---- */

struct options {
	uint64_t seeds;
	uint64_t first;
	const char *mutant;
	bool is_trace;
};

static int usage(void)
{
	fprintf(stderr, "usage: sim_vm [--seeds N] [--first SEED] [--mutant NAME|all] "
			"[--trace]\n");
	return 2;
}

static int options_read(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {{"seeds", required_argument, NULL, 's'},
					      {"first", required_argument, NULL, 'f'},
					      {"mutant", required_argument, NULL, 'm'},
					      {"trace", no_argument, NULL, 't'},
					      {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 's')
			o->seeds = strtoull(optarg, NULL, 10);
		else if (c == 'f')
			o->first = strtoull(optarg, NULL, 10);
		else if (c == 'm')
			o->mutant = optarg;
		else if (c == 't')
			o->is_trace = true;
		else
			return -EINVAL;
	}
	return optind < argc ? -EINVAL : 0;
}

static bool mutant_found(const struct options *o, enum db_mutant mutant)
{
	for (uint64_t i = 0; i < o->seeds; i++) {
		const char *broken = run_seed(o->first + i, mutant, o->is_trace);

		if (broken) {
			printf("mutant %s found by seed %" PRIu64 ": %s\n", db_mutant_name(mutant),
			       o->first + i, broken);
			return true;
		}
	}
	printf("mutant %s NOT found in %" PRIu64 " seeds\n", db_mutant_name(mutant), o->seeds);
	return false;
}

int main(int argc, char **argv)
{
	struct options o = {.seeds = 1000, .first = 1};
	uint64_t passed = 0, failed = 0;
	bool is_known = false;

	if (options_read(argc, argv, &o))
		return usage();
	for (int m = DB_MUTANT_VM_FIRST; o.mutant && m <= DB_MUTANT_VM_LAST; m++) {
		bool is_found;

		if (strcmp(o.mutant, "all") != 0 &&
		    strcmp(o.mutant, db_mutant_name((enum db_mutant)m)) != 0)
			continue;
		is_known = true;
		is_found = mutant_found(&o, (enum db_mutant)m);
		passed += is_found;
		failed += !is_found;
	}
	if (o.mutant && !is_known)
		return usage();
	for (uint64_t i = 0; !o.mutant && i < o.seeds; i++) {
		const char *broken = run_seed(o.first + i, DB_MUTANT_NONE, o.is_trace);

		if (broken)
			printf("seed %" PRIu64 ": %s\n", o.first + i, broken);
		passed += !broken;
		failed += broken != NULL;
	}
	printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
	return failed ? 1 : 0;
}
