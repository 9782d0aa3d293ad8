# ---- simulators: link the cores compiled with mutants
check_PROGRAMS += tests/sim/sim_repl
tests_sim_sim_repl_SOURCES = tests/sim/sim_repl.c tests/sim/sim_world.c tests/sim/sim_world.h
tests_sim_sim_repl_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
tests_sim_sim_repl_LDADD = clusterd/libcore_mutants.a lib/libbase.a

TESTS += tests/sim/check-sim tests/sim/check-mutants
EXTRA_DIST += tests/sim/check-sim tests/sim/check-mutants

# Longer runs: make check-sim SEEDS=5000
SEEDS = 1000
check-sim: tests/sim/sim_repl
	SEEDS=$(SEEDS) $(srcdir)/tests/sim/check-sim

check-mutants: tests/sim/sim_repl
	$(srcdir)/tests/sim/check-mutants

check_PROGRAMS += tests/sim/sim_lock
tests_sim_sim_lock_SOURCES = tests/sim/sim_lock.c
tests_sim_sim_lock_LDADD = lib/liblock.a lib/libbase.a

# ---- unit tests: one program per module
UNIT_TESTS = tests/unit/test_lock_core
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
UNIT_LDADD = clusterd/libcore.a lib/liblock.a lib/libbase.a $(CMOCKA_LIBS)

tests_unit_test_lock_core_SOURCES = tests/unit/test_lock_core.c
tests_unit_test_lock_core_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_lock_core_LDADD = $(UNIT_LDADD)
