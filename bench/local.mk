# SPDX-License-Identifier: GPL-2.0-or-later
# Programs that the commands of bench/ run in nodes. Built by `make bench` only.
bench_tools = bench/cpg_rtt bench/names bench/peers_load bench/plan_time
EXTRA_PROGRAMS = $(bench_tools)
CLEANFILES += $(bench_tools)
bench_cpg_rtt_SOURCES = bench/cpg_rtt.c
bench_cpg_rtt_CPPFLAGS = $(AM_CPPFLAGS) $(COROSYNC_CFLAGS)
bench_cpg_rtt_LDADD = $(COROSYNC_LIBS)
bench_plan_time_SOURCES = bench/plan_time.c
bench_plan_time_LDADD = clusterd/libcore.a lib/liblock.a lib/libbase.a
bench_peers_load_SOURCES = bench/peers_load.c
bench_names_SOURCES = bench/names.c
bench_names_LDADD = -lpthread

bench: all tests/guests/witness.elf $(bench_tools)

# Not the folder: make would take what it has built there along.
EXTRA_DIST += bench/README.md bench/api_load.py bench/clone bench/datapath bench/detect bench/dummies \
	bench/failover bench/home bench/lab.py bench/latency bench/migrate bench/peers bench/planner bench/status

.PHONY: bench
