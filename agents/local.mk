# SPDX-License-Identifier: GPL-2.0-or-later
# agents/: resource agents, one file each; any manager of the OCF API can run them.
ocfdir = $(prefix)/lib/ocf/resource.d/clusterd
dist_ocf_SCRIPTS = agents/vm
