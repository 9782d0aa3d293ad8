/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The synthetic version after the product's, which tests of the upgrade run: one field more in a
 * row, and one command. Included by schema.h in objects compiled with CLUSTERD_TEST_NEXT_VERSION,
 * which only tests link.
 */
#ifndef TESTS_NEXT_SCHEMA_NEXT_H
#define TESTS_NEXT_SCHEMA_NEXT_H

#define DB_VERSION_NEXT (DB_SCHEMA_VERSION + 1)
#define DB_VERSION_MAX	DB_VERSION_NEXT

#define DB_NEXT_GROUP_FIELDS(F) F(str, remark, CL_NAME_MAX)

#define DB_CMD_GROUP_REMARK_FIELDS(F)                                                              \
	F(str, name, CL_NAME_MAX)                                                                  \
	F(str, remark, CL_NAME_MAX)
#define DB_NEXT_COMMANDS(X) X(120, group_remark, GROUP_REMARK)

#define DB_NEXT_SINCE(X)                                                                           \
	X(group, "remark", DB_VERSION_NEXT)                                                        \
	X(group_remark, "", DB_VERSION_NEXT)

#define VERBS_NEXT {"group.remark", true, verb_group_remark},

/* tests/next/apply_next.c, tests/next/verbs_next.c */
struct apply;
struct db_cmd_group_remark;
void do_group_remark(struct apply *a, const struct db_cmd_group_remark *c);

#endif
