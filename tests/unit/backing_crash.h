/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A change, with the power gone after each of its steps: with the log as it was forced until then,
 * and with all of it written. Sent again, as what the disk says that it is, it happens once and is
 * answered as if nothing had been; and once more after that, it is only answered. Whatever was
 * answered before is there.
 */
#ifndef TESTS_UNIT_BACKING_CRASH_H
#define TESTS_UNIT_BACKING_CRASH_H

#include "csvfs/edge/backing.h"
#include "tests/unit/backing_fixture.h"

#define BLOCK 4096
#define MOUNT 2 /* whose request it is; all else is done by mount 1 */

/* What a change is about: made anew for each of its crashes. */
struct scene {
	struct volume *v;
	char name[16]; /* of dir, in the root */
	struct csv_handle dir, a, b;
	bool a_is_open;	   /* by mount 1 */
	bool is_recovered; /* it serves */
};

struct act {
	void (*prepare)(struct scene *s);
	struct csv_request (*request)(const struct scene *s);
	/* After it has happened, however often one looks. */
	void (*check)(struct scene *s, const struct csv_reply *p);
	int error;	    /* that it is answered with */
	bool has_no_intent; /* it changes nothing */
	bool has_middle;    /* it can stop within DO */
	/* What may be on disk then, beside. */
	void (*spoil)(struct scene *s);
};

#define ACT(p, q, c, ...)                                                                          \
	(&(struct act){.prepare = (p), .request = (q), .check = (c), ##__VA_ARGS__})

void survives(struct volume *v, const struct act *act);

/* ---- what is there before */

void nothing(struct scene *s);
void a_file(struct scene *s);
void two_files(struct scene *s);
void an_open_file(struct scene *s);
void an_open_file_and_another(struct scene *s);
void a_directory(struct scene *s);
void a_directory_with_a_file(struct scene *s);
void two_names(struct scene *s);
void four_blocks(struct scene *s);
void a_file_with_an_attribute(struct scene *s);
void a_privileged_file(struct scene *s);

/* ---- how it is looked at */

void assert_gone(struct scene *s, const char *name);
void assert_at(struct scene *s, const char *name, struct csv_handle h);
void assert_blocks(struct scene *s, struct csv_handle h, const char *letters);

#endif
