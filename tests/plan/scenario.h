/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A scenario of the planner, as text: rows of a database, and what happens to it. One row or one
 * command in a line, `kind name field=value ...`, read by the field lists of the schema, so that
 * every kind and every command can be written; what is left out has the default of a quiet cluster
 * (doc/policy.md lists them). Decisions come out as text, too.
 *
 * Nothing here knows a rule of the planner. What it checks by itself, at each plan: every order is
 * accepted; planning on the result yields nothing; a copy of the database gives the same plan.
 *
 * A scenario can be played renamed: its nodes have other names, in reverse order of the alphabet,
 * and other slots, in the same order (of equal nodes the lowest slot is taken: that is a rule).
 */
#ifndef TESTS_PLAN_SCENARIO_H
#define TESTS_PLAN_SCENARIO_H

#include <setjmp.h>
#include <stdio.h>

#include "clusterd/core/plan.h"

#define SCENARIO_FIRST_INDEX 100 /* log indexes below are of what was before */
#define SCENARIO_WORDS_MAX   32	 /* of one line */
#define SCENARIO_LINE_MAX    1024

struct scenario_node {
	char name[CL_NAME_MAX];	 /* in the text */
	char alias[CL_NAME_MAX]; /* in the database */
	uint8_t slot;
};

struct scenario {
	struct db db, copy;
	enum db_mutant mutant; /* of the planner, for sim_plan */
	void *mem, *copy_mem;
	uint8_t *snapshot;
	size_t snapshot_cap;
	uint64_t request, mount_id;
	uint64_t passed_ms; /* by `wait` lines */
	struct db_result result;
	struct plan_orders orders, again;
	struct scenario_node node[CL_MAX_NODES];
	uint8_t node_count, node_total; /* seen; named anywhere in the scenario */
	bool is_renamed;
	bool keeps_slots;		     /* also renamed: the database gives one itself */
	FILE *out;			     /* decisions */
	void (*on_plan)(struct scenario *s); /* or NULL: looks at s->orders before they are given */
	/* where a fault of the text, or of the planner, is told */
	const char *file;
	int line;
	jmp_buf *fault;
	char fault_text[SCENARIO_LINE_MAX];
};

/* One line taken apart. */
struct scenario_line {
	char text[SCENARIO_LINE_MAX];
	size_t count;
	char *word[SCENARIO_WORDS_MAX];
};

/* Returns owned; node_total is how many nodes there will be. */
struct scenario *scenario_new(bool is_renamed, uint8_t node_total, FILE *out, jmp_buf *fault);
void scenario_free(struct scenario *s);

/* Says what is wrong with FILE:LINE and leaves by the jump. */
_Noreturn __attribute__((format(printf, 2, 3))) void scenario_fault(struct scenario *s,
								    const char *format, ...);

/* ---- text.c: words and fields */

/* False: an empty line, or a comment. */
bool scenario_split(struct scenario *s, const char *text, struct scenario_line *ret);
const struct scenario_node *scenario_node(struct scenario *s, const char *name);
/* A new node of that name, in the next slot. */
const struct scenario_node *scenario_node_new(struct scenario *s, const char *name);
/*
 * Reads the words behind the kind into the struct; one without '=' first is its first field.
 * Returns which fields were given, as a mask.
 */
uint64_t scenario_fields(struct scenario *s, const struct db_shape *shape,
			 const struct scenario_line *line, void *row);
/* A field of that name, as wide as that type (u8, u16, u64, str); NULL if there is none. */
void *scenario_field(const struct db_shape *shape, void *row, const char *name, enum db_type type);
bool scenario_has(const struct db_shape *shape, uint64_t given, const char *name);
/* Prints the text with the names of the scenario. */
void scenario_print(struct scenario *s, const char *text);

/* ---- state.c */

/* Inserts the row, takes its locks. */
void scenario_row(struct scenario *s, const struct scenario_line *line);
/* After the last row: what is there must be a database that can be. */
void scenario_ready(struct scenario *s);

/* ---- play.c */

/* One line of `events`: a command, or plan, succeed, settle, explain, wait. */
void scenario_event(struct scenario *s, const struct scenario_line *line);
/* Prints where everything is, and why. */
void scenario_end(struct scenario *s);

/* Applies it; the result is in s->result. */
void scenario_apply(struct scenario *s, struct db_command *cmd);
/* Carries everything that is in work out with success; returns how much that was. */
int scenario_succeed(struct scenario *s, const char *name);

#endif
