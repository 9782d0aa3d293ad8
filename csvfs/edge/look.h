/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two looks at a LUN that clusterd takes in a process of their own, because a disk may not answer.
 * Exit codes: 0; 1 with a sentence on standard error; 2 usage.
 */
#ifndef CSVFS_EDGE_LOOK_H
#define CSVFS_EDGE_LOOK_H

/*
 * `csvfsd free --device LUN [--lock FILE]`: 0 if nothing on this machine has its file system
 * mounted. FILE is the lock file of the coordinator, who must be dead.
 */
int csv_free_main(int argc, char **argv);
/* `csvfsd identify --device LUN`: prints what it carries as one JSON object. */
int csv_identify_main(int argc, char **argv);

#endif
