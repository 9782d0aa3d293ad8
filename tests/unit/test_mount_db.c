/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mounts in the applied state, and what ends them: reports, recovery, fences, boots; groups that
 * need them; the check.
 */
#include "tests/unit/volume_fixture.h"

/* ---- mounts */

static void a_mount_takes_its_lock_before_it_is_there(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mount_set(f, 1, ID(1)), DB_OK);
	assert_int_equal(mount_of(f, 1)->state, DB_MOUNT_STATE_MOUNTING);
	assert_int_equal(mount_of(f, 1)->id, ID(1));
	assert_int_equal(mount_of(f, 1)->incarnation, INC(1));
	assert_int_equal(holders(f, MNT).incarnation, INC(1));
}

static void every_node_mounts_it_beside_the_coordinator(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	for (uint8_t i = 0; i < NODES; i++)
		make_mounted(f, i);
	assert_int_equal(volume_mounts(&f->db, "v", DB_MOUNT_STATE_MOUNTED), 0x7);
	assert_int_equal(holders(f, MNT).count, NODES);
}

static void a_node_has_one_mount_whatever_its_state(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mount_set(f, 1, ID(1)), DB_OK);
	for (int i = 0; i < 3; i++) {
		REFUSED(f, DB_CONFLICT, MOUNT_SET, mount_set, .volume = "v", .slot = 1,
			.incarnation = INC(1), .id = 77);
		if (i == 0)
			DONE(f, MOUNT_REPORT, mount_report, .volume = "v", .slot = 1, .id = ID(1));
		if (i == 1)
			assert_int_equal(gone(f, 1), DB_OK);
	}
}

static void the_id_of_a_mount_is_not_another_s(void **state)
{
	struct fixture *f = *state;

	make_mounted(f, 1);
	REFUSED(f, DB_CONFLICT, MOUNT_SET, mount_set, .volume = "v", .slot = 0,
		.incarnation = INC(0), .id = ID(1));
	REFUSED(f, DB_CONFLICT, MOUNT_SET, mount_set, .volume = "v", .slot = 0,
		.incarnation = INC(0));
}

static void only_a_node_that_is_up_and_stays_mounts_a_volume_that_is_there(void **state)
{
	struct fixture *f = *state;

	REFUSED(f, DB_CONFLICT, MOUNT_SET, mount_set, .volume = "v", .slot = 1,
		.incarnation = LATER(1), .id = 1);
	REFUSED(f, DB_CONFLICT, MOUNT_SET, mount_set, .volume = "v", .slot = 9, .id = 1);
	REFUSED(f, DB_NO_SUCH, MOUNT_SET, mount_set, .volume = "w", .slot = 1,
		.incarnation = INC(1), .id = 1);
	assert_int_equal(leave(f, 2, false), DB_OK);
	REFUSED(f, DB_CONFLICT, MOUNT_SET, mount_set, .volume = "v", .slot = 2,
		.incarnation = INC(2), .id = 1);
	lose(f, 1);
	REFUSED(f, DB_CONFLICT, MOUNT_SET, mount_set, .volume = "v", .slot = 1,
		.incarnation = INC(1), .id = 1);
}

static void a_paused_node_mounts_it_all_the_same(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pause_node(f, 1, true), DB_OK);
	make_mounted(f, 1);
}

static void a_full_table_takes_no_mount(void **state)
{
	struct fixture *f = *state;

	DONE(f, VOLUME_CREATE, volume_create, .name = "w", .uuid = UUID_2, .device = "/dev/b");
	DONE(f, VOLUME_CREATE, volume_create, .name = "x",
	     .uuid = "00000000-2222-3333-4444-666666666666", .device = "/dev/c");
	for (uint8_t i = 0; i < NODES; i++) {
		make_mounted(f, i);
		DONE(f, MOUNT_SET, mount_set, .volume = "w", .slot = i, .incarnation = INC(i),
		     .id = 1u + i);
	}
	REFUSED(f, DB_REFUSED, MOUNT_SET, mount_set, .volume = "x", .slot = 0,
		.incarnation = INC(0), .id = 99);
}

static void a_report_is_about_the_mount_of_its_id(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	assert_int_equal(mount_set(f, 1, ID(1)), DB_OK);
	REFUSED(f, DB_CONFLICT, MOUNT_REPORT, mount_report, .volume = "v", .slot = 1, .id = 9);
	REFUSED(f, DB_CONFLICT, MOUNT_REPORT, mount_report, .volume = "v", .slot = 0, .id = ID(1));
	REFUSED(f, DB_CONFLICT, MOUNT_GONE, mount_gone, .volume = "v", .slot = 1,
		.incarnation = INC(1), .id = 9);
	REFUSED(f, DB_CONFLICT, MOUNT_GONE, mount_gone, .volume = "v", .slot = 1,
		.incarnation = LATER(1), .id = ID(1));
	DONE(f, MOUNT_REPORT, mount_report, .volume = "v", .slot = 1, .id = ID(1));
	before = content_hash(f);
	DONE(f, MOUNT_REPORT, mount_report, .volume = "v", .slot = 1, .id = ID(1));
	assert_int_equal(content_hash(f), before);
}

static void a_mount_that_is_gone_does_not_come_back(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	assert_int_equal(mount_set(f, 1, ID(1)), DB_OK);
	assert_int_equal(gone(f, 1), DB_OK);
	REFUSED(f, DB_CONFLICT, MOUNT_REPORT, mount_report, .volume = "v", .slot = 1, .id = ID(1));
	before = content_hash(f);
	assert_int_equal(gone(f, 1), DB_OK);
	assert_int_equal(content_hash(f), before);
}

static void a_mount_that_is_gone_keeps_its_lock_until_it_is_recovered(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	make_mounted(f, 1);
	assert_int_equal(gone(f, 1), DB_OK);
	assert_int_equal(holders(f, MNT).count, 1);
	assert_int_equal(recovered(f, volume(f, "v")->term, 1), DB_OK);
	assert_null(mount_of(f, 1));
	assert_int_equal(holders(f, MNT).count, 0);
	make_mounted(f, 1);
}

/* ---- recovery */

static void only_the_coordinator_in_force_recovers(void **state)
{
	struct fixture *f = *state;
	const struct db_volume *v = volume(f, "v");
	uint64_t old;

	make_mounted(f, 1);
	make_online(f, 0);
	old = v->term;
	assert_int_equal(gone(f, 1), DB_OK);
	assert_int_equal(order(f, DB_WORK_STOPPING, 0), DB_OK);
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	REFUSED(f, DB_CONFLICT, VOLUME_RECOVERED, volume_recovered, .volume = "v", .term = old,
		.slot = 1, .incarnation = INC(1), .id = ID(1));
	make_online(f, 2);
	REFUSED(f, DB_CONFLICT, VOLUME_RECOVERED, volume_recovered, .volume = "v", .term = old,
		.slot = 1, .incarnation = INC(1), .id = ID(1));
	REFUSED(f, DB_CONFLICT, VOLUME_RECOVERED, volume_recovered, .volume = "v",
		.term = v->term + 1, .slot = 1, .incarnation = INC(1), .id = ID(1));
	assert_int_equal(recovered(f, v->term, 1), DB_OK);
}

static void a_coordinator_recovers_before_it_serves_and_until_it_has_ended(void **state)
{
	struct fixture *f = *state;

	make_mounted(f, 1);
	make_mounted(f, 2);
	assert_int_equal(gone(f, 1), DB_OK);
	assert_int_equal(order(f, DB_WORK_STARTING, 0), DB_OK);
	assert_int_equal(recovered(f, volume(f, "v")->term, 1), DB_OK);
	assert_int_equal(report(f, DB_WORK_ONLINE), DB_OK);
	assert_int_equal(gone(f, 2), DB_OK);
	assert_int_equal(order(f, DB_WORK_STOPPING, 0), DB_OK);
	assert_int_equal(recovered(f, volume(f, "v")->term, 2), DB_OK);
}

static void a_lost_coordinator_is_not_believed(void **state)
{
	struct fixture *f = *state;
	uint64_t term;

	make_online(f, 0);
	make_mounted(f, 1);
	term = volume(f, "v")->term;
	assert_int_equal(gone(f, 1), DB_OK);
	lose(f, 0);
	REFUSED(f, DB_CONFLICT, VOLUME_RECOVERED, volume_recovered, .volume = "v", .term = term,
		.slot = 1, .incarnation = INC(1), .id = ID(1));
}

static void a_mount_that_lives_is_not_recovered(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	make_mounted(f, 1);
	REFUSED(f, DB_CONFLICT, VOLUME_RECOVERED, volume_recovered, .volume = "v",
		.term = volume(f, "v")->term, .slot = 1, .incarnation = INC(1), .id = ID(1));
	REFUSED(f, DB_NO_SUCH, VOLUME_RECOVERED, volume_recovered, .volume = "w");
}

static void a_late_recovery_of_an_old_mount_does_not_touch_the_new(void **state)
{
	struct fixture *f = *state;
	uint64_t term;

	make_online(f, 0);
	term = volume(f, "v")->term;
	make_mounted(f, 1);
	fence(f, 1);
	assert_int_equal(recovered(f, term, 1), DB_OK);
	admit(f, 1, LATER(1));
	assert_int_equal(mount_set(f, 1, 0x77), DB_OK);
	assert_int_equal(gone(f, 1), DB_OK);
	REFUSED(f, DB_CONFLICT, VOLUME_RECOVERED, volume_recovered, .volume = "v", .term = term,
		.slot = 1, .incarnation = INC(1), .id = ID(1));
	REFUSED(f, DB_CONFLICT, VOLUME_RECOVERED, volume_recovered, .volume = "v", .term = term,
		.slot = 1, .incarnation = INC(1), .id = 0x77);
}

/* ---- nodes */

static void the_coordinator_of_a_lost_node_is_unknown_and_keeps_its_lock(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	make_mounted(f, 0);
	lose(f, 0);
	assert_int_equal(volume(f, "v")->work, DB_WORK_UNKNOWN);
	assert_string_equal(volume(f, "v")->reason, "waiting until n0 is fenced");
	assert_int_equal(holders(f, VOL).incarnation, INC(0));
	assert_int_equal(mount_of(f, 0)->state, DB_MOUNT_STATE_MOUNTED);
}

static void a_node_that_returns_has_what_it_had(void **state)
{
	static const enum db_work works[] = {DB_WORK_STARTING, DB_WORK_ONLINE, DB_WORK_STOPPING};
	struct fixture *f = *state;
	const struct db_volume *v = volume(f, "v");

	for (size_t i = 0; i < 3; i++) {
		uint64_t order_before, term_before;

		if (i == 0)
			assert_int_equal(order(f, DB_WORK_STARTING, 0), DB_OK);
		if (i == 1)
			assert_int_equal(report(f, DB_WORK_ONLINE), DB_OK);
		if (i == 2)
			assert_int_equal(order(f, DB_WORK_STOPPING, 0), DB_OK);
		order_before = v->order;
		term_before = v->term;
		lose(f, 0);
		assert_int_equal(v->work, DB_WORK_UNKNOWN);
		admit(f, 0, INC(0));
		assert_int_equal(v->work, works[i]);
		assert_int_equal(v->order, order_before);
		assert_int_equal(v->term, term_before);
	}
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
}

static void what_failed_stays_failed_when_its_node_is_lost_and_returns(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	assert_int_equal(report(f, DB_WORK_FAILED), DB_OK);
	lose(f, 0);
	assert_int_equal(volume(f, "v")->work, DB_WORK_FAILED);
	admit(f, 0, INC(0));
	assert_int_equal(volume(f, "v")->work, DB_WORK_FAILED);
}

static void a_fence_frees_the_coordinator_and_not_the_mount(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	make_mounted(f, 0);
	make_mounted(f, 1);
	fence(f, 0);
	assert_int_equal(volume(f, "v")->work, DB_WORK_OFFLINE);
	assert_int_equal(volume(f, "v")->port, 0);
	assert_int_equal(holders(f, VOL).count, 0);
	assert_int_equal(mount_of(f, 0)->state, DB_MOUNT_STATE_GONE);
	assert_int_equal(mount_of(f, 1)->state, DB_MOUNT_STATE_MOUNTED);
	assert_int_equal(holders(f, MNT).count, 2);
	make_online(f, 1);
	assert_int_equal(recovered(f, volume(f, "v")->term, 0), DB_OK);
	assert_int_equal(holders(f, MNT).count, 1);
}

static void the_lock_of_a_fenced_mount_is_orphaned(void **state)
{
	struct fixture *f = *state;

	make_mounted(f, 0);
	assert_false(holders(f, MNT).is_orphaned);
	fence(f, 0);
	assert_true(holders(f, MNT).is_orphaned);
	assert_int_equal(holders(f, MNT).incarnation, INC(0));
}

static void a_begun_fence_leaves_the_coordinator_unknown(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	DONE(f, NODE_FENCING, node_fencing, .name = "n0", .incarnation = INC(0), .by_admin = true);
	assert_int_equal(volume(f, "v")->work, DB_WORK_UNKNOWN);
	assert_int_equal(holders(f, VOL).incarnation, INC(0));
}

static void a_fence_frees_what_had_failed(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	assert_int_equal(report(f, DB_WORK_FAILED), DB_OK);
	fence(f, 0);
	assert_int_equal(volume(f, "v")->work, DB_WORK_OFFLINE);
	assert_int_equal(holders(f, VOL).count, 0);
}

static void a_later_boot_does_what_a_fence_does(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	make_mounted(f, 0);
	admit(f, 0, LATER(0));
	assert_int_equal(volume(f, "v")->work, DB_WORK_OFFLINE);
	assert_int_equal(mount_of(f, 0)->state, DB_MOUNT_STATE_GONE);
	assert_int_equal(mount_of(f, 0)->incarnation, INC(0));
	assert_int_equal(holders(f, MNT).incarnation, INC(0));
	REFUSED(f, DB_CONFLICT, MOUNT_SET, mount_set, .volume = "v", .slot = 0,
		.incarnation = LATER(0), .id = 5);
	make_online(f, 0);
	assert_int_equal(recovered(f, volume(f, "v")->term, 0), DB_OK);
	assert_int_equal(mount_set(f, 0, 5), DB_OK);
}

static void a_node_that_is_admitted_may_try_again(void **state)
{
	struct fixture *f = *state;

	volume(f, "v")->refused = 0x7;
	admit(f, 1, LATER(1));
	assert_int_equal(volume(f, "v")->refused, 0x5);
}

static void a_node_does_not_leave_with_a_coordinator_or_a_mount(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	make_mounted(f, 0);
	assert_int_equal(leave(f, 0, false), DB_OK);
	assert_int_equal(leave(f, 0, true), DB_REFUSED);
	assert_int_equal(order(f, DB_WORK_STOPPING, 0), DB_OK);
	assert_int_equal(report(f, DB_WORK_OFFLINE), DB_OK);
	assert_int_equal(leave(f, 0, true), DB_REFUSED);
	assert_int_equal(gone(f, 0), DB_OK);
	assert_int_equal(leave(f, 0, true), DB_OK);
	assert_int_equal(node(f, 0)->membership, DB_MEMBERSHIP_LEFT);
	assert_int_equal(holders(f, MNT).count, 1);
}

static void a_node_that_left_mounts_again_only_after_recovery(void **state)
{
	struct fixture *f = *state;

	make_mounted(f, 0);
	assert_int_equal(gone(f, 0), DB_OK);
	assert_int_equal(leave(f, 0, true), DB_OK);
	admit(f, 0, INC(0));
	assert_int_equal(mount_set(f, 0, 5), DB_CONFLICT);
	make_online(f, 0);
	assert_int_equal(recovered(f, volume(f, "v")->term, 0), DB_OK);
	assert_int_equal(mount_set(f, 0, 5), DB_OK);
}

/* ---- groups */

static void a_group_names_volumes_that_are_there(void **state)
{
	struct fixture *f = *state;

	DONE(f, VOLUME_CREATE, volume_create, .name = "w", .uuid = UUID_2, .device = "/dev/b");
	DONE(f, GROUP_CREATE, group_create, .name = "g", .volumes = "v, w");
	assert_true(volume_is_named(group(f, "g")->volumes, "w"));
	REFUSED(f, DB_NO_SUCH, GROUP_CREATE, group_create, .name = "h", .volumes = "v,x");
}

static enum db_code start_group(struct fixture *f, uint8_t slot)
{
	return DO(f, GROUP_ORDER, group_order, .name = "g", .work = DB_WORK_STARTING, .node = slot,
		  .incarnation = node(f, slot)->incarnation, .previous = group(f, "g")->order);
}

static void a_group_starts_only_where_its_volume_is_mounted_and_served(void **state)
{
	struct fixture *f = *state;

	DONE(f, GROUP_CREATE, group_create, .name = "g", .volumes = "v");
	make_mounted(f, 1);
	assert_int_equal(start_group(f, 1), DB_CONFLICT);
	make_online(f, 0);
	assert_int_equal(start_group(f, 0), DB_CONFLICT);
	assert_int_equal(start_group(f, 1), DB_OK);
	assert_true(volume_is_used(&f->db, "v", 1));
	assert_false(volume_is_used(&f->db, "v", 0));
}

static void a_group_starts_only_when_every_mount_is_recovered(void **state)
{
	struct fixture *f = *state;

	DONE(f, GROUP_CREATE, group_create, .name = "g", .volumes = "v");
	make_online(f, 0);
	make_mounted(f, 1);
	make_mounted(f, 2);
	fence(f, 2);
	assert_int_equal(start_group(f, 1), DB_CONFLICT);
	assert_int_equal(recovered(f, volume(f, "v")->term, 2), DB_OK);
	assert_int_equal(start_group(f, 1), DB_OK);
}

/* ---- names in a list */

static void names_are_split_at_commas_and_spaces(void **state)
{
	const char *list = " a,b  long ,, c,";
	char name[CL_NAME_MAX];
	static const char *const names[] = {"a", "b", "long", "c"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_true(volume_name_next(&list, name));
		assert_string_equal(name, names[i]);
	}
	assert_false(volume_name_next(&list, name));
	assert_false(volume_is_named("ab,c", "a"));
	assert_false(volume_is_named("", ""));
}

static void a_name_that_is_too_long_names_nothing(void **state)
{
	char list[CL_NAME_MAX + 8], name[CL_NAME_MAX];
	const char *at = list;

	(void)state;
	memset(list, 'x', sizeof(list));
	memcpy(list + CL_NAME_MAX, ",y", 3);
	assert_true(volume_name_next(&at, name));
	assert_string_equal(name, "");
	assert_true(volume_name_next(&at, name));
	assert_string_equal(name, "y");
}

/* ---- the check, snapshots */

/* Breaks something by `line` and wants the check to say so. */
#define BREAKS(f, line)                                                                            \
	do {                                                                                       \
		struct db_volume volume_before = *volume(f, "v");                                  \
		struct db_mount mount_before = *mount_of(f, 1);                                    \
		struct db_volume *v = volume(f, "v");                                              \
		struct db_mount *m = mount_of(f, 1);                                               \
		assert_null(db_check(&(f)->db));                                                   \
		line;                                                                              \
		assert_non_null(db_check(&(f)->db));                                               \
		*v = volume_before;                                                                \
		*m = mount_before;                                                                 \
	} while (0)

static void the_check_finds_what_does_not_agree(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	make_mounted(f, 1);
	BREAKS(f, v->lock = 0);
	BREAKS(f, v->lock = m->lock);
	BREAKS(f, v->lock += 1000);
	BREAKS(f, v->work = DB_WORK_OFFLINE);
	BREAKS(f, v->node = 1);
	BREAKS(f, v->node = CL_NODE_NONE);
	BREAKS(f, v->incarnation++);
	BREAKS(f, v->uuid[0] = 'f');
	BREAKS(f, v->term++);
	BREAKS(f, v->order++);
	BREAKS(f, v->order = v->term = f->db.index + 1);
	BREAKS(f, v->port = 0);
	BREAKS(f, v->work = DB_WORK_FAILED);
	BREAKS(f, v->work = DB_WORK_STOPPING);
	BREAKS(f, m->volume[0] = 'w');
	BREAKS(f, m->slot = 2);
	BREAKS(f, m->slot = 200);
	BREAKS(f, m->lock = v->lock);
	BREAKS(f, m->incarnation++);
	BREAKS(f, m->key[3] = '9');
}

static void the_check_finds_a_lock_without_a_row(void **state)
{
	struct fixture *f = *state;

	make_online(f, 0);
	make_mounted(f, 1);
	db_remove(&f->db, DB_KIND_MOUNT, mount_of(f, 1));
	assert_string_equal(db_check(&f->db), "a lock belongs to no group, volume or mount");
}

static void the_check_finds_a_group_that_needs_what_is_not_there(void **state)
{
	struct fixture *f = *state;

	DONE(f, GROUP_CREATE, group_create, .name = "g", .volumes = "v");
	group(f, "g")->volumes[0] = 'w';
	assert_non_null(db_check(&f->db));
}

static void a_snapshot_has_volumes_mounts_and_orphaned_locks(void **state)
{
	struct fixture *f = *state;
	static uint8_t buf[64 * 1024];
	void *mem = malloc(db_size(&limits));
	struct db other;
	size_t len;

	make_mounted(f, 0);
	fence(f, 0);
	make_online(f, 1);
	DONE(f, GROUP_CREATE, group_create, .name = "g", .volumes = "v");
	assert_non_null(mem);
	assert_int_equal(db_init(&other, mem, db_size(&limits), &limits), 0);
	assert_int_equal(db_encode(&f->db, buf, sizeof(buf), &len), 0);
	assert_int_equal(db_decode(&other, buf, len), 0);
	assert_int_equal(db_hash(&other), db_hash(&f->db));
	assert_null(db_check(&other));
	free(mem);
}

static void the_hash_tells_volumes_and_mounts(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	make_mounted(f, 0);
	before = db_hash(&f->db);
	volume(f, "v")->device[5]++;
	assert_int_not_equal(db_hash(&f->db), before);
	volume(f, "v")->device[5]--;
	mount_of(f, 0)->since_ms++;
	assert_int_not_equal(db_hash(&f->db), before);
	mount_of(f, 0)->since_ms--;
	assert_int_equal(db_hash(&f->db), before);
}

static void only_the_coordinator_in_force_says_that_a_mount_is_silent(void **state)
{
	struct fixture *f = *state;
	const struct db_mount *m;

	make_online(f, 0);
	make_mounted(f, 1);
	m = mount_of(f, 1);
	REFUSED(f, DB_CONFLICT, MOUNT_VOICE, mount_voice, .volume = "v", .slot = 1, .id = ID(1),
		.term = volume(f, "v")->term + 1, .voice = DB_MOUNT_VOICE_SILENT);
	REFUSED(f, DB_CONFLICT, MOUNT_VOICE, mount_voice, .volume = "v", .slot = 1, .id = ID(2),
		.term = volume(f, "v")->term, .voice = DB_MOUNT_VOICE_SILENT);
	assert_int_equal(voice(f, 1, DB_MOUNT_VOICE_SILENT, 1), DB_OK);
	assert_int_equal(m->silent_terms, 1);
	assert_int_equal(voice(f, 1, DB_MOUNT_VOICE_SILENT, 1), DB_OK); /* again: nothing new */
	assert_int_equal(m->silent_terms, 1);
	assert_int_equal(m->silent_node, 0);
	assert_string_equal(m->silence, "inode 7");
	assert_int_equal(voice(f, 1, DB_MOUNT_VOICE_ANSWERS, 0), DB_OK);
	assert_int_equal(m->silent_terms, 0);
	assert_int_equal(order(f, DB_WORK_STOPPING, 0), DB_OK);
	REFUSED(f, DB_CONFLICT, MOUNT_VOICE, mount_voice, .volume = "v", .slot = 1, .id = ID(1),
		.term = volume(f, "v")->term, .voice = DB_MOUNT_VOICE_SILENT);
	/* That it does not end, its own node says, whoever coordinates. */
	assert_int_equal(voice(f, 1, DB_MOUNT_VOICE_STUCK, 0), DB_OK);
	assert_int_equal(m->voice, DB_MOUNT_VOICE_STUCK);
	assert_int_equal(gone(f, 1), DB_OK);
	REFUSED(f, DB_CONFLICT, MOUNT_VOICE, mount_voice, .volume = "v", .slot = 1, .id = ID(1),
		.voice = DB_MOUNT_VOICE_STUCK);
}

static void the_words_of_choices_are_known(void **state)
{
	(void)state;
	assert_string_equal(db_choice_word(DB_KIND_MOUNT, "state", DB_MOUNT_STATE_GONE), "gone");
	assert_string_equal(db_choice_word(DB_KIND_MOUNT, "state", DB_MOUNT_STATE_MAX), "?");
	assert_string_equal(db_choice_word(DB_KIND_MOUNT, "slot", 0), "?");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_mount_takes_its_lock_before_it_is_there),
		TEST(every_node_mounts_it_beside_the_coordinator),
		TEST(a_node_has_one_mount_whatever_its_state),
		TEST(the_id_of_a_mount_is_not_another_s),
		TEST(only_a_node_that_is_up_and_stays_mounts_a_volume_that_is_there),
		TEST(a_paused_node_mounts_it_all_the_same),
		TEST(a_full_table_takes_no_mount),
		TEST(a_report_is_about_the_mount_of_its_id),
		TEST(a_mount_that_is_gone_does_not_come_back),
		TEST(a_mount_that_is_gone_keeps_its_lock_until_it_is_recovered),
		TEST(only_the_coordinator_in_force_recovers),
		TEST(a_coordinator_recovers_before_it_serves_and_until_it_has_ended),
		TEST(a_lost_coordinator_is_not_believed),
		TEST(a_mount_that_lives_is_not_recovered),
		TEST(a_late_recovery_of_an_old_mount_does_not_touch_the_new),
		TEST(the_coordinator_of_a_lost_node_is_unknown_and_keeps_its_lock),
		TEST(a_node_that_returns_has_what_it_had),
		TEST(what_failed_stays_failed_when_its_node_is_lost_and_returns),
		TEST(a_fence_frees_the_coordinator_and_not_the_mount),
		TEST(the_lock_of_a_fenced_mount_is_orphaned),
		TEST(a_begun_fence_leaves_the_coordinator_unknown),
		TEST(a_fence_frees_what_had_failed),
		TEST(a_later_boot_does_what_a_fence_does),
		TEST(a_node_that_is_admitted_may_try_again),
		TEST(a_node_does_not_leave_with_a_coordinator_or_a_mount),
		TEST(a_node_that_left_mounts_again_only_after_recovery),
		TEST(a_group_names_volumes_that_are_there),
		TEST(a_group_starts_only_where_its_volume_is_mounted_and_served),
		TEST(a_group_starts_only_when_every_mount_is_recovered),
		TEST(names_are_split_at_commas_and_spaces),
		TEST(a_name_that_is_too_long_names_nothing),
		TEST(the_check_finds_what_does_not_agree),
		TEST(the_check_finds_a_lock_without_a_row),
		TEST(the_check_finds_a_group_that_needs_what_is_not_there),
		TEST(a_snapshot_has_volumes_mounts_and_orphaned_locks),
		TEST(the_hash_tells_volumes_and_mounts),
		TEST(only_the_coordinator_in_force_says_that_a_mount_is_silent),
		TEST(the_words_of_choices_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
