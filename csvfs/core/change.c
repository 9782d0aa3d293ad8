/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/core/change.h"

#ifdef CSVFS_MUTANTS
/* What a planted bug makes of a step; CHANGE_STEP_MAX: nothing. */
static enum change_step mutated(enum change_step step, int mutant)
{
	switch (mutant) {
	case CHANGE_MUTANT_REPLY_BEFORE_DONE:
		return step == CHANGE_DO ? CHANGE_UNLOCK : CHANGE_STEP_MAX;
	case CHANGE_MUTANT_UNLOCK_BEFORE_DONE:
		return step == CHANGE_DO       ? CHANGE_UNLOCK
		       : step == CHANGE_UNLOCK ? CHANGE_DONE
		       : step == CHANGE_DONE   ? CHANGE_FORCE
					       : CHANGE_STEP_MAX;
	case CHANGE_MUTANT_REPLY_BEFORE_FORCE:
		return step == CHANGE_UNLOCK ? CHANGE_FINISH : CHANGE_STEP_MAX;
	case CHANGE_MUTANT_NO_INTENT:
		return step == CHANGE_LOOK ? CHANGE_DO : CHANGE_STEP_MAX;
	default:
		return CHANGE_STEP_MAX;
	}
}
#endif

enum change_step change_next(bool is_repeated, enum change_step step, enum change_outcome outcome,
			     int mutant)
{
#ifdef CSVFS_MUTANTS
	enum change_step m = outcome == CHANGE_OK ? mutated(step, mutant) : CHANGE_STEP_MAX;

	if (m != CHANGE_STEP_MAX)
		return m;
#else
	(void)mutant;
#endif
	switch (step) {
	case CHANGE_LOCK:
		return CHANGE_LOOK;
	case CHANGE_LOOK:
		if (outcome == CHANGE_ERROR)
			return is_repeated ? CHANGE_DONE : CHANGE_UNLOCK;
		if (outcome == CHANGE_AFTER)
			return CHANGE_DONE;
		return is_repeated ? CHANGE_DO : CHANGE_INTENT;
	case CHANGE_INTENT:
		return outcome == CHANGE_OK ? CHANGE_DO : CHANGE_UNLOCK;
	case CHANGE_DO:
		return CHANGE_DONE;
	case CHANGE_DONE:
		return outcome == CHANGE_OK ? CHANGE_COLLECT : CHANGE_HALT;
	case CHANGE_COLLECT:
		return CHANGE_UNLOCK;
	case CHANGE_UNLOCK:
		return CHANGE_FORCE;
	case CHANGE_FORCE:
		return outcome == CHANGE_OK ? CHANGE_FINISH : CHANGE_HALT;
	case CHANGE_FINISH:
	case CHANGE_HALT:
	case CHANGE_STEP_MAX:
		break;
	}
	return CHANGE_HALT;
}

const char *change_step_name(enum change_step step)
{
	static const char *const name[CHANGE_STEP_MAX] = {
#define NAME_OF(NAME) [CHANGE_##NAME] = #NAME,
		CHANGE_STEPS(NAME_OF)
#undef NAME_OF
	};

	return step < CHANGE_STEP_MAX ? name[step] : "?";
}
