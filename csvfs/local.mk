# SPDX-License-Identifier: GPL-2.0-or-later
# csvfs/core: pure decisions and the codec. Compiled twice, like clusterd/core.
csvfs_core_sources = \
	csvfs/core/change.c csvfs/core/change.h \
	csvfs/core/proto.c csvfs/core/proto.h \
	csvfs/core/record.c csvfs/core/record.h \
	csvfs/core/session.c csvfs/core/session.h

noinst_LIBRARIES += csvfs/libcsvcore.a
csvfs_libcsvcore_a_SOURCES = $(csvfs_core_sources)

check_LIBRARIES += csvfs/libcsvcore_mutants.a
csvfs_libcsvcore_mutants_a_SOURCES = $(csvfs_core_sources)
csvfs_libcsvcore_mutants_a_CPPFLAGS = $(AM_CPPFLAGS) -DCSVFS_MUTANTS

# csvfs/edge: I/O, threads. tests/local.mk compiles the backing again, with stops for crash tests.
csvfs_backing_sources = \
	csvfs/edge/backing.c csvfs/edge/backing.h csvfs/edge/backing_impl.h \
	csvfs/edge/backing_attr.c csvfs/edge/backing_change.c csvfs/edge/backing_dir.c \
	csvfs/edge/backing_inode.c csvfs/edge/backing_io.c csvfs/edge/backing_names.c \
	csvfs/edge/backing_op.c csvfs/edge/backing_opens.c csvfs/edge/backing_session.c \
	csvfs/edge/backing_undo.c

noinst_LIBRARIES += csvfs/libcsvedge.a
csvfs_libcsvedge_a_SOURCES = csvfs/edge/link.c csvfs/edge/link.h $(csvfs_backing_sources)
csvfs_libcsvedge_a_CPPFLAGS = $(AM_CPPFLAGS) $(GNUTLS_CFLAGS)
