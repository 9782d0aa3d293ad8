/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The records on a volume's control partition: header (what this volume is) and term (who may
 * coordinate it). One list per record gives the struct, the encoder, the decoder and the round-trip
 * test; doc/format-lun.md has the bytes and the places.
 *
 * A record fills one block of 4096 bytes and stands on the LUN twice, in blocks far apart: a write
 * that is torn, or a block that goes bad, loses one copy. The newest valid copy counts. The header
 * is written to both places, a term to the place of the older copy.
 *
 * A checksum tells damage, not intent: whoever can write the LUN can write a valid record.
 * Pure; any thread on objects of its own.
 */
#ifndef CSVFS_CORE_HEADER_H
#define CSVFS_CORE_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "csvfs/core/proto.h"

#define CSV_RECORD_BYTES   4096u
#define CSV_RECORD_VERSION 1
#define CSV_LABEL_MAX	   64 /* of a volume and of a node, with the NUL */
#define CSV_NODES_MAX	   16

/* Partitions begin and end at multiples of this. */
#define CSV_ALIGN_BYTES	  (UINT64_C(1) << 20)
#define CSV_CONTROL_BYTES (UINT64_C(16) << 20)

/* Places on the control partition, in bytes from its start. */
#define CSV_HEADER_PLACE(copy)	  ((copy) ? UINT64_C(0x100000) : UINT64_C(0))
#define CSV_TERM_PLACE(copy)	  ((copy) ? UINT64_C(0x110000) : UINT64_C(0x10000))
#define CSV_SLOT_BYTES		  UINT64_C(0x10000) /* heartbeat and poison pill of one node */
#define CSV_SLOT_PLACE(node)	  (UINT64_C(0x200000) + (node)*CSV_SLOT_BYTES)
#define CSV_WITNESS_LEASE_PLACE	  UINT64_C(0x400000)
#define CSV_WITNESS_LEASE_BYTES	  UINT64_C(0x10000)
#define CSV_WITNESS_HISTORY_PLACE UINT64_C(0x800000)
#define CSV_WITNESS_HISTORY_BYTES UINT64_C(0x800000)

/* Letters, digits, '.', '_' and '-', the first one a letter or digit; 1 to 63 of them. */
struct csv_label {
	char text[CSV_LABEL_MAX];
};

/* ---- fields of each record: F(codec, C type, name). Places and lengths in bytes of the LUN. */
#define CSV_RECORD_HEADER_FIELDS(F)                                                                \
	F(u64, uint64_t, generation)                                                               \
	F(uuid, struct csv_uuid, volume) /* also the uuid of its XFS */                            \
	F(uuid, struct csv_uuid, cluster)                                                          \
	F(label, struct csv_label, name)                                                           \
	F(u64, uint64_t, created_wall_ms)                                                          \
	F(u32, uint32_t, block_bytes) /* logical block of the LUN: 512 or 4096 */                  \
	F(u64, uint64_t, lun_bytes)                                                                \
	F(u64, uint64_t, control_start)                                                            \
	F(u64, uint64_t, control_bytes)                                                            \
	F(u64, uint64_t, data_start)                                                               \
	F(u64, uint64_t, data_bytes)
#define CSV_RECORD_TERM_FIELDS(F)                                                                  \
	F(u64, uint64_t, generation)                                                               \
	F(u64, uint64_t, term) /* of the coordinator, from 1 */                                    \
	F(slot, uint8_t, slot) /* its node: 0 .. 15 */                                             \
	F(label, struct csv_label, node)                                                           \
	F(u64, uint64_t, incarnation)

/* X(number, NAME, name). Numbers are never used again. */
#define CSV_RECORDS(X)                                                                             \
	X(1, HEADER, header)                                                                       \
	X(2, TERM, term)

enum csv_record_type {
#define CSV_RECORD_ENUM(number, NAME, name) CSV_RECORD_##NAME = (number),
	CSV_RECORDS(CSV_RECORD_ENUM)
#undef CSV_RECORD_ENUM
};

#define CSV_RECORD_FIELD(codec, ctype, name) ctype name;
#define CSV_RECORD_STRUCT(number, NAME, name)                                                      \
	struct csv_##name {                                                                        \
		CSV_RECORD_##NAME##_FIELDS(CSV_RECORD_FIELD)                                       \
	};
CSV_RECORDS(CSV_RECORD_STRUCT)
#undef CSV_RECORD_STRUCT
#undef CSV_RECORD_FIELD

/* What the two copies of a record are: 0 or the error of its decoder; `newest`, and the other. */
struct csv_copies {
	int result[2];
	unsigned int newest; /* 0 or 1; meaningless if neither is valid */
	unsigned int older;  /* the place for the next write */
};

/*
 * Encoders fill the whole block of CSV_RECORD_BYTES. 0, or -EINVAL when a value is not one that the
 * decoder would take.
 */
int csv_header_encode(const struct csv_header *h, void *block);
int csv_term_encode(const struct csv_term *t, void *block);
/*
 * Decoders: 0; -ENODATA (the block is all zero: nothing was ever written), -EPROTONOSUPPORT (whole,
 * of a version that this program does not know), -EBADMSG (torn, damaged or something else). *ret
 * is untouched on failure.
 */
int csv_header_decode(const void *block, struct csv_header *ret);
int csv_term_decode(const void *block, struct csv_term *ret);
/*
 * The record out of its two blocks. *ret_copies (may be NULL) is written in every case, *ret on
 * success only. -EPROTONOSUPPORT if either copy is of another version: it may be the newer one;
 * -EBADMSG if neither is valid and not both are blank, or if both claim one generation and differ;
 * -ENODATA if both are blank.
 */
int csv_header_pick(const void *first, const void *second, struct csv_header *ret,
		    struct csv_copies *ret_copies);
int csv_term_pick(const void *first, const void *second, struct csv_term *ret,
		  struct csv_copies *ret_copies);

/*
 * May `next` be written where `now` stands (NULL: nothing does)? A later term may; so may the very
 * same one again, by the same node and incarnation.
 */
bool csv_term_may_follow(const struct csv_term *now, const struct csv_term *next);

bool csv_label_is_good(const char *text);
bool csv_uuid_is_zero(const struct csv_uuid *uuid);
bool csv_uuid_equal(const struct csv_uuid *a, const struct csv_uuid *b);

#endif
