# SPDX-License-Identifier: GPL-2.0-or-later
# clusterd/core: pure decisions. Compiled twice: as it is, and with the planted bugs that the
# simulator has to find.
core_sources = \
	clusterd/core/age.c clusterd/core/age.h \
	clusterd/core/apply_quarantine.c clusterd/core/quarantine.c clusterd/core/quarantine.h \
	clusterd/core/totem.c clusterd/core/totem.h \
	clusterd/core/network.c clusterd/core/network.h clusterd/core/apply_network.c \
	clusterd/core/node_state.c clusterd/core/node_state.h \
	clusterd/core/apply.c clusterd/core/apply_age.c \
	clusterd/core/apply_change.c clusterd/core/apply_config.c clusterd/core/apply_decision.c \
	clusterd/core/apply_force.c clusterd/core/apply_impl.c clusterd/core/apply_impl.h \
	clusterd/core/apply_leave.c \
	clusterd/core/apply_member.c clusterd/core/apply_migration.c \
	clusterd/core/apply_place.c clusterd/core/apply_resource.c \
	clusterd/core/apply_resource_set.c clusterd/core/apply_secret.c \
	clusterd/core/apply_setting.c clusterd/core/apply_stuck.c \
	clusterd/core/apply_vm.c clusterd/core/apply_volume.c \
	clusterd/core/assume.c clusterd/core/assume.h \
	clusterd/core/claim.c clusterd/core/claim.h \
	clusterd/core/compare.c clusterd/core/compare.h \
	clusterd/core/config.c clusterd/core/config.h clusterd/core/config_doc.c \
	clusterd/core/config_plan.c \
	clusterd/core/corosync_conf.c clusterd/core/corosync_conf.h \
	clusterd/core/db.c clusterd/core/db.h \
	clusterd/core/decision.c clusterd/core/decision.h \
	clusterd/core/depends.c clusterd/core/depends.h \
	clusterd/core/duty.c clusterd/core/duty.h \
	clusterd/core/hash_check.c clusterd/core/hash_check.h \
	clusterd/core/failover.c clusterd/core/failover.h \
	clusterd/core/fence_window.c clusterd/core/fence_window.h \
	clusterd/core/force.c clusterd/core/force.h \
	clusterd/core/history.c clusterd/core/history.h \
	clusterd/core/job.c clusterd/core/job.h clusterd/core/apply_job.c clusterd/core/plan_job.c \
	clusterd/core/lease.c clusterd/core/lease.h \
	clusterd/core/member.c clusterd/core/member.h \
	clusterd/core/msg.c clusterd/core/msg.h \
	clusterd/core/plan.c clusterd/core/plan.h clusterd/core/plan_impl.h \
	clusterd/core/admission.c clusterd/core/admission.h clusterd/core/apply_capacity.c \
	clusterd/core/capacity.c clusterd/core/capacity.h \
	clusterd/core/placement.c clusterd/core/placement.h \
	clusterd/core/plan_affinity.c \
	clusterd/core/plan_orders.c clusterd/core/plan_place.c \
	clusterd/core/plan_vm.c clusterd/core/plan_volume.c clusterd/core/plan_wave.c \
	clusterd/core/quorum.c clusterd/core/quorum.h \
	clusterd/core/repl.c clusterd/core/repl.h clusterd/core/repl_internal.h \
	clusterd/core/repl_log.c clusterd/core/repl_view.c clusterd/core/repl_witness.c \
	clusterd/core/schema.c clusterd/core/schema.h \
	clusterd/core/secret.c clusterd/core/secret.h \
	clusterd/core/setting.c clusterd/core/setting.h \
	clusterd/core/stopping.c clusterd/core/stopping.h \
	clusterd/core/stuck.c clusterd/core/stuck.h \
	clusterd/core/tree.c clusterd/core/tree.h clusterd/core/tree_explain.c \
	clusterd/core/types.h \
	clusterd/core/upgrade.c clusterd/core/upgrade.h clusterd/core/apply_upgrade.c \
	clusterd/core/vm.c clusterd/core/vm.h \
	clusterd/core/volume.c clusterd/core/volume.h \
	clusterd/core/votes.c clusterd/core/votes.h clusterd/core/votes_facts.c \
	clusterd/core/witness.c clusterd/core/witness.h \
	clusterd/core/witness_disk.c clusterd/core/witness_disk.h \
	clusterd/core/whatif.c clusterd/core/whatif.h

noinst_LIBRARIES += clusterd/libcore.a
clusterd_libcore_a_SOURCES = $(core_sources)

check_LIBRARIES += clusterd/libcore_mutants.a
clusterd_libcore_mutants_a_SOURCES = $(core_sources)
clusterd_libcore_mutants_a_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTERD_MUTANTS

# clusterd/edge: I/O, one libqb loop. The parts that tests use on their own are a library.
noinst_LIBRARIES += clusterd/libedge.a
clusterd_libedge_a_SOURCES = \
	clusterd/edge/local.c clusterd/edge/local.h \
	clusterd/edge/log.c clusterd/edge/log.h \
	clusterd/edge/ocf.c clusterd/edge/ocf.h \
	clusterd/edge/ocf_meta.c clusterd/edge/ocf_meta.h \
	clusterd/edge/store.c clusterd/edge/store.h clusterd/edge/store_impl.h \
	clusterd/edge/store_check.c clusterd/edge/store_past.c clusterd/edge/store_saved.c \
	clusterd/edge/store_sql.c \
	clusterd/edge/text.c clusterd/edge/text.h
clusterd_libedge_a_CPPFLAGS = $(AM_CPPFLAGS) $(QB_CFLAGS) $(SQLITE_CFLAGS) $(XML_CFLAGS) \
	$(JANSSON_CFLAGS)

sbin_PROGRAMS += clusterd/clusterd
clusterd_clusterd_SOURCES = \
	clusterd/edge/api.c clusterd/edge/api.h \
	clusterd/edge/bulk.c clusterd/edge/bulk.h \
	clusterd/edge/crypto.c clusterd/edge/crypto.h clusterd/edge/verbs_network.c \
	clusterd/edge/conf.c clusterd/edge/conf.h \
	clusterd/edge/machine.c clusterd/edge/machine.h \
	clusterd/edge/config_json.c clusterd/edge/config_json.h \
	clusterd/edge/cpg.c clusterd/edge/cpg.h \
	clusterd/edge/duty.c clusterd/edge/duty.h \
	clusterd/edge/engine.c clusterd/edge/engine.h clusterd/edge/engine_impl.h \
	clusterd/edge/engine_pull.c \
	clusterd/edge/exec.c clusterd/edge/exec.h clusterd/edge/exec_impl.h \
	clusterd/edge/exec_leave.c clusterd/edge/exec_report.c clusterd/edge/exec_resource.c \
	clusterd/edge/exec_stop.c clusterd/edge/exec_tree.c \
	clusterd/edge/fencer.c clusterd/edge/fencer.h \
	clusterd/edge/health.c clusterd/edge/health.h \
	clusterd/edge/main.c \
	clusterd/edge/parting.c clusterd/edge/parting.h \
	clusterd/edge/past.c clusterd/edge/past.h \
	clusterd/edge/rescue.c clusterd/edge/rescue.h \
	clusterd/edge/saved.c clusterd/edge/saved.h \
	clusterd/edge/secret_file.c clusterd/edge/secret_file.h \
	clusterd/edge/secrets.c clusterd/edge/secrets.h \
	clusterd/edge/spawn.c clusterd/edge/spawn.h \
	clusterd/edge/verbs.c clusterd/edge/verbs.h clusterd/edge/verbs_impl.h \
	clusterd/edge/verbs_affinity.c clusterd/edge/verbs_agent.c clusterd/edge/verbs_change.c \
	clusterd/edge/verbs_config.c clusterd/edge/verbs_decision.c clusterd/edge/verbs_disks.c clusterd/edge/verbs_force.c \
	clusterd/edge/verbs_member.c clusterd/edge/verbs_capacity.c clusterd/edge/verbs_place.c \
	clusterd/edge/verbs_quorum.c clusterd/edge/verbs_replay.c clusterd/edge/verbs_resource.c \
	clusterd/edge/verbs_resource_set.c clusterd/edge/verbs_secret.c \
	clusterd/edge/verbs_status.c \
	clusterd/edge/verbs_upgrade.c \
	clusterd/edge/verbs_vm.c clusterd/edge/verbs_volume.c \
	clusterd/edge/verbs_whatif.c clusterd/edge/verbs_witness.c \
	clusterd/edge/volumes.c clusterd/edge/volumes.h clusterd/edge/volumes_impl.h \
	clusterd/edge/volumes_link.c clusterd/edge/volumes_life.c clusterd/edge/volumes_process.c \
	clusterd/edge/jobs.c clusterd/edge/jobs.h clusterd/edge/vms.c clusterd/edge/vms.h \
	clusterd/edge/voting.c clusterd/edge/voting.h \
	clusterd/edge/witness.c clusterd/edge/witness.h \
	clusterd/edge/witness_channel.c clusterd/edge/witness_channel.h \
	clusterd/edge/witness_io.c clusterd/edge/witness_link.c clusterd/edge/witness_link.h \
	clusterd/edge/witness_share.c clusterd/edge/witness_share.h
clusterd_clusterd_CPPFLAGS = $(AM_CPPFLAGS) $(QB_CFLAGS) $(COROSYNC_CFLAGS) $(JANSSON_CFLAGS) \
	$(GNUTLS_CFLAGS) -DSBINDIR='"$(sbindir)"' \
	-DAGENTSDIR='"$(prefix)/lib/ocf/resource.d/clusterd"'
clusterd_clusterd_LDADD = clusterd/libedge.a clusterd/libcore.a fence/libfence.a \
	lib/libedgebase.a \
	lib/liblock.a lib/libbase.a $(QB_LIBS) $(COROSYNC_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS) \
	$(GNUTLS_LIBS) $(XML_LIBS) -lpthread

sbin_PROGRAMS += clusterd/clusterctl
clusterd_clusterctl_SOURCES = \
	clusterd/cli/cli.h clusterd/cli/client.c clusterd/cli/commands.def \
	clusterd/cli/completion.c clusterd/cli/main.c clusterd/cli/parse.c clusterd/cli/print.c \
	clusterd/cli/secret.c
clusterd_clusterctl_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
clusterd_clusterctl_LDADD = lib/libbase.a $(JANSSON_LIBS)

sbin_PROGRAMS += clusterd/clusterd-dlm-fence
clusterd_clusterd_dlm_fence_SOURCES = clusterd/cli/cli.h clusterd/cli/client.c \
	clusterd/cli/dlm_fence.c clusterd/cli/dlm_verdict.c clusterd/cli/dlm_verdict.h
clusterd_clusterd_dlm_fence_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
clusterd_clusterd_dlm_fence_LDADD = lib/libbase.a $(JANSSON_LIBS)

# What bash completes of it: made by itself, from its table.
bashcompletiondir = $(datadir)/bash-completion/completions
nodist_bashcompletion_DATA = clusterd/completion/clusterctl
fishcompletiondir = $(datadir)/fish/vendor_completions.d
nodist_fishcompletion_DATA = clusterd/completion/clusterctl.fish
zshcompletiondir = $(datadir)/zsh/site-functions
nodist_zshcompletion_DATA = clusterd/completion/_clusterctl
completions = clusterd/completion/clusterctl clusterd/completion/clusterctl.fish \
	clusterd/completion/_clusterctl
CLEANFILES += $(completions)
$(completions): clusterd/clusterctl
	$(AM_V_GEN)$(MKDIR_P) clusterd/completion && \
		case $@ in *.fish) sh=fish ;; */_*) sh=zsh ;; *) sh=bash ;; esac && \
		clusterd/clusterctl completion $$sh > $@.new && mv $@.new $@

# Made always, for the tests; installed where there is systemd.
noinst_DATA = clusterd/clusterd.service
EXTRA_DIST += clusterd/clusterd.service.in
CLEANFILES += clusterd/clusterd.service
clusterd/clusterd.service: clusterd/clusterd.service.in Makefile
	$(AM_V_GEN)$(SED) -e 's|@sbindir[@]|$(sbindir)|g' $(srcdir)/clusterd/clusterd.service.in > $@.new && \
		mv $@.new $@
if WITH_SYSTEMD
systemdsystemunit_DATA = clusterd/clusterd.service
endif
