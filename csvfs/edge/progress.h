/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What commands on files have in common that take a while: signals, and how far they are. */
#ifndef CSVFS_EDGE_PROGRESS_H
#define CSVFS_EDGE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * From now on SIGINT, SIGTERM and SIGHUP only make progress_is_interrupted() true. `fd`: a line
 * "AT SIZE" in bytes goes there each time that it is further, for programs; -1: it goes to stderr,
 * for people, if that is a terminal.
 */
void progress_begin(int fd);
bool progress_is_interrupted(void);
/* At the end (at == size) in any case, before that now and then. */
void progress_say(uint64_t at, uint64_t size);

#endif
