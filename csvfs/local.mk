# SPDX-License-Identifier: GPL-2.0-or-later
# csvfs/core: pure decisions and the codec. Compiled twice, like clusterd/core.
csvfs_core_sources = csvfs/core/proto.c csvfs/core/proto.h

noinst_LIBRARIES += csvfs/libcsvcore.a
csvfs_libcsvcore_a_SOURCES = $(csvfs_core_sources)

# csvfs/edge: I/O, threads.
noinst_LIBRARIES += csvfs/libcsvedge.a
csvfs_libcsvedge_a_SOURCES = \
	csvfs/edge/client.c csvfs/edge/client.h csvfs/edge/client_impl.h \
	csvfs/edge/client_conn.c csvfs/edge/client_opens.c \
	csvfs/edge/link.c csvfs/edge/link.h \
	csvfs/edge/log.c csvfs/edge/log.h
csvfs_libcsvedge_a_CPPFLAGS = $(AM_CPPFLAGS) $(GNUTLS_CFLAGS)
