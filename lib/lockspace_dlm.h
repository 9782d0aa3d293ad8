/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks in the kernel's DLM, behind lib/lockspace.h. dlm_controld joins and leaves the lockspace
 * and holds the kernel's recovery back until the node that is lost is fenced
 * (clusterd-dlm-fence(8)).
 *
 * What it has not, and never imitates:
 * - No QUEUED: the kernel does not say that a request waits. It may be cancelled all the same.
 * - No SUSPENDED: while the kernel recovers, requests wait, and locks stay.
 * - No causes but LK_BY_REQUEST, no transfer, no adoption (-EOPNOTSUPP).
 * - A client's death leaves its granted locks orphaned, as everywhere; they are released all at
 * once by lockspace_dlm_release_orphans(), or by the fence of the node.
 * - The value block stays valid when an orphan in PW or EX is released. When the node of a lock in
 * PW or EX is lost it becomes invalid, if a lock of another node stays whose last request asked for
 *   the value or was its first one below PW; else the resource is a new one, with zeros.
 *
 * Calls never block: a write to the device waits for as long as the kernel recovers, so a thread of
 * its own does it. Results are read on the loop, from the device itself (linux/dlm_device.h) and
 * not by dlm_dispatch(), which drops the mode of a blocking AST.
 */
#ifndef LIB_LOCKSPACE_DLM_H
#define LIB_LOCKSPACE_DLM_H

#include "lib/lockspace.h"

#define LOCKSPACE_DLM_LOCKS_MAX 4096 /* of one session; beyond: -ENOBUFS */

/*
 * Opened with a name of at most 63 bytes. Clean close: waits up to 5 s until the kernel has let the
 * lockspace go, then goes on without.
 */
extern const struct lockspace_ops lockspace_dlm_ops;

/*
 * Ends the locks that dead processes of this node have left in the lockspace: whoever calls has
 * proven that what they did under them is over. Blocks while the kernel recovers; not for a loop.
 * 0 or a negative errno.
 */
int lockspace_dlm_release_orphans(const char *name);

#endif
