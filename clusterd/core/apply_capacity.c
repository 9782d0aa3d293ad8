/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What nodes have and groups reserve, and what is refused for the sake of it; admission.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/admission.h"
#include "clusterd/core/apply_impl.h"
#include "clusterd/core/capacity.h"
#include "clusterd/core/setting.h"

/* ---- nodes */

void do_node_capacity(struct apply *a, const struct db_cmd_node_capacity *c)
{
	struct db_node *n = db_find(a->db, DB_KIND_NODE, c->name);

	if (!n || n->incarnation != c->incarnation) {
		apply_answer(a, DB_NO_SUCH, "no such incarnation of node %s", c->name);
		return;
	}
	if (n->memory_mib == c->memory_mib && n->cores == c->cores)
		return;
	n->memory_mib = c->memory_mib;
	n->cores = c->cores;
	apply_event(a, "node-capacity", c->name, "it has %u MiB of memory and %u cores",
		    c->memory_mib, c->cores);
}

static bool numbers_fit(struct apply *a, uint32_t memory_mib, uint32_t cpu_pct)
{
	if (memory_mib != DB_KEEP && memory_mib > CAPACITY_MEMORY_MAX)
		apply_answer(a, DB_INVALID, "memory: 0 to %u MiB", CAPACITY_MEMORY_MAX);
	else if (cpu_pct != DB_KEEP && cpu_pct > CAPACITY_CPU_MAX)
		apply_answer(a, DB_INVALID, "cpu: 0 to %u hundredths of a core", CAPACITY_CPU_MAX);
	else
		return true;
	return false;
}

/* Less than what is reserved there is taken, too: it may be what the machine has now. */
void do_node_set(struct apply *a, const struct db_cmd_node_set *c)
{
	struct db_node *n = db_find(a->db, DB_KIND_NODE, c->name);
	char memory[24] = "as it says", cpu[24] = "as it says";

	if (!n) {
		apply_answer(a, DB_NO_SUCH, "no node %s", c->name);
		return;
	}
	if (!numbers_fit(a, c->memory_mib, c->cpu_pct))
		return;
	if (c->memory_mib != DB_KEEP)
		n->set_memory_mib = c->memory_mib;
	if (c->cpu_pct != DB_KEEP)
		n->set_cpu_pct = c->cpu_pct;
	if (n->set_memory_mib)
		snprintf(memory, sizeof(memory), "%u MiB", n->set_memory_mib);
	if (n->set_cpu_pct)
		snprintf(cpu, sizeof(cpu), "%u.%02u cores", n->set_cpu_pct / 100,
			 n->set_cpu_pct % 100);
	apply_event(a, "node-set", c->name, "capacity: memory %s, cpu %s, by %s", memory, cpu,
		    a->cmd->actor);
}

/* ---- room */

/* It counts there already if it is there, or on its way. */
bool capacity_refuses(struct apply *a, const struct db_group *g, uint8_t slot, enum db_code code)
{
	struct capacity_map map;
	char text[CAPACITY_TEXT];

	if (slot == g->node || (slot == g->goal && g->work == DB_WORK_STOPPING))
		return false;
	capacity_count(a->db, &map);
	if (!capacity_lacks(a->db, &map, capacity_of_group(&map, g), slot, text))
		return false;
	apply_answer(a, code, "group %s cannot run on %s: %s", g->name, db_node_name(a->db, slot),
		     text);
	return true;
}

/* ---- admission */

/* The group is as it would be. False, with an answer: the cluster would not survive. */
static bool survives(struct apply *a, const struct db_group *g, const char *what)
{
	uint32_t losses = (uint32_t)setting_get(a->db, SETTING_PLACEMENT_SURVIVE, NULL);
	struct admission admission;

	admission_check(a->db, losses, &admission);
	if (admission.is_survived)
		return true;
	apply_answer(a, DB_REFUSED, "%.40s: %s (placement.survive %" PRIu32 "): %s", g->name, what,
		     losses, admission.text);
	return false;
}

bool admission_start(struct apply *a, struct db_group *g, uint8_t wish)
{
	uint8_t intent = g->intent, before = g->wish;
	bool is_good;

	if (intent == DB_INTENT_ONLINE)
		return true; /* it counts already */
	g->intent = DB_INTENT_ONLINE;
	g->wish = wish;
	is_good = survives(a, g, "not started");
	g->intent = intent;
	g->wish = before;
	return is_good;
}

/* What it asks for more has no room on a node where it is or goes to; with an answer. */
static bool overfills(struct apply *a, struct db_group *g, const struct db_group *was)
{
	struct capacity_map before, after;
	struct db_group is = *g;
	char text[CAPACITY_TEXT];

	capacity_count(a->db, &after);
	*g = *was;
	capacity_count(a->db, &before);
	*g = is;
	for (uint8_t slot = 0; slot < CL_MAX_NODES; slot++) {
		struct capacity x = before.used[slot], y = after.used[slot];
		struct capacity more = {y.memory_mib > x.memory_mib ? y.memory_mib - x.memory_mib
								    : 0,
					y.cpu_pct > x.cpu_pct ? y.cpu_pct - x.cpu_pct : 0};

		if ((!more.memory_mib && !more.cpu_pct) ||
		    !capacity_lacks(a->db, &before, more, slot, text))
			continue;
		apply_answer(a, DB_REFUSED, "%s: no room for more on %s: %s", g->name,
			     db_node_name(a->db, slot), text);
		return true;
	}
	return false;
}

bool admission_raise(struct apply *a, struct db_group *g, const struct db_group *was)
{
	struct capacity_map map = {.overhead_mib = (uint32_t)setting_get(
					   a->db, SETTING_PLACEMENT_VM_OVERHEAD_MIB, NULL)};
	struct capacity before = capacity_of_group(&map, was), after = capacity_of_group(&map, g);

	if (after.memory_mib <= before.memory_mib && after.cpu_pct <= before.cpu_pct)
		return true;
	if (overfills(a, g, was))
		return false;
	return g->intent != DB_INTENT_ONLINE || survives(a, g, "not given more");
}

/* ---- reservations */

void do_group_reserve(struct apply *a, const struct db_cmd_group_reserve *c)
{
	struct db_group *g = db_find(a->db, DB_KIND_GROUP, c->name);
	struct db_group was;

	if (!g) {
		apply_answer(a, DB_NO_SUCH, "no group %s", c->name);
		return;
	}
	if (!numbers_fit(a, c->memory_mib, c->cpu_pct))
		return;
	was = *g;
	if (c->memory_mib != DB_KEEP)
		g->memory_mib = c->memory_mib;
	if (c->cpu_pct != DB_KEEP)
		g->cpu_pct = c->cpu_pct;
	if (g->memory_mib == was.memory_mib && g->cpu_pct == was.cpu_pct)
		return;
	if (!admission_raise(a, g, &was)) {
		*g = was;
		return;
	}
	apply_event(a, "group-reserve", c->name, "%u MiB%s and %u.%02u cores, by %s", g->memory_mib,
		    !g->memory_mib && g->guest_mib ? " (as its definition says)" : "",
		    g->cpu_pct / 100, g->cpu_pct % 100, a->cmd->actor);
}
