/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process of the holder's that tells the kernel what it has to forget.
 *
 * FUSE_NOTIFY_INVAL_ENTRY waits for a lock of the directory, which a program may hold that waits
 * for an answer of ours. Who has to be over before another one can answer must not be who waits
 * there, not even SIGKILL ends it: so it is nobody who answers, and its end is waited for by
 * nobody.
 */
#ifndef CSVFS_EDGE_TELLER_H
#define CSVFS_EDGE_TELLER_H

#include <stdbool.h>
#include <stdint.h>

/* Over a pair of SOCK_SEQPACKET, one end for each of the two. */
struct teller_order {
	uint64_t number; /* its answer has the same; never twice */
	uint64_t parent; /* number of the directory */
	char name[256];	 /* 255 bytes and a NUL */
};

/* What the process does: until its socket fails. `device`: as of fuse_device_mount(). */
void teller_run(int device, int socket);
/* The kernel is to forget that name; waits until it has, or *ends. False: it was not told. */
bool teller_tell(int socket, const struct teller_order *order, const bool *ends);

#endif
