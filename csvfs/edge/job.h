/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work on several files as one: what `csvadm job` does for clusterd (clusterd/core/job.h). It comes
 * as lines, fields with tabs between, paths absolute:
 *
 *   make PATH BYTES full|sparse   a new file (prealloc.h)
 *   clone FROM TO                 a new file that shares the blocks of another
 *   replace FROM TO               the same, in place of one that is there
 *   remove PATH                   one that is not there is fine
 *
 * It may be killed at any moment, also by the crash of its node, and be done again, there or on
 * another one, or be undone: what it makes has a name with the number of the job in it until it is
 * whole, and carries that number as an attribute from then on. So nothing else is ever taken away.
 */
#ifndef CSVFS_EDGE_JOB_H
#define CSVFS_EDGE_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * `file`: made if need be; locked for as long as this takes, and has the newest line of progress.
 * `is_undo`: what lines `make` and `clone` have made under that id goes. 0, or -errno with a text:
 * -EALREADY: another process is at it; -EINTR; -EINVAL: lines that are none ...
 */
int job_run(const char *file, const char *id, bool is_undo, FILE *lines, char *text,
	    size_t text_size);

#endif
