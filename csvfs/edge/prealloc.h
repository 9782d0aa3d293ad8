/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes a file whose every block is written, so that it can be granted (doc/csvfs.md). */
#ifndef CSVFS_EDGE_PREALLOC_H
#define CSVFS_EDGE_PREALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PREALLOC_MIN   (UINT64_C(1) << 20)
#define PREALLOC_ALIGN 4096

/*
 * Creates `path`, of that size, full of zeros, and durable; how far it is goes to progress_say().
 * 0, or -errno with a text, and then there is no such file: -EEXIST: there was one before, which is
 * left as it is; -EINVAL: the size; -EINTR: a signal of progress_begin(); -ENOSPC ...
 *
 * `is_continued`: a file that exists, empty or of that size, keeps what is in it, and gets zeros
 * where nothing was ever written; nobody else may write to it meanwhile. What was begun stays when
 * it fails, and another call goes on.
 */
int prealloc(const char *path, uint64_t size, bool is_continued, char *text, size_t text_size);

/* The same of a file that stays sparse: it has a size, and no blocks. */
int prealloc_sparse(const char *path, uint64_t size, char *text, size_t text_size);

#endif
