/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ladder.c and ladder_level.c share. Nobody else includes it. */
#ifndef FENCE_CORE_LADDER_IMPL_H
#define FENCE_CORE_LADDER_IMPL_H

#include "fence/core/ladder.h"

#define LADDER_TIME_MAX (UINT64_MAX / 2) /* so that no sum of times overflows */

#ifdef CLUSTERD_MUTANTS
#define LADDER_MUTANT(s, which) ((s)->mutant == LADDER_MUTANT_##which)
#else
#define LADDER_MUTANT(s, which) ((void)(s), false)
#endif

/* Asserts that the phase may follow. */
void ladder_move(struct ladder_state *st, enum ladder_phase next);
bool ladder_is_over(const struct ladder_state *st);
/* Something may be started: with quorum only. */
bool ladder_can_act(const struct ladder_state *st);
/* The level of st->level. */
const struct ladder_level *ladder_level_of(const struct ladder_state *st);
/* What the level proves: the weakest of its devices. */
enum ladder_scope ladder_level_scope(const struct ladder_state *st, const struct ladder_level *l);
/* Could any level add to what is proven? */
bool ladder_has_work(const struct ladder_state *st);
/* When time-only is proven if nothing happens, or LADDER_NEVER. */
uint64_t ladder_time_end_ms(const struct ladder_state *st);
/* A zeroed action of that kind. */
struct ladder_action *ladder_act(struct ladder_actions *out, enum ladder_action_kind kind);
/* Remembers what went wrong last, for ladder_blocked(). */
void ladder_fail_note(struct ladder_state *st, uint16_t device, uint8_t result, int32_t rc);
/* Writes the end of a slot's attempt into the history; after it nothing is in flight. */
void ladder_slot_end(struct ladder_state *st, struct ladder_actions *out, uint8_t i,
		     enum ladder_result result, int32_t rc);
/* Asks the caller to end the slot's program. */
void ladder_slot_abort(struct ladder_state *st, struct ladder_actions *out, uint8_t i);
/* One try is gone; `back` is where the next one begins. */
void ladder_slot_failed(struct ladder_state *st, uint8_t i, enum ladder_slot_state back);
/* The common look is void: whoever was off has to be looked at again. */
void ladder_look_void(struct ladder_state *st, struct ladder_actions *out);
uint8_t ladder_slots_in(const struct ladder_state *st, enum ladder_slot_state state);
/* Gives the permit, or the question for it, back. */
void ladder_release(struct ladder_state *st, struct ladder_actions *out);
void ladder_confirm(struct ladder_state *st, struct ladder_actions *out, enum ladder_scope scope,
		    enum ladder_how how);
/* Everything that follows by itself from the state as it is now. */
void ladder_advance(struct ladder_state *st, struct ladder_actions *out);

#endif
