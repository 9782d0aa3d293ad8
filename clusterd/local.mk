# clusterd/core: pure decisions. Compiled twice: as it is, and with the planted bugs that the
# simulator has to find.
core_sources = \
	clusterd/core/lease.c clusterd/core/lease.h \
	clusterd/core/msg.c clusterd/core/msg.h \
	clusterd/core/quorum.c clusterd/core/quorum.h \
	clusterd/core/repl.c clusterd/core/repl.h clusterd/core/repl_internal.h \
	clusterd/core/repl_log.c clusterd/core/repl_view.c \
	clusterd/core/types.h

noinst_LIBRARIES += clusterd/libcore.a
clusterd_libcore_a_SOURCES = $(core_sources)

check_LIBRARIES += clusterd/libcore_mutants.a
clusterd_libcore_mutants_a_SOURCES = $(core_sources)
clusterd_libcore_mutants_a_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS
