/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What commands on files have in common that take a while: signals, and how far they are. */
#ifndef CSVFS_EDGE_PROGRESS_H
#define CSVFS_EDGE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_LINE 42

/*
 * From now on SIGINT, SIGTERM and SIGHUP only make progress_is_interrupted() true. `fd`: a line
 * "AT SIZE" in bytes goes there each time that it is further, for programs; -1: it goes to stderr,
 * for people, if that is a terminal. `is_file`: there is one line in it, the newest, of
 * PROGRESS_LINE bytes.
 */
void progress_begin(int fd, bool is_file);
/* What is said from now on is about a part of the whole: so much was done before it. */
void progress_part(uint64_t before, uint64_t whole);
bool progress_is_interrupted(void);
/* At the end (at == size) in any case, before that now and then. */
void progress_say(uint64_t at, uint64_t size);

#endif
