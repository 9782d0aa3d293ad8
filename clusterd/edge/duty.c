/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/edge/duty.h"

#include <string.h>

#include "clusterd/core/duty.h"
#include "clusterd/edge/conf.h"
#include "clusterd/edge/log.h"
#include "clusterd/edge/voting.h"
#include "lib/must.h"

/* A duty that got lost on its way is decided anew after that. */
#define DUTY_TIMEOUT_MS 10000

static void submit(struct engine *e, struct db_command *cmd)
{
	const struct db_command who = engine_command(e, cmd->type);
	uint8_t buf[DB_COMMAND_MAX];
	size_t len;

	cmd->version = who.version;
	cmd->at_ms = who.at_ms;
	memcpy(cmd->actor, who.actor, sizeof(cmd->actor));
	must(!db_command_encode(cmd, buf, sizeof(buf), &len));
	engine_submit(e, CL_ENTRY_COMMAND, buf, len, DUTY_TIMEOUT_MS, true, NULL, NULL);
}

static void submit_row(struct engine *e, const struct duty_actions *a)
{
	uint8_t payload[CL_ROW_MAX];
	size_t len;

	must(!cl_row_encode(a->slot, &a->row, payload, sizeof(payload), &len));
	if (a->is_vote)
		voting_submit(e, &a->vote, &a->row, payload, len);
	else
		engine_submit(e, CL_ENTRY_TABLE, payload, len, DUTY_TIMEOUT_MS, true, NULL, NULL);
}

void duty_run(struct engine *e)
{
	static struct duty_actions out;
	struct duty_facts facts = {.repl = &e->repl,
				   .db = &e->db,
				   .ring = e->ring,
				   .ring_count = e->ring_count,
				   .now_ms = engine_now_ms(),
				   .wall_ms = engine_wall_ms(),
				   .under_way = e->duties};
	struct db_command cmd;

	voting_see(e);
	if (!health_may_act(e))
		return;
	if (e->conf && repl_is_sequencer(&e->repl) && duty_needs_local(&facts))
		facts.local = conf_local(e->conf);
	duty_decide(&e->duty, &facts, &out);
	for (size_t i = 0; duty_command(&out, i, &cmd); i++)
		submit(e, &cmd);
	if (out.has_row)
		submit_row(e, &out);
	if (out.step.kind == MEMBER_RELOAD && e->conf)
		conf_reload(e->conf);
}
