/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One program of the fence-agents API: what it takes (metadata), whether it was given that, and
 * one run of it. It decides nothing: a success that it reports is what the program said, and only
 * a status read afterwards makes it a proof (fence/core/ladder.h, N1).
 *
 * The API (FenceAgentAPI.md of the fence-agents project): `key=value` lines on stdin, metadata as
 * XML on stdout, exit status 0 done or on, 2 off (status only), anything else an error.
 *
 * Hostile input: what a program says is bytes. It is bounded; metadata with an entity declaration
 * is refused; history text is valid UTF-8 without control or direction characters, and no value of
 * a secret parameter is in it. Secrets go to stdin only, and every copy of ours is overwritten. The
 * environment is PATH and LC_ALL.
 *
 * Off is believed only when exit status and text agree: 2 is also what argparse gives for wrong
 * usage, so a status of 2 without a line that says off is unknown, as is 0 with one.
 */
#ifndef LIB_FENCE_AGENT_H
#define LIB_FENCE_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct qb_loop; /* qb_loop_t of <qb/qbloop.h> */

#define AGENT_NAME_MAX	  64 /* of agents, parameters; each _MAX is with the NUL */
#define AGENT_VALUE_MAX	  1024
#define AGENT_CHOICES_MAX 16  /* values of a `select` */
#define AGENT_PARAMS_MAX  256 /* of one agent */
#define AGENT_GIVEN_MAX	  64  /* parameters of one device */
#define AGENT_DESC_MAX	  256
#define AGENT_LONG_MAX	  4096		/* of the long description; cut there */
#define AGENT_TEXT_MAX	  1024		/* of the history text */
#define AGENT_LINES_MAX	  5		/* of stderr in it */
#define AGENT_LINE_MAX	  200		/* bytes of each */
#define AGENT_OUT_MAX	  (256u * 1024) /* stdout kept: metadata, list */
#define AGENT_ERR_MAX	  (16u * 1024)	/* stderr kept: the end */
#define AGENT_GRACE_MS	  2000		/* from SIGTERM to SIGKILL */

#define AGENT_ACTIONS(X)                                                                           \
	X(OFF, "off")                                                                              \
	X(ON, "on")                                                                                \
	X(REBOOT, "reboot")                                                                        \
	X(STATUS, "status")                                                                        \
	X(MONITOR, "monitor")                                                                      \
	X(LIST, "list")                                                                            \
	X(VALIDATE, "validate-all")                                                                \
	X(METADATA, "metadata")

enum agent_action {
#define X(name, text) AGENT_##name,
	AGENT_ACTIONS(X)
#undef X
		AGENT_ACTION_MAX
};

/* ---- metadata ---- */

enum agent_type {
	AGENT_TYPE_STRING,
	AGENT_TYPE_INTEGER,
	AGENT_TYPE_SECOND,
	AGENT_TYPE_BOOLEAN,
	AGENT_TYPE_SELECT,
	AGENT_TYPE_MAX
};

struct agent_param {
	char name[AGENT_NAME_MAX];
	char obsoletes[AGENT_NAME_MAX]; /* the older name of the same parameter, or "" */
	char preset[AGENT_DESC_MAX];	/* its default */
	char desc[AGENT_DESC_MAX];
	enum agent_type type;
	bool is_required;
	bool is_deprecated;
	bool has_preset;
	uint8_t choice_count;
	char choice[AGENT_CHOICES_MAX][AGENT_NAME_MAX];
};

struct agent_meta {
	char name[AGENT_NAME_MAX];
	char desc[AGENT_DESC_MAX];
	char longdesc[AGENT_LONG_MAX]; /* may have line breaks */
	uint32_t actions;	       /* bit 1u << enum agent_action */
	uint32_t param_count;
	struct agent_param param[]; /* in the order of the document */
};

/*
 * Parses what the action metadata printed. Unknown elements and actions are skipped, texts that are
 * too long cut. Returns 0 and the metadata (owned; agent_meta_free()), -E2BIG (more than
 * AGENT_OUT_MAX bytes or AGENT_PARAMS_MAX parameters), -EBADMSG (no well-formed resource-agent
 * document, an entity declaration, a name with odd characters or twice), -ENOMEM. Any thread after
 * the first call; no I/O.
 */
int agent_meta_parse(const void *xml, size_t len, struct agent_meta **ret_meta);
/* Takes NULL, returns NULL. */
struct agent_meta *agent_meta_free(struct agent_meta *meta);
/* By its name, '-' and '_' being the same to fence agents; NULL: not there. */
const struct agent_param *agent_meta_param(const struct agent_meta *meta, const char *name);

/* ---- parameters of a device ---- */

struct agent_given {
	char name[AGENT_NAME_MAX];
	char value[AGENT_VALUE_MAX];
};

/* Start from all zero; end with agent_params_wipe(), for there are secrets in it. */
struct agent_params {
	uint32_t count;
	struct agent_given item[AGENT_GIVEN_MAX];
};

/*
 * Adds or replaces one. -EINVAL: a name with odd characters, `action` (it is ours), or a value that
 * cannot be one line of stdin unchanged: control characters, blanks at an end, quotes around it
 * (agents take all these off); -E2BIG: too long; -ENOSPC: too many.
 */
int agent_params_set(struct agent_params *params, const char *name, const char *value);
const char *agent_params_get(const struct agent_params *params, const char *name);
void agent_params_wipe(struct agent_params *params);
/* By its name: password, passwd_script, community, apikey, hexadecimal_kg ... */
bool agent_param_is_secret(const char *name);

enum agent_problem_kind {
	AGENT_PROBLEM_NONE,
	AGENT_PROBLEM_ACTION,  /* the agent has no such action */
	AGENT_PROBLEM_UNKNOWN, /* .name is no parameter; .hint: one that was perhaps meant */
	AGENT_PROBLEM_MISSING, /* .name is required, by this or an older name */
	AGENT_PROBLEM_VALUE,   /* of .name; .hint: what is expected */
	AGENT_PROBLEM_TWICE,   /* .name and .hint are the same parameter, with different values */
	AGENT_PROBLEM_MAX
};

struct agent_problem {
	enum agent_problem_kind kind;
	char name[AGENT_NAME_MAX];
	char hint[AGENT_DESC_MAX];
};

/*
 * Would the agent take these for that action? 0, or -EINVAL with the first problem. A plug is asked
 * for by off, on, reboot and status only.
 */
int agent_params_check(const struct agent_meta *meta, const struct agent_params *params,
		       enum agent_action action, struct agent_problem *ret_problem);

/* ---- one run ---- */

enum agent_outcome {
	AGENT_OK,
	AGENT_FAILED,	   /* .rc; also for a status that is unknown */
	AGENT_SIGNALLED,   /* .rc is the signal */
	AGENT_TIMED_OUT,   /* nothing is known about what it did */
	AGENT_CANCELLED,   /* as TIMED_OUT */
	AGENT_NOT_STARTED, /* .rc is an errno */
	AGENT_LIED,	   /* only from agent_outcome_verified() */
	AGENT_OUTCOME_MAX
};

enum agent_power {
	AGENT_POWER_UNKNOWN, /* as enum ladder_power */
	AGENT_POWER_OFF,
	AGENT_POWER_ON,
};

struct agent_result {
	enum agent_action action;
	enum agent_outcome outcome;
	int rc;
	enum agent_power power; /* status only; elsewhere UNKNOWN */
	bool is_left_running;	/* could not be killed: it may still act */
	bool is_cut;		/* stdout was longer than AGENT_OUT_MAX */
	uint64_t started_ms;	/* CLOCK_MONOTONIC */
	uint64_t ended_ms;
	const char *out; /* borrowed, raw bytes with a NUL behind: for agent_meta_parse(), list */
	size_t out_len;
	char text[AGENT_TEXT_MAX]; /* why, for the history: last lines of stderr, safe to show */
};

struct agent_request {
	const char *path; /* absolute */
	enum agent_action action;
	const struct agent_params *params; /* NULL: none */
	uint32_t timeout_ms;
};

struct agent_run;

/* From the loop, once; the result ends with the call, and so does the run. */
typedef void (*agent_done_fn)(void *data, const struct agent_result *result);

/*
 * Starts it; everything is borrowed for the call only. 0: `done` follows. Negative: it does not;
 * -EINVAL, -E2BIG (parameters too long for a pipe), -ENOMEM, and those of run_start(). Context: the
 * loop's thread.
 */
int agent_run_start(struct qb_loop *loop, const struct agent_request *request, agent_done_fn done,
		    void *data, struct agent_run **ret_run);
/* Ends it; `done` follows, AGENT_CANCELLED or its real end. */
void agent_run_cancel(struct agent_run *run);
/* For the way out of the process: killed, no `done`. Takes NULL, returns NULL. */
struct agent_run *agent_run_free(struct agent_run *run);

/*
 * What `outcome` of off or on is worth after a look: OK stays OK, or was a lie, or is FAILED if
 * nothing could be seen. Other actions cannot be judged this way: unchanged.
 */
enum agent_outcome agent_outcome_verified(enum agent_action action, enum agent_outcome outcome,
					  enum agent_power seen);
/* Does the output of list name this plug (first field, separator ',')? */
bool agent_list_has(const char *out, size_t len, const char *plug);
/*
 * The last lines of `raw` as safe text, secrets of params (may be NULL) redacted. is_cut: the first
 * line is the end of one, and left out.
 */
void agent_text(const char *raw, size_t len, bool is_cut, const struct agent_params *params,
		char *dst, size_t cap);

const char *agent_action_name(enum agent_action action);
const char *agent_type_name(enum agent_type type);
const char *agent_outcome_name(enum agent_outcome outcome);

#endif
