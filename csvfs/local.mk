# SPDX-License-Identifier: GPL-2.0-or-later
# csvfs/core: pure decisions and the codec. Compiled twice, like clusterd/core.
csvfs_core_sources = csvfs/core/proto.c csvfs/core/proto.h

noinst_LIBRARIES += csvfs/libcsvcore.a
csvfs_libcsvcore_a_SOURCES = $(csvfs_core_sources)

# csvfs/edge: I/O, threads.
noinst_LIBRARIES += csvfs/libcsvedge.a
csvfs_libcsvedge_a_SOURCES = \
	csvfs/edge/client.c csvfs/edge/client.h csvfs/edge/client_impl.h \
	csvfs/edge/client_conn.c csvfs/edge/client_life.c csvfs/edge/client_opens.c \
	csvfs/edge/fuse.c csvfs/edge/fuse.h csvfs/edge/fuse_impl.h \
	csvfs/edge/fuse_call.c csvfs/edge/fuse_dir.c csvfs/edge/fuse_io.c csvfs/edge/fuse_ops.c \
	csvfs/edge/fuse_inode.c csvfs/edge/fuse_inode.h csvfs/edge/fuse_signal.c \
	csvfs/edge/link.c csvfs/edge/link.h \
	csvfs/edge/log.c csvfs/edge/log.h \
	csvfs/edge/mount.c csvfs/edge/mount.h \
	csvfs/edge/mount_options.c csvfs/edge/mount_options.h \
	csvfs/edge/mount_point.c csvfs/edge/mount_point.h \
	csvfs/edge/process.c csvfs/edge/process.h
csvfs_libcsvedge_a_CPPFLAGS = $(AM_CPPFLAGS) $(GNUTLS_CFLAGS) $(FUSE_CFLAGS)

sbin_PROGRAMS += csvfs/csvfsd
csvfs_csvfsd_SOURCES = csvfs/edge/main.c
csvfs_csvfsd_LDADD = csvfs/libcsvedge.a csvfs/libcsvcore.a lib/libedgebase.a lib/libbase.a \
	$(FUSE_LIBS) $(GNUTLS_LIBS) -lpthread
