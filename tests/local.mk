# SPDX-License-Identifier: GPL-2.0-or-later
# ---- simulators: link the cores compiled with mutants
scenario_sources = \
	tests/plan/scenario.c tests/plan/scenario.h tests/plan/state.c tests/plan/play.c \
	tests/plan/text.c
SIMULATORS = \
	tests/sim/sim_repl tests/sim/sim_lock tests/sim/sim_ladder tests/sim/sim_volume \
	tests/sim/sim_session tests/sim/sim_mig tests/sim/sim_job tests/sim/sim_vm \
	tests/sim/sim_grant tests/sim/sim_cache \
	tests/sim/sim_force tests/sim/sim_plan tests/sim/sim_votes tests/sim/sim_claim \
	tests/sim/sim_witness tests/sim/sim_cluster tests/sim/sim_filelock
check_PROGRAMS += $(SIMULATORS)
sim_main = tests/sim/sim_main.c tests/sim/sim_main.h
world_sources = tests/sim/sim_world.c tests/sim/sim_world_witness.c tests/sim/sim_world.h
tests_sim_sim_repl_SOURCES = tests/sim/sim_repl.c $(world_sources)
tests_sim_sim_repl_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
tests_sim_sim_repl_LDADD = clusterd/libcore_mutants.a lib/liblock.a lib/libbase.a

tests_sim_sim_force_SOURCES = tests/sim/sim_force.c $(world_sources)
tests_sim_sim_force_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
tests_sim_sim_force_LDADD = clusterd/libcore_mutants.a lib/liblock.a lib/libbase.a
tests_sim_sim_votes_SOURCES = tests/sim/sim_votes.c $(world_sources)
tests_sim_sim_votes_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
tests_sim_sim_votes_LDADD = clusterd/libcore_mutants.a lib/liblock.a lib/libbase.a

tests_sim_sim_witness_SOURCES = tests/sim/sim_witness.c tests/sim/sim_witness_life.c \
	tests/sim/sim_witness_life.h tests/sim/sim_witness_share.c $(world_sources)
tests_sim_sim_witness_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
tests_sim_sim_witness_LDADD = clusterd/libcore_mutants.a lib/liblock.a lib/libbase.a

tests_sim_sim_claim_SOURCES = tests/sim/sim_claim.c
tests_sim_sim_claim_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
tests_sim_sim_claim_LDADD = clusterd/libcore_mutants.a lib/libbase.a

tests_sim_sim_cluster_SOURCES = \
	tests/sim/sim_cluster.c tests/sim/sim_cluster.h tests/sim/sim_cluster_check.c \
	tests/sim/sim_cluster_client.c tests/sim/sim_cluster_fence.c tests/sim/sim_cluster_life.c \
	tests/sim/sim_cluster_node.c tests/sim/sim_exec_vm.c tests/sim/sim_exec_volume.c \
	tests/sim/sim_exec.h $(world_sources)
tests_sim_sim_cluster_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
tests_sim_sim_cluster_LDADD = clusterd/libcore_mutants.a fence/libfence_mutants.a lib/liblock.a \
	lib/libbase.a

tests_sim_sim_lock_SOURCES = tests/sim/sim_lock.c
tests_sim_sim_lock_LDADD = lib/liblock.a lib/libbase.a

tests_sim_sim_ladder_SOURCES = \
	tests/sim/sim_ladder.c tests/sim/sim_ladder_world.c tests/sim/sim_ladder_world.h
tests_sim_sim_ladder_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
tests_sim_sim_ladder_LDADD = fence/libfence_mutants.a lib/libbase.a

tests_sim_sim_volume_SOURCES = \
	tests/sim/sim_volume.c tests/sim/sim_volume_world.c tests/sim/sim_volume_world.h \
	tests/sim/sim_exec_volume.c tests/sim/sim_exec.h
tests_sim_sim_volume_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
tests_sim_sim_volume_LDADD = clusterd/libcore_mutants.a lib/liblock.a lib/libbase.a
tests_sim_sim_job_SOURCES = tests/sim/sim_job.c
tests_sim_sim_job_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
tests_sim_sim_job_LDADD = clusterd/libcore_mutants.a lib/liblock.a lib/libbase.a
tests_sim_sim_vm_SOURCES = \
	tests/sim/sim_vm.c tests/sim/sim_vm_world.c tests/sim/sim_vm_world.h \
	tests/sim/sim_exec_vm.c tests/sim/sim_exec_volume.c tests/sim/sim_exec.h
tests_sim_sim_vm_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
tests_sim_sim_vm_LDADD = clusterd/libcore_mutants.a lib/liblock.a lib/libbase.a
tests_sim_sim_plan_SOURCES = tests/sim/sim_plan.c $(scenario_sources)
tests_sim_sim_plan_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
tests_sim_sim_plan_LDADD = clusterd/libcore_mutants.a lib/liblock.a lib/libbase.a
tests_sim_sim_session_SOURCES = \
	tests/sim/sim_session.c tests/sim/sim_session_client.c tests/sim/sim_session_disk.c \
	tests/sim/sim_session_world.c tests/sim/sim_session_world.h $(sim_main)
tests_sim_sim_session_CPPFLAGS = $(AM_CPPFLAGS) -DCSVFS_MUTANTS
tests_sim_sim_session_LDADD = csvfs/libcsvcore_mutants.a lib/libbase.a
tests_sim_sim_mig_SOURCES = \
	tests/sim/sim_mig.c tests/sim/sim_mig_cluster.c tests/sim/sim_mig_qemu.c \
	tests/sim/sim_mig_world.c tests/sim/sim_mig_world.h
tests_sim_sim_mig_CPPFLAGS = $(AM_CPPFLAGS) -DMIGRATE_MUTANTS
tests_sim_sim_mig_LDADD = migrate/libmig_mutants.a lib/libbase.a

tests_sim_sim_cache_SOURCES = \
	tests/sim/sim_cache.c tests/sim/sim_cache_coord.c tests/sim/sim_cache_world.h $(sim_main)
tests_sim_sim_cache_CPPFLAGS = $(AM_CPPFLAGS) -DCSVFS_MUTANTS
tests_sim_sim_cache_LDADD = csvfs/libcsvcore_mutants.a lib/libbase.a
tests_sim_sim_filelock_SOURCES = \
	tests/sim/sim_filelock.c tests/sim/sim_filelock_coord.c tests/sim/sim_filelock_mount.c \
	tests/sim/sim_filelock_world.h $(sim_main)
tests_sim_sim_filelock_CPPFLAGS = $(AM_CPPFLAGS) -DCSVFS_MUTANTS
tests_sim_sim_filelock_LDADD = csvfs/libcsvcore_mutants.a lib/libbase.a

tests_sim_sim_grant_SOURCES = \
	tests/sim/sim_grant.c tests/sim/sim_grant_coord.c tests/sim/sim_grant_mount.c \
	tests/sim/sim_grant_world.h $(sim_main)
tests_sim_sim_grant_CPPFLAGS = $(AM_CPPFLAGS) -DCSVFS_MUTANTS
tests_sim_sim_grant_LDADD = csvfs/libcsvcore_mutants.a lib/libbase.a

# `make check MUTANTS=` leaves the planted bugs out: under sanitizers they are found no better.
MUTANTS = tests/sim/check-mutants
TESTS += tests/sim/check-sim $(MUTANTS)
EXTRA_DIST += tests/sim/check-sim tests/sim/check-mutants

# ---- models: Spin looks at every state that can be reached
TESTS += doc/models/check-models

# Longer runs: make check-sim SEEDS=5000
SEEDS = 1000
check-sim: $(SIMULATORS)
	SEEDS=$(SEEDS) $(srcdir)/tests/sim/check-sim

check-mutants: $(SIMULATORS)
	$(srcdir)/tests/sim/check-mutants

# ---- a clusterd of the synthetic next version (tests/next), for tests of the upgrade: the whole
# source once more, with one field and one command that the product does not have
NEXT_CPPFLAGS = -DCLUSTERD_TEST_NEXT_VERSION='"tests/next/schema_next.h"'
check_LIBRARIES += tests/next/libcore.a
tests_next_libcore_a_SOURCES = $(core_sources) tests/next/apply_next.c tests/next/schema_next.h
tests_next_libcore_a_CPPFLAGS = $(AM_CPPFLAGS) $(NEXT_CPPFLAGS)
check_PROGRAMS += tests/next/clusterd
tests_next_clusterd_SOURCES = $(clusterd_clusterd_SOURCES) $(clusterd_libedge_a_SOURCES) \
	tests/next/verbs_next.c
tests_next_clusterd_CPPFLAGS = $(clusterd_clusterd_CPPFLAGS) $(SQLITE_CFLAGS) $(XML_CFLAGS) \
	$(NEXT_CPPFLAGS)
tests_next_clusterd_LDADD = tests/next/libcore.a fence/libfence.a lib/libedgebase.a \
	lib/liblock.a lib/libbase.a $(QB_LIBS) $(COROSYNC_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS) \
	$(GNUTLS_LIBS) $(XML_LIBS) -lpthread

# ---- unit tests: one program per module
UNIT_TESTS = \
	tests/unit/test_crc32c tests/unit/test_lease tests/unit/test_lock_core \
	tests/unit/test_msg tests/unit/test_quorum tests/unit/test_repl tests/unit/test_wire \
	tests/unit/test_corosync_conf tests/unit/test_member \
	tests/unit/test_db tests/unit/test_duty tests/unit/test_plan tests/unit/test_store \
	tests/unit/test_store_crash tests/unit/test_hash_check tests/unit/test_repl_disk \
	tests/unit/test_ladder \
	tests/unit/test_fence_agent tests/unit/test_ocf tests/unit/test_run tests/unit/test_listen \
	tests/unit/test_lockspace tests/unit/test_dlm_verdict \
	tests/unit/test_store_past tests/unit/test_text \
	tests/unit/test_record tests/unit/test_header tests/unit/test_lun \
	tests/unit/test_volume_db tests/unit/test_volume_plan tests/unit/test_client \
	tests/unit/test_fuse_mount tests/unit/test_takeover tests/unit/test_keep tests/unit/test_proto tests/unit/test_change \
	tests/unit/test_session tests/unit/test_session_order tests/unit/test_mount_db \
	tests/unit/test_definition tests/unit/test_qmp tests/unit/test_mig \
	tests/unit/test_job_db tests/unit/test_vm_db tests/unit/test_migration_db tests/unit/test_vm_plan \
	tests/unit/test_channel tests/unit/test_stream tests/unit/test_grant tests/unit/test_direct \
	tests/unit/test_filelock tests/unit/test_lockbook tests/unit/test_locks \
	tests/unit/test_server_lock \
	tests/unit/test_stopping tests/unit/test_stuck tests/unit/test_votes \
	tests/unit/test_whatif tests/unit/test_age tests/unit/test_secret tests/unit/test_setting \
	tests/unit/test_capacity tests/unit/test_promise tests/unit/test_cache \
	tests/unit/test_tree tests/unit/test_resource_db tests/unit/test_config \
	tests/unit/test_failover tests/unit/test_force tests/unit/test_history \
	tests/unit/test_claim tests/unit/test_datapath \
	tests/unit/test_leave tests/unit/test_quarantine tests/unit/test_node_state tests/unit/test_totem \
	tests/unit/test_network tests/unit/test_witness \
	tests/unit/test_upgrade tests/unit/test_upgrade_next
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
UNIT_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(QB_CFLAGS) $(XML_CFLAGS)
UNIT_LDADD = clusterd/libcore.a lib/liblock.a lib/libbase.a $(CMOCKA_LIBS)
EDGE_LDADD = clusterd/libedge.a lib/libedgebase.a lib/libbase.a \
	$(CMOCKA_LIBS) $(QB_LIBS) $(XML_LIBS) $(SQLITE_LIBS) -lpthread
VM_LDADD = migrate/libvmedge.a migrate/libmig.a lib/libedgebase.a lib/libbase.a $(CMOCKA_LIBS) \
	$(QB_LIBS) $(JANSSON_LIBS) $(GNUTLS_LIBS) -lpthread

tests_unit_test_crc32c_SOURCES = tests/unit/test_crc32c.c
tests_unit_test_crc32c_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_crc32c_LDADD = $(UNIT_LDADD)
tests_unit_test_lease_SOURCES = tests/unit/test_lease.c
tests_unit_test_lease_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_lease_LDADD = $(UNIT_LDADD)
tests_unit_test_lock_core_SOURCES = tests/unit/test_lock_core.c
tests_unit_test_lock_core_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_lock_core_LDADD = $(UNIT_LDADD)
tests_unit_test_msg_SOURCES = tests/unit/test_msg.c
tests_unit_test_msg_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_msg_LDADD = $(UNIT_LDADD)
tests_unit_test_quorum_SOURCES = tests/unit/test_quorum.c
tests_unit_test_quorum_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_quorum_LDADD = $(UNIT_LDADD)
tests_unit_test_votes_SOURCES = tests/unit/test_votes.c
tests_unit_test_votes_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_votes_LDADD = $(UNIT_LDADD)
tests_unit_test_secret_SOURCES = tests/unit/test_secret.c \
	clusterd/edge/secret_file.c
tests_unit_test_secret_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_secret_LDADD = $(UNIT_LDADD)
tests_unit_test_capacity_SOURCES = tests/unit/test_capacity.c tests/unit/db_fixture.h
tests_unit_test_capacity_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_capacity_LDADD = $(UNIT_LDADD)
tests_unit_test_setting_SOURCES = tests/unit/test_setting.c
tests_unit_test_setting_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_setting_LDADD = $(UNIT_LDADD)
tests_unit_test_upgrade_SOURCES = tests/unit/test_upgrade.c
tests_unit_test_upgrade_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_upgrade_LDADD = $(UNIT_LDADD)
tests_unit_test_upgrade_next_SOURCES = tests/unit/test_upgrade.c
tests_unit_test_upgrade_next_CPPFLAGS = $(UNIT_CPPFLAGS) $(NEXT_CPPFLAGS)
tests_unit_test_upgrade_next_LDADD = tests/next/libcore.a lib/liblock.a lib/libbase.a \
	$(CMOCKA_LIBS)
tests_unit_test_witness_SOURCES = tests/unit/test_witness.c
tests_unit_test_witness_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_witness_LDADD = $(UNIT_LDADD)
tests_unit_test_claim_SOURCES = tests/unit/test_claim.c
tests_unit_test_claim_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_claim_LDADD = $(UNIT_LDADD)
tests_unit_test_failover_SOURCES = tests/unit/test_failover.c
tests_unit_test_failover_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_failover_LDADD = $(UNIT_LDADD)
tests_unit_test_repl_SOURCES = tests/unit/test_repl.c tests/unit/repl_fixture.h
tests_unit_test_repl_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_repl_LDADD = $(UNIT_LDADD)
tests_unit_test_wire_SOURCES = tests/unit/test_wire.c
tests_unit_test_wire_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_wire_LDADD = $(UNIT_LDADD)
tests_unit_test_member_SOURCES = tests/unit/test_member.c tests/unit/volume_fixture.h
tests_unit_test_member_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_member_LDADD = $(UNIT_LDADD)
tests_unit_test_corosync_conf_SOURCES = tests/unit/test_corosync_conf.c
tests_unit_test_corosync_conf_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_corosync_conf_LDADD = $(UNIT_LDADD)
tests_unit_test_db_SOURCES = tests/unit/test_db.c
tests_unit_test_db_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_db_LDADD = $(UNIT_LDADD)
tests_unit_test_duty_SOURCES = tests/unit/test_duty.c
tests_unit_test_duty_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_duty_LDADD = $(UNIT_LDADD)
tests_unit_test_plan_SOURCES = tests/unit/test_plan.c
tests_unit_test_plan_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_plan_LDADD = $(UNIT_LDADD)
tests_unit_test_volume_db_SOURCES = tests/unit/test_volume_db.c tests/unit/volume_fixture.h
tests_unit_test_volume_db_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_volume_db_LDADD = $(UNIT_LDADD)
tests_unit_test_mount_db_SOURCES = tests/unit/test_mount_db.c tests/unit/volume_fixture.h
tests_unit_test_mount_db_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_mount_db_LDADD = $(UNIT_LDADD)
tests_unit_test_stopping_SOURCES = tests/unit/test_stopping.c
tests_unit_test_stopping_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_stopping_LDADD = $(UNIT_LDADD)
tests_unit_test_leave_SOURCES = \
	tests/unit/test_leave.c tests/unit/vm_fixture.h tests/unit/volume_fixture.h
tests_unit_test_leave_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_leave_LDADD = $(UNIT_LDADD)
tests_unit_test_quarantine_SOURCES = tests/unit/test_quarantine.c tests/unit/volume_fixture.h
tests_unit_test_quarantine_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_quarantine_LDADD = $(UNIT_LDADD)
tests_unit_test_node_state_SOURCES = tests/unit/test_node_state.c tests/unit/volume_fixture.h
tests_unit_test_node_state_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_node_state_LDADD = $(UNIT_LDADD)
tests_unit_test_totem_SOURCES = tests/unit/test_totem.c
tests_unit_test_totem_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_totem_LDADD = $(UNIT_LDADD)
tests_unit_test_network_SOURCES = tests/unit/test_network.c tests/unit/volume_fixture.h
tests_unit_test_network_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_network_LDADD = $(UNIT_LDADD)
tests_unit_test_tree_SOURCES = tests/unit/test_tree.c
tests_unit_test_tree_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_tree_LDADD = $(UNIT_LDADD)
tests_unit_test_resource_db_SOURCES = tests/unit/test_resource_db.c tests/unit/volume_fixture.h
tests_unit_test_resource_db_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_resource_db_LDADD = $(UNIT_LDADD)
tests_unit_test_age_SOURCES = tests/unit/test_age.c tests/unit/volume_fixture.h
tests_unit_test_age_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_age_LDADD = $(UNIT_LDADD)
tests_unit_test_stuck_SOURCES = tests/unit/test_stuck.c tests/unit/volume_fixture.h
tests_unit_test_stuck_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_stuck_LDADD = $(UNIT_LDADD)
tests_unit_test_volume_plan_SOURCES = tests/unit/test_volume_plan.c tests/unit/volume_fixture.h
tests_unit_test_volume_plan_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_volume_plan_LDADD = $(UNIT_LDADD)
tests_unit_test_config_SOURCES = tests/unit/test_config.c
tests_unit_test_config_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_config_LDADD = $(UNIT_LDADD)
tests_unit_test_whatif_SOURCES = \
	tests/unit/test_whatif.c tests/unit/vm_fixture.h tests/unit/volume_fixture.h
tests_unit_test_whatif_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_whatif_LDADD = $(UNIT_LDADD)
tests_unit_test_job_db_SOURCES = \
	tests/unit/test_job_db.c tests/unit/vm_fixture.h tests/unit/volume_fixture.h
tests_unit_test_job_db_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_job_db_LDADD = $(UNIT_LDADD)
tests_unit_test_vm_db_SOURCES = \
	tests/unit/test_vm_db.c tests/unit/vm_fixture.h tests/unit/volume_fixture.h
tests_unit_test_vm_db_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_vm_db_LDADD = $(UNIT_LDADD)
tests_unit_test_migration_db_SOURCES = \
	tests/unit/test_migration_db.c tests/unit/vm_fixture.h tests/unit/volume_fixture.h
tests_unit_test_migration_db_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_migration_db_LDADD = $(UNIT_LDADD)
tests_unit_test_vm_plan_SOURCES = \
	tests/unit/test_vm_plan.c tests/unit/vm_fixture.h tests/unit/volume_fixture.h
tests_unit_test_vm_plan_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_vm_plan_LDADD = $(UNIT_LDADD)
tests_unit_test_force_SOURCES = tests/unit/test_force.c
tests_unit_test_force_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_force_LDADD = $(UNIT_LDADD)
tests_unit_test_history_SOURCES = tests/unit/test_history.c
tests_unit_test_history_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_history_LDADD = $(UNIT_LDADD)
tests_unit_test_store_SOURCES = tests/unit/test_store.c
tests_unit_test_store_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_store_LDADD = clusterd/libedge.a $(UNIT_LDADD) $(QB_LIBS) $(SQLITE_LIBS) \
	$(XML_LIBS) $(JANSSON_LIBS) lib/libedgebase.a -lpthread
tests_unit_test_hash_check_SOURCES = tests/unit/test_hash_check.c
tests_unit_test_hash_check_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_hash_check_LDADD = $(UNIT_LDADD)
tests_unit_test_repl_disk_SOURCES = tests/unit/test_repl_disk.c tests/unit/repl_fixture.h
tests_unit_test_repl_disk_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_repl_disk_LDADD = $(UNIT_LDADD)
tests_unit_test_store_crash_SOURCES = \
	tests/unit/test_store_crash.c tests/unit/crash_vfs.c tests/unit/crash_vfs.h
tests_unit_test_store_crash_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_store_crash_LDADD = $(tests_unit_test_store_LDADD)
tests_unit_test_ladder_SOURCES = tests/unit/test_ladder.c
tests_unit_test_ladder_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_ladder_LDADD = fence/libfence.a $(UNIT_LDADD)
tests_unit_test_fence_agent_SOURCES = tests/unit/test_fence_agent.c
tests_unit_test_fence_agent_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_fence_agent_LDADD = $(EDGE_LDADD)
tests_unit_test_mig_SOURCES = tests/unit/test_mig.c
tests_unit_test_mig_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_mig_LDADD = migrate/libmig.a $(UNIT_LDADD)
tests_unit_test_ocf_SOURCES = tests/unit/test_ocf.c
tests_unit_test_ocf_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_ocf_LDADD = $(EDGE_LDADD)
tests_unit_test_header_SOURCES = tests/unit/test_header.c
tests_unit_test_header_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_header_LDADD = csvfs/libcsvcore.a $(UNIT_LDADD)
tests_unit_test_lun_SOURCES = tests/unit/test_lun.c
tests_unit_test_lun_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_lun_LDADD = $(LUN_LDADD) $(CMOCKA_LIBS)
# The cases for every driver of locks; the DLM passes them in guests (tests/guests/dlm_conform.c).
conform_cases = tests/conform/cases.c tests/conform/conform.h
tests_unit_test_lockspace_SOURCES = tests/unit/test_lockspace.c $(conform_cases) \
	tests/conform/core_driver.c tests/conform/core_driver.h
tests_unit_test_lockspace_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_lockspace_LDADD = lib/liblock.a lib/libbase.a $(CMOCKA_LIBS) $(QB_LIBS)
tests_unit_test_dlm_verdict_SOURCES = tests/unit/test_dlm_verdict.c \
	clusterd/cli/dlm_verdict.c clusterd/cli/dlm_verdict.h
tests_unit_test_dlm_verdict_CPPFLAGS = $(UNIT_CPPFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_dlm_verdict_LDADD = $(CMOCKA_LIBS) $(JANSSON_LIBS)
EXTRA_DIST += tests/conform/remote.c tests/conform/remote.h tests/guests/dlm_conform.c
if HAVE_DLM
check_PROGRAMS += tests/guests/dlm_conform
tests_guests_dlm_conform_SOURCES = tests/guests/dlm_conform.c $(conform_cases) \
	tests/conform/remote.c tests/conform/remote.h
tests_guests_dlm_conform_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_guests_dlm_conform_LDADD = lib/liblockdlm.a lib/liblock.a lib/libbase.a $(CMOCKA_LIBS) \
	$(QB_LIBS) $(DLM_LIBS) -lpthread
endif
tests_unit_test_run_SOURCES = tests/unit/test_run.c
tests_unit_test_run_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_run_LDADD = $(EDGE_LDADD)
tests_unit_test_store_past_SOURCES = tests/unit/test_store_past.c
tests_unit_test_store_past_CPPFLAGS = $(UNIT_CPPFLAGS) $(SQLITE_CFLAGS)
tests_unit_test_store_past_LDADD = $(tests_unit_test_store_LDADD)
tests_unit_test_text_SOURCES = tests/unit/test_text.c
tests_unit_test_text_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_text_LDADD = $(EDGE_LDADD)
tests_unit_test_listen_SOURCES = tests/unit/test_listen.c
tests_unit_test_listen_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_listen_LDADD = lib/libedgebase.a lib/libbase.a $(CMOCKA_LIBS)
tests_unit_test_record_SOURCES = tests/unit/test_record.c
tests_unit_test_record_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_record_LDADD = csvfs/libcsvcore.a $(UNIT_LDADD)
UNIT_TESTS += tests/unit/test_failpoint
tests_unit_test_failpoint_SOURCES = tests/unit/test_failpoint.c
tests_unit_test_failpoint_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_failpoint_LDADD = csvfs/libcsvedge.a csvfs/libcsvcore.a $(UNIT_LDADD) -lpthread

UNIT_TESTS += tests/unit/test_trace
tests_unit_test_trace_SOURCES = tests/unit/test_trace.c
tests_unit_test_trace_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_trace_LDADD = csvfs/libcsvedge.a csvfs/libcsvcore.a $(UNIT_LDADD) -lpthread

# Codecs
UNIT_TESTS += tests/unit/test_links tests/unit/test_uuid tests/unit/test_golden
tests_unit_test_links_SOURCES = tests/unit/test_links.c
tests_unit_test_links_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_links_LDADD = lib/libbase.a $(CMOCKA_LIBS)
tests_unit_test_uuid_SOURCES = tests/unit/test_uuid.c
tests_unit_test_uuid_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_uuid_LDADD = lib/libbase.a $(CMOCKA_LIBS)
tests_unit_test_golden_SOURCES = tests/unit/test_golden.c
tests_unit_test_golden_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_golden_LDADD = csvfs/libcsvcore.a migrate/libmig.a lib/libbase.a $(CMOCKA_LIBS)

# ---- scenarios of the planner: what it decides, and why (doc/policy.md)
check_PROGRAMS += tests/plan/run_plan
TESTS += tests/plan/run_plan tests/plan/check-faults
EXTRA_DIST += tests/plan/check-faults
tests_plan_run_plan_SOURCES = tests/plan/run_plan.c $(scenario_sources)
tests_plan_run_plan_LDADD = clusterd/libcore.a lib/liblock.a lib/libbase.a

# Root only; skipped elsewhere, and not for valgrind.
ROOT_TESTS = tests/unit/test_local tests/unit/test_cgroup tests/unit/test_mountinfo
tests_unit_test_local_SOURCES = tests/unit/test_local.c
tests_unit_test_local_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_local_LDADD = clusterd/libedge.a lib/libedgebase.a lib/libbase.a $(CMOCKA_LIBS) $(QB_LIBS)
tests_unit_test_cgroup_SOURCES = tests/unit/test_cgroup.c
tests_unit_test_cgroup_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cgroup_LDADD = lib/libedgebase.a lib/libbase.a $(CMOCKA_LIBS)
tests_unit_test_mountinfo_SOURCES = tests/unit/test_mountinfo.c
tests_unit_test_mountinfo_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_mountinfo_LDADD = lib/libedgebase.a lib/libbase.a $(CMOCKA_LIBS)

# The backing, compiled again with stops for crash tests. Root only; skipped elsewhere, and not
# for valgrind, which does not know what it asks of XFS.
ROOT_TESTS += \
	tests/unit/test_backing tests/unit/test_backing_opens tests/unit/test_backing_crash \
	tests/unit/test_backing_crash_data tests/unit/test_backing_lost tests/unit/test_backing_cow \
	tests/unit/test_backing_promise
check_PROGRAMS += $(ROOT_TESTS)
TESTS += $(ROOT_TESTS)
check_LIBRARIES += csvfs/libbacking_inject.a
csvfs_libbacking_inject_a_SOURCES = $(csvfs_backing_sources) \
	tests/unit/backing_crash.c tests/unit/backing_crash.h \
	tests/unit/backing_fixture.c tests/unit/backing_fixture.h
csvfs_libbacking_inject_a_CPPFLAGS = $(UNIT_CPPFLAGS) -DCSVFS_INJECT
BACKING_LDADD = csvfs/libbacking_inject.a csvfs/libcsvcore.a $(UNIT_LDADD) -lpthread
tests_unit_test_backing_SOURCES = tests/unit/test_backing.c tests/unit/backing_fixture.h
tests_unit_test_backing_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_backing_LDADD = $(BACKING_LDADD)
tests_unit_test_backing_opens_SOURCES = tests/unit/test_backing_opens.c tests/unit/backing_fixture.h
tests_unit_test_backing_opens_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_backing_opens_LDADD = $(BACKING_LDADD)
tests_unit_test_backing_promise_SOURCES = tests/unit/test_backing_promise.c tests/unit/backing_fixture.h
tests_unit_test_backing_promise_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_backing_promise_LDADD = $(BACKING_LDADD)
tests_unit_test_backing_cow_SOURCES = tests/unit/test_backing_cow.c tests/unit/backing_fixture.h
tests_unit_test_backing_cow_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_backing_cow_LDADD = $(BACKING_LDADD)
tests_unit_test_backing_lost_SOURCES = tests/unit/test_backing_lost.c tests/unit/backing_fixture.h
tests_unit_test_backing_lost_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_backing_lost_LDFLAGS = -Wl,--wrap=fsync,--wrap=fdatasync,--wrap=pwritev2
tests_unit_test_backing_lost_LDADD = $(BACKING_LDADD)
tests_unit_test_backing_crash_SOURCES = tests/unit/test_backing_crash.c
tests_unit_test_backing_crash_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_backing_crash_LDADD = $(BACKING_LDADD)
tests_unit_test_backing_crash_data_SOURCES = tests/unit/test_backing_crash_data.c
tests_unit_test_backing_crash_data_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_backing_crash_data_LDADD = $(BACKING_LDADD)

# csvfs
CSV_CPPFLAGS = $(UNIT_CPPFLAGS) $(GNUTLS_CFLAGS)
CSV_LDADD = csvfs/libcsvedge.a csvfs/libcsvcore.a lib/libedgebase.a lib/libbase.a \
	$(CMOCKA_LIBS) $(FUSE_LIBS) $(GNUTLS_LIBS) -lpthread
tests_unit_test_server_lock_SOURCES = tests/unit/test_server_lock.c
tests_unit_test_server_lock_CPPFLAGS = $(CSV_CPPFLAGS)
tests_unit_test_server_lock_LDADD = $(CSV_LDADD)

tests_unit_test_locks_SOURCES = \
	tests/unit/test_locks.c tests/unit/client_fixture.h tests/unit/csv_server.h
tests_unit_test_locks_CPPFLAGS = $(CSV_CPPFLAGS)
tests_unit_test_locks_LDADD = $(CSV_LDADD)

tests_unit_test_client_SOURCES = \
	tests/unit/test_client.c tests/unit/client_fixture.h tests/unit/csv_server.h
tests_unit_test_client_CPPFLAGS = $(CSV_CPPFLAGS)
tests_unit_test_client_LDADD = $(CSV_LDADD)
tests_unit_test_fuse_mount_SOURCES = \
	tests/unit/test_fuse_mount.c tests/unit/mount_fixture.h tests/unit/csv_memfs.h \
	tests/unit/csv_server.h
tests_unit_test_fuse_mount_CPPFLAGS = $(CSV_CPPFLAGS)
tests_unit_test_fuse_mount_LDADD = $(CSV_LDADD)
tests_unit_test_takeover_SOURCES = \
	tests/unit/test_takeover.c tests/unit/mount_fixture.h tests/unit/csv_memfs.h \
	tests/unit/csv_server.h
tests_unit_test_takeover_CPPFLAGS = $(CSV_CPPFLAGS)
tests_unit_test_takeover_LDADD = $(CSV_LDADD)
# Flushes of the disk end as the test says, and allocations are counted.
tests_unit_test_datapath_SOURCES = \
	tests/unit/test_datapath.c tests/unit/client_fixture.h tests/unit/csv_server.h
tests_unit_test_datapath_CPPFLAGS = $(CSV_CPPFLAGS)
tests_unit_test_datapath_LDFLAGS = -Wl,--wrap=fdatasync,--wrap=malloc,--wrap=calloc
tests_unit_test_datapath_LDADD = $(CSV_LDADD)
tests_unit_test_proto_SOURCES = tests/unit/test_proto.c
tests_unit_test_proto_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_proto_LDADD = csvfs/libcsvcore.a lib/libbase.a $(CMOCKA_LIBS)
tests_unit_test_change_SOURCES = tests/unit/test_change.c
tests_unit_test_change_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_change_LDADD = csvfs/libcsvcore.a $(UNIT_LDADD)
tests_unit_test_promise_SOURCES = tests/unit/test_promise.c
tests_unit_test_promise_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_promise_LDADD = csvfs/libcsvcore.a $(UNIT_LDADD)
tests_unit_test_cache_SOURCES = tests/unit/test_cache.c
tests_unit_test_cache_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cache_LDADD = csvfs/libcsvcore.a $(UNIT_LDADD)
tests_unit_test_filelock_SOURCES = tests/unit/test_filelock.c
tests_unit_test_filelock_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_filelock_LDADD = csvfs/libcsvcore.a $(UNIT_LDADD)

tests_unit_test_keep_SOURCES = tests/unit/test_keep.c
tests_unit_test_keep_CPPFLAGS = $(CSV_CPPFLAGS)
tests_unit_test_keep_LDADD = $(CSV_LDADD)
tests_unit_test_lockbook_SOURCES = tests/unit/test_lockbook.c
tests_unit_test_lockbook_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_lockbook_LDADD = csvfs/libcsvcore.a $(UNIT_LDADD)

tests_unit_test_grant_SOURCES = tests/unit/test_grant.c
tests_unit_test_grant_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_grant_LDADD = csvfs/libcsvcore.a $(UNIT_LDADD)
tests_unit_test_direct_SOURCES = tests/unit/test_direct.c
tests_unit_test_direct_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_direct_LDADD = csvfs/libcsvcore.a $(UNIT_LDADD)
tests_unit_test_session_SOURCES = tests/unit/test_session.c tests/unit/session_fixture.h
tests_unit_test_session_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_session_LDADD = csvfs/libcsvcore.a $(UNIT_LDADD)
tests_unit_test_session_order_SOURCES = tests/unit/test_session_order.c tests/unit/session_fixture.h
tests_unit_test_session_order_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_session_order_LDADD = csvfs/libcsvcore.a $(UNIT_LDADD)
tests_unit_test_channel_SOURCES = tests/unit/test_channel.c
tests_unit_test_channel_CPPFLAGS = $(UNIT_CPPFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_channel_LDADD = $(VM_LDADD)
tests_unit_test_stream_SOURCES = tests/unit/test_stream.c
tests_unit_test_stream_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_stream_LDADD = $(VM_LDADD)
tests_unit_test_definition_SOURCES = tests/unit/test_definition.c
tests_unit_test_definition_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_definition_LDADD = $(VM_LDADD)
tests_unit_test_qmp_SOURCES = tests/unit/test_qmp.c
tests_unit_test_qmp_CPPFLAGS = $(UNIT_CPPFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_qmp_LDADD = $(VM_LDADD)

# ---- decoders against their corpus
FUZZ_REPLAYS = \
	tests/fuzz/fuzz_csv tests/fuzz/fuzz_disk tests/fuzz/fuzz_links tests/fuzz/fuzz_lock_snapshot \
	tests/fuzz/fuzz_mig tests/fuzz/fuzz_msg
check_PROGRAMS += $(FUZZ_REPLAYS)
TESTS += $(FUZZ_REPLAYS)
tests_fuzz_fuzz_csv_SOURCES = tests/fuzz/fuzz_csv.c tests/fuzz/replay_main.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_csv_LDADD = csvfs/libcsvcore.a lib/libbase.a
tests_fuzz_fuzz_disk_SOURCES = tests/fuzz/fuzz_disk.c tests/fuzz/replay_main.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_disk_LDADD = csvfs/libcsvcore.a lib/libbase.a
tests_fuzz_fuzz_links_SOURCES = tests/fuzz/fuzz_links.c tests/fuzz/replay_main.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_links_LDADD = lib/libbase.a
tests_fuzz_fuzz_mig_SOURCES = tests/fuzz/fuzz_mig.c tests/fuzz/replay_main.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_mig_LDADD = migrate/libmig.a lib/libbase.a
tests_fuzz_fuzz_msg_SOURCES = tests/fuzz/fuzz_msg.c tests/fuzz/replay_main.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_msg_LDADD = clusterd/libcore.a lib/liblock.a lib/libbase.a
tests_fuzz_fuzz_lock_snapshot_SOURCES = \
	tests/fuzz/fuzz_lock_snapshot.c tests/fuzz/replay_main.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_lock_snapshot_LDADD = lib/liblock.a lib/libbase.a

# The same sources with libFuzzer of clang, all cores linked to each; FUZZ_SECONDS for each target.
# What it finds stays in build/fuzz, and belongs into the corpus as found-<hash>.
FUZZ_CC = clang
FUZZ_SECONDS = 60
FUZZ_FLAGS = -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
FUZZ_CORES = $(filter %.c,$(lib_libbase_a_SOURCES) $(lib_liblock_a_SOURCES) $(core_sources) \
	$(csvfs_core_sources) $(mig_sources))
fuzz:
	rm -rf fuzz/cores && $(MKDIR_P) fuzz/cores
	for c in $(FUZZ_CORES); do \
		$(FUZZ_CC) $(FUZZ_FLAGS) $(DEFS) $(AM_CPPFLAGS) -c $(srcdir)/$$c \
			-o fuzz/cores/$$(echo $$c | tr / -).o || exit 1; \
	done
	for t in $(FUZZ_REPLAYS); do \
		name=$${t##*/} && mkdir -p fuzz/$$name.new && \
		$(FUZZ_CC) $(FUZZ_FLAGS) $(DEFS) $(AM_CPPFLAGS) -o fuzz/$$name $(srcdir)/$$t.c \
			fuzz/cores/*.o && \
		fuzz/$$name -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=fuzz/$$name- \
			fuzz/$$name.new $(srcdir)/tests/fuzz/corpus/$$name || exit 1; \
	done

.PHONY: fuzz

EXTRA_DIST += tests/golden tests/fuzz/corpus tests/agents tests/fence-agents tests/lint tests/lab \
	tests/live tests/docs doc

# ---- what the user reads says what the code does
check-docs: all
	$(srcdir)/tests/docs/check-docs $(srcdir) .

# ---- on a lab of real nodes; root only. CLUSTERD_LIVE=expression selects tests
check_PROGRAMS += tests/live/lun_tool
tests_live_lun_tool_SOURCES = tests/live/lun_tool.c
tests_live_lun_tool_LDADD = $(LUN_LDADD)
# Whose forcing of the disk can be left out.
check_PROGRAMS += tests/live/backing_tool
tests_live_backing_tool_SOURCES = tests/live/backing_tool.c
tests_live_backing_tool_LDFLAGS = -Wl,--wrap=fsync,--wrap=fdatasync,--wrap=pwritev2
tests_live_backing_tool_LDADD = csvfs/libcsvedge.a csvfs/libcsvcore.a lib/libedgebase.a \
	lib/libbase.a -lpthread
check_PROGRAMS += tests/lab/lund
tests_lab_lund_SOURCES = \
	tests/lab/lund.c tests/lab/lund.h tests/lab/lund_fuse.c tests/lab/lund_io.c
tests_lab_lund_CPPFLAGS = $(AM_CPPFLAGS) $(FUSE_CFLAGS)
tests_lab_lund_LDADD = lib/libbase.a $(FUSE_LIBS) -lpthread
# Most of it is waiting: four files at a time, each of whose tests has a lab of its own.
LIVE_JOBS = 4
check-live: all tests/lab/lund tests/live/backing_tool tests/live/lun_tool tests/guests/witness.elf tests/next/clusterd
	CLUSTERD_BUILD=$(abs_top_builddir) /usr/bin/python3 -m pytest -q -p no:cacheprovider \
		-n $(LIVE_JOBS) --dist loadfile --durations=25 --junitxml=live.xml \
		$(abs_top_srcdir)/tests/live $(LIVE_FLAGS)
# Random faults, judged by all oracles: make campaign STEPS=2000 SEED=7 (doc/campaign.md)
SEED = 1
STEPS = 200
campaign: all tests/lab/lund tests/guests/witness.elf
	CLUSTERD_BUILD=$(abs_top_builddir) $(srcdir)/tests/live/campaign --seed $(SEED) \
		--steps $(STEPS) $(CAMPAIGN_FLAGS)

# Without the tests marked `long`: other tests of the same files look at the same, less often.
check-live-short:
	$(MAKE) check-live LIVE_FLAGS='-m "not long" $(LIVE_FLAGS)'

golden-update: tests/unit/test_upgrade tests/unit/test_upgrade_next tests/unit/test_msg tests/unit/test_golden tests/unit/test_definition \
		tests/plan/run_plan
	srcdir=$(srcdir) tests/plan/run_plan --update
	srcdir=$(srcdir) tests/unit/test_upgrade_next --golden-update
	srcdir=$(srcdir) tests/unit/test_upgrade --golden-update
	srcdir=$(srcdir) tests/unit/test_msg --golden-update
	srcdir=$(srcdir) tests/unit/test_golden --golden-update
	srcdir=$(srcdir) tests/unit/test_definition --golden-update

check-valgrind: $(check_PROGRAMS)
	for t in $(UNIT_TESTS); do \
		srcdir=$(srcdir) valgrind -q --error-exitcode=1 --leak-check=full \
			--child-silent-after-fork=yes ./$$t || exit 1; \
	done

include tests/guests/local.mk
