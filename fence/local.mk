# SPDX-License-Identifier: GPL-2.0-or-later
# fence/: the ladder, pure. The running of fence-agents programs is lib/fence_agent.
fence_sources = \
	fence/core/fence_cap.c fence/core/fence_cap.h \
	fence/core/ladder.c fence/core/ladder.h fence/core/ladder_impl.h \
	fence/core/ladder_level.c fence/core/ladder_snapshot.c

noinst_LIBRARIES += fence/libfence.a
fence_libfence_a_SOURCES = $(fence_sources)

check_LIBRARIES += fence/libfence_mutants.a
fence_libfence_mutants_a_SOURCES = $(fence_sources)
fence_libfence_mutants_a_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
