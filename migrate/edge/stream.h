/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's TCP connection for the stream of a migration, ended from outside. `migrate_cancel` ends
 * one that is set up; while QEMU connects it knows of none yet, and waits for the kernel to give
 * up: up to a quarter of an hour when the network was cut, with the migration "cancelling" all the
 * while and no other one possible. While it shakes hands over TLS its main thread waits in a
 * blocking call (QEMU 7.2), for ever if the other side is gone: no command is answered then, and
 * the guest stands still.
 */
#ifndef MIGRATE_EDGE_STREAM_H
#define MIGRATE_EDGE_STREAM_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/*
 * Shuts all TCP connections of the process to address:port, in whatever state they are. How many;
 * -errno. Needs ptrace(2) access to the process.
 */
int stream_shut(pid_t pid, const char *address, uint16_t port);
/*
 * The inode of the next connection to address:port in a table such as /proc/net/tcp, proc(5), and
 * for IPv6 /proc/net/tcp6; 0: none is left. Exported for tests.
 */
unsigned long stream_next_inode(FILE *table, const char *address, uint16_t port);

#endif
