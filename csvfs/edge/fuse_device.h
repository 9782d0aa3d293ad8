/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The descriptor over which the kernel and libfuse speak, below libfuse: it may be older than the
 * process. The first process of a mount keeps what was agreed (INIT); a later one plays that to
 * libfuse, and has the kernel send again what it has no answer to (FUSE_NOTIFY_RESEND, Linux 6.9).
 * A request is known by its number, `unique`, also when it is sent again.
 *
 * linux/fuse.h does not go together with libfuse's headers: so this knows nothing of them.
 */
#ifndef CSVFS_EDGE_FUSE_DEVICE_H
#define CSVFS_EDGE_FUSE_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "csvfs/edge/client.h"
#include "csvfs/edge/keep.h"

struct fuse_device;

/*
 * Mounts a volume at a path. Returns the descriptor, or -errno. The kernel takes it out of the tree
 * when the last copy of the descriptor is closed, or by umount(2).
 */
int fuse_device_mount(const char *volume, const char *path);
/* Both outlive it. 0 and owned, or -errno. */
int fuse_device_open(struct keep *keep, struct client *client, struct fuse_device **ret);
/* Nobody reads any more. Takes NULL. */
void fuse_device_close(struct fuse_device *d);

/* For libfuse: as read(2) and writev(2). Any thread. */
ssize_t fuse_device_read(struct fuse_device *d, int fd, void *buf, size_t size);
ssize_t fuse_device_writev(struct fuse_device *d, int fd, const struct iovec *iov, int count);
/* The number of the request that this thread has read last. */
uint64_t fuse_device_unique(void);

/*
 * Reads nothing more, and waits until all that was read is answered: 0; or -ETIMEDOUT, and it reads
 * again, or, if `for_good`, does not. Not from a thread that reads.
 */
int fuse_device_drain(struct fuse_device *d, unsigned int timeout_ms, bool for_good);

#endif
