/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A database for a cmocka test, and commands for it as an administrator on n1 gives them. */
#ifndef TESTS_UNIT_DB_FIXTURE_H
#define TESTS_UNIT_DB_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* cmocka.h wants the headers above before it. */
#include <cmocka.h>

#include "clusterd/core/db.h"
#include "clusterd/core/msg.h"

struct fixture {
	struct db db;
	void *mem;
	struct db_result result; /* of the newest command */
};

static inline int fixture_setup(void **state, const struct db_limits *limits)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->mem = malloc(db_size(limits));
	assert_non_null(f->mem);
	assert_int_equal(db_init(&f->db, f->mem, db_size(limits), limits), 0);
	*state = f;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	free(f->mem);
	free(f);
	return 0;
}

/* Each a millisecond after the one before; the database is not checked. */
static inline enum db_code fixture_apply(struct fixture *f, struct db_command *cmd)
{
	uint8_t buf[DB_COMMAND_MAX];
	struct db_entry e = {.index = f->db.index + 1,
			     .epoch = {.number = 1},
			     .kind = CL_ENTRY_COMMAND,
			     .origin = 1,
			     .instance = 77,
			     .request = f->db.index + 1,
			     .payload = buf};

	cmd->at_ms = 5000 + f->db.index;
	snprintf(cmd->actor, sizeof(cmd->actor), "root@n1");
	assert_int_equal(db_command_encode(cmd, buf, sizeof(buf), &e.payload_len), 0);
	db_apply(&f->db, &e, &f->result);
	return f->result.code;
}

static inline enum db_code fixture_apply_checked(struct fixture *f, struct db_command *cmd)
{
	fixture_apply(f, cmd);
	assert_null(db_check(&f->db));
	return f->result.code;
}

#endif
