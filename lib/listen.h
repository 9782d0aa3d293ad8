/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <sys/types.h>

/* Listens on a socket with a path. The path appears whole, in the place of what was there: whoever
 * finds the socket can connect to it, and nobody whom `mode` keeps out connects before it applies.
 *
 * type: SOCK_STREAM or SOCK_SEQPACKET; close-on-exec and non-blocking are added.
 * Descriptor or -errno; -ENAMETOOLONG: longer than LISTEN_PATH_MAX. Any thread. unix(7), rename(2).
 */
int listen_unix(const char *path, int type, mode_t mode, int backlog);

#define LISTEN_PATH_MAX 103 /* characters: what sun_path takes, less a suffix */
