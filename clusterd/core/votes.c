/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clusterd/core/votes.h"

#include "clusterd/core/quorum.h"
#include "lib/must.h"

static int count(uint16_t set)
{
	return __builtin_popcount(set);
}

static bool has(uint16_t set, uint8_t slot)
{
	return set & cl_bit(slot);
}

void votes_watch(uint64_t since_ms[CL_MAX_NODES], uint16_t members, uint16_t present,
		 uint64_t now_ms)
{
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (!has(members, i) || has(present, i))
			since_ms[i] = 0;
		else if (!since_ms[i])
			since_ms[i] = now_ms;
	}
}

void votes_watch_witness(uint64_t *since_ms, const struct repl_state *repl, uint64_t now_ms)
{
	if (repl->witness.reaches & repl->present)
		*since_ms = 0;
	else if (!*since_ms)
		*since_ms = now_ms;
}

uint32_t votes_here(const struct votes_input *in, uint16_t nodes)
{
	return nodes | (in->witness_works && !in->witness_is_new ? CL_WITNESS_BIT : 0);
}

/* Members whose absence has lasted. */
static uint16_t long_absent(const struct votes_input *in)
{
	uint64_t limit = VOTES_MUTANT(in, AT_ONCE) ? 0 : in->absent_ms;
	uint16_t set = 0;

	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		uint64_t since = in->absent_since_ms[i];

		if (VOTES_MUTANT(in, TAKE_PRESENT) && i == in->now_ms / 1000 % CL_MAX_NODES)
			set = (uint16_t)(set | cl_bit(i));
		if (!has(in->present, i) && since && in->now_ms - since >= limit)
			set = (uint16_t)(set | cl_bit(i));
	}
	return set;
}

/* True if votes follow who is here and who is not. */
static bool may_shrink(const struct votes_input *in)
{
	return in->is_dynamic && (!in->is_stopping || VOTES_MUTANT(in, STOP_SHRINKS));
}

/* Those that should vote, before their number is made odd. */
static uint16_t candidates(const struct votes_input *in)
{
	uint16_t gain = VOTES_MUTANT(in, GIVE_EARLY) ? in->present : in->following;
	uint16_t set = (uint16_t)(quorum_voters(&in->table) |
				  (quorum_members(&in->table) & in->present & gain));

	if (!may_shrink(in))
		return set;
	if (!VOTES_MUTANT(in, LEAVER_KEEPS))
		set = (uint16_t)(set & ~in->leaving);
	return (uint16_t)(set & ~long_absent(in));
}

/* True if a sits out rather than b. */
static bool sits_out_before(const struct votes_input *in, uint8_t a, uint8_t b)
{
	uint16_t leaving = in->is_stopping ? 0 : in->leaving;
	uint16_t draining = in->is_stopping ? 0 : in->draining;

	if (has(leaving, a) != has(leaving, b))
		return has(leaving, a);
	if (has(draining, a) != has(draining, b))
		return has(draining, a);
	if (in->priority[a] != in->priority[b])
		return in->priority[a] < in->priority[b];
	return a > b;
}

/* Who of the set has to go first; CL_NODE_NONE of an empty one. */
static uint8_t first_to_go(const struct votes_input *in, uint16_t set)
{
	uint8_t first = CL_NODE_NONE;

	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		if (has(set, i) && (first == CL_NODE_NONE || sits_out_before(in, i, first)))
			first = i;
	}
	return first;
}

static bool has_witness(const struct votes_input *in)
{
	return in->table.witness.nodeid && in->table.witness.vote;
}

/* With so many nodes that vote. */
static bool witness_votes_with(const struct votes_input *in, uint16_t nodes)
{
	if (!in->table.witness.nodeid || in->witness_is_old || count(nodes) % 2)
		return false;
	return in->witness_works ||
	       (has_witness(in) && (!may_shrink(in) || VOTES_MUTANT(in, DEAD_WITNESS)));
}

static uint16_t made_odd(const struct votes_input *in, uint16_t set)
{
	if (!set || count(set) % 2 || VOTES_MUTANT(in, STAYS_EVEN) || witness_votes_with(in, set))
		return set;
	return (uint16_t)(set & ~cl_bit(first_to_go(in, set)));
}

/* The witness is to have the only vote, and can. */
static bool is_sole(const struct votes_input *in)
{
	return in->is_sole && in->table.witness.nodeid && !in->witness_is_old && in->witness_works;
}

uint16_t votes_wanted(const struct votes_input *in)
{
	return is_sole(in) ? 0 : made_odd(in, candidates(in));
}

bool votes_wants_witness(const struct votes_input *in)
{
	return is_sole(in) || witness_votes_with(in, candidates(in));
}

uint16_t votes_configured(const struct votes_input *in)
{
	struct votes_input whole = *in;

	if (in->is_sole)
		return 0;
	whole.leaving = whole.draining = 0;
	return made_odd(&whole, quorum_members(&in->table));
}

static struct cl_table table_with(const struct cl_table *table, uint8_t slot, bool vote)
{
	struct cl_table t = *table;

	cl_table_row(&t, slot)->vote = vote;
	return t;
}

/* Those here could commit it, and go on after it: a majority before and a majority after. */
static bool can_be_made(const struct votes_input *in, uint8_t slot, bool is_given)
{
	struct cl_table to = table_with(&in->table, slot, is_given);

	uint32_t here = in->holders | (in->witness_counts ? CL_WITNESS_BIT : 0);

	return quorum_is_majority(&in->table, here) && quorum_is_majority(&to, here);
}

static enum votes_reason why_taken(const struct votes_input *in, uint8_t slot)
{
	if (is_sole(in))
		return VOTES_SOLE;
	if (may_shrink(in) && has(in->leaving, slot))
		return VOTES_LEAVING;
	if (may_shrink(in) && has(long_absent(in), slot))
		return VOTES_ABSENT;
	return VOTES_ODD;
}

static bool take(const struct votes_input *in, uint16_t set, struct votes_change *ret)
{
	uint8_t slot = first_to_go(in, set);

	if (slot == CL_NODE_NONE || !can_be_made(in, slot, false))
		return false;
	*ret = (struct votes_change){.slot = slot, .reason = why_taken(in, slot)};
	return true;
}

static bool take_witness(const struct votes_input *in, struct votes_change *ret)
{
	if (!has_witness(in) || votes_wants_witness(in) || !can_be_made(in, CL_WITNESS_SLOT, false))
		return false;
	*ret = (struct votes_change){.slot = CL_WITNESS_SLOT, .reason = VOTES_ODD};
	if (in->witness_is_old)
		ret->reason = VOTES_REPLACED;
	else if (!in->witness_works)
		ret->reason = VOTES_UNREACHED;
	return true;
}

static bool give_witness(const struct votes_input *in, struct votes_change *ret)
{
	if (has_witness(in) || !votes_wants_witness(in) || !can_be_made(in, CL_WITNESS_SLOT, true))
		return false;
	*ret = (struct votes_change){
		.slot = CL_WITNESS_SLOT, .is_given = true, .reason = VOTES_REACHED};
	if (is_sole(in))
		ret->reason = VOTES_SOLE;
	return true;
}

/* Those not here lose theirs first: then fewer are needed. */
static bool next_to_sole(const struct votes_input *in, struct votes_change *ret)
{
	uint16_t voters = quorum_voters(&in->table);

	return give_witness(in, ret) || take(in, (uint16_t)(voters & ~in->present), ret) ||
	       take(in, (uint16_t)(voters & in->present), ret);
}

/*
 * First those not here lose theirs, which makes what is left stronger; then votes are given, and
 * only then taken from those here, so that the table never holds less than it has to.
 */
bool votes_next(const struct votes_input *in, struct votes_change *ret)
{
	uint16_t voters = quorum_voters(&in->table), wanted = votes_wanted(in);
	uint16_t take_set = (uint16_t)(voters & ~wanted);
	uint16_t give_set = (uint16_t)(wanted & ~voters);

	if (is_sole(in))
		return next_to_sole(in, ret);
	if (!wanted)
		return false;
	if (take(in, (uint16_t)(take_set & ~in->present), ret))
		return true;
	if ((in->witness_is_old || !in->witness_works) && take_witness(in, ret))
		return true;
	for (uint8_t i = 0; i < CL_MAX_NODES; i++) {
		bool is_ready = has(in->holders, i) && can_be_made(in, i, true);

		if (!has(give_set, i) || (!is_ready && !VOTES_MUTANT(in, GIVE_EARLY)))
			continue;
		*ret = (struct votes_change){
			.slot = i, .is_given = true, .reason = VOTES_CAUGHT_UP};
		return true;
	}
	return give_witness(in, ret) || take_witness(in, ret) ||
	       take(in, (uint16_t)(take_set & in->present), ret);
}

uint8_t votes_settle(struct votes_input *in)
{
	struct votes_change c;
	uint8_t changes = 0;

	while (votes_next(in, &c)) {
		cl_table_row(&in->table, c.slot)->vote = c.is_given;
		must(++changes <=
		     2 * CL_MAX_NODES + 2); /* each slot at most once; twice is a bug */
	}
	return changes;
}

bool votes_may_leave(const struct votes_input *in, uint8_t slot)
{
	struct votes_input rest = *in;

	if (!in->table.member[slot].vote)
		return true;
	votes_settle(&rest);
	return rest.table.member[slot].vote;
}

int votes_may_lose_at_once(const struct votes_input *in)
{
	struct quorum_answer q = quorum_evaluate(&in->table, votes_here(in, in->holders));

	if (q.is_quorate && q.votes_total == 1 && q.has_witness)
		return count(in->holders) - 1; /* somebody has to run it all */
	return q.is_quorate ? q.votes_present - q.votes_needed : -1;
}

int votes_may_lose_in_turn(const struct votes_input *in)
{
	struct votes_input rest = *in;
	int lost = 0;

	if (votes_may_lose_at_once(&rest) < 0)
		return -1;
	if (quorum_voters(&rest.table) == 0)
		return votes_may_lose_at_once(&rest);
	rest.leaving = rest.draining = 0;
	rest.witness_counts = rest.witness_works; /* it is claimed when it is needed */
	/* The one whose loss is worst carries a vote; any of those, they count the same. */
	while (votes_may_lose_at_once(&rest) > 0) {
		uint16_t voters = quorum_voters(&rest.table) & rest.holders;
		uint8_t victim = voters ? (uint8_t)__builtin_ctz(voters) : 0;

		if (!(voters & (voters - 1))) /* the last node: somebody has to run it all */
			break;

		rest.present = (uint16_t)(rest.present & ~cl_bit(victim));
		rest.holders = (uint16_t)(rest.holders & ~cl_bit(victim));
		rest.following = (uint16_t)(rest.following & ~cl_bit(victim));
		rest.absent_since_ms[victim] = 1;
		rest.now_ms += rest.absent_ms + 1;
		votes_settle(&rest);
		lost++;
	}
	return lost;
}

const char *votes_reason_text(enum votes_reason reason)
{
	static const char *const text[VOTES_REASON_MAX] = {
		[VOTES_CAUGHT_UP] = "it is here and holds the whole history",
		[VOTES_ABSENT] = "it has been absent too long",
		[VOTES_LEAVING] = "it is stopping, being fenced, or quarantined",
		[VOTES_ODD] = "the number of votes is kept odd",
		[VOTES_REACHED] = "it works, and makes the number of votes odd",
		[VOTES_UNREACHED] = "no node has reached it for 60 s",
		[VOTES_REPLACED] = "another witness was chosen, or none",
		[VOTES_SOLE] = "the disk witness alone has a vote",
	};

	return reason < VOTES_REASON_MAX ? text[reason] : "?";
}

const char *votes_mutant_name(enum votes_mutant mutant)
{
	static const char *const name[VOTES_MUTANT_MAX] = {
		[VOTES_MUTANT_NONE] = "none",
		[VOTES_MUTANT_TAKE_PRESENT] = "take-vote-of-a-node-in-the-view",
		[VOTES_MUTANT_AT_ONCE] = "take-vote-at-once",
		[VOTES_MUTANT_STAYS_EVEN] = "votes-stay-even",
		[VOTES_MUTANT_GIVE_EARLY] = "give-vote-before-caught-up",
		[VOTES_MUTANT_LEAVER_KEEPS] = "leaver-keeps-its-vote",
		[VOTES_MUTANT_STOP_SHRINKS] = "stopping-cluster-shrinks",
		[VOTES_MUTANT_DEAD_WITNESS] = "dead-witness-keeps-its-vote",
	};

	return mutant < VOTES_MUTANT_MAX ? name[mutant] : "?";
}
