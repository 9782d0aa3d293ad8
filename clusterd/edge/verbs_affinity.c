/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sets of groups that are kept together, or apart. */
#include <stdio.h>
#include <string.h>

#include "clusterd/edge/verbs_impl.h"

/* One of two words; what is missing is the first, unless it is needed. */
static bool arg_word(struct api_client *c, const json_t *args, const char *name,
		     const char *const word[2], bool is_needed, bool *ret_is_second)
{
	const char *text = verb_arg_text(args, name);

	*ret_is_second = !strcmp(text, word[1]);
	if (*ret_is_second || !strcmp(text, word[0]) ||
	    (!is_needed && !json_object_get(args, name)))
		return true;
	api_reply(c, API_USAGE, NULL, "%s: '%.64s': %s or %s", name, text, word[0], word[1]);
	return false;
}

static bool arg_groups(struct api_client *c, const json_t *list, char *to, size_t size)
{
	size_t at = 0, i;
	json_t *v;

	json_array_foreach((json_t *)list, i, v)
	{
		const char *name = json_string_value(v);
		int n = name ? snprintf(to + at, size - at, "%s%s", i ? "," : "", name) : -1;

		if (n <= 0 || !name[0] || strpbrk(name, ", ") || (size_t)n >= size - at) {
			api_reply(c, API_USAGE, NULL,
				  "groups: names of groups, at most %zu characters in all",
				  size - 1);
			return false;
		}
		at += (size_t)n;
	}
	if (!at)
		api_reply(c, API_USAGE, NULL, "groups: name at least two");
	return at > 0;
}

void verb_affinity_create(struct api_client *c, const json_t *args)
{
	static const char *const keep[] = {"together", "apart"};
	static const char *const strength[] = {"hard", "soft"};
	struct db_command cmd = verb_command(c, DB_CMD_AFFINITY_CREATE);
	struct db_cmd_affinity_create *a = &cmd.affinity_create;

	if (verb_arg_name(c, args, "name", a->name, sizeof(a->name)) &&
	    arg_word(c, args, "keep", keep, true, &a->is_apart) &&
	    arg_word(c, args, "strength", strength, false, &a->is_soft) &&
	    arg_groups(c, json_object_get(args, "groups"), a->groups, sizeof(a->groups)))
		verb_submit(c, &cmd);
}

void verb_affinity_delete(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_AFFINITY_DELETE);

	if (verb_arg_name(c, args, "name", cmd.affinity_delete.name,
			  sizeof(cmd.affinity_delete.name)))
		verb_submit(c, &cmd);
}

void verb_affinity_list(struct api_client *c, const json_t *args)
{
	(void)args;
	verb_list(c, DB_KIND_AFFINITY);
}
