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

# migrate/edge: vm-host, one process per VM. The parts that tests use on their own are a library.
noinst_LIBRARIES += migrate/libvmedge.a
migrate_libvmedge_a_SOURCES = \
	migrate/edge/cgroup.c migrate/edge/cgroup.h \
	migrate/edge/channel.c migrate/edge/channel.h \
	migrate/edge/command_line.c migrate/edge/command_line.h \
	migrate/edge/commands.c migrate/edge/commands.h \
	migrate/edge/control.c migrate/edge/control.h \
	migrate/edge/definition.c migrate/edge/definition.h \
	migrate/edge/due.c migrate/edge/due.h \
	migrate/edge/link.c migrate/edge/link.h \
	migrate/edge/log.h \
	migrate/edge/probe.c migrate/edge/probe.h migrate/edge/probe_kvm.c \
	migrate/edge/psk.c migrate/edge/psk.h \
	migrate/edge/qemu.c migrate/edge/qemu.h \
	migrate/edge/qmp.c migrate/edge/qmp.h \
	migrate/edge/record.c migrate/edge/record.h \
	migrate/edge/stream.c migrate/edge/stream.h \
	migrate/edge/tap.c migrate/edge/tap.h
migrate_libvmedge_a_CPPFLAGS = $(AM_CPPFLAGS) $(QB_CFLAGS) $(JANSSON_CFLAGS)

sbin_PROGRAMS += migrate/vm-host
migrate_vm_host_SOURCES = \
	migrate/edge/client.c migrate/edge/client.h \
	migrate/edge/host.c migrate/edge/host.h migrate/edge/host_impl.h \
	migrate/edge/host_qemu.c migrate/edge/host_hold.c migrate/edge/host_request.c migrate/edge/host_standalone.c \
	migrate/edge/main.c
migrate_vm_host_CPPFLAGS = $(AM_CPPFLAGS) $(QB_CFLAGS) $(JANSSON_CFLAGS)
migrate_vm_host_LDADD = migrate/libvmedge.a migrate/libmig.a lib/libedgebase.a lib/libbase.a \
	$(QB_LIBS) $(JANSSON_LIBS) $(GNUTLS_LIBS) $(XML_LIBS) -lpthread
