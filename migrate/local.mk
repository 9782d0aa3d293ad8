# SPDX-License-Identifier: GPL-2.0-or-later
# migrate/edge: vm-host, one process per VM. The parts that tests use on their own are a library.
noinst_LIBRARIES += migrate/libvmedge.a
migrate_libvmedge_a_SOURCES = \
	migrate/edge/command_line.c migrate/edge/command_line.h \
	migrate/edge/definition.c migrate/edge/definition.h \
	migrate/edge/due.c migrate/edge/due.h \
	migrate/edge/qmp.c migrate/edge/qmp.h
migrate_libvmedge_a_CPPFLAGS = $(AM_CPPFLAGS) $(QB_CFLAGS) $(JANSSON_CFLAGS)
