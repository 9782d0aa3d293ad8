/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the replication core share; nobody else includes this. */
#ifndef CLUSTERD_CORE_REPL_INTERNAL_H
#define CLUSTERD_CORE_REPL_INTERNAL_H

#include "clusterd/core/repl.h"

/* Entries that the sequencer numbers ahead of what is committed. */
#define REPL_MAX_INFLIGHT 8192

/* One step in progress: the event's time and randomness, and where actions go. */
struct repl_step {
	struct repl_state *s;
	const struct repl_event *event;
	struct repl_actions *out;
};

/* Adds an action (a broken invariant if the array is full); the caller fills it in. */
struct repl_action *repl_act(struct repl_step *st, enum repl_action_type type);
struct cl_msg *repl_send(struct repl_step *st, enum cl_msg_type type);

/* repl_view.c: exchange of states, winner, promise, pull */
void repl_view_confchg(struct repl_step *st);
void repl_view_left(struct repl_step *st);
void repl_view_state(struct repl_step *st, struct repl_peer *from, const struct cl_msg_state *m);
void repl_view_close(struct repl_step *st, const struct cl_msg_close *m);
void repl_view_synced(struct repl_step *st, uint8_t slot, const struct cl_msg_synced *m);
void repl_view_promised(struct repl_step *st);
void repl_view_pulled(struct repl_step *st);
void repl_view_wrong(struct repl_step *st);
void repl_view_stalled(struct repl_step *st);
void repl_view_tick(struct repl_step *st);
/* The view is quorate: pull what is missing, promise its epoch. */
void repl_view_begin(struct repl_step *st);
/* Leaves the view and asks everyone for a new exchange. */
void repl_view_restart(struct repl_step *st);
/* The view has become quorate: show it, and begin. */
void repl_view_sync(struct repl_step *st);
void repl_view_add_synced(struct repl_step *st, uint32_t set);
/* Sends our STATE if it is wanted and the disk is quiet. */
void repl_view_try_state(struct repl_step *st);

/* repl_log.c: entries, persistence, commit */
void repl_log_entry(struct repl_step *st, uint8_t slot, const struct cl_msg_entry *m);
void repl_log_persisted(struct repl_step *st, uint8_t slot, const struct cl_msg_persisted *m);
void repl_log_propose_msg(struct repl_step *st, uint8_t slot, const struct cl_msg_propose *m);
int repl_log_propose(struct repl_step *st);
void repl_log_durable(struct repl_step *st);
void repl_log_begin_epoch(struct repl_step *st);
/* After an install: tell the others how far our log reaches, apply, open. */
void repl_log_caught_up(struct repl_step *st);

void repl_log_try_commit(struct repl_step *st);

/* repl_witness.c: the vote of the witness */
void repl_witness_view(struct repl_state *s);  /* a view is complete, and its nodes are judged */
void repl_witness_judge(struct repl_state *s); /* the answer to whether it is quorate, anew */
void repl_witness_claimed(struct repl_step *st, uint8_t slot, const struct cl_msg_claimed *m);
void repl_lease_extend(struct repl_state *s);
int repl_witness_say(struct repl_step *st);
int repl_witness_adopt(struct repl_step *st);
void repl_witness_reach(struct repl_step *st);
/* Another one stands in the table: what was known is of the one before. */
void repl_witness_replaced(struct repl_state *s);
/* True if the sequencer has to begin a new view for the witness's sake. */
bool repl_witness_wants_view(const struct repl_state *s);
/* True if, as far as the witness is concerned, the log is held up to that index. */
bool repl_witness_holds(const struct repl_state *s, uint64_t index);

/* force.c: quorum by the word of an administrator */
int repl_force_ask(struct repl_step *st);
void repl_force_told(struct repl_step *st, const struct cl_msg_force *m);
/* What the entry that opens a forced epoch says; the bytes live in the state. */
int repl_force_record(struct repl_state *s, struct cl_blob *ret);

static inline bool repl_epoch_begun(const struct repl_state *s)
{
	return s->view_complete && s->epoch_index > 0;
}

#endif
