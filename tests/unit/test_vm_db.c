/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual machines in the applied state: creation, deletion, locks, pauses. */
#include "tests/unit/vm_fixture.h"

/* ---- creation and deletion */

static void a_virtual_machine_is_a_group_with_one_resource(void **state)
{
	struct fixture *f = *state;
	const struct db_resource *r;
	const struct db_param *p;

	DONE(f, VM_CREATE, vm_create, .name = "b", .uuid = VM_UUID_2, .definition = "{\"x\":1}",
	     .volumes = "v", .priority = 7, .restart_max = 1, .monitor_ms = 2, .start_ms = 3,
	     .stop_ms = 4);
	r = db_find(&f->db, DB_KIND_RESOURCE, "b");
	p = db_find(&f->db, DB_KIND_PARAM, "b/vm");
	assert_int_equal(group(f, "b")->work, DB_WORK_OFFLINE);
	assert_int_equal(group(f, "b")->priority, 7);
	assert_string_equal(group(f, "b")->volumes, "v");
	assert_non_null(r);
	assert_string_equal(r->group, "b");
	assert_string_equal(r->agent, "ocf:clusterd:vm");
	assert_int_equal(r->restart_max, 1);
	assert_int_equal(r->monitor_ms, 2);
	assert_int_equal(r->start_ms, 3);
	assert_int_equal(r->stop_ms, 4);
	assert_non_null(p);
	assert_string_equal(p->value, "b");
	assert_string_equal(vm(f, "b")->definition, "{\"x\":1}");
	assert_int_equal(vm(f, "b")->lock, 0);
	assert_ptr_equal(vm_of_group(&f->db, group(f, "b")), vm(f, "b"));
}

static void a_virtual_machine_needs_a_name_a_uuid_and_a_definition(void **state)
{
	struct fixture *f = *state;

	REFUSED(f, DB_INVALID, VM_CREATE, vm_create, .uuid = VM_UUID_2, .definition = "{}");
	REFUSED(f, DB_INVALID, VM_CREATE, vm_create, .name = "b", .definition = "{}");
	REFUSED(f, DB_INVALID, VM_CREATE, vm_create, .name = "b", .uuid = "AAAA",
		.definition = "{}");
	REFUSED(f, DB_INVALID, VM_CREATE, vm_create, .name = "b", .uuid = VM_UUID_2);
	REFUSED(f, DB_INVALID, VM_CREATE, vm_create,
		.name = "a234567890123456789012345678901234567890123456789012345678901",
		.uuid = VM_UUID_2, .definition = "{}");
}

static void names_and_uuids_are_not_used_twice(void **state)
{
	struct fixture *f = *state;

	REFUSED(f, DB_CONFLICT, VM_CREATE, vm_create, .name = "a", .uuid = VM_UUID_2,
		.definition = "{}");
	REFUSED(f, DB_CONFLICT, VM_CREATE, vm_create, .name = "b", .uuid = VM_UUID,
		.definition = "{}");
	DONE(f, GROUP_CREATE, group_create, .name = "b");
	REFUSED(f, DB_CONFLICT, VM_CREATE, vm_create, .name = "b", .uuid = VM_UUID_2,
		.definition = "{}");
	DONE(f, RESOURCE_CREATE, resource_create, .name = "c", .group = "b", .agent = "ocf:x:y");
	REFUSED(f, DB_CONFLICT, VM_CREATE, vm_create, .name = "c", .uuid = VM_UUID_2,
		.definition = "{}");
	REFUSED(f, DB_CONFLICT, GROUP_CREATE, group_create, .name = "a");
}

static void it_is_made_as_a_whole_or_not_at_all(void **state)
{
	struct fixture *f = *state;

	REFUSED(f, DB_NO_SUCH, VM_CREATE, vm_create, .name = "b", .uuid = VM_UUID_2,
		.definition = "{}", .volumes = "v,w");
	DONE(f, PARAM_SET, param_set, .key = "x/y", .value = "z");
	REFUSED(f, DB_REFUSED, VM_CREATE, vm_create, .name = "b", .uuid = VM_UUID_2,
		.definition = "{}");
}

static void a_full_table_takes_no_virtual_machine(void **state)
{
	struct fixture *f = *state;

	DONE(f, VM_CREATE, vm_create, .name = "b", .uuid = VM_UUID_2, .definition = "{}");
	REFUSED(f, DB_REFUSED, VM_CREATE, vm_create, .name = "c",
		.uuid = "aaaaaaaa-2222-3333-4444-777777777777", .definition = "{}");
}

static void its_group_takes_no_other_resource_and_gives_none_away(void **state)
{
	struct fixture *f = *state;

	REFUSED(f, DB_REFUSED, RESOURCE_CREATE, resource_create, .name = "x", .group = "a",
		.agent = "ocf:x:y");
	REFUSED(f, DB_REFUSED, RESOURCE_DELETE, resource_delete, .name = "a");
	REFUSED(f, DB_REFUSED, GROUP_DELETE, group_delete, .name = "a");
}

static void it_is_deleted_with_group_and_resource_when_it_is_offline(void **state)
{
	struct fixture *f = *state;

	REFUSED(f, DB_REFUSED, VM_DELETE, vm_delete, .name = "a");
	group_intent(f, "a", DB_INTENT_OFFLINE, CL_NODE_NONE);
	assert_int_equal(group_order(f, "a", DB_WORK_STOPPING, 0), DB_OK);
	REFUSED(f, DB_REFUSED, VM_DELETE, vm_delete, .name = "a");
	assert_int_equal(group_report(f, "a", group(f, "a")->order, DB_WORK_OFFLINE), DB_OK);
	DONE(f, VM_DELETE, vm_delete, .name = "a");
	assert_int_equal(db_count(&f->db, DB_KIND_VM), 0);
	assert_int_equal(db_count(&f->db, DB_KIND_GROUP), 0);
	assert_int_equal(db_count(&f->db, DB_KIND_RESOURCE), 0);
	assert_int_equal(db_count(&f->db, DB_KIND_PARAM), 0);
	REFUSED(f, DB_NO_SUCH, VM_DELETE, vm_delete, .name = "a");
}

static void a_volume_that_it_needs_is_not_deleted(void **state)
{
	REFUSED((struct fixture *)*state, DB_REFUSED, VOLUME_DELETE, volume_delete, .name = "v");
}

/* ---- the locks */

static void a_start_takes_both_locks_and_makes_an_instance(void **state)
{
	struct fixture *f = *state;

	expect_locks(f, INC(0));
	assert_int_equal(vm(f, "a")->instance, group(f, "a")->order);
	assert_int_equal(holders(f, VM_LOCK).count, 1);
}

static void a_start_takes_both_locks_or_none(void **state)
{
	struct fixture *f = *state;
	struct lk_event e = {.type = LK_EV_LOCK,
			     .session = INC(1),
			     .mode = LK_EX,
			     .name_len = sizeof("vm:" VM_UUID_2) - 1,
			     .name = "vm:" VM_UUID_2};

	DONE(f, VM_CREATE, vm_create, .name = "b", .uuid = VM_UUID_2, .definition = "{}");
	group_intent(f, "b", DB_INTENT_ONLINE, CL_NODE_NONE);
	assert_int_equal(lk_step(&f->db.locks, &e, &f->db.lock_actions), 0);
	e.type = LK_EV_UNLOCK;
	e.lock_id = f->db.lock_actions.items[0].lock_id;
	{
		/* Somebody has vm: without a row: the state is broken, and says so. */
		struct db_group *g = group(f, "b");
		struct db_command c = {.type = DB_CMD_GROUP_ORDER,
				       .group_order = {.name = "b",
						       .work = DB_WORK_STARTING,
						       .incarnation = INC(0),
						       .previous = g->order}};
		uint8_t buf[DB_COMMAND_MAX];
		struct db_entry entry = {.index = f->db.index + 1,
					 .kind = CL_ENTRY_COMMAND,
					 .instance = 1,
					 .request = ++f->request,
					 .payload = buf};

		assert_int_equal(db_command_encode(&c, buf, sizeof(buf), &entry.payload_len), 0);
		db_apply(&f->db, &entry, &f->result);
		assert_int_equal(f->result.code, DB_CONFLICT);
		assert_int_equal(g->work, DB_WORK_OFFLINE);
		assert_int_equal(g->lock, 0);
		assert_int_equal(vm(f, "b")->lock, 0);
		assert_int_equal(holders(f, "grp:b").count, 0);
	}
	assert_int_equal(lk_step(&f->db.locks, &e, &f->db.lock_actions), 0);
	assert_int_equal(group_order(f, "b", DB_WORK_STARTING, 0), DB_OK);
	assert_int_equal(vm(f, "b")->instance, f->db.index);
}

static void a_stop_and_a_failure_drop_both_locks(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(group_report(f, "a", group(f, "a")->order, DB_WORK_FAILED), DB_OK);
	expect_locks(f, 0);
	assert_int_equal(vm(f, "a")->instance, 0);
	vm_start(f, "a", 1);
	expect_locks(f, INC(1));
	assert_int_equal(group_order(f, "a", DB_WORK_STOPPING, 1), DB_OK);
	expect_locks(f, INC(1));
	assert_int_equal(group_report(f, "a", group(f, "a")->order, DB_WORK_OFFLINE), DB_OK);
	expect_locks(f, 0);
}

static void a_stop_that_failed_keeps_both_locks(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(group_order(f, "a", DB_WORK_STOPPING, 0), DB_OK);
	assert_int_equal(group_report(f, "a", group(f, "a")->order, DB_WORK_FAILED), DB_OK);
	expect_locks(f, INC(0));
}

static void a_lost_node_keeps_both_locks_until_it_is_fenced(void **state)
{
	struct fixture *f = *state;

	lose(f, 0);
	expect_locks(f, INC(0));
	assert_int_equal(group(f, "a")->work, DB_WORK_UNKNOWN);
	DONE(f, NODE_FENCED, node_fenced, .name = "n0", .incarnation = INC(0));
	expect_locks(f, 0);
	assert_int_equal(vm(f, "a")->lock, 0);
	assert_int_equal(vm(f, "a")->instance, 0);
}

static void a_later_boot_drops_both_locks(void **state)
{
	struct fixture *f = *state;

	admit(f, 0, LATER(0));
	expect_locks(f, 0);
	assert_int_equal(vm(f, "a")->instance, 0);
}

/* ---- pauses */

static void a_pause_lasts_until_it_is_ended_or_the_run_is(void **state)
{
	struct fixture *f = *state;

	DONE(f, VM_SET_PAUSED, vm_set_paused, .name = "a", .pause = true);
	assert_true(vm(f, "a")->is_paused);
	DONE(f, VM_SET_PAUSED, vm_set_paused, .name = "a", .pause = false);
	assert_false(vm(f, "a")->is_paused);
	DONE(f, VM_SET_PAUSED, vm_set_paused, .name = "a", .pause = true);
	assert_int_equal(group_report(f, "a", group(f, "a")->order, DB_WORK_OFFLINE), DB_OK);
	assert_false(vm(f, "a")->is_paused);
	REFUSED(f, DB_REFUSED, VM_SET_PAUSED, vm_set_paused, .name = "a", .pause = true);
	REFUSED(f, DB_NO_SUCH, VM_SET_PAUSED, vm_set_paused, .name = "b", .pause = true);
}

/* ---- the check */

static void the_check_finds_what_does_not_go_together(void **state)
{
	struct fixture *f = *state;
	struct db_vm *v = vm(f, "a");
	const struct db_vm kept = *v;

	v->instance = 0;
	assert_string_equal(db_check(&f->db),
			    "vm:, grp: and the right to run are not held together");
	*v = kept;
	v->lock = group(f, "a")->lock;
	assert_string_equal(db_check(&f->db),
			    "a virtual machine names a lock that its node does not hold");
	*v = kept;
	v->instance = f->db.index + 1;
	assert_string_equal(db_check(&f->db), "an instance that is still to come");
	*v = kept;
	v->migration = 1;
	assert_string_equal(db_check(&f->db),
			    "a virtual machine is in a migration that is over, or not its own");
	*v = kept;
	assert_null(db_check(&f->db));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		VM_TEST(a_virtual_machine_is_a_group_with_one_resource),
		VM_TEST(a_virtual_machine_needs_a_name_a_uuid_and_a_definition),
		VM_TEST(names_and_uuids_are_not_used_twice),
		VM_TEST(it_is_made_as_a_whole_or_not_at_all),
		VM_TEST(a_full_table_takes_no_virtual_machine),
		VM_TEST(its_group_takes_no_other_resource_and_gives_none_away),
		VM_TEST(it_is_deleted_with_group_and_resource_when_it_is_offline),
		VM_TEST(a_volume_that_it_needs_is_not_deleted),
		VM_TEST(a_start_takes_both_locks_and_makes_an_instance),
		VM_TEST(a_start_takes_both_locks_or_none),
		VM_TEST(a_stop_and_a_failure_drop_both_locks),
		VM_TEST(a_stop_that_failed_keeps_both_locks),
		VM_TEST(a_lost_node_keeps_both_locks_until_it_is_fenced),
		VM_TEST(a_later_boot_drops_both_locks),
		VM_TEST(a_pause_lasts_until_it_is_ended_or_the_run_is),
		VM_TEST(the_check_finds_what_does_not_go_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
