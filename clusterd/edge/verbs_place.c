/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where groups shall run: what create and set say of it, and clusterctl's noun placement. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/config.h"
#include "clusterd/core/placement.h"
#include "clusterd/core/setting.h"
#include "clusterd/edge/verbs_impl.h"
#include "lib/must.h"

/* ---- arguments */

static bool arg_priority(struct api_client *c, const json_t *v, uint32_t *ret)
{
	const char *text = json_string_value(v);
	uint8_t priority;

	if (!v)
		return true;
	if (json_is_integer(v) && json_integer_value(v) >= 0 &&
	    json_integer_value(v) <= UINT8_MAX) {
		*ret = (uint32_t)json_integer_value(v);
		return true;
	}
	if (text && placement_priority_parse(text, &priority)) {
		*ret = priority;
		return true;
	}
	api_reply(c, API_USAGE, NULL,
		  "priority: '%.64s': high, medium, low, no-auto-start, or a number from 0 to 255",
		  text ? text : "");
	return false;
}

/* "all" or "none", if that is the whole list. */
static bool is_word(const json_t *list, const char *word)
{
	const char *text = json_string_value(json_array_get(list, 0));

	return json_array_size(list) == 1 && text && !strcmp(text, word);
}

/* Names of nodes, each once, in their order. */
static bool take_owners(struct api_client *c, const json_t *list, const char *what,
			uint8_t owners[CL_MAX_NODES])
{
	size_t i;
	json_t *v;

	if (!json_is_array(list) || !json_array_size(list)) {
		api_reply(c, API_USAGE, NULL, "%s: a list of nodes", what);
		return false;
	}
	json_array_foreach((json_t *)list, i, v)
	{
		const char *name = json_string_value(v);
		const struct db_node *n = NULL;

		if (name && strlen(name) < CL_NAME_MAX)
			n = db_find(&api_engine(c)->db, DB_KIND_NODE, name);
		if (!n || n->is_evicted) {
			api_reply(c, API_NO_SUCH, NULL, "%s: no node %.64s", what,
				  name ? name : "?");
			return false;
		}
		if (!placement_owner_add(owners, n->slot)) {
			api_reply(c, API_USAGE, NULL, "%s: %s is named twice", what, name);
			return false;
		}
	}
	return true;
}

static bool arg_owners(struct api_client *c, const json_t *args, struct db_cmd_group_place *p)
{
	const json_t *possible = json_object_get(args, "possible");
	const json_t *preferred = json_object_get(args, "preferred");
	uint8_t owners[CL_MAX_NODES] = {0};

	p->possible = is_word(possible, "all") ? UINT16_MAX : 0;
	if (possible && !p->possible) {
		if (!take_owners(c, possible, "possible", owners))
			return false;
		p->possible = placement_owner_set(owners);
	}
	p->keeps_preferred = !preferred;
	return !preferred || is_word(preferred, "none") ||
	       take_owners(c, preferred, "preferred", p->preferred);
}

/* "22-4": both hours in digits. */
static bool parse_hours(const char *text, uint8_t *ret_from, uint8_t *ret_to)
{
	char *end;
	unsigned long from, to;

	if (*text < '0' || *text > '9')
		return false;
	from = strtoul(text, &end, 10);
	if (*end != '-' || end[1] < '0' || end[1] > '9')
		return false;
	to = strtoul(end + 1, &end, 10);
	if (*end || from >= PLACEMENT_HOURS || to >= PLACEMENT_HOURS || from == to)
		return false;
	*ret_from = (uint8_t)from;
	*ret_to = (uint8_t)to;
	return true;
}

static bool arg_failback(struct api_client *c, const json_t *args, struct db_cmd_group_place *p)
{
	const json_t *v = json_object_get(args, "failback");
	const char *text = verb_arg_text(args, "failback");

	p->keeps_failback = !v;
	if (!v || !strcmp(text, "never"))
		return true;
	if (!strcmp(text, "immediate")) {
		p->failback = DB_FAILBACK_IMMEDIATE;
		return true;
	}
	p->failback = DB_FAILBACK_HOURS;
	if (parse_hours(text, &p->failback_from, &p->failback_to))
		return true;
	api_reply(
		c, API_USAGE, NULL,
		"failback: '%.64s': never, immediate, or two hours of the day in UTC such as 22-4",
		text);
	return false;
}

bool verb_arg_place(struct api_client *c, const json_t *args, struct db_cmd_group_place *ret)
{
	ret->priority = DB_KEEP;
	return arg_priority(c, json_object_get(args, "priority"), &ret->priority) &&
	       arg_owners(c, args, ret) && arg_failback(c, args, ret);
}

bool verb_place_is_given(const struct db_cmd_group_place *p)
{
	return p->possible || p->priority != DB_KEEP || !p->keeps_preferred || !p->keeps_failback;
}

/* ---- group create, group set, vm set */

void verb_group_create(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_GROUP_CREATE);
	struct db_cmd_group_create *g = &cmd.group_create;
	struct db_cmd_group_place p = {0};
	struct db_command all[2];
	struct db_cmd_group_reserve *r = &all[1].group_reserve;
	char key[DB_KEY_MAX];

	all[1] = verb_command(c, DB_CMD_GROUP_RESERVE);
	if (!verb_arg_name(c, args, "name", g->name, sizeof(g->name)) ||
	    !verb_arg_capacity(c, args, &r->memory_mib, &r->cpu_pct) ||
	    !verb_arg_volumes(c, json_object_get(args, "volumes"), g->volumes,
			      sizeof(g->volumes)) ||
	    !verb_arg_place(c, args, &p))
		return;
	g->priority = p.priority == DB_KEEP ? VERB_PRIORITY : (uint8_t)p.priority;
	g->possible = p.possible;
	memcpy(g->preferred, p.preferred, sizeof(g->preferred));
	g->failback = p.failback;
	g->failback_from = p.failback_from;
	g->failback_to = p.failback_to;
	if (r->memory_mib == DB_KEEP && r->cpu_pct == DB_KEEP) {
		verb_submit(c, &cmd);
		return;
	}
	all[0] = cmd;
	memcpy(r->name, g->name, sizeof(r->name));
	snprintf(key, sizeof(key), "group/%s", g->name);
	verb_submit_all(c, all, 2, key);
}

/* What follows when it fails. */
static bool arg_failures(struct api_client *c, const json_t *args, struct db_cmd_group_set *g)
{
	const char *word = verb_arg_text(args, "on_stop_failure");
	bool is_block = !strcmp(word, "block");

	if (!verb_arg_u32(c, args, "failover_max", DB_KEEP, 1000, &g->failover_max) ||
	    !verb_arg_period(c, args, "failover_ms", DB_KEEP, &g->failover_ms) ||
	    !verb_arg_period(c, args, "retry_ms", DB_KEEP, &g->retry_ms))
		return false;
	g->keeps_stop_failure = !json_object_get(args, "on_stop_failure");
	g->on_stop_failure = is_block ? DB_STOP_FAILURE_BLOCK : DB_STOP_FAILURE_FENCE;
	if (g->keeps_stop_failure || is_block || !strcmp(word, "fence"))
		return true;
	api_reply(c, API_USAGE, NULL, "on_stop_failure: '%.64s': fence or block", word);
	return false;
}

static bool failures_are_given(const struct db_cmd_group_set *g)
{
	return !g->keeps_stop_failure || g->failover_max != DB_KEEP || g->failover_ms != DB_KEEP ||
	       g->retry_ms != DB_KEEP;
}

void verb_group_set(struct api_client *c, const json_t *args)
{
	struct db_command set = verb_command(c, DB_CMD_GROUP_SET);
	struct db_command place = verb_command(c, DB_CMD_GROUP_PLACE);
	struct db_cmd_group_set *s = &set.group_set;
	struct db_cmd_group_place *p = &place.group_place;
	struct db_command reserve = verb_command(c, DB_CMD_GROUP_RESERVE);
	struct db_cmd_group_reserve *r = &reserve.group_reserve;
	struct db_command all[3];
	char key[DB_KEY_MAX];
	size_t count = 0;

	if (!verb_arg_name(c, args, "name", s->name, sizeof(s->name)) ||
	    !arg_failures(c, args, s) || !verb_arg_place(c, args, p) ||
	    !verb_arg_capacity(c, args, &r->memory_mib, &r->cpu_pct))
		return;
	memcpy(p->name, s->name, sizeof(p->name));
	memcpy(r->name, s->name, sizeof(r->name));
	if (failures_are_given(s))
		all[count++] = set;
	if (verb_place_is_given(p))
		all[count++] = place;
	if (r->memory_mib != DB_KEEP || r->cpu_pct != DB_KEEP)
		all[count++] = reserve;
	if (!count) {
		api_reply(c, API_USAGE, NULL,
			  "nothing to set: give one of cpu, failback, failover_max, failover_ms, "
			  "memory, on_stop_failure, possible, preferred, priority, retry_ms");
		return;
	}
	snprintf(key, sizeof(key), "group/%s", s->name);
	verb_submit_all(c, all, count, key);
}

/* ---- placement */

static const enum setting shown[] = {
	SETTING_PLACEMENT_STARTS,	  SETTING_PLACEMENT_WAVE_MS,
	SETTING_PLACEMENT_SURVIVE,	  SETTING_PLACEMENT_RESERVE_MIB,
	SETTING_PLACEMENT_CPU_OVERCOMMIT, SETTING_PLACEMENT_VM_OVERHEAD_MIB,
	SETTING_PLACEMENT_LEAVE_MS};

/* Its argument: placement.wave_ms is wave_ms. */
static const char *argument_of(enum setting setting)
{
	return strchr(setting_shape(setting)->key, '.') + 1;
}

void verb_placement_show(struct api_client *c, const json_t *args)
{
	const struct db *db = &api_engine(c)->db;
	json_t *o = json_object();

	(void)args;
	must(o);
	for (size_t i = 0; i < MUST_ARRAY_SIZE(shown); i++)
		json_object_set_new(o, argument_of(shown[i]),
				    json_integer((json_int_t)setting_get(db, shown[i], NULL)));
	api_reply(c, API_OK, o, "%s", "");
}

static bool arg_setting(struct api_client *c, const json_t *v, enum setting setting,
			struct db_cmd_setting_set *ret)
{
	const struct setting_shape *s = setting_shape(setting);
	uint64_t value;

	snprintf(ret->value, sizeof(ret->value), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	if (json_is_integer(v) && setting_parse(setting, ret->value, &value) &&
	    setting_key(setting, NULL, ret->key, sizeof(ret->key)))
		return true;
	api_reply(c, API_USAGE, NULL, "%s: a number from %" PRIu64 " to %" PRIu64,
		  argument_of(setting), s->min, s->max);
	return false;
}

void verb_placement_set(struct api_client *c, const json_t *args)
{
	struct db_command cmd[MUST_ARRAY_SIZE(shown)];
	size_t count = 0;

	for (size_t i = 0; i < MUST_ARRAY_SIZE(shown); i++) {
		const json_t *v = json_object_get(args, argument_of(shown[i]));

		if (!v)
			continue;
		cmd[count] = verb_command(c, DB_CMD_SETTING_SET);
		if (!arg_setting(c, v, shown[i], &cmd[count++].setting_set))
			return;
	}
	if (!count)
		api_reply(c, API_USAGE, NULL,
			  "nothing to set: give one of cpu_overcommit_pct, leave_ms, reserve_mib, "
			  "starts_per_node, survive, vm_overhead_mib, wave_ms");
	else if (count == 1)
		verb_submit(c, cmd);
	else
		verb_submit_all(c, cmd, count, CONFIG_WHOLE);
}
