/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a VM's definition and what was found out about this machine to QEMU's argv. Everything that
 * the guest can see (machine type, addresses and names of devices, memory) depends on the
 * definition, `machine` and `is_kvm` alone, so that source and destination of a migration are
 * alike. Pure but for malloc().
 */
#ifndef MIGRATE_EDGE_COMMAND_LINE_H
#define MIGRATE_EDGE_COMMAND_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migrate/edge/definition.h"

#define COMMAND_LINE_ARGS 192
#define COMMAND_LINE_ARG  6144 /* bytes of one argument */

struct command_line_facts {
	const char *program; /* path of QEMU */
	const char *machine; /* with its version: "pc-q35-7.2" */
	bool is_kvm;
	bool is_incoming;
	int qmp_fd;				/* as the child sees it */
	int tap_fd[DEFINITION_NICS];		/* likewise, of those on a bridge */
	bool is_block_device[DEFINITION_DISKS]; /* a device node, not a file */
};

/*
 * Memory that the guest is given. Emulated as a machine older than 9.0, 8 KiB more than defined:
 * QEMU before 9.0 loses dirty pages of RAM blocks that are a multiple of 64 pages when it migrates
 * under TCG (mended upstream by 03bfc2188f06 "physmem: Fix migration dirty bitmap coherency with
 * TCG memory access"). By the machine's version, not QEMU's, so that a newer QEMU at the other end
 * gives as much. `machine` has its version.
 */
uint64_t command_line_memory_kib(const struct definition *d, const char *machine, bool is_kvm);
/* NULL-terminated and owned, for command_line_free(); NULL: no memory. */
char **command_line_make(const struct definition *d, const struct command_line_facts *facts);
/*
 * What source and destination of a migration must have in common, as text to be hashed: all that
 * the guest sees. Owned; NULL: no memory.
 */
char *command_line_identity(const struct definition *d, const struct command_line_facts *facts);
/* Takes NULL, returns NULL. */
char **command_line_free(char **argv);

#endif
