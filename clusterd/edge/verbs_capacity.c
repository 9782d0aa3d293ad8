/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What nodes have room for and groups reserve, in arguments and answers. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/core/setting.h"
#include "clusterd/edge/verbs_impl.h"
#include "lib/must.h"

bool verb_arg_capacity(struct api_client *c, const json_t *args, uint32_t *ret_memory_mib,
		       uint32_t *ret_cpu_pct)
{
	return verb_arg_u32(c, args, "memory", DB_KEEP, CAPACITY_MEMORY_MAX, ret_memory_mib) &&
	       verb_arg_u32(c, args, "cpu", DB_KEEP, CAPACITY_CPU_MAX, ret_cpu_pct);
}

void verb_node_set(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_NODE_SET);
	const struct db_node *n = verb_arg_node(c, args, "name");
	struct db_cmd_node_set *s = &cmd.node_set;

	if (!n || !verb_arg_capacity(c, args, &s->memory_mib, &s->cpu_pct))
		return;
	if (s->memory_mib == DB_KEEP && s->cpu_pct == DB_KEEP) {
		api_reply(c, API_USAGE, NULL, "nothing to set: give one of memory, cpu");
		return;
	}
	memcpy(s->name, n->name, sizeof(n->name));
	verb_submit(c, &cmd);
}

static json_t *number_or_null(uint64_t v)
{
	return v == CAPACITY_UNKNOWN ? json_null() : json_integer((json_int_t)v);
}

/* "1024/8192", or with hundredths "1.50/8.00". */
static json_t *share(uint64_t used, uint64_t has, bool is_cpu)
{
	char text[64], of[32] = "?";

	if (has != CAPACITY_UNKNOWN && is_cpu)
		snprintf(of, sizeof(of), "%" PRIu64 ".%02" PRIu64, has / 100, has % 100);
	else if (has != CAPACITY_UNKNOWN)
		snprintf(of, sizeof(of), "%" PRIu64, has);
	if (is_cpu)
		snprintf(text, sizeof(text), "%" PRIu64 ".%02" PRIu64 "/%s", used / 100, used % 100,
			 of);
	else
		snprintf(text, sizeof(text), "%" PRIu64 "/%s", used, of);
	return json_string(text);
}

void verb_capacity_json(const struct capacity_map *map, uint8_t slot, json_t *o)
{
	const struct capacity *has = &map->has[slot], *used = &map->used[slot];
	struct capacity is_free = capacity_free(map, slot);

	json_object_set_new(o, "capacity_mib", number_or_null(has->memory_mib));
	json_object_set_new(o, "reserved_mib", json_integer((json_int_t)used->memory_mib));
	json_object_set_new(o, "free_mib", number_or_null(is_free.memory_mib));
	json_object_set_new(o, "capacity_cpu_pct", number_or_null(has->cpu_pct));
	json_object_set_new(o, "reserved_cpu_pct", json_integer((json_int_t)used->cpu_pct));
	json_object_set_new(o, "free_cpu_pct", number_or_null(is_free.cpu_pct));
	json_object_set_new(o, "memory", share(used->memory_mib, has->memory_mib, false));
	json_object_set_new(o, "cpu", share(used->cpu_pct, has->cpu_pct, true));
}

void verb_reserve_json(const struct db *db, const struct db_group *g, json_t *o)
{
	struct capacity_map map;
	struct capacity ask;

	capacity_count(db, &map);
	ask = capacity_of_group(&map, g);
	json_object_set_new(o, "reserved_mib", json_integer((json_int_t)ask.memory_mib));
	json_object_set_new(o, "reserved_cpu_pct", json_integer((json_int_t)ask.cpu_pct));
}

json_t *verb_admission_json(struct engine *e)
{
	uint32_t losses = (uint32_t)setting_get(&e->db, SETTING_PLACEMENT_SURVIVE, NULL);
	const struct admission *a = &e->admission;
	json_t *o;

	/* A large cluster takes some hundred milliseconds: not again for each look. */
	if (e->admission_index != e->db.index)
		admission_check(&e->db, losses, &e->admission);
	e->admission_index = e->db.index;
	o = json_pack("{s:I, s:b, s:s}", "survive", (json_int_t)losses, "is_survived",
		      a->is_survived, "text", a->text);
	must(o);
	return o;
}
