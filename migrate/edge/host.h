/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One VM's process: owns one QEMU and obeys the core (migrate/core/mig.h). What QEMU, clusterd, the
 * other vm-host and the clock say become events of the core; what it decides is carried out. There
 * is no policy here.
 *
 * Standalone, without a clusterd, the lock and the lease are taken as given: whoever starts it (a
 * resource agent under another cluster manager) answers for the VM running once.
 */
#ifndef MIGRATE_EDGE_HOST_H
#define MIGRATE_EDGE_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/tls.h"
#include "lib/vm_link.h"
#include "migrate/edge/definition.h"

#define HOST_QEMU	    "/usr/bin/qemu-system-x86_64"
#define HOST_MIGRATION_PORT 5420  /* standalone: of the control channel */
#define HOST_STOP_MS	    60000 /* SIGTERM: for the guest to switch itself off */

/* Strings are borrowed for the life of the process. */
struct host_options {
	const struct definition *definition;
	const char *qemu;    /* absolute path */
	const char *socket;  /* of clusterd */
	const char *run_dir; /* absolute path */
	struct tls_key key;  /* of control channels */
	bool has_key;	     /* without it there is no migration */
	uint64_t instance;
	bool is_incoming, is_standalone;
	int control_fd;		      /* a listening socket; taken */
	char listen[VM_LINK_ADDRESS]; /* standalone and incoming: of the control channel */
	uint16_t port;
};

/* Runs until the VM's life is over. An exit code: 0, or 1 if it could not even begin. */
int host_run(const struct host_options *options);

#endif
