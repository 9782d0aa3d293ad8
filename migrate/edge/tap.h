/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network interface of the VM on a bridge of this host. QEMU's sandbox lets it start no helper,
 * so it is given the descriptor; the interface goes when the last descriptor is closed.
 */
#ifndef MIGRATE_EDGE_TAP_H
#define MIGRATE_EDGE_TAP_H

/* Descriptor (close-on-exec) or -errno; -ENODEV: no such bridge. linux/if_tun.h. */
int tap_open(const char *bridge);

#endif
