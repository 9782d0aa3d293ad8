# SPDX-License-Identifier: GPL-2.0-or-later
# csvfs/core: pure decisions and the codec. Compiled twice, like clusterd/core.
csvfs_core_sources = csvfs/core/header.c csvfs/core/header.h csvfs/core/proto.c csvfs/core/proto.h

noinst_LIBRARIES += csvfs/libcsvcore.a
csvfs_libcsvcore_a_SOURCES = $(csvfs_core_sources)
