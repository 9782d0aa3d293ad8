/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words: QEMU's, read and written, and our own for log lines. */
#include <string.h>

#include "migrate/core/mig.h"

static const char *const runstate[MIG_RUNSTATE_MAX] = {
#define WORD(NAME, word) [MIG_RUNSTATE_##NAME] = (word),
	MIG_RUNSTATES(WORD)
#undef WORD
};

static const char *const stream[MIG_STREAM_MAX] = {
#define WORD(NAME, word) [MIG_STREAM_##NAME] = (word),
	MIG_STREAMS(WORD)
#undef WORD
};

enum mig_runstate mig_runstate_read(const char *word)
{
	for (int i = 0; i < MIG_RUNSTATE_MAX; i++) {
		if (strcmp(runstate[i], word) == 0)
			return (enum mig_runstate)i;
	}
	return MIG_RUNSTATE_UNKNOWN;
}

enum mig_stream mig_stream_read(const char *word)
{
	for (int i = 0; i < MIG_STREAM_MAX; i++) {
		if (strcmp(stream[i], word) == 0)
			return (enum mig_stream)i;
	}
	return MIG_STREAM_UNKNOWN;
}

const char *mig_runstate_word(enum mig_runstate run)
{
	return run < MIG_RUNSTATE_MAX ? runstate[run] : "?";
}

const char *mig_stream_word(enum mig_stream s)
{
	return s < MIG_STREAM_MAX ? stream[s] : "?";
}

const char *mig_command_word(enum mig_command_kind kind)
{
	static const char *const name[MIG_COMMAND_MAX] = {
#define WORD(NAME, word) [MIG_COMMAND_##NAME] = (word),
		MIG_COMMANDS(WORD)
#undef WORD
	};

	if (kind == MIG_COMMAND_CHECK)
		return "check";
	if (kind == MIG_COMMAND_RETURN_STORAGE)
		return "return-storage";
	return kind < MIG_COMMAND_MAX ? name[kind] : "?";
}

const char *mig_step_text(enum mig_step_name step)
{
	static const char *const name[MIG_STEP_MAX] = {
		[MIG_STEP_NONE] = "none",     [MIG_STEP_CHECK] = "check",
		[MIG_STEP_SETUP] = "setup",   [MIG_STEP_MEMORY] = "memory",
		[MIG_STEP_STATE] = "state",   [MIG_STEP_LOADED] = "loaded",
		[MIG_STEP_ASKED] = "asked",   [MIG_STEP_TRANSFERRED] = "transferred",
		[MIG_STEP_ONLINE] = "online", [MIG_STEP_ROLLBACK] = "rollback",
		[MIG_STEP_DONE] = "done",     [MIG_STEP_FAILED] = "failed",
	};

	return step < MIG_STEP_MAX ? name[step] : "?";
}

const char *mig_event_name(enum mig_event_type type)
{
	static const char *const name[MIG_EV_MAX] = {
#define NAME_OF(NAME) [MIG_EV_##NAME] = #NAME,
		MIG_EVENTS(NAME_OF)
#undef NAME_OF
	};

	return type < MIG_EV_MAX ? name[type] : "?";
}

const char *mig_action_name(enum mig_action_kind kind)
{
	static const char *const name[MIG_DO_MAX] = {
#define NAME_OF(NAME) [MIG_DO_##NAME] = #NAME,
		MIG_ACTIONS(NAME_OF)
#undef NAME_OF
	};

	return kind < MIG_DO_MAX ? name[kind] : "?";
}

const char *mig_mutant_name(enum mig_mutant mutant)
{
	static const char *const name[MIG_MUTANT_MAX] = {
#define NAME_OF(NAME) [MIG_MUTANT_##NAME] = #NAME,
		MIG_MUTANTS(NAME_OF)
#undef NAME_OF
	};

	return mutant < MIG_MUTANT_MAX ? name[mutant] : "?";
}
