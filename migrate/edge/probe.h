/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What must be known before QEMU is started: its version, the full name of the VM's machine type,
 * and whether KVM works here. Asks the program itself, on the loop, with deadlines.
 */
#ifndef MIGRATE_EDGE_PROBE_H
#define MIGRATE_EDGE_PROBE_H

#include <qb/qbloop.h>
#include <stdbool.h>

#include "migrate/core/mig_proto.h"
#include "migrate/edge/definition.h"

#define PROBE_MS    20000 /* for one run of QEMU */
#define PROBE_KVM_S 5
#define PROBE_TEXT  160

struct probe;

struct probe_result {
	bool is_ok;
	char text[PROBE_TEXT];	       /* what is wrong */
	char version[MIG_QEMU_TEXT];   /* "7.2.22" */
	char machine[DEFINITION_WORD]; /* "pc-q35-7.2" */
	bool is_kvm;
};

/*
 * `done` follows once, from the loop; the probe is freed by then. Borrows the definition and the
 * program's path until then. 0 or -errno. *ret is for probe_cancel() only.
 */
int probe_start(qb_loop_t *loop, const char *program, const struct definition *d,
		void (*done)(void *arg, const struct probe_result *result), void *arg,
		struct probe **ret);
/* Without `done`. Takes NULL. */
void probe_cancel(struct probe *p);
/*
 * Does KVM run code here? Makes a VM in a child and runs a few instructions: that /dev/kvm can be
 * opened is no proof. Blocks, PROBE_KVM_S at most.
 */
bool probe_kvm(void);

#endif
