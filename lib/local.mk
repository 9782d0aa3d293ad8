# SPDX-License-Identifier: GPL-2.0-or-later
# lib/: knows nothing of clusters. libbase is pure and may be linked into cores.
noinst_LIBRARIES += lib/libbase.a
lib_libbase_a_SOURCES = \
	lib/banned.h lib/cleanup.h lib/hash.h lib/prng.h \
	lib/crc32c.c lib/crc32c.h \
	lib/csv_link.c lib/csv_link.h \
	lib/must.c lib/must.h \
	lib/uuid.c lib/uuid.h \
	lib/vm_link.c lib/vm_link.h \
	lib/wire.c lib/wire.h

# The DLM model: pure, used by clusterd (cluster locks) and csvfsd (file locks).
noinst_LIBRARIES += lib/liblock.a
lib_liblock_a_SOURCES = \
	lib/lock_core.c lib/lock_core.h lib/lock_core_impl.h \
	lib/lock_core_query.c lib/lock_core_snapshot.c lib/lock_core_table.c \
	lib/lockspace.h

# What edges share: child processes on the loop, TLS between daemons.
noinst_LIBRARIES += lib/libedgebase.a
lib_libedgebase_a_SOURCES = \
	lib/cgroup.c lib/cgroup.h \
	lib/fence_agent.c lib/fence_agent.h lib/fence_agent_meta.c \
	lib/listen.c lib/listen.h \
	lib/mountinfo.c lib/mountinfo.h \
	lib/run.c lib/run.h lib/run_child.c lib/run_child.h lib/tls.c lib/tls.h
lib_libedgebase_a_CPPFLAGS = $(AM_CPPFLAGS) $(QB_CFLAGS) $(GNUTLS_CFLAGS) $(XML_CFLAGS)

# Locks in the kernel's DLM: nothing of ours links it yet but what tests it in guests.
EXTRA_DIST += lib/lockspace_dlm.c lib/lockspace_dlm.h
if HAVE_DLM
noinst_LIBRARIES += lib/liblockdlm.a
lib_liblockdlm_a_SOURCES = lib/lockspace_dlm.c lib/lockspace_dlm.h
lib_liblockdlm_a_CPPFLAGS = $(AM_CPPFLAGS) $(QB_CFLAGS) $(DLM_CFLAGS)
endif
