/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stamp that a witness leaves on its disk: one block of 4096 bytes, whose slot in the ring is
 * its sequence modulo the ring's slots. README.md describes the bytes, witness_judge.py reads them.
 *
 * Pure: also compiled for a guest without an operating system.
 */
#ifndef TESTS_GUESTS_RECORD_H
#define TESTS_GUESTS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_BYTES	  4096
#define RECORD_VM	  32   /* name of the VM, filled up with NUL */
#define RECORD_RING_SLOTS 1024 /* at most, unless told otherwise */

/* kind, field, put: after the magic (8 bytes) and the CRC (4 bytes), in this order. */
#define RECORD_FIELDS(X)                                                                           \
	X(uint32_t, ring, u32)		/* slots of the ring */                                    \
	X(uint64_t, incarnation, u64)	/* random, of this boot */                                 \
	X(uint64_t, sequence, u64)	/* 1, 2, 3 ... over all incarnations */                    \
	X(uint64_t, after, u64)		/* the sequence that this incarnation found at boot */     \
	X(uint64_t, sweeps, u64)	/* times that all memory was verified */                   \
	X(uint64_t, uptime_ms, u64)	/* of this incarnation, by the guest's clock */            \
	X(uint32_t, damage, u32)	/* places of memory that were not as written */            \
	X(uint32_t, faults, u32)	/* slots of the ring that were not as written */           \
	X(uint32_t, errors, u32)	/* requests that the disk failed, and that were retried */ \
	X(uint32_t, damage_before, u32) /* of all earlier incarnations */                          \
	X(uint32_t, faults_before, u32)

struct record {
#define RECORD_MEMBER(type, name, put) type name;
	RECORD_FIELDS(RECORD_MEMBER)
#undef RECORD_MEMBER
	char vm[RECORD_VM];
};

enum record_kind {
	RECORD_EMPTY,  /* all zero: never written */
	RECORD_BROKEN, /* torn, or not a record at all */
	RECORD_WHOLE,
};

void record_encode(const struct record *r, uint8_t block[RECORD_BYTES]);
/* *ret is written only if the block is RECORD_WHOLE. */
enum record_kind record_decode(const uint8_t block[RECORD_BYTES], struct record *ret);
/* Mixes `value` into `seed`; for incarnations. */
uint64_t record_mix(uint64_t seed, uint64_t value);
/* Copies a name of up to 31 characters, cutting off the rest, and fills up with NUL. */
void record_name(struct record *r, const char *vm);

#endif
