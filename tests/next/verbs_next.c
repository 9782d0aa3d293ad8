/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "clusterd/edge/verbs_impl.h"

void verb_group_remark(struct api_client *c, const json_t *args)
{
	struct db_command cmd = verb_command(c, DB_CMD_GROUP_REMARK);
	struct db_cmd_group_remark *r = &cmd.group_remark;

	if (!verb_arg_name(c, args, "name", r->name, sizeof(r->name)))
		return;
	snprintf(r->remark, sizeof(r->remark), "%s", verb_arg_text(args, "remark"));
	verb_submit(c, &cmd);
}
