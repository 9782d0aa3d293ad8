/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/apply_impl.h"

void do_group_remark(struct apply *a, const struct db_cmd_group_remark *c)
{
	struct db_group *g = db_find(a->db, DB_KIND_GROUP, c->name);

	if (!g) {
		apply_answer(a, DB_NO_SUCH, "no group %s", c->name);
		return;
	}
	COPY(g->remark, c->remark);
	apply_event(a, "group-remark", c->name, "by %s", a->cmd->actor);
}
