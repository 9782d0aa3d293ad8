/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/force.h"

#include <errno.h>

#include "clusterd/core/quorum.h"
#include "clusterd/core/repl.h"
#include "clusterd/core/repl_internal.h"
#include "lib/must.h"
#include "lib/wire.h"

/* Members of which a process is in the group, whatever it says. */
static uint16_t in_group(const struct repl_state *s)
{
	uint16_t set = 0;

	for (uint8_t i = 0; i < s->peer_count; i++) {
		uint8_t slot = quorum_find_nodeid(&s->vtable, s->peer[i].nodeid);

		if (slot != CL_NODE_NONE)
			set = (uint16_t)(set | cl_bit(slot));
	}
	return set;
}

struct force_answer force_check(const struct repl_state *s, uint16_t down)
{
	struct force_answer a = {.refusal = FORCE_ALLOWED};
	uint16_t absent;

	if (s->is_blank)
		a.refusal = FORCE_BLANK;
	else if (s->phase == REPL_REFUSED || s->phase == REPL_UNCONFIGURED)
		a.refusal = FORCE_NOT_ADMITTED;
	else if (!s->view_complete || s->phase == REPL_DOWN || s->phase == REPL_EXCHANGE)
		a.refusal = FORCE_NO_VIEW;
	else if (s->quorum.is_quorate)
		a.refusal = FORCE_QUORATE;
	if (a.refusal != FORCE_ALLOWED)
		return a;
	a.nodes = (uint16_t)(down & in_group(s));
	if (a.nodes) {
		a.refusal = FORCE_PRESENT;
		return a;
	}
	absent = (uint16_t)(quorum_members(&s->vtable) & ~s->present);
	a.nodes = (uint16_t)(absent & ~down);
	if (a.nodes && !REPL_MUTANT(s, FORCE_UNLISTED))
		a.refusal = FORCE_UNLISTED;
	return a;
}

uint32_t force_generation(uint32_t from, uint8_t starter)
{
	return (from / CL_MAX_NODES + 1) * CL_MAX_NODES + starter;
}

struct cl_table force_table(const struct cl_table *from, uint16_t voters, uint64_t index)
{
	struct cl_table to = *from;

	to.changed_at = index;
	/* What it holds is of the old history. It gets its vote back as a node does, by a change.
	 */
	to.witness.vote = 0;
	for (uint8_t i = 0; i < CL_MAX_NODES; i++)
		to.member[i].vote = to.member[i].nodeid && (voters & cl_bit(i));
	return to;
}

int force_record_encode(const struct force_record *r, void *buf, size_t cap, size_t *ret_len)
{
	struct wire_writer w;

	wire_writer_init(&w, buf, cap);
	wire_put_u64(&w, r->at_ms);
	wire_put_str(&w, r->actor.text);
	wire_put_u16(&w, r->down);
	cl_table_put(&w, &r->table);
	return wire_writer_end(&w, ret_len);
}

int force_record_decode(struct cl_blob payload, struct force_record *ret)
{
	struct wire_reader rd;
	struct force_record r = {0};

	wire_reader_init(&rd, payload.data, payload.len);
	r.at_ms = wire_get_u64(&rd);
	wire_get_str(&rd, r.actor.text, sizeof(r.actor.text));
	r.down = wire_get_u16(&rd);
	cl_table_get(&rd, &r.table);
	if (wire_reader_end(&rd))
		return -EBADMSG;
	*ret = r;
	return 0;
}

/* ---- in the view */

int repl_force_ask(struct repl_step *st)
{
	const struct repl_event *e = st->event;
	struct cl_msg_force *m;

	if (force_check(st->s, e->force.down).refusal != FORCE_ALLOWED)
		return -EPERM;
	m = &repl_send(st, CL_MSG_FORCE)->force;
	m->view = st->s->view;
	m->down = e->force.down;
	m->actor = e->force.actor;
	m->at_ms = e->force.at_ms;
	return 0;
}

/* Every node of the view is here at the same point, and comes to the same. */
void repl_force_told(struct repl_step *st, const struct cl_msg_force *m)
{
	struct repl_state *s = st->s;

	/* Only the first counts: from then on the view is quorate. */
	if (s->quorum.is_quorate || !s->countable)
		return;
	/* A higher history is on its way to our disk: the view ends when it is there. */
	if (s->witness.is_adopting)
		return;
	s->witness.counts = false;
	s->is_forced = true;
	s->forced = (struct force_record){.at_ms = m->at_ms, .actor = m->actor, .down = m->down};
	s->forced.table = force_table(&s->vtable, s->countable, s->winner.index + 1);
	s->vtable = s->vprev = s->forced.table;
	s->quorum = quorum_evaluate(&s->vtable, s->countable);
	repl_view_begin(st);
}

int repl_force_record(struct repl_state *s, struct cl_blob *ret)
{
	size_t len;
	int r = force_record_encode(&s->forced, s->forced_bytes, sizeof(s->forced_bytes), &len);

	*ret = (struct cl_blob){s->forced_bytes, len};
	return r;
}

const char *force_refusal_name(enum force_refusal refusal)
{
	static const char *const name[FORCE_REFUSAL_MAX] = {
		[FORCE_ALLOWED] = "allowed",	       [FORCE_NO_VIEW] = "no-view",
		[FORCE_NOT_ADMITTED] = "not-admitted", [FORCE_BLANK] = "blank",
		[FORCE_QUORATE] = "quorate",	       [FORCE_PRESENT] = "present",
		[FORCE_UNLISTED] = "unlisted",
	};

	return refusal < FORCE_REFUSAL_MAX ? name[refusal] : "?";
}
