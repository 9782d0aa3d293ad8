# SPDX-License-Identifier: GPL-2.0-or-later
# csvfs/core: pure decisions and the codec. Compiled twice, like clusterd/core.
csvfs_core_sources = \
	csvfs/core/cache.c csvfs/core/cache.h \
	csvfs/core/change.c csvfs/core/change.h \
	csvfs/core/direct.c csvfs/core/direct.h \
	csvfs/core/errors.c csvfs/core/errors.h \
	csvfs/core/filelock.c csvfs/core/filelock.h \
	csvfs/core/grant.c csvfs/core/grant.h \
	csvfs/core/header.c csvfs/core/header.h \
	csvfs/core/promise.c csvfs/core/promise.h \
	csvfs/core/lockbook.c csvfs/core/lockbook.h \
	csvfs/core/lockrange.c csvfs/core/lockrange.h \
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
	csvfs/edge/backing_grant.c csvfs/edge/grants.c csvfs/edge/grants.h \
	csvfs/edge/backing_inode.c csvfs/edge/backing_io.c csvfs/edge/backing_names.c \
	csvfs/edge/backing_op.c csvfs/edge/backing_opens.c csvfs/edge/backing_session.c \
	csvfs/edge/clock.c csvfs/edge/clock.h \
	csvfs/edge/failpoint.c csvfs/edge/failpoint.h csvfs/edge/failpoint.def \
	csvfs/edge/backing_promise.c csvfs/edge/backing_range.c csvfs/edge/promises.c csvfs/edge/promises.h \
	csvfs/edge/backing_space.c csvfs/edge/backing_undo.c csvfs/edge/trace.c csvfs/edge/trace.h

noinst_LIBRARIES += csvfs/libcsvedge.a
csvfs_libcsvedge_a_SOURCES = \
	csvfs/edge/client.c csvfs/edge/client.h csvfs/edge/client_impl.h \
	csvfs/edge/client_conn.c csvfs/edge/client_keep.c csvfs/edge/client_life.c \
	csvfs/edge/client_opens.c \
	csvfs/edge/datapath.c csvfs/edge/datapath.h csvfs/edge/datapath_impl.h \
	csvfs/edge/datapath_io.c csvfs/edge/datapath_line.c \
	csvfs/edge/fuse.c csvfs/edge/fuse.h csvfs/edge/fuse_impl.h \
	csvfs/edge/fuse_call.c csvfs/edge/fuse_dir.c csvfs/edge/fuse_io.c csvfs/edge/fuse_ops.c \
	csvfs/edge/fuse_device.c csvfs/edge/fuse_device.h csvfs/edge/fuse_ioctl.c csvfs/edge/unshare.h \
	csvfs/edge/fuse_inode.c csvfs/edge/fuse_inode.h csvfs/edge/fuse_lock.c \
	csvfs/edge/fuse_moved.c csvfs/edge/fuse_signal.c csvfs/edge/fuse_stale.c \
	csvfs/edge/holder.c csvfs/edge/holder.h csvfs/edge/keep.c csvfs/edge/keep.h \
	csvfs/edge/link.c csvfs/edge/link.h \
	csvfs/edge/locks.c csvfs/edge/locks.h \
	csvfs/edge/log.c csvfs/edge/log.h \
	csvfs/edge/mount.c csvfs/edge/mount.h \
	csvfs/edge/mount_cache.c csvfs/edge/mount_cache.h \
	csvfs/edge/mount_options.c csvfs/edge/mount_options.h \
	csvfs/edge/mount_point.c csvfs/edge/mount_point.h \
	csvfs/edge/process.c csvfs/edge/process.h \
	csvfs/edge/teller.c csvfs/edge/teller.h \
	csvfs/edge/coordinate.c csvfs/edge/coordinate.h csvfs/edge/look.c csvfs/edge/look.h \
	csvfs/edge/server.c csvfs/edge/server.h csvfs/edge/server_impl.h \
	csvfs/edge/server_conn.c csvfs/edge/server_grant.c \
	csvfs/edge/server_lock.c csvfs/edge/server_work.c $(csvfs_backing_sources)
csvfs_libcsvedge_a_CPPFLAGS = $(AM_CPPFLAGS) $(GNUTLS_CFLAGS) $(FUSE_CFLAGS)

sbin_PROGRAMS += csvfs/csvfsd
csvfs_csvfsd_SOURCES = csvfs/edge/main.c
csvfs_csvfsd_LDADD = csvfs/libcsvedge.a $(LUN_LDADD) $(FUSE_LIBS) $(GNUTLS_LIBS) -lpthread

# A volume's LUN, for csvadm and for whoever mounts one.
noinst_LIBRARIES += csvfs/liblun.a
csvfs_liblun_a_SOURCES = \
	csvfs/edge/lun.c csvfs/edge/lun.h csvfs/edge/lun_impl.h \
	csvfs/edge/lun_attach.c csvfs/edge/lun_check.c csvfs/edge/lun_child.c \
	csvfs/edge/lun_devs.c csvfs/edge/lun_disk.c csvfs/edge/lun_format.c \
	csvfs/edge/lun_gpt.c csvfs/edge/lun_grow.c csvfs/edge/lun_probe.c csvfs/edge/lun_use.c csvfs/edge/lun_xfs.c
csvfs_liblun_a_CPPFLAGS = $(AM_CPPFLAGS) $(BLKID_CFLAGS) $(FDISK_CFLAGS) $(QB_CFLAGS)
LUN_LDADD = csvfs/liblun.a csvfs/libcsvcore.a lib/libedgebase.a lib/libbase.a \
	$(BLKID_LIBS) $(FDISK_LIBS) $(QB_LIBS)

sbin_PROGRAMS += csvfs/csvadm
csvfs_csvadm_SOURCES = csvfs/edge/csvadm.c csvfs/edge/clone.c csvfs/edge/clone.h \
	csvfs/edge/clock.c csvfs/edge/clock.h \
	csvfs/edge/job.c csvfs/edge/job.h csvfs/edge/prealloc.c csvfs/edge/prealloc.h csvfs/edge/progress.c csvfs/edge/progress.h \
	csvfs/edge/unshare.h
csvfs_csvadm_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
csvfs_csvadm_LDADD = $(LUN_LDADD) $(JANSSON_LIBS)
