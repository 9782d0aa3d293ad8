/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/repl.h"

#include <errno.h>
#include <string.h>

#include "clusterd/core/repl_internal.h"
#include "lib/hash.h"
#include "lib/must.h"

struct repl_action *repl_act(struct repl_step *st, enum repl_action_type type)
{
	struct repl_action *a;

	must(st->out->count < REPL_MAX_ACTIONS);
	a = &st->out->item[st->out->count++];
	a->type = type;
	return a;
}

struct cl_msg *repl_send(struct repl_step *st, enum cl_msg_type type)
{
	struct repl_action *a = repl_act(st, REPL_DO_SEND);

	a->msg = (struct cl_msg){.type = type};
	return &a->msg;
}

void repl_init(struct repl_state *s, const struct repl_config *config,
	       const struct repl_identity *self, const struct repl_history *history)
{
	*s = (struct repl_state){
		.config = *config,
		.self = *self,
		.is_blank = history->is_blank,
		.cluster = history->cluster,
		.last = history->last,
		.durable = history->last.index,
		.promised = history->promised,
		.table = history->table,
		.is_behind = history->is_behind,
		.phase = REPL_DOWN,
		.self_slot = CL_NODE_NONE,
		.starter = CL_NODE_NONE,
		.witness.claimer = CL_NODE_NONE,
	};
}

/* The member of the current group with that address; NULL if it is not in it any more. */
static struct repl_peer *find_peer(struct repl_state *s, const struct repl_address *a)
{
	for (uint8_t i = 0; i < s->peer_count; i++) {
		if (s->peer[i].nodeid == a->nodeid && s->peer[i].pid == a->pid)
			return &s->peer[i];
	}
	return NULL;
}

uint8_t repl_sender(const struct repl_state *s, const struct repl_address *from,
		    const struct cl_view_id *view)
{
	if (!s->view_complete || !cl_view_equal(&s->view, view) || s->phase == REPL_EXCHANGE ||
	    s->self_slot == CL_NODE_NONE)
		return CL_NODE_NONE;
	for (uint8_t i = 0; i < s->peer_count; i++) {
		if (s->peer[i].nodeid == from->nodeid && s->peer[i].pid == from->pid)
			return s->peer[i].slot;
	}
	return CL_NODE_NONE;
}

static bool is_this_view(const struct repl_state *s, const struct cl_view_id *view)
{
	return s->view_complete && cl_view_equal(&s->view, view);
}

static void beat_heard(struct repl_step *st, uint8_t slot, const struct cl_msg_beat *m)
{
	struct repl_state *s = st->s;

	lease_beat_heard(&s->lease, slot, m, st->event->now_ms);
	repl_lease_extend(s);
	if (m->reaches)
		s->witness.reaches = (uint16_t)(s->witness.reaches | cl_bit(slot));
	else
		s->witness.reaches = (uint16_t)(s->witness.reaches & ~cl_bit(slot));
}

/* Messages of a view: from an admitted member of it, or nothing. */
static void view_message(struct repl_step *st, const struct repl_peer *from,
			 const struct cl_msg *msg)
{
	struct repl_state *s = st->s;
	uint8_t slot = from->slot;

	if (s->phase == REPL_EXCHANGE || s->self_slot == CL_NODE_NONE || slot == CL_NODE_NONE)
		return;
	switch (msg->type) {
	case CL_MSG_SYNCED:
		if (is_this_view(s, &msg->synced.view))
			repl_view_synced(st, slot, &msg->synced);
		break;
	case CL_MSG_ENTRY:
		if (is_this_view(s, &msg->entry.view))
			repl_log_entry(st, slot, &msg->entry);
		break;
	case CL_MSG_PERSISTED:
		if (is_this_view(s, &msg->persisted.view))
			repl_log_persisted(st, slot, &msg->persisted);
		break;
	case CL_MSG_PROPOSE:
		if (is_this_view(s, &msg->propose.view))
			repl_log_propose_msg(st, slot, &msg->propose);
		break;
	case CL_MSG_BEAT:
		if (is_this_view(s, &msg->beat.view))
			beat_heard(st, slot, &msg->beat);
		break;
	case CL_MSG_FORCE:
		if (is_this_view(s, &msg->force.view))
			repl_force_told(st, &msg->force);
		break;
	case CL_MSG_CLAIMED:
		if (is_this_view(s, &msg->claimed.view))
			repl_witness_claimed(st, slot, &msg->claimed);
		break;
	case CL_MSG_STATE:
	case CL_MSG_CLOSE:
	case CL_MSG_HASH:
		break;
	}
}

static void message(struct repl_step *st)
{
	const struct cl_msg *msg = st->event->message.msg;
	struct repl_peer *from = find_peer(st->s, &st->event->message.from);

	if (!from)
		return;
	if (msg->type == CL_MSG_STATE)
		repl_view_state(st, from, &msg->state);
	else if (msg->type == CL_MSG_CLOSE)
		repl_view_close(st, &msg->close);
	else
		view_message(st, from, msg);
}

static int create(struct repl_step *st)
{
	struct repl_state *s = st->s;
	const struct cl_table *table = &st->event->create.table;
	uint8_t slot = quorum_find_nodeid(table, s->self.nodeid);

	if (!s->is_blank)
		return -EEXIST;
	if (s->pull_active)
		return -EBUSY;
	if (slot == CL_NODE_NONE || quorum_voters(table) != cl_bit(slot) ||
	    strcmp(table->member[slot].name, s->self.name.text) != 0)
		return -EINVAL;
	s->is_blank = false;
	s->cluster = st->event->create.cluster;
	s->table = *table;
	s->table.changed_at = 1;
	s->last = (struct cl_pos){.epoch = {.generation = 1, .number = 1, .starter = slot},
				  .index = 1};
	repl_act(st, REPL_DO_APPEND)->entry = (struct repl_entry){
		.epoch = s->last.epoch,
		.index = 1,
		.kind = CL_ENTRY_GENESIS,
		.origin = slot,
		.instance = s->self.instance,
	};
	if (s->phase == REPL_DOWN)
		return 0;
	repl_view_restart(st);
	s->state_wanted = true; /* even if one is in flight: that one says that we are blank */
	return 0;
}

int repl_step(struct repl_state *s, const struct repl_event *event, struct repl_actions *out)
{
	struct repl_step st = {.s = s, .event = event, .out = out};
	int r = 0;

	out->count = 0;
	switch (event->type) {
	case REPL_EV_CONFCHG:
		repl_view_confchg(&st);
		break;
	case REPL_EV_LEFT:
		repl_view_left(&st);
		break;
	case REPL_EV_MESSAGE:
		message(&st);
		break;
	case REPL_EV_DURABLE:
		repl_log_durable(&st);
		break;
	case REPL_EV_PROMISED:
		repl_view_promised(&st);
		break;
	case REPL_EV_PULLED:
		repl_view_pulled(&st);
		break;
	case REPL_EV_PROPOSE:
		r = repl_log_propose(&st);
		break;
	case REPL_EV_CREATE:
		r = create(&st);
		break;
	case REPL_EV_STALLED:
		repl_view_stalled(&st);
		break;
	case REPL_EV_WRONG:
		repl_view_wrong(&st);
		break;
	case REPL_EV_FORCE:
		r = repl_force_ask(&st);
		break;
	case REPL_EV_TICK:
		repl_view_tick(&st);
		break;
	case REPL_EV_CLAIMED:
		r = repl_witness_say(&st);
		break;
	case REPL_EV_ADOPT:
		r = repl_witness_adopt(&st);
		break;
	case REPL_EV_REACH:
		repl_witness_reach(&st);
		break;
	case REPL_EV_MAX:
		must(!"event type");
	}
	return r;
}

bool repl_is_sequencer(const struct repl_state *s)
{
	return s->phase == REPL_OPEN && s->starter == s->self_slot;
}

bool repl_may_act(const struct repl_state *s, uint64_t now_ms)
{
	return s->phase == REPL_OPEN && now_ms < s->lease.deadline_ms;
}

uint64_t repl_members_hash(const struct repl_address *member, uint8_t count)
{
	uint64_t sum = count;

	for (uint8_t i = 0; i < count; i++) {
		uint64_t h = hash_u64(HASH_INIT, member[i].nodeid);

		sum += hash_u64(h, member[i].pid);
	}
	return sum;
}

const char *repl_check(const struct repl_state *s)
{
	if (s->durable > s->last.index)
		return "durable index beyond the end of the log";
	if (s->is_blank && s->last.index)
		return "a blank node has a history";
	if (s->view_complete && s->round_open)
		return "a complete view still collects states";
	if (s->phase == REPL_OPEN && (!repl_epoch_begun(s) || s->is_pulling))
		return "open without the epoch's entries";
	if (s->phase == REPL_OPEN && s->commit < s->epoch_index)
		return "open before the epoch's entry is committed";
	if (s->phase == REPL_OPEN && !s->quorum.is_quorate)
		return "open without quorum";
	if (repl_epoch_begun(s) && s->commit > s->view_last)
		return "committed beyond what was sequenced";
	if (!s->is_blank && !s->table.changed_at)
		return "a history without a member table";
	return NULL;
}

const char *repl_phase_name(enum repl_phase phase)
{
	static const char *const name[REPL_PHASE_MAX] = {
		[REPL_DOWN] = "down",
		[REPL_EXCHANGE] = "exchange",
		[REPL_UNCONFIGURED] = "unconfigured",
		[REPL_REFUSED] = "refused",
		[REPL_INQUORATE] = "inquorate",
		[REPL_PULLING] = "pulling",
		[REPL_SYNCING] = "syncing",
		[REPL_OPEN] = "open",
	};

	return phase < REPL_PHASE_MAX ? name[phase] : "?";
}

const char *repl_refusal_name(enum repl_refusal refusal)
{
	static const char *const name[REPL_REFUSAL_MAX] = {
		[REPL_ADMITTED] = "admitted",
		[REPL_REFUSED_SILENT] = "silent",
		[REPL_REFUSED_INCOMPATIBLE] = "incompatible-version",
		[REPL_REFUSED_OTHER_CLUSTER] = "other-cluster",
		[REPL_REFUSED_NOT_MEMBER] = "not-a-member",
		[REPL_REFUSED_FULL] = "cluster-full",
		[REPL_REFUSED_NAME] = "name-or-nodeid-taken",
		[REPL_REFUSED_SECOND] = "second-process-of-a-node",
		[REPL_REFUSED_AMBIGUOUS] = "claimed-by-two-clusters",
	};

	return refusal < REPL_REFUSAL_MAX ? name[refusal] : "?";
}

const char *repl_mutant_name(enum repl_mutant mutant)
{
	static const char *const name[REPL_MUTANT_MAX] = {
		[REPL_MUTANT_NONE] = "none",
		[REPL_MUTANT_ACT_BEFORE_COMMIT] = "act-before-commit",
		[REPL_MUTANT_OLD_RING_ACK] = "count-an-ack-of-an-old-ring",
		[REPL_MUTANT_COMPARE_PROMISED] = "compare-histories-by-started-epoch",
		[REPL_MUTANT_NO_PROMISE] = "epoch-without-promise",
		[REPL_MUTANT_BLANK_VOTES] = "blank-disk-votes",
		[REPL_MUTANT_STATE_BEFORE_DURABLE] = "state-before-durable",
		[REPL_MUTANT_VOTES_IN_A_BUNCH] = "change-votes-in-a-bunch",
		[REPL_MUTANT_DROP_THEN_PULL] = "drop-suffix-before-pull",
		[REPL_MUTANT_ACK_BEFORE_FSYNC] = "acknowledge-before-fsync",
		[REPL_MUTANT_ANYONE_SEQUENCES] = "number-entries-by-delivery",
		[REPL_MUTANT_OLD_DISK_VOTES] = "old-disk-votes",
		[REPL_MUTANT_NEW_MAJORITY_ONLY] = "change-votes-without-the-old-majority",
		[REPL_MUTANT_ABSENT_LOSE_VOTES] = "absent-lose-votes-without-quorum",
		[REPL_MUTANT_OWN_TABLE] = "own-table-in-force",
		[REPL_MUTANT_COMMITTED_TABLE] = "uncommitted-votes-do-not-count",
		[REPL_MUTANT_COMPARE_INDEX] = "compare-index-before-generation",
		[REPL_MUTANT_MERGE_SUFFIX] = "merge-a-diverged-suffix",
		[REPL_MUTANT_FORCE_UNLISTED] = "force-without-listing",
		[REPL_MUTANT_SAME_GENERATION] = "force-in-the-same-generation",
		[REPL_MUTANT_WITNESS_UNCLAIMED] = "count-witness-without-claim",
		[REPL_MUTANT_WITNESS_FOR_EVER] = "claim-kept-for-ever",
		[REPL_MUTANT_WITNESS_OF_FEW] = "witness-of-a-minority",
		[REPL_MUTANT_WITNESS_FLOOR] = "witness-promise-ignored",
		[REPL_MUTANT_SHARE_PERSISTS] = "share-counts-as-having-persisted",
		[REPL_MUTANT_SHARE_SET_STAYS] = "set-on-the-share-stays",
	};

	return mutant < REPL_MUTANT_MAX ? name[mutant] : "?";
}
