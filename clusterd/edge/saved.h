/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies of the database that an administrator saves and puts back: clusterd --save, --restore.
 * They work without a running clusterd; the second demands that none runs.
 */
#ifndef CLUSTERD_EDGE_SAVED_H
#define CLUSTERD_EDGE_SAVED_H

#include <stddef.h>

/*
 * Writes a consistent copy of the database to `file`, which must not exist yet. Also while clusterd
 * runs. 0 or -errno; `text` says what there is now, or what was wrong.
 */
int saved_make(const char *db_path, const char *file, char *text, size_t text_size);
/*
 * Puts a saved copy in place of the database, which is put aside. `self` is the name of this node,
 * as in the copy's table of members; `socket` that of a clusterd, which must not run. 0 or -errno;
 * nothing has changed on an error.
 */
int saved_restore(const char *db_path, const char *file, const char *self, const char *socket,
		  char *text, size_t text_size);

#endif
