# SPDX-License-Identifier: GPL-2.0-or-later
# migrate/core: when the vCPUs of a VM run, and its live migration; pure. Compiled twice: the
# simulator's copy has planted bugs.
mig_sources = \
	migrate/core/mig.c migrate/core/mig.h migrate/core/mig_impl.h \
	migrate/core/mig_destination.c migrate/core/mig_names.c \
	migrate/core/mig_proto.c migrate/core/mig_proto.h \
	migrate/core/mig_qemu.c migrate/core/mig_session.c migrate/core/mig_source.c \
	migrate/core/mig_tell.c migrate/core/mig_vcpu.c

noinst_LIBRARIES += migrate/libmig.a
migrate_libmig_a_SOURCES = $(mig_sources)

check_LIBRARIES += migrate/libmig_mutants.a
migrate_libmig_mutants_a_SOURCES = $(mig_sources)
migrate_libmig_mutants_a_CPPFLAGS = $(AM_CPPFLAGS) -DMIGRATE_MUTANTS
