/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fail-points: places at which a test ends this process, or has it stand still, and which count how
 * often they were passed. There are those of failpoint.def and no others.
 *
 * CSVFSD_FAILPOINTS (csvfsd(8)) names a file that is there and large enough; without it a point
 * costs one load and a branch. The file is mapped, so what is counted outlives a process that is
 * killed. It consists of 64-bit words in the order of the machine:
 *
 *   0  action     enum failpoint_action; NONE again from when it has been done
 *   1  point      its number in failpoint.def        2  operation  of csvfs/core/proto.h, 0: any
 *   3  mount      whose request it is, 0: any        4  skip       so many passes before
 *   5  fired      how many actions were done so far
 *   6  next       action to skip of what is armed when this one is done, before the process ends
 *  16  passes     [point][operation], each as often as it was passed
 *
 * Who arms writes the action last. Processes may share the file: one of them does it. Why this is
 * in what is released: adr/0045.
 */
#ifndef CSVFS_EDGE_FAILPOINT_H
#define CSVFS_EDGE_FAILPOINT_H

#include <stddef.h>
#include <stdint.h>

enum failpoint {
#define X(NAME, GROUP, what) FAIL_##NAME,
#include "csvfs/edge/failpoint.def"
#undef X
	FAIL_MAX
};

enum failpoint_action {
	FAIL_DO_NONE,
	FAIL_DO_CRASH, /* SIGKILL; what the kernel has of the file system is written */
	FAIL_DO_CUT,   /* the same, and what is not in the log of the XFS is lost */
	FAIL_DO_STOP,  /* this thread waits until somebody has written to the FIFO "FILE.go" */
};

enum failpoint_word {
	FAIL_WORD_ACTION,
	FAIL_WORD_POINT,
	FAIL_WORD_OP,
	FAIL_WORD_MOUNT,
	FAIL_WORD_SKIP,
	FAIL_WORD_FIRED,
	FAIL_WORD_NEXT,
	FAIL_WORD_PASSES = 16,
};

#define FAIL_OPS   32 /* operations that are told apart */
#define FAIL_BYTES ((FAIL_WORD_PASSES + (size_t)FAIL_MAX * FAIL_OPS) * sizeof(uint64_t))

/* NULL: nobody has asked for any. Set before there are threads. */
extern _Atomic uint64_t *failpoint_words;

/* Before the first thread. A file that cannot be mapped is told on stderr. */
void failpoint_open(void);
/* What CUT ends: a descriptor of the XFS that is mounted here, -1: none. */
void failpoint_set_xfs(int fd);
void failpoint_pass(enum failpoint point, unsigned int op, uint64_t mount);

/* op, mount: 0 if it is nobody's request. */
static inline void failpoint(enum failpoint point, unsigned int op, uint64_t mount)
{
	if (__builtin_expect(failpoint_words != NULL, 0))
		failpoint_pass(point, op, mount);
}

#endif
