/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The key of QEMU's migration stream in a directory, as its tls-creds-psk object wants it (0700,
 * files 0600). A client reads it when the object is made; a server, GnuTLS that is, at each
 * handshake, so there it stays until the stream has come.
 */
#ifndef MIGRATE_EDGE_PSK_H
#define MIGRATE_EDGE_PSK_H

#include "migrate/core/mig_proto.h"

#define PSK_USER "vm-host"

/* Makes the directory and the files anew. 0 or -errno. */
int psk_write(const char *dir, const struct mig_hash *key);
/* Also if there is nothing. */
void psk_remove(const char *dir);

#endif
