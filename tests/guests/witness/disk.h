/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first virtio-blk disk on PCI, by its legacy interface: ports, one queue, polled. One request
 * at a time. Blocks are of 4096 bytes.
 */
#ifndef TESTS_GUESTS_WITNESS_DISK_H
#define TESTS_GUESTS_WITNESS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_BLOCK	4096
#define DISK_BLOCKS_MAX 32  /* in one request */
#define DISK_NO_STATUS	255 /* the queue says that a request has ended, the device did not */

enum disk_op {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH, /* of no blocks */
};

/* NULL, or why there is no disk. */
const char *disk_init(void);
uint64_t disk_blocks(void);
/* `data` must stay where it is until disk_is_done(). */
void disk_start(enum disk_op op, uint64_t block, void *data, uint32_t blocks);
/* True at the end of the request, with the device's status: 0 is success. */
bool disk_is_done(uint8_t *ret_status);

#endif
