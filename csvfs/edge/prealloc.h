/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes a file whose every block is written, so that it can be granted (doc/csvfs.md). */
#ifndef CSVFS_EDGE_PREALLOC_H
#define CSVFS_EDGE_PREALLOC_H

#include <stddef.h>
#include <stdint.h>

#define PREALLOC_MIN   (UINT64_C(1) << 20)
#define PREALLOC_ALIGN 4096

/*
 * Creates `path`, of that size, full of zeros, and durable; how far it is goes to stderr if that is
 * a terminal. 0, or -errno with a text, and then there is no such file: -EEXIST: there was one
 * before, which is left as it is; -EINVAL: the size; -EINTR: SIGINT or SIGTERM; -ENOSPC ...
 */
int prealloc(const char *path, uint64_t size, char *text, size_t text_size);

#endif
