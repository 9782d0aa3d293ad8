/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What outlives a vm-host that was killed: `vm-UUID.json` in its run dir says which QEMU it had, so
 * that whoever comes next, a vm-host or `vm-host stop`, can prove that it is gone. `vm-UUID.lock`
 * is locked (flock(2)) for as long as the process lives, so it is never asked of a living one.
 */
#ifndef MIGRATE_EDGE_RECORD_H
#define MIGRATE_EDGE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/uuid.h"
#include "migrate/edge/cgroup.h"

#define RECORD_PATH   512
#define RECORD_END_MS 5000 /* for a killed QEMU to be gone */

/* Path of a file of this VM in the run dir: `vm-UUID.SUFFIX`. -ENAMETOOLONG. */
int record_path(const char *run_dir, const uint8_t uuid[UUID_BYTES], const char *suffix,
		char ret[RECORD_PATH]);
/* The descriptor to be kept open, or -errno; -EBUSY: a vm-host of this VM lives here. */
int record_lock(const char *run_dir, const uint8_t uuid[UUID_BYTES]);
/* Likewise, but waits until it is gone: -EINTR when a signal interrupts. Not on a loop. */
int record_lock_wait(const char *run_dir, const uint8_t uuid[UUID_BYTES]);
/* Replaces the record. cgroup "": none. 0 or -errno. */
int record_write(const char *run_dir, const uint8_t uuid[UUID_BYTES], int qemu_pid,
		 const char *cgroup);
void record_remove(const char *run_dir, const uint8_t uuid[UUID_BYTES]);
/* Does the QEMU of a vm-host that is gone still live? */
bool record_is_alive(const char *run_dir, const uint8_t uuid[UUID_BYTES]);
/*
 * Kills it and waits until it is gone, RECORD_END_MS at most; then removes the record. 0 also if
 * there was none; -ETIMEDOUT: not even SIGKILL ends it. Blocks.
 */
int record_kill(const char *run_dir, const uint8_t uuid[UUID_BYTES]);

#endif
