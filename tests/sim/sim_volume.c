/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Simulation of volumes in the replicated database: up to four nodes that are cut off, lost,
 * fenced, rebooted, drained and left; coordinators that start, fail, die and cannot be proven over;
 * mounts that come and go; groups that need volumes; reports and orders that arrive late, twice and
 * in any order. A model keeps the truth about what is really mounted, and asks nothing of the
 * database.
 *
 * Safety, at each step: at most one living node has a filesystem mounted, and only under vol: and
 * in the term in force; a living mount has its mnt:; neither is freed, nor a group started, before
 * what an ended mount held was dropped by the coordinator in force; terms grow; a node that left
 * has nothing mounted; the planner has no more orders when its orders are applied.
 * Liveness: after the faults end, every volume comes online, every node mounts it, nothing waits
 * for recovery and every group runs.
 *
 *   sim_volume [--seeds N] [--first SEED] [--mutant NAME|all] [--trace]
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/volume.h"
#include "tests/sim/sim_volume_world.h"

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

static void order_volumes(struct world *w)
{
	for (size_t i = 0; i < w->orders.volume_count; i++) {
		struct db_command cmd = {.type = DB_CMD_VOLUME_ORDER,
					 .volume_order = w->orders.volume[i]};

		if (sim_apply(w, &cmd))
			sim_broke(w, "an order for a volume is refused at once");
	}
}

static void order_groups(struct world *w)
{
	for (size_t i = 0; i < w->orders.count; i++) {
		struct db_command cmd = {.type = DB_CMD_GROUP_ORDER,
					 .group_order = w->orders.item[i]};

		if (sim_apply(w, &cmd))
			sim_broke(w, "an order for a group is refused at once");
	}
}

/* The others are quorate without it. */
static bool may_lose(const struct world *w, const char *name)
{
	int members = 0;

	for (int n = 0; n < w->nodes; n++)
		members += sim_is_member(w, n) && n != name[1] - '0';
	return members * 2 > w->nodes;
}

static void fence_stuck(struct world *w)
{
	struct db_command cmd = {.type = DB_CMD_NODE_FENCING, .node_fencing = w->orders.fence};

	if (!w->orders.has_fence || !may_lose(w, w->orders.fence.name))
		return;
	if (sim_apply(w, &cmd))
		sim_broke(w, "a fence that was planned is refused at once");
	plan_run(&w->db, &w->orders);
	if (w->orders.has_fence)
		sim_broke(w, "a second fence is planned while one is under way");
}

/* Orders are under way for a while, during which things change; or they are applied at once. */
static void plan(struct world *w)
{
	plan_run(&w->db, &w->orders);
	fence_stuck(w);
	if (sim_chance(w, w->rate_late)) {
		for (size_t i = 0; i < w->orders.volume_count; i++)
			sim_send(w, NODES,
				 &(struct db_command){.type = DB_CMD_VOLUME_ORDER,
						      .volume_order = w->orders.volume[i]});
		for (size_t i = 0; i < w->orders.count; i++)
			sim_send(w, NODES,
				 &(struct db_command){.type = DB_CMD_GROUP_ORDER,
						      .group_order = w->orders.item[i]});
		return;
	}
	order_volumes(w);
	order_groups(w);
	plan_run(&w->db, &w->orders);
	if (w->orders.count || w->orders.volume_count)
		sim_broke(w, "planning on its own result gives orders");
}

/* ---- administrators ---- */

static void volume_make(struct world *w, int v)
{
	struct db_command cmd = {.type = DB_CMD_VOLUME_CREATE};

	sim_volume_name(v, cmd.volume_create.name);
	snprintf(cmd.volume_create.device, sizeof(cmd.volume_create.device), "/dev/lun%d", v);
	snprintf(cmd.volume_create.uuid, sizeof(cmd.volume_create.uuid),
		 "00000000-0000-0000-0000-00000000000%d", v);
	sim_apply(w, &cmd);
}

/* A device that covers some of the nodes. */
static void fence_make(struct world *w)
{
	sim_apply(w, &(struct db_command){.type = DB_CMD_FENCE_CREATE,
					  .fence_create = {.name = "bmc",
							   .agent = "/bin/true",
							   .nodes = (uint16_t)prng_next(&w->rng)}});
}

static void volume_wish(struct world *w, int v, uint8_t wish)
{
	struct db_command cmd = {.type = DB_CMD_VOLUME_INTENT, .volume_intent = {.wish = wish}};

	sim_volume_name(v, cmd.volume_intent.name);
	snprintf(cmd.volume_intent.verb, sizeof(cmd.volume_intent.verb), "%s",
		 wish == CL_NODE_NONE ? "volume-clear" : "volume-move");
	sim_apply(w, &cmd);
}

static void group_make(struct world *w, int g)
{
	struct db_command cmd = {.type = DB_CMD_GROUP_CREATE};
	struct db_cmd_group_create *c = &cmd.group_create;
	size_t at = 0;

	sim_group_name(g, c->name);
	for (int v = 0; v < w->volumes; v++) {
		if (sim_chance(w, 50))
			at += (size_t)snprintf(c->volumes + at, sizeof(c->volumes) - at, "v%d,", v);
	}
	sim_apply(w, &cmd);
}

static void group_wish(struct world *w, int g, enum db_intent intent, uint8_t wish)
{
	struct db_command cmd = {.type = DB_CMD_GROUP_INTENT,
				 .group_intent = {.intent = (uint8_t)intent, .wish = wish}};

	sim_group_name(g, cmd.group_intent.name);
	snprintf(cmd.group_intent.verb, sizeof(cmd.group_intent.verb), "group-move");
	sim_apply(w, &cmd);
}

static void admin_volume(struct world *w)
{
	int v = (int)prng_below(&w->rng, (uint64_t)w->volumes);
	struct db_command cmd = {.type = DB_CMD_VOLUME_DELETE};

	if (!sim_volume(w, v)) {
		volume_make(w, v);
	} else if (sim_chance(w, 15)) {
		sim_volume_name(v, cmd.volume_delete.name);
		sim_apply(w, &cmd);
	} else {
		volume_wish(w, v,
			    sim_chance(w, 50) ? CL_NODE_NONE : (uint8_t)prng_below(&w->rng, NODES));
	}
}

static void admin_group(struct world *w)
{
	int g = (int)prng_below(&w->rng, (uint64_t)w->groups);
	struct db_command cmd = {.type = DB_CMD_GROUP_DELETE};

	if (!sim_group(w, g)) {
		group_make(w, g);
	} else if (sim_chance(w, 10)) {
		sim_group_name(g, cmd.group_delete.name);
		sim_apply(w, &cmd);
	} else {
		group_wish(w, g, sim_chance(w, 70) ? DB_INTENT_ONLINE : DB_INTENT_OFFLINE,
			   sim_chance(w, 60) ? CL_NODE_NONE : (uint8_t)prng_below(&w->rng, NODES));
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
	for (int v = 0; v < w->volumes; v++)
		o->volume[v].over = o->volume[v].mine = 0;
	memset(o->over, 0, sizeof(o->over));
	o->is_process = true;
	o->instance = ++w->next_instance;
}

static void leave_begin(struct world *w, int n)
{
	struct db_command cmd = {.type = DB_CMD_NODE_LEAVE,
				 .node_leave = {.incarnation = w->node[n].incarnation}};

	if (!sim_is_member(w, n))
		return;
	sim_node_name(n, cmd.node_leave.name);
	sim_apply(w, &cmd);
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

static void heal(struct world *w)
{
	TRACE(w, "the faults end");
	w->is_healed = true;
	w->rate_fail = w->rate_stuck = w->rate_crash = 0;
	for (int g = 0; g < w->groups; g++) {
		if (!sim_group(w, g))
			group_make(w, g);
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
		if (row && row->is_paused)
			pause_node(w, n, false);
	}
	for (int v = 0; v < w->volumes; v++) {
		const struct db_volume *row = sim_volume(w, v);

		if (row && (row->refused || row->crashed))
			volume_wish(w, v, CL_NODE_NONE);
	}
	for (int g = 0; g < w->groups; g++) {
		const struct db_group *row = sim_group(w, g);

		if (row && (row->intent == DB_INTENT_OFFLINE || row->refused ||
			    (row->work == DB_WORK_FAILED && !row->lock)))
			group_wish(w, g, DB_INTENT_ONLINE, CL_NODE_NONE);
	}
}

/* ---- the loop ---- */

static bool is_volume_settled(const struct world *w, int v)
{
	const struct db_volume *row = sim_volume(w, v);
	char name[CL_NAME_MAX];

	if (!row)
		return true;
	sim_volume_name(v, name);
	if (row->is_deleting || row->work != DB_WORK_ONLINE ||
	    w->node[row->node].volume[v].xfs != row->term)
		return false;
	for (int n = 0; n < w->nodes; n++) {
		const struct db_mount *m = volume_mount(&w->db, name, (uint8_t)n);

		if (!sim_is_member(w, n) || !m || m->state != DB_MOUNT_STATE_MOUNTED ||
		    w->node[n].volume[v].fuse != m->id || w->node[n].volume[v].hung == m->id ||
		    m->voice != DB_MOUNT_VOICE_ANSWERS)
			return false;
	}
	return true;
}

static bool is_settled(struct world *w)
{
	for (int v = 0; v < w->volumes; v++) {
		if (!is_volume_settled(w, v))
			return false;
	}
	for (int g = 0; g < w->groups; g++) {
		const struct db_group *row = sim_group(w, g);

		if (row && (row->work != DB_WORK_ONLINE || !w->node[row->node].run[g]))
			return false;
	}
	plan_run(&w->db, &w->orders);
	return !w->orders.count && !w->orders.volume_count && !w->orders.has_fence;
}

/* For people who look for what does not get on. */
static void show(const struct world *w)
{
	char text[DB_REASON_MAX];

	for (int v = 0; v < w->volumes; v++) {
		const struct db_volume *row = sim_volume(w, v);

		if (row)
			plan_explain_volume(&w->db, row, text, sizeof(text));
		TRACE(w, "v%d: %s", v, row ? text : "not there");
	}
	for (int g = 0; g < w->groups; g++) {
		const struct db_group *row = sim_group(w, g);

		if (row)
			plan_explain(&w->db, row, text, sizeof(text));
		TRACE(w, "g%d: %s on n%d, work %d", g, row ? text : "not there",
		      row ? row->node : -1, row ? row->work : -1);
	}
	for (int n = 0; n < w->nodes; n++)
		TRACE(w, "n%d: membership %d, member %d", n, sim_node(w, n)->membership,
		      sim_is_member(w, n));
}

static void step(struct world *w)
{
	uint64_t what = prng_below(&w->rng, 100);

	if (what < 50)
		sim_exec(w, (int)prng_below(&w->rng, (uint64_t)w->nodes));
	else if (what < 70)
		sim_deliver(w);
	else if (what < 80)
		plan(w);
	else if (what < 90)
		duty_of_node(w, (int)prng_below(&w->rng, (uint64_t)w->nodes));
	else if (w->is_healed)
		tend(w);
	else if (what < 92)
		fault(w);
	else if (what < 94)
		admin_volume(w);
	else if (what < 96)
		admin_group(w);
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
	for (int v = 0; v < w->volumes && !w->broken; v++)
		volume_make(w, v);
	for (int g = 0; g < w->groups && !w->broken; g++)
		group_make(w, g);
	if (sim_chance(w, 50))
		fence_make(w);
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
	fprintf(stderr, "usage: sim_volume [--seeds N] [--first SEED] [--mutant NAME|all] "
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
	for (int m = 1; o.mutant && m < DB_MUTANT_VM_FIRST; m++) {
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
