/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtual machines of this node: the vm-hosts that attach (lib/vm_link.h) are told whether they
 * hold the lock, until when the lease lasts and what migration they are part of; what they say of a
 * migration goes to the cluster. It starts the vm-host of a migration's destination; all others are
 * started by the executor, through the agent ocf:clusterd:vm.
 *
 * It decides nothing: who may run is what the database says.
 *
 * Loop thread only.
 */
#ifndef CLUSTERD_EDGE_VMS_H
#define CLUSTERD_EDGE_VMS_H

#include "clusterd/edge/engine.h"
#include "clusterd/edge/ocf.h"

struct vms;

struct vms_options {
	const char *socket;   /* where vm-hosts attach */
	const char *run_dir;  /* definitions, control sockets and records of vm-hosts */
	const char *key_path; /* corosync's authkey */
	const char *vm_host;  /* the program */
	bool to_syslog;	      /* where a destination's vm-host logs: else to our standard error */
};

/* All of options is borrowed until vms_close(). 0, or -errno with a text. */
int vms_open(struct engine *e, const struct vms_options *options, struct vms **ret, char *text,
	     size_t text_size);
/* The vm-hosts go on. Takes NULL. */
void vms_close(struct vms *v);
/* The engine has changed: look at what is to be told and done. */
void vms_changed(struct vms *v);

/*
 * Has vm-host look at a definition (JSON text), in a process of its own. `done` comes once, from
 * the loop; `why` is NULL if the definition is good, else what is wrong with it. 0 or -errno.
 */
typedef void (*vms_validated)(void *arg, const char *why);
int vms_validate(struct vms *v, const char *definition, vms_validated done, void *arg);

/*
 * For the executor: if the group is a virtual machine, adds what the agent has to know to params
 * (borrowed until the next call), and sees to it that its definition is where the agent finds it.
 * is_at_once: a stop is to switch it off without asking it first. 0; -E2BIG: nothing was added;
 * -errno: the definition is not there, or an old one. A start with that would run something else;
 * a stop and a monitor do not need it.
 */
int vms_add_params(struct vms *v, const char *group, bool is_at_once, struct ocf_value *params,
		   size_t *count, size_t max);
/* SIGKILL to the vm-hosts of that group, if it is a virtual machine: their QEMU goes with them. */
void vms_kill(struct vms *v, const char *group);
/* SIGKILL to all of them; true when none is left that has attached. */
bool vms_end(struct vms *v);
/*
 * True if the group stops itself at the end of the lease: its processor stands still then, and goes
 * on when the lease is back.
 */
bool vms_holds_still(const struct vms *v, const char *group);
/*
 * True while the group, which is ours by a migration, has yet to begin to run in the process that
 * waits for it: the agent would take that for a failed one and start it anew, without its memory.
 */
bool vms_is_arriving(struct vms *v, const char *group);
/* True if the group has been, or is being, moved away from here by a migration. */
bool vms_has_moved(const struct vms *v, const char *group, uint64_t order);

#endif
