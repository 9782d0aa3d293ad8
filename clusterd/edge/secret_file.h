/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of secrets: NAME@VERSION in a folder that only root may enter, each the text and nothing
 * else. A file is there in full or not at all.
 *
 * They block on the disk: not for the loop, but for reading them at start.
 */
#ifndef CLUSTERD_EDGE_SECRET_FILE_H
#define CLUSTERD_EDGE_SECRET_FILE_H

#include "clusterd/core/secret.h"

#define SECRET_FILE_MAX (CL_NAME_MAX + 17) /* with '@', 16 hexadecimal digits and the NUL */

#define SECRET_FILE_NEW ".new" /* at the end of a name: one that is being written */

void secret_file_name(const char *name, uint64_t version, char ret[SECRET_FILE_MAX]);
/* False: not the name of such a file. */
bool secret_file_parse(const char *file, struct secret_file *ret);
/* 0; -ENOENT; -EPERM: others may read it; -EBADMSG: not a secret's text; -errno. */
int secret_file_read(const char *dir, const char *file, char value[SECRET_VALUE_MAX]);
/* Whole and on disk when it returns 0; -errno. */
int secret_file_write(const char *dir, const char *file, const char *value);
/* Gone, and what its blocks held overwritten first as far as the filesystem does that in place. */
int secret_file_remove(const char *dir, const char *file);

#endif
