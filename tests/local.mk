# SPDX-License-Identifier: GPL-2.0-or-later
# ---- simulators: link the cores compiled with mutants
check_PROGRAMS += tests/sim/sim_repl tests/sim/sim_lock tests/sim/sim_ladder
tests_sim_sim_repl_SOURCES = tests/sim/sim_repl.c tests/sim/sim_world.c tests/sim/sim_world.h
tests_sim_sim_repl_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
tests_sim_sim_repl_LDADD = clusterd/libcore_mutants.a lib/libbase.a

tests_sim_sim_lock_SOURCES = tests/sim/sim_lock.c
tests_sim_sim_lock_LDADD = lib/liblock.a lib/libbase.a

tests_sim_sim_ladder_SOURCES = \
	tests/sim/sim_ladder.c tests/sim/sim_ladder_world.c tests/sim/sim_ladder_world.h
tests_sim_sim_ladder_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
tests_sim_sim_ladder_LDADD = fence/libfence_mutants.a lib/libbase.a

check_PROGRAMS += tests/sim/sim_mig
tests_sim_sim_mig_SOURCES = \
	tests/sim/sim_mig.c tests/sim/sim_mig_cluster.c tests/sim/sim_mig_qemu.c \
	tests/sim/sim_mig_world.c tests/sim/sim_mig_world.h
tests_sim_sim_mig_CPPFLAGS = $(AM_CPPFLAGS) -DMIGRATE_MUTANTS
tests_sim_sim_mig_LDADD = migrate/libmig_mutants.a lib/libbase.a

TESTS += tests/sim/check-sim tests/sim/check-mutants
EXTRA_DIST += tests/sim/check-sim tests/sim/check-mutants

# Longer runs: make check-sim SEEDS=5000
SEEDS = 1000
check-sim: tests/sim/sim_repl tests/sim/sim_lock tests/sim/sim_ladder tests/sim/sim_mig
	SEEDS=$(SEEDS) $(srcdir)/tests/sim/check-sim

check-mutants: tests/sim/sim_repl tests/sim/sim_ladder tests/sim/sim_mig
	$(srcdir)/tests/sim/check-mutants

# ---- unit tests: one program per module
UNIT_TESTS = \
	tests/unit/test_crc32c tests/unit/test_lease tests/unit/test_lock_core \
	tests/unit/test_msg tests/unit/test_quorum tests/unit/test_repl tests/unit/test_wire \
	tests/unit/test_db tests/unit/test_plan tests/unit/test_store \
	tests/unit/test_ladder tests/unit/test_fence_agent tests/unit/test_ocf tests/unit/test_run \
	tests/unit/test_channel tests/unit/test_definition tests/unit/test_qmp tests/unit/test_mig
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
tests_unit_test_repl_SOURCES = tests/unit/test_repl.c tests/unit/repl_fixture.h
tests_unit_test_repl_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_repl_LDADD = $(UNIT_LDADD)
tests_unit_test_wire_SOURCES = tests/unit/test_wire.c
tests_unit_test_wire_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_wire_LDADD = $(UNIT_LDADD)
tests_unit_test_db_SOURCES = tests/unit/test_db.c
tests_unit_test_db_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_db_LDADD = $(UNIT_LDADD)
tests_unit_test_plan_SOURCES = tests/unit/test_plan.c
tests_unit_test_plan_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_plan_LDADD = $(UNIT_LDADD)
tests_unit_test_store_SOURCES = tests/unit/test_store.c
tests_unit_test_store_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_store_LDADD = clusterd/libedge.a $(UNIT_LDADD) $(QB_LIBS) $(SQLITE_LIBS) \
	$(XML_LIBS) lib/libedgebase.a -lpthread
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
tests_unit_test_run_SOURCES = tests/unit/test_run.c
tests_unit_test_run_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_run_LDADD = $(EDGE_LDADD)
tests_unit_test_channel_SOURCES = tests/unit/test_channel.c
tests_unit_test_channel_CPPFLAGS = $(UNIT_CPPFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_channel_LDADD = $(VM_LDADD)
tests_unit_test_definition_SOURCES = tests/unit/test_definition.c
tests_unit_test_definition_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_definition_LDADD = $(VM_LDADD)
tests_unit_test_qmp_SOURCES = tests/unit/test_qmp.c
tests_unit_test_qmp_CPPFLAGS = $(UNIT_CPPFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_qmp_LDADD = $(VM_LDADD)

# ---- decoders against their corpus; make fuzz builds the same sources for libFuzzer
FUZZ_REPLAYS = tests/fuzz/fuzz_msg tests/fuzz/fuzz_lock_snapshot
check_PROGRAMS += $(FUZZ_REPLAYS)
TESTS += $(FUZZ_REPLAYS)
tests_fuzz_fuzz_msg_SOURCES = tests/fuzz/fuzz_msg.c tests/fuzz/replay_main.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_msg_LDADD = clusterd/libcore.a lib/liblock.a lib/libbase.a
tests_fuzz_fuzz_lock_snapshot_SOURCES = \
	tests/fuzz/fuzz_lock_snapshot.c tests/fuzz/replay_main.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_lock_snapshot_LDADD = lib/liblock.a lib/libbase.a

EXTRA_DIST += tests/golden tests/fuzz/corpus tests/agents tests/fence-agents tests/lint tests/lab \
	tests/live tests/docs doc

# ---- what the user reads says what the code does
check-docs: all
	$(srcdir)/tests/docs/check-docs $(srcdir) .

# ---- on a lab of real nodes; root only. CLUSTERD_LIVE=expression selects tests
check-live: all tests/guests/witness.elf
	CLUSTERD_BUILD=$(abs_top_builddir) /usr/bin/python3 -m pytest -q -p no:cacheprovider \
		$(abs_top_srcdir)/tests/live $(LIVE_FLAGS)

golden-update: tests/unit/test_msg tests/unit/test_definition
	srcdir=$(srcdir) tests/unit/test_msg --golden-update
	srcdir=$(srcdir) tests/unit/test_definition --golden-update

check-valgrind: $(check_PROGRAMS)
	for t in $(UNIT_TESTS); do \
		srcdir=$(srcdir) valgrind -q --error-exitcode=1 --leak-check=full \
			--child-silent-after-fork=yes ./$$t || exit 1; \
	done

include tests/guests/local.mk
