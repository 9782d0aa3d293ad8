/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The nodes and the volume of volume_fixture.h, the volume mounted everywhere, and a VM on n0. */
#ifndef TESTS_UNIT_VM_FIXTURE_H
#define TESTS_UNIT_VM_FIXTURE_H

#include "clusterd/core/vm.h"
#include "tests/unit/volume_fixture.h"

#define VM_UUID	  "aaaaaaaa-2222-3333-4444-555555555555"
#define VM_UUID_2 "aaaaaaaa-2222-3333-4444-666666666666"
#define VM_LOCK	  "vm:" VM_UUID
#define GRP_LOCK  "grp:a"

static inline struct db_vm *vm(struct fixture *f, const char *name)
{
	struct db_vm *v = db_find(&f->db, DB_KIND_VM, name);

	assert_non_null(v);
	return v;
}

static inline struct db_migration *migration(struct fixture *f, uint64_t id)
{
	struct db_migration *m = db_find_id(&f->db, DB_KIND_MIGRATION, id);

	assert_non_null(m);
	return m;
}

static inline void group_intent(struct fixture *f, const char *name, enum db_intent intent,
				uint8_t wish)
{
	struct db_command c = {
		.type = DB_CMD_GROUP_INTENT,
		.group_intent = {.intent = (uint8_t)intent, .wish = wish, .verb = "group-start"}};

	snprintf(c.group_intent.name, CL_NAME_MAX, "%s", name);
	assert_int_equal(apply(f, c), DB_OK);
}

static inline enum db_code group_order(struct fixture *f, const char *name, enum db_work work,
				       uint8_t slot)
{
	struct db_command c = {.type = DB_CMD_GROUP_ORDER,
			       .group_order = {.work = (uint8_t)work,
					       .node = slot,
					       .incarnation = node(f, slot)->incarnation,
					       .previous = group(f, name)->order}};

	snprintf(c.group_order.name, CL_NAME_MAX, "%s", name);
	return apply(f, c);
}

static inline enum db_code group_report(struct fixture *f, const char *name, uint64_t order,
					enum db_work work)
{
	struct db_command c = {
		.type = DB_CMD_GROUP_REPORT,
		.group_report = {.order = order, .work = (uint8_t)work, .reason = "reported"}};

	snprintf(c.group_report.name, CL_NAME_MAX, "%s", name);
	return apply(f, c);
}

/* The virtual machine is online there. */
static inline void vm_start(struct fixture *f, const char *name, uint8_t slot)
{
	group_intent(f, name, DB_INTENT_ONLINE, CL_NODE_NONE);
	assert_int_equal(group_order(f, name, DB_WORK_STARTING, slot), DB_OK);
	assert_int_equal(group_report(f, name, group(f, name)->order, DB_WORK_ONLINE), DB_OK);
}

static inline int vm_setup(void **state)
{
	struct fixture *f;

	assert_int_equal(setup(state), 0);
	f = *state;
	make_online(f, 0);
	for (uint8_t i = 0; i < NODES; i++)
		make_mounted(f, i);
	DONE(f, VM_CREATE, vm_create, .name = "a", .uuid = VM_UUID, .definition = "{}",
	     .volumes = "v", .priority = 100);
	vm_start(f, "a", 0);
	return 0;
}

static inline enum db_code ask(struct fixture *f, const char *name, uint8_t to)
{
	struct db_command c = {
		.type = DB_CMD_VM_MIGRATE,
		.vm_migrate = {.to = to, .verb = "vm-migrate", .reason = "asked for"}};

	snprintf(c.vm_migrate.name, CL_NAME_MAX, "%s", name);
	return apply(f, c);
}

/* A migration of that number, queued. */
static inline uint64_t queue(struct fixture *f, const char *name, uint8_t to)
{
	assert_int_equal(ask(f, name, to), DB_OK);
	assert_int_equal(vm(f, name)->migration, f->db.index);
	return f->db.index;
}

static inline enum db_code begin(struct fixture *f, uint64_t id)
{
	return DO(f, MIGRATION_ORDER, migration_order, .id = id, .phase = DB_MIGRATION_PHASE_SETUP);
}

static inline enum db_code says(struct fixture *f, uint64_t id, uint8_t slot,
				enum db_migration_phase phase)
{
	return DO(f, MIGRATION_REPORT, migration_report, .id = id, .slot = slot,
		  .incarnation = INC(slot), .phase = (uint8_t)phase);
}

/* A migration of that number, whose source asks for the hand-over. */
static inline uint64_t bring_to_handle(struct fixture *f, const char *name, uint8_t to)
{
	uint64_t id = queue(f, name, to);

	assert_int_equal(begin(f, id), DB_OK);
	assert_int_equal(says(f, id, migration(f, id)->source, DB_MIGRATION_PHASE_STORAGE_HANDLE),
			 DB_OK);
	return id;
}

static inline enum db_code transfer(struct fixture *f, uint64_t id)
{
	return DO(f, MIGRATION_TRANSFER, migration_transfer, .id = id,
		  .source_incarnation = migration(f, id)->source_incarnation);
}

static inline enum db_code ends(struct fixture *f, uint64_t id, uint8_t slot, bool is_success)
{
	struct db_command c = {.type = DB_CMD_MIGRATION_END,
			       .migration_end = {.id = id,
						 .slot = slot,
						 .incarnation = INC(slot),
						 .is_success = is_success,
						 .downtime_ms = 42}};

	snprintf(c.migration_end.reason, DB_REASON_MAX, "%s", is_success ? "it runs" : "it broke");
	return apply(f, c);
}

/* The locks are both that incarnation's, or both nobody's (0). */
static inline void expect_locks(struct fixture *f, uint64_t incarnation)
{
	assert_int_equal(holders(f, VM_LOCK).incarnation, incarnation);
	assert_int_equal(holders(f, GRP_LOCK).incarnation, incarnation);
}

#define VM_TEST(name) cmocka_unit_test_setup_teardown(name, vm_setup, teardown)

#endif
