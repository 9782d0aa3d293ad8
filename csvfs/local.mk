# SPDX-License-Identifier: GPL-2.0-or-later
# csvfs/core: pure decisions and the codec. Compiled twice, like clusterd/core.
csvfs_core_sources = csvfs/core/header.c csvfs/core/header.h csvfs/core/proto.c csvfs/core/proto.h

noinst_LIBRARIES += csvfs/libcsvcore.a
csvfs_libcsvcore_a_SOURCES = $(csvfs_core_sources)

# A volume's LUN, for csvadm and for whoever mounts one.
noinst_LIBRARIES += csvfs/liblun.a
csvfs_liblun_a_SOURCES = \
	csvfs/edge/lun.c csvfs/edge/lun.h csvfs/edge/lun_impl.h \
	csvfs/edge/lun_attach.c csvfs/edge/lun_check.c csvfs/edge/lun_child.c \
	csvfs/edge/lun_devs.c csvfs/edge/lun_disk.c csvfs/edge/lun_format.c \
	csvfs/edge/lun_gpt.c csvfs/edge/lun_probe.c csvfs/edge/lun_use.c csvfs/edge/lun_xfs.c
csvfs_liblun_a_CPPFLAGS = $(AM_CPPFLAGS) $(BLKID_CFLAGS) $(FDISK_CFLAGS) $(QB_CFLAGS)
LUN_LDADD = csvfs/liblun.a csvfs/libcsvcore.a lib/libedgebase.a lib/libbase.a \
	$(BLKID_LIBS) $(FDISK_LIBS) $(QB_LIBS)

sbin_PROGRAMS += csvfs/csvadm
csvfs_csvadm_SOURCES = csvfs/edge/csvadm.c
csvfs_csvadm_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
csvfs_csvadm_LDADD = $(LUN_LDADD) $(JANSSON_LIBS)
